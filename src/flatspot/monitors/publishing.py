"""Hand a monitor's figures to the loggers and to the other callbacks."""

from collections.abc import Mapping

import torch
from lightning import Trainer


def publish(trainer: Trainer, figures: Mapping[str, float], step: int | None = None) -> None:
    """Log figures, and put them where early stopping and checkpoints look.

    `LightningModule.log` would keep a metric object for each figure, at about two milliseconds each and epoch: for a
    small network more than the measurement. All processes must hold the same figures; only the first one logs.

    Args:
        trainer: whose loggers and callbacks are told.
        figures: finite numbers by tag.
        step: the optimizer step that they belong to, from 0; None: the last one taken.
    """
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})
    for logger in trainer.loggers:
        logger.log_metrics(dict(figures), step=max(trainer.global_step - 1, 0) if step is None else step)
