"""Hand a monitor's figures to the loggers and to the other callbacks.

`LightningModule.log` would keep a metric object for each figure, at about two milliseconds each and epoch: for a small
network more than the measurement. All processes must hold the same figures; only the first one logs.
"""

import math
from collections.abc import Mapping

import torch
from lightning import Trainer


def log_figures(trainer: Trainer, figures: Mapping[str, float], step: int) -> None:
    """Send the finite ones among the figures to all loggers.

    Args:
        trainer: whose loggers are told.
        figures: numbers by tag.
        step: the optimizer step that they belong to, from 0.
    """
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    for logger in trainer.loggers:
        logger.log_metrics(finite, step=step)


def tell_callbacks(trainer: Trainer, figures: Mapping[str, float]) -> None:
    """Put the epoch's figures where early stopping, checkpoints and the evidence look.

    One that is not finite is told as it is: last epoch's would otherwise stand for it.
    """
    trainer.callback_metrics.update({name: torch.tensor(value) for name, value in figures.items()})


def last_step(trainer: Trainer) -> int:
    """The optimizer step taken last, from 0."""
    return max(trainer.global_step - 1, 0)
