"""It was trained, but what answers is something else.

## What it is

A checkpoint was not loaded (or with `strict=False` and other names), or a new instance of the class answers.

## Why the outputs look alike

Fresh weights answer nearly the same to everything.

## How we know

The weights are distributed as a fresh copy's are, though the optimizer says that steps were taken, of which no gradient
is left on these weights. Where no optimizer is given nobody says so, and the finding is less sure.

## What to try

Load the state dict into the instance that answers, and look at the keys that were missing.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding

EXPLAINS: Final = (
    "undertrained",
    "frozen-weights",
    "head-ignores-state",
    "vanishing-gradient",
    "learning-rate-too-high",
    "too-deep",
    "unscaled-targets",
    "unscaled-inputs",
    "saturated-units",
)
SICK: Final = {
    "weights_as_fresh": 1.0,
    "settings_steps": 400.0,
    "settings_rate": 0.01,
    "gradients_all_away": 1.0,
    "skill_missing": 1.0,
}
WELL: Final = {**SICK, "weights_as_fresh": 0.0, "gradients_all_away": 0.0}
LIKE: Final = 0.95
FAR: Final = 3.0
ZERO: Final = 0.5


def judge(
    weights_as_fresh: float,
    skill_missing: float,
    settings_steps: float = 0.0,
    settings_rate: float | None = None,
    gradients_all_away: float = 0.0,
    gradients_zero_share: float = 0.0,
    moved_expected: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    gradients_left_share: float = 0.0,
) -> Finding | None:
    if skill_missing < DAMAGE or weights_as_fresh < LIKE:
        return None
    if settings_rate is None:
        return _without_an_optimizer(weights_as_fresh)
    if not settings_steps:
        return None
    if gradients_all_away and gradients_left_share:
        return None  # it was trained, by an optimizer that holds another model's weights
    learns = trial_again_skill > 0.5 * skill_possible
    if not gradients_all_away and (moved_expected < FAR or gradients_zero_share > ZERO or not learns):
        return None
    return Finding(
        cause="weights-not-loaded",
        seen=(
            f"{weights_as_fresh:.0%} of the weights look as a fresh copy's do "
            f"(line: {LIKE:.0%}), and the optimizer took "
            f"{settings_steps:.0f} steps"
        ),
        means="the network that was trained is not the one that answers",
        try_first="print(model.load_state_dict(torch.load(path, weights_only=True)))  # which keys are missing?",
        confidence=0.92,
    )


def _without_an_optimizer(fresh: float) -> Finding:
    """Nobody says whether anything was trained; that this was not, the weights say."""
    return Finding(
        cause="weights-not-loaded",
        seen=(
            f"{fresh:.0%} of the weights look as a fresh copy's do (line: {LIKE:.0%}), and no optimizer was given that "
            "says whether steps were taken"
        ),
        means="what answers is not trained: not yet, or what was trained is not what answers",
        try_first="print(model.load_state_dict(torch.load(path, weights_only=True)))  # which keys are missing?",
        confidence=0.85,
    )
