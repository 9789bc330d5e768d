"""Weight decay or dropout flattens the output.

## What it is

The pull towards small weights, or the noise of dropout, is stronger than the pull of the data.

## Why the outputs look alike

The smallest weights that answer anything answer the mean. Under strong dropout the mean is the safest answer too.

## How we know

A copy is trained without weight decay and dropout, and held against one that was trained with both.

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


def judge(
    trial_free_closes: float, settings_weight_decay: float, settings_dropout: float, skill_missing: float
) -> Finding | None:
    if skill_missing < DAMAGE or trial_free_closes < LINE:
        return None
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
