"""What watching costs: the default run's training with monitors on against off, alternating in one process.

    python scripts/bench_monitors.py [--rounds 15] [--epochs 3]

Each round trains the same network from the same seed with every set of monitors in turn, so that a busy machine
slows all of them alike. Printed: microseconds a training step by the median round; the ratio to no monitors, taken
within each round, with its quartiles; and the microseconds a step spent inside the monitors' own hooks, which a noisy
machine blurs less. Validation is off in the first table and on in the second.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any, Final

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from flatspot.data.datasets import sunspots
from flatspot.data.module import SeriesDataModule
from flatspot.models.forecaster import Forecaster
from flatspot.monitors import GradientNormMonitor, OutputDiversityMonitor

SETS: Final[dict[str, Callable[[], list[Callback]]]] = {
    "none": list,
    "output_diversity": lambda: [OutputDiversityMonitor()],
    "gradient_norm": lambda: [GradientNormMonitor()],
    "both (default)": lambda: [OutputDiversityMonitor(), GradientNormMonitor()],
}


class Clock:
    """Adds up the seconds spent inside a callback's hooks."""

    def __init__(self, callbacks: list[Callback]) -> None:
        self.seconds = 0.0
        for callback in callbacks:
            for name in vars(type(callback)):
                if name.startswith("on_"):
                    setattr(callback, name, self._timed(getattr(callback, name)))

    def _timed(self, hook: Callable[..., None]) -> Callable[..., None]:
        def timed(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            started = time.perf_counter()
            hook(*args, **kwargs)
            self.seconds += time.perf_counter() - started

        return timed


def seconds_a_step(callbacks: list[Callback], *, epochs: int, validate: bool, folder: str) -> tuple[float, float]:
    """Train a fresh network; the seconds of one training step, and those inside the hooks."""
    clock = Clock(callbacks)
    data = SeriesDataModule(sunspots(), window=60, horizon=24)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1.0 if validate else 0,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
    )
    started = time.perf_counter()
    trainer.fit(Forecaster(horizon=24, lr=3e-3), datamodule=data)
    return (time.perf_counter() - started) / trainer.global_step, clock.seconds / trainer.global_step


def table(rounds: int, epochs: int, *, validate: bool, folder: str) -> None:
    """Measure and print one table."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in SETS}
    for number in range(rounds):
        order = list(SETS) if number % 2 else list(reversed(SETS))  # nobody is always the first
        for name in order:
            taken[name].append(seconds_a_step(SETS[name](), epochs=epochs, validate=validate, folder=folder))
    print(f"\n{'with' if validate else 'without'} validation   µs a step   against none (quartiles)   µs in hooks")
    for name, seconds in taken.items():
        ratios = [100 * (on / off - 1) for (on, _), (off, _) in zip(seconds, taken["none"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        step, inside = (1e6 * statistics.median(part) for part in zip(*seconds, strict=True))
        print(f"{name:20} {step:10.0f}   {middle:+7.1f} % ({low:+.1f} to {high:+.1f})   {inside:14.0f}")


def main() -> None:
    """Read the command line and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--epochs", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a second thread brings this small network little, and the measurement much noise
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        for validate in (False, True):
            table(chosen.rounds, chosen.epochs, validate=validate, folder=folder)


if __name__ == "__main__":
    main()
