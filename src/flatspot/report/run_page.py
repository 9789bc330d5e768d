"""A run as one page of HTML that needs nothing else: what it answered, how well, and what became of it on the way."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from flatspot.diagnosis import Diagnosis
from flatspot.evidence import Measurement
from flatspot.report import progress
from flatspot.report.figures import SMALL, answers_by_truth, confusion_matrix, forecast_example
from flatspot.report.forecasts import Forecasts
from flatspot.report.page import template, told_of
from flatspot.report.svg import plain, svg_of
from flatspot.report.text import beside_the_best, error_rows, number, series_rows

KEY: Final = (
    ("#595959", "the window"),
    ("#1f77b4", "what came"),
    ("#d62728", "the forecast"),
    ("#ff7f0e", "forecasts of other windows, faint"),
)
"""The colours of a forecast's lines."""

IN_SIGHT: Final = 10
"""Series whose errors are shown at once."""

MOST_SERIES: Final = 500
"""Series whose errors are in the page."""


@final
@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds, read.

    Args:
        name: of the folder. diagnosis: what the rules make of the evidence. evidence: the last value of every name.
        entries: all measurements in order. metrics: of `metrics.json`; None where the run did not end well.
        config: the resolved configuration as YAML; empty where there is none. settings: the same as plain values.
        forecasts: those that were kept; None: none were. notes: what there is to know about the run itself.
        version: of the flatspot that writes the page.
    """

    name: str
    diagnosis: Diagnosis
    evidence: Mapping[str, float]
    entries: Sequence[Measurement]
    metrics: Mapping[str, Any] | None = None
    config: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    forecasts: Forecasts | None = None
    notes: Sequence[str] = ()
    version: str = ""


def check_metrics(held: Mapping[str, Any]) -> None:
    """Refuse figures of which no page can be made: they may be a stranger's.

    Raises:
        KeyError, TypeError, ValueError: for what is missing, or is no number where there must be one.
    """
    tables = [held["test"], *held["baseline"].values(), held.get("diversity", {})]
    numbers = [each for table in tables for each in table.values()]
    for table in held.get("by_step", {}).values():
        numbers += [each for values in table.values() for each in values]
    for name in ("by_series", "baseline_by_series"):
        numbers += [each for figures in held.get(name, {}).values() for each in figures.values()]
    numbers += [each for row in held.get("confusion", ()) for each in row]
    numbers += [held[name] for name in ("steps", "fit_seconds", "seconds") if name in held]
    wrong = [each for each in numbers if each is not None and not (isinstance(each, (int, float)) and _finite(each))]
    if wrong:
        raise TypeError(f"{wrong[0]!r:.40} is no number")
    if not all(isinstance(each["cause"], str) for each in held.get("findings", ())):
        raise TypeError("a cause is no text")
    if not isinstance(held["verdict"], str):
        raise TypeError("the verdict is no text")
    about = held.get("about", {})
    targets = about.get("targets", []) if isinstance(about, Mapping) else None
    if not isinstance(targets, list) or not all(isinstance(each, str) for each in targets):
        raise TypeError("about is no table, or a target no text")
    _check_confusion(held.get("confusion", ()), held.get("classes", ()))


def _finite(each: float) -> bool:
    """Whether it is a number that can be reckoned with: JSON has whole ones of any length."""
    try:
        return math.isfinite(each)
    except OverflowError:
        return False


def _check_confusion(counts: Sequence[Sequence[float | None]], classes: Sequence[str]) -> None:
    square = all(len(row) == len(classes) and None not in row for row in counts)
    if len(counts) != len(classes) or not square or not all(isinstance(each, str) for each in classes):
        raise ValueError("who was taken for whom is no table of the classes")


def run_page(run: RunRecord) -> str:
    """The page."""
    draw = _Charts()
    return template("run.html").render(
        told_of(run.diagnosis, run.evidence),
        script=None,
        name=run.name,
        lead=_lead(run),
        notes=run.notes,
        sameness=_sameness(run, draw),
        errors=_errors(run),
        by_series=_by_series(run),
        sections=[each for each in _sections(run, draw) if each["charts"] or each["notes"]],
        about=list(_about(run)),
        config=run.config,
        version=run.version,
    )


@final
class _Charts:
    """Draws figures, each under a number of its own."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self, figure: Figure, label: str, size: tuple[float, float] | None = None) -> Markup:
        if size is not None:
            figure.set_size_inches(*size)
        self.drawn += 1
        return svg_of(figure, self.drawn, label)


def _lead(run: RunRecord) -> str:
    """Who answered, and to what."""
    told = _of(run.metrics, "about")
    targets = ", ".join(told.get("targets", ())) or "the target"
    model = told.get("model", "the model")
    if run.metrics is None:
        return f"{run.name}: no test was made."
    errs = "".join(f" It errs {each}." for each in beside_the_best(run.metrics))
    return f"{run.name}: {model}, {targets}.{errs}"


def _of(metrics: Mapping[str, Any] | None, name: str) -> Mapping[str, Any]:
    found = (metrics or {}).get(name)
    return found if isinstance(found, Mapping) else {}


def _targets(run: RunRecord) -> list[str]:
    return list(_of(run.metrics, "about").get("targets", ())) or ["the target"]


def _target(run: RunRecord) -> str:
    """The one that is drawn."""
    return _targets(run)[0]


def _sameness(run: RunRecord, draw: _Charts) -> dict[str, Any] | None:
    """Where it is seen whether all answers are one."""
    metrics, kept = run.metrics or {}, run.forecasts
    if "confusion" in metrics:
        chart = draw(confusion_matrix(metrics["confusion"], metrics["classes"]), "true classes by named ones", SMALL)
        text = "One full column is one answer for every input."
        return {"title": "Which class was named", "text": text, "key": (), "charts": [chart]}
    if kept is None:
        return None
    if kept.pasts is None:
        figure = answers_by_truth(kept.predictions[:, 0], kept.targets[:, 0], _target(run))
        charts = [draw(figure, "predicted numbers by true ones", (4.2, 4.2))]
        text = "On the line both are equal; points on a level are one answer for every input."
        return {"title": "Answers by truth", "text": text, "key": (), "charts": charts}
    charts = [
        draw(
            forecast_example(kept, at, name=_target(run)),
            _shown_in(kept, at, place),
        )
        for at, place in enumerate(kept.examples)
    ]
    return {
        "title": "Forecasts of the test windows",
        "text": f"{_which(run)}{_behind(kept)} Where they are one curve, the network says the same whatever it reads; "
        "where they fan out, it follows its input.",
        "key": KEY,
        "charts": charts,
    }


def _which(run: RunRecord) -> str:
    """Which of several targets is drawn."""
    targets = _targets(run)
    return f"Of the first of {len(targets)} targets, {targets[0]}. " if len(targets) > 1 else ""


def _behind(kept: Forecasts) -> str:
    lost = int((~np.isfinite(kept.predictions)).any(axis=1).sum())
    said = f" {lost} of the {len(kept.predictions)} kept are not finite, and not drawn." if lost else ""
    if kept.names:
        return f"Behind each stand forecasts of other windows of its series; each series has axes of its own.{said}"
    return f"Behind each stand {len(kept.predictions)} of all {kept.total:,} forecasts.{said}"


def _shown_in(kept: Forecasts, example: int, place: int) -> str:
    whose = f" (series {kept.names[example]})" if kept.names else ""
    return (
        f"window {kept.numbers[place] + 1} of {kept.total}{whose}: what it held, what came, the forecast, and behind "
        f"them {len(kept.beside(example))} forecasts of other windows"
    )


def _errors(run: RunRecord) -> dict[str, Any] | None:
    if run.metrics is None:
        return None
    model = str(_of(run.metrics, "about").get("model", "model"))
    head, rows = error_rows(run.metrics["test"], run.metrics["baseline"], model=model)
    return {"head": ["on the test rows", *head], "rows": rows}


def _by_series(run: RunRecord) -> dict[str, Any] | None:
    """The errors of each series beside its best baseline: some in sight, more on request."""
    found = series_rows(_of(run.metrics, "by_series"), _of(run.metrics, "baseline_by_series"))
    if found is None:
        return None
    head, rows = found
    left = len(rows) - MOST_SERIES
    return {
        "head": head,
        "rows": rows[:IN_SIGHT],
        "more": rows[IN_SIGHT:MOST_SERIES],
        "left": f"{left:,} more series are in metrics.json." if left > 0 else "",
    }


def _sections(run: RunRecord, draw: _Charts) -> Iterator[dict[str, Any]]:
    """The charts under their headings, each with a caption that says how to read it."""
    yield {"title": "Training", "charts": list(_training(run, draw)), "notes": []}
    rest = progress.at_rest(run.entries)
    yield {"title": "Where diversity goes", "charts": list(_inside(run, draw)), "notes": rest}


def _training(run: RunRecord, draw: _Charts) -> Iterator[tuple[Markup, str]]:
    figure = progress.training_curves(run.entries)
    if figure is not None:
        yield (
            draw(figure, "loss, diversity ratio and gradient norm over the optimizer steps"),
            _read_training(run),
        )
    targets = _targets(run)
    label = f"MAE in {plain(targets[0])}" if len(targets) == 1 else f"MAE, mean over {len(targets)} targets"
    figure = progress.errors_by_step(_of(run.metrics, "by_step"), label)
    if figure is not None:
        yield (
            draw(figure, "mean absolute error at each step of the horizon, beside the baselines"),
            "The error at each step ahead, beside the baselines.",
        )


def _read_training(run: RunRecord) -> str:
    """How to read the training curves that there are."""
    drawn = progress.measured(run.entries)
    both = {"loss", "diversity ratio"} <= set(drawn)
    hint = (
        " A loss that stands while diversity stays near 0 (dotted: 0.1) has found one answer for all." if both else ""
    )
    return f"Over the same steps: {', '.join(drawn)}.{hint}"


def _inside(run: RunRecord, draw: _Charts) -> Iterator[tuple[Markup, str]]:
    made = (
        (
            progress.stations(run.entries),
            "spread between samples from station to station, at several times of the fit",
            "How different samples are on their way from input to output. Where a line falls and stays down, they are "
            "lost.",
        ),
        (
            progress.sensitivity(run.entries),
            "sensitivity of the output to each time step of the input, at several times of the fit",
            "How far the output moves with each step of the window. A line that falls steeply to the left has "
            "forgotten what came early.",
        ),
        (
            progress.loss_gradient(run.entries),
            "the loss's gradient at each time step of the input, at several times of the fit",
            "How much of the loss's gradient comes back to each step of the window. Where it falls steeply to the "
            "left, nothing is learned from the past. Lines sink as the fit gets better.",
        ),
        (
            progress.gates(run.entries),
            "share of gate values at their rails, at several times of the fit",
            "Gates that stand at a rail for every input do not follow it.",
        ),
        (
            progress.units(run.entries),
            "share of saturated and of dead units in each layer over the fit",
            "Saturated units stand at a rail; dead ones are the same for every sample and step.",
        ),
    )
    for figure, label, caption in made:
        if figure is not None:
            yield draw(figure, label, (SMALL[0], max(SMALL[1], figure.get_size_inches()[1]))), caption


def _about(run: RunRecord) -> Iterator[tuple[str, str]]:
    """The data and their split, the model, the seconds and the versions."""
    told, metrics = _of(run.metrics, "about"), run.metrics or {}
    data = run.settings.get("data")
    yield from (
        (label, str(told[label])) for label in ("data", "windows", "model", "weights", "device") if label in told
    )
    if isinstance(data, Mapping):
        yield "scaled", ", ".join(f"{name}={data[name]}" for name in ("scale", "scale_target") if name in data)
    if "steps" in metrics:
        steps, fit, whole = (number(metrics.get(name)) for name in ("steps", "fit_seconds", "seconds"))
        yield "training", f"{steps} optimizer steps in {fit} s"
        yield "whole command", f"{whole} s, this page not counted"
    if "seed" in run.settings:
        yield "seed", str(run.settings["seed"])
    versions = told.get("versions")
    if isinstance(versions, Mapping):
        yield "versions", ", ".join(f"{name} {each}" for name, each in versions.items())
