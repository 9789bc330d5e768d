"""What a run folder has left to read, without torch: its status, its evidence, and what the rules make of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import flatspot
from flatspot import evidence
from flatspot.diagnosis import LOOKED_FOR, Diagnosis, asides
from flatspot.errors import BETWEEN, BadInput
from flatspot.kept import own
from flatspot.rules import diagnose

STATUS: Final = "status.json"

MOST_STATUS: Final = 2**20
"""A status beyond this size is none of a run's."""


def status_of(folder: Path) -> dict[str, str]:
    """What `status.json` says; nothing, where there is none or it is torn.

    Raises:
        BadInput: there is no such folder.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such run folder")
    path = own(folder, STATUS, MOST_STATUS)
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in held.items()} if isinstance(held, dict) else {}


def evidence_of(folder: Path) -> list[evidence.Measurement]:
    """What was measured.

    Raises:
        BadInput: naming the folder, if it is none of a run, or the line of its evidence that is no measurement.
    """
    path = own(folder, evidence.FILE)
    jobs = sorted(each.parent.name for each in folder.glob(f"*/{evidence.FILE}"))
    if not path.exists() and jobs:
        raise BadInput(f"{folder}: is a sweep; name one of its runs: {', '.join(jobs[:5])}")
    if not path.exists() and not (folder / STATUS).exists():
        raise BadInput(f"{folder}: is no run folder: it holds neither {evidence.FILE} nor {STATUS}")
    return evidence.read(folder)


def diagnosed(entries: list[evidence.Measurement]) -> tuple[Diagnosis, dict[str, float]]:
    """What the last value of every name says, and of an examination that was made again only the last; and these."""
    examined = [each for each in entries if each.when == "examined"][-1:]
    others = [each for each in entries if each.when != "examined"]
    figures = evidence.latest(others) | evidence.latest(examined)
    found = diagnose(figures, *((examined[0].unmeasured, examined[0].names) if examined else ({}, {})))
    notes = others[-1].unmeasured if others else {}
    return replace(found, not_examined={**notes, **(found.not_examined or {})}), figures


def notes_of(status: dict[str, str], entries: list[evidence.Measurement]) -> list[str]:
    """What there is to know about the run itself."""
    notes = []
    state, last = status.get("status", "unknown"), entries[-1] if entries else None
    when = (
        f"last measured at epoch {last.epoch}, step {last.step}" if last is not None else "before anything was measured"
    )
    if state == "failed":
        notes.append(f"the run failed ({status.get('why', 'no reason is on record').partition(BETWEEN)[0]}), {when}")
    elif state != "done":
        notes.append(f"the run has not ended, or was killed; {when}")
    elif not any(LOOKED_FOR in each.values or each.when == "examined" for each in entries):
        notes.append("no cause was looked for: train with examine=full")
    theirs = status.get("flatspot", flatspot.__version__)
    if theirs != flatspot.__version__:
        notes.append(f"the run is flatspot {theirs}'s, and this is {flatspot.__version__}: some numbers may be missing")
    return notes + asides(evidence.latest(entries))
