"""The output's path does not touch the input.

## What it is

The state is overwritten, zeros are fed, another tensor is read, or all samples share one state as the only way:
what the model returns does not hang on its input.

## Why the outputs look alike

An output that does not depend on the input is the same for every input.

## How we know

Other real samples, and numbers of mean 0 and standard deviation 1, are put in the place of the inputs of a fresh
copy (or of the model, where there is none). The outputs stay bitwise the same. Where they stay the same for raw
inputs alone, it is the scale of these; where numbers of a standard deviation of 10,000 move them, there is a way, and
units on it are dead; where they move with torch's own starting weights, it is the weights that it began with. Where a
model takes more than the series (its length, say), the series is also swapped alone. And it is listened to where the
model makes whole numbers of its inputs (numbers of words, of bins): scaled to lie between 0 and 1 they all become 0.

## What to try

Follow the tensor from the input to the head: print its standard deviation over the samples after each layer.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding

EXPLAINS: Final = (
    "undertrained",
    "dead-units",
    "bad-init",
    "saturated-units",
    "wrong-timestep",
    "vanishing-gradient",
    "too-deep",
    "head-ignores-state",
    "frozen-weights",
    "no-signal",
    "unscaled-targets",
    "over-regularised",
    "exploding-gradient",
    "unscaled-inputs",
)
SICK: Final = {"arrival_moves": 0.0, "arrival_is_fresh": 1.0}
FEW: Final = 0.5
WELL: Final = {"arrival_moves": 1.0, "arrival_is_fresh": 1.0}


def judge(
    arrival_moves: float,
    arrival_is_fresh: float,
    arrival_large: float = 0.0,
    units_now_dead: float = 0.0,
    units_standard_dead: float = 0.0,
    units_standard_saturated: float = 0.0,
    arrival_reset: float = 0.0,
    arrival_all: float = 0.0,
    arrival_series: float = 1.0,
    arrival_channels: float = 1.0,
    skill_missing: float = 0.0,
    arrival_cast: float = 0.0,
    arrival_refused: float = 0.0,
    ceiling_staircase: float = 0.0,
) -> Finding | None:
    if arrival_cast and skill_missing >= DAMAGE:
        return _cast_away(arrival_all)
    if arrival_all and not arrival_series and skill_missing >= DAMAGE:
        return _series_alone()
    if arrival_all and arrival_channels < FEW and skill_missing >= DAMAGE and not arrival_large:
        return _most_channels(arrival_channels)
    dead = units_standard_dead if arrival_is_fresh else units_now_dead
    # There is a way, and it is shut by what it began with, or ends at a staircase.
    stuck = max(dead, units_standard_saturated) >= 1 or arrival_reset or ceiling_staircase
    if arrival_moves or arrival_large or arrival_refused or stuck:
        return None
    return Finding(
        cause="input-never-arrives",
        seen=(
            f"other inputs leave the outputs of {'a fresh copy' if arrival_is_fresh else 'the model'} bitwise the same"
        ),
        means="nothing of the input reaches the output",
        try_first="print(h.std(dim=0).mean())  # after each layer: where does it become 0?",
        confidence=0.95 if arrival_is_fresh else 0.75,
    )


def _cast_away(moves: float) -> Finding:
    return Finding(
        cause="input-never-arrives",
        seen=(
            "inputs that differ between samples become whole numbers that do not; other samples "
            f"{'move the outputs by other inputs alone' if moves else 'leave the outputs bitwise the same'}"
        ),
        means="the model makes whole numbers (of words, of bins) of inputs that were scaled, and all are the same",
        try_first="print(x.long().unique())  # what the embedding is given",
        confidence=0.8 if moves else 0.95,
    )


def _series_alone() -> Finding:
    return Finding(
        cause="input-never-arrives",
        seen="another sample's series leaves the outputs bitwise the same; only what comes with it moves them",
        means="of the series nothing reaches the output, of its length or another input something does",
        try_first="print(h.std(dim=0).mean())  # after each layer: where does it become 0?",
        confidence=0.9,
    )


def _most_channels(share: float) -> Finding:
    return Finding(
        cause="input-never-arrives",
        seen=f"noise on {1 - share:.0%} of the channels leaves the outputs bitwise the same (line: {1 - FEW:.0%})",
        means="something on the way, a mask perhaps, keeps them out",
        try_first="print(mask[0], x[0])  # does it hide what it should show?",
        confidence=0.88,
    )
