"""The recurrence runs along the batch.

## What it is

The layer takes the first axis for time (torch.nn's default) and is given batches first, or the other way round.

## Why the outputs look alike

Each sample is one step of a sequence of strangers: its own window is not read as a sequence, and what it follows is
its neighbours.

## How we know

In a small batch one sample is replaced by another one. Here outputs behind it move and none before it; of a layer of
two directions both do, and it is given the samples where it takes time steps.

## What to try

`batch_first=True`, or a transposed input. Where no layer of torch.nn takes the samples for time steps (a loop of one's
own, a cumulative sum, a series without an axis for the batch), look at the shape that goes in.
"""

from typing import Final

from flatspot.diagnosis import NO_SIGNAL, Finding

EXPLAINS: Final = (
    "samples-mixed",
    "state-leak",
    "undertrained",
    "vanishing-gradient",
    "window-too-short",
    "head-ignores-state",
    "too-little-data",
    "no-signal",
    "saturated-units",
    "wrong-timestep",
    "exploding-gradient",
)
SICK: Final = {"neighbours_forward": 1.0, "neighbours_backward": 0.0}
WELL: Final = {"neighbours_forward": 0.0, "neighbours_backward": 0.0}


LITTLE: Final = 0.2


def judge(
    neighbours_forward: float,
    neighbours_backward: float,
    neighbours_along: float = 0.0,
    skill_missing: float = 1.0,
    skill_possible: float = 0.0,
) -> Finding | None:
    if not neighbours_forward or (neighbours_backward and not neighbours_along):
        return None
    if skill_possible > NO_SIGNAL and skill_missing < LITTLE:
        return None  # on purpose: what it was built for, it does
    return Finding(
        cause="batch-as-time",
        seen=(
            "outputs follow samples that stand before them in the batch, and "
            + ("a recurrent layer takes the samples for time steps" if neighbours_along else "never those behind them")
        ),
        means="the recurrence runs from sample to sample and not along the window",
        try_first=(
            "nn.GRU(inputs, hidden, batch_first=True)"
            if neighbours_along
            else "print(x.shape)  # before what recurs: [sample, time, channel], and it must not recur over the samples"
        ),
        confidence=0.93,
    )
