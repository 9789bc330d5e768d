"""The steps throw the weights onto a plateau.

## What it is

Each step moves the weights so far that what was learned is lost, and they end where the loss is flat and no rate
moves them any more.

## Why the outputs look alike

On the plateau units are at their rails or dead, and the bias of the head is all that still learns.

## How we know

Copies are trained from the same start on the same batches: at the learning rate at hand, and at a tenth and a
hundredth of it. It is this cause where the slower ones learn and the first does not. Of a schedule with a peak the
first rate and the highest one are compared.

## What to try

A tenth of the learning rate, or a warm-up.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, GROWS, Finding, graded

EXPLAINS: Final = (
    "not-finite",
    "saturated-units",
    "dead-units",
    "undertrained",
    "exploding-gradient",
    "head-ignores-state",
    "vanishing-gradient",
)
SICK: Final = {"trial_slower_closes": 0.9, "settings_rate": 1.0, "skill_missing": 1.0}
WELL: Final = {**SICK, "trial_slower_closes": 0.0}
LINE: Final = 0.35
TAIL: Final = 100.0
LOST: Final = 0.5
RAILS: Final = 0.6
STUCK: Final = 0.5


def judge(
    trial_slower_closes: float,
    settings_rate: float,
    skill_missing: float,
    trial_slowest_closes: float = 0.0,
    trial_clipped_closes: float = 0.0,
    trial_again_norm_tail: float = 1.0,
    trial_again_skill: float = 0.0,
    trial_peak_skill: float | None = None,
    settings_peak: float = 0.0,
    skill_possible: float = 1.0,
    reach_fresh_early: float = 1.0,
    trial_slower_norm_tail: float = 1.0,
    units_standard_saturated: float = 0.0,
) -> Finding | None:
    if skill_missing >= DAMAGE and trial_peak_skill is not None:
        lost = (trial_again_skill - max(trial_peak_skill, 0.0)) / max(skill_possible, 1e-9)
        if lost >= LOST:
            return _peak(settings_rate, settings_peak, lost)
    closes = max(trial_slower_closes, trial_slowest_closes)
    if skill_missing < DAMAGE or closes < LINE:
        return None
    tail = max(trial_again_norm_tail, trial_slower_norm_tail)
    explodes = trial_clipped_closes >= LINE and (tail > TAIL or reach_fresh_early > GROWS)
    stuck = units_standard_saturated >= RAILS  # from the start: smaller steps help, and are not what is wrong
    share = 10 if trial_slower_closes >= 0.8 * closes else 100
    return Finding(
        cause="learning-rate-too-high",
        seen=(
            f"at the rate of {settings_rate:g} a copy does not learn; at "
            f"{settings_rate / share:g} it closes {closes:.0%} of "
            f"the gap (line: {LINE:.0%})"
        ),
        means="each step throws the weights farther than what it could learn",
        try_first=f"optimizer = type(optimizer)(model.parameters(), lr={settings_rate / share:g})",
        override=f"optimizer.lr={settings_rate / share:g}",
        # Where clipping cures as well, single gradients were too large rather than all steps.
        confidence=graded(closes, LINE, 0.85, 0.65, 0.93) * (0.7 if explodes else 1.0) * (STUCK if stuck else 1.0),
    )


def _peak(rate: float, peak: float, lost: float) -> Finding:
    return Finding(
        cause="learning-rate-too-high",
        seen=(
            f"a copy learns at the rate of {rate:g} with which the schedule begins; at its highest, {peak:g}, "
            f"{lost:.0%} of the possible skill is lost (line: {LOST:.0%})"
        ),
        means="near its peak the schedule throws away what was learned, and what is left of it is too small",
        try_first=f"scheduler = OneCycleLR(optimizer, max_lr={peak / 10:g}, total_steps=steps)",
        override=f"optimizer.lr={peak / 10:g}",
        confidence=graded(lost, LOST, 1.0, 0.7, 0.9),
    )
