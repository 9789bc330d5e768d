"""The targets are (nearly) constant.

## What it is

The targets hardly differ between samples, or only one class occurs.

## Why the outputs look alike

A constant is the right answer to a constant question.

## How we know

The standard deviation of each target over the samples is held against the size of its values: a ten-thousandth of it
is their resolution, and below a nine-hundredth it is a jitter where nothing foretells it. Of classes, those that occur
are counted. Where nine of ten targets are one and the same number, it is this too if others lie on both sides of it,
hardly two of them alike, and nothing foretells them: no rain and no sale are the least that there can be and stand at
an end, and what goes up and down in steps has few numbers.

## What to try

Check that the target column is the one that was meant, that the horizon reaches beyond what is constant, and that
no scaler took the variation away.
"""

from typing import Final

from flatspot.diagnosis import NO_SIGNAL, Finding

EXPLAINS: Final = ("no-signal", "class-imbalance", "head-range", "undertrained", "saturated-units", "dead-units")
SICK: Final = {"targets_constant_share": 1.0}
WELL: Final = {"targets_constant_share": 0.0}
LINE: Final = 0.5
LEVEL: Final = 900.0
ONE: Final = 0.9
SIDE: Final = 0.2
DIFFER: Final = 0.5


def judge(
    targets_constant_share: float,
    targets_seen: float = 2.0,
    targets_offset: float = 0.0,
    skill_possible: float = 1.0,
    targets_zero_share: float = 0.0,
    targets_rarer_side: float = 0.0,
    targets_others_differ: float = 0.0,
    targets_name: str = "",
) -> Finding | None:
    one_number = targets_zero_share >= ONE and targets_rarer_side >= SIDE and targets_others_differ >= DIFFER
    if one_number and skill_possible <= NO_SIGNAL and targets_constant_share < LINE and targets_seen > 1:
        return _one_number(targets_zero_share)
    jitters = targets_offset > LEVEL and skill_possible <= NO_SIGNAL
    if targets_seen > 1 and targets_constant_share < LINE and not jitters:
        return None
    if jitters:
        return Finding(
            cause="flat-target",
            seen=(
                f"the targets' level is {targets_offset:.3g} times their spread (line: {LEVEL:g}), and nothing "
                "foretells the spread"
            ),
            means="but for a jitter that nothing predicts the target is one number",
            try_first="print(y.std(dim=0))  # is this the column that was meant?",
            override="data.target=OTHER_COLUMN",
            confidence=0.88,
        )
    seen = "only one class occurs" if targets_seen <= 1 else f"{targets_constant_share:.0%} of the targets do not vary"
    return Finding(
        cause="flat-target",
        seen=f"{seen} over the training samples{f' of {targets_name}' if targets_name else ''} (line: {LINE:.0%})",
        means="a constant is the right answer: there is nothing to learn",
        try_first="print(y.std(dim=0))  # is this the column that was meant?",
        override="data.target=OTHER_COLUMN",
        confidence=0.97,
    )


def _one_number(share: float) -> Finding:
    return Finding(
        cause="flat-target",
        seen=f"{share:.0%} of the targets are one number between the others (line: {ONE:.0%}); nothing foretells those",
        means="what varied was taken away (subtracted, filled up) from nearly all targets: there is nothing to learn",
        try_first="print(y.unique(return_counts=True))  # is this the column that was meant?",
        override="data.target=OTHER_COLUMN",
        confidence=0.85,
    )
