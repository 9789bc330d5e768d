"""A recurrent encoder over the window, and a linear head for all steps of the horizon at once."""

from typing import Unpack, final

from jaxtyping import Float
from torch import Tensor, nn

from flatspot.models.forecast_module import ForecastModule
from flatspot.models.network import NO_ACTIVATION, network_of
from flatspot.models.sequence_module import Training


@final
class Forecaster(ForecastModule):
    """Forecasts the `horizon` steps that follow a window, from the encoder's last state.

    Plain values in, layers built inside: `save_hyperparameters` stores numbers and words, and a checkpoint
    loads with `weights_only=True`.

    Args:
        inputs: channels of the window. targets: channels predicted. horizon: steps predicted.
        cell, activation, hidden_size, num_layers, bidirectional, dropout, layer_norm, residual, initial_state,
            recurrent_init, chrono_length, engine: of the encoder, as `Network` has them.
        head_activation: of the outputs, in scaled units; `none` leaves them free.
        loss: `mse`, `mae` or `huber`, in scaled units.
        training: the optimizer, its rates and its schedule, as `SequenceModule` has them.

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
        recurrent_init: str = "auto",
        chrono_length: int | None = None,
        engine: str = "auto",
        head_activation: str = NO_ACTIVATION,
        loss: str = "mse",
        **training: Unpack[Training],
    ) -> None:
        super().__init__(inputs=inputs, targets=targets, horizon=horizon, loss=loss, **training)
        self.save_hyperparameters(logger=False)
        self.network = network_of(self.hparams, inputs, horizon * targets)
        self._shape = (horizon, targets)

    @property
    def encoder(self) -> nn.Module:
        """The network's encoder, to look at; it is replaced in `network`."""
        return self.network.encoder

    @property
    def head(self) -> nn.Linear:
        """The network's head, to look at; it is replaced in `network`."""
        return self.network.head

    def forward(self, x: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch horizon target"]:
        """Forecasts in scaled units, from windows in scaled units."""
        outputs: Tensor = self.network(x)
        return outputs.view(-1, *self._shape)
