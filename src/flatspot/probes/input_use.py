"""Whether a model uses its inputs, and how many of the last steps: the loss when samples get each other's inputs."""

import itertools
import math
from collections.abc import Sequence
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from flatspot.probes.asked import asked
from flatspot.probes.skill import Loss
from flatspot.probes.undisturbed import Ask, answer

PARTS: Final = 10
"""Runs of neighbouring samples that are judged apart; all 2^10 ways to flip their signs are counted."""

CHANCE: Final = 0.05
"""Where the p-value is above it, the model has not been seen to use anything."""

LEFT_OVER: Final = 0.05
"""Steps that together cost less than this share of what all cost are not used."""


@final
class InputUse(NamedTuple):
    """What it costs a model to get another sample's input. NaN where a loss is not finite, or under two samples.

    Args:
        loss: with each sample's own input.
        increase: what is added to it, on average, by another sample's input. 0: the input is not used; near 0 and
            a small p-value: it is used a little.
        relative: increase / loss; NaN where the loss is not positive.
        p_value: of the increase, one-sided. The smallest that can be had is 1/1024, from 20 samples on;
            2^-(n/2) for n fewer.
    """

    loss: float
    increase: float
    relative: float
    p_value: float


def input_use(
    module: nn.Module,
    x: Shaped[Tensor, "sample *input"],
    y: Shaped[Tensor, "sample *target"],
    loss: Loss,
    *,
    ask: Ask | None = None,
    repeats: int = 10,
    seed: int = 0,
) -> InputUse:
    """How much worse a model gets when inputs are permuted across the samples. Cost: repeats + 1 calls.

    Δ = mean over repeats of L(f(x_π), y) - L(f(x), y), with permutations π that leave no sample its own input. Real
    inputs are swapped, no noise is added: x may be numbers of any kind, or ids.

    The p-value flips signs (Fisher 1935) over ten runs of neighbouring samples, each judged on its own samples by one
    repeat. Over whole repeats it would be no p-value: all are compared with the same L(f(x), y), and of models whose
    varied answers have nothing to do with y, 27 to 41 % got p ≤ 0.05; by runs it is 3 to 9 %, the most where
    neighbouring samples overlap and there are only 40.

    Args:
        x, y: of one evaluation sample; in the order of time if they have one. A batch of near-identical windows hides
            use: nothing is changed by a swap.
        loss: the user's own, a mean over the samples; predictions reach it as the model gives them, but half precision
            as float32.
        ask: how the module is asked; None: by its forward.
        repeats: permutations.

    Raises:
        ValueError: for no repeats, a loss that is not one number, or a model that
            answers not once for each input.

    >>> x = torch.linspace(0, 1, 20).unsqueeze(1)
    >>> used = input_use(nn.Identity(), x, x, nn.functional.mse_loss)
    >>> used.loss, used.increase > 0.1, used.p_value
    (0.0, True, 0.0009765625)

    Source: Breiman 2001 (permutation importance); Fisher, Rudin & Dominici 2019 (model reliance).
    """
    _check(repeats)
    if len(x) < 2:
        return InputUse(math.nan, math.nan, math.nan, math.nan)
    ask = ask or answer(module)
    own = asked(module, ask, x)
    others = [asked(module, ask, x[each.to(x.device)]) for each in _permutations(len(x), repeats, seed)]
    before, increase = _loss(loss, own, y), _increase(loss, own, others, y)
    relative = increase / before if before > 0 else math.nan
    return InputUse(before, increase, relative, _p_value(loss, own, others, y))


@final
class MemoryCurve(NamedTuple):
    """What it costs a model to get another sample's past.

    Args:
        steps: k, how many of the last steps remain the sample's own: from 0 to all, each about 1.4 times the one
            before.
        increase: of the loss, when all steps before those k are another sample's.
        lag: the last steps that the model uses: the smallest k from which on the increase stays below 5 % of that
            at k = 0, to the grid's resolution (the k before it is too few). NaN where the increase at k = 0 is
            nothing beyond chance (p > 0.05).
    """

    steps: Int[Tensor, " grid"]
    increase: Float[Tensor, " grid"]
    lag: float


def memory_curve(
    module: nn.Module,
    x: Shaped[Tensor, "sample *input"],
    y: Shaped[Tensor, "sample *target"],
    loss: Loss,
    *,
    ask: Ask | None = None,
    lags: Sequence[int] | None = None,
    repeats: int = 5,
    seed: int = 0,
) -> MemoryCurve:
    """How far back a model looks: permute all but the last k steps across samples, as `input_use` does all of them.

    Each repeat takes one permutation to all k, so that the curve is not jagged by chance. Cost: 1 + repeats × (number
    of k) calls; for 100 steps 16 different k. Steps that only repeat what later ones say count as unused where the
    model goes by the later ones.

    Args and errors are those of `input_use`, and

    Args:
        x: `[sample, time, *channel]`. lags: the k to try, beside 0 and all; None: those of `log_grid`.

    Raises:
        ValueError: for inputs without a time axis, or a lag that they have not.

    >>> x = torch.randn(40, 6, 1, generator=torch.Generator().manual_seed(0))
    >>> class ThirdLast(nn.Module):
    ...     def forward(self, x):
    ...         return x[:, -3]
    >>> memory_curve(ThirdLast(), x, x[:, -3], nn.functional.mse_loss).lag
    3.0

    Source: as `input_use`.
    """
    _check(repeats)
    grid = _grid(x, lags)
    if len(x) < 2:
        return MemoryCurve(torch.tensor(grid), torch.full((len(grid),), math.nan, dtype=torch.float64), math.nan)
    ask = ask or answer(module)
    own = asked(module, ask, x)
    orders = [each.to(x.device) for each in _permutations(len(x), repeats, seed)]
    increases, p_value = [], math.nan
    for k in grid:
        others = [asked(module, ask, _other_past(x, order, k)) for order in orders]
        increases.append(_increase(loss, own, others, y))
        p_value = _p_value(loss, own, others, y) if k == 0 else p_value
    curve = torch.tensor(increases, dtype=torch.float64)
    return MemoryCurve(torch.tensor(grid), curve, _lag(grid, increases, p_value))


def _grid(x: Tensor, lags: Sequence[int] | None) -> list[int]:
    if x.dim() < 2:
        raise ValueError(f"x: has the shape {tuple(x.shape)}, and sequences are [sample, time, channel]")
    steps = x.shape[1]
    if lags is None:
        return log_grid(steps)
    if not all(0 <= lag <= steps for lag in lags):
        raise ValueError(f"lags={[*lags]}: x has {steps} steps")
    return sorted({0, *lags, steps})


def log_grid(steps: int) -> list[int]:
    """0, 1, 2, 3, 4, 6, 8, 11, 16, ... and all: two to each doubling.

    >>> log_grid(10)
    [0, 1, 2, 3, 4, 6, 8, 10]
    """
    powers = (round(2 ** (half / 2)) for half in range(2 * steps.bit_length()))
    return sorted({0, steps, *(power for power in powers if power < steps)})


def _other_past(x: Tensor, order: Tensor, k: int) -> Tensor:
    cut = x.shape[1] - k
    return torch.cat([x[order, :cut], x[:, cut:]], dim=1)


def _lag(grid: list[int], increases: list[float], p_value: float) -> float:
    if not p_value <= CHANCE:
        return math.nan
    needed = [not increase < LEFT_OVER * increases[0] for increase in increases]
    return float(grid[len(needed) - needed[::-1].index(True)])


def _check(repeats: int) -> None:
    if repeats < 1:
        raise ValueError(f"repeats={repeats}: at least one permutation is needed")


def _permutations(samples: int, repeats: int, seed: int) -> list[Tensor]:
    """Without fixed points, each equally likely: about one draw in e has none."""
    generator = torch.Generator().manual_seed(seed)
    draws = iter(lambda: torch.randperm(samples, generator=generator), None)
    return list(itertools.islice((each for each in draws if (each != torch.arange(samples)).all()), repeats))


def _loss(loss: Loss, predictions: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        found = loss(_at_least_single(predictions), _at_least_single(y))
    if found.numel() != 1:
        raise ValueError(f"loss: returned the shape {tuple(found.shape)}, and one number is wanted")
    return found.item()


def _at_least_single(x: Tensor) -> Tensor:
    return x.float() if x.dtype in {torch.float16, torch.bfloat16} else x


def _increase(loss: Loss, own: Tensor, others: list[Tensor], y: Tensor) -> float:
    before = _loss(loss, own, y)
    return sum(_loss(loss, each, y) - before for each in others) / len(others)


def _p_value(loss: Loss, own: Tensor, others: list[Tensor], y: Tensor) -> float:
    """The share of all ways to flip the runs' signs with a mean as large."""
    runs = torch.arange(len(y), device=y.device).tensor_split(min(PARTS, len(y) // 2))
    repeats = itertools.cycle(others)
    increases = [_loss(loss, next(repeats)[run], y[run]) - _loss(loss, own[run], y[run]) for run in runs]
    if not all(map(math.isfinite, increases)):
        return math.nan
    size = torch.tensor(increases, dtype=torch.float64)
    flips = torch.tensor(list(itertools.product((1.0, -1.0), repeat=len(size))), dtype=torch.float64)
    rounding = 1e-12 * size.abs().sum()
    return (flips @ size >= size.sum() - rounding).double().mean().item()
