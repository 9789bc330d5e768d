"""What a run measured on its way and at its end, drawn from its evidence alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from flatspot.evidence import Measurement
from flatspot.report.curves import diversity_by_station, gate_shares, loss_gradient_by_step, sensitivity_by_step
from flatspot.report.figures import SMALL, small
from flatspot.report.svg import plain
from flatspot.report.text import BASELINES

TRAINING: Final = (
    ("loss", {"train": "loss/train", "val": "loss/val"}, "log"),
    ("diversity ratio", {"train": "diversity/ratio_train", "val": "diversity/ratio_val"}, "linear"),
    ("gradient norm", {"mean": "gradient/total", "largest": "gradient/total_max"}, "log"),
)
"""The axes of the training curves, from top to bottom: what is drawn on each, and its scale."""

COLOURS: Final = {"train": "tab:blue", "val": "tab:red", "mean": "tab:blue", "largest": "tab:cyan"}

ALIKE: Final = 0.1
"""The diversity ratio below which an output counts as flat."""

GATES: Final = ("_shut", "_open")
"""How the shares of gate values at their rails are called."""

UNITS: Final = ("_saturated", "_dead")
"""And those of units."""

Series = Mapping[int, float]
"""By optimizer step, one number."""


def measured(entries: Sequence[Measurement]) -> list[str]:
    """Which of the training curves there are."""
    return [label for label, names, _ in TRAINING if any(over_time(entries, key) for key in names.values())]


def training_curves(entries: Sequence[Measurement]) -> Figure | None:
    """Loss, diversity and gradient on one time axis; None where no epoch has ended."""
    drawn = [
        (label, {name: found for name, key in names.items() if (found := over_time(entries, key))}, scale)
        for label, names, scale in TRAINING
    ]
    drawn = [(label, lines, scale) for label, lines, scale in drawn if lines]
    if not drawn:
        return None
    figure = Figure(figsize=(SMALL[0], 1.1 + 1.4 * len(drawn)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, lines, scale) in zip(grid, drawn, strict=True):
        for name, series in lines.items():
            _line(axes, series, name, COLOURS[name])
        if scale == "log" and all(value > 0 for series in lines.values() for value in series.values()):
            _logarithmic(axes)
        if label == "diversity ratio":
            axes.axhline(ALIKE, color="0.6", linewidth=0.8, linestyle=":")
            axes.set_ylim(bottom=0)
        _furnish(axes, label)
    grid[-1].set_xlabel("optimizer steps")
    return figure


def over_time(entries: Iterable[Measurement], name: str) -> dict[int, float]:
    """A number of each epoch, by the optimizer step at which it ended."""
    return {each.step: each.values[name] for each in entries if each.when == "epoch" and name in each.values}


def errors_by_step(tables: Mapping[str, Mapping[str, Sequence[float | None]]], label: str) -> Figure | None:
    """The MAE at each step of the horizon, beside the baselines'; None of a single step, or where there is no table.

    Args:
        tables: as `by_step` of `metrics.json`: by model and baseline, and by figure, a number a step. label: what the
            errors are of.
    """
    labels = {"model": "model", **dict(BASELINES)}
    known = {name: tables[name]["mae"] for name in labels if name in tables and len(tables[name].get("mae", ())) > 1}
    if "model" not in known:
        return None
    figure = small()
    axes = figure.subplots()
    for name, values in reversed(known.items()):
        shown = {step: value for step, value in enumerate(values, start=1) if value is not None}
        own = name == "model"
        axes.plot(
            list(shown), list(shown.values()), label=labels[name], linewidth=2.0 if own else 1.2, zorder=3 if own else 2
        )
    axes.set_xlabel("step of the horizon")
    _furnish(axes, label)
    return figure


def units(entries: Sequence[Measurement]) -> Figure | None:
    """Shares of units at their rails and of dead ones, of each layer, over the fit; None where there were none."""
    figure = small()
    axes = figure.subplots()
    for kind, style in (("saturated", "-"), ("dead", "--")):
        for name in _named(entries, "activation/", f"_{kind}"):
            series = {each.step: each.values[name] for each in entries if name in each.values}
            layer = name.removeprefix("activation/").removesuffix(f"_{kind}")
            axes.plot(list(series), list(series.values()), style, label=f"{plain(layer)}, {kind}", marker=".")
    if not _any_of(entries, UNITS):
        return None
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("optimizer steps")
    _furnish(axes, "share of units")
    return figure


def gates(entries: Sequence[Measurement]) -> Figure | None:
    """Shares of gate values at their rails at each look; None where there are none.

    Runs of before named them with a space, `activation/gru reset_shut`, where it is a `/` now.
    """
    shares = [
        {
            name.removeprefix("activation/").removesuffix(end).replace("/", " "): {
                each.step: [each.values[name]] for each in entries if name in each.values
            }
            for name in _named(entries, "activation/", end)
        }
        for end in GATES
    ]
    if not _any_of(entries, GATES) or shares[0].keys() != shares[1].keys():
        return None
    return gate_shares(*({plain(name): lines for name, lines in each.items()} for each in shares))


def at_rest(entries: Sequence[Measurement]) -> list[str]:
    """What was looked at and is nowhere: said, and not drawn."""
    said = {
        "No gate value stood at a rail, at any look.": GATES,
        "No unit was saturated or dead, at any look.": UNITS,
    }
    looked = {
        told: any(_named(entries, "activation/", end) for end in ends) and not _any_of(entries, ends)
        for told, ends in said.items()
    }
    return [told for told, so in looked.items() if so]


def _any_of(entries: Sequence[Measurement], ends: Sequence[str]) -> bool:
    """Whether any share that ends so was above 0 at any look."""
    names = [name for end in ends for name in _named(entries, "activation/", end)]
    return any(each.values.get(name, 0.0) > 0 for each in entries for name in names)


def stations(entries: Sequence[Measurement]) -> Figure | None:
    """How different samples are from station to station; None where it was not measured."""
    looks = {each.step: each for each in entries if "station/spread" in each.curves}
    if not looks:
        return None
    names = _stations_of(looks[max(looks)])
    lines = {step: each.curves["station/spread"] for step, each in looks.items() if _stations_of(each) == names}
    return diversity_by_station([plain(each) for each in names], lines)


def _stations_of(look: Measurement) -> list[str]:
    return [name.split("/", 1)[1].removesuffix("/spread") for name in _named([look], "station/", "/spread")]


def sensitivity(entries: Sequence[Measurement]) -> Figure | None:
    """How much the output follows each step of the input; None where it was not measured."""
    lines = _looks(entries, "sensitivity/by_step")
    return sensitivity_by_step(lines) if lines else None


def loss_gradient(entries: Sequence[Measurement]) -> Figure | None:
    """How much of the loss's gradient reaches each step of the input; None where it was not measured."""
    lines = _looks(entries, "loss_gradient/by_step")
    return loss_gradient_by_step(lines) if lines else None


def _looks(entries: Iterable[Measurement], name: str) -> dict[int, Sequence[float]]:
    """A curve at each optimizer step at which it was measured."""
    return {each.step: each.curves[name] for each in entries if name in each.curves}


def _named(entries: Iterable[Measurement], begin: str, end: str) -> list[str]:
    """The names of numbers that begin and end so, in the order in which they came up."""
    names = dict.fromkeys(name for each in entries for name in each.values)
    return [name for name in names if name.startswith(begin) and name.endswith(end)]


def _line(axes: Axes, series: Series, name: str, colour: str) -> None:
    axes.plot(list(series), list(series.values()), color=colour, label=name, linewidth=1.6, marker=".", markersize=4)


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def _furnish(axes: Axes, label: str) -> None:
    axes.set_ylabel(label)
    axes.grid(alpha=0.25)
    axes.legend(fontsize="small", framealpha=0.7)
