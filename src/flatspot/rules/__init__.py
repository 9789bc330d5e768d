"""One cause, one file, named as the complaint; installed packages may bring theirs.

A file holds `judge`, whose parameters are the numbers that it needs, what it `EXPLAINS`, a sick and a well specimen of
its numbers (`SICK`, `WELL`), and its page as the module's docstring. Nothing else is to be edited for a new one.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules
from typing import Final

from flatspot.diagnosis import LOOKED_FOR, Diagnosis, Finding, Judge, Rule, consult, held_out, verdict_of
from flatspot.registry import Registry


def _ours() -> Iterator[Rule]:
    for each in iter_modules(__path__):
        module = import_module(f"{__name__}.{each.name}")
        yield Rule(each.name.replace("_", "-"), module.judge, module.__doc__ or "", module.EXPLAINS)


RULES: Final[Registry[Judge]] = Registry(
    "rule",
    {each.cause: each for each in _ours()},
    extensions="flatspot.rules",
    of=Callable,  # type: ignore[arg-type]
)
"""By cause; of an installed package, a function whose parameters are the numbers that it needs."""


TRUST: Final = 0.92
"""What is left of a confidence on programs that nobody looked at while the rules' lines were set (docs/zoo.md): of our
rules' findings at a first sight of 45 programs those of 0.9 and more were right in 79 %, of 0.8 to 0.9 in 60 %; what
they taught has been mended since."""


def at_first_sight(found: Finding) -> Finding:
    """A finding of one of our rules, as sure as its like was on programs that were new."""
    return replace(found, confidence=round(TRUST * found.confidence, 6))


def diagnose(
    evidence: Mapping[str, float],
    unmeasured: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Diagnosis:
    """The verdict on all that was measured, and what the rules find.

    Where no cause was looked for, only the rules of installed packages are asked: they know what they need.

    Args:
        evidence: numbers by name. unmeasured: why groups of them (what stands before the `/`) were not measured.
        names: what parts of the model are called, by what they are.
    """
    reasons = dict(unmeasured or {})
    asked = RULES if LOOKED_FOR in evidence else {cause: RULES[cause] for cause in RULES.added()}
    findings, not_examined = consult(asked, held_out(evidence), reasons, names)
    findings = tuple(each if each.cause in RULES.added() else at_first_sight(each) for each in findings)
    told = not_examined if LOOKED_FOR in evidence else {**reasons, **not_examined}
    return Diagnosis(verdict_of(evidence), findings, told)
