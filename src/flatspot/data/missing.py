"""Fill missing values within each part of each series, and say which rows stay holes."""

from typing import NamedTuple, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.counted import counted
from flatspot.data.panel import Filling, Panel
from flatspot.data.split import Borders


@final
class Filled(NamedTuple):
    """Rows after missing values were filled.

    Args:
        values: float64 `[row, channel]`, NaN in rows that stay holes.
        holes: rows that no window may hold. looked_ahead: rows that a later value helped to fill. Both `[row]`.
        note: what was done.
    """

    values: NDArray[np.float64]
    holes: NDArray[np.bool_]
    looked_ahead: NDArray[np.bool_]
    note: str


def fill(panel: Panel, borders: Borders) -> Filled | None:
    """Fill the missing values of a panel as its `filling` says; None where there are none.

    Along a line, or with the last value before, up to `most` rows in a row; of a longer gap no row is filled. A line is
    drawn within one part alone, and a gap is as long as it is up to the end of a row's part: nothing after the training
    rows, not even that a value is missing there, reaches one of them.

    Args:
        borders: the rows where the parts of each series begin, `[series, 4]`.
    """
    if panel.filling is None:
        return None
    values = panel.values
    lost = np.isnan(values)
    if not lost.any():
        return None
    parts = _segments(panel, borders, within_parts=True)
    segments = parts if panel.filling.interpolate else _segments(panel, borders, within_parts=False)
    filled = np.column_stack(
        [_column(values[:, each], segments, panel.filling.interpolate) for each in range(values.shape[1])]
    )
    long = np.column_stack(
        [_long(lost[:, each], segments, parts, panel.filling.most) for each in range(values.shape[1])]
    )
    filled[long] = np.nan
    holes: NDArray[np.bool_] = np.asarray(np.isnan(filled).any(axis=1))
    mended = lost & ~np.isnan(filled)
    ahead: NDArray[np.bool_] = np.asarray(mended.any(axis=1))
    note = _told(mended, holes, panel.filling)
    return Filled(filled, holes, ahead & panel.filling.interpolate, note)


def _told(mended: NDArray[np.bool_], holes: NDArray[np.bool_], filling: Filling) -> str:
    rows = int(mended.any(axis=1).sum())
    parts = []
    if rows:
        how = "along the line between neighbours" if filling.interpolate else "with the last value before"
        filled = counted(int(mended.sum()), "missing value")
        parts.append(f"{filled} in {counted(rows, 'row', of=len(holes))} filled {how}")
    if holes.any():
        left_out = counted(int(holes.sum()), "row")
        parts.append(f"{left_out} in longer gaps (data.max_gap={filling.most}) left out: no window spans one")
    return "; ".join(parts)


def _segments(panel: Panel, borders: Borders, *, within_parts: bool) -> NDArray[np.int64]:
    """A number for each stretch of rows that may lend one another a value, `[row]`."""
    cuts = [panel.firsts, panel.breaks, *([borders[:, 1:].ravel()] if within_parts else [])]
    starts = np.zeros(panel.rows + 1, bool)
    starts[np.concatenate(cuts)] = True
    return starts[:-1].cumsum()


def _column(values: NDArray[np.float64], segments: NDArray[np.int64], interpolate: bool) -> NDArray[np.float64]:
    frame = pl.DataFrame({"value": values, "segment": segments}).with_columns(pl.col("value").fill_nan(None))
    value = pl.col("value")
    filling = value.interpolate() if interpolate else value.forward_fill()
    return frame.select(filling.over("segment").fill_null(np.nan))["value"].to_numpy()


def _long(
    lost: NDArray[np.bool_], segments: NDArray[np.int64], parts: NDArray[np.int64], most: int
) -> NDArray[np.bool_]:
    """The rows of gaps of more than `most`, from the gap's first row up to its last one in the row's part."""
    firsts, _ = _stretch_of_each(lost, segments)
    _, ends = _stretch_of_each(lost, parts)
    return lost & (ends - firsts > most)


def _stretch_of_each(lost: NDArray[np.bool_], segments: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Where the rows around each that are missing alike begin and end, within its segment."""
    edges = np.flatnonzero(np.diff(lost) | (np.diff(segments) != 0)) + 1
    cuts = np.concatenate([[0], edges, [len(lost)]])
    sizes = np.diff(cuts)
    return np.repeat(cuts[:-1], sizes), np.repeat(cuts[1:], sizes)
