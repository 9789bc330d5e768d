"""The head reads a step that has not seen the window.

## What it is

The head reads the first step and not the last, or the wrong axis is indexed: the state there has seen one step of
the window or none.

## Why the outputs look alike

A state that has not seen what predicts the target is as good as none.

## How we know

Real steps of other samples are put into a window, one step at a time. The outputs follow none after the one that is
read; or few steps altogether, though some place inside the model has seen most of the window (one that is read
backwards, and its last state at place 0).

## What to try

Index the time axis: `output[:, -1]` where the batch stands first; of bidirectional layers both ends.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "undertrained",
    "no-signal",
    "head-ignores-state",
    "too-little-data",
    "window-too-short",
    "saturated-units",
    "vanishing-gradient",
    "misaligned-pairs",
)
SICK: Final = {"steps_last_read": 0.05, "steps_read": 0.05, "skill_missing": 1.0, "sizes_steps": 24.0}
WELL: Final = {"steps_last_read": 1.0, "steps_read": 1.0, "skill_missing": 1.0, "sizes_steps": 24.0}
LINE: Final = 0.8
FEWEST: Final = 3
MISSED: Final = 0.4
RAILS: Final = 0.9


def judge(
    steps_read: float,
    skill_missing: float,
    sizes_steps: float,
    steps_last_read: float = 1.0,
    steps_missed: float = 0.0,
    units_now_saturated: float = 0.0,
    ceiling_staircase: float = 0.0,
) -> Finding | None:
    if skill_missing < DAMAGE or sizes_steps < FEWEST or not steps_read or ceiling_staircase:
        return None
    if steps_last_read > LINE:
        lost = steps_missed >= MISSED and units_now_saturated < RAILS  # or what was seen is lost at the rails
        return _seen_elsewhere(steps_read, steps_missed) if lost else None
    return Finding(
        cause="wrong-timestep",
        seen=f"outputs follow the inputs up to {steps_last_read:.0%} of the window, and none behind (line: {LINE:.0%})",
        means="the head reads a state that has not seen the rest of the window",
        try_first="h = output[:, -1]  # the last step, where the batch stands first",
        confidence=graded(-steps_last_read, -LINE, -0.5, 0.75, 0.93),
    )


def _seen_elsewhere(read: float, missed: float) -> Finding:
    return Finding(
        cause="wrong-timestep",
        seen=(
            f"outputs follow {read:.0%} of the window's steps, while a state inside the model follows {missed:.0%} "
            f"more (line: {MISSED:.0%})"
        ),
        means="the head reads a state that has not seen the rest of the window",
        try_first="print(output[:, 0], output[:, -1])  # which of the two has seen the whole window?",
        confidence=0.93,
    )
