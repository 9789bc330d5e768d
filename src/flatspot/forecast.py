"""Forecasts after the end of each series, or after every window, as a table in original units."""

from functools import partial
from typing import Any, Final, NamedTuple, final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_sequence

from flatspot.data.counted import counted
from flatspot.data.frequency import meant_days, parse_frequency
from flatspot.data.later import later_stamps
from flatspot.data.panel import Keys, Panel
from flatspot.data.prepare import Prepared, prepare, refuse_broken_series
from flatspot.data.restore import Known, known_scalings
from flatspot.data.short import without_short
from flatspot.data.stamps import EPOCHS
from flatspot.data.written import as_written, whole_days
from flatspot.errors import BadInput
from flatspot.evaluate import windows_at_once
from flatspot.models.sequence_module import SequenceModule

A_DAY: Final = 86_400_000_000
"""Microseconds."""


@final
class Forecast(NamedTuple):
    """What a network says of rows.

    Args:
        frame: a row a forecast, as `Run.predict` describes it. notes: what was done to the rows, a sentence each.
        form: how the stamps of the rows were written; None: they had a type, or were none.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]
    form: str | None = None

    def written(self) -> pl.DataFrame:
        """The frame with its stamps as text, as the file has them that was read, or else to the precision they need."""
        stamps = [each for each in self.frame if each.dtype == pl.Date or isinstance(each.dtype, pl.Datetime)]
        return self.frame.with_columns(as_written(each, self.form) for each in stamps)


def forecast(
    model: SequenceModule, panel: Panel, known: Known, *, every_origin: bool, short: str = "error"
) -> Forecast:
    """What a network says after the windows of a panel.

    Args:
        panel: in original units, with the columns of the run. known: of the data that the network was trained on.
        every_origin: after every window; else after the end of each series.
        short: a series that is too short for a window: `error`, or `skip`.

    Raises:
        BadInput: naming a series that is too short, or whose last rows have a gap.
    """
    if known.whole and every_origin:
        raise BadInput("every origin (--every-origin): each series has one label, and so one answer")
    if not known.whole:
        panel = without_short(panel, known.window, short, f"data.window={known.window}")
    ends = panel.firsts + panel.lengths
    prepared = prepare(
        panel,
        np.stack([panel.firsts, panel.firsts, panel.firsts, ends], axis=1),
        scale=known.scale,
        scale_target="none",
        calendar=known.calendar,
        window=known.window,
        horizon=known.horizon,
        known=partial(known_scalings, known),
    )
    if known.whole:
        refuse_broken_series(prepared)
        return _told(prepared, _of_series(model, prepared, known))
    starts = _every_start(prepared, known.window) if every_origin else _last_starts(prepared, known.window)
    outputs = _outputs(model, prepared, starts, known.window)
    origins = starts + known.window - 1
    series = np.searchsorted(panel.firsts, origins, side="right") - 1
    where = {"series": np.asarray(panel.series)[series], "origin": _stamps(prepared, origins, series)}
    if known.task != "forecast":
        return _told(prepared, pl.DataFrame({**where, **_answers(outputs, known)}))
    return _told(prepared, _steps(prepared, known, outputs, origins, series))


def _told(prepared: Prepared, frame: pl.DataFrame) -> Forecast:
    """Under the names of the rows that were read, and days as days."""
    panel = prepared.panel
    if _in_days(panel, frame):
        frame = frame.with_columns(pl.col(pl.Datetime).cast(pl.Date))
    return Forecast(_under_own_names(frame, panel.keys), prepared.notes, panel.keys.form)


def _in_days(panel: Panel, frame: pl.DataFrame) -> bool:
    """Whether stamps have no clock; those of rows that had one by their type, or count seconds, keep it."""
    clocked = panel.keys.typed or panel.keys.form in EPOCHS
    if panel.times is None or clocked or "origin" not in frame.columns:
        return False
    step = None if panel.frequency is None else parse_frequency(panel.frequency)
    return (step is None or step.microseconds % A_DAY == 0) and whole_days(frame["origin"])


def _under_own_names(frame: pl.DataFrame, keys: Keys) -> pl.DataFrame:
    """The columns of stamps and of series as in the rows that were read, where no other column has the name."""
    own = {"time": keys.time[0] if len(keys.time) == 1 else None, "series": keys.group}
    for ours, theirs in own.items():
        if theirs is not None and ours in frame.columns and theirs not in frame.columns:
            frame = frame.rename({ours: theirs})
    return frame


def _every_start(prepared: Prepared, window: int) -> NDArray[np.int64]:
    counts = np.maximum(prepared.ends - prepared.starts - window + 1, 0)
    before = counts.cumsum() - counts
    starts = np.repeat(prepared.starts - before, counts) + np.arange(counts.sum())
    ahead = prepared.barred
    starts = starts if ahead is None else starts[~ahead[starts + window - 1]]
    if not len(starts):
        name, rows = prepared.panel.name, prepared.panel.rows
        raise BadInput(
            f"{name}: {counted(rows, 'row')} hold{'s' * (rows == 1)} no whole window of {window} (data.window)"
        )
    return starts


def _last_starts(prepared: Prepared, window: int) -> NDArray[np.int64]:
    """The start of each series' last window."""
    panel = prepared.panel
    ends = panel.firsts + panel.lengths
    whole = np.isin(ends, prepared.ends[prepared.ends - prepared.starts >= window])
    if not whole.all():
        name = panel.series[int((~whole).argmax())]
        rows = int(panel.lengths[~whole][0])
        told = f"has {counted(rows, 'row')}" if rows < window else f"has a gap in its last {window} rows"
        raise BadInput(f"{panel.name}: series {name!r} {told}, and a forecast needs {window} (data.window)")
    return ends - window


@torch.inference_mode()
def _outputs(model: SequenceModule, prepared: Prepared, starts: NDArray[np.int64], window: int) -> Tensor:
    model.eval()
    weights = next(model.parameters())
    steps = torch.arange(window)
    each = window * prepared.inputs.shape[1]
    chunks = torch.split(torch.from_numpy(starts), windows_at_once(each))
    return torch.cat([model(prepared.inputs[first.unsqueeze(1) + steps].to(weights)) for first in chunks]).to("cpu")


@torch.inference_mode()
def _of_series(model: SequenceModule, prepared: Prepared, known: Known) -> pl.DataFrame:
    """What a network says of whole series."""
    model.eval()
    weights = next(model.parameters())
    panel = prepared.panel
    lengths = np.minimum(panel.lengths, known.window)
    rows = [
        prepared.inputs[end - length : end] for end, length in zip(panel.firsts + panel.lengths, lengths, strict=True)
    ]
    size = windows_at_once(known.window * prepared.inputs.shape[1])
    packs = (pack_sequence(rows[first : first + size], enforce_sorted=False) for first in range(0, len(rows), size))
    outputs = torch.cat([model(pack.to(weights)) for pack in packs]).to("cpu")  # type: ignore[arg-type] # as a tensor
    return pl.DataFrame({"series": list(panel.series), **_answers(outputs, known)})


def _answers(outputs: Tensor, known: Known) -> dict[str, Any]:
    """A class and the probability of each, or a number in original units."""
    if known.task == "regress":
        mean, scale = known.targets.table
        return {"prediction": outputs[:, 0, 0].double().numpy() * scale[0, 0] + mean[0, 0]}
    shares = F.softmax(outputs.double(), dim=-1).numpy()
    named = np.asarray(known.classes)[shares.argmax(axis=1)]
    return {"class": named, **{f"probability {name}": shares[:, each] for each, name in enumerate(known.classes)}}


def _steps(
    prepared: Prepared, known: Known, outputs: Tensor, origins: NDArray[np.int64], series: NDArray[np.int64]
) -> pl.DataFrame:
    """A row for each window, target and step."""
    panel = prepared.panel
    mean, scale = prepared.scalings.targets.table
    rows = series if len(mean) > 1 else np.zeros_like(series)
    values = outputs.double().numpy() * scale[rows][:, None] + mean[rows][:, None]
    windows, horizon, targets = values.shape
    step = np.tile(np.arange(1, horizon + 1), windows * targets)
    each = np.repeat(np.arange(windows), horizon * targets)
    frame = pl.DataFrame(
        {
            "series": np.asarray(panel.series)[series][each],
            "target": np.tile(np.repeat(panel.targets, horizon), windows),
            "time": _stamps(prepared, origins, series, known)[each, step - 1] if _dated(panel) else None,
            "step": step,
            "forecast": values.transpose(0, 2, 1).ravel(),
            "origin": _stamps(prepared, origins, series)[each],
        }
    )
    return frame if _dated(panel) else frame.with_columns(pl.lit(None, pl.Datetime("us")).alias("time"))


def _dated(panel: Panel) -> bool:
    """Whether a later step has a time: a stamp, or the number of a row."""
    return panel.times is None or panel.frequency is not None


def _stamps(
    prepared: Prepared, origins: NDArray[np.int64], series: NDArray[np.int64], known: Known | None = None
) -> NDArray[Any]:
    """The stamps of rows, or of the steps after them `[row, step]`; numbers of rows in their series, from 1."""
    panel = prepared.panel
    steps = np.arange(1, known.horizon + 1) if known is not None else None
    if panel.times is None:
        numbers = origins - panel.firsts[series] + 1
        return numbers if steps is None else numbers[:, None] + steps
    stamps: NDArray[Any] = panel.times[origins]
    if steps is None:
        return stamps
    assert panel.frequency is not None  # noqa: S101 - asked before
    if panel.original is not None:  # rows were left out: a forecast is of the rows that follow
        return np.stack([later_stamps(panel, int(count))[origins] for count in steps], axis=1)
    step = parse_frequency(panel.frequency)
    meant = meant_days(panel.times[:], panel.lengths)[origins] if step.months else None
    return np.stack([step.after(stamps, int(count), meant=meant) for count in steps], axis=1)
