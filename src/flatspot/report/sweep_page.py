"""A sweep as one page of HTML that needs nothing else: the answer table, what differs, and a link to each run."""

import base64
import hashlib
import math
from collections.abc import Container, Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from flatspot.report.comparison import MOST_INTERVALS, Map, axes_of, intervals, map_of
from flatspot.report.page import template
from flatspot.report.svg import plain, svg_of
from flatspot.report.sweep import (
    LABELS,
    SEED,
    ErrorName,
    Job,
    difference_rows,
    differences,
    ordered,
    table_of,
    title,
    varied,
)
from flatspot.report.text import mean_and_std, number

MOST_RUNS: Final = 2000
"""Runs that are listed one by one: beyond, `results.csv` has them all."""

SORT: Final = r"""
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  const text = (row, at) => row.cells[at].textContent.trim();
  const amount = /^[-+]?[\d.,]+(e[-+]?\d+)?%?( ± .*| of .*)?$/;
  const value = (row, at) => amount.test(text(row, at)) ? parseFloat(text(row, at).replaceAll(",", "")) : text(row, at);
  const compare = (a, b) => typeof a === "number" && typeof b === "number"
    ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", turn < 0 ? "descending" : "ascending");
    const none = row => text(row, at) === "-" ? 1 : 0;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => none(a) - none(b) || turn * compare(value(a, at), value(b, at)));
    table.tBodies[0].append(...rows);
  }));
}
"""
"""Sorts a table by the column whose head is pressed: numbers by size, what has none last."""


def sweep_page(jobs: Sequence[Job], *, error: ErrorName = "mae", linked: Container[int] = (), version: str = "") -> str:
    """The page.

    Args:
        jobs: all of them; a job's folder is relative to the page's. error: what is shown and sorted by. linked: the
            numbers of the jobs that have a page of their own. version: of the flatspot that writes the page.
    """
    return template("sweep.html").render(
        script=_script(),
        title=title(jobs, error=error),
        best=_best(jobs, error),
        table=table_of(jobs, error=error),
        by_error=LABELS[error][0],
        maps=list(_maps(jobs, error)),
        charts=list(_charts(jobs, error)),
        beside=_beside(jobs, error),
        failures=[(job, _settings(job)) for job in jobs if job.failure is not None],
        runs=_runs(jobs, error, linked),
        left_out=max(len(jobs) - MOST_RUNS, 0),
        version=version,
    )


@cache
def _script() -> dict[str, str | Markup]:
    """The page's one script, and by what the page allows it and no other."""
    digest = base64.b64encode(hashlib.sha256(SORT.encode()).digest()).decode()
    return {"hash": f"sha256-{digest}", "text": Markup(SORT)}  # noqa: S704 - ours


def _best(jobs: Sequence[Job], error: ErrorName) -> str:
    """The answer in a sentence."""
    settings = [each for each in ordered(jobs, error=error) if each.finite("test", error)]
    if not settings:
        return "No job ended with an error that could be measured."
    keys, first = varied(jobs), settings[0]
    said = mean_and_std(first.finite("test", error))
    few = "" if len(first.done) == first.count else f" ({len(first.done)} of its {first.count} jobs are done)"
    return f"{_named(keys, first.values)}: {LABELS[error][0]} {said}{few}, {first.verdicts()}. {_surely(jobs, error)}"


def _surely(jobs: Sequence[Job], error: ErrorName) -> str:
    """How many of the others are surely worse."""
    found, others = differences(jobs, error=error), len(ordered(jobs, error=error)) - 1
    if not others:
        return "There is no other setting to compare it with."
    if not found:
        return "How sure that is cannot be said: it takes two seeds at least that two settings both have."
    apart = sum(each.mean - each.half > 0 for each in found)
    one = apart == 1
    rest = "" if apart == others else "; of the rest these seeds cannot tell"
    return (
        f"{apart} of the {others} other settings {'is' if one else 'are'} clearly worse (95 % for all of them){rest}."
    )


def _maps(jobs: Sequence[Job], error: ErrorName) -> Iterator[tuple[Map, str]]:
    """Error and diversity by two settings, each with what it is over."""
    keys = varied(jobs)
    done = [job for job in jobs if job.metrics is not None]
    by = axes_of(done, keys)
    if by is None:
        return
    rest = [key for key in keys if key not in by]
    over = f"the mean over seeds{' and ' + ', '.join(rest) if rest else ''}"
    yield map_of(done, by, ("test", error), LABELS[error][0]), f"{over}; the darkest errs least"
    yield map_of(done, by, ("diversity", "ratio"), "diversity ratio"), f"{over}; the darkest is flattest"


def _charts(jobs: Sequence[Job], error: ErrorName) -> Iterator[tuple[Markup, str]]:
    found = differences(jobs, error=error)
    if found:
        best = _named(varied(jobs), found[0].best)
        figure = intervals(found, f"more {LABELS[error][0]} than {plain(best)}")
        nearest = f"The {MOST_INTERVALS} nearest of {len(found)}. " if len(found) > MOST_INTERVALS else ""
        caption = (
            f"{nearest}How much more each errs than {best}, over the same seeds. Where an interval holds 0, these "
            "seeds do not tell the two apart; in 95 of 100 sweeps all intervals are right together."
        )
        yield svg_of(figure, 1, f"differences from {best} with intervals"), caption


def _named(keys: Sequence[str], values: Sequence[str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True)) or "as typed"


def _beside(jobs: Sequence[Job], error: ErrorName) -> list[list[str]]:
    found = differences(jobs, error=error)
    return difference_rows(varied(jobs), found) if found else []


def _runs(jobs: Sequence[Job], error: ErrorName, linked: Container[int]) -> dict[str, Any]:
    """A row a run."""
    keys = [*varied(jobs), *[SEED] * any(SEED in job.settings for job in jobs)]
    head = ["run", *keys, LABELS[error][0], "diversity", "verdict", "cause", "seconds"]
    rows = []
    for job in jobs[:MOST_RUNS]:
        set_to = [job.settings.get(key, "-") for key in keys]
        own = [_told(job.figure("test", error)), _told(job.figure("diversity", "ratio"))]
        verdict = str(job.metrics["verdict"]) if job.metrics is not None else "failed"
        seconds = job.figure("seconds")
        cells = [*set_to, *own, verdict, job.cause or "-", f"{seconds:.1f}" if math.isfinite(seconds) else "-"]
        page = quote(str(PurePosixPath(job.folder) / "report.html"))
        rows.append((str(job.number), page if job.number in linked else "", cells))
    return {"head": head, "rows": rows, "left": {*range(len(keys) + 1), len(keys) + 3, len(keys) + 4}}


def _told(value: float) -> str:
    return number(value) if math.isfinite(value) else "-"


def _settings(job: Job) -> str:
    return " ".join(f"{key}={value}" for key, value in job.settings.items())
