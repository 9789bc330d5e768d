"""`flatspot report RUN_OR_SWEEP`: one page of HTML beside what it tells of."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from omegaconf import OmegaConf

import flatspot
from flatspot import evidence
from flatspot.cli.configs import config_from
from flatspot.cli.folder import shown, write_text
from flatspot.cli.record import diagnosed, evidence_of, notes_of, status_of
from flatspot.errors import BadInput, reason
from flatspot.kept import own
from flatspot.report.forecasts import FILE, read_forecasts
from flatspot.report.run_page import RunRecord, check_metrics, run_page
from flatspot.report.sweep import LABELS, ErrorName, Job
from flatspot.report.sweep_page import MOST_RUNS, sweep_page

log = logging.getLogger(__name__)

REPORT: Final = "report.html"

ANSWER: Final = "sweep.json"

SWEPT: Final = "multirun.yaml"
"""What Hydra writes into the folder of a sweep as it begins."""

UNDRAWABLE: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What comes of figures that do not belong together, as a stranger's may be."""

MOST_BYTES: Final = 2**26
"""A file of figures or settings beyond this size is none that a run has written."""


def report(folder: Path) -> Path:
    """Write the page of a run, also of one that crashed, or of a sweep.

    Returns: where it stands.

    Raises:
        BadInput: naming the folder that is neither, or the file in it that cannot be read.
    """
    if (folder / ANSWER).exists():
        return write_sweep_report(folder)
    if (folder / SWEPT).exists():
        raise BadInput(
            f"{shown(folder)}: is a sweep that has not ended, and has no {ANSWER}; the same command with resume=auto "
            f"hydra.sweep.dir={shown(folder)} goes on with it; or name one of its runs"
        )
    return write_report(folder)


def told_if_not(write: Callable[[], object]) -> bool:
    """Write a page, or log why not: what was trained is not lost for a page that cannot be drawn."""
    try:
        write()
    except Exception as error:  # noqa: BLE001 - no picture is worth a run
        log.warning("%s was not written: %s", REPORT, reason(error))
        return False
    return True


def write_sweep_report(folder: Path) -> Path:
    """Write the page of a sweep that has ended, from its answer and the figures of its jobs.

    Raises:
        BadInput: naming the file that cannot be read.
    """
    path = own(folder, ANSWER)
    held = _json(path)
    try:
        jobs = [_job(folder, each) for each in held["jobs"]]
        error = {str(each): each for each in LABELS}[held["error"]]
    except UNDRAWABLE as wrong:
        raise BadInput(f"{shown(path)}: cannot be read as a sweep's answer: {reason(wrong)}") from wrong
    return _written(folder, lambda: page_of_jobs(folder, jobs, error))


def page_of_jobs(folder: Path, jobs: Sequence[Job], error: ErrorName) -> str:
    """The page of a sweep, with links to the pages that its runs have."""
    linked = {job.number for job in jobs[:MOST_RUNS] if (folder / job.folder / REPORT).exists()}
    return sweep_page(jobs, error=error, linked=linked, version=str(flatspot.__version__))


def _job(folder: Path, told: Mapping[str, Any]) -> Job:
    """A job of the answer, with the figures of its folder: within the sweep's, wherever that was moved to."""
    parts = Path(str(told["folder"])).parts
    place = next((Path(*parts[-n:]) for n in range(1, len(parts) + 1) if _within(folder, parts[-n:])), None)
    failure = None if told["failure"] is None else str(told["failure"])
    settings = {str(key): str(value) for key, value in told["settings"].items()}
    if place is None:
        return Job(int(told["job"]), parts[-1], settings, None, failure or "its folder is not there any more")
    metrics = _metrics(own(folder / place, "metrics.json")) if failure is None else None
    life = evidence.latest(evidence_of(folder / place)).get("sensitivity/half_life", math.nan) if metrics else math.nan
    return Job(int(told["job"]), place.as_posix(), settings, metrics, failure, life)


def _within(folder: Path, parts: Sequence[str]) -> bool:
    """Whether a run lies there: no way leads out of the sweep's folder, and no link."""
    place = folder / Path(*parts)
    inside = ".." not in parts and place.resolve().is_relative_to(folder.resolve())
    return inside and (place / "status.json").is_file()


def write_report(folder: Path) -> Path:
    """Write the page of a run, from what its folder holds alone.

    Raises:
        BadInput: naming the folder that is no run's, or the file in it that cannot be read.
    """
    status, entries = status_of(folder), evidence_of(folder)
    found, figures = diagnosed(entries)
    config = _text(own(folder, "config.yaml"))
    metrics = _metrics(own(folder, "metrics.json"))
    run = RunRecord(
        folder.resolve().name,
        found,
        figures,
        entries,
        metrics,
        config,
        _settings(folder / "config.yaml", config),
        read_forecasts(own(folder, FILE).parent),
        notes_of(status if metrics is None else {**status, "status": "done"}, entries),
        str(flatspot.__version__),
    )
    return _written(folder, lambda: run_page(run))


def _written(folder: Path, page: Callable[[], str]) -> Path:
    path = folder / REPORT
    try:
        drawn = page()
    except UNDRAWABLE as error:
        raise BadInput(f"{shown(folder)}: what it holds does not make a page: {reason(error)}") from error
    try:
        write_text(path, drawn.encode("utf-8", "replace").decode())  # halves of characters come with a stranger's JSON
    except OSError as error:
        raise BadInput(f"{shown(path)}: cannot be written: {error.strerror}") from error
    return path


def _text(path: Path) -> str:
    if not path.exists():
        return ""
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{shown(path)}: is larger than any that a run has written")
    return path.read_text(encoding="utf-8", errors="replace")


def _json(path: Path) -> dict[str, Any]:
    """What a file of figures holds; nothing, where there is none."""
    text = _text(path)
    try:
        held = json.loads(text) if text else {}
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(path)}: cannot be read: {error}") from error
    if not isinstance(held, dict):
        raise BadInput(f"{shown(path)}: cannot be read: it holds no table")
    return held


def _metrics(path: Path) -> dict[str, Any] | None:
    """Of a run that ended well; None where there are none."""
    held = _json(path)
    if not held:
        return None
    try:
        check_metrics(held)
    except UNDRAWABLE as error:
        raise BadInput(f"{shown(path)}: cannot be read as a run's figures: {reason(error)}") from error
    return held


def _settings(path: Path, text: str) -> dict[str, Any]:
    """Plain values alone, of which nothing is resolved: a tag that would build anything is refused."""
    try:
        held = OmegaConf.to_container(config_from(text, path), resolve=False)
    except Exception as error:
        raise BadInput(f"{shown(path)}: cannot be read as a run's configuration: {reason(error)}") from error
    return {str(key): value for key, value in held.items()} if isinstance(held, dict) else {}
