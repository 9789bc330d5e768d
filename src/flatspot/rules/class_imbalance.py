"""Nearly all samples are of one class.

## What it is

One class is so frequent that to name it for every sample costs next to nothing.

## Why the outputs look alike

The loss is almost at its least for the prior alone, so the network says the frequent class for all, though the
inputs do tell the classes apart.

## How we know

The share of the largest class and the classes that the model names are counted; a copy is trained on batches that
draw each class as often (where a sample has many labels, on each class's own loss), and it is looked at whether it then
tells them apart. Where the loss has got all that there is, the copy must tell them apart more than halfway, or a third
of the way where the others are rarer than one in ten: of a rare class chances below one half may be all that can be
known.

## What to try

Weigh the classes in the loss by the inverse of their frequency, or draw them as often.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = ("undertrained", "no-signal", "saturated-units", "head-ignores-state", "over-regularised")
SICK: Final = {"targets_majority": 0.97, "targets_named": 1.0, "balance_gain": 0.4}
WELL: Final = {"targets_majority": 0.97, "targets_named": 2.0, "balance_gain": 0.0}
LINE: Final = 0.75
GAIN: Final = 0.15
HARDLY: Final = 0.05
HALF: Final = 0.5
THIRD: Final = 0.33
NINE_IN_TEN: Final = 0.9


def judge(
    balance_gain: float,
    targets_majority: float = 0.0,
    targets_named: float = 2.0,
    targets_seen: float = 2.0,
    skill_balanced_accuracy: float = 1.0,
    skill_missing: float = 1.0,
    trial_balanced_balanced_accuracy: float = 1.0,
) -> Finding | None:
    chance = 1 / max(targets_seen, 2.0)
    one = targets_named <= 1
    hardly = skill_balanced_accuracy <= chance + HARDLY * (1 - chance)
    if targets_majority < LINE or not (one or hardly) or balance_gain < GAIN:
        return None
    told_apart = (trial_balanced_balanced_accuracy - chance) / (1 - chance)
    if skill_missing < DAMAGE and told_apart < (THIRD if targets_majority > NINE_IN_TEN else HALF):
        return None
    return Finding(
        cause="class-imbalance",
        seen=(
            f"{targets_majority:.0%} of the labels are of one class, {'the only' if one else 'and hardly another'} one "
            f"named; drawn as often, the classes' balanced accuracy rises by {balance_gain:.2f} (line: {GAIN})"
        ),
        means="the loss is nearly at its least when the frequent class is named for all",
        try_first="loss = nn.CrossEntropyLoss(weight=len(y) / (classes * torch.bincount(y)))",
        override="model=classifier model.class_weights=balanced",
        confidence=graded(balance_gain, GAIN, 0.4, 0.75),
    )
