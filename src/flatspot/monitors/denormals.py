"""Denormals are zeros in each process of a run."""

from typing import final

import torch
from lightning import Callback, LightningModule, Trainer


@final
class FlushedDenormals(Callback):
    """Sets the flag in processes that were spawned, which do not inherit it. See `flatspot.nn.denormals`."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Before the first operation."""
        torch.set_flush_denormal(True)
