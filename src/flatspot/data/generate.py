"""Series that are made, not read: their truth is known, and each says what the best possible model reaches.

The parameters of each are its `data.` keys. Scales and offsets, applied last, change no R² and no accuracy of the
best model. The seed is of the series, not the run's, so that seeds can be compared on the same series.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flatspot.data.generate_checks import (
    LARGEST,
    LARGEST_ROOT,
    check_above_zero,
    check_frequencies,
    check_noise,
    check_range,
    check_sizes,
    check_stationary,
    one_each,
    scaled,
)
from flatspot.data.panel import Labels, Panel, Series
from flatspot.errors import BadInput


def sines(
    steps: int = 2400,
    frequencies: Sequence[float] = (0.05, 0.013),
    amplitudes: Sequence[float] = (1.0,),
    phases: Sequence[float] = (0.0,),
    noise: float = 0.1,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """A sum of sines and white noise: Σ a sin(2π (f t + p)) + noise.

    The best possible forecast is the sum without the noise: its R² is 1 - noise² / (noise² + Σ a²/2), 0.99 with the
    default values, at any horizon. A noiseless sum of n sines follows exactly from its last 2n steps (Prony 1795);
    noise has to be averaged out over a longer window.

    Args:
        steps: t = 0, 1, ..., steps - 1.
        frequencies: f, in cycles per step, between 0 and 0.5 and each another: at 0.5 a sine may vanish at every step.
        amplitudes: a, one for each frequency, or one for all.
        phases: p, in cycles, one for each frequency, or one for all.
        noise: its std.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the noise.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_noise(noise)
    heights = one_each("amplitudes", amplitudes, len(frequencies), "data.frequencies")
    starts = one_each("phases", phases, len(frequencies), "data.frequencies")
    check_frequencies(frequencies)
    time = np.arange(steps)
    values = noise * np.random.default_rng(series_seed).standard_normal(steps)
    for frequency, height, start in zip(frequencies, heights, starts, strict=True):
        values += height * np.sin(2 * math.pi * (frequency * time + start))
    return _one_channel("sines", values, scales, offsets)


def delay(
    steps: int = 2400,
    lag: int = 10,
    noise: float = 0.0,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """White noise, and the same noise `lag` steps later: the target is the input `lag` steps ago.

    Channels `delayed` (the target) and `input`, both N(0, 1). The input is a new draw at every step, so that nothing
    but a memory of `lag` steps can predict the target. The best possible forecast of the step h after the window has
    R² = 1 / (1 + noise²) where the window holds the draw, h ≤ lag < h + window, and 0 where it does not.

    Args:
        steps: of the series.
        lag: k, in steps.
        noise: std of what is added to the target.
        scales, offsets: value · scale + offset, last of all; one for each channel, or one for both.
        series_seed: of the draws.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_noise(noise)
    if not 1 <= lag < steps:
        raise BadInput(f"data.lag={lag}: must lie between 1 and {steps - 1}, the steps before the last")
    generator = np.random.default_rng(series_seed)
    drawn = generator.standard_normal(steps + lag)
    delayed = drawn[:steps] + noise * generator.standard_normal(steps)
    values = scaled(np.column_stack([delayed, drawn[lag:]]), scales, offsets)
    return Series("delay", ("delayed", "input"), 1, values)


def ar(
    steps: int = 2400,
    coefficients: Sequence[float] = (0.9,),
    noise: float = 1.0,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """A stationary autoregression AR(p): x_t = c_1 x_{t-1} + ... + c_p x_{t-p} + noise.

    The best possible forecast is linear and needs the last p values alone. At the step h after the window it has
    R² = 1 - Σ_{j<h} ψ_j² / Σ_j ψ_j², where ψ_0 = 1 and ψ_j = c_1 ψ_{j-1} + ... + c_p ψ_{j-p}: for AR(1) that is
    c^(2h), 0.81 at the next step with the default values and 0.12 at the tenth. So the best outputs are the flatter,
    the farther ahead they look, and rightly so.

    Source: Box, Jenkins & Reinsel 1994, chapters 3 and 5.

    Args:
        steps: of the series.
        coefficients: c_1 to c_p; what is left of a shock has to shrink: the largest root is at most 0.9999.
        noise: its std, above 0. The draws are those of `white_noise` with the same seed.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the noise.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_above_zero(noise=noise)
    root = check_stationary(coefficients)
    generator = np.random.default_rng(series_seed)
    shocks = generator.standard_normal(steps)
    # The process starts from zeros so long before the first step that e^-40 of them is left.
    before = generator.standard_normal(math.ceil(40 / (1 - root)))
    values = _autoregression(noise * np.concatenate([before, shocks]), coefficients)
    return _one_channel("ar", values[-steps:], scales, offsets)


def regimes(
    steps: int = 2400,
    level: float = 1.0,
    switch: float = 0.02,
    noise: float = 0.1,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """Two regimes: +level or -level, and white noise. At every step a Markov chain may change to the other one.

    No forecast of the step h after the window can have a better R² than (1 - 2 switch)^(2h) · level² / (level² +
    noise²). That is reached where the last value tells the regime, so where the noise is well below the level: at the
    next step 0.91 with the default values.

    Source: Hamilton 1989 (with the regimes in the mean alone).

    Args:
        steps: of the series.
        level: how far both are from 0, above 0.
        switch: the probability of a change at a step, above 0 and up to 1: a regime lasts for 1 / switch steps or so.
        noise: its std.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the changes and the noise.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_noise(noise)
    check_above_zero(level=level, switch=switch)
    check_range(0.0, 1.0, switch=switch)
    generator = np.random.default_rng(series_seed)
    changes = generator.random(steps) < switch
    changes[0] = generator.random() < 0.5
    states = np.where(changes, -1.0, 1.0).cumprod()
    return _one_channel("regimes", level * states + noise * generator.standard_normal(steps), scales, offsets)


def random_walk(
    steps: int = 2400,
    noise: float = 1.0,
    drift: float = 0.0,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """A random walk: x_t = x_{t-1} + drift + noise.

    The best possible forecast of the step h after the window is the last value + h · drift. Its mean squared error is
    h · noise² · scale², and nothing beats it. The R² depends on how far the walk strays in the test rows. They are
    mostly at levels that no training row had.

    Args:
        steps: of the series.
        noise: its std.
        drift: how far it moves at every step.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the noise.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_noise(noise)
    check_range(-LARGEST, LARGEST, drift=drift)
    drawn = np.random.default_rng(series_seed).standard_normal(steps)
    return _one_channel("random_walk", np.cumsum(drift + noise * drawn), scales, offsets)


def white_noise(
    steps: int = 2400,
    noise: float = 1.0,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Series:
    """White noise: a new draw from N(0, noise²) at every step.

    There is no signal. The best possible forecast is the mean, always, with R² = 0 at any horizon: outputs that are
    flat are right.

    Args:
        steps: of the series.
        noise: its std, above 0.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the noise.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, steps=steps)
    check_above_zero(noise=noise)
    drawn = np.random.default_rng(series_seed).standard_normal(steps)
    return _one_channel("white_noise", noise * drawn, scales, offsets)


def alike(
    count: int = 20,
    steps: int = 300,
    diversity: float = 0.1,
    coefficient: float = 0.9,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Panel:
    """Many series that are nearly the same: √(1 - d²) · common + d · own, with d the diversity.

    `common` and the `own` of each series are independent AR(1) processes of variance 1 with the same coefficient c.
    So is each series, and the correlation of two is 1 - d²: at 0 all are one series, at 1 nothing links them. The best
    possible forecast of the step h after the window has R² = c^(2h) whatever the diversity, 0.81 at the next step with
    the default value. But the smaller it is, the less do further series add to learn from.

    Args:
        count: of series. steps: of each.
        diversity: d, from 0 to 1.
        coefficient: c, from -0.9999 to 0.9999.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the draws.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, count=count, steps=steps)
    check_range(0.0, 1.0, diversity=diversity)
    check_range(-LARGEST_ROOT, LARGEST_ROOT, coefficient=coefficient)
    drawn = np.random.default_rng(series_seed).standard_normal((count + 1, steps))
    drawn[:, 1:] *= math.sqrt(1 - coefficient**2)
    common, *own = (_autoregression(shocks, [coefficient]) for shocks in drawn)
    values = np.concatenate([math.sqrt(1 - diversity**2) * common + diversity * each for each in own])
    return _panel("alike", ("alike",), scaled(values[:, None], scales, offsets), np.full(count, steps))


def adding(
    count: int = 2000,
    steps: int = 50,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Panel:
    """The adding problem: which two values of a series are marked, and what is their sum?

    Channels `value`, from U(0, 1), and `marker`, which is 1 at one step of the first half and at one of the second, and
    else 0. The label of a series is the `sum` of the two marked values, before scales and offsets. The best possible
    R² is 1. The best constant, 1, has a mean squared error of 1/6. The best linear map of all values reaches an R² of
    2 / steps only (0.04 with the default values, for an even number): which values count has to be seen, and kept.

    Source: Hochreiter & Schmidhuber 1997, section 5.4, in the form of Arjovsky, Shah & Bengio 2016.

    Args:
        count: of series. steps: of each, at least 2.
        scales, offsets: value · scale + offset of the inputs, last of all; one for each channel, or one for both.
        series_seed: of the draws.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, count=count, steps=steps)
    if steps < 2:
        raise BadInput(f"data.steps={steps}: must be at least 2: two values are marked")
    generator = np.random.default_rng(series_seed)
    values = generator.random((count, steps))
    rows, half = np.arange(count), steps // 2
    first, second = generator.integers(half, size=count), generator.integers(half, steps, size=count)
    marks = np.zeros((count, steps))
    marks[rows, first] = marks[rows, second] = 1.0
    sums = values[rows, first] + values[rows, second]
    labels = Labels("sum", "series", np.array([repr(each) for each in sums.tolist()], dtype=str))
    inputs = scaled(np.column_stack([values.ravel(), marks.ravel()]), scales, offsets)
    return _panel("adding", ("value", "marker"), inputs, np.full(count, steps), labels)


def frequency_classes(
    count: int = 600,
    frequencies: Sequence[float] = (0.05, 0.1, 0.2),
    shortest: int = 40,
    longest: int = 80,
    noise: float = 0.3,
    scales: Sequence[float] = (1.0,),
    offsets: Sequence[float] = (0.0,),
    series_seed: int = 0,
) -> Panel:
    """Series of several lengths, each a sine of unknown phase and white noise: which of M frequencies does it have?

    The best possible answer is the frequency where the periodogram is largest. With frequencies farther apart, and
    farther from 0 and 0.5, than 1 / length it is wrong for a share of the series of a length, Σ_{k=1}^{M-1} (-1)^{k+1}
    C(M-1, k) / (k+1) · exp(-k/(k+1) · length / (4 noise²)). That is none with the default values (accuracy 1.000), one
    in seven with a noise of 2, one in three with 3, and all but one in M in the limit. The classes, such as `f=0.05`,
    are of the same size, give or take one.

    Source: Proakis, Digital Communications (orthogonal signals of unknown phase); Schuster 1898.

    Args:
        count: of series, at least one of each class.
        frequencies: two or more, in cycles per step, between 0 and 0.5 and each another.
        shortest, longest: steps of a series, any number between these as likely as any other.
        noise: its std; the sine has amplitude 1.
        scales, offsets: value · scale + offset, last of all.
        series_seed: of the draws.

    Raises:
        BadInput: naming the key whose value cannot be used.
    """
    check_sizes(series_seed, count=count, longest=longest)
    check_noise(noise)
    check_frequencies(frequencies, least=2)
    if not 1 <= shortest <= longest:
        raise BadInput(f"data.shortest={shortest}: must lie between 1 and data.longest={longest}")
    if count < len(frequencies):
        raise BadInput(f"data.count={count}: must be at least {len(frequencies)}, one series for each of the classes")
    generator = np.random.default_rng(series_seed)
    lengths = generator.integers(shortest, longest + 1, size=count)
    kinds = generator.permutation(np.arange(count) % len(frequencies))
    values = _waves(lengths, np.array(frequencies)[kinds], generator.random(count))
    values += noise * generator.standard_normal(len(values))
    labels = Labels("class", "series", np.array([f"f={frequency}" for frequency in frequencies], dtype=str)[kinds])
    return _panel("frequency_classes", ("wave",), scaled(values[:, None], scales, offsets), lengths, labels)


def _autoregression(shocks: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """Each value from those before it, starting from zeros."""
    lags, oldest_first = len(coefficients), np.array(coefficients)[::-1]
    values = np.concatenate([np.zeros(lags), shocks])
    for step in range(lags, len(values)):
        values[step] += oldest_first @ values[step - lags : step]
    return values[lags:]


def _waves(
    lengths: NDArray[np.int64], frequencies: NDArray[np.float64], phases: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A sine for each length, one after another, each from its own time 0."""
    firsts = lengths.cumsum() - lengths
    time = np.arange(lengths.sum()) - np.repeat(firsts, lengths)
    waves: NDArray[np.float64] = np.sin(
        2 * math.pi * (np.repeat(frequencies, lengths) * time + np.repeat(phases, lengths))
    )
    return waves


def _one_channel(name: str, values: NDArray[np.float64], scales: Sequence[float], offsets: Sequence[float]) -> Series:
    return Series(name, (name,), 1, scaled(values[:, None], scales, offsets))


def _panel(
    name: str,
    columns: tuple[str, ...],
    values: NDArray[np.float64],
    lengths: NDArray[np.int64],
    labels: Labels | None = None,
) -> Panel:
    digits = max(4, len(str(len(lengths))))
    series = tuple(f"series-{number:0{digits}}" for number in range(1, len(lengths) + 1))
    return Panel(name, columns, 0 if labels else 1, [values], lengths, series, labels=labels)
