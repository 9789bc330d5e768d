"""Every random draw of epoch e derives from (seed, e), so that a resumed epoch repeats itself."""

import random
from typing import final

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer

from flatspot.data.windows import epoch_seed


@final
class EpochSeed(Callback):
    """Seeds torch, NumPy and Python from (seed, epoch, process) as each training epoch starts.

    Args:
        seed: the run's seed.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the epoch that starts."""
        seed = epoch_seed(self._seed, trainer.current_epoch, trainer.global_rank)
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
