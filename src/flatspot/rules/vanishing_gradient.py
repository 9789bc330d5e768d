"""Early steps cannot change the output, and the target needs them.

## What it is

On the way back through time the gradient shrinks by a factor a step, so that what happened early neither moves the
output nor is learned.

## Why the outputs look alike

What tells the samples apart happened before what the network can see: to it all samples are the same.

## How we know

How far the outputs follow each step of the input is measured by gradients, in a fresh copy and in the network at
hand. It is this cause where early steps move the output less than a thousandth as much as late ones and the target
needs early steps.

## What to try

LSTM or GRU, orthogonal recurrent weights, a forget gate that begins open, a shorter window.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute, graded

EXPLAINS: Final = ("undertrained", "head-ignores-state", "no-signal", "over-regularised")
SICK: Final = {
    "reach_now_early": 1e-7,
    "lag_needs_early": 1.0,
    "skill_missing": 1.0,
}
WELL: Final = {**SICK, "reach_now_early": 0.3}
LINE: Final = 1e-3
UNSURE: Final = 0.5


def judge(
    skill_missing: float,
    reach_now_early: float,
    reach_fresh_early: float | None = None,
    lag_needs_early: float | None = None,
    recurrent_name: str = "",
) -> Finding | None:
    ratio = max(reach_now_early, 0.0 if reach_fresh_early is None else min(reach_fresh_early, 1.0) * 0.1)
    unknown = lag_needs_early is None
    if skill_missing < DAMAGE or lag_needs_early == 0 or ratio > LINE:
        return None
    layer = f"nn.init.orthogonal_({attribute(recurrent_name)}.weight_hh_l0)" if recurrent_name else ""
    return Finding(
        cause="vanishing-gradient",
        seen=(
            f"the {'first steps' if unknown else 'steps that the target needs'} move the output {reach_now_early:.1e} "
            f"times as much as the last (line: {LINE:g})"
            f"{'; whether the target needs them is not known' if unknown else ''}"
        ),
        means="what happened early neither moves the output nor is learned",
        try_first=f"nn.LSTM(inputs, hidden)  # or {layer or 'orthogonal recurrent weights'}",
        override="model.cell=lstm",
        confidence=UNSURE if unknown else graded(-ratio, -LINE, -1e-6, 0.65, 0.9),
    )
