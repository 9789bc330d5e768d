"""It learned its few samples by heart.

## What it is

There are too few samples for what the model could learn by heart, or they are too alike: skill is high on the
training samples and none outside of them.

## Why the outputs look alike

Outside of what it knows by heart the network says one thing, or noise.

## How we know

Skill on training samples is held against skill on held-out ones; where the targets vary more in training, errors are.

## What to try

More or more varied data, a smaller model, regularisation, early stopping.
"""

from typing import Final

from flatspot.diagnosis import Finding, graded

EXPLAINS: Final = ("saturated-units", "dead-units", "head-ignores-state", "vanishing-gradient", "no-signal")
SICK: Final = {"skill_train": 0.95, "skill_val": -0.2, "sizes_train": 40.0}
WELL: Final = {"skill_train": 0.1, "skill_val": 0.05, "sizes_train": 40.0}
GAP: Final = 0.4
MOST: Final = 0.6


def judge(skill_train: float, skill_val: float, sizes_train: float, skill_train_in_val: float = 1.0) -> Finding | None:
    gap = min(skill_train, skill_train_in_val) - max(skill_val, 0.0)
    if gap < GAP or skill_val > MOST * skill_train:
        return None
    return Finding(
        cause="too-little-data",
        seen=(
            f"skill {skill_train:.2f} on its {sizes_train:.0f} training samples and "
            f"{skill_val:.2f} held out (line: {GAP} apart)"
        ),
        means="it learned the training samples by heart",
        try_first="more samples, a smaller hidden size, or early stopping on held-out samples",
        override="model.hidden_size=8",
        confidence=graded(gap, GAP, 0.9, 0.6, 0.9),
    )
