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

Train the head (no weight decay on it, its own learning rate), or fit it anew on the states.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = ("vanishing-gradient",)
SICK: Final = {"head_refit_skill": 0.8, "skill_val": 0.0, "skill_missing": 1.0}
WELL: Final = {"head_refit_skill": 0.05, "skill_val": 0.0, "skill_missing": 1.0}
GAP: Final = 0.3
SLOW: Final = 0.02
HELD: Final = 0.2
HALF: Final = 0.5
LEARNS: Final = 0.5
SOME: Final = 0.1


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
) -> Finding | None:
    gap = head_refit_skill - max(skill_val, 0.0)
    learns = trial_again_skill >= LEARNS * skill_possible
    held = head_weight_share < HELD and weights_shrunk_share < HALF
    if skill_missing >= DAMAGE and held and learns and gap >= SOME * skill_possible:
        return _held_down(head_weight_share, head_refit_skill)
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
        try_first="optimizer.add_param_group({'params': model.head.parameters(), 'weight_decay': 0.0})",
        confidence=0.9 if slow else graded(gap - 0.4 * max(trial_on_closes, 0.0), 0.0, 0.8, 0.45, 0.8),
    )


def _held_down(share: float, refit: float) -> Finding:
    return Finding(
        cause="head-ignores-state",
        seen=(
            f"the head's weights are {share:.2g} of a fresh copy's size (line: {HELD:g}), the others are not; ridge on "
            f"what it reads has skill {refit:.2f}, and a copy that loss and optimizer alone train learns"
        ),
        means="something in the training loop holds the head down, and the state knows what it does not say",
        try_first="print(model.head.weight.norm())  # after each step: who makes it smaller?",
        confidence=0.9,
    )
