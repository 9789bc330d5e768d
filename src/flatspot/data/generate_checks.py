"""What the made series share: knobs that cannot be used are refused by name, and scales and offsets come last."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flatspot.errors import BadInput

MOST_STEPS: Final = 50_000_000
"""More, of all series together, would not fit in memory beside the network."""

LARGEST: Final = 1e30
"""Numbers beyond this have squares that nothing can add up."""

LARGEST_ROOT: Final = 0.9999
"""A process that remembers for longer hardly differs from a random walk in any series that can be made."""


def check_sizes(series_seed: int, **sizes: int) -> None:
    """Refuse a seed below 0, a size below 1, and sizes whose product is too large.

    Raises:
        BadInput: naming the key, or the keys.
    """
    for name, size in sizes.items():
        if not 1 <= size <= MOST_STEPS:
            raise BadInput(f"data.{name}={size}: must lie between 1 and {MOST_STEPS:,}")
    if math.prod(sizes.values()) > MOST_STEPS:
        asked = " × ".join(f"data.{name}={size}" for name, size in sizes.items())
        raise BadInput(f"{asked}: must be at most {MOST_STEPS:,} steps in all")
    if series_seed < 0:
        raise BadInput(f"data.series_seed={series_seed}: must be at least 0")


def check_noise(noise: float) -> None:
    """Refuse a std that is none.

    Raises:
        BadInput: naming it.
    """
    if not 0 <= noise <= LARGEST:
        raise BadInput(f"data.noise={noise}: must be a finite number of at least 0, and at most {LARGEST:g}")


def check_range(least: float, most: float, **numbers: float) -> None:
    """Refuse numbers that are not between two others, or one of these.

    Raises:
        BadInput: naming the key.
    """
    for name, number in numbers.items():
        if not least <= number <= most:
            raise BadInput(f"data.{name}={number}: must lie between {least:g} and {most:g}")


def check_above_zero(**numbers: float) -> None:
    """Refuse 0 and less, where nothing would be left of the series.

    Raises:
        BadInput: naming the key.
    """
    for name, number in numbers.items():
        if not 0 < number <= LARGEST:
            raise BadInput(f"data.{name}={number}: must be above 0, and at most {LARGEST:g}")


def check_frequencies(frequencies: Sequence[float], least: int = 1) -> None:
    """Refuse frequencies that a step cannot resolve, and those given twice.

    Raises:
        BadInput: naming data.frequencies.
    """
    if len(set(frequencies)) < max(len(frequencies), least):
        many = "one" if least == 1 else "two"
        raise BadInput(f"data.frequencies={list(frequencies)}: give {many} or more, each another")
    for frequency in frequencies:
        if not 0 < frequency < 0.5:
            raise BadInput(f"data.frequencies: {frequency} is not between 0 and 0.5 cycles per step")


def check_stationary(coefficients: Sequence[float]) -> float:
    """The largest root of an autoregression: what is left of a shock shrinks by about this factor a step.

    Raises:
        BadInput: naming data.coefficients, where there are none, or the process has no lasting mean and variance.
    """
    given = list(coefficients)
    if not given or not all(abs(number) <= LARGEST for number in given):
        raise BadInput(f"data.coefficients={given}: give one or more finite numbers")
    root = float(np.abs(np.roots([1.0, *(-number for number in given)])).max(initial=0.0))
    if not root <= LARGEST_ROOT:
        raise BadInput(
            f"data.coefficients={given}: not stationary: its largest root is {root:.6g} and must be at most "
            f"{LARGEST_ROOT:g}; for a root of 1 say data=random_walk"
        )
    return root


def one_each(name: str, given: Sequence[float], count: int, of: str) -> list[float]:
    """One number for each of so many things, also where one was given for all.

    Raises:
        BadInput: naming the key, for another count or a number that is not finite.
    """
    numbers = list(given) * count if len(given) == 1 else list(given)
    if len(numbers) != count:
        raise BadInput(f"data.{name}: {len(numbers)} of them for {count} {of}; one each, or one for all")
    if not all(abs(number) <= LARGEST for number in numbers):
        raise BadInput(f"data.{name}={numbers}: must be finite, and at most {LARGEST:g}")
    return numbers


def scaled(values: NDArray[np.float64], scales: Sequence[float], offsets: Sequence[float]) -> NDArray[np.float64]:
    """Values · scale + offset, a pair for each channel or one for all, `[row, channel]`.

    Raises:
        BadInput: naming data.scales or data.offsets.
    """
    channels = values.shape[1]
    of = "channel" if channels == 1 else "channels"
    factors = one_each("scales", scales, channels, of)
    if not all(factors):
        raise BadInput(f"data.scales={factors}: must not be 0: nothing would be left of the channel")
    result: NDArray[np.float64] = values * np.array(factors) + np.array(one_each("offsets", offsets, channels, of))
    return result
