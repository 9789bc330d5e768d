"""What the units of a network do: at their rails, or never moving; of recurrent layers by exact gates."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from flatspot.probes.gates import GateReport, at_rail, dead_units, gate_report, layer_gates
from flatspot.probes.undisturbed import Ask, answer, undisturbed

MOST_VALUES: Final = 2**22
"""Values of a gate that are looked at: of larger layers and longer windows fewer samples, of many calls fewer."""

LEAST_VALUES: Final = 2**12
"""What a call counts for at least: of a thousand calls and more some are looked at."""

CELLS: Final[Mapping[type[nn.Module], Callable[..., nn.RNNBase]]] = {
    nn.RNNCell: nn.RNN,
    nn.GRUCell: nn.GRU,
    nn.LSTMCell: nn.LSTM,
}
"""Cells of torch's, and the layers that compute the same at one step."""

BOUNDED: Final[Mapping[type[nn.Module], tuple[float, float]]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
}
"""Activations between two rails; those of `nn.Hardtanh` and `nn.ReLU6` are told by the module."""

UNBOUNDED: Final = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Threshold, nn.Hardswish, nn.Hardshrink, nn.Softshrink, nn.Tanhshrink),
)

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
    as `name_l0`, `name_l1_reverse`, ...) and torch.nn's cells, whose gates are computed exactly (see `layer_gates`) in
    the type of their weights; others that return a sequence and a state, and cells of one's own, of which only dead
    units are told; and activations that are modules, `nn.ReLU` and the like. What the module does not call is left out,
    and so is what is within a scripted or traced module, which nothing can listen to.

    A layer that is called several times, as in a loop over steps, is told by all its calls together: its gates are
    `[sample, time, unit]` over the steps of one call after the other. An activation that follows several modules with
    parameters acts on units of each of them: their dead ones are counted apart. Of packed sequences the steps that are
    there are looked at; where lengths differ, as the gates of one sample, `[1, step, unit]`.

    Cost: one call of the module, and what `layer_gates` costs for calls of one size together; for large layers on fewer
    samples than x has, and of many calls on some, evenly spread.

    Args:
        x: inputs `[sample, *input]`. ask: how the module is asked; None: by its forward.

    >>> reports = unit_reports(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.zeros(5, 2))
    >>> list(reports), reports["1"].dead
    (['1'], 1.0)
    """
    called = _called(module, x, ask or answer(module))
    found: dict[str, UnitReport] = {}
    for name, part in module.named_modules():
        if name in called:
            found |= _reports(name or type(part).__name__, part, [group.kept for group in called[name].values()])
    return found


@final
class _Call(NamedTuple):
    """What a layer returned, and a recurrent one was given.

    Args:
        output, x: of a recurrent layer `[sample, time, ...]`. state: as torch.nn takes it, with an axis of samples.
    """

    output: Tensor
    x: Any = None
    state: Any = None


@final
class _Calls:
    """Calls of a layer; of many every second, every fourth, ..."""

    def __init__(self) -> None:
        self.kept: list[_Call] = []
        self._seen, self._stride, self._size = 0, 1, 0

    def add(self, call: _Call) -> None:
        """Where it is its turn."""
        if self._seen % self._stride == 0:
            self.kept.append(call)
            self._size += _size(call)
        self._seen += 1
        while len(self.kept) > 1 and self._size > MOST_VALUES:
            self.kept = self.kept[::2]
            self._stride, self._size = 2 * self._stride, sum(_size(each) for each in self.kept)


def _size(call: _Call) -> int:
    return max(call.output.numel(), LEAST_VALUES)


def _reports(name: str, part: nn.Module, groups: list[list[_Call]]) -> dict[str, UnitReport]:
    """Of one module.

    Args:
        groups: calls that act on the same units.
    """
    layer = _as_layer(part)
    if layer is not None:
        return _recurrent(name, layer, [call for group in groups for call in group])
    rows = [torch.cat([_rows(call.output) for call in group]) for group in groups]
    widths = [each.shape[1] for each in rows]
    dead = sum(dead_units(each) * width for each, width in zip(rows, widths, strict=True)) / max(sum(widths), 1)
    return {name: UnitReport(_saturated(part, torch.cat([each.flatten() for each in rows])), dead)}


def _rows(output: Tensor) -> Float[Tensor, "row unit"]:
    width = output.shape[-1] if output.dim() > 1 else 1
    return output.reshape(output.shape[:-1].numel() if output.dim() > 1 else len(output), width)


def _as_layer(part: nn.Module) -> nn.RNNBase | None:
    """A recurrent layer, or one that has the weights of a cell of torch's; None: it is neither."""
    if isinstance(part, nn.RNNBase):
        return part
    if not isinstance(part, nn.RNNCellBase) or type(part) not in CELLS:
        return None
    options = {"nonlinearity": part.nonlinearity} if isinstance(part, nn.RNNCell) else {}
    sizes = part.input_size, part.hidden_size
    layer = CELLS[type(part)](*sizes, bias=part.bias, batch_first=True, device="meta", **options)
    for kind, weight in list(part.named_parameters(recurse=False)):
        setattr(layer, f"{kind}_l0", weight)
    return layer


def _recurrent(name: str, layer: nn.RNNBase, calls: list[_Call]) -> dict[str, UnitReport]:
    parts: dict[str, dict[str, list[Tensor]]] = {}
    for alike in _alike(calls):
        for place, gates in _gates_of(layer, alike).items():
            for gate, values in gates.items():
                parts.setdefault(place, {}).setdefault(gate, []).append(values)
    joined = {place: {gate: _one_after_another(each) for gate, each in found.items()} for place, found in parts.items()}
    reports = gate_report(layer, joined)
    several = len(joined) > 1
    return {
        f"{name}_{each}" if several else name: UnitReport(report.saturated, report.dead, joined[each], report)
        for each, report in reports.items()
    }


def _alike(calls: list[_Call]) -> list[list[_Call]]:
    """Calls whose inputs and states have the same shapes."""
    found: dict[object, list[_Call]] = {}
    for call in calls:
        found.setdefault((call.x.shape, call.state is None, call.x.dtype, call.output.dtype), []).append(call)
    return list(found.values())


def _gates_of(layer: nn.RNNBase, calls: list[_Call]) -> dict[str, dict[str, Tensor]]:
    """Of calls that are alike, run as more samples: `[sample, time, unit]` with the steps of all calls."""
    weights = next(layer.parameters())
    x = torch.cat([call.x for call in calls]).to(weights.dtype)
    outputs = torch.cat([call.output for call in calls])
    known = outputs if outputs.dtype == weights.dtype else None
    states = [call.state if isinstance(call.state, tuple) else (call.state,) for call in calls]
    joined = [torch.cat(each, dim=1).to(weights.dtype) for each in zip(*states, strict=True) if each[0] is not None]
    state: Any = None if not joined else joined[0] if len(joined) == 1 else tuple(joined)
    if not layer.batch_first:
        x, known = x.transpose(0, 1), None if known is None else known.transpose(0, 1)
    with torch.autocast(x.device.type, enabled=False):
        found = layer_gates(layer, x, state, outputs=known)
    return {place: {gate: _by_call(each, len(calls)) for gate, each in gates.items()} for place, gates in found.items()}


def _by_call(values: Tensor, calls: int) -> Float[Tensor, "sample time unit"]:
    """From `[call and sample, time, unit]`."""
    by_call = values.reshape(calls, len(values) // calls, *values.shape[1:])
    return values if calls == 1 else torch.cat(list(by_call), dim=1)


def _one_after_another(values: list[Tensor]) -> Float[Tensor, "sample time unit"]:
    """In time; those of different samples as one."""
    if len({len(each) for each in values}) > 1:
        values = [each.flatten(0, 1).unsqueeze(0) for each in values]
    return torch.cat(values, dim=1) if len(values) > 1 else values[0]


def _called(module: nn.Module, x: Tensor, ask: Ask) -> dict[str, dict[object, _Calls]]:
    """What layers and activations were given and returned in one call of the module, by name and by whose units."""
    found: dict[str, dict[object, _Calls]] = {}
    last = ""

    def watching(name: str) -> Callable[..., None]:
        def take(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            nonlocal last
            for call in _calls(part, args, kwargs, output):
                whose = (last, call.output.shape[-1]) if isinstance(part, ACTIVE) else None
                found.setdefault(name, {}).setdefault(whose, _Calls()).add(call)
            if any(True for _ in part.parameters(recurse=False)):
                last = name

        return take

    with undisturbed(module), torch.no_grad(), ExitStack() as hooks:
        for name, part in module.named_modules():
            if not isinstance(part, torch.jit.ScriptModule):  # which takes no hooks
                hooks.callback(part.register_forward_hook(watching(name), with_kwargs=True).remove)
        ask(x)
    return found


def _calls(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> list[_Call]:  # noqa: ANN401
    """As one call, of a recurrent layer as one for each length of its sequences; none: it is nothing to look at.

    All are copies: the next module, or the next step, may work in place.
    """
    x = args[0] if args else kwargs.get("input", next(iter(kwargs.values()), None))
    state = args[1] if len(args) > 1 else kwargs.get("hx")
    if isinstance(part, ACTIVE):
        return [_Call(output.detach().clone())] if isinstance(output, Tensor) and output.dim() else []
    if isinstance(part, nn.RNNCellBase):
        return _cell_calls(part, x, state, output)
    if not (isinstance(output, tuple) and len(output) == 2 and _is_sequence(output[0]) and _is_sequence(x)):
        return []
    if not isinstance(part, nn.RNNBase):
        return [_Call(output[0].data.detach().clone())]
    return [_fewer(part.hidden_size, each) for each in _by_length(part, x, state, output[0])]


def _cell_calls(part: nn.RNNCellBase, x: Any, state: Any, output: Any) -> list[_Call]:  # noqa: ANN401
    """A step; of one sample without an axis for samples too."""
    h = output[0] if isinstance(output, tuple) else output
    if not isinstance(h, Tensor) or not isinstance(x, Tensor):
        return []
    state = _changed(state, lambda each: each.reshape(1, -1, each.shape[-1]))
    return [_fewer(part.hidden_size, _Call(_as_step(h), _as_step(x), state))]


def _as_step(values: Tensor) -> Float[Tensor, "sample 1 channel"]:
    return values.reshape(-1, 1, values.shape[-1])


def _by_length(layer: nn.RNNBase, x: Any, state: Any, output: Any) -> Iterator[_Call]:  # noqa: ANN401
    """Packed sequences by their lengths; others are of one."""
    if not isinstance(x, PackedSequence):
        if x.dim() == 2:
            yield _Call(output.unsqueeze(0), x.unsqueeze(0), _changed(state, lambda each: each.unsqueeze(1)))
        else:
            first, second = (each if layer.batch_first else each.transpose(0, 1) for each in (output, x))
            yield _Call(first, second, state)
        return
    (padded, lengths), (said, _) = (pad_packed_sequence(each, batch_first=True) for each in (x, output))
    for length in sorted({*lengths.tolist()}):
        rows = (lengths == length).nonzero().squeeze(1).to(padded.device)
        theirs = _changed(state, partial(torch.index_select, dim=1, index=rows))
        yield _Call(said[rows, :length], padded[rows, :length], theirs)


def _fewer(width: int, call: _Call) -> _Call:
    """A copy of as many of the samples as make a bounded number of values."""
    most = max(MOST_VALUES // max(call.x.shape[1] * width, 1), 1)
    output, x = (each[:most].detach().clone() for each in call[:2])
    return _Call(output, x, _changed(call.state, lambda each: each[:, :most].detach().clone()))


def _changed(state: Any, change: Callable[[Tensor], Tensor]) -> Any:  # noqa: ANN401 - a state as torch.nn has it
    if isinstance(state, tuple):
        return tuple(change(each) for each in state)
    return None if state is None else change(state)


def _is_sequence(output: object) -> bool:
    if isinstance(output, PackedSequence):
        return True
    return isinstance(output, Tensor) and output.dim() in {2, 3} and output.is_floating_point()


def _saturated(part: nn.Module, values: Tensor) -> float:
    if isinstance(part, nn.Hardtanh):
        return at_rail(values, float(part.min_val), float(part.max_val))
    bounds = BOUNDED.get(type(part))
    return math.nan if bounds is None else at_rail(values, *bounds)
