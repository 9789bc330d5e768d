"""One table of activations: what `model.activation=` and `model.head_activation=` may name.

A new activation is one row. What the columns say is held against torch's own derivatives and against numerical
integration by the tests.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import torch
from torch import Tensor
from torch.nn import functional as F

from flatspot.registry import Registry

SELU_SCALE: Final = 1.0507009873554805
SELU_ALPHA: Final = 1.6732632423543772
"""Klambauer et al. 2017, as torch has them."""


@final
@dataclass(frozen=True)
class Activation:
    """An elementwise function, and what one needs to know of it before it recurs.

    Args:
        function: from pre-activations z to values, of the same shape.
        slope: its derivative at z; at a kink the one that torch's backward takes.
        range: infimum and supremum of the values.
        gain: E[f(z)²]^(-1/2) for z from N(0, 1): weights of std gain/√n keep a signal's mean square (He et al. 2015).
        recurrent_gain: the std of recurrent weights, times √units, at which gradients neither die nor grow over time;
            mean field with an input drive of variance 0.25 (Chen, Pennington, Schoenholz 2018). None: they die at
            any that was tried (up to 8). Bounded functions hold the state there. Of identity, relu, leaky_relu, silu
            and softplus it explodes at the same point, of gelu and mish just above; silu's and softplus's squared
            gradients still shrink to 0.91 a step where their state explodes.

    >>> ACTIVATIONS["sin"].slope(torch.zeros(2))
    tensor([1., 1.])
    """

    function: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    range: tuple[float, float]
    gain: float
    recurrent_gain: float | None


def _identity(z: Tensor) -> Tensor:
    return z


def _tanh_slope(z: Tensor) -> Tensor:
    return 1 - z.tanh().square()


def _step(z: Tensor) -> Tensor:
    return (z > 0).to(z)


def _sigmoid_slope(z: Tensor) -> Tensor:
    return z.sigmoid() * (1 - z.sigmoid())


def _leaky_slope(z: Tensor) -> Tensor:
    return torch.where(z > 0, 1.0, 0.01).to(z)


def _elu_slope(z: Tensor) -> Tensor:
    return z.clamp(max=0).exp()


def _selu_slope(z: Tensor) -> Tensor:
    return SELU_SCALE * torch.where(z > 0, torch.ones_like(z), SELU_ALPHA * _elu_slope(z))


def _gelu_slope(z: Tensor) -> Tensor:
    density = (-z.square() / 2).exp() / math.sqrt(2 * math.pi)
    below: Tensor = torch.special.ndtr(z)
    return below + z * density


def _silu_slope(z: Tensor) -> Tensor:
    return z.sigmoid() * (1 + z * (1 - z.sigmoid()))


def _mish_slope(z: Tensor) -> Tensor:
    tanh = F.softplus(z).tanh()
    return tanh + z * (1 - tanh.square()) * z.sigmoid()


def _softsign_slope(z: Tensor) -> Tensor:
    return (1 + z.abs()).square().reciprocal()


def _hardtanh_slope(z: Tensor) -> Tensor:
    return (z.abs() < 1).to(z)


inf: Final = math.inf

ACTIVATIONS: Final = Registry(
    "activation",
    {
        "tanh": Activation(torch.tanh, _tanh_slope, (-1, 1), 1.593, 1.55),
        "relu": Activation(F.relu, _step, (0, inf), 1.414, 1.41),
        "sigmoid": Activation(torch.sigmoid, _sigmoid_slope, (0, 1), 1.846, None),
        "leaky_relu": Activation(F.leaky_relu, _leaky_slope, (-inf, inf), 1.414, 1.41),
        "elu": Activation(F.elu, _elu_slope, (-1, inf), 1.245, 1.31),
        "selu": Activation(F.selu, _selu_slope, (-SELU_SCALE * SELU_ALPHA, inf), 1.0, 1.04),
        "gelu": Activation(F.gelu, _gelu_slope, (-0.16997, inf), 1.534, 1.40),
        "silu": Activation(F.silu, _silu_slope, (-0.27846, inf), 1.676, 1.48),
        "mish": Activation(F.mish, _mish_slope, (-0.30884, inf), 1.487, 1.39),
        "softsign": Activation(F.softsign, _softsign_slope, (-1, 1), 2.338, 2.17),
        "softplus": Activation(F.softplus, torch.sigmoid, (0, inf), 1.042, 1.41),
        "hardtanh": Activation(F.hardtanh, _hardtanh_slope, (-1, 1), 1.392, 1.21),
        "sin": Activation(torch.sin, torch.cos, (-1, 1), 1.521, 1.33),
        "identity": Activation(_identity, torch.ones_like, (-inf, inf), 1.0, 1.0),
    },
    extensions="flatspot.activations",
    of=Activation,
)
