"""Fed back to itself, the model runs into one value.

## What it is

A one-step forecast is repeated on its own answers: small errors add up, and what is fed back soon is a value that
the model maps to itself.

## Why the outputs look alike

After enough repetitions every start ends in the same place, as every contraction does.

## How we know

Diversity and skill are measured along the horizon: in line for the first steps, gone for the last, where a straight
line from the window still finds something. Where the last weights are asked again and again for one answer, how
different samples are is held against each other at the first time and at the last. They may say small steps alone, and
differ little from the first on, where a copy that is trained on the whole answer learns.

## What to try

Predict all steps of the horizon at once, or train on the model's own predictions.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

EXPLAINS: Final = (
    "undertrained",
    "vanishing-gradient",
    "head-ignores-state",
    "too-little-data",
    "saturated-units",
    "bad-init",
)
SICK: Final = {
    "horizon_first_ratio": 0.9,
    "horizon_last_ratio": 0.05,
    "horizon_late_reference": 0.5,
    "horizon_first_skill": 0.9,
    "horizon_last_skill": 0.0,
}
WELL: Final = {**SICK, "horizon_last_ratio": 0.7, "horizon_last_skill": 0.5}
FALL: Final = 3.0
LOST: Final = 0.2
VARIED: Final = 0.2
FAINT: Final = 0.1
LEARNS: Final = 0.5


def judge(
    horizon_first_ratio: float,
    horizon_last_ratio: float = 1.0,
    horizon_late_reference: float = 0.0,
    horizon_first_skill: float = 0.0,
    horizon_last_skill: float = 0.0,
    horizon_calls: float = 0.0,
    horizon_call_first: float = 0.0,
    horizon_call_last: float = 1.0,
    skill_missing: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    head_name: str = "",
) -> Finding | None:
    fades = horizon_call_first / max(horizon_call_last, 1e-9)
    # A copy that is trained on the whole rollout learns: then this one was not, and says its steps' small differences.
    varied = FAINT if trial_again_skill >= LEARNS * skill_possible else VARIED
    if horizon_calls and skill_missing > DAMAGE and horizon_call_first > varied and fades > FALL:
        return _by_calls(horizon_calls, horizon_call_first, horizon_call_last)
    lost = horizon_late_reference - max(horizon_last_skill, 0.0)
    falls = horizon_first_ratio / max(horizon_last_ratio, 1e-9)
    if falls < FALL or lost < LOST or horizon_first_skill < LOST:
        return None
    return Finding(
        cause="rollout-converges",
        seen=(
            f"D falls from {horizon_first_ratio:.2f} in the first steps of the "
            f"horizon to {horizon_last_ratio:.2f} in the "
            f"last (line: a {FALL:g}th), where a straight line finds {horizon_late_reference:.2f}"
        ),
        means="fed back to itself, the model forgets where it started",
        try_first=(
            f"{attribute(head_name, of='self')} = nn.Linear(hidden, horizon)  # all steps at once"
            if head_name
            else "nn.Linear(hidden, horizon)  # as the last layer: all steps at once"
        ),
        override="model=forecaster",
        confidence=graded(falls, FALL, 10.0, 0.7, 0.93),
    )


def _by_calls(calls: float, first: float, last: float) -> Finding:
    return Finding(
        cause="rollout-converges",
        seen=(
            f"the last weights are asked {calls:.0f} times for one answer; samples differ by {first:.2f} of the "
            f"targets' spread at the first time and by {last:.2f} at the last (line: a {FALL:g}th)"
        ),
        means="fed back to itself, the model forgets where it started",
        try_first="train on what it says when it is fed its own answers: the loss of the whole rollout",
        override="model=forecaster",
        confidence=graded(first / max(last, 1e-9), FALL, 10.0, 0.85, 0.93),
    )
