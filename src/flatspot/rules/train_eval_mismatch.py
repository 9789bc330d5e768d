"""What was trained is not what is asked.

## What it is

The same input is answered differently in training and in evaluation mode (batch normalisation whose running figures
are off, dropout), or the held-out inputs are scaled in another way than the training inputs.

## Why the outputs look alike

In one of the two the network works; in the other its inputs or its normalisation are far from what it knows, and
everything looks alike.

## How we know

Held-out samples are asked in both modes; skill on training samples is held against that on held-out samples, beside
how far these are from the training inputs.

## What to try

One scaler, fitted on training samples, for all. BatchNorm with larger batches or another momentum, or LayerNorm.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "too-little-data",
    "saturated-units",
    "dead-units",
    "undertrained",
    "unscaled-inputs",
    "head-ignores-state",
    "samples-mixed",
    "no-signal",
)
SICK: Final = {
    "diversity_skill_training_mode": 0.8,
    "skill_val": 0.0,
    "skill_train": 0.0,
    "skill_missing": 1.0,
    "inputs_val_mean_gap": 0.0,
    "inputs_val_std_ratio": 1.0,
}
WELL: Final = {**SICK, "diversity_skill_training_mode": 0.0}
GAP: Final = 0.3
SHIFT: Final = 1.0
RATIO: Final = 2.0
LEVEL: Final = 3.0
WORDS: Final = 0.5


def judge(
    diversity_skill_training_mode: float,
    skill_val: float,
    skill_train: float,
    skill_missing: float,
    inputs_val_mean_gap: float = 0.0,
    inputs_val_std_ratio: float = 1.0,
    references_within_val: float = 0.0,
    inputs_val_level_ratio: float = 1.0,
    inputs_val_words_gap: float = 0.0,
) -> Finding | None:
    between_modes = diversity_skill_training_mode - max(skill_val, 0.0)
    between_sets = skill_train - max(skill_val, 0.0)
    other_level = inputs_val_level_ratio > LEVEL
    other_words = inputs_val_words_gap > WORDS
    other_scale = inputs_val_mean_gap > SHIFT or inputs_val_std_ratio > RATIO or other_level or other_words
    lost = between_sets > GAP and other_scale
    if skill_missing < DAMAGE and references_within_val < GAP and not lost:
        return None
    if between_modes < GAP and not (between_sets > GAP and other_scale):
        return None
    modes = between_modes >= GAP
    return Finding(
        cause="train-eval-mismatch",
        seen=(
            f"held-out skill {diversity_skill_training_mode:.2f} in training mode "
            f"and {skill_val:.2f} in evaluation mode "
            f"(line: {GAP} apart)"
            if modes
            else f"the levels of held-out windows differ {inputs_val_level_ratio:.2g} times more, or less, than those "
            f"of training windows (line: {LEVEL:g})"
            if other_level
            else f"{inputs_val_words_gap:.0%} of the held-out whole numbers (words) are others than in training"
            if other_words
            else f"held-out inputs are {inputs_val_mean_gap:.2g} standard deviations off "
            f"and {inputs_val_std_ratio:.2g} "
            f"times as spread as training inputs (lines: {SHIFT:g}, {RATIO:g})"
        ),
        means="the network is asked another question than it was trained on",
        try_first=(
            "nn.LayerNorm in the place of nn.BatchNorm1d, or larger batches"
            if modes
            else "val_x = scaler.transform(val_x)  # the scaler that was fitted on training samples"
        ),
        override="data.scale=standard",
        confidence=graded(between_modes if modes else between_sets, GAP, 0.8, 0.75),
    )
