"""The LightningDataModule: split by time, scale by the training rows, serve windows."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from flatspot.data.answers import Answers, answers_of, ending_in_labels, refuse_other_task, refuse_unseen_classes
from flatspot.data.counted import counted
from flatspot.data.labels import Task
from flatspot.data.memory import refuse_large_batch
from flatspot.data.panel import Panel, Series, panel_of
from flatspot.data.prepare import before_first_forecast, or_else, prepare, refuse_broken_series
from flatspot.data.restore import Known, known_scalings
from flatspot.data.scaling import ChannelScaling
from flatspot.data.short import without_short
from flatspot.data.signature import signature_of
from flatspot.data.split import PARTS, Borders, Part, Split, borders_of, parts_of_series
from flatspot.data.statistics import Naive, naive_of
from flatspot.data.windows import EpochSampler, Runs, Sequences, Windows, as_is
from flatspot.errors import BadInput
from flatspot.registry import Registry

WINDOW: Final = 60
HORIZON: Final = 24
"""Steps of a window and of a forecast, where nothing else is said."""


def _anywhere(asked: int, held: int) -> torch.Tensor:
    return torch.linspace(0, held - 1, asked, dtype=torch.float64).round().long()


def _stretch(asked: int, held: int) -> torch.Tensor:
    return torch.arange(held - asked, held)


CHOICES: Final = Registry("choice of training windows", {"anywhere": _anywhere, "stretch": _stretch})


@final
class SeriesDataModule(LightningDataModule):
    """Windows of one or many series, split by time and scaled by their training rows alone; or labelled sequences.

    Batches are `(x, y)`, float32, in scaled units: x `[batch, window, channel]`, y `[batch, horizon, target]`. Where
    targets are scaled per series, `(x, y, series)`, with the number of each window's series. For a classifier y is the
    number of the class, `[batch]`, for a regressor `[batch, 1, 1]`; where each series has one label, x is a packed
    batch of whole series.

    Args:
        series: in original units.
        window: L, the steps of an input; None: 60, or the whole series where each has one label.
        horizon: H, the steps predicted after it; None: 24. Labels have none.
        stride: rows between the starts of two windows.
        batch_size: windows a batch.
        split: where validation and test begin.
        scale: `standard`, `per_series`, `robust`, `minmax` (scikit-learn's) or `none`, for the input channels.
        scale_target: the same for the targets as they are predicted.
        calendar: `hour`, `weekday`, `month`, ...: added to the inputs as sine and cosine, those of the step `horizon`
            steps later, known in advance.
        short: a series too short for one window: `error`, or `skip` it.
        task: `forecast`, `classify` or `regress`.
        train_windows: how many windows to train on; None: all. An epoch is as long as with all: fewer come up more
            often, so that runs with many and with few take the same number of steps.
        train_windows_from: `anywhere` (evenly spread over the training rows) or `stretch` (the last ones, each a step
            after the one before: nearly alike).
        seed: with the epoch's number, the order of the training windows.
        known: of the data that a network was trained on: its scalings are taken, and all rows are test rows.
        source: the `data` keys that say what was read, kept in checkpoints.
        spend: let go of the rows in original units as they are scaled: half the memory, and the panel is empty.

    Raises:
        BadInput: naming the value, or the split that is too short for one window.
    """

    def __init__(
        self,
        series: Series | Panel,
        *,
        window: int | None = None,
        horizon: int | None = None,
        stride: int = 1,
        batch_size: int = 64,
        split: Split | None = None,
        scale: str = "standard",
        scale_target: str = "standard",
        calendar: Sequence[str] = (),
        short: str = "error",
        task: Task = "forecast",
        train_windows: int | None = None,
        train_windows_from: str = "anywhere",
        seed: int = 0,
        known: Known | None = None,
        source: Mapping[str, Any] | None = None,
        spend: bool = False,
    ) -> None:
        super().__init__()
        _require_positive(batch_size=batch_size, stride=stride)
        panel = panel_of(series)
        refuse_other_task(panel, task, known)
        self.task, self.batch_size, self.stride, self.seed = task, batch_size, stride, seed
        self.whole = known.whole if known else panel.labels is not None and panel.labels.per == "series"
        self.window, self.horizon = _sizes(panel, task, window, horizon, whole=self.whole)
        self._needed, self._source = self.window + self.horizon, dict(source or {})
        given = panel
        panel = panel if self.whole else without_short(panel, self._needed, short, self._why)
        if spend and panel is not given:
            given.blocks.clear()
        answers = answers_of(panel, task, scale_target, known)
        borders, parts = _parted(panel, split or Split(), answers, known)
        self.prepared = prepare(
            panel,
            self._checked(panel, borders, parts),
            scale=scale,
            scale_target=scale_target if task == "forecast" else scale,
            calendar=calendar,
            window=self.window,
            horizon=self.horizon,
            known=partial(known_scalings, known) if known else None,
            spend=spend,
        )
        self.prepared = ending_in_labels(self.prepared, answers)
        self._refuse_gaps(fitted=known is None)
        trained_on = self._trained_on(parts)
        if known is None:
            refuse_unseen_classes(answers, trained_on, panel.name)
        self.answers = answers.fitted(self.prepared, trained_on)
        self._parts = parts
        every = {part: self._cut(part) for part in PARTS}
        chosen = None if known else _chosen(train_windows, train_windows_from, len(every["train"]))
        self._datasets = every | {"train": self._cut("train", chosen)}
        self.naive = self._naive(known)
        self.known = known or self._keep(scale, scale_target, calendar)

    @property
    def panel(self) -> Panel:
        """What was read, without its rows."""
        return self.prepared.panel

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the input channels: the targets, the features, the calendar."""
        return self.prepared.columns

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is predicted."""
        return self.panel.targets if self.task == "forecast" else (self.answers.column,)

    @property
    def input_scaling(self) -> ChannelScaling:
        """Of the input channels."""
        return self.prepared.scalings.inputs

    @property
    def target_scaling(self) -> ChannelScaling:
        """Of the targets as they are predicted."""
        return self.answers.scaling or ChannelScaling([], [])

    @property
    def rows(self) -> dict[Part, int]:
        """Rows of each part; series, where each has one label."""
        if self.whole:
            return {part: int((self._parts == number).sum()) for number, part in enumerate(PARTS)}
        sizes = np.diff(self.prepared.borders, axis=1).sum(axis=0)
        return {part: int(size) for part, size in zip(PARTS, sizes, strict=True)}

    def dataset(self, part: Part) -> Windows | Sequences:
        """The windows of one split, in time order, series after series."""
        return self._datasets[part]

    def every_window(self, part: Part) -> Windows | Sequences:
        """All windows of a split, whether or not `train_windows` leaves some out."""
        return self._cut(part)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the data: plain values."""
        return self.known.plain()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: the data were given, and are scaled as their training rows say."""

    def train_dataloader(self) -> DataLoader[Any]:
        """Windows in an order that derives from (seed, epoch) alone."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Windows in time order; in several processes each is counted once."""
        return self._loader("val", shuffle=False)

    def test_dataloader(self) -> DataLoader[Any]:
        """Windows in time order; in several processes each is counted once."""
        return self._loader("test", shuffle=False)

    def whole_loader(self, part: Part) -> DataLoader[Any]:
        """All windows of a part in one process, by the batches of a step, even where processes share the training."""
        return self._loader(part, shuffle=part == "train", shared=False)

    def _share_of_a_batch(self, processes: int) -> int:
        """A step takes as many windows however many processes share it, and so does the same."""
        if self.batch_size % processes:
            raise BadInput(
                f"data.batch_size={self.batch_size}: must be a multiple of {processes}, the processes that share a step"
            )
        return self.batch_size // processes

    def _loader(self, part: Part, *, shuffle: bool, shared: bool = True) -> DataLoader[Any]:
        data: Dataset[Any] = self.dataset(part)
        rank, world_size = (0, 1)
        if shared and self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
        sampler = EpochSampler(
            len(self.dataset(part)), seed=self.seed, shuffle=shuffle, rank=rank, world_size=world_size
        )
        # A generator of its own: a loader without one draws from the global random state at every epoch.
        return DataLoader(
            data,
            batch_size=self._share_of_a_batch(world_size),
            sampler=sampler,
            collate_fn=as_is,
            generator=torch.Generator(),
        )

    def _cut(self, part: Part, only: torch.Tensor | None = None) -> Windows | Sequences:
        held, labels = self.prepared, self.answers.tensor
        assert labels is not None  # noqa: S101 - fitted
        if self.whole:
            numbers = np.flatnonzero(self._parts == PARTS.index(part))
            lengths = np.minimum(held.panel.lengths[numbers], self.window)
            firsts = held.panel.firsts[numbers] + held.panel.lengths[numbers] - lengths
            return Sequences(held.inputs, labels, firsts=firsts, lengths=lengths, numbers=numbers, only=only)
        runs = self._runs(part)
        several = self.task == "forecast" and held.scalings.per_series and len(held.panel.lengths) > 1
        owners = torch.from_numpy(held.panel.firsts) if several else None
        sizes = {"window": self.window, "horizon": self.horizon}
        return Windows(held.inputs, labels, runs=runs, only=only, series=owners, **sizes)

    def _runs(self, part: Part) -> Runs:
        """Where the windows of a part start."""
        return self.prepared.runs(PARTS.index(part), self.window, self.horizon, self.stride)

    def _refuse_gaps(self, *, fitted: bool) -> None:
        """Refuse whole series with holes, and a part that gaps leave without a window."""
        if self.whole:
            refuse_broken_series(self.prepared)
            return
        for part in PARTS if fitted else ():
            if not len(self._runs(part)):
                raise BadInput(f"{self.panel.name}: gaps leave no whole window in the {part} split ({self._why})")

    def _trained_on(self, parts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which labels are trained on: those of series, or of the last rows of windows."""
        if self.whole:
            return np.equal(parts, 0)
        chosen = np.zeros(self.panel.rows, bool)
        if self.task != "forecast":
            chosen[self._runs("train").starts() + self.window - 1] = True
        return chosen

    @property
    def _why(self) -> str:
        """What makes a window as long as it is."""
        return f"data.window={self.window}" + (f" + data.horizon={self.horizon}" if self.horizon else "")

    def _checked(self, panel: Panel, borders: Borders, parts: NDArray[np.int64]) -> Borders:
        """Refuse a split too short for one window, with the rows it has and those it needs; and a batch too large."""
        if self.whole:
            return borders
        lead = self.window if self.horizon else self.window - 1
        for number, part in enumerate(PARTS):
            held = borders[:, number + 1] - np.maximum(borders[:, number] - lead, borders[:, 0])
            used = borders[:, number + 1] > borders[:, number]
            longest = int(held.max(initial=0, where=used))
            if longest < self._needed and not (parts < 0).all():
                several, reach = "at most " if len(held) > 1 else "", "reaches" if longest == 1 else "reach"
                raise BadInput(
                    f"{panel.name}: {several}{counted(longest, 'row')} {reach} the {part} split, and one window needs "
                    f"{self._needed} ({self._why})"
                )
        numbers_each = self.window * len(panel.columns) + self.horizon * panel.num_targets
        refuse_large_batch(
            self.batch_size, panel.rows, numbers_each, f"data.batch_size={self.batch_size} × {self._why}"
        )
        return borders

    def _naive(self, known: Known | None) -> Naive:
        """What naive forecasts of each series rest on: its training rows, or those before its first forecast."""
        if self.task != "forecast":
            mean = known.means[0][0] if known else self.answers.mean
            count = 1 if self.whole else len(self.panel.lengths)
            return Naive(np.full((count, 1), mean), np.full((count, 1), np.nan))
        held = self.prepared
        first = before_first_forecast(self.panel, self.window, held.starts, held.ends)
        if known is None:
            return naive_of(self.prepared, or_else(self.prepared.borders[:, :2], first))
        own = naive_of(self.prepared, first)
        rows = known.places(self.panel.series)
        trained = Naive(np.asarray(known.means, float), np.asarray(known.naive, float))
        both = zip(trained, own, strict=True)
        return Naive(*(np.where((rows >= 0)[:, None], old[rows], new) for old, new in both))

    def _keep(self, scale: str, scale_target: str, calendar: Sequence[str]) -> Known:
        """What a checkpoint is to keep."""
        held, borders = self.prepared, self.prepared.borders
        times = held.panel.times
        last = borders[borders[:, 1] > borders[:, 0], 1] - 1  # of each series' training rows
        return Known(
            task=self.task,
            whole=self.whole,
            columns=held.panel.columns,
            targets_first=held.panel.num_targets,
            label=self.answers.column,
            classes=self.answers.classes,
            frequency=held.panel.frequency,
            window=self.window,
            horizon=self.horizon,
            stride=self.stride,
            calendar=tuple(calendar),
            scale=scale,
            scale_target=scale_target,
            inputs=self.input_scaling,
            targets=self.target_scaling,
            series=held.panel.series,
            means=self.naive.means.tolist(),
            naive=self.naive.changes.tolist(),
            counts=self.answers.counts,
            shortest=min(int(held.panel.lengths.min()), self.window),
            trained_until=None if times is None or self.whole else str(times[last].max()),
            time=held.panel.keys.time,
            group=held.panel.keys.group or "",
            form=held.panel.keys.form,
            rows=held.panel.rows,
            signature=signature_of(held.inputs, *self.answers.signed()),
            source=self._source,
        )


def _sizes(panel: Panel, task: Task, window: int | None, horizon: int | None, *, whole: bool) -> tuple[int, int]:
    """The steps of a window and of a forecast."""
    if task != "forecast" and horizon is not None and horizon > 0:
        raise BadInput(f"data.horizon={horizon}: a label has no horizon; leave it out")
    longest = int(panel.lengths.max()) if whole else WINDOW
    window = longest if window is None else window
    _require_positive(window=window)
    if task != "forecast":
        return window, 0
    horizon = HORIZON if horizon is None else horizon
    _require_positive(horizon=horizon)
    return window, horizon


def _parted(panel: Panel, split: Split, answers: Answers, known: Known | None) -> tuple[Borders, NDArray[np.int64]]:
    """The rows where the parts of each series begin, and the part of each series where each has one label.

    Rows that a network was not trained on are test rows, all of them.
    """
    firsts = panel.firsts
    ends = firsts + panel.lengths
    if known is not None:
        parts = np.full(len(firsts), 2 if known.whole else -1)
        return np.stack([firsts, firsts, firsts, ends], axis=1), parts
    if not answers.per_series:
        return borders_of(panel, split), np.zeros(len(firsts), np.int64)
    parts = parts_of_series(panel, split, answers.labels if answers.task == "classify" else None)
    # A series of part p begins p where it begins: the parts before it are empty, and those after it begin at its end.
    begins = [np.where(parts >= number, firsts, ends) for number in range(len(PARTS))]
    return np.stack([*begins, ends], axis=1), parts


def _chosen(asked: int | None, where: str, held: int) -> torch.Tensor | None:
    """The numbers of the training windows to use; None for all."""
    choose = CHOICES[where]
    if asked is None:
        return None
    if not 1 <= asked <= held:
        raise BadInput(f"data.train_windows={asked}: must lie between 1 and {held:,}, the windows in the training rows")
    return choose(asked, held)


def _require_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise BadInput(f"data.{name}={number}: must be at least 1")
