"""Units are zero for every sample and step.

## What it is

Relu-like units whose input is below zero for all samples and steps: nothing comes out, and no gradient goes back.

## Why the outputs look alike

What is zero for all samples is the same for all samples. Where a whole layer is dead, the bias of the next one is
the answer.

## How we know

Units that were never above zero over all samples and steps are counted. It is a symptom of a learning rate that is
too high, or of raw inputs, where an experiment shows these.

## What to try

Leaky relu, a smaller learning rate, another start.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = ("vanishing-gradient", "undertrained", "head-ignores-state", "frozen-weights", "saturated-units")
SICK: Final = {"units_now_dead": 1.0, "skill_missing": 1.0}
WELL: Final = {"units_now_dead": 0.3, "skill_missing": 1.0}
LINE: Final = 0.8


def judge(skill_missing: float, units_now_dead: float = 0.0) -> Finding | None:
    if units_now_dead < LINE or skill_missing < DAMAGE:
        return None
    return Finding(
        cause="dead-units",
        seen=f"{units_now_dead:.0%} of a layer's units are never above zero (line: {LINE:.0%})",
        means="they say nothing and get no gradient, so they cannot come back",
        try_first="nn.LeakyReLU()  # in the place of nn.ReLU()",
        override="model.activation=leaky_relu",
        confidence=graded(units_now_dead, LINE, 1.0, 0.65, 0.85),
    )
