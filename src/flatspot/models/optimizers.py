"""Optimizers and learning-rate schedules by name, built from plain values."""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Final

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, ReduceLROnPlateau

from flatspot.errors import BadInput
from flatspot.registry import Registry

Build = Callable[..., optim.Optimizer]

OPTIMIZERS: Final[Registry[Build]] = Registry(
    "optimizer",
    {"adam": optim.Adam, "adamw": optim.AdamW, "sgd": optim.SGD, "rmsprop": optim.RMSprop},
)


def _cosine(optimizer: optim.Optimizer, epochs: int) -> LRScheduler:
    return CosineAnnealingLR(optimizer, T_max=epochs)


def _plateau(optimizer: optim.Optimizer, epochs: int) -> LRScheduler:
    return ReduceLROnPlateau(optimizer, patience=max(epochs // 10, 1), factor=0.3)


def _constant(_: optim.Optimizer, __: int) -> None:
    return None


SCHEDULERS: Final[Registry[Callable[[optim.Optimizer, int], LRScheduler | None]]] = Registry(
    "scheduler",
    {"none": _constant, "cosine": _cosine, "plateau": _plateau},
)


def check_optimizer(optimizer: str, scheduler: str, *, lr: float, weight_decay: float, momentum: float | None) -> None:
    """Refuse unknown names and impossible rates before anything is trained.

    Raises:
        BadInput: naming the value.
    """
    takes = inspect.signature(OPTIMIZERS[optimizer]).parameters
    if momentum is not None and "momentum" not in takes:
        raise BadInput(f"optimizer.momentum={momentum}: {optimizer} takes no momentum")
    if momentum is not None and not 0 <= momentum < 1:
        raise BadInput(f"optimizer.momentum={momentum}: must be at least 0 and below 1")
    if not 0 < lr < math.inf:
        raise BadInput(f"optimizer.lr={lr}: must be a number above 0")
    if not 0 <= weight_decay < math.inf:
        raise BadInput(f"optimizer.weight_decay={weight_decay}: must be a number of at least 0")
    _ = SCHEDULERS[scheduler]


def configure(
    parameters: Iterable[nn.Parameter],
    *,
    optimizer: str,
    lr: float,
    weight_decay: float,
    momentum: float | None,
    scheduler: str,
    epochs: int,
) -> OptimizerLRScheduler:
    """An optimizer and its schedule, in the form that Lightning takes.

    Args:
        momentum: for `sgd` and `rmsprop`; None leaves the optimizer's own default.
        scheduler: `cosine` falls to zero over `epochs`; `plateau` takes 0.3 of the rate when the validation
            loss has not improved for a tenth of `epochs`.
    """
    extra = {} if momentum is None else {"momentum": momentum}
    built = OPTIMIZERS[optimizer](parameters, lr=lr, weight_decay=weight_decay, **extra)
    schedule = SCHEDULERS[scheduler](built, epochs)
    if schedule is None:
        return built
    return {"optimizer": built, "lr_scheduler": {"scheduler": schedule, "monitor": "loss/val"}}
