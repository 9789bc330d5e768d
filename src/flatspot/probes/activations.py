"""What the units of a network do: at their rails, or never moving; of recurrent layers by exact gates."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor, nn

from flatspot.probes.gates import GateReport, at_rail, dead_units, gate_report, layer_gates
from flatspot.probes.undisturbed import Ask, answer, undisturbed

MOST_VALUES: Final = 2**22
"""Values of a gate that are looked at: of larger layers and longer windows fewer samples."""

BOUNDED: Final[Mapping[type[nn.Module], tuple[float, float]]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
}
"""Activations between two rails; those of `nn.Hardtanh` and `nn.ReLU6` are told by the module."""

UNBOUNDED: Final = (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus)

ACTIVE: Final = (*BOUNDED, nn.Hardtanh, *UNBOUNDED)
"""Activations that are modules."""


@final
@dataclass(frozen=True)
class UnitReport:
    """What the units of one layer do, over all samples and steps; NaN where there is no figure.

    Args:
        saturated: the share of values at a rail. dead: the share of units that never move.
        gates: the values of a recurrent layer's gates, `[sample, time, unit]`. report: what they do, in figures.
    """

    saturated: float
    dead: float
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    report: GateReport | None = None


def unit_reports(module: nn.Module, x: Tensor, *, ask: Ask | None = None) -> dict[str, UnitReport]:
    """What the units of each layer of a module do, in evaluation mode, by dotted name, in the order of the module.

    Layers are recurrent ones (torch.nn's RNN, GRU and LSTM and what is derived of them; a stacked or bidirectional one
    as `name_l0`, `name_l1_reverse`, ...), whose gates are computed exactly (see `layer_gates`); others that return a
    sequence and a state, of which only dead units are told; and activations that are modules, `nn.ReLU` and the like.
    What the module does not call is left out.

    Cost: one call of the module, and what `layer_gates` costs; for large layers on fewer samples than x has.

    Args:
        x: inputs `[sample, *input]`. ask: how the module is asked; None: by its forward.

    >>> reports = unit_reports(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(5, 2))
    >>> list(reports), reports["1"].dead
    (['1'], 1.0)
    """
    called = _called(module, x, ask or answer(module))
    found: dict[str, UnitReport] = {}
    for name, part in module.named_modules():
        if name not in called:
            continue
        call, own = called[name], name or type(part).__name__
        if isinstance(part, nn.RNNBase):
            found |= _recurrent(own, part, call)
        else:
            found[own] = UnitReport(_saturated(part, call.output), dead_units(call.output))
    return found


@final
class _Call(NamedTuple):
    """What a layer was given, and the sequence or values that it returned."""

    x: Any
    state: Any
    output: Tensor


def _recurrent(name: str, layer: nn.RNNBase, call: _Call) -> dict[str, UnitReport]:
    x, state, outputs = _fewer(layer, call)
    gates = layer_gates(layer, x, state, outputs=outputs)
    reports = gate_report(layer, gates)
    several = len(gates) > 1
    return {
        f"{name}_{each}" if several else name: UnitReport(report.saturated, report.dead, gates[each], report)
        for each, report in reports.items()
    }


def _fewer(layer: nn.RNNBase, call: _Call) -> _Call:
    """As many of the samples as make a bounded number of values."""
    x, state, outputs = call
    if x.dim() == 2:
        return call
    batch = 0 if layer.batch_first else 1
    most = max(MOST_VALUES // max(x.shape[1 - batch] * layer.hidden_size, 1), 1)
    if x.shape[batch] <= most:
        return call
    few = tuple(part[:, :most] for part in state) if isinstance(state, tuple) else state
    few = few[:, :most] if isinstance(few, Tensor) else few
    return _Call(x.narrow(batch, 0, most), few, outputs.narrow(batch, 0, most))


def _called(module: nn.Module, x: Tensor, ask: Ask) -> dict[str, _Call]:
    """What layers and activations were given and returned in one call of the module, by name; of several the last."""
    found: dict[str, _Call] = {}

    def watching(name: str) -> Callable[..., None]:
        def take(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            given, state = (*args, *kwargs.values(), None, None)[:2]
            if isinstance(part, ACTIVE) and isinstance(output, Tensor):
                found[name] = _Call(given, None, output.detach().clone())  # the next module may work in place
            elif isinstance(output, tuple) and len(output) == 2 and _is_sequence(output[0]) and _is_sequence(given):
                found[name] = _Call(given, state, output[0].detach())

        return take

    with undisturbed(module), torch.no_grad(), ExitStack() as hooks:
        for name, part in module.named_modules():
            hooks.callback(part.register_forward_hook(watching(name), with_kwargs=True).remove)
        ask(x)
    return found


def _is_sequence(output: object) -> bool:
    return isinstance(output, Tensor) and output.dim() in {2, 3} and output.is_floating_point()


def _saturated(part: nn.Module, values: Tensor) -> float:
    if isinstance(part, nn.Hardtanh):
        return at_rail(values, float(part.min_val), float(part.max_val))
    bounds = BOUNDED.get(type(part))
    return math.nan if bounds is None else at_rail(values, *bounds)
