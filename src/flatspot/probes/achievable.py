"""Achievable skill: what cheap references find in the inputs, and whether it is more than chance."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from flatspot.probes.moments import widest
from flatspot.probes.references import Loss, Windows, fit_gru, fit_ridge, fit_trees
from flatspot.probes.skill import skill

CHANCE: Final = 0.05
"""Skill above 0 is found where at most this share of shifted targets goes as well with the predictions.

Of independent AR(1) series (0, 0.9, 0.99, random walks; 600 and 2,000 windows of 24 + 3, 60 of each) ridge finds a
signal in 0 to 5 % and trees in 0 to 3 %; judged by shuffles, ridge does in up to 12 %.
"""

SHIFTS: Final = 99
"""Shifts tried, at most."""

KEPT_BACK: Final = 5
"""One in so many training samples, the last ones, chooses penalties, trees and looks."""

FEWEST: Final = 2 * KEPT_BACK
"""Training samples below which nothing is fitted."""

Judged = tuple[Tensor, Tensor]
"""Predictions, and the targets that they are of."""


@final
class Achievable(NamedTuple):
    """What the inputs allow, as far as cheap references can tell: a lower bound.

    Args:
        skill: the best held-out skill of a reference that found more than chance, or that could not be judged; 0, which
            the best constant has, where none did; NaN where nothing could be measured.
        reference: which one it was; None: none.
        by_reference: the held-out skill of each that was tried, in turn: `ridge`, `trees`, `gru`.
        chance: of each, the share of shifted targets that go as well with its predictions; NaN where there was no room
            to shift.
    """

    skill: float
    reference: str | None
    by_reference: dict[str, float]
    chance: dict[str, float]


def achievable_skill(
    train: Windows,
    val: Windows,
    loss: Loss,
    *,
    groups: Int[Tensor, " sample"] | None = None,
    apart: int | None = None,
    ordered: bool = True,
    enough: float = 0.0,
    steps: int = 600,
    seed: int = 0,
) -> Achievable:
    """The best held-out skill of cheap references, each tried while those before it found nothing beyond chance.

    First ridge on the flattened window; then small boosted trees, for a few outputs; then a small GRU on a budget. A
    straight line is blind to products, and trees to what is spread over a window (parity; sign changes over 48 steps:
    0.1 where the GRU has 0.8). They are fitted on the first four fifths of the training samples and choose their
    penalty, number of trees and weights on the last fifth; the held-out samples choose nothing.

    Args:
        train, val: windows `[sample, time, channel]` and targets `[sample, horizon, target]`; ones at the true class of
            classes. `val` in the order of time, series by series.
        loss: the user's, a sum or mean over outputs, from predictions and targets to a number; it is given float64 on
            the host. Ridge and trees are fitted by squared loss whatever it is.
        groups: the series of each held-out sample; None: one. Each has its own best constant, as in `skill`.
        apart: samples between two that share no step; None: window + horizon, which is right one step apart.
        ordered: whether samples follow each other in time; else chance is judged by shuffles.
        enough: held-out skill, beyond chance, above which no further reference is tried; `math.inf`: all are.
        steps: the budget of the GRU. seed: of trees, GRU and shuffles; nobody's random state moves.

    Cost: a ridge regression; where it finds nothing, two seconds for the trees, and then some 5 ms a step for the GRU
    (window of 48, one core); for each, 100 evaluations of the loss.

    Raises:
        ValueError: for windows or targets that have not three dimensions.

    >>> x = torch.randn(300, 4, 1, generator=torch.Generator().manual_seed(0))
    >>> y = x[:, -1:] + 0.1
    >>> found = achievable_skill((x[:200], y[:200]), (x[200:], y[200:]), torch.nn.functional.mse_loss)
    >>> found.reference, round(found.skill, 3)
    ('ridge', 1.0)
    """
    _check(train, val)
    if len(train[0]) < FEWEST or not all(each.numel() and each.isfinite().all() for each in (*train, *val)):
        return Achievable(math.nan, None, {}, {})
    train, val = (train[0].cpu(), train[1].cpu()), (val[0].cpu(), val[1].cpu())
    groups = None if groups is None else groups.cpu()
    generator = torch.Generator().manual_seed(seed)
    apart = train[0].shape[1] + train[1].shape[1] if apart is None else apart
    skills: dict[str, float] = {}
    chance: dict[str, float] = {}
    for name, reference in _references(train, val, loss, steps, seed).items():
        predictions, targets = reference()
        skills[name] = skill(loss, predictions, targets, groups)
        chance[name] = beyond_chance(
            loss, predictions, targets, apart=apart, groups=groups, ordered=ordered, generator=generator
        )
        if skills[name] > enough and chance[name] <= CHANCE:
            break
    return _best(skills, chance)


def _check(train: Windows, val: Windows) -> None:
    for name, windows in (("train", train), ("val", val)):
        if [each.dim() for each in windows] != [3, 3]:
            shapes = " and ".join(str(tuple(each.shape)) for each in windows)
            raise ValueError(f"{name}: {shapes} are not [sample, time, channel] and [sample, horizon, target]")


def _best(skills: Mapping[str, float], chance: Mapping[str, float]) -> Achievable:
    if all(math.isnan(each) for each in skills.values()):
        return Achievable(math.nan, None, dict(skills), dict(chance))
    found = {name: each for name, each in skills.items() if each > 0 and not chance[name] > CHANCE}
    best = max(found, key=lambda name: found[name], default=None)
    return Achievable(found[best] if best else 0.0, best, dict(skills), dict(chance))


def _references(train: Windows, val: Windows, loss: Loss, steps: int, seed: int) -> dict[str, Callable[[], Judged]]:
    """What fits each and gives its held-out predictions, beside the targets that they are of."""
    first = len(train[0]) - len(train[0]) // KEPT_BACK
    fit, stop = (train[0][:first], train[1][:first]), (train[0][first:], train[1][first:])
    x, y = val[0], widest(val[1])

    def ridge() -> Judged:
        return fit_ridge(lambda: [fit], lambda: [stop]).predict(x), y

    def trees() -> Judged:
        grown = fit_trees(fit, stop, seed=seed)
        return grown.predict(x).unsqueeze(-1), y.flatten(1)[:, list(grown.outputs)].unsqueeze(-1)

    def gru() -> Judged:
        return fit_gru(fit, stop, loss, steps=steps, seed=seed).predict(x), y

    return {"ridge": ridge, "trees": trees, "gru": gru}


def beyond_chance(
    loss: Loss,
    predictions: Float[Tensor, "sample *output"],
    targets: Float[Tensor, "sample *output"],
    *,
    apart: int,
    groups: Int[Tensor, " sample"] | None = None,
    ordered: bool = True,
    generator: torch.Generator | None = None,
) -> float:
    """The share of shifted targets, with the true ones counted in, that go as well with fixed predictions.

    The p-value (1 + #{s: loss(ŷ, y shifted by s) <= loss(ŷ, y)}) / (1 + #shifts). A shift is circular, within each
    series, and at least `apart` samples from both ends: so it keeps what each series is like by itself, its trends and
    slow swings, and takes away only what joins it to the predictions. Shuffling at random takes both, and calls
    autocorrelated noise a signal. Nothing is fitted again. A series with no room is left out. It is sharp for series
    that are stationary: of two that both trend, any shift breaks the trend.

    Args:
        apart: samples between two that share no step: window + horizon where samples are one step apart.
        groups: the series of each sample; None: one. Each is in the order of time.
        ordered: whether samples follow each other in time; else they are shuffled.
        generator: of shuffles, and of the shifts of several series; None: one seeded with 0.

    Returns:
        NaN where fewer than two shifts are possible, or the loss is not finite.

    Cost: 100 evaluations of the loss.

    Source: Harris 2020, A Shift Test for Independence in Generic Time Series (shifts that are not circular, there); the
    p-value, Phipson & Smyth 2010.

    >>> y = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    >>> round(beyond_chance(torch.nn.functional.mse_loss, y, y, apart=5), 2)
    0.02
    """
    generator = torch.Generator().manual_seed(0) if generator is None else generator
    series = _series(len(targets), groups)
    if ordered:
        series = [each for each in series if len(each) > 2 * apart]
    if not series or not len(targets):
        return math.nan
    rows = torch.cat(series)
    ours, y = widest(predictions).cpu(), widest(targets).cpu()
    true = loss(ours[rows], y[rows]).item()
    orders = _shifted(series, apart, generator) if ordered else _shuffled(series, generator)
    others = [loss(ours[rows], y[order]).item() for order in orders]
    if len(others) < 2 or not all(math.isfinite(each) for each in (true, *others)):
        return math.nan
    return (1 + sum(each <= true for each in others)) / (1 + len(others))


def _series(samples: int, groups: Tensor | None) -> list[Int[Tensor, " sample"]]:
    """The places of each series' samples."""
    if groups is None:
        return [torch.arange(samples)]
    return [(groups.cpu() == number).nonzero().squeeze(1) for number in torch.unique(groups.cpu())]


def _shifted(series: list[Tensor], apart: int, generator: torch.Generator) -> Iterator[Tensor]:
    """One series: evenly chosen shifts, each once; several: each by its own draw."""
    if len(series) == 1:
        shifts = torch.linspace(apart, len(series[0]) - apart, SHIFTS, dtype=torch.float64).round().long()
        yield from (series[0].roll(shift) for shift in dict.fromkeys(shifts.tolist()))
        return
    for _ in range(SHIFTS):
        yield torch.cat([each.roll(_draw(apart, len(each) - apart, generator)) for each in series])


def _draw(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _shuffled(series: list[Tensor], generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(SHIFTS):
        yield torch.cat([each[torch.randperm(len(each), generator=generator)] for each in series])
