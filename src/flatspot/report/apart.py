"""Which settings of a sweep are told apart from the best one, which was chosen by the same numbers."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Final

Errors = Mapping[str | None, float]
"""By seed, what a setting errs."""

Cell = tuple[int, str | None]
"""The number of a setting, and a seed."""

ROUNDS: Final = 200
STANDS: Final = 1e-12
"""Means are fitted until they move by less than this share of the largest error, or so often."""

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
    """What a mean of each setting and an effect of each seed leave of the errors, and its degrees of freedom.

    Both are fitted in turn until they stand; where each setting has each seed, that is at once.
    """
    left = {(at, seed): value for at, own in enumerate(errors) for seed, value in own.items()}
    sides = [_by_side(left, side) for side in (0, 1)]
    size = max(map(abs, left.values()), default=0.0)
    for _ in range(ROUNDS):
        moved = 0.0
        for cells in (each for side in sides for each in side):
            mean = statistics.fmean(left[cell] for cell in cells)
            moved = max(moved, abs(mean))
            for cell in cells:
                left[cell] -= mean
        if moved <= STANDS * size:
            break
    return list(left.values()), len(left) - sum(map(len, sides)) + _islands(sides)


def _by_side(cells: Iterable[Cell], side: int) -> list[list[Cell]]:
    """The cells of each setting, or of each seed."""
    found: dict[object, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell[side], []).append(cell)
    return list(found.values())


def _islands(sides: Sequence[Sequence[Sequence[Cell]]]) -> int:
    """How many groups of settings have no seed in common with any other: each has a level of its own."""
    islands: list[set[Cell]] = []
    for cells in (each for side in sides for each in side):
        touched = [each for each in islands if not each.isdisjoint(cells)]
        islands = [each for each in islands if each not in touched] + [set(cells).union(*touched)]
    return len(islands)


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0
