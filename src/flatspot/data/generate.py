"""Series that are made, not read: their truth is known, and each says what the best possible forecast reaches."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from flatspot.data.read import Series
from flatspot.errors import BadInput

MOST_STEPS: Final = 50_000_000
"""More would not fit in memory beside the network."""


def sines(
    steps: int = 2400,
    frequencies: Sequence[float] = (0.05, 0.013),
    amplitudes: Sequence[float] = (1.0,),
    phases: Sequence[float] = (0.0,),
    noise: float = 0.1,
    offset: float = 0.0,
    series_seed: int = 0,
) -> Series:
    """A sum of sines, white noise, and an offset: offset + Σ a sin(2π (f t + p)) + noise.

    The best possible forecast is the sum without the noise: its R² is 1 - noise² / (noise² + Σ a²/2), 0.99 with the
    default values, at any horizon. A noiseless sum of n sines follows exactly from its last 2n steps (Prony 1795);
    noise has to be averaged out over a longer window.

    Args:
        steps: t = 0, 1, ..., steps - 1.
        frequencies: f, in cycles per step, between 0 and 0.5 and each another: at 0.5 a sine may vanish at every step.
        amplitudes: a, one for each frequency, or one for all.
        phases: p, in cycles, one for each frequency, or one for all.
        noise: its std. offset: added to all.
        series_seed: of the noise; not the run's, so that seeds can be compared on the same series.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    _check(steps, series_seed, noise=noise, offset=offset)
    heights = _one_each("amplitudes", amplitudes, len(frequencies))
    starts = _one_each("phases", phases, len(frequencies))
    _check_frequencies(frequencies)
    time = np.arange(steps)
    values = offset + noise * np.random.default_rng(series_seed).standard_normal(steps)
    for frequency, height, start in zip(frequencies, heights, starts, strict=True):
        values += height * np.sin(2 * math.pi * (frequency * time + start))
    return Series("sines", ("sines",), 1, values[:, None])


def delay(steps: int = 2400, lag: int = 10, noise: float = 0.0, series_seed: int = 0) -> Series:
    """White noise, and the same noise `lag` steps later: the target is the input `lag` steps ago.

    Channels `delayed` (the target) and `input`, both N(0, 1). The input is a new draw at every step, so that nothing
    but a memory of `lag` steps can predict the target. The best possible forecast of the step h after the window has
    R² = 1 / (1 + noise²) where the window holds the draw, h ≤ lag < h + window, and 0 where it does not.

    Args:
        steps: of the series.
        lag: k, in steps.
        noise: std of what is added to the target.
        series_seed: of the draws; not the run's, so that seeds can be compared on the same series.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    _check(steps, series_seed, noise=noise)
    if not 1 <= lag < steps:
        raise BadInput(f"data.lag={lag}: must lie between 1 and {steps - 1}, the steps before the last")
    generator = np.random.default_rng(series_seed)
    drawn = generator.standard_normal(steps + lag)
    delayed = drawn[:steps] + noise * generator.standard_normal(steps)
    return Series("delay", ("delayed", "input"), 1, np.column_stack([delayed, drawn[lag:]]))


def _check(steps: int, series_seed: int, **numbers: float) -> None:
    if not 1 <= steps <= MOST_STEPS:
        raise BadInput(f"data.steps={steps}: must lie between 1 and {MOST_STEPS:,}")
    if series_seed < 0:
        raise BadInput(f"data.series_seed={series_seed}: must be at least 0")
    for name, number in numbers.items():
        if not math.isfinite(number) or (name == "noise" and number < 0):
            raise BadInput(f"data.{name}={number}: must be a finite number{' of at least 0' * (name == 'noise')}")


def _check_frequencies(frequencies: Sequence[float]) -> None:
    if not frequencies or len(set(frequencies)) < len(frequencies):
        raise BadInput(f"data.frequencies={list(frequencies)}: give one or more, each another")
    for frequency in frequencies:
        if not 0 < frequency < 0.5:
            raise BadInput(f"data.frequencies: {frequency} is not between 0 and 0.5 cycles per step")


def _one_each(name: str, given: Sequence[float], count: int) -> list[float]:
    numbers = list(given) * count if len(given) == 1 else list(given)
    if len(numbers) != count:
        raise BadInput(f"data.{name}: {len(numbers)} of them for {count} data.frequencies; one each, or one for all")
    if not all(math.isfinite(number) for number in numbers):
        raise BadInput(f"data.{name}={numbers}: must be finite")
    return numbers
