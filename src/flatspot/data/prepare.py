"""From a panel to what windows are cut from: one scaled float32 tensor, and the rows where windows may start."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from flatspot.data.calendar import CALENDAR, calendar_columns, calendar_values
from flatspot.data.later import later_stamps
from flatspot.data.missing import Filled, fill
from flatspot.data.panel import Panel
from flatspot.data.scaling import PER_SERIES, SCALINGS, ChannelScaling, fit_per_series, fit_scaling
from flatspot.data.split import Borders
from flatspot.data.windows import Runs, runs_between
from flatspot.errors import BadInput

COARSEST: Final = 0.1
"""float32's step, as a share of a column's spread, beyond which its changes are lost."""

ROUNDING: Final = 1e-4
"""float64's rounding, as a share of float32's step: less is no change."""

CHUNK: Final = 2**16
"""Rows that are scaled at a time."""


LOOKED_AT: Final = 2**9
"""Rows of a chunk, evenly spread, that tell whether float32 is too coarse."""


@final
@dataclass(frozen=True)
class Scalings:
    """Both scalings of a run.

    Args:
        inputs: of the channels, those of the calendar among them (as they are). targets: of the targets as predicted.
        per_series: whether the targets of each series have their own. notes: what there is to say of them.
    """

    inputs: ChannelScaling
    targets: ChannelScaling
    per_series: bool = False
    notes: tuple[str, ...] = ()


Earlier = Callable[[Panel, NDArray[np.int64]], Scalings]
"""Scalings of an earlier run, for a panel and the rows that each series' first forecast rests on."""


@final
@dataclass(frozen=True)
class Prepared:
    """A panel without its rows in original units: they are `targets`, scaled.

    Args:
        panel: the rest of it, without rows. columns: of the inputs, the calendar's too.
        inputs: `[row, channel]`, targets: `[row, target]`, float32, scaled.
        scalings: how. spread: std of each target in the training rows, in original units.
        borders: the rows where the parts of each series begin, `[series, 4]`.
        starts, ends, owners: stretches that a window may lie in, and the series of each.
        barred: rows that no window ends on: a later value helped to fill them, or they have no label.
        notes: what was done.
    """

    panel: Panel
    columns: tuple[str, ...]
    inputs: torch.Tensor
    targets: torch.Tensor
    scalings: Scalings
    borders: Borders
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    owners: NDArray[np.int64]
    barred: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = field(default=())

    def runs(self, part: int, window: int, horizon: int, stride: int = 1) -> Runs:
        """Where windows start whose targets are all of one part; their inputs may reach back before it.

        Args:
            part: 0 training, 1 validation, 2 test. horizon: 0 where the label of a window's last row is wanted.
        """
        begins, stops = self.borders[self.owners, part], self.borders[self.owners, part + 1]
        lead = window if horizon else window - 1
        lows = np.maximum(self.starts, begins - lead)
        highs = np.minimum(self.ends, stops) - window - horizon
        if self.barred is None:
            return runs_between(lows, highs, stride)
        allowed = np.ones(len(self.barred), bool)
        allowed[: len(allowed) - window + 1] = ~self.barred[window - 1 :]
        return runs_between(lows, highs, stride, allowed)


def prepare(
    panel: Panel,
    borders: Borders,
    *,
    scale: str,
    scale_target: str,
    calendar: Sequence[str] = (),
    window: int = 1,
    horizon: int = 0,
    known: Earlier | None = None,
    spend: bool = False,
) -> Prepared:
    """Fill, scale and cut a panel.

    Args:
        panel: in original units. borders: the rows where the parts of each series begin.
        scale, scale_target: by name. known: scalings that were fitted before.
        calendar: features of the calendar, added to the inputs: at every step those of the step `horizon` steps
            later, since they are known in advance; where the rows have no frequency, those of the step itself.
        window: where scalings are per series, a series without training rows is scaled by its first whole window.
        spend: let go of the panel's rows as they are scaled.

    Raises:
        BadInput: for a column without a training value, one whose changes are finer than float32 can hold, or a
            calendar without time stamps.
    """
    for name in (scale, scale_target):
        _ = SCALINGS[name]
    filled = fill(panel, borders)
    if filled is not None:
        if spend:
            panel.blocks.clear()
        panel = replace(panel, blocks=[filled.values], base=None, notes=(*panel.notes, filled.note))
    if known is None and filled is not None:
        _refuse_missing(panel, borders)
    starts, ends = _stretches(panel, filled)
    early = before_first_forecast(panel, window, starts, ends)
    added = len(calendar_columns(calendar))
    scalings = known(panel, early) if known else _fitted(panel, borders, scale, scale_target, added, early)
    moments = _calendar_moments(panel, calendar, horizon)
    inputs, targets = _scaled(panel, scalings, moments, calendar, spend=spend)
    if filled is not None and filled.holes.any():
        inputs[torch.from_numpy(filled.holes)] = 0.0
        targets[torch.from_numpy(filled.holes)] = 0.0
    return Prepared(
        panel=replace(panel, blocks=[]),
        columns=(*panel.columns, *calendar_columns(calendar)),
        inputs=inputs,
        targets=targets,
        scalings=scalings,
        borders=borders,
        starts=starts,
        ends=ends,
        owners=np.searchsorted(panel.firsts, starts, side="right") - 1,
        barred=filled.looked_ahead if filled is not None and filled.looked_ahead.any() else None,
        notes=(*panel.notes, *(scalings.notes if known else _untrained(panel, borders, {scale, scale_target}, window))),
    )


def _untrained(panel: Panel, borders: Borders, names: Collection[str], window: int) -> list[str]:
    """What is done with series that end where training does not begin."""
    late = int((borders[:, 0] == borders[:, 1]).sum())
    if not late or PER_SERIES not in names or (panel.labels is not None and panel.labels.per == "series"):
        return []
    return [f"{late:,} series without training rows: each is scaled by its first {window} rows"]


def _stretches(panel: Panel, filled: Filled | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last-but-one rows of the stretches that windows may lie in."""
    holes = np.flatnonzero(filled.holes) if filled is not None else np.zeros(0, np.int64)
    edges = np.unique(np.concatenate([panel.firsts, panel.breaks, holes, holes + 1, [panel.rows]]))
    starts, ends = edges[:-1], edges[1:]
    whole = ~np.isin(starts, holes)
    return starts[whole], ends[whole]


def before_first_forecast(
    panel: Panel, window: int, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The rows `[start, stop)` of each series that its first forecast rests on, `[series, 2]`: its first whole window.

    Where it has none, its first rows, as many as a window has.

    Args:
        starts, ends: of the stretches that windows may lie in.
    """
    spans = np.stack([panel.firsts, panel.firsts + np.minimum(panel.lengths, window)], axis=1)
    whole = starts[ends - starts >= window]
    owners, places = np.unique(np.searchsorted(panel.firsts, whole, side="right") - 1, return_index=True)
    spans[owners] = whole[places][:, None] + np.array([0, window])
    return spans


def or_else(spans: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each series the rows of its span, or of the other where it has none."""
    return np.where((spans[:, 0] == spans[:, 1])[:, None], others, spans)


def refuse_broken_series(prepared: Prepared) -> None:
    """A series that is labelled as a whole needs all of its rows.

    Raises:
        BadInput: naming the first that has a gap.
    """
    panel, owners = prepared.panel, prepared.owners
    held = np.bincount(owners, prepared.ends - prepared.starts, len(panel.lengths))
    broken = (held < panel.lengths) | (np.bincount(owners, minlength=len(held)) > 1)
    if broken.any():
        raise BadInput(
            f"{panel.name}: series {panel.series[int(broken.argmax())]!r} has a gap that is not filled (data.missing, "
            f"data.max_gap), and the whole series is labelled"
        )


def _refuse_missing(panel: Panel, borders: Borders) -> None:
    """Refuse training rows that all miss a value: of one column, if there is one that has none."""
    there = np.isfinite(panel.values[_inside(panel, borders[:, :2])])
    if there.all(axis=1).any():
        return
    empty = ~there.any(axis=0)
    if empty.any():
        raise BadInput(f"{panel.name}: column {panel.columns[int(empty.argmax())]!r} has no value in the training rows")
    missing = ", ".join(repr(name) for place, name in enumerate(panel.columns) if not there[:, place].all())
    raise BadInput(
        f"{panel.name}: every training row misses a value that is not filled (columns {missing}; data.missing, "
        f"data.max_gap)"
    )


def _fitted(
    panel: Panel, borders: Borders, scale: str, scale_target: str, added: int, early: NDArray[np.int64]
) -> Scalings:
    """Both scalings, on the training rows; the calendar stays as it is."""
    spans = borders[:, :2]
    of_each = or_else(spans, early)
    inputs = _fit(panel, of_each if scale == PER_SERIES else spans, scale, len(panel.columns))
    own = of_each if scale_target == PER_SERIES else spans
    targets = inputs if scale_target == scale else _fit(panel, own, scale_target, panel.num_targets)
    mean, scale_of = inputs.table
    zeros = np.zeros((len(mean), added))
    wide = np.hstack([mean, zeros]), np.hstack([scale_of, zeros + 1])
    narrow = (table[:, : panel.num_targets] for table in targets.table)
    return Scalings(_plain(*wide, like=inputs), _plain(*narrow, like=targets), scale_target == PER_SERIES)


def _plain(mean: NDArray[np.float64], scale: NDArray[np.float64], *, like: ChannelScaling) -> ChannelScaling:
    nested = isinstance(like.mean[0], list) if like.mean else False
    return ChannelScaling((mean if nested else mean[0]).tolist(), (scale if nested else scale[0]).tolist())


def _fit(panel: Panel, spans: NDArray[np.int64], name: str, channels: int) -> ChannelScaling:
    if not channels:
        return ChannelScaling([], [])
    if name == PER_SERIES:
        return fit_per_series(panel.values[:, :channels], spans)
    base = np.zeros(channels) if panel.base is None else panel.base[:channels]
    return fit_scaling(name, _rows_in(panel, spans, channels), base)


def _rows_in(panel: Panel, spans: NDArray[np.int64], channels: int) -> Iterator[NDArray[Any]]:
    """The whole rows within the spans, less the panel's base, a stretch at a time."""
    inside = _inside(panel, spans)
    first = 0
    for block in panel.blocks:
        for start in range(0, len(block), CHUNK):
            rows = block[start : start + CHUNK, :channels]
            chosen = inside[first + start : first + start + len(rows)]
            kept = rows if chosen.all() else rows[chosen]
            whole = kept if np.isfinite(kept.sum()) else kept[np.isfinite(kept).all(axis=1)]
            if len(whole):
                yield whole
        first += len(block)


def _inside(panel: Panel, spans: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows are within the spans, `[row]`."""
    if len(spans) == 1:
        inside = np.zeros(panel.rows, bool)
        inside[spans[0, 0] : spans[0, 1]] = True
        return inside
    marks = np.zeros(panel.rows + 1, np.int8)
    np.add.at(marks, spans[:, 0], 1)
    np.add.at(marks, spans[:, 1], -1)
    return marks[:-1].cumsum(dtype=np.int8).astype(bool)


def _calendar_moments(panel: Panel, calendar: Sequence[str], horizon: int) -> Any:  # noqa: ANN401 - by index
    """The stamps whose calendar each row tells."""
    for name in calendar:
        _ = CALENDAR[name]
    if not calendar:
        return None
    if panel.times is None:
        raise BadInput(f"data.calendar=[{', '.join(calendar)}]: {panel.name} has no time stamps (data.time)")
    if panel.frequency is None or not horizon:
        return panel.times
    return later_stamps(panel, horizon)


def _scaled(
    panel: Panel,
    scalings: Scalings,
    moments: Any,  # noqa: ANN401 - stamps by index
    calendar: Sequence[str],
    *,
    spend: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scaled rows, float32; targets are no copy where they scale alike."""
    rows, own = panel.rows, len(panel.columns)
    alike = _alike(scalings, panel.num_targets)
    inputs = torch.empty(rows, own + len(calendar_columns(calendar)))
    targets = inputs[:, : panel.num_targets] if alike else torch.empty(rows, panel.num_targets)
    owners = torch.from_numpy(panel.series_of_rows()) if len(panel.lengths) > 1 else None
    extremes = [_Extremes(), _Extremes()]
    for first, block in _chunks(panel, spend=spend):
        span = slice(first, first + len(block))
        of = None if owners is None else owners[span]
        inputs[span, :own] = extremes[0].seen(_apply(block, panel.base, scalings.inputs, of))
        if not alike:
            targets[span] = extremes[1].seen(_apply(block[:, : panel.num_targets], panel.base, scalings.targets, of))
        if calendar:
            inputs[span, own:] = torch.from_numpy(calendar_values(calendar, moments[span])).float()
    extremes[0].refuse_coarse(panel.columns)
    extremes[1].refuse_coarse(panel.targets)
    return inputs, targets


def _alike(scalings: Scalings, targets: int) -> bool:
    """Whether the first channels are the targets as they are predicted."""
    inputs, own = scalings.inputs.table, scalings.targets.table
    return all(
        len(one) == len(other) and np.array_equal(one[:, :targets], other)
        for one, other in zip(inputs, own, strict=True)
    )


def _chunks(panel: Panel, *, spend: bool) -> Iterator[tuple[int, torch.Tensor]]:
    """The rows less the panel's base, with the number of the first."""
    blocks = panel.blocks if spend else list(panel.blocks)
    first = 0
    while blocks:
        block = blocks.pop(0)
        for start in range(0, len(block), CHUNK):
            yield first + start, torch.from_numpy(block[start : start + CHUNK])
        first += len(block)


def _apply(
    chunk: torch.Tensor, base: NDArray[np.float64] | None, scaling: ChannelScaling, owners: torch.Tensor | None
) -> torch.Tensor:
    """Scaled `[row, channel]`: in float64, so that 1e9 ± 1 keeps its digits; rows less their base have lost no more."""
    channels = chunk.shape[1]
    mean, scale = (torch.from_numpy(each)[:, :channels] for each in scaling.table)
    if len(mean) > 1 and owners is not None:
        mean, scale = mean[owners], scale[owners]
    level = mean if base is None else mean - torch.from_numpy(base)[:channels]
    return (chunk - level.to(chunk.dtype)).div_(scale.to(chunk.dtype))


@final
class _Extremes:
    """Size and spread of scaled columns, to tell where float32 is too coarse."""

    def __init__(self) -> None:
        self._largest: NDArray[np.float64] | None = None
        self._spread: NDArray[np.float64] | None = None

    def seen(self, scaled: torch.Tensor) -> torch.Tensor:
        """Look at rows of a chunk, and hand it on."""
        looked = scaled[:: max(len(scaled) // LOOKED_AT, 1)].numpy()
        whole = looked[np.isfinite(looked).all(axis=1)]
        if len(whole):
            largest, spread = np.abs(whole).max(axis=0), whole.std(axis=0)
            self._largest = largest if self._largest is None else np.maximum(self._largest, largest)
            self._spread = spread if self._spread is None else np.maximum(self._spread, spread)
        return scaled

    def refuse_coarse(self, columns: Sequence[str]) -> None:
        """Refuse a column whose changes are finer than float32 can hold at its level."""
        if self._largest is None or self._spread is None:
            return
        steps = np.spacing(self._largest.astype(np.float32))
        for column, coarse, spread in zip(columns, steps, self._spread, strict=False):
            if spread > ROUNDING * coarse and coarse > COARSEST * spread:
                raise BadInput(f"column {column!r}: its changes are finer than float32 can hold; scale it (standard)")


def refuse_coarse(scaled: NDArray[np.float64], columns: Sequence[str]) -> None:
    """Refuse a column of scaled rows `[row, column]` whose changes are finer than float32 can hold at its level.

    Raises:
        BadInput: naming the column.
    """
    extremes = _Extremes()
    extremes.seen(torch.from_numpy(scaled))
    extremes.refuse_coarse(columns)
