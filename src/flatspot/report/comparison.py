"""What a sweep found, drawn: settings against one another."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flatspot.report.figures import SMALL, small
from flatspot.report.svg import plain
from flatspot.report.sweep import Difference, Job
from flatspot.report.text import number

MOST_CELLS: Final = 40
"""Rows or columns beyond which a map cannot be read."""

HALF: Final = 0.47
"""Where between dark and light the text of a cell changes from white to black: a contrast of 4.5 on either side."""

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


@final
@dataclass(frozen=True)
class Map:
    """A figure by two settings.

    Args:
        label: what it is. down, across: the names of the settings. columns: the values of the second. rows: by value of
            the first, each cell's text, its colour, and the colour of its text.
    """

    label: str
    down: str
    across: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[str, str, str]]]]


def map_of(jobs: Sequence[Job], by: tuple[str, str], names: Sequence[str], label: str) -> Map:
    """A figure by two settings, the one with more values down: the mean over seeds and whatever else differs.

    Args:
        by: the settings. names: of the figure in a job's metrics. label: what it is.
    """
    counts = [len({job.settings.get(key, "-") for job in jobs}) for key in by]
    down, across = by if counts[0] >= counts[1] else by[::-1]
    known: dict[tuple[str, str], list[float]] = {}
    for job in jobs:
        place = job.settings.get(down, "-"), job.settings.get(across, "-")
        known.setdefault(place, []).append(job.figure(*names))
    rows, columns = (list(dict.fromkeys(place[side] for place in known)) for side in (0, 1))
    table = {place: _mean(values) for place, values in known.items()}
    shades = _shades(list(table.values()))
    cells = [(row, [_cell(table.get((row, column), math.nan), shades) for column in columns]) for row in rows]
    return Map(label, down, across, columns, cells)


def _mean(found: Sequence[float]) -> float:
    """Of what was measured; NaN of nothing."""
    finite = [each for each in found if math.isfinite(each)]
    return statistics.fmean(finite) if finite else math.nan


def _shades(values: Sequence[float]) -> tuple[float, float]:
    """Where the colours begin and end."""
    known = np.array([each for each in values if math.isfinite(each)])
    return (float(known.min()), min(float(known.max()), _bound(known))) if known.size else (0.0, 1.0)


def _cell(value: float, ends: tuple[float, float]) -> tuple[str, str, str]:
    """Its text, its colour, and that of the text."""
    if not math.isfinite(value):
        return "-", "transparent", "inherit"
    low, high = ends
    share = min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5
    return number(value), to_hex(colormaps["cividis"](share)), "#fff" if share < HALF else "#000"


def _bound(known: NDArray[np.float64]) -> float:
    """Where the colours end: one setting that went astray is not to make all others look alike."""
    return float(known.min() + ASTRAY * (np.median(known) - known.min()) or np.inf)


def intervals(found: Sequence[Difference], label: str) -> Figure:
    """How much more each setting errs than the best one, with its 95 % interval."""
    shown = sorted(found, key=lambda each: each.mean)[:MOST_INTERVALS]
    figure = small()
    figure.set_size_inches(SMALL[0], 1.1 + 0.3 * len(shown))
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
