"""The starting weights are zero, constant, or of an absurd scale.

## What it is

Weights that are all the same make units that are copies of each other; weights that are far too small or too large
leave nothing of what differs between samples, before the first step.

## Why the outputs look alike

All units do the same, or nothing passes the first layer, or every unit begins at its rail: the samples are alike at
the start, and the gradient that could change it is tiny.

## How we know

A fresh copy's weights are looked at: matrices that are constant, their scale beside one that keeps sizes, units
that are copies. It is this cause where a copy that begins with torch's own weights learns and one that begins as
its author begins does not. Weights of a usual size, behind which units are stuck from the start, are the units' fault.

## What to try

Leave torch's own initialisation, or take the activation's: orthogonal recurrent weights, Xavier or Kaiming for the
inputs.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "saturated-units",
    "dead-units",
    "undertrained",
    "vanishing-gradient",
    "exploding-gradient",
    "head-ignores-state",
    "too-deep",
    "weights-not-loaded",
    "frozen-weights",
    "learning-rate-too-high",
    "input-never-arrives",
)
SICK: Final = {
    "weights_constant_share": 1.0,
    "weights_largest_scale": 0.0,
    "weights_smallest_scale": 0.0,
    "skill_missing": 1.0,
    "trial_reset_closes": 0.9,
}
WELL: Final = {**SICK, "weights_constant_share": 0.0, "weights_largest_scale": 0.6, "trial_reset_closes": 0.0}
CLOSES: Final = 0.35
FAINT: Final = 0.05
LEARNS: Final = 0.5
BIAS: Final = 5.0
LOW: Final = 0.1
HIGH: Final = 4.0
COPIES: Final = 0.3
STUCK: Final = 0.9
SYMPTOM: Final = 0.5
SLOW: Final = 0.02


def judge(
    weights_constant_share: float,
    weights_largest_scale: float,
    weights_smallest_scale: float,
    skill_missing: float,
    trial_reset_closes: float,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    weights_largest_bias: float = 0.0,
    stages_fresh_copies: float = 0.0,
    units_standard_saturated: float = 0.0,
    units_standard_dead: float = 0.0,
    head_rate_share: float = 1.0,
) -> Finding | None:
    faint = weights_largest_scale < FAINT and trial_again_skill < LEARNS * skill_possible
    if skill_missing < DAMAGE or (trial_reset_closes < CLOSES and not faint):
        return None
    usual = not weights_constant_share and weights_smallest_scale > LOW and weights_largest_scale < HIGH
    usual = usual and weights_largest_bias <= BIAS and stages_fresh_copies <= COPIES
    stuck = usual and max(units_standard_saturated, units_standard_dead) >= STUCK  # the units are odd, not the weights
    what = (
        f"{weights_constant_share:.0%} of the weight matrices begin constant"
        if weights_constant_share
        else f"weights begin at {weights_smallest_scale:.2g} to {weights_largest_scale:.2g} of a usual scale"
    )
    if weights_largest_bias > BIAS:
        what += f", biases at up to {weights_largest_bias:.3g}"
    if trial_reset_closes < CLOSES:
        what += f" (line: {FAINT:g}), and a copy that begins with them does not learn"
    return Finding(
        cause="bad-init",
        seen=what
        if trial_reset_closes < CLOSES
        else f"{what}; with torch's own weights a copy closes {trial_reset_closes:.0%} of the gap (line: {CLOSES:.0%})",
        means="samples are alike before the first step, and the gradient does not tell them apart",
        try_first="for part in model.modules(): getattr(part, 'reset_parameters', lambda: None)()",
        override="model.recurrent_init=auto",
        confidence=(graded(trial_reset_closes, CLOSES, 0.9, 0.7) if trial_reset_closes >= CLOSES else 0.75)
        * (SYMPTOM if stuck or head_rate_share <= SLOW else 1.0),  # with another head the rest adapts to it
    )
