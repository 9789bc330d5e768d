"""Keep each epoch's figures as evidence in the run folder."""

from pathlib import Path
from typing import final

from lightning import Callback, LightningModule, Trainer

from flatspot import evidence


@final
class EvidenceRecorder(Callback):
    """Appends a measurement of all finite epoch figures after every training epoch. Last among the monitors.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch that ended."""
        if trainer.is_global_zero:
            figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
            entry = evidence.measurement("epoch", trainer.current_epoch + 1, trainer.global_step, figures)
            evidence.append(self._folder, entry)
