"""Figures that people read, drawn without a display."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

EXAMPLES: Final = 4
"""Windows shown in full."""

FAINT: Final = 500
"""Predictions drawn faint behind, all of them up to here: enough to see a fan or a single line."""


MOST_NAMED: Final = 20
"""Classes whose names and counts fit into a figure."""


def examples_of(windows: int) -> NDArray[np.int64]:
    """The numbers of the windows that are shown, evenly spread."""
    return np.unique(np.linspace(0, windows - 1, EXAMPLES).round().astype(np.int64))


def forecast_examples(
    pasts: NDArray[np.float64] | None,
    predictions: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    name: str,
) -> Figure:
    """Windows, the truth that followed, the forecast, and the forecasts of all windows of the split faint behind.

    Where every faint line is the same curve, the network says one thing whatever it reads.

    Args:
        pasts: `[example, step]` in original units, the windows that `examples_of` names; None: they are not drawn.
        predictions, targets: `[window, horizon]` in original units, one for every window of the split, in time order.
        name: of the target, for the axis.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, 2, sharex=True, sharey=True, squeeze=False).ravel()
    behind = predictions[np.unique(np.linspace(0, len(predictions) - 1, FAINT).round().astype(int))]
    chosen = examples_of(len(predictions))
    for axes, number, index in zip(grid, range(len(chosen)), chosen, strict=False):
        past = None if pasts is None else pasts[number]
        _draw_example(axes, past, targets[index], predictions[index], behind, len(predictions))
        kind = "sample" if past is None else "test window"
        axes.set_title(f"{kind} {index + 1} of {len(predictions)}", fontsize="small")
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    grid[0].legend(loc="upper left", fontsize="small", framealpha=0.9)
    figure.supxlabel("steps from the forecast")
    figure.supylabel(name)
    return figure


def _draw_example(
    axes: Axes,
    past: NDArray[np.float64] | None,
    truth: NDArray[np.float64],
    prediction: NDArray[np.float64],
    behind: NDArray[np.float64],
    windows: int,
) -> None:
    future = np.arange(1, len(truth) + 1)
    faint = np.stack([np.broadcast_to(future, behind.shape), behind], axis=-1)
    axes.add_collection(LineCollection(list(faint), colors="tab:orange", alpha=0.06, linewidths=0.8))
    if past is not None:
        axes.plot(np.arange(-len(past) + 1, 1), past, color="0.35", linewidth=1.0, label="window")
    axes.plot(future, truth, color="tab:blue", linewidth=1.6, label="truth")
    axes.plot(future, prediction, color="tab:red", linewidth=1.8, label="prediction")
    axes.plot([], [], color="tab:orange", alpha=0.5, linewidth=0.8, label=_behind_label(len(behind), windows))
    axes.axvline(0.5, color="0.7", linewidth=0.8)


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
    axes.set_xlabel(f"{name}, true")
    axes.set_ylabel(f"{name}, predicted")
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
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        for (row, column), count in np.ndenumerate(table):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:.0f}", ha="center", va="center", color=shade)
    axes.set_xlabel("named")
    axes.set_ylabel("true")
    return figure


def _behind_label(drawn: int, windows: int) -> str:
    return (
        "all predictions of the test split" if drawn == windows else f"{drawn} of {windows} predictions, evenly spread"
    )
