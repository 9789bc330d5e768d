"""A recurrent encoder over the window, and a linear head for all steps of the horizon at once."""

from collections.abc import Callable
from typing import Final, Unpack, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.models.encoder import build_encoder
from flatspot.models.forecast_module import ForecastModule, Training
from flatspot.nn.cells import CELLS
from flatspot.nn.initial_state import INITIAL_STATES
from flatspot.registry import nearest

NO_ACTIVATION: Final = "none"
"""`model.head_activation=none`: the head is linear."""


@final
class Forecaster(ForecastModule):
    """Forecasts the `horizon` steps that follow a window, from the encoder's last state.

    Plain values in, layers built inside: `save_hyperparameters` stores numbers and words, and a checkpoint
    loads with `weights_only=True`.

    Args:
        inputs: channels of the window. targets: channels predicted. horizon: steps predicted.
        cell: `rnn`, `gru`, `lstm`, or one that an installed package adds.
        activation: of the recurrence, a name in `flatspot.activations`; of `gru` the candidate's, of `lstm` also the
            output's.
        hidden_size: units a layer and direction. num_layers: stacked layers.
        bidirectional: a second direction reads the window from its end; the head sees the last state of each.
        dropout: share dropped between stacked layers; with one layer there is no such place.
        layer_norm: normalises every gate's pre-activation over the units at every step (Ba et al. 2016).
        residual: every layer after the first adds its input to its output.
        initial_state: `zeros`, `normal` (drawn for each window in training, zeros in evaluation) or `learned`.
        head_activation: of the outputs, in scaled units; `none` leaves them free.
        training: the loss, the optimizer and its rates, as `ForecastModule` has them.

    Raises:
        BadInput: naming the value that cannot be used.
    """

    def __init__(
        self,
        *,
        inputs: int = 1,
        targets: int = 1,
        horizon: int = 1,
        cell: str = "lstm",
        activation: str = "tanh",
        hidden_size: int = 64,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        layer_norm: bool = False,
        residual: bool = False,
        initial_state: str = "zeros",
        head_activation: str = NO_ACTIVATION,
        **training: Unpack[Training],
    ) -> None:
        super().__init__(inputs=inputs, targets=targets, horizon=horizon, **training)
        self.save_hyperparameters(logger=False)
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
        )
        directions = 2 if bidirectional else 1
        start = INITIAL_STATES[initial_state]
        self.initial_state = start(CELLS[cell].states, num_layers * directions, hidden_size)
        self.head = nn.Linear(hidden_size * directions, horizon * targets)
        self._head_activation = _head_function(head_activation)
        self._hidden_size = hidden_size
        self._shape = (horizon, targets)

    def forward(self, x: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch horizon target"]:
        """Forecasts in scaled units, from windows in scaled units."""
        states, _ = self.encoder(x, self.initial_state(x))
        outputs: Tensor = self._head_activation(self.head(self._last(states)))
        return outputs.view(-1, *self._shape)

    def _last(self, states: Float[Tensor, "batch time unit"]) -> Float[Tensor, "batch unit"]:
        """What each direction says once it has read the whole window: the backward one, at the window's first step."""
        forward, backward = states[:, -1, : self._hidden_size], states[:, 0, self._hidden_size :]
        return torch.cat([forward, backward], dim=-1) if backward.numel() else forward


def _head_function(name: str) -> Callable[[Tensor], Tensor]:
    if name == NO_ACTIVATION:
        return ACTIVATIONS["identity"].function
    if name not in ACTIVATIONS:
        raise BadInput(f"model.head_activation={name}: {nearest(name, [NO_ACTIVATION, *ACTIVATIONS])}")
    return ACTIVATIONS[name].function
