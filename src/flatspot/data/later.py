"""The stamps of the rows that follow each row."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flatspot.data.frequency import Step, parse_frequency
from flatspot.data.panel import Panel


def later_stamps(panel: Panel, rows: int) -> NDArray[Any]:
    """The stamp so many rows after each row of a panel with a frequency, `[row]`.

    Where rows were left out, and windows go on across them, it is the later row's own; beyond the last row of a
    stretch that windows lie in, the stamp so many steps after that row.
    """
    assert panel.frequency is not None  # noqa: S101 - asked before
    step, times = parse_frequency(panel.frequency), panel.times[:]
    return step.after(times, rows) if panel.original is None else _of_rows(panel, step, times, rows)


def _of_rows(panel: Panel, step: Step, times: NDArray[Any], rows: int) -> NDArray[Any]:
    edges = np.unique(np.concatenate([panel.firsts, panel.breaks, [panel.rows]]))
    here = np.arange(panel.rows)
    lasts = edges[np.searchsorted(edges, here, side="right")] - 1
    there = np.minimum(here + rows, lasts)
    return step.after(times[there], here + rows - there, like=times)
