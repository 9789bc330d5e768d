"""The loss pairs each prediction with every target.

## What it is

Predictions of shape (N, 1) and targets of shape (N,) are broadcast to N × N differences: each prediction is held
against all targets of the batch.

## Why the outputs look alike

The answer that is nearest to all targets of a batch is their mean, for every sample.

## How we know

Random predictions are held against the targets, and against the same targets in other orders. A loss that pairs
changes; one that takes each prediction beside each target stays the same (different shapes alone mean nothing: those of
cross-entropy always differ). Then a copy is trained with each prediction beside its own target: where it learns, this
was the cause. A network that has learned was not trained with this loss, whatever was handed over: its loop squeezes.

## What to try

Bring both to one shape before the loss.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, NO_SIGNAL, Finding

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
LEARNS: Final = 0.5
SAME: Final = "stays the same when targets are re-paired"
UNTRIED: Final = 0.85
WELL: Final = {"loss_blind_to_pairs": 0.0, "loss_outputs_axes": 2.0, "loss_targets_axes": 1.0}


def judge(
    loss_blind_to_pairs: float,
    loss_outputs_axes: float,
    loss_targets_axes: float,
    skill_missing: float = 1.0,
    skill_possible: float = 0.0,
    trial_again_skill: float | None = None,
    loss_stretched: float = 0.0,
) -> Finding | None:
    if not loss_blind_to_pairs or (skill_possible and skill_missing < DAMAGE):
        return None  # what has learned was not trained with it: the loop squeezes
    learns = trial_again_skill is not None and trial_again_skill > max(LEARNS * skill_possible, NO_SIGNAL)
    if trial_again_skill is not None and not learns:
        return None  # with pairs nothing is learned either
    copies = "; a copy learns with each prediction beside its own target" if learns else ""
    return Finding(
        cause="loss-broadcast",
        seen=(
            f"the loss of random predictions {'changes with their shape' if loss_stretched else SAME}; "
            f"predictions have {loss_outputs_axes:.0f} axes and targets {loss_targets_axes:.0f}{copies}"
        ),
        means="each prediction is pulled to the mean of all targets of its batch",
        try_first="loss(model(x).squeeze(-1), y)",
        confidence=0.97 if learns else UNTRIED,
    )
