"""Skill under the user's own loss: what a model gains over the best constant answer."""

from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]

HALVINGS: Final = 60
"""Halvings of the interval that holds the best constant: past float64's digits."""


def skill(loss: Loss, predictions: Float[Tensor, "sample *output"], targets: Float[Tensor, "sample *output"]) -> float:
    """1 - loss / loss of the best constant for these very targets; NaN if the targets are constant.

    1 is perfect, 0 as good as a constant. For squared loss it is R². The constant is the best one for the
    held-out targets themselves: a level that has moved since training must not look like skill.

    >>> y = torch.tensor([[0.0], [1.0], [2.0]])
    >>> skill(torch.nn.functional.mse_loss, y, y), skill(torch.nn.functional.mse_loss, y * 0 + 1, y)
    (1.0, 0.0)
    """
    y = targets.double()
    floor = loss(best_constant(loss, y).expand_as(y), y)
    if not floor > 0:
        return float("nan")
    return (1 - loss(predictions.double(), y) / floor).item()


def best_constant(loss: Loss, targets: Float[Tensor, "sample *output"]) -> Float[Tensor, "*output"]:
    """The constant per output with the least loss over the samples, by bisection on the loss's slope.

    Right for any loss that is convex in each output and a sum or mean over them (squared, absolute, Huber).
    """
    low, high = targets.amin(dim=0), targets.amax(dim=0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = _slope(loss, middle, targets) >= 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    return (low + high) / 2


def _slope(loss: Loss, constant: Tensor, targets: Tensor) -> Tensor:
    with torch.enable_grad():
        free = constant.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(free.expand_as(targets), targets), free)
    return slope
