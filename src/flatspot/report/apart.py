"""Which settings of a sweep are told apart from the best one, which was chosen by the same numbers."""

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

Errors = Mapping[str | None, float]
"""By seed, what a setting errs."""

SURE: Final = 0.95
"""The share of sweeps in which all intervals hold what they are of."""

ASTRAY: Final = 5.0
"""Times the middle setting's spread over seeds, beyond which a setting's is its own, and not the others'."""


def half_widths(errors: Sequence[Errors]) -> list[float]:
    """Half of the interval of each setting's mean difference from the first, over the seeds that both have.

    All intervals together hold in 95 of 100 sweeps, for differences between any two settings: so they do where the
    first one is the best of many, chosen after the fact. What differs from seed to seed is estimated from all settings
    together, each seed having an effect of its own on all of them; a setting whose spread is far from the others' has
    its own. NaN where the two have fewer than two seeds in common.

    Args:
        errors: of every setting.

    Source: Tukey's studentized range (Tukey 1953; Kramer 1956, for unequal numbers), in randomised blocks.

    >>> [round(each, 3) for each in half_widths([{"0": 1.0, "1": 2.0, "2": 3.0}, {"0": 1.5, "1": 2.4, "2": 3.6}])]
    [0.248]
    """
    if len(errors) < 2:
        return []
    spreads, freedom = _spreads(errors)
    common = [len(errors[0].keys() & own.keys()) for own in errors[1:]]
    if freedom < 1:
        return [math.nan] * len(common)
    critical = _studentized_range(len(errors), freedom) / math.sqrt(2)
    return [
        critical * math.hypot(spreads[0], spread) / math.sqrt(count) if count > 1 else math.nan
        for spread, count in zip(spreads[1:], common, strict=True)
    ]


@cache
def _studentized_range(groups: int, freedom: int) -> float:
    from scipy.stats import studentized_range  # noqa: PLC0415 - half a second, at the end of a sweep alone

    return float(studentized_range.ppf(SURE, groups, freedom))


def _spreads(errors: Sequence[Errors]) -> tuple[list[float], int]:
    """The standard deviation over seeds of each setting, and the degrees of freedom of what they have in common."""
    own = [_deviation(list(each.values())) for each in errors]
    middle = statistics.median(own)
    steady = [at for at, each in enumerate(own) if each <= ASTRAY * middle]
    residuals, freedom = _residuals([errors[at] for at in steady])
    if freedom < 1:
        return own, 0
    pooled = math.sqrt(math.fsum(each**2 for each in residuals) / freedom)
    kept = set(steady)
    return [pooled if at in kept else max(pooled, each) for at, each in enumerate(own)], freedom


def _residuals(errors: Sequence[Errors]) -> tuple[list[float], int]:
    """What a mean of each setting and an effect of each seed leave of the errors, and its degrees of freedom."""
    import numpy as np  # noqa: PLC0415 - a sweep's end alone needs it

    seeds = {seed: at for at, seed in enumerate(dict.fromkeys(seed for own in errors for seed in own))}
    cells = [(at, seeds[seed], value) for at, own in enumerate(errors) for seed, value in own.items()]
    if not cells:
        return [], 0
    design = np.zeros((len(cells), len(errors) + len(seeds)))
    for row, (setting, seed, _) in enumerate(cells):
        design[row, setting] = design[row, len(errors) + seed] = 1
    values = np.array([value for *_, value in cells])
    fitted, _, rank, _ = np.linalg.lstsq(design, values)
    left: list[float] = (values - design @ fitted).tolist()
    return left, len(cells) - int(rank)


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
