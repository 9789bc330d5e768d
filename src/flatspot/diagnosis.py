"""What a doctor may say: a verdict, findings, and what was not examined."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import getdoc, signature
from typing import Final, Literal, final

Verdict = Literal["healthy", "shrunken", "flat", "varied-but-wrong", "rightly-flat", "unknown"]

FLAT: Final = 0.1
"""Below this share of the spread that the inputs allow, outputs are flat."""

SHRUNKEN: Final = 0.3
"""Below this share of the spread that the inputs allow, outputs are shrunken."""

NO_SIGNAL: Final = 0.02
"""Achievable skill up to here counts as no signal found."""

MISSED: Final = 11.0
"""Divided by the held-out samples: the R² below which a signal is missed in one of twenty cases, (2 · 1.64)²."""

GROWS: Final = 3.0
"""How far outputs follow early steps by how far they follow late ones, beyond which gradients grow through time."""

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

ILL: Final[frozenset[Verdict]] = frozenset({"flat", "shrunken", "varied-but-wrong"})
"""Verdicts that call for a cause."""


@final
@dataclass(frozen=True)
class Finding:
    """One cause of flat outputs, in the words that a person reads.

    Args:
        cause: its name. seen: a number and the line that it crossed. means: one consequence.
        try_first: one thing to paste: a line of code. override: the same for a run of `train.py`, where it has one.
        confidence: how often such a finding is right, from 0 to 1.
        together: causes without whose mending this one's mends nothing, as an experiment showed.
    """

    cause: str
    seen: str
    means: str
    try_first: str
    confidence: float
    override: str | None = None
    together: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Rule:
    """Judges one cause.

    Args:
        cause: its name. page: what a person reads about it, in Markdown.
        judge: from the numbers that it names as its parameters (`trial_inputs_closes` is `trial_inputs/closes` of the
            evidence) to a finding, or None where it sees nothing wrong. A parameter with a default is not needed; one
            whose default is text is filled with a name, where it is known (`head_name` with what the head is called).
        explains: causes that follow from this one: found together, they are its symptoms.
    """

    cause: str
    judge: Callable[..., Finding | None]
    page: str = ""
    explains: tuple[str, ...] = ()

    def __call__(self, **evidence: float | str) -> Finding | None:
        """What it makes of the numbers, and of names."""
        return self.judge(**evidence)

    def needs(self) -> tuple[list[str], list[str]]:
        """The parameters that must be there, and those that may."""
        named = signature(self.judge).parameters.values()
        return [each.name for each in named if each.default is each.empty], [
            each.name for each in named if each.default is not each.empty
        ]


Judge = Rule | Callable[..., Finding | None]
"""A rule, or a function that judges: its parameters are the numbers that it needs."""


def parameter(name: str) -> str:
    """The name under which a rule asks for a number of the evidence.

    >>> parameter("trial_inputs/closes")
    'trial_inputs_closes'
    """
    return name.replace("/", "_")


def attribute(name: str, of: str = "model") -> str:
    """How a part of a model is written in Python, by its dotted name.

    >>> attribute("head"), attribute("encoder.layers.0"), attribute("2", of="self")
    ('model.head', 'model.encoder.layers[0]', 'self[2]')
    """
    return of + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in name.split("."))


def graded(value: float, low: float, high: float, least: float = 0.5, most: float = 0.95) -> float:
    """A confidence that rises from `least` at `low` to `most` at `high`, and stays there.

    >>> graded(5.0, 0.0, 10.0, 0.5, 0.9)
    0.7
    """
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return round(least + (most - least) * share, 6)


def joint(told: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
    """Which of several causes are to be mended together, by their places from 0.

    Args:
        told: of each finding its cause, and what it is to be mended together with.

    >>> joint([("a", ["b"]), ("c", []), ("b", ["a"])]), joint([("a", ["b"])])
    ([0, 2], [])
    """
    partners = dict(told)
    return [
        place for place, (cause, others) in enumerate(told) if any(cause in partners.get(other, ()) for other in others)
    ]


DAMAGE: Final = 0.35
"""Below this share of the possible skill that is missing, nothing is wrong enough to look for a cause."""

EXPLAINED_AWAY: Final = 0.3
"""What is left of the confidence in a symptom whose cause was found."""

SURE_ENOUGH: Final = 0.5
"""Confidence from which on a finding explains others away."""


WORDS: Final[Mapping[str, str]] = {
    "arrival": "whether the outputs follow the inputs",
    "balance": "what classes that are drawn as often would gain",
    "beyond": "what a longer window would hold",
    "ceiling": "what the last activation lets the outputs be",
    "diversity": "how much the outputs vary",
    "finite": "whether all numbers are finite",
    "gradients": "which weights get a gradient",
    "head": "what the last linear layer makes of what it reads",
    "horizon": "how the outputs vary along the horizon",
    "inputs": "the scale of the inputs",
    "loss": "which target the loss holds against which output",
    "memory": "whether a call leaves a state behind",
    "neighbours": "whether samples of a batch are mixed",
    "padding": "how much of the windows is filler",
    "pairs": "whether inputs and targets belong together",
    "reach": "how far the outputs follow early steps",
    "references": "what other models find in the inputs",
    "settings": "how the optimizer was set",
    "sizes": "how many samples and steps there are",
    "skill": "how good the outputs are",
    "stages": "how different samples are from layer to layer",
    "steps": "which steps of the window the outputs follow",
    "targets": "how the targets vary",
    "trial": "what training a copy would show",
    "units": "how many units are stuck",
    "variety": "how different the inputs are",
    "weights": "how the weights are distributed",
}
"""What the numbers of our own rules are of, by the first word of their names: what is said where one is missing."""


def consult(
    rules: Mapping[str, Judge],
    evidence: Mapping[str, float],
    unmeasured: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> tuple[tuple[Finding, ...], dict[str, str]]:
    """What the rules find, the surest first, and the causes that could not be examined, with the reason.

    A rule that fails is told and keeps no other from judging. A finding that another one explains stays, behind it.

    Args:
        rules: by cause.
        evidence: numbers by name; those that are not finite count as not measured.
        unmeasured: why groups of numbers (what stands before the `/`) were not measured.
        names: what parts of the model are called, by what they are.

    >>> consult({"no-signal": Rule("no-signal", lambda references_best: None)}, {})
    ((), {'no-signal': 'what other models find in the inputs could not be told from these samples'})
    """
    measured: dict[str, float | str] = {parameter(what): name for what, name in (names or {}).items()}
    measured |= {parameter(name): value for name, value in evidence.items() if math.isfinite(value)}
    reasons = {parameter(group): why for group, why in (unmeasured or {}).items()}
    findings: list[Finding] = []
    not_examined: dict[str, str] = {}
    for cause, judge_of in rules.items():
        try:
            found = _asked(as_rule(cause, judge_of), measured)
        except KeyError as missing:
            not_examined[cause] = _missing(str(missing.args[0]), reasons)
        except Exception as error:  # noqa: BLE001 - any package's rule
            not_examined[cause] = f"the check failed: {type(error).__name__}: {error}"
        else:
            findings += [found] if found is not None else []
    ranked = sorted(_explained_away(findings, rules), key=lambda each: -each.confidence)
    return tuple(ranked), not_examined


def as_rule(cause: str, judge_of: Judge) -> Rule:
    """A rule; of a function that judges, one that explains nothing away, with the function's docstring for its page."""
    return judge_of if isinstance(judge_of, Rule) else Rule(cause, judge_of, getdoc(judge_of) or "")


def _asked(rule: Rule, measured: Mapping[str, float | str]) -> Finding | None:
    needed, welcome = rule.needs()
    given = {name: measured[name] for name in needed}
    found: object = rule.judge(**given, **{name: measured[name] for name in welcome if name in measured})
    if found is not None and not isinstance(found, Finding):
        raise TypeError(f"it gave {found!r:.80} and no Finding")
    return found


def _missing(name: str, reasons: Mapping[str, str]) -> str:
    groups = [group for group in reasons if name.startswith(f"{group}_")]
    if groups:
        return reasons[max(groups, key=len)]
    words = WORDS.get(name.partition("_")[0])
    return f"{words} could not be told from these samples" if words else f"{name!r} was not measured"


def _explained_away(findings: list[Finding], rules: Mapping[str, Judge]) -> list[Finding]:
    """Symptoms of a finding that is sure enough count for less; the surest finding is asked first, and is none."""
    symptoms: set[str] = set()
    for each in sorted(findings, key=lambda each: -each.confidence):
        if each.cause not in symptoms and each.confidence >= SURE_ENOUGH:
            symptoms |= set(as_rule(each.cause, rules[each.cause]).explains)
    return [
        replace(each, confidence=round(each.confidence * EXPLAINED_AWAY, 6)) if each.cause in symptoms else each
        for each in findings
    ]


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


LOOKED_FOR: Final = "skill/missing"
"""A number that is there where a cause was looked for."""


def verdict_of(evidence: Mapping[str, float]) -> Verdict:
    """The verdict on what was measured: on the test split, where there is one, else on the held-out samples.

    The achievable skill is that of the best reference on either; of held-out samples also what an experiment reached.
    """
    part = "test" if "diversity/ratio_test" in evidence else "val"
    own = evidence.get("skill/model_test" if part == "test" else "skill/val")
    return judge(evidence.get(f"diversity/ratio_{part}"), own, achievable(evidence))


UNTAUGHT: Final = 0.05
"""The share of the weights without a gradient that a note is worth."""


def asides(evidence: Mapping[str, float]) -> list[str]:
    """What is wired wrongly in a network that is healthy all the same: what it costs, if anything, was not tried.

    >>> asides({"memory/moved": 1.0})
    ['the same batch is answered differently after other batches, though the verdict is healthy (see state-leak)']
    """
    if LOOKED_FOR in evidence or verdict_of(evidence) not in {"healthy", "unknown"}:
        return []
    along, back = evidence.get("neighbours/forward", 0.0), evidence.get("neighbours/backward", 0.0)
    untaught = evidence.get("gradients/none_share", 0.0) + evidence.get("gradients/zero_share", 0.0)
    found = {
        f"an output follows other samples of its batch, though the verdict is healthy (see "
        f"{'samples-mixed' if back else 'batch-as-time'})": along + back,
        "the same batch is answered differently after other batches, though the verdict is healthy (see state-leak)": (
            evidence.get("memory/moved", 0.0)
        ),
        f"{untaught:.0%} of the weights get no gradient, though the verdict is healthy (see frozen-weights)": (
            untaught >= UNTAUGHT
        ),
        not_finite_steps(evidence): evidence.get("training/not_finite", 0.0),
    }
    return [said for said, seen in found.items() if seen]


def not_finite_steps(evidence: Mapping[str, float]) -> str:
    """Which steps of training had a gradient that was no number, where there were any."""
    steps, first = evidence.get("training/not_finite", 0.0), evidence.get("training/first_not_finite", 0.0)
    more = "" if steps <= 1 else " and of one more" if steps < 3 else f" and of {steps - 1:,.0f} more"
    followed = "and was not followed" if evidence.get("training/left_out") else "and was followed"
    return f"the gradient of step {first:,.0f}{more} was NaN or infinite, {followed} (see not-finite)"


def held_out(evidence: Mapping[str, float]) -> dict[str, float]:
    """The evidence as rules are to hear it, where a test split was measured beside the validation samples.

    A fault of the network shows on both; what it lacks on one alone, a quiet season there, say, is no fault of it. So
    the held-out skill is the better of the two.
    """
    told, own, best = dict(evidence), evidence.get("skill/model_test", math.nan), achievable(evidence)
    if not math.isfinite(own) or best is None or best <= NO_SIGNAL:
        return told
    told["skill/val"] = max(told.get("skill/val", own), own)
    if LOOKED_FOR in told:
        told[LOOKED_FOR] = min(told[LOOKED_FOR], 1 - max(own, 0.0) / max(best, own))
    return told


def achievable(evidence: Mapping[str, float]) -> float | None:
    """The best skill of any reference, on either split, or of an experiment; None where none was measured."""
    best = [evidence[name] for name in evidence if name == "references/best" or _of_a_reference(name)]
    if evidence.get("skill/possible", 0.0) > NO_SIGNAL:  # nothing reached is nothing found only where one looked
        best.append(evidence["skill/possible"])
    return max((each for each in best if math.isfinite(each)), default=None)


def _of_a_reference(name: str) -> bool:
    return name.startswith("skill/") and name.endswith("_test") and name != "skill/model_test"


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
