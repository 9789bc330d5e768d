"""The loss pairs each prediction with every target.

## What it is

Predictions of shape (N, 1) and targets of shape (N,) are broadcast to N × N differences: each prediction is held
against all targets of the batch.

## Why the outputs look alike

The answer that is nearest to all targets of a batch is their mean, for every sample.

## How we know

The loss of random predictions is asked again with the targets in another order. A loss that pairs gives another
number; a broadcast one gives the same. Different shapes alone mean nothing: those of cross-entropy always differ.

## What to try

Bring both to one shape before the loss.
"""

from typing import Final

from flatspot.diagnosis import Finding

EXPLAINS: Final = (
    "no-signal",
    "undertrained",
    "head-ignores-state",
    "misaligned-pairs",
    "too-little-data",
    "class-imbalance",
    "unscaled-targets",
    "learning-rate-too-high",
    "over-regularised",
)
SICK: Final = {"loss_blind_to_pairs": 1.0, "loss_outputs_axes": 2.0, "loss_targets_axes": 1.0}
WELL: Final = {"loss_blind_to_pairs": 0.0, "loss_outputs_axes": 2.0, "loss_targets_axes": 1.0}


def judge(loss_blind_to_pairs: float, loss_outputs_axes: float, loss_targets_axes: float) -> Finding | None:
    if not loss_blind_to_pairs:
        return None
    return Finding(
        cause="loss-broadcast",
        seen=(
            f"the loss of random predictions stays the same when targets are re-paired; predictions have "
            f"{loss_outputs_axes:.0f} axes and targets {loss_targets_axes:.0f}"
        ),
        means="each prediction is pulled to the mean of all targets of its batch",
        try_first="loss(model(x).squeeze(-1), y)",
        confidence=0.97,
    )
