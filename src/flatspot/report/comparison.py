"""What a sweep found, drawn: settings against one another."""

import math
import statistics
from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flatspot.report.figures import small
from flatspot.report.svg import plain
from flatspot.report.sweep import Difference, Job
from flatspot.report.text import number

MOST_CELLS: Final = 40
"""Rows or columns beyond which a map cannot be read."""

ASTRAY: Final = 4.0
"""Times the middle's distance from the least, beyond which figures have one colour."""

MOST_INTERVALS: Final = 30
"""Intervals beyond which a chart of them cannot be read: the nearest to the best are drawn."""


def axes_of(jobs: Sequence[Job], keys: Sequence[str]) -> tuple[str, str] | None:
    """Two settings to lay a map out by: cell and activation where both differ, else the first two; None of fewer."""
    counts = {key: len({job.settings.get(key, "-") for job in jobs}) for key in keys}
    fit = [key for key, count in counts.items() if 2 <= count <= MOST_CELLS]
    first = [key for key in ("model.cell", "model.activation") if key in fit]
    chosen = [*first, *(key for key in fit if key not in first)][:2]
    return (chosen[0], chosen[1]) if len(chosen) == 2 else None


def heat_map(jobs: Sequence[Job], by: tuple[str, str], names: Sequence[str], label: str) -> Figure:
    """A figure by two settings: the mean over seeds and whatever else differs.

    Args:
        by: the settings down and across. names: of the figure in a job's metrics. label: what it is.
    """
    places = [tuple(job.settings.get(key, "-") for key in by) for job in jobs]
    rows, columns = (list(dict.fromkeys(place[side] for place in places)) for side in (0, 1))
    known: dict[tuple[str, ...], list[float]] = {}
    for place, job in zip(places, jobs, strict=True):
        known.setdefault(place, []).append(job.figure(*names))
    table = np.array([[_mean(known.get((row, column), [])) for column in columns] for row in rows])
    return _drawn(table, rows, columns, by, label)


def _mean(found: Sequence[float]) -> float:
    """Of what was measured; NaN of nothing."""
    finite = [each for each in found if math.isfinite(each)]
    return statistics.fmean(finite) if finite else math.nan


def _drawn(
    table: NDArray[np.float64], rows: Sequence[str], columns: Sequence[str], by: tuple[str, str], label: str
) -> Figure:
    figure = Figure(figsize=(max(5.2, 1.6 + 0.75 * len(columns)), 1.3 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    known = table[np.isfinite(table)]
    low, high = (known.min(), min(known.max(), _bound(known))) if known.size else (0.0, 1.0)
    axes.imshow(table, cmap="cividis", aspect="auto", vmin=low, vmax=high)
    axes.set_xticks(range(len(columns)), [plain(each) for each in columns], rotation=30 if len(columns) > 5 else 0)
    axes.set_yticks(range(len(rows)), [plain(each) for each in rows])
    axes.set_xlabel(plain(by[1]))
    axes.set_ylabel(plain(by[0]))
    axes.set_title(label, fontsize="medium")
    for (row, column), value in np.ndenumerate(table):
        text = number(float(value)) if math.isfinite(value) else "-"
        colour = "white" if value < (low + high) / 2 else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize="small", color=colour)
    return figure


def _bound(known: NDArray[np.float64]) -> float:
    """Where the colours end: one setting that went astray is not to make all others look alike."""
    return float(known.min() + ASTRAY * (np.median(known) - known.min()) or np.inf)


def intervals(found: Sequence[Difference], label: str) -> Figure:
    """How much more each setting errs than the best one, with its 95 % interval."""
    shown = sorted(found, key=lambda each: each.mean)[:MOST_INTERVALS]
    figure = small()
    figure.set_size_inches(5.2, 1.1 + 0.3 * len(shown))
    axes = figure.subplots()
    places = np.arange(len(shown))
    axes.errorbar(
        [each.mean for each in shown], places, xerr=[each.half for each in shown], fmt="o", color="tab:red", capsize=3
    )
    axes.axvline(0, color="0.5", linewidth=0.9)
    axes.set_yticks(places, [plain(", ".join(each.values) or "as typed") for each in shown])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(alpha=0.25, axis="x")
    return figure
