"""A recurrent encoder and a linear head: the network of all our own models."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.models.encoder import build_encoder
from flatspot.nn.cells import cell_named
from flatspot.nn.initial_state import INITIAL_STATES
from flatspot.nn.scan import Sequences
from flatspot.registry import nearest

NO_ACTIVATION: Final = "none"
"""`model.head_activation=none`: the head is linear."""


@final
class Network(nn.Module):
    """Reads each sequence to its end, and says from the encoder's last state what it makes of it.

    Args:
        inputs: channels of a sequence. outputs: numbers that are said of it.
        cell: `rnn`, `gru`, `lstm`, one that an installed package adds, or one of torchrecurrent's (docs/cells.md).
        activation: of the recurrence, a name in `flatspot.activations`; of `gru` the candidate's, of `lstm` also the
            output's.
        hidden_size: units a layer and direction. num_layers: stacked layers.
        bidirectional: a second direction reads the sequence from its end; the head sees the last state of each.
        dropout: share dropped between stacked layers; with one layer there is no such place.
        layer_norm: normalises every gate's pre-activation over the units at every step (Ba et al. 2016).
        residual: every layer after the first adds its input to its output.
        initial_state: `zeros`, `normal` (drawn for each sequence in training, zeros in evaluation) or `learned`.
        recurrent_init: the encoder's starting weights: `auto` (by cell and activation), `torch`, `orthogonal`,
            `identity` or `chrono`, as `flatspot.nn.initialisation.Start` has them.
        chrono_length: the steps that `chrono` is to remember: as many as a sequence has.
        engine: what runs the encoder: `auto`, `native`, `fused` or `scan`, as `flatspot.nn.RNN` has them.
        head_activation: of the outputs; `none` leaves them free.

    Raises:
        BadInput: naming the value that cannot be used.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        cell: str = "lstm",
        activation: str = "tanh",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        initial_state: str = "zeros",
        recurrent_init: str = "auto",
        chrono_length: int | None = None,
        engine: str = "auto",
        head_activation: str = NO_ACTIVATION,
    ) -> None:
        super().__init__()
        self.encoder = build_encoder(
            cell,
            activation,
            inputs=inputs,
            hidden_size=hidden_size,
            num_layers=num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            layer_norm=layer_norm,
            residual=residual,
            recurrent_init=recurrent_init,
            chrono_length=chrono_length,
            engine=engine,
        )
        directions = 2 if bidirectional else 1
        start = INITIAL_STATES[initial_state]
        self.initial_state = start(cell_named(cell).states, num_layers * directions, hidden_size)
        self.head = nn.Linear(hidden_size * directions, outputs)
        self._head_activation = _head_function(head_activation)
        self._hidden_size = hidden_size
        self._directions = directions
        self._residual = residual  # what a layer adds to its input is more than its state

    def forward(self, x: Sequences) -> Float[Tensor, "batch output"]:
        """The outputs of each sequence, in the order that they were given or packed in."""
        states, final = self.encoder(x, self.initial_state(x))
        last = self._last(states) if self._residual else self._final(final)
        outputs: Tensor = self._head_activation(self.head(last))
        return outputs

    def _final(self, state: Tensor | tuple[Tensor, ...]) -> Float[Tensor, "batch unit"]:
        """The last layer's state in each direction: asked for by itself, its gradient comes back by itself."""
        layers = state if isinstance(state, Tensor) else state[0]
        return layers[-1] if self._directions == 1 else torch.cat([layers[-2], layers[-1]], dim=-1)

    def _last(self, states: Sequences) -> Float[Tensor, "batch unit"]:
        """What each direction says once it has read the whole sequence: the backward one, at the first step."""
        ends = _ends_of_packed(states) if isinstance(states, PackedSequence) else (states[:, -1], states[:, 0])
        forward, backward = ends[0][:, : self._hidden_size], ends[1][:, self._hidden_size :]
        return torch.cat([forward, backward], dim=-1) if backward.numel() else forward


def network_of(settings: Mapping[str, Any], inputs: int, outputs: int) -> Network:
    """The network that a model's hyperparameters describe: those among them that `Network` takes by name."""
    named = [each.name for each in inspect.signature(Network).parameters.values() if each.kind is each.KEYWORD_ONLY]
    return Network(inputs, outputs, **{name: settings[name] for name in named})


def _ends_of_packed(states: PackedSequence) -> tuple[Tensor, Tensor]:
    """The last and the first step of each sequence, `[batch, unit]` each, in the order that they were packed in."""
    rows, batch = states.data, int(states.batch_sizes[0])
    last, first = rows[_last_rows(states.batch_sizes).to(rows.device, non_blocking=True)], rows[:batch]
    order = states.unsorted_indices
    return (last, first) if order is None else (last[order], first[order])


def _last_rows(sizes: Int64[Tensor, " time"]) -> Int64[Tensor, " batch"]:
    """Where in the packed rows each sequence's last step is, the longest sequence first.

    Args:
        sizes: how many sequences have each step.
    """
    order = torch.arange(int(sizes[0]))
    lengths = (sizes.unsqueeze(1) > order).sum(dim=0)
    return (sizes.cumsum(dim=0) - sizes)[lengths - 1] + order


def _head_function(name: str) -> Callable[[Tensor], Tensor]:
    if name == NO_ACTIVATION:
        return ACTIVATIONS["identity"].function
    if name not in ACTIVATIONS:
        raise BadInput(f"model.head_activation={name}: {nearest(name, [NO_ACTIVATION, *ACTIVATIONS])}")
    return ACTIVATIONS[name].function
