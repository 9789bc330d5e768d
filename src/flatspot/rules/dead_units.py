"""Units are zero for every sample and step.

## What it is

Relu-like units whose input is below zero for all samples and steps: nothing comes out, and no gradient goes back.

## Why the outputs look alike

What is zero for all samples is the same for all samples. Where a whole layer is dead, the bias of the next one is
the answer.

## How we know

Units that were never above zero over all samples and steps are counted. A threshold that is no module of its own is
found by its effect: other inputs leave the outputs bitwise the same, and inputs 10,000 times as large do not. It is a
symptom of a learning rate that is too high, or of raw inputs, where an experiment shows these.

## What to try

Leaky relu, a smaller learning rate, another start.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = ("vanishing-gradient", "undertrained", "head-ignores-state", "frozen-weights", "saturated-units")
SICK: Final = {"units_now_dead": 1.0, "skill_missing": 1.0}
WELL: Final = {"units_now_dead": 0.3, "skill_missing": 1.0}
LINE: Final = 0.8


def judge(
    skill_missing: float,
    units_now_dead: float,
    arrival_moves: float = 1.0,
    arrival_large: float = 0.0,
    arrival_reset: float = 0.0,
    ceiling_staircase: float = 0.0,
) -> Finding | None:
    if skill_missing < DAMAGE:
        return None
    unreached = not arrival_moves and arrival_large and not arrival_reset
    if unreached and units_now_dead < LINE and not ceiling_staircase:
        return _out_of_reach()
    if units_now_dead < LINE:
        return None
    return Finding(
        cause="dead-units",
        seen=f"{units_now_dead:.0%} of a layer's units are never above zero (line: {LINE:.0%})",
        means="they say nothing and get no gradient, so they cannot come back",
        try_first="nn.LeakyReLU()  # in the place of nn.ReLU()",
        override="model.activation=leaky_relu",
        confidence=graded(units_now_dead, LINE, 1.0, 0.65, 0.85),
    )


def _out_of_reach() -> Finding:
    """Where a threshold stands between the input and the output, and no input of the usual size reaches it."""
    return Finding(
        cause="dead-units",
        seen="other inputs leave the outputs bitwise the same, inputs 10,000 times as large move them",
        means="a threshold on the way is never reached, and no gradient comes back through it",
        try_first="print(h.amax())  # before each threshold: which one does it not reach?",
        confidence=0.75,
    )
