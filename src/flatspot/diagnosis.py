"""What a doctor may say: a verdict, findings, and what was not examined."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, final

Verdict = Literal["healthy", "shrunken", "flat", "varied-but-wrong", "rightly-flat", "unknown"]

FLAT: Final = 0.1
"""Below this share of the spread that the inputs allow, outputs are flat."""

SHRUNKEN: Final = 0.3
"""Below this share of the spread that the inputs allow, outputs are shrunken."""

NO_SIGNAL: Final = 0.02
"""Achievable skill up to here counts as no signal found."""

FAR_BELOW: Final = 0.5
"""Skill under this share of the achievable, less a margin, is wrong rather than flat."""

MARGIN: Final = 0.1
"""The margin of FAR_BELOW, in skill: near no signal, a share alone would judge noise."""

EXPLAINED: Final[Mapping[Verdict, str]] = {
    "healthy": "the outputs vary in line with what the inputs allow",
    "shrunken": "the outputs vary, but far less than the inputs allow",
    "flat": "the outputs are nearly the same for every input",
    "varied-but-wrong": "the outputs differ between inputs, and the skill is far below the achievable",
    "rightly-flat": "the outputs hardly vary, and no reference found anything in the inputs to follow",
    "unknown": "diversity or skill is not finite or was not measured",
}


@final
@dataclass(frozen=True)
class Finding:
    """One cause of flat outputs, in the words that a person reads.

    `seen` is a number and the line that it crossed, `means` one consequence, `try_first` one thing to paste.
    """

    cause: str
    seen: str
    means: str
    try_first: str
    confidence: float


Rule = Callable[[Mapping[str, float]], Finding | None]
"""Judges one cause by a run's evidence, its finite numbers by name: a finding, or None where it sees nothing wrong.

It raises KeyError for a number that it needs and that was not measured.
"""


def consult(rules: Mapping[str, Rule], evidence: Mapping[str, float]) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """What the rules find, the surest first, and the causes that could not be examined, with the reason.

    A rule that fails is told and keeps no other from judging.

    Args:
        rules: by cause.
        evidence: numbers by name; those that are not finite count as not measured.

    >>> consult({"no-signal": lambda evidence: evidence["skill/ridge"] < 0.02}, {})
    ((), {'no-signal': "'skill/ridge' was not measured"})
    """
    measured = {name: value for name, value in evidence.items() if math.isfinite(value)}
    findings: list[Finding] = []
    not_examined: dict[str, str] = {}
    for cause, rule in rules.items():
        try:
            found: object = rule(measured)
        except KeyError as missing:
            not_examined[cause] = f"{missing} was not measured"
        except Exception as error:  # noqa: BLE001 - any package's rule
            not_examined[cause] = f"the check failed: {type(error).__name__}: {error}"
        else:
            if isinstance(found, Finding):
                findings.append(found)
            elif found is not None:
                not_examined[cause] = f"the check failed: it gave {found!r:.80} and no Finding"
    return tuple(sorted(findings, key=lambda each: -each.confidence)), not_examined


@final
@dataclass(frozen=True)
class Diagnosis:
    """A verdict on a model's outputs, the causes found, and what could not be examined (with the reason)."""

    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    not_examined: Mapping[str, str] | None = None

    @property
    def explained(self) -> str:
        """The verdict in a sentence."""
        return EXPLAINED[self.verdict]


def judge(diversity: float | None, skill: float | None, achievable: float | None) -> Verdict:
    """Judge how much outputs vary, beside how much the inputs allow them to.

    For squared loss the best possible forecast has D² = R², so spread is judged against √(achievable skill):
    *flat* below 0.1·√, *shrunken* below 0.3·√. See docs/decisions/0002-verdict.md.

    Args:
        diversity: diversity ratio D, or None if it was not measured.
        skill: 1 - loss / loss of the best constant, held out, under the user's loss.
        achievable: the best held-out skill of the references. The model's own skill raises it.

    >>> judge(diversity=0.02, skill=0.0, achievable=0.8)
    'flat'
    >>> judge(diversity=0.02, skill=0.0, achievable=-0.1)
    'rightly-flat'
    """
    if not all(number is not None and math.isfinite(number) for number in (diversity, skill, achievable)):
        return "unknown"
    assert diversity is not None and skill is not None and achievable is not None  # noqa: S101, PT018
    allowed = max(achievable, skill)
    if allowed <= NO_SIGNAL:
        return _judge_without_signal(diversity, skill)
    return _judge_with_signal(diversity, skill, allowed)


def _judge_without_signal(diversity: float, skill: float) -> Verdict:
    if diversity < SHRUNKEN:
        return "rightly-flat"
    return "varied-but-wrong" if skill < -MARGIN else "healthy"


def _judge_with_signal(diversity: float, skill: float, allowed: float) -> Verdict:
    if diversity < FLAT * math.sqrt(allowed):
        return "flat"
    if diversity < SHRUNKEN * math.sqrt(allowed):
        return "shrunken"
    return "varied-but-wrong" if skill < FAR_BELOW * allowed - MARGIN else "healthy"
