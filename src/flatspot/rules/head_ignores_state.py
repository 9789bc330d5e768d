"""The state knows, the head does not say.

## What it is

What the head reads holds what the targets need, and the head's weights do not bring it out: they are tiny, or stand
at a right angle to where the states vary.

## Why the outputs look alike

The head's bias is the same for every sample.

## How we know

Ridge is fitted from what the head reads to the targets and held against the network's own skill, held out. It is surer
where the optimizer moves the head far more slowly than the rest, and where the head's weights have become a fraction
of a fresh copy's, those of the rest have not, and a copy that loss and optimizer alone train learns.

## What to try

Train the head alone for some epochs, with a learning rate of its own and without weight decay. In a run of `train.py`:
no weight decay, where it has shrunk the weights; else more epochs.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

EXPLAINS: Final = ("vanishing-gradient",)
SICK: Final = {"head_refit_skill": 0.8, "skill_val": 0.0, "skill_missing": 1.0}
WELL: Final = {"head_refit_skill": 0.05, "skill_val": 0.0, "skill_missing": 1.0}
GAP: Final = 0.3
SLOW: Final = 0.02
HELD: Final = 0.2
HALF: Final = 0.5
LEARNS: Final = 0.5
SOME: Final = 0.1
SHRINKS: Final = 0.1


def judge(
    head_refit_skill: float,
    skill_val: float,
    skill_missing: float,
    skill_possible: float = 1.0,
    trial_on_closes: float = 0.0,
    head_rate_share: float = 1.0,
    head_weight_share: float = 1.0,
    weights_shrunk_share: float = 0.0,
    trial_again_skill: float = 0.0,
    settings_shrinks: float = 0.0,
    head_name: str = "",
) -> Finding | None:
    gap = head_refit_skill - max(skill_val, 0.0)
    learns = trial_again_skill >= LEARNS * skill_possible
    held = head_weight_share < HELD and weights_shrunk_share < HALF
    if skill_missing >= DAMAGE and held and learns and gap >= SOME * skill_possible:
        return _held_down(head_weight_share, head_refit_skill, head_name)
    if skill_missing < DAMAGE or gap < GAP * skill_possible:
        return None
    slow = head_rate_share <= SLOW
    slower = f"; its learning rate is {head_rate_share:.2g} of the largest" if slow else ""
    return Finding(
        cause="head-ignores-state",
        seen=(
            f"ridge on what the head reads has skill {head_refit_skill:.2f}, the "
            f"network {max(skill_val, 0.0):.2f} (line: {GAP} apart){slower}"
        ),
        means="the state knows what the head does not say",
        try_first=_alone(head_name),
        override="optimizer.weight_decay=0" if settings_shrinks >= SHRINKS else "trainer.max_epochs=200",
        confidence=0.9 if slow else graded(gap - 0.4 * max(trial_on_closes, 0.0), 0.0, 0.8, 0.45, 0.8),
    )


def _alone(head: str) -> str:
    if not head:
        return "train the last linear layer alone for some epochs, without weight decay"
    return f"optimizer = torch.optim.Adam({attribute(head)}.parameters(), lr=1e-2)  # the head alone, for some epochs"


def _held_down(share: float, refit: float, head: str) -> Finding:
    return Finding(
        cause="head-ignores-state",
        seen=(
            f"the head's weights are {share:.2g} of a fresh copy's size (line: {HELD:g}), the others are not; ridge on "
            f"what it reads has skill {refit:.2f}, and a copy that loss and optimizer alone train learns"
        ),
        means="something in the training loop holds the head down, and the state knows what it does not say",
        try_first=(
            f"print({attribute(head)}.weight.norm())  # after each step: who makes it smaller?"
            if head
            else "print the norm of the last linear layer's weights after each step: who makes it smaller?"
        ),
        override="optimizer.weight_decay=0",
        confidence=0.9,
    )
