"""Run by test_two_processes.py: a fit in N processes on the CPU; the figures that it logged, as JSON."""

import json
import sys
import warnings

import numpy as np
import torch
from lightning import Callback, Trainer

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.data.split import Split
from flatspot.models.forecaster import Forecaster
from flatspot.monitors import GradientNormMonitor, OutputDiversityMonitor
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
    data = SeriesDataModule(series, window=12, horizon=3, batch_size=32 // processes, split=split)
    torch.manual_seed(0)
    trainer = Trainer(
        accelerator="cpu",
        devices=processes,
        strategy="ddp_spawn" if processes > 1 else "auto",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[FlushedDenormals(), OutputDiversityMonitor(), GradientNormMonitor(), Report()],
    )
    trainer.fit(Forecaster(horizon=3, cell="gru", hidden_size=8, lr=1e-2), datamodule=data)


if __name__ == "__main__":
    main()
