"""Samples are mixed with one another.

## What it is

A `view` or `reshape` that does not keep the order of the axes, a mean, softmax or normalisation over the batch, or an
attention whose first axis is taken for time, brings other samples' numbers into a sample's output.

## Why the outputs look alike

An output that is made of several samples says little about its own: at best it follows what all have in common.

## How we know

In a small batch, in evaluation mode, one sample is replaced by another one. Here outputs before and behind it move.
Then the samples are put into another order: where the outputs only change places with them, what is mixed is a mean, a
softmax or an attention over the batch; where they change, axes are. Layers of torch.nn that attend along the samples,
and batch norms that take each batch's own statistics, are told by name.

## What to try

`transpose` or `permute` to change the order of axes; `reshape` only to join neighbours. Means, softmaxes and norms over
time or features, never over the samples' axis; `batch_first=True` for attention.
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


SCRAMBLED: Final = "x = x.transpose(1, 2)  # and not x.view(...), which scrambles"
ATTENDS: Final = (
    "nn.MultiheadAttention(width, heads, batch_first=True)  # else it attends along the first axis: samples"
)
OWN_STATISTICS: Final = "nn.LayerNorm(features)  # in the place of a batch norm without running statistics"
OVER_ALL: Final = "x.mean(dim=1)  # no mean, spread, maximum or softmax over dim=0, where the samples are"


def judge(
    neighbours_backward: float,
    skill_missing: float,
    neighbours_attends: float = 0.0,
    neighbours_statistics: float = 0.0,
    neighbours_any_order: float = 0.0,
) -> Finding | None:
    if not neighbours_backward or skill_missing < LITTLE:
        return None
    remedy = OVER_ALL if neighbours_any_order else SCRAMBLED
    if neighbours_statistics and neighbours_any_order:
        remedy = OWN_STATISTICS
    if neighbours_attends:
        remedy = ATTENDS
    order = ", in whatever order they stand" if neighbours_any_order else ""
    return Finding(
        cause="samples-mixed",
        seen=f"replacing one sample of a batch moves outputs of others, before it and behind it{order}",
        means="an output is made of several samples' inputs",
        try_first=remedy,
        confidence=0.93,
    )
