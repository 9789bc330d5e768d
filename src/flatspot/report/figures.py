"""Figures that people read, drawn without a display."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flatspot.report.forecasts import Forecasts
from flatspot.report.svg import plain

SMALL: Final = (4.6, 3.0)
"""Inches of a chart in a page, so that its text has the page's size."""

GOLDEN: Final = 0.6180339887
"""Multiples of it, less their whole part, lie evenly wherever one stops."""

MOST_NAMED: Final = 20
"""Classes whose names and counts fit into a figure."""


def forecast_examples(kept: Forecasts, *, name: str) -> Figure:
    """Windows, the truth that followed, the forecast, and the forecasts of other windows of the split faint behind.

    Where every faint line is the same curve, the network says one thing whatever it reads.

    Args:
        kept: in original units. name: of the target, for the axis.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2, sharex=True, sharey=not kept.names, squeeze=False).ravel()
    for number, axes in enumerate(grid[: len(kept.examples)]):
        _draw_example(axes, kept, number)
        axes.set_ylim(*_limits(kept, number))
    for axes in grid[len(kept.examples) :]:
        axes.set_visible(False)
    grid[0].legend(loc="upper left", fontsize="small", framealpha=0.9)
    figure.supxlabel("steps from the forecast")
    figure.supylabel(plain(name))
    return figure


def forecast_example(kept: Forecasts, number: int, *, name: str) -> Figure:
    """One of these windows alone, on axes that all windows of its series have in common, for a page."""
    figure = small()
    axes = figure.subplots()
    _draw_example(axes, kept, number, rasterized=True)
    axes.set_ylim(*_limits(kept, number))
    axes.set_xlabel("steps from the forecast")
    axes.set_ylabel(plain(name))
    return figure


def small() -> Figure:
    """A blank figure of a page's size."""
    figure = Figure(figsize=SMALL, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _limits(kept: Forecasts, number: int) -> tuple[float, float] | tuple[None, None]:
    """Of an example's axis: all that is drawn of its series, in its other examples too."""
    own = kept.series[kept.examples] == kept.series[kept.examples[number]]
    parts = [kept.predictions[kept.beside(number)], kept.targets[kept.examples[own]]]
    parts += [] if kept.pasts is None else [kept.pasts[own]]
    shown = np.concatenate([each[np.isfinite(each)] for each in parts])
    if not shown.size:
        return None, None
    room = 0.04 * np.ptp(shown) or 1.0
    return float(shown.min() - room), float(shown.max() + room)


def _draw_example(axes: Axes, kept: Forecasts, number: int, *, rasterized: bool = False) -> None:
    at = kept.examples[number]
    behind, truth, prediction = kept.predictions[kept.beside(number)], kept.targets[at], kept.predictions[at]
    past = None if kept.pasts is None else kept.pasts[number]
    future = np.arange(1, len(truth) + 1)
    _draw_behind(axes, behind, future, rasterized=rasterized)
    if past is not None:
        axes.plot(np.arange(-len(past) + 1, 1), past, color="0.35", linewidth=1.0, label="window")
    marker = "o" if len(truth) == 1 else None
    axes.plot(future, truth, color="tab:blue", linewidth=1.6, label="truth", marker=marker)
    axes.plot(future, prediction, color="tab:red", linewidth=1.8, label="prediction", marker=marker)
    axes.plot([], [], color="tab:orange", alpha=0.5, linewidth=0.8, label=_behind_label(kept, len(behind)))
    axes.axvline(0.5, color="0.7", linewidth=0.8)
    kind = "sample" if past is None else "test window"
    whose = f"{plain(kept.names[number])}: " if kept.names else ""
    axes.set_title(f"{whose}{kind} {kept.numbers[at] + 1} of {kept.total}", fontsize="small")


def answers_by_truth(predictions: NDArray[np.float64], targets: NDArray[np.float64], name: str) -> Figure:
    """Each predicted number by the true one: on the line they are equal, on a level they are one answer for all.

    Args:
        predictions, targets: `[sample]` in original units. name: of the label, for the axes.
    """
    figure = Figure(figsize=(6, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    axes.plot(ends, ends, color="0.7", linewidth=1.0)
    axes.plot(targets, predictions, ".", color="tab:red", alpha=0.4, markersize=4)
    axes.set_xlabel(f"{plain(name)}, true")
    axes.set_ylabel(f"{plain(name)}, predicted")
    return figure


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Figure:
    """Samples by their class and by the class that was named; one full column is one answer for all.

    Args:
        counts: `[truth][named]`. classes: their names.
    """
    figure = Figure(figsize=(6, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    table = np.asarray(counts, float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), label="share of the true class")
    if len(classes) <= MOST_NAMED:
        names = [plain(each) for each in classes]
        axes.set_xticks(range(len(classes)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), names)
        for (row, column), count in np.ndenumerate(table):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=shade)
    axes.set_xlabel("named")
    axes.set_ylabel("true")
    return figure


def _draw_behind(axes: Axes, behind: NDArray[np.float64], future: NDArray[np.int64], *, rasterized: bool) -> None:
    """Other windows' forecasts, faint: lines, or of a single step points, side by side so that all are seen."""
    if len(future) == 1:
        places = 1 + 0.5 * ((np.arange(len(behind)) * GOLDEN) % 1 - 0.5)
        axes.plot(places, behind[:, 0], ".", color="tab:orange", alpha=0.3, markersize=3, rasterized=rasterized)
        return
    faint = np.stack([np.broadcast_to(future, behind.shape), behind], axis=-1)
    lines = LineCollection(list(faint), colors="tab:orange", alpha=0.06, linewidths=0.8, rasterized=rasterized)
    axes.add_collection(lines)


def _behind_label(kept: Forecasts, drawn: int) -> str:
    if kept.names:
        return f"{drawn} predictions of the same series"
    whole = drawn == kept.total
    return "all predictions of the test split" if whole else f"{drawn} of {kept.total} predictions, evenly spread"
