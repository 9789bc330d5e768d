"""The samples are (nearly) the same input.

## What it is

The windows hardly differ from one another: they are copies, or a stretch of one slow curve, or they share a large
pattern beside which their differences are tiny.

## Why the outputs look alike

A network that is given the same input gives the same output.

## How we know

The spread between samples at each place of the window is held against the spread of all numbers, and windows that
are exactly the same are counted. Where nearly all are, no reference can find a signal either.

## What to try

A larger stride between windows, more varied series, or the differences from what all have in common.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "no-signal",
    "undertrained",
    "too-little-data",
    "saturated-units",
    "head-ignores-state",
    "vanishing-gradient",
)
SICK: Final = {"variety_between": 0.01, "variety_duplicates": 0.0, "skill_missing": 1.0}
WELL: Final = {"variety_between": 0.9, "variety_duplicates": 0.0, "skill_missing": 1.0}
LINE: Final = 0.1
SAME: Final = 0.6
ALL: Final = 0.95


def judge(variety_between: float, variety_duplicates: float, skill_missing: float) -> Finding | None:
    if variety_duplicates < ALL and skill_missing < DAMAGE:  # of one input nothing can be told, by nobody
        return None
    if variety_between > LINE and variety_duplicates < SAME:
        return None
    alike = variety_between <= LINE
    return Finding(
        cause="redundant-inputs",
        seen=(
            f"samples differ by {variety_between:.2g} of the windows' own spread (line: {LINE})"
            if alike
            else f"{variety_duplicates:.0%} of the windows are copies of another one (line: {SAME:.0%})"
        ),
        means="the network is shown (nearly) the same input again and again",
        try_first="x = x - x.mean(dim=0)  # what all windows share; or a larger stride between windows",
        override="data.stride=24",
        confidence=graded(-variety_between, -LINE, -0.01) if alike else graded(variety_duplicates, SAME, 1.0),
    )
