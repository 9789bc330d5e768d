"""Some weights do not learn.

## What it is

A block of the network gets no gradient (`detach`, `requires_grad=False`, `torch.no_grad`), or the optimizer does
not hold it; of layers in a plain list `model.parameters()` knows nothing.

## Why the outputs look alike

The encoder stays as it was drawn. If it happens to map all samples to nearly one place, the head has nothing to
read.

## How we know

A batch is differentiated: weights without a gradient that nevertheless move the outputs, weights that are fixed,
weights that the optimizer does not hold, and those on the way to the answers that are no parameters of the model are
counted; or the answers follow free numbers in the place of the last weights' output, and no gradient comes back from
them (rounded, held against a threshold). Freezing on purpose does no harm, so a copy with all
weights in training has to do better. Where the optimizer holds none of the weights, gradients that were left on them
say that this network was trained, and not another one.

## What to try

Remove `.detach()`, set `requires_grad_(True)`, give the optimizer `model.parameters()`.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "undertrained",
    "weights-not-loaded",
    "head-ignores-state",
    "vanishing-gradient",
    "saturated-units",
    "too-deep",
    "dead-units",
    "bad-init",
    "no-signal",
    "head-range",
    "input-never-arrives",
)
SICK: Final = {
    "gradients_cut_share": 0.8,
    "gradients_fixed_share": 0.0,
    "gradients_away_share": 0.0,
    "skill_missing": 0.8,
}
WELL: Final = {**SICK, "gradients_cut_share": 0.0}
LINE: Final = 0.05
CLOSES: Final = 0.2
UNTRIED: Final = 0.6
MUCH: Final = 0.3
CUT: Final = "get no gradient, though the outputs follow them"
OUTSIDE: Final = "stand outside `model.parameters()` (in a plain list, say)"
FIXED: Final = "are fixed (requires_grad=False)"
NOT_HELD: Final = "are not held by the optimizer"
ALL: Final = 0.95
STUCK: Final = 0.6


def judge(
    gradients_cut_share: float,
    gradients_fixed_share: float,
    gradients_away_share: float,
    skill_missing: float,
    gradients_all_away: float = 0.0,
    gradients_left_share: float = 0.0,
    gradients_zero_cut_share: float = 0.0,
    units_now_saturated: float = 0.0,
    units_now_dead: float = 0.0,
    settings_steps: float = 0.0,
    trial_all_weights_closes: float | None = None,
    gradients_stray_share: float = 0.0,
    ceiling_staircase: float = 0.0,
    gradients_zero_share: float = 0.0,
    gradients_none_share: float = 0.0,
) -> Finding | None:
    if ceiling_staircase and gradients_zero_share + gradients_none_share >= ALL and skill_missing >= DAMAGE:
        return _behind_a_staircase(gradients_zero_share + gradients_none_share)
    stuck = max(units_now_saturated, units_now_dead) >= STUCK
    cut = gradients_cut_share if stuck else max(gradients_cut_share, gradients_zero_cut_share)
    share = max(cut, gradients_fixed_share, gradients_away_share, gradients_stray_share)
    if share < LINE or skill_missing < DAMAGE:
        return None
    if gradients_all_away and settings_steps and not gradients_left_share:
        return None  # steps were taken, and never with this model's gradients: another one was trained
    by_optimizer = share > cut
    untried = trial_all_weights_closes is None and not gradients_all_away
    helps = trial_all_weights_closes is None or trial_all_weights_closes >= CLOSES
    if by_optimizer and not gradients_all_away and not helps and gradients_away_share < MUCH:
        return None
    unsure = by_optimizer and not gradients_all_away and (untried or not helps)
    what = OUTSIDE if gradients_stray_share == share else FIXED if gradients_fixed_share == share else NOT_HELD
    return Finding(
        cause="frozen-weights",
        seen=f"{share:.0%} of the weights {what if by_optimizer else CUT} (line: {LINE:.0%})",
        means="these stay as they were drawn, whatever the loss says",
        try_first="optimizer = torch.optim.Adam(model.parameters())  # and no .detach() on the way",
        confidence=graded(share, LINE, 0.5, 0.75, 0.93) * (UNTRIED if unsure else 1.0),
    )


def _behind_a_staircase(share: float) -> Finding:
    return Finding(
        cause="frozen-weights",
        seen=(
            f"answers follow what the last weights say, and {share:.0%} of the weights get no gradient through it "
            f"(line: {ALL:.0%})"
        ),
        means="it is rounded, or held against a threshold, and a staircase has no slope",
        try_first="return said if self.training else said.round()",
        confidence=0.93,
    )
