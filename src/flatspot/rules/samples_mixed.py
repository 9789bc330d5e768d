"""Samples are mixed with one another.

## What it is

A `view` or `reshape` that does not keep the order of the axes, or a normalisation over the batch, brings other
samples' numbers into a sample's output.

## Why the outputs look alike

An output that is made of several samples says little about its own: at best it follows what all have in common.

## How we know

In a small batch, in evaluation mode, one sample is replaced by another one. Here outputs before and behind it move.

## What to try

`transpose` or `permute` to change the order of axes; `reshape` only to join neighbours.
"""

from typing import Final

from flatspot.diagnosis import Finding

EXPLAINS: Final = (
    "undertrained",
    "no-signal",
    "too-little-data",
    "head-ignores-state",
    "state-leak",
    "wrong-timestep",
    "window-too-short",
    "vanishing-gradient",
    "saturated-units",
    "train-eval-mismatch",
)
SICK: Final = {"neighbours_backward": 1.0, "skill_missing": 1.0}
WELL: Final = {"neighbours_backward": 0.0, "skill_missing": 1.0}
LITTLE: Final = 0.2


def judge(neighbours_backward: float, skill_missing: float) -> Finding | None:
    if not neighbours_backward or skill_missing < LITTLE:
        return None
    return Finding(
        cause="samples-mixed",
        seen="replacing one sample of a batch moves outputs of others, before it and behind it",
        means="an output is made of several samples' inputs",
        try_first="x = x.transpose(1, 2)  # and not x.view(...), which scrambles",
        confidence=0.93,
    )
