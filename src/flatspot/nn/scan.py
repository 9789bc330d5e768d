"""A recurrent layer in plain torch: any cell, any elementwise activation, any device; one time step after another."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from flatspot.nn.cell import Cell, Elementwise, Norm
from flatspot.nn.engines import Choice
from flatspot.nn.initialisation import Start, initialise, name_of, start_as_torch

State = Tensor | tuple[Tensor, ...]
"""As torch.nn has it: h `[layer, batch, hidden]`, or the tuple (h, c)."""

Sequences = Float[Tensor, "batch time feature"] | PackedSequence
"""Sequences of one length, or packed ones of any."""

DIRECTIONS: Final = ("", "_reverse")

NORMS: Final = ("norm_weight", "norm_bias")

OWN: Final = ("weight_", "bias_", *NORMS)
"""What the names of a layer's own parameters begin with; an activation may have others."""


@final
class Scan(nn.Module):
    """Stacked recurrent layers, batch first, with torch.nn's parameters: names, shapes, order and starting values.

    A state dict of `nn.RNN`, `nn.GRU` or `nn.LSTM` loads into the same cell here and gives the same outputs, and the
    same random state gives the same starting weights.

    Args:
        cell: the equation of a step.
        activation: the function that it runs.
        input_size: channels of the input. hidden_size: units a layer and direction. num_layers: stacked layers.
        dropout: share dropped of each layer's outputs but the last's, in training.
        bidirectional: a second direction reads the sequence from its end.
        layer_norm: every gate's pre-activation is normalised over the layer's units at every step, with a gain and a
            bias of its own (Ba, Kiros, Hinton 2016, eq. 4). An LSTM's cell state is not normalised.
        residual: every layer after the first adds its input to its output (He et al. 2016).
        recurrent_init: the starting weights: `torch` (torch.nn's own), `auto`, `orthogonal`, `identity` or `chrono`, as
            `flatspot.nn.initialisation.Start` has them. chrono_length: the steps that `chrono` is to remember.

    Raises:
        ValueError: for starting weights that the cell cannot have.
    """

    def __init__(
        self,
        cell: Cell,
        activation: Elementwise,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        layer_norm: bool = False,
        residual: bool = False,
        recurrent_init: str = "torch",
        chrono_length: int | None = None,
    ) -> None:
        super().__init__()
        self.start = Start(recurrent_init, cell, name_of(activation), chrono_length)
        self.cell = cell
        self.activation = activation
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.layer_norm = layer_norm
        self.residual = residual
        self.directions: tuple[str, ...] = DIRECTIONS if bidirectional else DIRECTIONS[:1]
        self._add_weights(input_size)
        if layer_norm:
            self._add_norms()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start the weights, by random numbers of their own."""
        weights = {name: value for name, value in self.named_parameters() if name.startswith(OWN)}
        start_as_torch((each for name, each in weights.items() if not name.startswith(NORMS)), self.hidden_size)
        for name, each in weights.items():
            if name.startswith(NORMS):
                nn.init.constant_(each, float(name.startswith(NORMS[0])))
        initialise(weights, self.start)

    @staticmethod
    def choice() -> Choice:
        """As the other layers': there is no other engine here."""
        return Choice("scan", "layer norm, residual layers and cells of others are run by plain torch alone")

    def forward(
        self, x: Sequences, hx: State | None = None
    ) -> tuple[Float[Tensor, "batch time output"] | PackedSequence, State]:
        """All outputs of the last layer, and the final state of every layer and direction.

        Args:
            x: the sequences; packed, they may differ in length: each is read to its own end, and backwards from it.
            hx: the initial state, as torch.nn takes it, in the order that the sequences had before they were packed;
                None: zeros.

        Returns:
            The outputs, packed like x, and the state in the order of `hx`.

        Raises:
            ValueError: for an initial state of other shapes.
        """
        return run_stacked(self, x, hx)

    def one(
        self, name: str, rows: Float[Tensor, "row feature"], sizes: list[int], state: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "row hidden"], tuple[Tensor, ...]]:
        """One layer in one direction, by its name: `l0`, `l0_reverse`, ..."""
        weights = [self._named(kind, name) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        backwards = name.endswith(DIRECTIONS[1])
        norm = self._norm(name)
        return scan(self.cell, self.activation, rows, sizes, state, weights, norm=norm, backwards=backwards)

    def _norm(self, name: str) -> Norm:
        if not self.layer_norm:
            return as_it_is
        gain, bias = self._named("norm_weight", name), self._named("norm_bias", name)
        return lambda gate, number: F.layer_norm(gate, (self.hidden_size,), gain[number], bias[number])

    def _named(self, kind: str, name: str) -> Tensor:
        parameter: Tensor = getattr(self, f"{kind}_{name}")
        return parameter

    def _add_weights(self, input_size: int) -> None:
        rows = self.cell.gates * self.hidden_size
        for layer in range(self.num_layers):
            width = self.hidden_size * len(self.directions) if layer else input_size
            weights = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden_size)}
            sizes = {**weights, "bias_ih": (rows,), "bias_hh": (rows,)}
            for direction in self.directions:
                for kind, size in sizes.items():
                    self.register_parameter(f"{kind}_l{layer}{direction}", nn.Parameter(torch.empty(size)))

    def _add_norms(self) -> None:
        for layer in range(self.num_layers):
            for direction in self.directions:
                size = (self.cell.gates, self.hidden_size)
                for kind in NORMS:
                    self.register_parameter(f"{kind}_l{layer}{direction}", nn.Parameter(torch.empty(size)))


@runtime_checkable
class Stacked(Protocol):
    """Layers and directions that are run one after another."""

    hidden_size: int
    num_layers: int
    dropout: float
    residual: bool
    training: bool
    directions: tuple[str, ...]

    @property
    def cell(self) -> Any:  # noqa: ANN401 - its `states` are asked for
        """The cell."""

    def one(
        self, name: str, rows: Tensor, sizes: list[int], state: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer in one direction."""


def run_stacked(layer: Stacked, x: Sequences, hx: State | None) -> tuple[Tensor | PackedSequence, State]:
    """All layers, over sequences of one length or packed; see `Scan.forward`."""
    if not isinstance(x, PackedSequence):
        batch, time = x.shape[:2]
        start = _initial(layer, x, batch, hx)
        rows, state = _layers(layer, x.transpose(0, 1).flatten(0, 1), [batch] * time, start)
        return rows.view(time, batch, rows.shape[1]).transpose(0, 1), as_torch_has_it(state)
    # A packed batch is sorted by length: what is given and returned in the user's order is permuted.
    start = permuted(_initial(layer, x.data, int(x.batch_sizes[0]), hx), x.sorted_indices)
    rows, state = _layers(layer, x.data, x.batch_sizes.tolist(), start)
    outputs = PackedSequence(rows, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
    return outputs, as_torch_has_it(permuted(state, x.unsorted_indices))


def _layers(
    layer: Stacked, rows: Float[Tensor, "row feature"], sizes: list[int], start: tuple[Tensor, ...]
) -> tuple[Float[Tensor, "row output"], tuple[Tensor, ...]]:
    """All layers, each over all time steps.

    Args:
        rows: of all sequences, one time step after another; `sizes`: how many each step has. The longest sequences
            come first, so those that a step has are the first ones.
        start: the state, each part `[layer, batch, hidden]`.
    """
    starts, final = zip(*start, strict=True), []
    for number in range(layer.num_layers):
        outputs = []
        for direction in layer.directions:
            out, state = layer.one(f"l{number}{direction}", rows, sizes, next(starts))
            outputs.append(out)
            final.append(state)
        together = torch.cat(outputs, dim=-1)
        rows = rows + together if layer.residual and number else together
        if number < layer.num_layers - 1:
            rows = F.dropout(rows, layer.dropout, layer.training)
    return rows, tuple(torch.stack(part) for part in zip(*final, strict=True))


def _initial(layer: Stacked, x: Tensor, batch: int, hx: State | None) -> tuple[Tensor, ...]:
    """The initial state's parts, each `[layer, batch, hidden]`."""
    shape = (layer.num_layers * len(layer.directions), batch, layer.hidden_size)
    if hx is None:
        nothing: tuple[Tensor, ...] = (x.new_zeros(shape),) * layer.cell.states
        return nothing
    parts = (hx,) if isinstance(hx, Tensor) else hx
    shapes, expected = [tuple(part.shape) for part in parts], [shape] * layer.cell.states
    if shapes != expected:
        raise ValueError(f"the initial state has the shapes {shapes}, not {expected}")
    return parts


def as_it_is(gate: Tensor, _: int) -> Tensor:
    """No norm."""
    return gate


def scan(
    cell: Cell,
    activation: Elementwise,
    rows: Float[Tensor, "row feature"],
    sizes: Sequence[int],
    state: tuple[Tensor, ...],
    weights: Sequence[Tensor | None],
    *,
    norm: Norm = as_it_is,
    backwards: bool = False,
    watch: Callable[[int, Tensor], None] | None = None,
) -> tuple[Float[Tensor, "row unit"], tuple[Float[Tensor, "sample unit"], ...]]:
    """All steps of a layer in one direction; the input's part of all of them is one matrix product.

    Args:
        rows: of all sequences, one time step after another, the longest sequences first.
        sizes: sequences at each time step. state: the initial one, each part `[sample, unit]`.
        weights: as torch.nn has them: of the input, of the state, and the biases of both, or None.
        norm: of each gate's pre-activation. backwards: from the end of each sequence.
        watch: is shown each time step and its outputs.

    Returns:
        the outputs, and the final state.
    """
    of_input, of_state, input_bias, state_bias = weights
    assert of_input is not None and of_state is not None  # noqa: S101, PT018 - biases alone may be none
    order = -1 if backwards else 1
    from_input = F.linear(rows, of_input, input_bias)
    outputs = []
    for time, step in list(enumerate(from_input.split_with_sizes(list(sizes))))[::order]:
        before = first_of(len(step), state)
        after = cell.step(step, F.linear(before[0], of_state, state_bias), before, activation, norm)
        state = replaced(state, after)
        outputs.append(after[0])
        if watch is not None:
            watch(time, after[0])
    return torch.cat(outputs[::order]), state


def as_torch_has_it(parts: tuple[Tensor, ...]) -> State:
    """A state of one part by itself, of two as a tuple."""
    return parts if len(parts) > 1 else parts[0]


def permuted(parts: tuple[Tensor, ...], order: Tensor | None) -> tuple[Tensor, ...]:
    """A state with its samples in another order."""
    return parts if order is None else tuple(part.index_select(1, order) for part in parts)


def first_of(size: int, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states of the first sequences."""
    return state if size == len(state[0]) else tuple(part[:size] for part in state)


def replaced(state: tuple[Tensor, ...], first: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The states with those of the first sequences replaced: the others have ended, or, backwards, not begun."""
    size = len(first[0])
    if size == len(state[0]):
        return first
    return tuple(torch.cat([new, old[size:]]) for new, old in zip(first, state, strict=True))
