"""Hand a monitor's figures to the loggers and to the other callbacks.

`LightningModule.log` would keep a metric object for each figure, at about two milliseconds each and epoch: for a small
network more than the measurement. All processes must hold the same figures; only the first one logs.
"""

import math
from collections.abc import Mapping
from typing import Any, Final
from weakref import WeakSet

import numpy as np
import torch
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from torch import Tensor

BINS: Final = 64
MOST_IN_BINS: Final = 2**14
"""Values of a histogram, evenly chosen: of more, the picture is the same and only takes longer."""

"""Bins of a histogram."""

LAYOUT: Final = {
    "flatspot": {
        "loss": ["Multiline", [".*loss.*"]],
        "diversity": ["Multiline", [r"diversity/ratio_(train|val)"]],
        "gradient": ["Multiline", ["gradient/total", "gradient/total_max"]],
        "update ratio": ["Multiline", ["update_ratio/.*"]],
        "activation": ["Multiline", ["activation/.*"]],
    }
}
"""TensorBoard's tab "Custom Scalars": what belongs together, side by side. The tags are regular expressions."""

_laid_out: Final[WeakSet[Any]] = WeakSet()


def log_figures(trainer: Trainer, figures: Mapping[str, float | None], step: int) -> None:
    """Send the finite ones among the figures to all loggers.

    Args:
        trainer: whose loggers are told.
        figures: numbers by tag; None: there is none.
        step: the optimizer step that they belong to, from 0.
    """
    finite = {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}
    for logger in trainer.loggers if finite and trainer.is_global_zero else []:
        if isinstance(logger, TensorBoardLogger):
            _write(logger, [Summary.Value(tag=tag, simple_value=value) for tag, value in finite.items()], step)
        else:
            logger.log_metrics(finite, step=step)


def log_text(trainer: Trainer, tag: str, text: str, step: int) -> None:
    """Send a text, as it stands, to TensorBoard."""
    for logger in trainer.loggers if trainer.is_global_zero else []:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_text(tag, "".join(f"    {line}\n" for line in text.splitlines()), step)


def log_histogram(trainer: Trainer, tag: str, values: Tensor, step: int) -> None:
    """Send a histogram of the finite values (of many, some) to the loggers that take one: TensorBoard and W&B."""
    takers = [each for each in trainer.loggers if isinstance(each, TensorBoardLogger | WandbLogger)]
    if not takers or not trainer.is_global_zero:
        return
    few = values.flatten()[:: -(-values.numel() // MOST_IN_BINS) or 1]
    finite = few[few.isfinite()].to("cpu", torch.float64).numpy()
    if not len(finite):
        return
    counts, edges = _binned(finite)
    for logger in takers:
        if isinstance(logger, TensorBoardLogger):
            _write(logger, [Summary.Value(tag=tag, histo=_histogram(finite, counts, edges))], step)
        else:
            logger.experiment.log({tag: _wandb_histogram(counts, edges), "trainer/global_step": step})


def _binned(finite: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts and edges; one bin where values differ by so few roundings that no edge fits between."""
    try:
        return np.histogram(finite, bins=BINS)
    except ValueError:
        return np.array([len(finite)]), np.array([finite.min(), finite.max()])


def takes_pictures(trainer: Trainer) -> bool:
    """Whether any logger takes a picture: TensorBoard and Weights & Biases do. One that nobody takes is not drawn."""
    return any(isinstance(each, TensorBoardLogger | WandbLogger) for each in trainer.loggers)


def log_picture(trainer: Trainer, tag: str, figure: Figure, step: int) -> None:
    """Send a figure to the loggers that take one."""
    for logger in trainer.loggers if trainer.is_global_zero else []:
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_figure(tag, figure, step, close=False)
        elif isinstance(logger, WandbLogger):
            logger.log_image(tag, [figure], step=step)


def log_layout(trainer: Trainer) -> None:
    """Lay loss, diversity and gradient side by side in TensorBoard's tab "Custom Scalars"; a writer takes it once."""
    for logger in trainer.loggers if trainer.is_global_zero else []:
        if isinstance(logger, TensorBoardLogger) and logger.experiment not in _laid_out:
            logger.experiment.add_custom_scalars(LAYOUT)
            _laid_out.add(logger.experiment)


def tell_callbacks(trainer: Trainer, figures: Mapping[str, float | None]) -> None:
    """Put the epoch's figures where early stopping, checkpoints and the evidence look.

    One that is not finite is told as it is, so that early stopping hears of it; what could not be asked for at all
    (None) is absent. In neither case does last epoch's stand for it.
    """
    held = trainer.callback_metrics
    for name in (each for each, value in figures.items() if value is None):
        held.pop(name, None)
    held.update({name: torch.tensor(value) for name, value in figures.items() if value is not None})


def last_step(trainer: Trainer) -> int:
    """The optimizer step taken last, from 0; of several optimizers the batch, as Lightning's own loggers count."""
    if len(trainer.optimizers) > 1:
        return max(trainer.fit_loop.total_batch_idx, 0)
    return max(trainer.global_step - 1, 0)


def _write(logger: TensorBoardLogger, values: list[Any], step: int) -> None:
    """One event for all values: an event for each, as `log_metrics` writes them, takes ten times as long."""
    logger.experiment._get_file_writer().add_summary(Summary(value=values), step)


def _histogram(values: NDArray[np.float64], counts: NDArray[np.int64], edges: NDArray[np.float64]) -> Any:
    """TensorBoard's own form, whose buckets end where the bins do."""
    return HistogramProto(
        min=values.min(),
        max=values.max(),
        num=len(values),
        sum=values.sum(),
        sum_squares=np.square(values).sum(),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.tolist(),
    )


def _wandb_histogram(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> Any:
    import wandb  # noqa: PLC0415 - an extra, and here whoever has its logger has it

    return wandb.Histogram(np_histogram=(counts, edges))
