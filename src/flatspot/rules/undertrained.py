"""It would learn, it has not yet.

## What it is

Too few steps, or steps that are too small.

## Why the outputs look alike

The first thing that a network learns is the mean of the targets. A network that has come no farther says it for
every input.

## How we know

The network at hand is trained on, as it was and at ten and a hundred times the rate; for longer, where that leads
somewhere and nothing else helps. It is this cause where that closes the gap. It is not where the same training, begun
anew, comes as far in no more steps than were taken. It is this cause too where the steps that were taken cannot have
moved the weights: an optimizer like Adam moves each by about its rate a step, so that rate times steps, beside the size
of the weights, says how far.

## What to try

More steps; a larger learning rate.
"""

import math
from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = ("weights-not-loaded", "head-ignores-state", "vanishing-gradient")
SICK: Final = {"trial_on_closes": 0.6, "trial_on_faster_closes": 0.9, "settings_rate": 1e-5, "skill_missing": 1.0}
WELL: Final = {**SICK, "trial_on_closes": 0.0, "trial_on_faster_closes": 0.0}
LINE: Final = 0.35
LIKE: Final = 0.95
FAR: Final = 3.0
STAYED: Final = 0.1
USUAL: Final = 3.0
RATE: Final = 1e-3
ENOUGH: Final = 0.7
STILL: Final = 0.3
SLOW: Final = 0.02
UNSURE: Final = 0.6


def judge(
    trial_on_closes: float,
    trial_on_faster_closes: float,
    settings_rate: float,
    skill_missing: float,
    trial_on_fastest_closes: float = 0.0,
    trial_on_longer_closes: float = 0.0,
    settings_steps: float | None = None,
    settings_rate_now: float | None = None,
    trial_again_skill: float = 0.0,
    trial_again_steps: float = math.inf,
    skill_possible: float = 1.0,
    weights_as_fresh: float = 0.0,
    moved_expected: float = 1.0,
    weights_largest_scale: float = 1.0,
    head_rate_share: float = 1.0,
    head_refit_skill: float = 0.0,
) -> Finding | None:
    lowered = settings_rate_now is not None and settings_rate_now < STILL * settings_rate  # or not yet raised
    untouched = weights_as_fresh > LIKE and moved_expected > FAR and trial_again_skill > 0.5 * skill_possible
    if untouched and not lowered:
        return None  # these weights were not trained at all
    if head_rate_share <= SLOW and head_refit_skill > ENOUGH * skill_possible:
        return None  # all but the head has learned enough
    suffices = trial_again_skill >= ENOUGH * skill_possible and not lowered
    if suffices and (settings_steps or 0.0) >= trial_again_steps:
        return None  # begun anew, no more steps than were taken come that far
    more = max(trial_on_closes, trial_on_longer_closes)
    closes = max(more, trial_on_faster_closes, trial_on_fastest_closes)
    if skill_missing < DAMAGE:
        return None
    if closes < LINE:
        return _stayed(settings_rate, settings_steps or 0.0, moved_expected, weights_largest_scale)
    longer = more >= 0.8 * closes
    factor = 10 if trial_on_faster_closes >= 0.8 * closes else 100
    took = f" after {settings_steps:.0f}" if settings_steps is not None else ""
    return Finding(
        cause="undertrained",
        seen=(
            f"a few more steps{took}{'' if longer else f' at {factor} times the rate'} close {closes:.0%} of the gap "
            f"(line: {LINE:.0%})"
        ),
        means="it has learned the mean of the targets and not come farther yet",
        try_first="for epoch in range(10 * epochs): ..." if longer else f"lr={factor * settings_rate:g}",
        override="trainer.max_epochs=200" if longer else f"optimizer.lr={factor * settings_rate:g}",
        confidence=graded(closes, LINE, 0.85, 0.6, 0.9) * (UNSURE if untouched else 1.0),
    )


def _stayed(rate: float, steps: float, moved: float, scale: float) -> Finding | None:
    """Where the weights cannot have come far, whatever a few more steps would do."""
    if not steps or moved >= STAYED or scale > USUAL:
        return None
    slow = rate < RATE
    return Finding(
        cause="undertrained",
        seen=(
            f"{steps:.0f} steps at rate {rate:g} can have moved the weights by {moved:.1%} of their size "
            f"(line: {STAYED:.0%})"
        ),
        means="the network is nearly as it began",
        try_first=f"lr={RATE:g}" if slow else "for epoch in range(10 * epochs): ...",
        override=f"optimizer.lr={RATE:g}" if slow else "trainer.max_epochs=200",
        confidence=0.85,
    )
