"""A recurrent encoder over a sequence, and a linear head for the numbers that label it."""

from typing import Unpack, final

from jaxtyping import Float
from torch import Tensor

from flatspot.models.forecast_module import ForecastModule
from flatspot.models.network import NO_ACTIVATION, network_of
from flatspot.models.sequence_module import Training
from flatspot.nn.scan import Sequences


@final
class Regressor(ForecastModule):
    """Says the numbers that label a sequence, from the encoder's last state: sequences may differ in length.

    Batches are `(x, y)` as for a forecaster with a horizon of one step; x may be packed.

    Args:
        inputs: channels of a sequence. targets: numbers that label it.
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
        super().__init__(inputs=inputs, targets=targets, horizon=1, loss=loss, **training)
        self.save_hyperparameters(logger=False, ignore="horizon")  # no argument to be built with again
        self.network = network_of(self.hparams, inputs, targets)

    def forward(self, x: Sequences) -> Float[Tensor, "batch 1 target"]:
        """The labels in scaled units, from sequences in scaled units."""
        outputs: Tensor = self.network(x)
        return outputs.unsqueeze(1)
