"""What watching costs: a GRU of 64 units on windows of 96 steps, with and without monitors, alternating in one run.

    python scripts/bench_monitors.py

Each round trains the same network once with each set of callbacks, forwards and backwards in turn, and a row is the
median over the rounds of its ratio to the round's bare fit. The fit's time ends where the last epoch does; what is done
after it (the last look, pictures) stands by itself, as the examination of a finished network. Inside the hooks: all of
the callbacks' hooks together, and the median of a step's, in which what is done now and then does not show.
"""

import argparse
import logging
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from flatspot.data.datasets import sunspots
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.models.forecaster import Forecaster
from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor

EVERY_STEP: Final = ("on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end")


class NormOfEachParameter(Callback):
    """As it is written by hand: the norm of every parameter's gradient, on the host, at every step."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:  # noqa: ANN401, ARG002
        """Log them all."""
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None:
                pl_module.log(f"gradient_norm/{name}", parameter.grad.norm(2).item())


class WandbWatch(Callback):
    """`wandb.watch` as its documentation has it: histograms of all gradients and weights, every 100 steps."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.watch(pl_module, log="all", log_freq=100)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """And end."""
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.experiment.unwatch(pl_module)


def ours(folder: str) -> dict[str, Callable[[], Callback]]:
    """The default monitors."""
    return {
        "output_diversity": OutputDiversityMonitor,
        "gradient_norm": GradientNormMonitor,
        "activation": ActivationMonitor,
        "doctor": lambda: Doctor(Path(folder) / "evidence"),
    }


def sets(folder: str) -> dict[str, Callable[[], list[Callback]]]:
    """What is compared, by name."""
    single = {name: (lambda build=build: [build()]) for name, build in ours(folder).items()}
    return {
        "none": list,
        **single,
        "all (default)": lambda: [build() for build in ours(folder).values()],
        "norm of each parameter": lambda: [NormOfEachParameter()],
        "wandb.watch": lambda: [WandbWatch()],
    }


@dataclass
class Clock:
    """Seconds inside callbacks' hooks: of each training step, elsewhere during the fit, and after the last epoch."""

    steps: list[float] = field(default_factory=lambda: [0.0])
    elsewhere: float = 0.0
    after: float = 0.0

    def watch(self, callbacks: list[Callback]) -> None:
        """Time every hook that they have."""
        for callback in callbacks:
            for name in vars(type(callback)):
                if name.startswith("on_"):
                    setattr(callback, name, self._timed(name, getattr(callback, name)))

    def _timed(self, name: str, hook: Callable[..., None]) -> Callable[..., None]:
        def timed(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
            started = time.perf_counter()
            hook(*args, **kwargs)
            self._add(name, time.perf_counter() - started)

        return timed

    def _add(self, name: str, seconds: float) -> None:
        if name in EVERY_STEP:
            self.steps[-1] += seconds
        elif name in {"on_train_end", "on_fit_end"}:
            self.after += seconds
        else:
            self.elsewhere += seconds


class Marks(Callback):
    """Ends each step's account, and notes when the last epoch ended. Stands first."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.ended = 0.0

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """A new step."""
        self.clock.steps.append(0.0)

    def on_train_end(self, *_: Any) -> None:  # noqa: ANN401
        """The last epoch has ended."""
        self.ended = time.perf_counter()


@dataclass(frozen=True)
class Cost:
    """Seconds of one fit: of a step, of its hooks altogether, of its hooks in a usual step; after the last epoch."""

    step: float
    hooks: float
    usual: float
    after: float


def cost_of(
    build: Callable[[], list[Callback]], folder: str, logger: Logger, *, epochs: int, rows: int | None = None
) -> Cost:
    """Train a fresh network."""
    callbacks, clock = build(), Clock()
    clock.watch(callbacks)
    marks = Marks(clock)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=logger,
        callbacks=[marks, *callbacks],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        gradient_clip_val=1.0,
        default_root_dir=folder,
    )
    series = sunspots() if rows is None else noise(rows)
    data = SeriesDataModule(series, window=96, horizon=24)
    model = Forecaster(horizon=24, lr=3e-3, cell="gru")
    started = time.perf_counter()
    trainer.fit(model, datamodule=data)
    steps = trainer.global_step
    hooks = (sum(clock.steps) + clock.elsewhere) / steps
    return Cost((marks.ended - started) / steps, hooks, statistics.median(clock.steps[1:]), clock.after)


def noise(rows: int) -> Series:
    """As many rows as wanted; what they hold costs nothing."""
    return Series("noise", ("value",), 1, np.random.default_rng(0).normal(size=(rows, 1)))


def logger_of(name: str, folder: str) -> Logger:
    """TensorBoard; for `wandb.watch` a run of Weights & Biases that is kept here."""
    if name == "wandb.watch":
        return WandbLogger(save_dir=folder, project="bench", offline=True)
    return TensorBoardLogger(folder, name="", version="")


def table(rounds: int, folder: str, *, epochs: int, rows: int | None) -> None:
    """Measure and print the costs."""
    chosen = sets(folder)
    taken: dict[str, list[Cost]] = {name: [] for name in chosen}
    loggers = {name: logger_of(name, folder) for name in chosen}
    cost_of(list, folder, loggers["none"], epochs=1)  # compiles, and reads what is read once
    for number in range(rounds):
        order = list(chosen) if number % 2 else list(reversed(chosen))  # nobody is always the first
        for name in order:
            taken[name].append(cost_of(chosen[name], folder, loggers[name], epochs=epochs, rows=rows))
    print(
        "| callbacks | µs a step | beside none (quartiles) | µs in hooks a step | in a usual step | ms after the fit |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    bare = statistics.median(each.step for each in taken["none"])
    for name, costs in taken.items():
        ratios = [100 * (on.step / off.step - 1) for on, off in zip(costs, taken["none"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        step, hooks, usual = (
            statistics.median(getattr(each, part) for each in costs) for part in ("step", "hooks", "usual")
        )
        after = statistics.median(each.after for each in costs)
        print(
            f"| {name} | {1e6 * step:.0f} | {middle:+.1f} % ({low:+.1f} to {high:+.1f}) | {1e6 * hooks:.0f} "
            f"({100 * hooks / bare:.1f} %) | {1e6 * usual:.0f} ({100 * usual / bare:.1f} %) | {1e3 * after:.0f} |",
            flush=True,
        )


def memory(epochs: int) -> None:
    """Print the peak memory of a process that fits with all monitors, beside that of one without."""
    peaks = []
    for name in ("none", "all (default)"):
        command = [sys.executable, __file__, "--peak", name, "--epochs", str(epochs)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(int(said.split()[-1]) / 1024)
    bare, watched = peaks
    print(f"\npeak memory: {bare:.0f} MB without, {watched:.0f} MB with all: {100 * (watched / bare - 1):+.1f} %")


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=30, help="of a fit: 29 steps each; the default run has up to 30")
    parser.add_argument("--rows", type=int, help="of a series of noise, for longer epochs; without, sunspots")
    parser.add_argument("--memory", action="store_true", help="peak memory too, in processes of their own")
    parser.add_argument("--peak", help="fit once with this set, and print the peak memory of the process in kB")
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a second thread brings this small network little, and the measurement much noise
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("flatspot").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # W&B still writes as it ends
        if chosen.peak:
            cost_of(sets(folder)[chosen.peak], folder, logger_of("none", folder), epochs=chosen.epochs)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            return
        table(chosen.rounds, folder, epochs=chosen.epochs, rows=chosen.rows)
        if chosen.memory:
            memory(chosen.epochs)


if __name__ == "__main__":
    main()
