"""Units are at their rails though the inputs are scaled.

## What it is

A tanh at ±1 or a gate at 0 or 1 does not move with its inputs, and its slope is nearly zero: the weights are too
large.

## Why the outputs look alike

A unit at its rail is there for every sample.

## How we know

The exact values of all gates and bounded activations are counted over samples and steps, and how often a gate on the
input's way is shut, from the start and after training. It is a symptom of raw
inputs or of a learning rate that is too high where an experiment shows these; otherwise it stands by itself.

## What to try

Smaller starting weights, a smaller learning rate, layer normalisation, weight decay.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

EXPLAINS: Final = ("vanishing-gradient", "undertrained", "head-ignores-state", "bad-init", "weights-not-loaded")
SICK: Final = {"units_now_saturated": 0.95, "skill_missing": 1.0}
WELL: Final = {"units_now_saturated": 0.2, "skill_missing": 1.0}
LINE: Final = 0.6
SHUT: Final = 0.9
LEARNS: Final = 0.5


def judge(
    units_now_saturated: float,
    skill_missing: float,
    units_standard_saturated: float | None = None,
    units_now_shut: float = 0.0,
    units_standard_shut: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    recurrent_name: str = "",
) -> Finding | None:
    if skill_missing < DAMAGE:
        return None
    learns = trial_again_skill > LEARNS * skill_possible
    if min(units_now_shut, units_standard_shut) > SHUT and not learns:
        return _shut(units_now_shut, recurrent_name)
    saturated = units_now_saturated
    if saturated < LINE:
        return None
    from_the_start = units_standard_saturated is not None and units_standard_saturated >= LINE
    return Finding(
        cause="saturated-units",
        seen=f"{saturated:.0%} of a layer's values are at their rails (line: {LINE:.0%})",
        means="these units do not move with their inputs, and pass no gradient",
        try_first="nn.init.orthogonal_(weight, gain=0.5)  # or nn.LayerNorm before the activation",
        override="model.layer_norm=true",
        confidence=graded(saturated, LINE, 1.0, 0.55, 0.8)
        if from_the_start
        else graded(saturated, LINE, 1.0, 0.35, 0.55),
    )


def _shut(share: float, layer: str) -> Finding:
    biases = (f"nn.init.zeros_({attribute(layer)}.bias_{side}_l0)" for side in ("ih", "hh"))
    return Finding(
        cause="saturated-units",
        seen=f"a gate on the input's way is shut in {share:.0%} of all steps, from the start (line: {SHUT:.0%})",
        means="hardly anything comes in, and no gradient opens the gate",
        try_first="; ".join(biases) if layer else "begin with gates' biases of zero (nn.init.zeros_)",
        override="model.recurrent_init=auto",
        confidence=graded(share, SHUT, 1.0, 0.7, 0.85),
    )
