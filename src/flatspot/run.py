"""A finished run, restored from its folder: forecasts and errors of other rows, in original units."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, final
from zipfile import BadZipFile

import numpy as np
import polars as pl
import torch

from flatspot.data.datasets import DATASETS
from flatspot.data.frequency import NO_FREQUENCY
from flatspot.data.keys import module_from_keys
from flatspot.data.mending import Mending
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Panel, panel_of
from flatspot.data.restore import Known
from flatspot.data.roles import NO_TIME
from flatspot.data.sources import Source, as_source
from flatspot.data.tables import read_table
from flatspot.errors import BETWEEN, BadInput, reason
from flatspot.evaluate import Evaluation, evaluate
from flatspot.forecast import Forecast, forecast
from flatspot.kept import MOST_BYTES, own, refuse_expanded, refuse_inflated, write_whole
from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.models import MODELS
from flatspot.models.regressor import Regressor
from flatspot.models.sequence_module import SequenceModule
from flatspot.nn.denormals import flushed
from flatspot.probes.references import Ridge
from flatspot.registry import nearest

CHECKPOINT: Final = "checkpoints/best.ckpt"

REFERENCE: Final = "ridge.npz"

LARGER: Final = 64
"""Times its checkpoint that a network may be said to take."""

OURS: Final = (Forecaster, Regressor, Classifier)
"""Models whose settings we know. Another package's is its own."""

SIZES: Final = ("steps", "count", "longest")
"""What says how many rows a made series has."""

MOST_MADE: Final = 10**8
"""Rows that are made anew for a run."""

WAY_OUT: Final = "give the rows to evaluate with --data"

MADE_SERIES: Final = "series"
"""The column that names the series of rows that are to be like made ones; `predict` calls it so too."""

DATA: Final = SeriesDataModule.__qualname__
"""Where Lightning keeps what the data module gave it."""


def load(folder: str | Path) -> "Run":
    """A run from its folder: weights, scalings and names from its best checkpoint, which runs no code.

    Raises:
        BadInput: naming the folder, if it holds no finished run.

    >>> load("no/such/run")
    Traceback (most recent call last):
    flatspot.errors.BadInput: no/such/run: there is no such run folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such run folder")
    path = folder / CHECKPOINT
    if not path.exists():
        raise BadInput(f"{folder}: holds no {CHECKPOINT}: it is no run folder, or its run did not finish an epoch")
    try:
        refuse_inflated(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        refuse_expanded(checkpoint)
        known = Known.of(checkpoint[DATA])
        _ = [dict(known.source["data"])["name"], *(known.source["shaping"][key] for key in ("short", "season"))]
        build = MODELS[str(known.source["model"])]
        # The engine of the training machine may not be here, and any other gives the same numbers.
        engine = {"engine": "auto"} if "engine" in checkpoint["hyper_parameters"] else {}
        if build in OURS:
            _refuse_larger(checkpoint["hyper_parameters"], len(checkpoint["state_dict"]), path.stat().st_size)
        model = build.load_from_checkpoint(path, map_location="cpu", weights_only=True, **engine)
    except Exception as error:
        told = reason(error).strip().partition("\n")[0]
        raise BadInput(f"{path}: cannot be read as a checkpoint of this version: {told}") from error
    return Run(folder, model.eval(), known)


def _refuse_larger(settings: Mapping[str, Any], tensors: int, size: int) -> None:
    """Before any memory is taken: the network that a stranger's settings describe must be of the size of its weights.

    Args:
        settings: hyperparameters. tensors: how many the checkpoint holds. size: its bytes.

    Raises:
        ValueError: it has more layers than there are weights, or would take far more than they do. Recurrent weights
            are counted as if each unit read all others; where it does not, some of 256 MB are allowed for it.
    """
    layers, units, inputs = (int(settings[name]) for name in ("num_layers", "hidden_size", "inputs"))
    outputs = int(settings.get("horizon", 1)) * int(settings.get("targets", 1))
    if layers > tensors:
        raise ValueError(f"it says that it has {layers:,} layers, and holds {tensors:,} tensors")
    described = 4 * units * (inputs + units + 2 * units * max(layers - 1, 0) + outputs)
    if described > max(MOST_BYTES, LARGER * size) or max(inputs, units, outputs) > max(MOST_BYTES, size):
        raise ValueError("it describes a network that is far larger than its weights")


class Mends(TypedDict, total=False):
    """What may be said of other rows than those of the run: `data` keys, as of a run."""

    missing: str
    max_gap: int
    duplicates: str
    unsorted: str
    short: str


MENDS: Final = tuple(Mends.__annotations__)


@final
class Run:
    """A trained network and what it knows of its data.

    Args:
        folder: the run folder. model: in evaluation mode, on the host. known: of the data it was trained on.
    """

    def __init__(self, folder: Path, model: SequenceModule, known: Known) -> None:
        self.folder = folder
        self.model = model
        self.known = known

    @property
    def own_file(self) -> Path | None:
        """The file that the run was trained on, wherever it stood then; None of made series."""
        path = self.known.source["data"].get("path")
        return None if path is None else Path(path)

    def predict(self, data: object = None, *, every_origin: bool = False, **mending: Unpack[Mends]) -> pl.DataFrame:
        """What the network says of other rows.

        Args:
            data: the path of a CSV or Parquet file, or a frame, with the columns of the run; None: the run's own rows,
                as they stand in its file now.
            every_origin: a forecast after every window, not only after the end of each series.
            mending: `missing`, `max_gap`, `duplicates`, `unsorted` and `short`, as the `data` keys, where they are to
                be others than those of the run.

        Returns:
            Of a forecaster a row a series, target, origin and step: `series`, `target`, `time` (of the forecast;
            missing where the rows have no frequency), `step`, `forecast` in original units, and `origin` (the last
            stamp that was read). `series` and `time` are called as the columns that were read, where that is one
            column and its name is not taken; days have no clock. Without time stamps, origins and times are numbers
            of rows, from 1. Of a regressor `prediction`, of a classifier `class` and the probability of each.

        Raises:
            BadInput: for other columns, another frequency, or a series that is too short.
        """
        return self.forecast(data, every_origin=every_origin, **mending).frame

    def forecast(self, data: object = None, *, every_origin: bool = False, **mending: Unpack[Mends]) -> Forecast:
        """The same as `predict`, with what was done to the rows."""
        panel = self._made(mending) if data is None and self.own_file is None else self._file(data, mending)
        with flushed():
            return forecast(self.model, panel, self.known, every_origin=every_origin, short=self._short(mending))

    def evaluate(self, data: object = None, **mending: Unpack[Mends]) -> Evaluation:
        """The errors over rolling origins, in original units, beside the baselines.

        Args:
            data: the path of a file or a frame, all of it; None: the test rows of the run.
            mending: as for `predict`; the run's own rows are mended as they were.

        Raises:
            BadInput: for other columns, another frequency, or a file of the run that has changed.
        """
        season = self._shaping["season"]
        if data is None:
            _refuse_mending(mending)
        module = self._own_data() if data is None else self._labelled(as_source(data), mending)
        with flushed():  # as in training: the same figures, to the last digit
            return evaluate(self.model, module, ridge=self.ridge, season=season)

    @cached_property
    def ridge(self) -> Ridge:
        """The reference, as it was fitted on the training windows.

        Raises:
            BadInput: if the folder does not hold it.
        """
        ridge = read_reference(self.folder)
        known = self.known
        outputs = (known.horizon, known.targets_first) if known.task == "forecast" else (1, max(len(known.classes), 1))
        sizes = {ridge.coefficients.shape[-1], len(ridge.intercept), prod(outputs)}
        if ridge.horizon != outputs or ridge.coefficients.dim() != 2 or len(sizes) > 1:
            raise BadInput(f"{self.folder / REFERENCE}: is the reference of another run")
        return ridge

    @property
    def _shaping(self) -> Mapping[str, Any]:
        shaping: Mapping[str, Any] = self.known.source["shaping"]
        return shaping

    def _file(self, data: object, mending: Mends) -> Panel:
        """Rows to forecast after."""
        if data is not None:
            return self._read(as_source(data), mending, labelled=False)
        own = self.own_file
        if own is not None and not own.exists():
            raise BadInput(f"{own}: the run's own file is not there any more; name rows with --data")
        source = as_source(own)
        self._refuse_foreign(source)
        return self._read(source, mending, labelled=False)

    def _refuse_foreign(self, source: Source) -> None:
        """A stranger's checkpoint may name any file of this machine: nothing is told of one that is not its own."""
        if not {*self.known.columns} & {*source.columns}:
            raise BadInput(
                f"{source.name}: has none of the run's columns, so it is not its file; name rows with --data"
            )

    def _made(self, mending: Mends) -> Panel:
        """The run's own rows, where these were made and not read."""
        _refuse_mending(mending)
        with self._trusting_nothing():
            return replace(self._own_rows(), labels=None)

    def _own_data(self) -> SeriesDataModule:
        """The rows of the run, split and scaled as they were."""
        task: Any = self.known.task
        if self.own_file is not None and self.own_file.exists():
            self._refuse_foreign(as_source(self.own_file))
        with self._trusting_nothing():
            module = module_from_keys(self._own_rows(), self._shaping, task=task, source=self.known.source)
        if not self.known.same_rows(module.known):
            raise BadInput(f"{module.panel.name}: its rows are not those of the run any more; {WAY_OUT}")
        return module

    def _own_rows(self) -> Panel:
        keys = dict(self.known.source["data"])
        made = prod(max(int(keys.get(name, 1)), 1) for name in SIZES)
        if made > MOST_MADE:
            raise BadInput(f"{self.folder / CHECKPOINT}: what it says of its data is {made:,} rows that are to be made")
        return panel_of(DATASETS[str(keys.pop("name"))](**keys))

    @contextmanager
    def _trusting_nothing(self) -> Iterator[None]:
        """What the checkpoint says of its data may be a stranger's.

        Raises:
            BadInput: with a way out that needs none of it.
        """
        try:
            yield
        except BadInput as error:
            first, *others = str(error).split(BETWEEN)
            raise BadInput(f"{first}; {WAY_OUT}", *others) from error
        except (KeyError, TypeError, ValueError, OverflowError) as error:  # keys of other types than ours
            raise BadInput(f"{self.folder / CHECKPOINT}: what it says of its data is none of a run's") from error

    def _short(self, mending: Mends) -> str:
        """What is done with series that are too short."""
        return mending.get("short", str(self._shaping["short"]))

    def _module(self, panel: Panel, short: str) -> SeriesDataModule:
        known = self.known
        task: Any = known.task
        return SeriesDataModule(
            panel,
            window=known.window,
            horizon=known.horizon or None,
            stride=known.stride,
            scale=known.scale,
            scale_target=known.scale_target,
            calendar=known.calendar,
            short=short,
            task=task,
            known=known,
            source=known.source,
        )

    def _labelled(self, source: Source, mending: Mends) -> SeriesDataModule:
        """Other rows, with their labels if the run has labels."""
        label = self.known.label
        if label and label not in source.columns:
            raise BadInput(f"{source.name}: has no column {label!r} (data.label) to evaluate against")
        panel = self._read(source, mending, labelled=True)
        if label and panel.labels is None:
            raise BadInput(
                f"{source.name}: column {label!r} (data.label) is empty: there is nothing to evaluate against"
            )
        return self._module(panel, self._short(mending))

    def _read(self, source: Source, mending: Mends, *, labelled: bool) -> Panel:
        """Other rows, in the columns of the run and at its frequency; with their labels, or without."""
        known = self.known
        panel = read_table(
            source,
            target=known.columns[: known.targets_first],
            features=known.columns[known.targets_first :],
            time=known.time or (None if known.frequency else NO_TIME),
            group=known.group or (MADE_SERIES if len(known.series) > 1 else None),
            label=(known.label or None) if labelled else None,
            label_per="series" if known.whole else "window" if known.label else None,
            mending=self._mending(mending),
            anew=True,
            form=known.form,
        )
        if known.frequency is not None and panel.times is None:
            raise BadInput(f"{panel.name}: has no time stamps, and the rows of the run are {known.frequency} apart")
        if panel.frequency not in (None, known.frequency):
            apart = known.frequency or "in row order"
            raise BadInput(f"{panel.name}: its rows are {panel.frequency} apart, and those of the run {apart}")
        return replace(panel, frequency=known.frequency)

    def _mending(self, asked: Mends) -> Mending:
        """What may be done to other rows: as to those of the run, or as is asked."""
        known, keys = self.known, self.known.source["data"]
        for key, value in asked.items():
            if key not in MENDS:
                raise BadInput(f"data.{key}={value}: cannot be said of other rows; {nearest(key, list(MENDS))}")
            if key == "max_gap" and not isinstance(value, int):
                raise BadInput(f"data.max_gap={value}: must be a whole number")
        mended: dict[str, Any] = {name: keys[name] for name in MENDS if name in keys} | asked
        mended.pop("short", None)  # windows', not rows'
        by_order = known.time and known.frequency is None
        frequency = NO_FREQUENCY if by_order else keys.get("frequency")
        return Mending(**mended, frequency=frequency, inferred=None if frequency else known.frequency)


def _refuse_mending(mending: Mends) -> None:
    """What was done to the run's own rows is done."""
    for key, value in mending.items():
        raise BadInput(f"data.{key}={value}: is for other rows (--data); the run's own are mended as they were")


def write_reference(folder: Path, ridge: Ridge) -> None:
    """Keep the reference in a run folder: numbers alone, no pickle."""

    def write(half: Path) -> None:
        with half.open("wb") as file:  # given a path, NumPy puts .npz behind it
            np.savez(
                file,
                coefficients=ridge.coefficients.numpy(),
                intercept=ridge.intercept.numpy(),
                penalty=np.asarray(ridge.penalty),
                horizon=np.asarray(ridge.horizon),
            )

    write_whole(folder / REFERENCE, write)


def read_reference(folder: Path) -> Ridge:
    """The reference of a run folder.

    Raises:
        BadInput: if there is none that can be read.
    """
    path = own(folder, REFERENCE)
    try:
        refuse_inflated(path)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            coefficients, intercept = (torch.from_numpy(held[name]) for name in ("coefficients", "intercept"))
            return Ridge(coefficients, intercept, float(held["penalty"]), tuple(held["horizon"].tolist()))
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: cannot be read as the run's reference: {error}") from error
