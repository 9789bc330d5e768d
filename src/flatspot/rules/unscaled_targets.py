"""The targets are far from mean 0 and standard deviation 1.

## What it is

The output has to climb to a far-off mean or stretch to a far-off spread, with steps that are made for numbers
around 1.

## Why the outputs look alike

Until the output has reached the mean of the targets, every gradient says the same: up. What differs between samples
is drowned in it; or the steps that are taken could not have reached the spread at all.

## How we know

A copy is trained for a few steps on standardised targets, its answers are reckoned back, and it is held against one
that was trained on the targets as they are.

## What to try

Standardise the targets by training samples, and reckon the predictions back.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "undertrained",
    "saturated-units",
    "head-ignores-state",
    "exploding-gradient",
    "learning-rate-too-high",
    "vanishing-gradient",
    "dead-units",
    "wrong-timestep",
    "not-finite",
)
SICK: Final = {"targets_mean": 9000.0, "targets_std": 20.0, "skill_missing": 1.0, "trial_targets_closes": 0.9}
WELL: Final = {**SICK, "trial_targets_closes": 0.0}
LINE: Final = 0.35


def judge(
    targets_mean: float,
    targets_std: float,
    skill_missing: float,
    trial_targets_closes: float,
    trial_both_closes: float = 0.0,
    trial_inputs_closes: float = 0.0,
    targets_name: str = "",
) -> Finding | None:
    together = trial_both_closes - max(trial_inputs_closes, 0.0)
    closes = max(trial_targets_closes, together)
    if skill_missing < DAMAGE or closes < LINE:
        return None
    called = f"({targets_name}) " if targets_name else ""
    alone = max(trial_inputs_closes, trial_targets_closes, 0.0)
    what = "targets" if trial_targets_closes >= together else "targets and inputs"
    return Finding(
        cause="unscaled-targets",
        seen=(
            f"targets {called}that lie {targets_mean:.4g} from 0, ± {targets_std:.3g}; a copy with standardised {what} "
            f"closes {closes:.0%} of the gap (line: {LINE:.0%})"
        ),
        means="the steps are spent on reaching the targets' level, not on what differs between samples",
        try_first="y = (y - y_train.mean()) / y_train.std()  # and back again for predictions",
        override="data.scale_target=standard",
        together=("unscaled-inputs",) if trial_both_closes - alone >= LINE else (),
        confidence=graded(closes, LINE, 0.9, 0.7),
    )
