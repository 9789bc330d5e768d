"""A line for each recurrent layer as training starts: what runs it and why, and what its weights started as."""

import logging
from typing import final

from lightning import Callback, LightningModule, Trainer

from flatspot.errors import BadInput
from flatspot.nn import GRU, LSTM, RNN
from flatspot.nn.scan import Scan

log = logging.getLogger(__name__)


@final
class LayerLines(Callback):
    """Tells the engine of each of our recurrent layers, on the device and in the precision that it trains in."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say it once.

        Raises:
            BadInput: if the engine that was named cannot run there.
        """
        for layer in pl_module.modules():
            if isinstance(layer, RNN | GRU | LSTM | Scan):
                try:
                    with trainer.precision_plugin.forward_context():
                        choice = layer.choice()
                except ValueError as error:
                    raise BadInput(f"model.{error}") from error
                if trainer.is_global_zero:
                    log.info("engine %s; recurrent_init %s", choice, layer.start)
