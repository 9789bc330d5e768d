"""Exact gates of fused recurrent layers: what torch computes inside and does not return."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from flatspot.activations import ACTIVATIONS
from flatspot.probes.moments import widest
from flatspot.probes.undisturbed import Ask, answer, first_tensor, undisturbed

Function = Callable[[Tensor], Tensor]
State = Tensor | tuple[Tensor, Tensor]
Gates = dict[str, Tensor]

GATES: Final = frozenset({"input", "forget", "output", "reset", "update"})
"""Sigmoids; what else is read runs the layer's activation, but for `state`, which does so in a plain RNN alone."""

SHUT: Final = 0.05
"""A gate below this lets (nearly) nothing through."""

OPEN: Final = 0.95
"""A gate above this lets (nearly) everything through."""

RAIL: Final = 0.99
"""A bounded value farther than this from its middle, as a share of the way to its bounds, is at a rail."""

QUANTILES: Final = (0.1, 0.5, 0.9)

TORCHS_OWN: Final = frozenset({nn.RNN, nn.GRU, nn.LSTM})

HELD: Final = 3
"""Time steps over which a layer that is not torch's own is held against what was read."""

KINDS: Final = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn", "RNN_RELU": "rnn"}


def recurrent_layers(module: nn.Module) -> dict[str, nn.RNNBase]:
    """The recurrent layers of a module by their dotted names; of a layer itself, by the empty name.

    >>> list(recurrent_layers(nn.ModuleDict({"encoder": nn.GRU(1, 4), "head": nn.Linear(4, 1)})))
    ['encoder']
    """
    return {name: part for name, part in module.named_modules() if isinstance(part, nn.RNNBase)}


def layer_inputs(module: nn.Module, x: Tensor, *, ask: Ask | None = None) -> dict[str, tuple[Any, Any]]:
    """What each recurrent layer of a module is given when the module is asked: its input and its initial state.

    By the names of `recurrent_layers`; a layer that is called several times has the call with the most elements, the
    last of equals; one that is not called is left out. For `layer_gates(layer, *given)`. Cost: one call of the module.

    Args:
        x: inputs `[sample, *input]`. ask: how the module is asked; None: by its forward.
    """
    found: dict[str, tuple[Any, Any]] = {}

    def watching(name: str) -> Callable[..., None]:
        def take(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            given, state = args[0] if args else kwargs["input"], args[1] if len(args) > 1 else kwargs.get("hx")
            if name not in found or _size(given) >= _size(found[name][0]):
                found[name] = given, state

        return take

    with undisturbed(module), torch.no_grad(), ExitStack() as hooks:
        for name, layer in recurrent_layers(module).items():
            handle = layer.register_forward_pre_hook(watching(name), with_kwargs=True)
            hooks.callback(handle.remove)
        (ask or answer(module))(x)
    return found


def _size(given: Tensor | PackedSequence) -> int:
    return given.data.numel()


def layer_gates(
    layer: nn.RNNBase, x: Tensor | PackedSequence, state: State | None = None, *, outputs: Tensor | None = None
) -> dict[str, dict[str, Tensor]]:
    """All gates of all time steps of a recurrent layer, in evaluation mode (without dropout), by layer and direction.

    The outputs of one layer are its h, so all gates of all steps are one matrix product,
    σ(W_ih x + b_ih + W_hh h₋₁ + b_hh). A GRU's candidate has W_hn h₋₁ + b_hn apart, within the reset gate; an LSTM's
    tanh(c) needs the short recursion c = f c + i g. Stacked layers are run one by one; the second direction reversed.

    Read are torch.nn.RNN, GRU (the reset gate after the product) and LSTM (with projections), and layers derived from
    them that keep their parameters and equations and an `activation` of their own: a name of `flatspot.activations` or
    a function, in place of tanh in the candidate, the output of an LSTM and a plain RNN's state. A layer that is not
    torch's own is called over three steps to see that these are its equations.

    Cost a layer: one call of torch's own layer and one product of the size of its recurrence; with another activation
    than torch's, instead of the call as many products as there are steps.

    Args:
        x: in the layer's own layout: `[time, sample, channel]`, or `[sample, time, channel]` with `batch_first`;
            `[time, channel]` is one sample. state: the initial one as torch.nn takes it; None: zeros.
        outputs: what the layer said of x in evaluation mode, in its own layout, where that is known: h of the last
            layer, which then need not run again.

    Returns:
        by the name of layer and direction as torch.nn has it (`l0`, `l0_reverse`, `l1`, ...) and by the name of the
        gate, each `[sample, time, unit]` in the order of time: of an LSTM `input`, `forget`, `cell` (the candidate),
        `output`, `tanh_cell`; of a GRU `reset`, `update`, `candidate`; of each `state`, which is h (projected, where
        the layer projects).

    Raises:
        ValueError: for a packed sequence, or a layer that computes something else.

    Source: the equations of torch.nn.RNN, GRU and LSTM.

    >>> gates = layer_gates(nn.GRU(1, 4, num_layers=2), torch.zeros(7, 3, 1))
    >>> {name: list(each) for name, each in gates.items()}["l1"], gates["l1"]["reset"].shape
    (['reset', 'update', 'candidate', 'state'], torch.Size([3, 7, 4]))
    """
    if isinstance(x, PackedSequence):
        what = "a packed sequence has steps that are not there; give sequences of one length"
        raise ValueError(f"x: {what}")  # noqa: TRY004 - where it is no wrong type to the layer
    if layer.mode not in KINDS:
        raise ValueError(f"layer: {type(layer).__name__} of the kind {layer.mode} is none of RNN, GRU and LSTM")
    if x.dim() == 2:
        outputs = None
        x = x.unsqueeze(0 if layer.batch_first else 1)
        state = _batched(state)
    with undisturbed(layer), torch.no_grad():
        x = x if layer.batch_first else x.transpose(0, 1)
        if type(layer) not in TORCHS_OWN and x.numel():
            _hold(layer, x[:, :HELD], state)
        if outputs is not None and not layer.batch_first:
            outputs = outputs.transpose(0, 1)
        return _read(layer, x, state, outputs)


@final
class _Direction(NamedTuple):
    """One layer in one direction: its kind (rnn, gru, lstm), its activation and its weights."""

    kind: str
    activation: Function
    of_input: Tensor
    of_state: Tensor
    input_bias: Tensor | None
    state_bias: Tensor | None
    projection: Tensor | None

    @property
    def weights(self) -> tuple[Tensor, ...]:
        """As torch's functions take them."""
        return tuple(each for each in self[2:] if each is not None)

    def projected(self, h: Tensor) -> Tensor:
        """The state as the recurrence has it."""
        return h if self.projection is None else F.linear(h, self.projection)


def _read(
    layer: nn.RNNBase, x: Float[Tensor, "sample time channel"], state: State | None, outputs: Tensor | None = None
) -> dict[str, Gates]:
    found: dict[str, Gates] = {}
    starts = iter(zip(*_starts(layer, x, state), strict=True))
    for number in range(layer.num_layers):
        names = [f"l{number}{suffix}" for suffix in ("", "_reverse")[: 2 if layer.bidirectional else 1]]
        known = None if outputs is None or number < layer.num_layers - 1 else outputs.chunk(len(names), dim=-1)
        for place, name in enumerate(names):
            direction, start = _direction(layer, name), next(starts)
            backwards = name.endswith("_reverse")
            said = None if known is None else known[place].flip(1) if backwards else known[place]
            gates = _read_direction(direction, x.flip(1) if backwards else x, start, said)
            found[name] = {gate: each.flip(1) if backwards else each for gate, each in gates.items()}
        x = torch.cat([found[name]["state"] for name in names], dim=-1)
    return found


def _starts(layer: nn.RNNBase, x: Tensor, state: State | None) -> tuple[Tensor, ...]:
    """The initial state's parts, each `[layer, sample, unit]`."""
    if state is not None:
        return _parts(state)
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    widths = [layer.proj_size or layer.hidden_size, layer.hidden_size][: 2 if layer.mode == "LSTM" else 1]
    return tuple(x.new_zeros(count, len(x), width) for width in widths)


def _batched(state: State | None) -> State | None:
    """Of one sample without an axis for samples."""
    if state is None or isinstance(state, Tensor):
        return state if state is None else state.unsqueeze(1)
    return state[0].unsqueeze(1), state[1].unsqueeze(1)


def _parts(state: State) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else state


def _direction(layer: nn.RNNBase, name: str) -> _Direction:
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    weights = [getattr(layer, f"{kind}_{name}", None) for kind in kinds]
    if not layer.bias:
        weights[2:4] = None, None
    return _Direction(KINDS[layer.mode], _activation(layer), *weights)  # type: ignore[arg-type]


def _activation(layer: nn.RNNBase) -> Function:
    own = getattr(layer, "activation", None)
    if isinstance(own, str):
        return ACTIVATIONS[own].function
    if callable(own):
        function: Function = own
        return function
    return torch.relu if layer.mode == "RNN_RELU" else torch.tanh


def _read_direction(direction: _Direction, x: Tensor, start: tuple[Tensor, ...], said: Tensor | None) -> Gates:
    states = _states(direction, x, start) if said is None else said
    if direction.kind == "rnn":
        return {"state": states}
    before = torch.cat([start[0].unsqueeze(1), states], dim=1)[:, :-1]
    from_input = F.linear(x, direction.of_input, direction.input_bias)
    gates = _gates(direction, from_input, F.linear(before, direction.of_state, direction.state_bias))
    if direction.kind == "lstm":
        gates["tanh_cell"] = direction.activation(_cells(gates, start[1]))
    return gates | {"state": states}


def _gates(direction: _Direction, from_input: Tensor, from_state: Tensor) -> Gates:
    """From what comes of the input and of the state before, in torch's order of the gates, for one step or for all."""
    activation = direction.activation
    if direction.kind == "lstm":
        i, f, g, o = from_state.add_(from_input).chunk(4, dim=-1)
        return {"input": i.sigmoid(), "forget": f.sigmoid(), "cell": activation(g), "output": o.sigmoid()}
    (x_r, x_z, x_n), (h_r, h_z, h_n) = from_input.chunk(3, dim=-1), from_state.chunk(3, dim=-1)
    reset = (x_r + h_r).sigmoid()
    return {"reset": reset, "update": (x_z + h_z).sigmoid(), "candidate": activation(x_n + reset * h_n)}


def _cells(gates: Gates, cell: Tensor) -> Tensor:
    """An LSTM's c at each step."""
    cells, written = torch.empty_like(gates["forget"]), gates["input"] * gates["cell"]
    for time in range(cells.shape[1]):
        cell = gates["forget"][:, time] * cell + written[:, time]
        cells[:, time] = cell
    return cells


def _states(direction: _Direction, x: Tensor, start: tuple[Tensor, ...]) -> Tensor:
    """The state h at each step, `[sample, time, unit]`, by torch's own layer where that runs the activation."""
    if not x.shape[0] or not x.shape[1]:
        return x.new_empty(*x.shape[:2], start[0].shape[-1])
    options = (direction.input_bias is not None, 1, 0.0, False, False, True)
    start = tuple(part.unsqueeze(0).contiguous() for part in start)
    plain = {"rnn": torch.rnn_tanh, "gru": torch.gru}
    # One that projects is run a step at a time by torch too, which warns that it is.
    if direction.activation is torch.tanh and direction.kind == "lstm" and direction.projection is None:
        return torch.lstm(x, start, direction.weights, *options)[0]
    if direction.activation is torch.tanh and direction.kind in plain:
        return plain[direction.kind](x, start[0], direction.weights, *options)[0]
    if direction.activation in {torch.relu, F.relu} and direction.kind == "rnn":
        return torch.rnn_relu(x, start[0], direction.weights, *options)[0]
    return _stepped(direction, x, tuple(part.squeeze(0) for part in start))


def _stepped(direction: _Direction, x: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """The same one step after another, with any activation."""
    states = []
    for from_input in F.linear(x, direction.of_input, direction.input_bias).unbind(1):
        from_state = F.linear(state[0], direction.of_state, direction.state_bias)
        state = _step(direction, from_input, from_state, state)
        states.append(state[0])
    return torch.stack(states, dim=1)


def _step(direction: _Direction, from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...]) -> tuple[Any, ...]:
    if direction.kind == "rnn":
        return (direction.activation(from_input + from_state),)
    gates = _gates(direction, from_input, from_state)
    if direction.kind == "gru":
        return (torch.lerp(gates["candidate"], state[0], gates["update"]),)
    cell = gates["forget"] * state[1] + gates["input"] * gates["cell"]
    return direction.projected(gates["output"] * direction.activation(cell)), cell


def _hold(layer: nn.RNNBase, x: Float[Tensor, "sample time channel"], state: State | None) -> None:
    """Hold the layer's outputs against those that were read. By its forward: hooks are not told."""
    last = f"l{layer.num_layers - 1}"
    read = [gates["state"] for name, gates in _read(layer, x, state).items() if name in {last, f"{last}_reverse"}]
    said = torch.cat(read, dim=-1)
    x, said = (x, said) if layer.batch_first else (x.transpose(0, 1), said.transpose(0, 1))
    outputs = first_tensor(layer.forward(x, state))
    near = 4 * torch.finfo(said.dtype).eps ** 0.5
    if outputs.shape != said.shape or not torch.allclose(outputs.to(said), said, near, near, equal_nan=True):
        what = f"{type(layer).__name__} does not compute what torch.nn's {KINDS[layer.mode]} does with its parameters"
        raise ValueError(f"layer: {what} and its activation")


@final
class Horizon(NamedTuple):
    """Quantiles over units of the steps that a unit keeps what it has; infinite where its gate rounds to 1."""

    low: float
    median: float
    high: float


@final
class GateReport(NamedTuple):
    """What the gates of one layer and direction do, over all samples and steps; NaN where there is no figure.

    Args:
        shut: the share of a gate's values below 0.05. open: above 0.95. By the names of the gates.
        rails: the share of values of a bounded activation (and so of `cell`, `tanh_cell`, `candidate`, and the state of
            a plain RNN) within 1 % of their bounds: |tanh| > 0.99.
        horizon: the quantiles 0.1, 0.5 and 0.9 over units of 1 / (1 - f), in steps, with f the unit's mean over samples
            and steps of the gate that keeps: an LSTM's `forget`, a GRU's `update`.
        saturated: the share at a rail among all values of gates and bounded activations together; gates count as
            |2 g - 1| > 0.99, below 0.005 or above 0.995: the same way along the same curve as |tanh| > 0.99. Wider
            lines would blame a forget gate that keeps for 30 steps.
        dead: the share of units whose state never moves, as `dead_units` has it.
    """

    shut: dict[str, float]
    open: dict[str, float]
    rails: dict[str, float]
    horizon: Horizon
    saturated: float
    dead: float


def gate_report(layer: nn.RNNBase, gates: Mapping[str, Mapping[str, Tensor]]) -> dict[str, GateReport]:
    """What the gates of a layer do, by layer and direction. Cost: a few passes over the gates.

    Args:
        layer: tells which activation it runs. gates: as `layer_gates` gives them.

    >>> layer = nn.GRU(1, 4)
    >>> report = gate_report(layer, layer_gates(layer, torch.zeros(7, 3, 1)))["l0"]
    >>> report.saturated, report.shut
    (0.0, {'reset': 0.0, 'update': 0.0})
    """
    return {name: _report(each, _bounds(layer), plain=layer.mode.startswith("RNN")) for name, each in gates.items()}


def _bounds(layer: nn.RNNBase) -> tuple[float, float] | None:
    """Of the layer's activation; None: it is not bounded, or not of the table."""
    own = getattr(layer, "activation", None) or ("relu" if layer.mode == "RNN_RELU" else "tanh")
    rows = (row for name, row in ACTIVATIONS.items() if own in {name, row.function})
    low, high = next((row.range for row in rows), (-math.inf, math.inf))
    return (float(low), float(high)) if high - low < math.inf else None


def _report(gates: Mapping[str, Tensor], bounds: tuple[float, float] | None, *, plain: bool) -> GateReport:
    bounded = [name for name in gates if name not in GATES and (name == "state") == plain and bounds is not None]
    shares = {name: _beyond(each, SHUT, OPEN, *_rails(0.0, 1.0)) for name, each in gates.items() if name in GATES}
    rails = {name: at_rail(gates[name], *bounds) for name in bounded if bounds is not None}
    ends = [*(low + high for _, _, low, high in shares.values()), *rails.values()]
    kept = gates.get("forget", gates.get("update"))
    return GateReport(
        shut={name: share[0] for name, share in shares.items()},
        open={name: share[1] for name, share in shares.items()},
        rails=rails,
        horizon=Horizon(*[math.nan] * 3) if kept is None else _horizon(kept),
        saturated=sum(ends) / len(ends) if ends else math.nan,
        dead=dead_units(gates["state"]),
    )


def at_rail(values: Tensor, low: float, high: float) -> float:
    """The share of values within 1 % of their bounds; NaN of none, and where one is not finite.

    >>> at_rail(torch.tensor([-1.0, 0.0, 0.5, 0.999]), -1.0, 1.0)
    0.5
    """
    return sum(_beyond(values, *_rails(low, high)))


def _rails(low: float, high: float) -> tuple[float, float]:
    middle, half = (low + high) / 2, (high - low) / 2
    return middle - RAIL * half, middle + RAIL * half


def _beyond(values: Tensor, *lines: float) -> list[float]:
    """The shares below the first, above the second line and so on; NaN of no values, and where one is not finite."""
    if not values.numel():
        return [math.nan] * len(lines)
    lowest, highest = (each.item() for each in values.aminmax())
    if not math.isfinite(lowest + highest):
        return [math.nan] * len(lines)
    below = (torch.count_nonzero(values < line).item() if lowest < line else 0 for line in lines[::2])
    above = (torch.count_nonzero(values > line).item() if highest > line else 0 for line in lines[1::2])
    return [count / values.numel() for both in zip(below, above, strict=True) for count in both]


def _horizon(kept: Tensor) -> Horizon:
    """From the gate that keeps, `[sample, time, unit]`."""
    means = widest(kept).flatten(0, -2).mean(dim=0)
    if not means.numel() or not means.isfinite().all():
        return Horizon(*[math.nan] * 3)
    # Of the means, since quantiles go between two units, and an infinite one would take its neighbours along.
    return Horizon(*((1 / (1 - means.quantile(each))).item() for each in QUANTILES))


def dead_units(states: Float[Tensor, "*sample unit"]) -> float:
    """The share of units whose value is the same at every sample and step, but for rounding.

    Of a relu: zero throughout, never active. Of a tanh: at its rail throughout. Where there is but one step, samples
    that are all the same make every unit dead. NaN for fewer than two values a unit, and where one is not finite.

    Args:
        states: `[sample, time, unit]` or `[sample, unit]`.

    >>> dead_units(torch.tensor([[0.0, 1.0], [0.0, 2.0]]))
    0.5
    """
    rows = states.flatten(0, -2)
    if len(rows) < 2 or not rows.numel() or not rows.isfinite().all():
        return math.nan
    low, high = rows.amin(dim=0), rows.amax(dim=0)
    rounding = 4 * torch.finfo(rows.dtype).eps * torch.maximum(low.abs(), high.abs())
    return (high - low <= rounding).double().mean().item()
