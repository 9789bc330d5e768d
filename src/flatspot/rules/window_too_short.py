"""The window ends before what the target needs.

## What it is

The model sees one step, or fewer than the target's lag: what would predict it lies before the window.

## Why the outputs look alike

Over one step a recurrence has nothing to recur over, and what it is given does not tell the samples apart.

## How we know

Longer windows are put together from the samples before, where these follow one another, and a straight line is
fitted to both. It is this cause where the longer window says much more. A window of one step that the model reads
from a series with more is named too.

## What to try

A longer window; check that the time axis is the one that the layer runs along.
"""

from typing import Final

from flatspot.diagnosis import Finding, graded

EXPLAINS: Final = (
    "no-signal",
    "undertrained",
    "head-ignores-state",
    "saturated-units",
    "dead-units",
    "misaligned-pairs",
)
SICK: Final = {"beyond_gain": 0.6, "beyond_longer": 0.6, "sizes_steps": 1.0, "skill_val": 0.0}
WELL: Final = {"beyond_gain": 0.02, "beyond_longer": 0.6, "sizes_steps": 24.0, "skill_val": 0.6}
LINE: Final = 0.2
SHORT: Final = 6


def judge(
    skill_val: float,
    sizes_steps: float,
    beyond_gain: float,
    beyond_longer: float = 0.0,
    beyond_steps: float = 0.0,
    pairs_sliding: float = 1.0,
) -> Finding | None:
    gain = min(beyond_gain, beyond_longer - max(skill_val, 0.0))
    if gain < LINE or (sizes_steps > SHORT and not pairs_sliding):
        return None  # samples that are no stretch of one series have nothing before them
    return Finding(
        cause="window-too-short",
        seen=(
            f"a straight line finds {beyond_longer:.2f} in windows of "
            f"{beyond_steps:.0f} steps, {gain:.2f} more than in "
            f"{sizes_steps:.0f} (line: {LINE})"
        ),
        means="what predicts the target lies before the window",
        try_first=f"window = {beyond_steps:.0f}",
        override=f"data.window={beyond_steps:.0f}",
        confidence=graded(gain, LINE, 0.6, 0.75) if sizes_steps <= SHORT else graded(gain, LINE, 0.6, 0.6, 0.8),
    )
