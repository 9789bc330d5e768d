"""The LightningDataModule: split by time, scale by the training rows, serve windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader

from flatspot.data.read import Series
from flatspot.data.windows import Batch, EpochSampler, Windows, as_is
from flatspot.errors import BadInput
from flatspot.registry import Registry

Part = Literal["train", "val", "test"]

COARSEST: Final = 0.1
"""float32's step, as a share of a column's spread, beyond which its changes are lost."""

SCALERS: Final = Registry("scaling", {"standard": True, "none": False})


def _anywhere(asked: int, held: int) -> torch.Tensor:
    return torch.linspace(0, held - 1, asked, dtype=torch.float64).round().long()


def _stretch(asked: int, held: int) -> torch.Tensor:
    return torch.arange(held - asked, held)


CHOICES: Final = Registry("choice of training windows", {"anywhere": _anywhere, "stretch": _stretch})


@final
@dataclass(frozen=True)
class ChannelScaling:
    """The mean and scale of each channel, in original units: `(x - mean) / scale`."""

    mean: list[float]
    scale: list[float]


@final
class SeriesDataModule(LightningDataModule):
    """Windows of one series, split by time and scaled by its training rows alone.

    Batches are `(x, y)`: x `[batch, window, channel]`, y `[batch, horizon, target]`, float32, in scaled units.

    Args:
        series: in original units.
        window: L, the steps of an input. horizon: H, the steps predicted after it.
        batch_size: windows a batch.
        val_share: the share of rows, after the training rows, that validation targets come from.
        test_share: the share of rows, at the end, that test targets come from.
        scale: `standard` (scikit-learn's StandardScaler) or `none`, for the input channels.
        scale_target: the same for the targets as they are predicted.
        train_windows: how many windows to train on; None: all. An epoch is as long as with all: fewer come up more
            often, so that runs with many and with few take the same number of steps.
        train_windows_from: `anywhere` (evenly spread over the training rows) or `stretch` (the last ones, each a step
            after the one before: nearly alike).
        seed: with the epoch's number, the order of the training windows.

    Raises:
        BadInput: naming the value, or the split that is too short for one window.
    """

    def __init__(
        self,
        series: Series,
        *,
        window: int,
        horizon: int,
        batch_size: int = 64,
        val_share: float = 0.15,
        test_share: float = 0.15,
        scale: str = "standard",
        scale_target: str = "standard",
        train_windows: int | None = None,
        train_windows_from: str = "anywhere",
        seed: int = 0,
    ) -> None:
        super().__init__()
        _require_positive(window=window, horizon=horizon, batch_size=batch_size)
        self.series = series
        self.window = window
        self.horizon = horizon
        self.batch_size = batch_size
        self.seed = seed
        self.rows = _split(len(series.values), val_share, test_share)
        for part, rows in self.rows.items():
            _require_windows(_reach(rows, window), window, horizon, part, series.name)
        self._only = _chosen(train_windows, train_windows_from, self._count("train"))
        training = series.values[: self.rows["train"].stop]
        self.input_scaling = _fit(training, standard=SCALERS[scale])
        self.target_scaling = _fit(training[:, : series.num_targets], standard=SCALERS[scale_target])
        self._inputs = _scaled(series.values, self.input_scaling, series.columns)
        self._targets = _scaled(series.values[:, : series.num_targets], self.target_scaling, series.targets)
        only = {"train": self._only}
        self._datasets = {part: self._windows(part, only=only.get(part)) for part in self.rows}

    def dataset(self, part: Part) -> Windows:
        """The windows of one split, in time order."""
        return self._datasets[part]

    def every_window(self, part: Part) -> Windows:
        """All windows of a split, whether or not `train_windows` leaves some out."""
        return self._windows(part)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Windows in an order that derives from (seed, epoch) alone."""
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Windows in time order; in several processes each is counted once."""
        return self._loader("val", shuffle=False)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Windows in time order; in several processes each is counted once."""
        return self._loader("test", shuffle=False)

    def _loader(self, part: Part, *, shuffle: bool) -> DataLoader[Batch]:
        data = self.dataset(part)
        rank, world_size = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = EpochSampler(len(data), seed=self.seed, shuffle=shuffle, rank=rank, world_size=world_size)
        # A generator of its own: a loader without one draws from the global random state at every epoch.
        return DataLoader(
            data,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=as_is,
            generator=torch.Generator(),
        )

    def _windows(self, part: Part, only: torch.Tensor | None = None) -> Windows:
        sizes = {"window": self.window, "horizon": self.horizon}
        return Windows(self._inputs, self._targets, rows=self.rows[part], only=only, **sizes)

    def _count(self, part: Part) -> int:
        """How many windows a split holds."""
        return _reach(self.rows[part], self.window) - self.window - self.horizon + 1


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


def _split(rows: int, val_share: float, test_share: float) -> dict[Part, range]:
    """Cut by time: training first, validation after it, test last."""
    for name, share in {"val_share": val_share, "test_share": test_share}.items():
        if not 0 < share < 1:
            raise BadInput(f"data.{name}={share}: must lie between 0 and 1")
    if val_share + test_share >= 1:
        raise BadInput(f"data.val_share={val_share} and data.test_share={test_share} leave no rows to train on")
    test = rows - round(rows * test_share)
    val = test - round(rows * val_share)
    return {"train": range(val), "val": range(val, test), "test": range(test, rows)}


def _require_windows(rows: int, window: int, horizon: int, part: str, source: str) -> None:
    """Refuse a split too short for one window, with the rows it has and the rows it needs."""
    needed = window + horizon
    if rows < needed:
        raise BadInput(
            f"{source}: {rows} rows reach the {part} split, and one window needs {needed} "
            f"(data.window={window} + data.horizon={horizon})"
        )


def _reach(rows: range, window: int) -> int:
    """The rows that a split's windows may touch: its own, and the window before them where there is a past."""
    return rows.stop - max(rows.start - window, 0)


def _fit(training: NDArray[np.float64], *, standard: bool) -> ChannelScaling:
    """Mean and scale of each channel over the training rows; a constant channel keeps the scale 1."""
    if not standard:
        channels = training.shape[1]
        return ChannelScaling([0.0] * channels, [1.0] * channels)
    fitted = StandardScaler().fit(training)
    return ChannelScaling(fitted.mean_.tolist(), fitted.scale_.tolist())


def _scaled(values: NDArray[np.float64], scaling: ChannelScaling, columns: Sequence[str]) -> torch.Tensor:
    """Scaled in float64, so that 1e9 ± 1 keeps its digits, then float32.

    Raises:
        BadInput: for a column whose changes are finer than float32 can hold at its level.
    """
    scaled = (values - scaling.mean) / scaling.scale
    step = np.spacing(np.abs(scaled).max(axis=0).astype(np.float32))
    for column, coarse, spread in zip(columns, step, scaled.std(axis=0), strict=True):
        if spread > 0 and coarse > COARSEST * spread:
            raise BadInput(f"column {column!r}: its changes are finer than float32 can hold; scale it (standard)")
    return torch.from_numpy(scaled).float()
