"""Skill under the user's own loss: what a model gains over the best constant answer."""

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]

HALVINGS: Final = 60
"""Halvings of the interval that holds the best constant: past float64's digits."""


def skill(
    loss: Loss,
    predictions: Float[Tensor, "sample *output"],
    targets: Float[Tensor, "sample *output"],
    groups: Int[Tensor, " sample"] | None = None,
) -> float:
    """1 - loss / loss of the best constant for these very targets; NaN if the targets are constant.

    1 is perfect, 0 as good as a constant. For squared loss it is R². The constant is the best one for the
    held-out targets themselves: a level that has moved since training must not look like skill. With groups (series),
    each has its own constant: to know the series' levels is no skill either.

    >>> y = torch.tensor([[0.0], [1.0], [2.0]])
    >>> skill(torch.nn.functional.mse_loss, y, y), skill(torch.nn.functional.mse_loss, y * 0 + 1, y)
    (1.0, 0.0)
    """
    y = targets.double()
    constant = best_constant(loss, y, groups)
    floor = loss(constant.expand_as(y) if groups is None else constant[groups], y)
    if not floor > 0:
        return float("nan")
    return (1 - loss(predictions.double(), y) / floor).item()


def best_constant(
    loss: Loss, targets: Float[Tensor, "sample *output"], groups: Int[Tensor, " sample"] | None = None
) -> Float[Tensor, "*output"] | Float[Tensor, "group *output"]:
    """The constant per output with the least loss over the samples (of each group), by bisection on the loss's slope.

    Right for any loss that is convex in each output and a sum or mean over them (squared, absolute, Huber).
    """
    low, high = _range(targets, groups)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = _slope(loss, middle, targets, groups) >= 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2


def _range(targets: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor]:
    if groups is None:
        return targets.amin(dim=0), targets.amax(dim=0)
    empty = targets.new_zeros(int(groups.max()) + 1, *targets.shape[1:])
    index = groups.view(-1, *[1] * (targets.dim() - 1)).expand_as(targets)
    low = empty.scatter_reduce(0, index, targets, "amin", include_self=False)
    return low, empty.scatter_reduce(0, index, targets, "amax", include_self=False)


def _slope(loss: Loss, constant: Tensor, targets: Tensor, groups: Tensor | None) -> Tensor:
    with torch.enable_grad():
        free = constant.detach().requires_grad_()
        answers = free.expand_as(targets) if groups is None else free[groups]
        (slope,) = torch.autograd.grad(loss(answers, targets), free)
    return slope
