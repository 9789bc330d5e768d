"""The end of a run in plain text, from what `metrics.json` holds."""

import math
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flatspot.diagnosis import SURE_ENOUGH, joint
from flatspot.report.table import aligned

COLUMNS: Final = (
    ("mae", "MAE"),
    ("rmse", "RMSE"),
    ("mase", "MASE"),
    ("smape", "sMAPE %"),
    ("r2", "R²"),
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced"),
    ("f1", "F1"),
)
BASELINES: Final = (
    ("ridge", "ridge"),
    ("seasonal", "seasonal persistence"),
    ("persistence", "persistence"),
    ("mean", "training mean"),
    ("commonest", "commonest class"),
)

LARGEST: Final = 1e7
SMALLEST: Final = 1e-4
"""Beyond these a figure is written with an exponent."""

WIDTH: Final = 100
"""Columns of text."""

WHOLE: Final = frozenset({"run", "look", "", "try first"})
"""What is to be typed, or opened."""

MOST: Final = 3
"""Findings that are told in full at most: the first, and others that are sure enough to explain something."""

NEITHER: Final = "neither is enough alone"
"""What is said of findings that are to be mended together."""

SAME: Final = 0.005
"""The share by which two errors may differ and be the same."""

HUGE: Final = 1000.0
"""Times an error beyond which nobody wants to know how many."""

WIDEST: Final = 1e2
"""A column's largest figure by its middle one, beyond which each has its own decimals."""


def summary(metrics: Mapping[str, Any], *, model: str, target: str, run: str, looks: Sequence[str] = ()) -> str:
    """One table of errors beside the baselines, then diversity, verdict, and where to look next.

    Args:
        metrics: as in `metrics.json`.
        model: what to call the model. target: what was predicted. run: the run folder.
        looks: what to open, or to type, next.
    """
    table = error_table(metrics["test"], metrics["baseline"], model=model, target=target)
    return "\n".join([*table, "", *_facts(metrics, run, looks)])


def error_table(
    own: Mapping[str, float | None],
    baselines: Mapping[str, Mapping[str, float | None]],
    *,
    model: str,
    target: str,
    part: str = "test",
) -> list[str]:
    """The lines of a table of errors: the model's, and those of its baselines below.

    Args:
        own: figures by name. baselines: the same, by the baseline's name.
        model: what to call the model. target: what was predicted. part: what was tested on.
    """
    what = f"{part} {'error in' if 'mae' in own else 'scores of'} {target}".strip()
    head, rows = error_rows(own, baselines, model=model)
    return aligned([[what, *head], *rows])


def error_rows(
    own: Mapping[str, float | None], baselines: Mapping[str, Mapping[str, float | None]], *, model: str
) -> tuple[list[str], list[list[str]]]:
    """The heads of the figures, and a row for the model and for each of its baselines, its name first."""
    rows = [(model, own)] + [(label, baselines[name]) for name, label in BASELINES if name in baselines]
    columns = {key: head for key, head in COLUMNS if any(figures.get(key) is not None for _, figures in rows)}
    decimals = {key: decimals_of([figures.get(key) for _, figures in rows]) for key in columns}
    cells = [[name, *(number(figures.get(key), decimals[key]) for key in columns)] for name, figures in rows]
    return list(columns.values()), cells


def series_rows(
    own: Mapping[str, Mapping[str, float | None]], baselines: Mapping[str, Mapping[str, float | None]]
) -> tuple[list[str], list[list[str]]] | None:
    """The heads of the figures and a row for each series, the one that it errs most on first; None where there is none.

    Args:
        own: by series, figures by name. baselines: by series, the MAE of each baseline by name.

    Most is by MASE, which has no unit, and by MAE where that is not known: series may differ in size.
    """
    columns = {key: head for key, head in COLUMNS if any(figures.get(key) is not None for figures in own.values())}
    if not columns:
        return None
    named = {name: _best_of(baselines.get(name, {})) for name in own}
    order = sorted(own, key=lambda name: tuple(-(own[name].get(each) or -math.inf) for each in ("mase", "mae")))
    rows = [
        [name, *(number(own[name].get(key)) for key in columns), *_beside(own[name].get("mae"), named[name])]
        for name in order
    ]
    return ["series", *columns.values(), "best baseline, its MAE", "error beside it"], rows


def _best_of(errors: Mapping[str, float | None]) -> tuple[str, float] | None:
    """The baseline that errs least, by its label."""
    known = [(error, label) for name, label in BASELINES if (error := errors.get(name)) is not None]
    return min(known)[::-1] if known else None


def _beside(own: float | None, best: tuple[str, float] | None) -> list[str]:
    if best is None:
        return ["-", "-"]
    label, error = best
    share = "-" if own is None or not error else f"{own / error - 1:+.0%}"
    return [f"{label} {number(error)}", share]


def number(value: float | None, decimals: int | None = None) -> str:
    """A figure as a person writes it; a dash for what could not be measured.

    >>> number(22.1234), number(0.76), number(123456.0), number(None), number(0.5, decimals=3)
    ('22.12', '0.76', '123,456', '-', '0.500')
    """
    if value is None:
        return "-"
    if decimals is not None:
        return f"{value:,.{decimals}f}"
    if value and not SMALLEST <= abs(value) < LARGEST:
        return f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def mean_and_std(values: Sequence[float], decimals: int | None = None) -> str:
    """The mean with the std of a sample, in as many decimals; the mean alone where there is one value.

    What was not measured (NaN) leaves no number to show.

    >>> mean_and_std([1.0, 2.0]), mean_and_std([0.25], decimals=3), mean_and_std([1.0, math.nan])
    ('1.5 ± 0.7', '0.250', '-')
    """
    mean = statistics.fmean(values)
    if math.isnan(mean):
        return "-"
    shown = number(mean, decimals)
    if len(values) == 1:
        return shown
    places = len(shown.partition(".")[2]) if "e" not in shown else None
    return f"{shown} ± {number(statistics.stdev(values), places)}"


def decimals_of(column: Sequence[float | None]) -> int | None:
    """So many that a column lines up and its largest figure keeps four digits; None where one size cannot fit all."""
    sizes = sorted(abs(value) for value in column if value) or [1.0]
    largest, middle = sizes[-1], sizes[(len(sizes) - 1) // 2]
    if not SMALLEST <= largest < LARGEST or sizes[0] < SMALLEST * largest or middle * WIDEST < largest:
        return None
    return max(3 - math.floor(math.log10(largest)), 0)


def _facts(metrics: Mapping[str, Any], run: str, looks: Sequence[str]) -> list[str]:
    facts = [
        *(("errs", each) for each in beside_the_best(metrics)),
        ("diversity ratio", _diversity(metrics["diversity"])),
        ("verdict", f"{metrics['verdict']}: {metrics['explained']}"),
        *_findings(metrics["findings"]),
        *_not_examined(metrics["not_examined"]),
        ("run", run),
        *(("look" if not number else "", each) for number, each in enumerate(looks)),
    ]
    width = max(len(name) for name, _ in facts)
    return [line for name, text in facts for line in _wrapped(name.ljust(width), text)]


def _wrapped(label: str, text: str) -> list[str]:
    """A fact, its text beside its label; paths and commands stand in one piece."""
    lines = textwrap.wrap(text, WIDTH - len(label), break_long_words=False, break_on_hyphens=False) or [""]
    whole = [text] if label.strip() in WHOLE else lines
    return [f"{label if not number else ' ' * len(label)}  {line}" for number, line in enumerate(whole)]


def beside_the_best(metrics: Mapping[str, Any]) -> list[str]:
    """How far the network's error is from that of the best baseline, in a sentence; nothing where there is none.

    A verdict says whether the outputs vary as they should, and not whether the network is worth its while.
    """
    kind = "MAE" if "mae" in metrics["test"] else "share of wrong classes"
    own, known = _error_of(metrics["test"]), {}
    for name, label in BASELINES:
        error = _error_of(metrics["baseline"].get(name, {}))
        if error is not None:
            known[label] = error
    if own is None or not known:
        return []
    best = min(known, key=lambda each: known[each])
    return [f"{_share(own, known[best])} {best}, the best baseline ({kind})"]


def _error_of(figures: Mapping[str, float | None]) -> float | None:
    """The MAE; of a classifier the share of wrong classes."""
    accuracy = figures.get("accuracy")
    return figures.get("mae") if accuracy is None else 1 - accuracy


def _share(own: float, best: float) -> str:
    """How much more or less than the best one it errs."""
    if abs(own - best) <= SAME * best:
        return "as much as"
    if own >= HUGE * best:
        return f"over {number(HUGE)} times as much as" if best else f"{number(own)}, and not 0 as"
    if own >= 2 * best:
        return f"{number(own / best)} times as much as"
    return f"{abs(own / best - 1):.0%} {'more' if own > best else 'less'} than"


def _not_examined(reasons: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each reason once, with what it is of; of many reasons how many, and where they are told."""
    by_reason: dict[str, list[str]] = {}
    for what, why in reasons.items():
        by_reason.setdefault(why, []).append(what)
    if len(by_reason) > MOST:
        yield "not examined", f"{len(reasons)} causes: flatspot doctor tells which, and why"
        return
    for why, names in by_reason.items():
        yield "not examined", f"{', '.join(names)}: {why}"


def _findings(findings: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Those that a reader is told everything of, as the doctor has it; the others by name."""
    sure = [each.get("confidence", 1.0) >= SURE_ENOUGH for each in findings[:MOST]]
    told = [each for number, each in enumerate(findings[:MOST]) if number == 0 or sure[number]]
    for each in told:
        yield from _finding(each)
    at_once = [
        str(told[place]["cause"]) for place in joint([(each["cause"], each.get("together", ())) for each in told])
    ]
    if at_once:
        yield "together", f"mend {' and '.join(at_once)} at once: {NEITHER}"
    others = [
        str(each["cause"]) for number, each in enumerate(findings) if number and (number >= MOST or not sure[number])
    ]
    if others:
        yield "also seen", ", ".join(others)


def _finding(finding: Mapping[str, Any]) -> list[tuple[str, str]]:
    told = [("seen", finding["seen"]), ("means", finding["means"])]
    remedy = finding.get("override") or finding["try_first"]  # a setting of a run, where there is one
    return [
        ("finding", str(finding["cause"])),
        *((f"  {label}", str(text)) for label, text in (*told, ("try first", remedy))),
    ]


def _diversity(measured: Mapping[str, float | None]) -> str:
    if measured["ratio"] is None or measured["flat_share"] is None:
        return "-"
    flat = f"{100 * measured['flat_share']:.0f} % of the outputs flat"
    over_all, within = measured.get("over_all"), measured.get("within_series")
    if over_all is not None and within is not None:
        flat += f"; over all {number(over_all)}, within each series {number(within)}"
    return f"{number(measured['ratio'])} (smallest {number(measured['minimum'])}; {flat})"


def quoted(path: str) -> str:
    """A path as one types it."""
    return f'"{path}"' if " " in path else path
