"""Weight decay or dropout flattens the output.

## What it is

The pull towards small weights, or the noise of dropout, is stronger than the pull of the data.

## Why the outputs look alike

The smallest weights that answer anything answer the mean. Under strong dropout the mean is the safest answer too.

## How we know

A copy is trained without weight decay and dropout, and held against one that was trained with both. A pull that stands
in the loop or in the loss is seen by what it did: most weights are a fifth of a fresh copy's or less, or a matrix other
than the head's is as good as zero, and the same training without what the loop does besides learns.

## What to try

Less of it.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "undertrained",
    "head-ignores-state",
    "vanishing-gradient",
    "dead-units",
    "too-deep",
    "frozen-weights",
)
SICK: Final = {
    "trial_free_closes": 0.9,
    "settings_weight_decay": 1.0,
    "settings_dropout": 0.0,
    "skill_missing": 1.0,
}
WELL: Final = {**SICK, "trial_free_closes": 0.0}
LINE: Final = 0.35
SHRUNK: Final = 0.5
LEARNS: Final = 0.5


def judge(
    trial_free_closes: float,
    settings_weight_decay: float,
    settings_dropout: float,
    skill_missing: float,
    weights_shrunk_share: float = 0.0,
    weights_emptied: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
) -> Finding | None:
    if skill_missing < DAMAGE:
        return None
    if trial_free_closes < LINE:
        learns = trial_again_skill > LEARNS * skill_possible
        if learns and weights_shrunk_share >= SHRUNK:
            return _by_hand(weights_shrunk_share)
        return _emptied(weights_emptied) if learns and weights_emptied else None
    decays = settings_weight_decay > 0
    return Finding(
        cause="over-regularised",
        seen=(
            f"without weight decay ({settings_weight_decay:g}) and dropout ({settings_dropout:g}) a copy closes "
            f"{trial_free_closes:.0%} of the gap (line: {LINE:.0%})"
        ),
        means="it is pulled towards small weights, or noise, harder than towards the data",
        try_first=f"weight_decay={settings_weight_decay / 100:g}" if decays else f"dropout={settings_dropout / 4:g}",
        override="optimizer.weight_decay=0" if decays else "model.dropout=0",
        confidence=graded(trial_free_closes, LINE, 0.85, 0.7, 0.93),
    )


def _by_hand(share: float) -> Finding:
    return Finding(
        cause="over-regularised",
        seen=(
            f"{share:.0%} of the weights are a fifth of a fresh copy's or less (line: {SHRUNK:.0%}), and a copy that "
            "loss and optimizer alone train learns"
        ),
        means="something in the training loop or in the loss pulls the weights to zero",
        try_first="penalty = 0.0  # what the loop adds to the loss, or does to the weights after each step",
        confidence=graded(share, SHRUNK, 1.0, 0.7, 0.88),
    )


def _emptied(share: float) -> Finding:
    return Finding(
        cause="over-regularised",
        seen=(
            f"{share:.0%} of the weight matrices have less than a hundredth of a fresh copy's size, and a copy that "
            "loss and optimizer alone train learns"
        ),
        means="something in the training loop or in the loss pulls these weights to zero, and nothing comes through",
        try_first="penalty = 0.0  # what the loop adds to the loss, or does to the weights after each step",
        confidence=0.85,
    )
