"""Functions as arithmetic: exponentials and all activations of the table, each with its slope.

Errors, measured over [-30, 30] against float64 (float32) and against higher precision (float64) by the tests: at most
4e-7 and 2e-15 of the larger of 1 and the value. The slope comes with the value, for they share their exponentials.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import numpy as np

from flatspot.nn.fused.vectors import Vector

Formula = Callable[[Vector], tuple[Vector, Vector]]
"""From pre-activations to values and slopes."""

SELU_SCALE: Final = 1.0507009873554805
SELU_ALPHA: Final = 1.6732632423543772

LOG2_E: Final = 1.4426950408889634

LN2: Final[Mapping[int, tuple[float, float]]] = {
    32: (0.693359375, -2.12194440e-4),
    64: (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}
"""The logarithm of 2 in two parts; the first has so few digits that multiples of it are exact (Cody and Waite 1980)."""

PI: Final[Mapping[int, tuple[float, ...]]] = {
    32: (3.140625, 0.0009670257568359375, 6.2771141529083251953e-7, 1.2154201256553420762e-10),
    64: (3.1415926218032836914, 3.1786509424591713469e-8, 1.2246467864107188502e-16, 1.2736634327021899816e-24),
}
"""As LN2, in parts."""

LOWEST: Final = {32: -87.3, 64: -708.0}
HIGHEST: Final = {32: 88.3, 64: 709.0}
"""Beyond these an exponential is no normal number."""

EXP_TERMS: Final = {32: 7, 64: 13}
LOG_TERMS: Final = {32: 8, 64: 17}
SIN_TERMS: Final = {32: 6, 64: 11}
ERF_TERMS: Final = {32: 9, 64: 22}
"""Terms of the series, so many that the rest is below rounding."""

TANH_EDGE: Final = {32: 9.1, 64: 20.0}
"""From here on it is 1."""

SOFTPLUS_EDGE: Final = 20.0

GELU_EDGE: Final = 100.0
"""From here on the normal's tail is nothing."""

ERF_CENTRE: Final = 4.0
"""The number that is halfway between 0 and infinity, to the polynomial of the normal's tail."""


def exp(x: Vector) -> Vector:
    """The exponential; beyond what is a normal number the last that is one."""
    scale, rest = _exp(x)
    return rest.times_plus(scale, scale)


def expm1(x: Vector) -> Vector:
    """The exponential less 1, with all digits near 0."""
    scale, rest = _exp(x)
    return rest.times_plus(scale, scale - 1.0)


def _exp(x: Vector) -> tuple[Vector, Vector]:
    """A power of two, and e^r - 1 for what is left, |r| at most half the logarithm of 2."""
    bits = x.code.bits
    x = x.at_least(LOWEST[bits]).at_most(HIGHEST[bits])
    number, low = (x * LOG2_E).nearest()
    large, small = LN2[bits]
    rest = number.times_plus(-small, number.times_plus(-large, x))
    series = rest.polynomial([1 / math.factorial(power) for power in range(EXP_TERMS[bits], 0, -1)])
    return number.two_to(low), series * rest


def log1p(x: Vector) -> Vector:
    """The logarithm of 1 + x, for x from 0 to 1: 2 artanh(x / (2 + x))."""
    ratio = x / (x + 2.0)
    terms = [2 / (2 * power + 1) for power in range(LOG_TERMS[x.code.bits], -1, -1)]
    return (ratio * ratio).polynomial(terms) * ratio


def sigmoid(x: Vector) -> Vector:
    """1 / (1 + e^-x)."""
    return 1.0 / (exp(-x) + 1.0)


def _tanh(x: Vector) -> Vector:
    edge = TANH_EDGE[x.code.bits]
    twice = expm1(x.at_least(-edge).at_most(edge) * 2.0)
    return twice / (twice + 2.0)


def _reduced(x: Vector) -> tuple[Vector, object]:
    """What is left of multiples of pi, and the lowest bits of how many there were."""
    number, low = (x * (1 / math.pi)).nearest()
    for part in PI[x.code.bits]:
        x = number.times_plus(-part, x)
    return x, low


def tanh(z: Vector) -> tuple[Vector, Vector]:
    """Hyperbolic tangent."""
    y = _tanh(z)
    return y, 1.0 - y * y


def relu(z: Vector) -> tuple[Vector, Vector]:
    """max(z, 0); not a number stays so."""
    return z.below(0.0, 0.0, z), z.above(0.0, 1.0, 0.0)


def logistic(z: Vector) -> tuple[Vector, Vector]:
    """The sigmoid."""
    y = sigmoid(z)
    return y, y * (1.0 - y)


def leaky_relu(z: Vector) -> tuple[Vector, Vector]:
    """0.01 z below 0."""
    return z.above(0.0, z, z * 0.01), z.above(0.0, 1.0, 0.01)


def elu(z: Vector) -> tuple[Vector, Vector]:
    """e^z - 1 below 0."""
    less = expm1(z.at_most(0.0))
    return z.above(0.0, z, less), z.above(0.0, 1.0, less + 1.0)


def selu(z: Vector) -> tuple[Vector, Vector]:
    """Klambauer et al. 2017."""
    y, slope = elu(z)
    return (
        y * z.above(0.0, SELU_SCALE, SELU_SCALE * SELU_ALPHA),
        slope * z.above(0.0, SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    )


def gelu(z: Vector) -> tuple[Vector, Vector]:
    """Z times the normal distribution function, which is a polynomial times its density far out."""
    far = z.magnitude().at_most(GELU_EDGE)
    density = exp(far * far * -0.5)
    place = (far - ERF_CENTRE) / (far + ERF_CENTRE)
    tail = place.polynomial(_tail_of_the_normal(ERF_TERMS[z.code.bits])) * density
    share = z.above(0.0, 1.0 - tail, tail)
    return z * share, (z * density).times_plus(1 / math.sqrt(2 * math.pi), share)


@cache
def _tail_of_the_normal(terms: int) -> tuple[float, ...]:
    """The polynomial in (x - c) / (x + c) that is the upper tail at x over e^(-x²/2), the highest power first."""

    def tail(place: np.ndarray) -> np.ndarray:
        x = ERF_CENTRE * (1 + place) / (1 - place)
        return np.array([_scaled_tail(each) for each in x])

    series = np.polynomial.chebyshev.Chebyshev.interpolate(tail, terms, domain=[-1, 1 - 1e-9])
    return tuple(series.convert(kind=np.polynomial.Polynomial).coef[::-1].tolist())


def _scaled_tail(x: float) -> float:
    """P(N > x) e^(x²/2): by its continued fraction far out (Laplace), where the product is of a huge and a tiny one."""
    if x < 5:
        return 0.5 * math.erfc(x / math.sqrt(2)) * math.exp(x * x / 2)
    fraction = x
    for term in range(80, 0, -1):
        fraction = x + term / fraction
    return 1 / (math.sqrt(2 * math.pi) * fraction)


def silu(z: Vector) -> tuple[Vector, Vector]:
    """Z times its sigmoid."""
    share = sigmoid(z)
    y = z * share
    return y, share.times_plus(1.0 - y, y)


def mish(z: Vector) -> tuple[Vector, Vector]:
    """Z tanh(softplus(z)), which is z n / (n + 2) with n = e^z (e^z + 2)."""
    growth = exp(z.at_most(20.0))
    product = growth * (growth + 2.0)
    share = product / (product + 2.0)
    return z * share, (z * (1.0 - share * share)).times_plus(growth / (growth + 1.0), share)


def softsign(z: Vector) -> tuple[Vector, Vector]:
    """Z / (1 + |z|)."""
    less = 1.0 / (z.magnitude() + 1.0)
    return z * less, less * less


def softplus(z: Vector) -> tuple[Vector, Vector]:
    """ln(1 + e^z); z itself from 20 on, as torch has it."""
    small = exp(-z.magnitude())
    share = 1.0 / (small + 1.0)
    y = z.at_least(0.0) + log1p(small)
    return z.above(SOFTPLUS_EDGE, z, y), z.above(SOFTPLUS_EDGE, 1.0, z.above(0.0, share, small * share))


def hardtanh(z: Vector) -> tuple[Vector, Vector]:
    """Z, held between -1 and 1."""
    return z.at_least(-1.0).at_most(1.0), z.magnitude().below(1.0, 1.0, 0.0)


def sin(z: Vector) -> tuple[Vector, Vector]:
    """The sine, and the cosine as its slope."""
    rest, low = _reduced(z)
    square = rest * rest
    terms = SIN_TERMS[z.code.bits]
    sine = square.polynomial([(-1) ** n / math.factorial(2 * n + 1) for n in range(terms, -1, -1)]) * rest
    cosine = square.polynomial([(-1) ** n / math.factorial(2 * n) for n in range(terms + 1, -1, -1)])
    return sine.negated_if_odd(low), cosine.negated_if_odd(low)


def identity(z: Vector) -> tuple[Vector, Vector]:
    """Z."""
    return z, z.code.constant(1.0)


FORMULAS: Final[Mapping[str, Formula]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": logistic,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "selu": selu,
    "gelu": gelu,
    "silu": silu,
    "mish": mish,
    "softsign": softsign,
    "softplus": softplus,
    "hardtanh": hardtanh,
    "sin": sin,
    "identity": identity,
}
"""By the names of the table of activations."""
