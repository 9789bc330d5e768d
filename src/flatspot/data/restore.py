"""What a run keeps of its data, as plain values in its checkpoint: enough to read, scale and cut another file alike."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, final, get_args, get_origin, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray

from flatspot.data.counted import counted, listed
from flatspot.data.labels import Task
from flatspot.data.panel import Panel
from flatspot.data.prepare import Scalings
from flatspot.data.scaling import PER_SERIES, ChannelScaling, fit_per_series
from flatspot.data.signature import same_signature
from flatspot.errors import BadInput


@final
@dataclass(frozen=True)
class Known:
    """The data that a network was trained on, without its rows.

    Args:
        task: `forecast`, `classify` or `regress`. whole: whether each series has one label.
        columns: of the file that are read. targets_first: how many of them are predicted. label: the column of labels.
        classes: their names. frequency: between rows; None: row order.
        window, horizon, stride, calendar: how windows are cut.
        scale, scale_target: by name. inputs, targets: as they were fitted.
        series: whose training rows `means` (of each target) and `naive` (mean change from row to row) are of; their
            rows of the scalings too, where these are per series. `[series][target]`, original units.
        counts: training samples of each class. shortest: steps of the shortest training sequence.
        trained_until: the last training stamp, if there are stamps.
        time: the columns of time stamps. form: how they are written; None: they have a type, or there are none.
        group: the column of the series' names; empty where there is none.
        rows: how many there were. signature: what tells them from others.
        source: the `data` keys that say what was read.
    """

    task: str
    whole: bool
    columns: tuple[str, ...]
    targets_first: int
    label: str
    classes: tuple[str, ...]
    frequency: str | None
    window: int
    horizon: int
    stride: int
    calendar: tuple[str, ...]
    scale: str
    scale_target: str
    inputs: ChannelScaling
    targets: ChannelScaling
    series: tuple[str, ...]
    means: list[list[float]]
    naive: list[list[float]]
    counts: tuple[int, ...] = ()
    shortest: int = 0
    trained_until: str | None = None
    time: tuple[str, ...] = ()
    group: str = ""
    form: str | None = None
    rows: int = 0
    signature: list[list[float]] = field(default_factory=list)
    source: Mapping[str, Any] = field(default_factory=dict)

    def places(self, series: Sequence[str]) -> NDArray[np.int64]:
        """Which of the series that it was trained on each of these is; -1 for a new one.

        One series of a file that names none is the same as that of another file.
        """
        if not self.group and len(self.series) == 1 and len(series) == 1:
            return np.zeros(1, np.int64)
        place = {name: number for number, name in enumerate(self.series)}
        return np.array([place.get(name, -1) for name in series])

    def same_rows(self, other: "Known") -> bool:
        """Whether the other was made of the same rows, but for rounding."""
        plain = ("columns", "classes", "frequency", "series", "counts", "rows", "trained_until")
        if any(getattr(self, name) != getattr(other, name) for name in plain):
            return False
        units = ((self.inputs, other.inputs), (self.targets, other.targets))
        return all(one.same(two) for one, two in units) and same_signature(self.signature, other.signature)

    def plain(self) -> dict[str, Any]:
        """As plain values, for a checkpoint; a table of the series as one tensor, for there may be many."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Known":
        """From the plain values of a checkpoint.

        Raises:
            BadInput: if they are none of ours.
        """
        try:
            held: dict[str, Any] = {name: tuple(each) if name in _TUPLES else each for name, each in values.items()}
            tables: dict[str, Any] = {name: _listed(values[name]) for name in _TABLES}
            scalings: dict[str, Any] = {
                name: ChannelScaling(**{key: _listed(table) for key, table in values[name].items()})
                for name in ("inputs", "targets")
            }
            known = cls(**(held | tables | scalings))
        except (KeyError, TypeError, AttributeError) as error:
            raise BadInput(f"the checkpoint keeps no data of flatspot's: {error}") from error
        for name, wrong in known._wrong():
            raise BadInput(f"the checkpoint keeps no data of flatspot's: {name} {wrong}")
        return known

    def _wrong(self) -> Iterator[tuple[str, str]]:
        """What is not as a run keeps it: a file may be a stranger's."""
        for name, kind in get_type_hints(type(self)).items():
            if not _is_a(getattr(self, name), kind):
                yield name, "is of another type"
                return
        for name, number in LEAST.items():
            if not number <= getattr(self, name) <= LARGEST:
                yield name, f"must lie between {number} and {LARGEST}"
        if self.task not in get_args(Task):
            yield "task", f"must be one of {', '.join(get_args(Task))}"
        yield from self._wrong_tables()

    def _wrong_tables(self) -> Iterator[tuple[str, str]]:
        for name in ("means", "naive"):
            rows = getattr(self, name)
            if self.task == "forecast" and len(rows) != len(self.series):
                yield name, "must have a row for each series"
            if len(set(map(len, rows))) > 1:
                yield name, "must have rows of equal lengths"
        for name in ("inputs", "targets"):
            mean, scale = getattr(self, name).table
            if mean.shape != scale.shape or not (np.isfinite(mean).all() and (scale > 0).all()):
                yield name, "must be a mean and a scale above 0 for each channel"


_TUPLES: Final = ("columns", "classes", "calendar", "series", "counts", "time")

_TABLES: Final = ("means", "naive", "signature")


LEAST: Final = {"targets_first": 0, "window": 1, "horizon": 0, "stride": 1, "shortest": 0, "rows": 0}
"""The smallest of each number."""

LARGEST: Final = 10**12
"""Beyond any number of rows."""


def _is_a(value: Any, kind: Any) -> bool:  # noqa: ANN401 - any, that is what is asked
    """Whether a value is of one of the types that `Known` has."""
    if kind is ChannelScaling:
        return all(_is_table(each) for each in (value.mean, value.scale))
    if get_origin(kind) is tuple:
        return all(type(each) is get_args(kind)[0] for each in value)
    if get_origin(kind) is list:
        return all(_is_table(each) for each in value)
    if get_origin(kind) is Mapping:
        return isinstance(value, dict) and all(isinstance(each, str) for each in value)
    return type(value) in (get_args(kind) or (kind,))


def _is_table(value: Any) -> bool:  # noqa: ANN401 - any, that is what is asked
    """A list of numbers, or of lists of as many numbers each."""
    if not isinstance(value, list):
        return False
    if value and all(isinstance(each, list) for each in value):
        return len(set(map(len, value))) == 1 and all(map(_is_table, value))
    return all(type(each) in {int, float} for each in value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - as it is held
    if isinstance(value, ChannelScaling):
        return {"mean": _plain(value.mean), "scale": _plain(value.scale)}
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list) and value and isinstance(value[0], list):
        return torch.tensor(value, dtype=torch.float64)
    return list(value) if isinstance(value, list | tuple) else value


def _listed(table: Any) -> list[Any]:  # noqa: ANN401 - as it was held
    return table.tolist() if isinstance(table, torch.Tensor) else list(table)


def known_scalings(known: Known, panel: Panel, early: NDArray[np.int64]) -> Scalings:
    """The scalings of an earlier run for the series of another panel.

    Where they are per series, one that training has not seen is scaled by the rows that its first forecast rests on,
    whichever forecast is asked for; one that has a label as a whole, by all of its rows, as in training.

    Args:
        early: the rows `[start, stop)` that the first forecast of each series rests on.
    """
    per_series = known.scale_target == PER_SERIES and known.task == "forecast"
    rows = known.places(panel.series)
    if PER_SERIES not in {known.scale, known.scale_target} or np.array_equal(rows, np.arange(len(known.series))):
        return Scalings(known.inputs, known.targets, per_series)
    every = np.stack([panel.firsts, panel.firsts + panel.lengths], axis=1)
    own = fit_per_series(panel.values, every if known.whole else early)
    inputs = _rows_of(known.inputs, own, rows) if known.scale == PER_SERIES else known.inputs
    targets = _rows_of(known.targets, own, rows) if known.scale_target == PER_SERIES else known.targets
    return Scalings(inputs, targets, per_series, () if known.whole else _told_new(panel, rows < 0, known.window))


def _told_new(panel: Panel, new: NDArray[np.bool_], window: int) -> tuple[str, ...]:
    """Which series were not trained on: a name may be misspelt."""
    if not new.any():
        return ()
    names = [name for name, strange in zip(panel.series, new, strict=True) if strange]
    are, each = ("is", "it") if len(names) == 1 else ("are", "each")
    told = f"{len(names):,} of {len(new):,} series {are} new to the run ({listed(names)})"
    return (f"{told}: {each} is scaled by its own first {counted(window, 'row')} without a gap",)


def _rows_of(known: ChannelScaling, own: ChannelScaling, rows: NDArray[np.int64]) -> ChannelScaling:
    """The known row of each series, or its own; channels beyond its own (the calendar's) are as known."""
    tables = []
    for trained, fitted in zip(known.table, own.table, strict=True):
        wide = np.repeat(trained[:1], len(rows), axis=0)
        shared = min(wide.shape[1], fitted.shape[1])
        wide[:, :shared] = fitted[:, :shared]
        tables.append(np.where((rows >= 0)[:, None], trained[rows], wide))
    return ChannelScaling(tables[0].tolist(), tables[1].tolist())
