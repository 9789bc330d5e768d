"""What a fit did to a network, drawn: a line for each time at which it was looked at, the last one strongest."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

NOTHING: Final = 1e-12
"""Below this is nothing: rounding, drawn in full, would press everything else to the top."""

PALEST: Final = 0.42
"""Where on the scale of colours the first look stands: paler ones are hardly seen on white (contrast below 3)."""

Line = Sequence[float] | NDArray[np.float64]
"""Numbers from left to right."""

Lines = Mapping[int, Line]
"""By optimizer step, a line."""


def diversity_by_station(names: Sequence[str], lines: Lines) -> Figure:
    """How much samples differ on their way from input to output.

    A line that falls and stays down loses the samples' differences at the station where it falls.

    Args:
        names: of the stations, in the order in which a sample comes by. lines: their relative spread.
    """
    figure, axes = _blank()
    places = np.arange(len(names))
    for step, colour, values in _coloured(lines):
        axes.semilogy(
            places,
            _positive(values),
            _style(step),
            marker="o",
            color=colour,
            linewidth=1.6,
            markersize=4,
            label=_named(step),
        )
    axes.set_xticks(places, names, rotation=30 if len(names) > 4 else 0, ha="right" if len(names) > 4 else "center")
    axes.set_ylabel("spread between samples, relative")
    axes.set_title("how different samples are, from input to output", fontsize="medium")
    return _finished(figure, axes)


def sensitivity_by_step(lines: Lines) -> Figure:
    """How much the output follows each step of the input.

    A line that falls steeply towards the left forgets; a level one remembers the whole window.

    Args:
        lines: the sensitivity by time step, the last step last.
    """
    figure, axes = _by_step(lines)
    axes.set_ylabel("sensitivity of the output")
    axes.set_title("how much the output follows each step of the input", fontsize="medium")
    return _finished(figure, axes)


def loss_gradient_by_step(lines: Lines) -> Figure:
    """How much of the loss's gradient comes back to each step of the input, by the most that came back at any time.

    Where a line falls steeply towards the left, nothing is learned from the past, whatever is there. A line sinks as
    the fit gets better.

    Args:
        lines: the gradient by time step, the last step last.
    """
    told = [each for each in np.concatenate([_positive(values) for values in lines.values()]) if np.isfinite(each)]
    unit = max(told, default=1.0)
    figure, axes = _by_step({step: _positive(values) / unit for step, values in lines.items()})
    axes.set_ylabel("gradient of the loss, by its largest")
    axes.set_title("how much of the loss's gradient reaches each step", fontsize="medium")
    return _finished(figure, axes)


def _by_step(lines: Lines) -> tuple[Figure, Axes]:
    """A line for each look over the time steps of the window."""
    figure, axes = _blank()
    for step, colour, values in _coloured(lines):
        axes.semilogy(
            np.arange(-len(values) + 1, 1),
            _positive(values),
            _style(step),
            color=colour,
            linewidth=1.6,
            label=_named(step),
        )
    axes.set_xlabel("time steps before the last")
    return figure, axes


def gate_shares(low: Mapping[str, Lines], high: Mapping[str, Lines]) -> Figure:
    """Share of gate values at their rails, at each time: a bar to the left for below 0.05, to the right for above 0.95.

    Args:
        low, high: by gate, and by optimizer step, one share.
    """
    figure = Figure(figsize=(8, 1.2 + 0.45 * len(low)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = list(low)
    steps = sorted({step for lines in low.values() for step in lines})
    height = 0.8 / max(len(steps), 1)
    for number, (step, colour, _) in enumerate(_coloured({step: [0.0] for step in steps})):
        places = np.arange(len(names)) - 0.4 + height * (number + 0.5)
        for side, table in ((-1, low), (1, high)):
            widths = [side * table[name].get(step, [0.0])[0] for name in names]
            axes.barh(places, widths, height, color=colour, label=_named(step) if side > 0 else None)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(-1, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.set_xlabel("below 0.05 ← share → above 0.95")
    return _finished(figure, axes)


def _blank() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _coloured(
    lines: Lines,
) -> list[tuple[int, tuple[float, float, float, float], Sequence[float] | NDArray[np.float64]]]:
    """The lines in the order of their steps, each with its colour."""
    shades = colormaps["viridis_r"](np.linspace(PALEST, 1, len(lines)))
    return [(step, tuple(shade), lines[step]) for shade, step in zip(shades, sorted(lines), strict=True)]


def _style(step: int) -> str:
    """Before training dashed."""
    return "-" if step else "--"


def _positive(values: Line) -> NDArray[np.float64]:
    """On a logarithmic axis nothing is no point, rather than a point somewhere."""
    array = np.asarray(values, float)
    return np.where(array > 0, array, np.nan)


def _named(step: int) -> str:
    return "before training" if step == 0 else f"after {step:,} steps"


def _finished(figure: Figure, axes: Axes) -> Figure:
    if axes.get_yscale() == "log":
        if axes.get_ylim()[0] < NOTHING < axes.get_ylim()[1]:
            axes.set_ylim(bottom=NOTHING)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", framealpha=0.9)
    return figure
