"""The starting weights of a recurrent layer: what `recurrent_init=` may say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.activations import ACTIVATIONS
from flatspot.nn.cell import Cell, Elementwise
from flatspot.registry import nearest

Scheme = Literal["auto", "torch", "orthogonal", "identity", "chrono"]

KINDS: Final = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "norm_bias")


@final
@dataclass(frozen=True)
class Recipe:
    """How a plain recurrence with an activation starts; measured, see docs/experiments/which_initialisation_trains.md.

    Args:
        gain: of the orthogonal recurrent weights.
        input_gain: std of the input's part of the pre-activation, for inputs of mean square 1. Small: what an
            activation bends, the state forgets.
        centre: the pre-activation that units start at. None: 0, without a bias. Otherwise it is the bias, and the
            recurrent weights are deaf to what all units have in common, so that units stay there.
    """

    gain: float
    input_gain: float
    centre: float | None = None


RECIPES: Final[Mapping[str, Recipe]] = {
    "tanh": Recipe(1.0, 0.05),
    "relu": Recipe(1.0, 0.05, centre=0.5),
    "sigmoid": Recipe(4.0, 0.2, centre=0.0),
    "leaky_relu": Recipe(1.0, 0.05, centre=0.5),
    "elu": Recipe(1.0, 0.1, centre=1.0),
    "selu": Recipe(0.95, 0.1, centre=1.0),
    "gelu": Recipe(1.0, 0.05, centre=0.75),
    "silu": Recipe(1.08, 0.1, centre=1.0),
    "mish": Recipe(1.01, 0.05, centre=0.75),
    "softsign": Recipe(1.2, 0.05),
    "softplus": Recipe(1.37, 0.1, centre=1.0),
    "hardtanh": Recipe(1.0, 0.1),
    "sin": Recipe(1.0, 0.05),
    "identity": Recipe(1.0, 0.1),
}

OTHER: Final = Recipe(1.0, 0.05)
"""For an activation that the table has not: right for one like the identity around 0."""


@final
@dataclass(frozen=True)
class Start:
    """What the weights of a layer start as.

    Args:
        scheme: `torch` (uniform in ±1/√units), `orthogonal` (each gate's recurrent block; a plain cell's times the
            activation's gain around 0), `identity` (the candidate's block; the gates' zero; Le, Jaitly & Hinton 2015),
            `chrono` (`auto`, with gates that remember up to `length` steps; Tallec & Ollivier 2018), or `auto`: the
            activation's recipe in a plain cell; in a gated one orthogonal blocks, and a forget bias of 1 for an LSTM
            (Jozefowicz, Zaremba & Sutskever 2015). All but `torch` have no other biases; input weights of gated cells
            are torch's. `auto` leaves torch's weights to a plain cell with layer norm, which was not measured, and to
            a cell that does not say which of its blocks is what.
        cell: the equation. activation: a name of the table; None: another function.
        length: the steps that `chrono` is to remember.

    Raises:
        ValueError: for a scheme that is not known, or that the cell cannot have.
    """

    scheme: str
    cell: Cell
    activation: str | None
    length: int | None = None

    def __post_init__(self) -> None:
        known_scheme(self.scheme)
        if self.scheme == "identity" and self.cell.candidate is None:
            raise ValueError("recurrent_init=identity: the cell does not say which block is its candidate's")
        if self.scheme == "chrono":
            self._check_chrono()
        elif self.length is not None:
            raise ValueError(f"chrono_length={self.length}: is for recurrent_init=chrono, not {self.scheme}")

    def _check_chrono(self) -> None:
        if self.cell.keep is None and self.cell.write is None:
            raise ValueError("recurrent_init=chrono: needs a cell with gates: gru or lstm")
        if self.length is None:
            raise ValueError("recurrent_init=chrono: needs chrono_length, the steps to remember")
        if self.length < 3:
            raise ValueError(f"chrono_length={self.length}: must be at least 3")

    def __str__(self) -> str:
        return self.scheme if self.length is None else f"{self.scheme} for {self.length} steps"


def known_scheme(name: str) -> str:
    """The name, if `recurrent_init=` may say it.

    Raises:
        ValueError: if not.
    """
    names = list(get_args(Scheme))
    if name not in names:
        raise ValueError(f"recurrent_init={name}: {nearest(str(name), names)}")
    return name


def start_as_torch(weights: Iterable[Tensor], hidden_size: int) -> None:
    """Torch.nn's own starting weights, by the same random numbers."""
    for weight in weights:
        nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)


@torch.no_grad()
def initialise(weights: Mapping[str, Tensor], start: Start) -> None:
    """Start the weights of all layers and directions, which are torch.nn's own so far.

    Args:
        weights: by torch.nn's names (`weight_hh_l0_reverse`); of a layer with norms `norm_bias_l0` and so on too.
            Without biases there are none to set.
        start: as what.

    Raises:
        ValueError: for `chrono` without biases.
    """
    if start.scheme == "chrono" and "bias_ih_l0" not in weights:
        raise ValueError("recurrent_init=chrono: sets biases, and bias=False leaves none")
    if start.scheme == "torch" or (start.scheme == "auto" and not _has_recipe(weights, start.cell)):
        return
    for name in [each for each in weights if each.startswith("weight_hh")]:
        suffix = name.removeprefix("weight_hh")
        own = {kind: weights[kind + suffix] for kind in KINDS if kind + suffix in weights}
        for bias in ("bias_ih", "bias_hh"):
            if bias in own:
                own[bias].zero_()
        (_start_plain if start.cell.gates == 1 else _start_gated)(own, start)


def _has_recipe(weights: Mapping[str, Tensor], cell: Cell) -> bool:
    """Not for a cell that does not say what its blocks are, nor for a plain one that is kept in size by norms."""
    return cell.candidate is not None and not (cell.gates == 1 and "norm_bias_l0" in weights)


def _start_plain(own: Mapping[str, Tensor], start: Start) -> None:
    recipe = RECIPES.get(start.activation or "", OTHER)
    recurrent = own["weight_hh"]
    own["weight_ih"].normal_(std=recipe.input_gain / own["weight_ih"].shape[1] ** 0.5)
    if start.scheme == "identity":
        recurrent.copy_(torch.eye(len(recurrent)))
    elif start.scheme == "orthogonal" or recipe.centre is None or "bias_ih" not in own:
        recurrent.copy_(_gain_around_zero(start.activation, recipe) * _orthogonal(len(recurrent)))
    else:
        recurrent.copy_(recipe.gain * _deaf(len(recurrent)))
        own["bias_ih"].fill_(recipe.centre)


def _gain_around_zero(activation: str | None, recipe: Recipe) -> float:
    """The recipe's gain; where it is that of another centre, the one of the mean-field calculation."""
    if activation is None or recipe.centre is None:
        return recipe.gain
    return ACTIVATIONS[activation].recurrent_gain or recipe.gain


def _start_gated(own: Mapping[str, Tensor], start: Start) -> None:
    cell, units = start.cell, own["weight_hh"].shape[1]
    for number, block in enumerate(own["weight_hh"].chunk(cell.gates)):
        if start.scheme == "identity":
            block.copy_(torch.eye(units) if number == cell.candidate else torch.zeros(units, units))
        else:
            block.copy_(_orthogonal(units))
    if start.scheme == "chrono":
        assert start.length is not None  # noqa: S101 - it is checked
        steps = torch.empty(units).uniform_(1, start.length - 1).log()
        _set_bias(own, cell.keep, steps)
        _set_bias(own, cell.write, -steps)
    elif start.scheme == "auto" and cell.states > 1:
        _set_bias(own, cell.keep, torch.ones(units))


def _set_bias(own: Mapping[str, Tensor], gate: int | None, values: Float[Tensor, " unit"]) -> None:
    """Of a gate; where there is a norm after it, the norm's: it would take away what all units have in common."""
    if gate is None:
        return
    if "norm_bias" in own:
        own["norm_bias"][gate] = values
    elif "bias_ih" in own:
        own["bias_ih"][gate * len(values) : (gate + 1) * len(values)] = values


def _orthogonal(size: int) -> Float[Tensor, "unit unit"]:
    found: Tensor = nn.init.orthogonal_(torch.empty(size, size))
    return found


def _deaf(size: int) -> Float[Tensor, "unit unit"]:
    """Orthogonal among the directions in which units differ; what they have in common goes to zero."""
    if size == 1:
        return torch.zeros(1, 1)
    common_first = torch.cat([torch.ones(size, 1), torch.randn(size, size - 1)], dim=1)
    apart = torch.linalg.qr(common_first)[0][:, 1:]
    deaf: Tensor = apart @ _orthogonal(size - 1) @ apart.T
    return deaf


def name_of(function: str | Elementwise) -> str | None:
    """An activation's name in the table; None: it has none."""
    if isinstance(function, str):
        return function
    return next((name for name, row in ACTIVATIONS.items() if row.function is function), None)
