"""Nothing in the window predicts the target.

## What it is

The inputs do not say anything about the targets, as far as cheap references can tell: ridge regression on the
window, small boosted trees and a small scaled GRU find no held-out skill beyond chance.

## Why the outputs look alike

Where nothing can be known, the best answer to every input is the same one: the mean, the median, the prior. A
network that says so is right.

## How we know

Each reference is fitted on training samples and judged on held-out ones, under the model's own loss. Chance is
judged by circular shifts of the held-out targets against fixed predictions, which keep the series' own swings. It
is absence of evidence: a signal that all references are blind to passes for none, and so does one that is too weak to
stand out among the held-out samples (an R² r is measured with an error of about 2·√(r/n), so below some 11/n it
may well be missed). So the confidence stays below 1, and falls with fewer samples.

## What to try

Other features, a longer window or a shorter horizon. Where only the spread can be foretold, forecast quantiles.
Nothing is wrong with the network.
"""

from typing import Final

from flatspot.diagnosis import MISSED, NO_SIGNAL, SHRUNKEN, Finding, graded

EXPLAINS: Final = ("undertrained", "saturated-units", "dead-units", "head-ignores-state", "class-imbalance")
SICK: Final = {"references_best": 0.0, "skill_possible": 0.0, "diversity_ratio_val": 0.02}
WELL: Final = {"references_best": 0.7, "skill_possible": 0.7, "diversity_ratio_val": 0.02}


WEAK: Final = 0.02
STRONG: Final = 0.3


def judge(
    references_best: float, skill_possible: float, diversity_ratio_val: float, sizes_val: float = 1000.0
) -> Finding | None:
    if max(references_best, skill_possible) > NO_SIGNAL or diversity_ratio_val >= SHRUNKEN:
        return None
    missed = min(MISSED / max(sizes_val, 1.0), 1.0)
    return Finding(
        cause="no-signal",
        seen=(
            f"the best held-out skill of any reference is {references_best:.3f} (line: {NO_SIGNAL}); a skill below "
            f"{missed:.2g} may be missed among {sizes_val:.0f} samples"
        ),
        means="as far as can be told a constant is the right answer, and the network is not at fault",
        try_first="look for other features, a longer window or a shorter horizon",
        override="data.window=96",
        confidence=graded(-missed, -STRONG, -WEAK, 0.6, 0.9),
    )
