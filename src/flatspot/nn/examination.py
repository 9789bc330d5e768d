"""What every recurrent cell must hold to, with every activation: one examination, each answer a number.

`scripts/write_cells_page.py` writes the answers into docs/cells.md. A cell of another package sits it too:
`examine_cell(MY_CELL, ACTIVATIONS["tanh"], my_equation)`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.activations import ACTIVATIONS, Activation
from flatspot.errors import BadInput
from flatspot.nn.cell import Cell, Elementwise
from flatspot.nn.layer import build_layer
from flatspot.nn.scan import Scan
from flatspot.nn.zoo import ZooCell, ZooLayer

BATCH, TIME, FEATURES, UNITS = 2, 8, 2, 3
"""Small sizes: the examination is about what is computed, and finite differences take every weight twice. So many steps
as machine code is chosen for."""

EPSILON: Final = 1e-6
"""The step of the central differences, in float64."""

ENGINES: Final = ("native", "fused")
"""The engines that are held against the scan."""

Weights = Mapping[str, Tensor]

Equation = Callable[[Weights, Float[Tensor, "time feature"], tuple[Tensor, ...], Elementwise], list[Tensor]]
"""A transcription: weights, one sequence, its initial state and the activation to its outputs, step by step."""


def rnn_equation(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> list[Tensor]:
    """To h' = f(W_ih x + b_ih + W_hh h + b_hh)."""
    (h,) = state
    outputs = []
    for x_t in x:
        h = f(w["weight_ih"] @ x_t + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"])
        outputs.append(h)
    return outputs


def gru_equation(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> list[Tensor]:
    """As torch.nn.GRU's documentation has it."""
    (h,) = state
    outputs = []
    (w_r, w_z, w_n), (u_r, u_z, u_n) = w["weight_ih"].chunk(3), w["weight_hh"].chunk(3)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = w["bias_ih"].chunk(3), w["bias_hh"].chunk(3)
    for x_t in x:
        r = torch.sigmoid(w_r @ x_t + b_r + u_r @ h + c_r)
        z = torch.sigmoid(w_z @ x_t + b_z + u_z @ h + c_z)
        n = f(w_n @ x_t + b_n + r * (u_n @ h + c_n))
        h = (1 - z) * n + z * h
        outputs.append(h)
    return outputs


def lstm_equation(w: Weights, x: Tensor, state: tuple[Tensor, ...], f: Elementwise) -> list[Tensor]:
    """As torch.nn.LSTM's documentation has it, with f for tanh."""
    h, c = state
    outputs = []
    for x_t in x:
        i, forget, g, o = (w["weight_ih"] @ x_t + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]).chunk(4)
        c = torch.sigmoid(forget) * c + torch.sigmoid(i) * f(g)
        h = torch.sigmoid(o) * f(c)
        outputs.append(h)
    return outputs


EQUATIONS: Final[Mapping[str, Equation]] = {"rnn": rnn_equation, "gru": gru_equation, "lstm": lstm_equation}


@final
@dataclass(frozen=True)
class CellExamination:
    """How far a cell is from what it should be. All but the last are largest absolute differences, 0 at best.

    Args:
        engine: what `build_layer` runs it with.
        steps: step by step, the state carried on, against the whole sequence.
        equation: against the transcription of its equation.
        engines: of the outputs and gradients of each engine that can run it from those of the scan; None where there is
            no other.
        neighbours: of a sample's outputs when all others in its batch are replaced.
        future: of the outputs before a step when all inputs from that step on are replaced.
        gradient: of the gradients of inputs, initial state and weights against central finite differences, by the
            size of the gradient.
        activation: the *smallest* difference that any other activation makes to the outputs. Zero: it does nothing.
            None: any other one is refused.
    """

    engine: str
    steps: float
    equation: float
    engines: float | None
    neighbours: float
    future: float
    gradient: float
    activation: float | None


def examine_cell(cell: Cell | ZooCell, activation: Activation, equation: Equation, *, seed: int = 0) -> CellExamination:
    """Sit the examination in float64, with weights, inputs and an initial state drawn from `seed`.

    Raises:
        ValueError: if outputs or states have not torch.nn's shapes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = build_layer(cell, activation, FEATURES, UNITS).double()
        if isinstance(layer, ZooLayer):
            _draw(layer)
        x = torch.randn(BATCH, TIME, FEATURES, dtype=torch.float64)
        parts = torch.randn(cell.states, 1, BATCH, UNITS, dtype=torch.float64).unbind()
        others = torch.randn_like(x)
    outputs = _outputs(layer, x, parts)
    return CellExamination(
        engine=_engine(layer),
        steps=_largest(_step_by_step(layer, x, parts) - outputs),
        equation=_largest(_transcribed(layer, x, parts, equation, activation.function) - outputs),
        engines=_against_scan(cell, activation, layer, x, parts),
        neighbours=_neighbours(layer, x, others, parts, outputs),
        future=_future(layer, x, others, parts, outputs),
        gradient=_gradient(layer, x, parts),
        activation=_nearest_activation(cell, activation, layer, x, parts, outputs),
    )


def _engine(layer: nn.Module) -> str:
    if isinstance(layer, ZooLayer):
        return "torchrecurrent"
    return "scan" if isinstance(layer, Scan) else layer.choice().engine  # type: ignore[operator] # a drop-in


@torch.no_grad()
def _draw(layer: nn.Module) -> None:
    """Weights that start at zero would hide what is done with them."""
    for weight in layer.parameters():
        nn.init.uniform_(weight, -1, 1)


def _largest(difference: Tensor) -> float:
    return difference.abs().max().item()


def _state(parts: tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
    return parts if len(parts) > 1 else parts[0]


def _outputs(layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
    outputs, final = layer(x, _state(parts))
    states = (final,) if isinstance(final, Tensor) else final
    shapes = [tuple(each.shape) for each in (outputs, *states)]
    if shapes != [(*x.shape[:2], UNITS), *((1, len(x), UNITS) for _ in parts)]:
        raise ValueError(f"outputs and states have the shapes {shapes}")
    return outputs  # type: ignore[no-any-return]


@torch.no_grad()
def _step_by_step(layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
    outputs, state = [], _state(parts)
    for step in torch.split(x, 1, dim=1):
        output, state = layer(step, state)
        outputs.append(output)
    return torch.cat(outputs, dim=1)


@torch.no_grad()
def _transcribed(
    layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...], equation: Equation, function: Elementwise
) -> Tensor:
    weights = {name.removesuffix("_l0").removeprefix("cells.l0."): value for name, value in layer.named_parameters()}
    states = [tuple(part[0, sample] for part in parts) for sample in range(len(x))]
    return torch.stack(
        [torch.stack(equation(weights, each, state, function)) for each, state in zip(x, states, strict=True)]
    )


def _against_scan(
    cell: Cell | ZooCell, activation: Activation, layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...]
) -> float | None:
    if isinstance(layer, (Scan, ZooLayer)) or isinstance(cell, ZooCell):
        return None
    scan = Scan(cell, activation.function, FEATURES, UNITS).double()
    scan.load_state_dict(layer.state_dict())
    expected = _outputs_and_gradients(scan, x, parts)
    differences = []
    for engine in ENGINES:
        try:
            twin = build_layer(cell, activation, FEATURES, UNITS, engine=engine).double()
        except ValueError:
            continue  # it cannot run this activation
        twin.load_state_dict(layer.state_dict())
        differences.append(_largest(_outputs_and_gradients(twin, x, parts) - expected))
    return max(differences, default=None)


def _outputs_and_gradients(layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...]) -> Tensor:
    """Of all outputs, and of inputs, initial state and weights, one after another."""
    leaves = [x.clone().requires_grad_(), *(part.clone().requires_grad_() for part in parts)]
    outputs = _outputs(layer, leaves[0], tuple(leaves[1:]))
    gradients = torch.autograd.grad(outputs.square().sum(), [*leaves, *layer.parameters()])
    return torch.cat([each.detach().flatten() for each in (outputs, *gradients)])


@torch.no_grad()
def _neighbours(layer: nn.Module, x: Tensor, others: Tensor, parts: tuple[Tensor, ...], outputs: Tensor) -> float:
    changes = []
    for sample in range(len(x)):
        replaced = others.clone()
        replaced[sample] = x[sample]
        changes.append(_largest((_outputs(layer, replaced, parts) - outputs)[sample]))
    return max(changes)


@torch.no_grad()
def _future(layer: nn.Module, x: Tensor, others: Tensor, parts: tuple[Tensor, ...], outputs: Tensor) -> float:
    changes = []
    for step in range(1, TIME):
        changed = _outputs(layer, torch.cat([x[:, :step], others[:, step:]], dim=1), parts)
        changes.append(_largest((changed - outputs)[:, :step]))
    return max(changes)


def _gradient(layer: nn.Module, x: Tensor, parts: tuple[Tensor, ...]) -> float:
    leaves = [x.clone().requires_grad_(), *(part.clone().requires_grad_() for part in parts)]
    variables = [*leaves, *layer.parameters()]

    def total() -> Tensor:
        outputs = _outputs(layer, leaves[0], tuple(leaves[1:]))
        return (outputs * torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)).sum()

    exact = torch.cat([each.flatten() for each in torch.autograd.grad(total(), variables, materialize_grads=True)])
    numeric = torch.cat([_central_differences(total, each) for each in variables])
    return _largest(exact - numeric) / _largest(exact)


@torch.no_grad()
def _central_differences(total: Callable[[], Tensor], variable: Tensor) -> Tensor:
    flat, slopes = variable.view(-1), torch.empty(variable.numel(), dtype=variable.dtype)
    for index, value in enumerate(flat.tolist()):
        ends = []
        for moved in (value + EPSILON, value - EPSILON):
            flat[index] = moved
            ends.append(total())
        flat[index] = value
        slopes[index] = (ends[0] - ends[1]) / (2 * EPSILON)
    return slopes


@torch.no_grad()
def _nearest_activation(
    cell: Cell | ZooCell,
    activation: Activation,
    layer: nn.Module,
    x: Tensor,
    parts: tuple[Tensor, ...],
    outputs: Tensor,
) -> float | None:
    differences = []
    for other in ACTIVATIONS.values():
        if other.function is activation.function:
            continue
        try:
            twin = build_layer(cell, other, FEATURES, UNITS).double()
        except BadInput:
            continue  # refused
        twin.load_state_dict(layer.state_dict())
        differences.append(_largest(_outputs(twin, x, parts) - outputs))
    return min(differences, default=None)
