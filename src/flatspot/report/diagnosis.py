"""A diagnosis in plain text: the verdict first; healthy is nearly silent."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from flatspot.diagnosis import ILL, SURE_ENOUGH, Diagnosis, Finding, achievable, joint
from flatspot.report.text import MOST, NEITHER, WIDTH

TRIED: Final = {
    "again": "the same training again",
    "inputs": "standardised inputs",
    "targets": "standardised targets",
    "both": "both standardised",
    "free": "no weight decay and no dropout",
    "all_weights": "all weights in training",
    "ending": "filler at the beginning",
    "alone": "no state from call to call",
    "alone_anew": "the same with torch's own starting weights",
    "balanced": "each class as often",
    "slower": "a tenth of the learning rate",
    "slowest": "a hundredth of it",
    "peak": "the schedule's highest rate",
    "clipped": "clipped gradients",
    "reset": "torch's own starting weights",
    "on": "more steps",
    "on_longer": "three times as many more steps",
    "on_faster": "more steps at ten times the rate",
    "on_fastest": "more steps at a hundred times the rate",
}
"""Experiments in words."""

REFERENCES: Final = {"ridge": "ridge on the window", "trees": "small boosted trees", "gru": "a small scaled GRU"}
"""The references in words."""

WORSE: Final = 0.05
"""By so much the skill of a healthy network is below a reference's before it is worth a word. A share of the loss of
predicting the mean, not of the reference's: beside a reference that errs by nothing, every loss is large."""


def told(diagnosis: Diagnosis, evidence: Mapping[str, float], notes: Sequence[str] = (), *, run: bool = False) -> str:
    """What a person reads.

    Args:
        evidence: numbers by name. notes: what was noticed on the way. run: whether it is a run of `train.py`, whose
            settings can be overridden.
    """
    lines = [f"{diagnosis.verdict}: {diagnosis.explained}", *_figures(evidence)]
    lines += _worse_than_a_reference(diagnosis, evidence)
    told_whole = [each for each in diagnosis.findings if in_full(each, diagnosis.findings)]
    for number, each in enumerate(told_whole, start=1):
        lines += ["", *_finding(number, each, run=run)]
    at_once = joint([(each.cause, each.together) for each in told_whole])
    if at_once:
        lines += ["", f"do {' and '.join(str(place + 1) for place in at_once)} together: {NEITHER}"]
    if not diagnosis.findings and diagnosis.verdict in ILL:
        lines += _nothing_found(evidence)
    lines += _rest(diagnosis)
    lines += [f"note: {note}" for note in notes]
    return "\n".join(lines)


def in_full(found: Finding, findings: Sequence[Finding]) -> bool:
    """Whether a reader is told everything of a finding: of the first, and of up to two more that are sure enough."""
    place = findings.index(found)
    return place == 0 or (place < MOST and found.confidence >= SURE_ENOUGH)


def _figures(evidence: Mapping[str, float]) -> Iterator[str]:
    """D and skill of the test split, where there is one, else of the held-out samples."""
    tested = "diversity/ratio_test" in evidence
    names = ("diversity/ratio_test", "skill/model_test") if tested else ("diversity/ratio_val", "skill/val")
    labels = {names[0]: "D", names[1]: "skill"}
    known = [f"{label} {evidence[name]:.3g}" for name, label in labels.items() if name in evidence]
    best = achievable(evidence) if tested else evidence.get("references/best")
    known += [] if best is None else [f"achievable {best:.3g}"]
    if known:
        yield " · ".join(known)


def _worse_than_a_reference(diagnosis: Diagnosis, evidence: Mapping[str, float]) -> Iterator[str]:
    """What *healthy* does not say. A run's table of test errors says it by itself."""
    named = {words: evidence.get(f"references/{name}") for name, words in REFERENCES.items()}
    tried = {words: skill for words, skill in named.items() if skill is not None}
    if diagnosis.verdict != "healthy" or not tried or "skill/val" not in evidence or "skill/model_test" in evidence:
        return
    best = max(tried, key=lambda words: tried[words])
    own, reached = evidence["skill/val"], tried[best]
    if reached - own >= WORSE:
        yield from textwrap.wrap(
            f"its outputs vary as they may, but on held-out samples its skill is {own:.3g}, that of {best} "
            f"{reached:.3g}",
            WIDTH,
        )


def _finding(number: int, found: Finding, *, run: bool) -> list[str]:
    remedy = found.override if run and found.override else found.try_first
    parts = (("seen", found.seen), ("means", found.means), ("try first", remedy))
    lines = [f"{number}. {found.cause} ({found.confidence:.0%})"]
    for label, text in parts:
        wrapped = textwrap.wrap(text, WIDTH - 15) if label != "try first" else [text]
        lines += [f"   {label if not at else '':<10} {line}" for at, line in enumerate(wrapped)]
    return lines


def _nothing_found(evidence: Mapping[str, float]) -> Iterator[str]:
    """What was tried, the best first: a person may go on from there."""
    reached = {
        words: evidence[f"trial_{name}/skill"] for name, words in TRIED.items() if f"trial_{name}/skill" in evidence
    }
    if reached:
        best = sorted(reached.items(), key=lambda each: -each[1])[:MOST]
        tried = ", ".join(f"{words} (skill {skill:.2f})" for words, skill in best)
        yield ""
        yield from textwrap.wrap(f"no cause was found; tried on copies: {tried}", WIDTH)


def _rest(diagnosis: Diagnosis) -> Iterator[str]:
    others = [each for each in diagnosis.findings if not in_full(each, diagnosis.findings)]
    if others:
        yield ""
        yield "also seen: " + ", ".join(f"{each.cause} ({each.confidence:.0%})" for each in others)
    if diagnosis.not_examined:
        by_reason: dict[str, list[str]] = {}
        for name, why in diagnosis.not_examined.items():
            by_reason.setdefault(why, []).append(name)
        yield ""
        yield from (f"not examined: {', '.join(names)}: {why}" for why, names in by_reason.items())
