"""Run by test_two_processes.py: a fit in N processes on the CPU, in a precision; the figures that it logged, as JSON.

With two in single precision, another one follows: a stranger's module and loader, whose sampler repeats samples; what
was said of it.
"""

import json
import logging
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.data.split import Split
from flatspot.models.forecaster import Forecaster
from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor
from flatspot.monitors.denormals import FlushedDenormals
from flatspot.nn.denormals import flushes


class Report(Callback):
    def __init__(self):
        self.flushed = []

    def on_before_zero_grad(self, *_):
        self.flushed.append(flushes())

    def on_fit_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            figures = {name: value.item() for name, value in trainer.callback_metrics.items()}
            with open(sys.argv[2], "w") as file:  # noqa: PTH123
                weights = pl_module.head.weight.flatten().tolist()
                json.dump(figures | {"weights": weights, "flushed": all(self.flushed)}, file)


def main():
    warnings.filterwarnings("ignore")
    processes = int(sys.argv[1])
    steps = np.arange(400)
    values = 100 + 10 * np.sin(steps / 5) + np.random.default_rng(0).normal(size=400)
    series = Series("waves", ("level",), 1, values[:, None])
    # 266 training windows, which two processes share evenly, and 59 validation windows, which they do not.
    split = Split(val_share=61 / 400, test_share=59 / 400)
    data = SeriesDataModule(series, window=12, horizon=3, batch_size=32, split=split)
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp_spawn" if processes > 1 else "auto",
        precision=sys.argv[3],
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[
            FlushedDenormals(),
            # All outputs are kept: of fewer, two processes would choose others than one.
            OutputDiversityMonitor(sample_size=512),
            GradientNormMonitor(),
            ActivationMonitor(first=4),
            Doctor(Path(sys.argv[2]).with_suffix(""), first=4, examine="none"),
            Report(),
        ],
    )
    trainer.fit(Forecaster(horizon=3, cell="gru", hidden_size=8, lr=1e-2), datamodule=data)
    if processes > 1 and sys.argv[3] == "32-true":
        fit_foreign(processes)


class Foreign(LightningModule):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1)

    def training_step(self, batch, batch_idx):
        return (self.fc(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch, batch_idx):
        self.training_step(batch, batch_idx)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Heard(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


class Listens(Callback):
    def setup(self, trainer, pl_module, stage):
        self.heard = Heard()
        logging.getLogger("flatspot").addHandler(self.heard)

    def on_fit_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            Path(sys.argv[2]).with_suffix(".foreign").write_text(json.dumps(self.heard.messages))


def fit_foreign(processes):
    loader = DataLoader(TensorDataset(torch.randn(59, 2), torch.randn(59, 1)), batch_size=8)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp_fork",  # quicker than to spawn
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[OutputDiversityMonitor(), Listens()],
    )
    trainer.fit(Foreign(), loader, loader)


if __name__ == "__main__":
    main()
