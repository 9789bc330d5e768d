"""The last activation cannot produce the targets.

## What it is

A relu, sigmoid, tanh or softmax stands behind the last weights, and the targets (or what the loss wants) lie
outside of its range.

## Why the outputs look alike

Where the targets cannot be reached, the output stays at the nearest end of its range, for every sample; a relu that
has arrived at zero gets no gradient and stays there.

## How we know

The last weights' output is replaced by free numbers, which are fitted under the model's own loss: one set for each
sample, and one for all. Where even free numbers gain little over the best constant, no encoder can. Ranges alone
would miss a softmax before cross-entropy.

## What to try

A linear head; logits into a loss that wants logits.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

EXPLAINS: Final = (
    "dead-units",
    "undertrained",
    "saturated-units",
    "head-ignores-state",
    "unscaled-targets",
    "no-signal",
    "input-never-arrives",
    "frozen-weights",
    "vanishing-gradient",
)
SICK: Final = {"ceiling_skill": 0.1, "ceiling_bounded": 1.0, "skill_missing": 1.0}
WELL: Final = {"ceiling_skill": 1.0, "ceiling_bounded": 1.0, "skill_missing": 1.0}
LINE: Final = 0.75
LEARNS: Final = 0.5


def judge(
    skill_missing: float,
    ceiling_bounded: float,
    ceiling_skill: float = 1.0,
    ceiling_stuck: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    finite_bad_weights: float = 0.0,
    head_name: str = "",
) -> Finding | None:
    if finite_bad_weights:
        return None  # numbers that are none reach nothing
    if trial_again_skill > LEARNS * skill_possible:
        return None  # begun anew it learns, with this very head
    if not ceiling_bounded or skill_missing < DAMAGE or (ceiling_skill > LINE and not ceiling_stuck):
        return None
    if ceiling_skill <= LINE:
        seen = (
            f"with free numbers before the last activation the skill reaches {ceiling_skill:.2f} at most (line: {LINE})"
        )
    else:
        seen = "the last activation lies at the end of its range for every sample, where its slope is 0"
    return Finding(
        cause="head-range",
        seen=seen,
        means="what stands behind the last weights cannot say what the targets are",
        try_first=(
            f"return {attribute(head_name, of='self')}(h)  # without relu, sigmoid, tanh or softmax behind it"
            if head_name
            else "no relu, sigmoid, tanh or softmax behind the last weights"
        ),
        override="model.head_activation=none",
        confidence=graded(-ceiling_skill, -LINE, -0.3, 0.7) if ceiling_skill <= LINE else 0.8,
    )
