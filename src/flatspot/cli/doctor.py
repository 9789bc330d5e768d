"""`flatspot doctor RUN`: what the evidence of a run says, without torch, in less than half a second."""

import json
from dataclasses import asdict
from pathlib import Path

import flatspot
from flatspot.cli.record import diagnosed, evidence_of, notes_of, status_of
from flatspot.diagnosis import Finding, as_rule
from flatspot.errors import BadInput
from flatspot.registry import nearest
from flatspot.report.diagnosis import told
from flatspot.rules import RULES


def diagnosis_of(folder: Path, *, as_json: bool) -> tuple[str, bool]:
    """What a person, or a program, is told of a run; and whether a cause was found.

    A run that crashed, was killed or still goes on is judged by what it has left so far.

    Raises:
        BadInput: naming the folder, if it is none of a run, or the line of its evidence that is no measurement.
    """
    status, entries = status_of(folder), evidence_of(folder)
    found, figures = diagnosed(entries)
    notes = notes_of(status, entries)
    if as_json:
        whole = {
            "run": str(folder),
            "status": status,
            "flatspot": flatspot.__version__,
            "verdict": found.verdict,
            "explained": found.explained,
            "findings": [asdict(each) for each in found.findings],
            "not_examined": dict(found.not_examined or {}),
            "notes": notes,
            "evidence": figures,
        }
        return json.dumps(whole, indent=2, allow_nan=False, ensure_ascii=False), bool(found.findings)
    return told(found, figures, notes, run=True), bool(found.findings)


def examined_run(folder: Path) -> tuple[tuple[Finding, ...], dict[str, float]]:
    """The findings on a run, and its evidence.

    Raises:
        BadInput: as `diagnosis_of`.
    """
    status_of(folder)
    found, figures = diagnosed(evidence_of(folder))
    return found.findings, figures


def page_of(cause: str) -> str:
    """The page of a cause, in Markdown.

    Raises:
        BadInput: there is no such cause.
    """
    if cause not in RULES:
        raise BadInput(f"{cause}: is no cause that is known here; {nearest(cause, list(RULES))}")
    return f"# {cause}\n\n{as_rule(cause, RULES[cause]).page.strip()}"
