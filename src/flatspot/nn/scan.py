"""A recurrent layer in plain torch: any cell, any elementwise activation, any device; one time step after another."""

from collections.abc import Iterator
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from flatspot.nn.cell import Cell, Elementwise, Norm

State = Tensor | tuple[Tensor, ...]
"""As torch.nn has it: h `[layer, batch, hidden]`, or the tuple (h, c)."""

DIRECTIONS: Final = ("", "_reverse")


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
    ) -> None:
        super().__init__()
        self.cell = cell
        self.activation = activation
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.layer_norm = layer_norm
        self.residual = residual
        self._directions = DIRECTIONS if bidirectional else DIRECTIONS[:1]
        self._add_weights(input_size)
        if layer_norm:
            self._add_norms()

    def forward(
        self, x: Float[Tensor, "batch time feature"], hx: State | None = None
    ) -> tuple[Float[Tensor, "batch time output"], State]:
        """All outputs of the last layer, and the final state of every layer and direction.

        Args:
            x: the sequences.
            hx: the initial state, as torch.nn takes it; None: zeros.

        Raises:
            ValueError: for an initial state of other shapes.
        """
        final: list[tuple[Tensor, ...]] = []
        states = self._initial(x, hx)
        sequence = x.transpose(0, 1)
        for layer in range(self.num_layers):
            outputs = self._layer(layer, sequence, states, final)
            sequence = sequence + outputs if self.residual and layer else outputs
            if layer < self.num_layers - 1:
                sequence = F.dropout(sequence, self.dropout, self.training)
        parts = tuple(torch.stack(part) for part in zip(*final, strict=True))
        return sequence.transpose(0, 1), parts if self.cell.states > 1 else parts[0]

    def _layer(
        self,
        layer: int,
        sequence: Float[Tensor, "time batch feature"],
        states: Iterator[tuple[Tensor, ...]],
        final: list[tuple[Tensor, ...]],
    ) -> Float[Tensor, "time batch output"]:
        """One layer's outputs in both directions; appends their final states."""
        outputs = []
        for direction in self._directions:
            steps = sequence.flip(0) if direction else sequence
            out, state = self._scan(f"l{layer}{direction}", steps, next(states))
            outputs.append(out.flip(0) if direction else out)
            final.append(state)
        return torch.cat(outputs, dim=-1)

    def _scan(
        self, name: str, steps: Float[Tensor, "time batch feature"], state: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "time batch hidden"], tuple[Tensor, ...]]:
        """One layer in one direction: the input's part of all steps is one matrix product."""
        weight, bias = self._named("weight_hh", name), self._named("bias_hh", name)
        from_input = F.linear(steps, self._named("weight_ih", name), self._named("bias_ih", name))
        norm = self._norm(name)
        outputs = []
        for step in from_input.unbind(0):
            state = self.cell.step(step, F.linear(state[0], weight, bias), state, self.activation, norm)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def _initial(self, x: Tensor, hx: State | None) -> Iterator[tuple[Tensor, ...]]:
        """The initial state of each layer and direction in turn."""
        layers = self.num_layers * len(self._directions)
        if hx is None:
            zeros = x.new_zeros(layers, len(x), self.hidden_size)
            hx = (zeros,) * self.cell.states
        parts = (hx,) if isinstance(hx, Tensor) else hx
        expected = [(layers, len(x), self.hidden_size)] * self.cell.states
        if [tuple(part.shape) for part in parts] != expected:
            raise ValueError(
                f"the initial state has the shapes {[tuple(part.shape) for part in parts]}, not {expected}"
            )
        return zip(*parts, strict=True)

    def _norm(self, name: str) -> Norm:
        if not self.layer_norm:
            return _as_it_is
        gain, bias = self._named("norm_weight", name), self._named("norm_bias", name)
        return lambda gate, number: F.layer_norm(gate, (self.hidden_size,), gain[number], bias[number])

    def _named(self, kind: str, name: str) -> Tensor:
        parameter: Tensor = getattr(self, f"{kind}_{name}")
        return parameter

    def _add_weights(self, input_size: int) -> None:
        rows, bound = self.cell.gates * self.hidden_size, self.hidden_size**-0.5
        for layer in range(self.num_layers):
            width = self.hidden_size * len(self._directions) if layer else input_size
            weights = {"weight_ih": (rows, width), "weight_hh": (rows, self.hidden_size)}
            sizes = {**weights, "bias_ih": (rows,), "bias_hh": (rows,)}
            for direction in self._directions:
                for kind, size in sizes.items():
                    start = nn.init.uniform_(torch.empty(size), -bound, bound)
                    self.register_parameter(f"{kind}_l{layer}{direction}", nn.Parameter(start))

    def _add_norms(self) -> None:
        for layer in range(self.num_layers):
            for direction in self._directions:
                size = (self.cell.gates, self.hidden_size)
                self.register_parameter(f"norm_weight_l{layer}{direction}", nn.Parameter(torch.ones(size)))
                self.register_parameter(f"norm_bias_l{layer}{direction}", nn.Parameter(torch.zeros(size)))


def _as_it_is(gate: Tensor, _: int) -> Tensor:
    return gate
