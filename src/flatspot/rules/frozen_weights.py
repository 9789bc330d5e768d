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

Weights of `requires_grad=False`: `requires_grad_(True)`. Weights without a gradient: no `.detach()`, `.data`, `.item()`
or `torch.no_grad()` between them and the loss. Weights that the optimizer does not hold: give it `model.parameters()`,
or the part that is missing. Layers in a plain list: `nn.ModuleList`.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

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
STAIRS: Final = "no rounding, threshold or argmax between them and the loss"
LISTED: Final = "nn.ModuleList(layers)  # in the place of the plain list, and an optimizer that is made behind it"
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
    gradients_fixed_away_share: float = 0.0,
    fixed_parts: str = "",
    away_parts: str = "",
    cut_parts: str = "",
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
    what, parts, remedy = CUT, cut_parts, STAIRS if cut > gradients_cut_share else _joined_again(cut_parts)
    if by_optimizer and gradients_stray_share == share:
        what, parts, remedy = OUTSIDE, "", LISTED
    elif by_optimizer and gradients_fixed_share == share:
        what, parts, remedy = FIXED, fixed_parts, _freed(fixed_parts, unheld=gradients_fixed_away_share > 0)
    elif by_optimizer:
        what, parts, remedy = NOT_HELD, away_parts, _held(away_parts)
    return Finding(
        cause="frozen-weights",
        seen=f"{share:.0%} of the weights {f'({parts}) ' if parts else ''}{what} (line: {LINE:.0%})",
        means="these stay as they were drawn, whatever the loss says",
        try_first=remedy,
        confidence=graded(share, LINE, 0.5, 0.75, 0.93) * (UNTRIED if unsure else 1.0),
    )


def _freed(parts: str, *, unheld: bool) -> str:
    freed = "; ".join(f"{attribute(each)}.requires_grad_(True)" for each in parts.split(", ") if each)
    also = "; optimizer = torch.optim.Adam(model.parameters())" if unheld else ""
    return (freed or "model.requires_grad_(True)") + also


def _held(parts: str) -> str:
    if not parts:
        return "optimizer = torch.optim.Adam(model.parameters())"
    added = (f"optimizer.add_param_group({{'params': {attribute(each)}.parameters()}})" for each in parts.split(", "))
    return "; ".join(added)


def _joined_again(parts: str) -> str:
    if parts:
        named = " and ".join(map(attribute, parts.split(", ")))
        return f"no .detach(), .data, .item() or torch.no_grad() between {named} and the loss"
    return "print([name for name, each in model.named_parameters() if each.grad is None])  # no .detach() behind these"


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
