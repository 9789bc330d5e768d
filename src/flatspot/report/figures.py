"""Figures that people read, drawn without a display."""

from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

EXAMPLES: Final = 4
"""Windows shown in full."""

FAINT: Final = 500
"""Predictions drawn faint behind, all of them up to here: enough to see a fan or a single line."""


def forecast_examples(
    series: NDArray[np.float64],
    predictions: NDArray[np.float64],
    first_row: int,
    *,
    window: int,
    name: str,
) -> Figure:
    """Windows, the truth that followed, the forecast, and the forecasts of all windows of the split faint behind.

    Where every faint line is the same curve, the network says one thing whatever it reads.

    Args:
        series: `[time]` in original units.
        predictions: `[window, horizon]` in original units, one for every window of the split, in time order.
        first_row: the row of the series where the first window starts.
        window: steps of a window.
        name: of the series, for the axis.
    """
    figure = Figure(figsize=(11, 6), layout="constrained")
    FigureCanvasAgg(figure)
    chosen = np.unique(np.linspace(0, len(predictions) - 1, EXAMPLES).round().astype(int))
    grid = figure.subplots(2, 2, sharex=True, sharey=True, squeeze=False).ravel()
    behind = predictions[np.unique(np.linspace(0, len(predictions) - 1, FAINT).round().astype(int))]
    for axes, index in zip(grid, chosen, strict=False):
        _draw_example(axes, series, predictions, behind, first_row + int(index), int(index), window)
    for axes in grid[len(chosen) :]:
        axes.set_visible(False)
    grid[0].legend(loc="upper left", fontsize="small", framealpha=0.9)
    figure.supxlabel("steps from the forecast")
    figure.supylabel(name)
    return figure


def _draw_example(
    axes: object,
    series: NDArray[np.float64],
    predictions: NDArray[np.float64],
    behind: NDArray[np.float64],
    start: int,
    index: int,
    window: int,
) -> None:
    horizon = predictions.shape[1]
    past, future = np.arange(-window + 1, 1), np.arange(1, horizon + 1)
    cut = start + window
    draw = axes.plot  # type: ignore[attr-defined]
    draw(future, behind.T, color="tab:orange", alpha=0.06, linewidth=0.8)
    draw(past, series[start:cut], color="0.35", linewidth=1.0, label="window")
    draw(future, series[cut : cut + horizon], color="tab:blue", linewidth=1.6, label="truth")
    draw(future, predictions[index], color="tab:red", linewidth=1.8, label="prediction")
    draw([], [], color="tab:orange", alpha=0.5, linewidth=0.8, label=_behind_label(len(behind), len(predictions)))
    axes.axvline(0.5, color="0.7", linewidth=0.8)  # type: ignore[attr-defined]
    axes.set_title(f"test window {index + 1} of {len(predictions)}", fontsize="small")  # type: ignore[attr-defined]


def _behind_label(drawn: int, windows: int) -> str:
    return (
        "all predictions of the test split" if drawn == windows else f"{drawn} of {windows} predictions, evenly spread"
    )
