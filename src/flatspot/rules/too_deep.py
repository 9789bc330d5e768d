"""Diversity shrinks layer by layer before any training.

## What it is

Many layers one upon the other, each of which maps its inputs a little closer together.

## Why the outputs look alike

After enough layers all samples are in one place, and the gradient on the way back shrinks as much.

## How we know

How much samples differ is measured at each layer of a fresh copy with standardised inputs: fine after the first,
gone after the last, be they recurrent or not. Where a copy learns all the same, it is not this.

## What to try

Fewer layers, residual connections, layer normalisation, a larger gain.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "undertrained",
    "vanishing-gradient",
    "head-ignores-state",
    "saturated-units",
    "dead-units",
    "bad-init",
)
SICK: Final = {"stages_fresh_first": 0.5, "stages_fresh_last": 0.001, "stages_fresh_count": 8.0, "skill_missing": 1.0}
WELL: Final = {**SICK, "stages_fresh_last": 0.4}
FACTOR: Final = 20.0
LAYERS: Final = 4
LEARNS: Final = 0.5
VARIED: Final = 0.02
FAINT: Final = 0.05
DEAD: Final = 0.95


def judge(
    stages_fresh_first: float,
    stages_fresh_last: float,
    stages_fresh_count: float,
    skill_missing: float,
    stages_fresh_top: float | None = None,
    stages_fresh_bottom: float | None = None,
    stages_fresh_layers: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    weights_largest_scale: float = 1.0,
    units_standard_dead: float = 0.0,
    units_standard_saturated: float = 0.0,
) -> Finding | None:
    if max(units_standard_dead, units_standard_saturated) >= DEAD:
        return None  # one layer of stuck units takes all, at any depth
    if weights_largest_scale < FAINT:
        return None  # weights of nearly nothing lose samples in a single layer
    if skill_missing < DAMAGE or trial_again_skill > LEARNS * skill_possible:
        return None
    first, last, layers = stages_fresh_first, stages_fresh_last, stages_fresh_count
    if stages_fresh_top is not None and layers < LAYERS <= stages_fresh_layers:
        first, last, layers = max(first, stages_fresh_bottom or 0.0), stages_fresh_top, stages_fresh_layers
    factor = first / max(last, 1e-12)
    if first < VARIED or factor < FACTOR or layers < LAYERS:
        return None
    return Finding(
        cause="too-deep",
        seen=(
            f"in a fresh copy samples differ {factor:.3g} times less after layer "
            f"{layers:.0f} than after the "
            f"first (line: {FACTOR:g})"
        ),
        means="depth alone makes all samples alike, before any training",
        try_first="nn.GRU(inputs, hidden, num_layers=2)  # or residual connections around each layer",
        override="model.num_layers=2",
        confidence=graded(factor, FACTOR, 1000.0, 0.75, 0.93),
    )
