"""A diagnosis as one page of HTML that needs nothing else: no script, no network, nothing from the data unescaped."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from flatspot.diagnosis import Diagnosis, achievable, as_rule, joint
from flatspot.report.diagnosis import in_full
from flatspot.report.text import NEITHER, number
from flatspot.rules import RULES

SHOWN: Final = (
    (
        "diversity ratio D",
        ("diversity/ratio_test", "diversity/ratio_val"),
        "spread of the outputs, divided by that of the targets",
    ),
    ("skill", ("skill/model_test", "skill/val"), "1 is perfect, 0 as good as the best constant"),
)
"""The figures at the top: each by its first name that was measured."""


def page(diagnosis: Diagnosis, evidence: Mapping[str, float], notes: Sequence[str] = ()) -> str:
    """The page.

    Args:
        evidence: numbers by name. notes: what was noticed on the way.
    """
    return template("diagnosis.html").render(told_of(diagnosis, evidence), notes=notes, script=None)


def told_of(diagnosis: Diagnosis, evidence: Mapping[str, float]) -> dict[str, Any]:
    """What any page tells of a diagnosis."""
    whole = [each for each in diagnosis.findings if in_full(each, diagnosis.findings)]
    at_once = [str(place + 1) for place in joint([(each.cause, each.together) for each in whole])]
    return {
        "diagnosis": diagnosis,
        "figures": _figures(evidence),
        "told": whole,
        "together": f"Do {' and '.join(at_once)} together: {NEITHER}." if at_once else "",
        "also": [each for each in diagnosis.findings if not in_full(each, diagnosis.findings)],
        "pages": {each.cause: _sections(each.cause) for each in diagnosis.findings},
        "reasons": _by_reason(diagnosis.not_examined or {}),
        "evidence": sorted(evidence.items()),
    }


@cache
def template(name: str) -> Template:
    """A template, in which whatever is put into it stands as it is written."""
    made = Environment(
        loader=PackageLoader("flatspot.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters["number"] = number
    return made.get_template(name)


def _figures(evidence: Mapping[str, float]) -> list[tuple[str, float, str]]:
    found = []
    for label, names, means in SHOWN:
        known = [evidence[name] for name in names if name in evidence]
        found += [(label, known[0], means)] if known else []
    best = achievable(evidence)
    return found + (
        []
        if best is None
        else [("achievable", best, "what the best simple reference reached; a network may do better")]
    )


def _sections(cause: str) -> list[tuple[str, list[str]]]:
    """The headings of a cause's page, each with its paragraphs."""
    text = as_rule(cause, RULES[cause]).page if cause in RULES else ""
    parts = [each.partition("\n") for each in text.split("## ")[1:]]
    return [
        (heading.strip(), [each.strip() for each in body.split("\n\n") if each.strip()]) for heading, _, body in parts
    ]


def _by_reason(not_examined: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, why in not_examined.items():
        found.setdefault(why, []).append(name)
    return found
