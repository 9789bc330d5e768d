"""Gradients blow up through time.

## What it is

On the way back through time the gradient grows by a factor a step; single batches throw the weights far away.

## Why the outputs look alike

After such a step the units are at their rails, or the weights are somewhere where nothing can be learned.

## How we know

Copies are trained: as they are, and with gradients clipped. The largest gradient norm is held against the median
one, and how far outputs follow early steps against how far they follow late ones. It is this cause where clipping cures
and a smaller learning rate is not what is missing; or where each step back multiplies the gradient so far that clipping
alone does not help.

## What to try

Clip gradients to a norm of 1; orthogonal recurrent weights; a shorter window.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, GROWS, Finding, attribute, graded

EXPLAINS: Final = (
    "not-finite",
    "saturated-units",
    "dead-units",
    "learning-rate-too-high",
    "undertrained",
    "head-ignores-state",
)
SICK: Final = {
    "trial_clipped_closes": 0.9,
    "trial_again_norm_tail": 500.0,
    "skill_missing": 1.0,
    "trial_slower_closes": 0.3,
}
WELL: Final = {**SICK, "trial_clipped_closes": 0.0}
CLOSES: Final = 0.35
TAIL: Final = 20.0
FAR_GROWTH: Final = 50.0
FAR_TAIL: Final = 100.0
FILLED: Final = 0.3


def judge(
    trial_clipped_closes: float,
    trial_again_norm_tail: float,
    skill_missing: float,
    trial_slower_closes: float = 0.0,
    trial_again_largest_norm: float = 0.0,
    reach_fresh_early: float = 1.0,
    reach_now_early: float = 1.0,
    trial_slower_norm_tail: float = 1.0,
    padding_share: float = 0.0,
    recurrent_name: str = "",
) -> Finding | None:
    if skill_missing < DAMAGE:
        return None
    if trial_clipped_closes < CLOSES:
        growth = min(reach_fresh_early, reach_now_early) if padding_share < FILLED else 0.0  # no output follows filler
        return _grows(growth, recurrent_name) if growth > FAR_GROWTH else None
    grows = reach_fresh_early > GROWS
    lost = (
        trial_again_norm_tail < TAIL and trial_slower_norm_tail > FAR_TAIL
    )  # at this rate all later ones are as large
    tail = trial_slower_norm_tail if lost else trial_again_norm_tail
    if tail < TAIL and trial_again_largest_norm < 100 * TAIL and not grows:
        return None
    what = (
        f"a fresh copy follows early steps {reach_fresh_early:.3g} times as much as late ones (line: {GROWS:g})"
        if grows and tail < TAIL
        else f"the largest gradient norm is {tail:.3g} times the median (line: {TAIL:g})"
    )
    return Finding(
        cause="exploding-gradient",
        seen=f"{what}; clipped, a copy closes {trial_clipped_closes:.0%} of the gap",
        means="single batches throw the weights to where nothing can be learned",
        try_first="torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        override="trainer.gradient_clip_val=1.0",
        confidence=max(
            graded(trial_clipped_closes - 0.5 * max(trial_slower_closes, 0.0), 0.0, 0.5, 0.6, 0.9),
            0.85 if tail > FAR_TAIL or grows else 0.0,
        ),
    )


def _grows(growth: float, layer: str) -> Finding:
    """Where clipping alone is not enough, since each step back multiplies the gradient."""
    return Finding(
        cause="exploding-gradient",
        seen=(
            f"outputs follow early steps {growth:.3g} times as much as late ones, from the start and after training "
            f"(line: {FAR_GROWTH:g})"
        ),
        means="each step back multiplies the gradient, so that what it says is the noise of the beginning",
        try_first=(
            f"nn.init.orthogonal_({attribute(layer)}.weight_hh_l0)  # and gradients clipped to a norm of 1"
            if layer
            else "begin with orthogonal recurrent weights (nn.init.orthogonal_), and clip gradients to a norm of 1"
        ),
        override="model.recurrent_init=auto",
        confidence=0.8,
    )
