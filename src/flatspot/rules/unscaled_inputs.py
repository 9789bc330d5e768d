"""The inputs are far from mean 0 and standard deviation 1.

## What it is

A channel has a mean or a spread far from what a network is made for, or channels are of very different sizes, so
that the small ones are not seen.

## Why the outputs look alike

An offset of thousands drives every unit to its rail, where it stays whatever the sample: the differences between
samples are lost in the first layer. An offset is worse than a scale: 9065 ± 22 flattens where 0 to 250 may not.

## How we know

A copy is trained for a few steps on the inputs as they are, and another one, with the same start and the same
batches, on standardised inputs. It is this cause where the second learns and the first does not. Odd scales alone
are no finding. Where a few far values (fillers, faults) make a channel's spread, its bulk is standardised.

## What to try

Standardise each channel by training samples: mean 0, standard deviation 1.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "saturated-units",
    "dead-units",
    "undertrained",
    "vanishing-gradient",
    "exploding-gradient",
    "head-ignores-state",
    "redundant-inputs",
    "learning-rate-too-high",
    "frozen-weights",
    "input-never-arrives",
    "wrong-timestep",
    "not-finite",
    "too-deep",
    "bad-init",
)
SICK: Final = {
    "inputs_largest_offset": 400.0,
    "inputs_largest_std": 22.0,
    "inputs_smallest_std": 22.0,
    "skill_missing": 1.0,
    "trial_inputs_closes": 0.95,
}
WELL: Final = {**SICK, "trial_inputs_closes": 0.02}
LINE: Final = 0.35
RAILS: Final = 0.6
STILL: Final = 0.5
MORE: Final = 0.3
MILD: Final = 3.0
SMALL: Final = 0.1
FORGETS: Final = 1e-3


def judge(
    inputs_largest_offset: float,
    inputs_largest_std: float,
    inputs_smallest_std: float,
    skill_missing: float,
    trial_inputs_closes: float,
    trial_both_closes: float = 0.0,
    trial_targets_closes: float = 0.0,
    units_standard_saturated: float = 0.0,
    inputs_smallest_bulk: float = 1.0,
    trial_slower_closes: float = 0.0,
    reach_fresh_early: float = 1.0,
    lag_needs_early: float = 0.0,
) -> Finding | None:
    together = trial_both_closes - max(trial_targets_closes, 0.0)
    closes = max(trial_inputs_closes, together)
    if skill_missing < DAMAGE or closes < LINE:
        return None
    mild = max(inputs_largest_offset, inputs_largest_std) < MILD and inputs_smallest_std > SMALL
    forgets = mild and lag_needs_early and reach_fresh_early < FORGETS  # of standardised inputs too
    symptom = forgets or units_standard_saturated > RAILS or trial_slower_closes > closes + MORE
    far = inputs_smallest_bulk < inputs_smallest_std
    alone = max(trial_inputs_closes, trial_targets_closes, 0.0)
    what = "inputs" if trial_inputs_closes >= together else "inputs and targets"
    tails = f" (a few far values make it: the bulk has {inputs_smallest_bulk:.3g})" if far else ""
    return Finding(
        cause="unscaled-inputs",
        seen=(
            f"means up to {inputs_largest_offset:.3g} standard deviations away from 0, standard deviations of "
            f"{_span(inputs_smallest_std, inputs_largest_std)}{tails}; a copy with standardised {what} closes "
            f"{closes:.0%} of the gap (line: {LINE:.0%})"
        ),
        means="the first layer cannot tell the samples apart",
        try_first="x = (x - x_train.mean(dim=(0, 1))) / x_train.std(dim=(0, 1))",
        override="data.scale=standard",
        together=("unscaled-targets",) if trial_both_closes - alone >= LINE else (),
        # Units at their rails for scaled inputs too have another reason to be there, and so has what is forgotten where
        # scales are hardly odd: larger inputs only shout louder; and slower steps may mend more.
        confidence=graded(closes, LINE, 0.9, 0.7) * (STILL if symptom else 1.0),
    )


def _span(low: float, high: float) -> str:
    first, last = f"{low:.3g}", f"{high:.3g}"
    return first if first == last else f"{first} to {last}"
