"""Losses by name: what `model.loss=` may say."""

from typing import Final

from torch.nn import functional as F

from flatspot.probes.skill import Loss
from flatspot.registry import Registry

LOSSES: Final[Registry[Loss]] = Registry(
    "loss",
    {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss},
)
