"""A sweep as one page of HTML that needs nothing else: the answer table, what differs, and a link to each run."""

import base64
import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from flatspot.report.comparison import axes_of, heat_map, intervals
from flatspot.report.page import template
from flatspot.report.svg import svg_of
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

SORT: Final = """
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  const text = (row, at) => row.cells[at].textContent.trim();
  const value = (row, at) => {
    const amount = parseFloat(text(row, at).replaceAll(",", ""));
    return Number.isNaN(amount) ? text(row, at) : amount;
  };
  const compare = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
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


def sweep_page(jobs: Sequence[Job], *, error: ErrorName = "mae", links: bool = True, version: str = "") -> str:
    """The page.

    Args:
        jobs: all of them; a job's folder is relative to the page's. error: what is shown and sorted by. links: whether
            the runs have pages of their own. version: of the flatspot that writes the page.
    """
    return template("sweep.html").render(
        script=_script(),
        title=title(jobs, error=error),
        best=_best(jobs, error),
        table=table_of(jobs, error=error),
        charts=list(_charts(jobs, error)),
        beside=_beside(jobs, error),
        failures=[(job, _settings(job)) for job in jobs if job.failure is not None],
        runs=_runs(jobs, error, links=links),
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
    named = ", ".join(f"{key}={value}" for key, value in zip(keys, first.values, strict=True)) or "As typed"
    said = mean_and_std(first.finite("test", error))
    return f"{named}: {LABELS[error][0]} {said}, {first.verdicts()}. {_surely(jobs, error)}"


def _surely(jobs: Sequence[Job], error: ErrorName) -> str:
    """How many of the others are surely worse."""
    found = differences(jobs, error=error)
    if not found:
        return "With one seed a setting nothing is said of how sure that is."
    apart = sum(each.mean - each.half > 0 for each in found)
    return f"Of {len(found)} other settings {apart} err more beyond what their seeds leave open (95 %, one by one)."


def _charts(jobs: Sequence[Job], error: ErrorName) -> Iterator[tuple[Markup, str]]:
    keys, drawn = varied(jobs), 0
    done = [job for job in jobs if job.metrics is not None]
    by = axes_of(done, keys)
    if by is not None:
        rest = [key for key in keys if key not in by]
        over = f", the mean over seeds{' and ' + ', '.join(rest) if rest else ''}"
        for label, names in ((LABELS[error][0], ("test", error)), ("diversity ratio", ("diversity", "ratio"))):
            figure = heat_map(done, by, names, label)
            drawn += 1
            yield svg_of(figure, drawn, f"{label} by {by[0]} and {by[1]}"), f"{label} by {by[0]} and {by[1]}{over}."
    found = differences(jobs, error=error)
    if found:
        best = ", ".join(found[0].best) or "as typed"
        figure = intervals(found, f"more {LABELS[error][0]} than {best}".replace("$", r"\$"))
        caption = (
            f"How much more each errs than {best}, seed by seed, with the 95 % interval of the mean. Where it holds 0, "
            "the two are not told apart; each interval is for itself."
        )
        yield svg_of(figure, drawn + 1, f"differences from {best} with intervals"), caption


def _beside(jobs: Sequence[Job], error: ErrorName) -> list[list[str]]:
    found = differences(jobs, error=error)
    return difference_rows(varied(jobs), found) if found else []


def _runs(jobs: Sequence[Job], error: ErrorName, *, links: bool) -> dict[str, Any]:
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
        rows.append((str(job.number), page if links and job.metrics is not None else "", cells))
    return {"head": head, "rows": rows, "left": {*range(len(keys) + 1), len(keys) + 3, len(keys) + 4}}


def _told(value: float) -> str:
    return number(value) if math.isfinite(value) else "-"


def _settings(job: Job) -> str:
    return " ".join(f"{key}={value}" for key, value in job.settings.items())
