"""The stamps of the rows that follow each row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatspot.data.frequency import meant_days, parse_frequency
from flatspot.data.panel import Panel


def later_stamps(panel: Panel, rows: int) -> NDArray[Any]:
    """The stamp so many rows after each row of a panel with a frequency, `[row]`.

    Where rows were left out, and windows go on across them, it is the later row's own; beyond the last row of a
    stretch that windows lie in, the stamp so many steps after that row.
    """
    assert panel.frequency is not None  # noqa: S101 - asked before
    step, times = parse_frequency(panel.frequency), panel.times[:]
    meant = meant_days(times, panel.lengths) if step.months else None
    if panel.original is None:
        return step.after(times, rows, meant=meant)
    there, beyond = _of_rows(panel, rows)
    return step.after(times[there], beyond, meant=None if meant is None else meant[there])


def _of_rows(panel: Panel, rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row so many rows after each, at most the last of its stretch, and the steps that are left from there."""
    edges = np.unique(np.concatenate([panel.firsts, panel.breaks, [panel.rows]]))
    here = np.arange(panel.rows)
    lasts = edges[np.searchsorted(edges, here, side="right")] - 1
    there = np.minimum(here + rows, lasts)
    return there, here + rows - there
