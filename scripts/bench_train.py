"""What a training step takes: a whole run with everything on, beside a bare PyTorch loop over torch.nn's layer.

    python scripts/bench_train.py ETTh1.csv

One series (ETTh1's OT) in windows of 96 steps, 24 ahead, 64 units, batches of 64, float32. Each round trains once each
way, forwards and backwards in turn, in one process; a figure is the median over the rounds, and a ratio the median of
the rounds' ratios to the bare loop. All train as many epochs, each on the same windows in another order, and look at
the validation windows after each.

- *bare*: the loop that a good engineer would write. Windows by `unfold` from a tensor in memory, batches by index,
  Adam, no clipping, no log, no checkpoint; the validation loss as each epoch ends.
- *floor*: Lightning with nothing on (`Trainer(barebones=True)`) and flatspot's layer; no validation, which it refuses.
- *flatspot*: what `flatspot train` runs: all default monitors, the bar (drawn into a pseudo-terminal), checkpoints,
  TensorBoard, clipping. What comes after the fit (test, examination, page) is no part of it.

*Train* is the time of the training batches alone, everything that is done between them included; *all* has epoch ends,
validation and checkpoints in it, too. The first epoch, in which machine code is written, is left out of both.

Without a file it trains on the bundled sunspots. With `--at-most RATIO` it ends with 1 where flatspot's training steps
took more than that beside the bare loop's in every round: so it is no speed that fails, but a gross loss of it.
"""

import argparse
import contextlib
import logging
import os
import pty
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from lightning import Callback, Trainer, seed_everything
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from flatspot.cli.build import build_data, build_model, build_trainer
from flatspot.cli.cure import composed
from flatspot.cli.job import read_panel
from flatspot.data.module import SeriesDataModule
from flatspot.nn.cells import CELLS
from flatspot.nn.denormals import flushed

WINDOW: Final = 96
HORIZON: Final = 24
HIDDEN: Final = 64
BATCH: Final = 64
RATE: Final = 1e-3


@dataclass(frozen=True)
class Sizes:
    """What is trained: all that the ways have in common."""

    path: Path | None
    target: str
    window: int = WINDOW
    horizon: int = HORIZON
    hidden: int = HIDDEN
    epochs: int = 4


@dataclass
class Taken:
    """Seconds of one training, the first epoch left out, over its steps; and the validation loss that it came to."""

    train: float
    all: float
    steps: int
    loss: float


def settings(sizes: Sizes, cell: str) -> dict[str, Any]:
    """What `flatspot train` would be given."""
    file = ["data=csv", f"data.path={sizes.path}", f"data.target={sizes.target}"] if sizes.path else ["data=sunspots"]
    overrides = [
        *(*file, f"data.window={sizes.window}", f"data.horizon={sizes.horizon}"),
        *(f"data.batch_size={BATCH}", f"model.cell={cell}"),
        *(f"model.hidden_size={sizes.hidden}", "optimizer=adam", f"optimizer.lr={RATE}", "scheduler=none"),
        *(f"trainer.max_epochs={sizes.epochs}", "early_stopping.patience=null", "trainer.accelerator=cpu"),
    ]
    found: dict[str, Any] = OmegaConf.to_container(composed(overrides), resolve=True)  # type: ignore[assignment]
    return found


class Bare(nn.Module):
    """torch.nn's layer and a head, without anything else."""

    def __init__(self, cell: str, hidden: int, horizon: int) -> None:
        super().__init__()
        self.layer = getattr(nn, cell.upper())(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, horizon)

    def forward(self, x: Tensor) -> Tensor:
        """From windows `[batch, time, 1]` to forecasts `[batch, horizon]`."""
        outputs: Tensor = self.head(self.layer(x)[0][:, -1])
        return outputs


def bare(data: SeriesDataModule, sizes: Sizes, cell: str) -> Taken:
    """The bare loop, on the scaled rows of the data module."""
    parts = [_unfolded(data, part) for part in ("train", "val")]
    (x, y), (x_val, y_val) = parts
    model = Bare(cell, sizes.hidden, sizes.horizon)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    spent = Spent()
    loss_val = torch.tensor(0.0)
    for _ in range(sizes.epochs):
        spent.epoch()
        for chosen in torch.split(torch.randperm(len(x)), BATCH):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x[chosen]), y[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            spent.steps += 1
        spent.trained()
        with torch.no_grad():
            losses = [
                F.mse_loss(model(a), b) * len(a)
                for a, b in zip(torch.split(x_val, BATCH), torch.split(y_val, BATCH), strict=True)
            ]
            loss_val = torch.stack(losses).sum() / len(x_val)
    spent.ended()
    return spent.taken(sizes.epochs, loss_val.item())


def _unfolded(data: SeriesDataModule, part: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - the name of a part
    """All windows of a part as views of its rows: `[window, time, 1]` and `[window, horizon]`."""
    windows = data.dataset(part)
    starts = windows.starts(torch.arange(len(windows)))  # type: ignore[union-attr] # of series, windows
    rows = data.prepared.inputs[:, 0]
    length = data.window + data.horizon
    held = rows.unfold(0, length, 1)[int(starts[0]) : int(starts[-1]) + 1]
    assert len(held) == len(windows)  # noqa: S101 - one series without gaps
    return held[:, : data.window].unsqueeze(-1), held[:, data.window :]


@dataclass
class Spent:
    """A clock over epochs."""

    steps: int = 0
    begun: list[float] = field(default_factory=list)
    batches: list[float] = field(default_factory=list)
    end: float = 0.0

    def epoch(self) -> None:
        """An epoch begins."""
        self.begun.append(time.perf_counter())

    def trained(self) -> None:
        """Its last training batch is done."""
        self.batches.append(time.perf_counter() - self.begun[-1])

    def ended(self) -> None:
        """The last epoch is over, what comes with its end included."""
        self.end = time.perf_counter()

    def taken(self, epochs: int, loss: float) -> Taken:
        """Seconds, but for the first epoch's."""
        steps = self.steps * (epochs - 1) // epochs
        return Taken(sum(self.batches[1:]), self.end - self.begun[1], steps, loss)


class Marks(Callback):
    """Keeps the clock of a Lightning fit. Stands first, so that other callbacks' work is within."""

    def __init__(self) -> None:
        self.spent = Spent()

    def on_train_epoch_start(self, *_: Any) -> None:  # noqa: ANN401
        """An epoch begins."""
        self.spent.epoch()

    def on_train_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """The one before is done, with all that was done after it."""
        self.spent.steps += 1

    def on_validation_start(self, *_: Any) -> None:  # noqa: ANN401
        """All training batches of the epoch are done."""
        self.spent.trained()

    def on_train_end(self, *_: Any) -> None:  # noqa: ANN401
        """The last epoch is over."""
        self.spent.ended()


def flatspot(data: SeriesDataModule, sizes: Sizes, cell: str) -> Taken:
    """A run as `flatspot train` makes it, up to the end of the fit."""
    config, marks = settings(sizes, cell), Marks()
    with tempfile.TemporaryDirectory() as folder, flushed(), drawn():
        model = build_model(config, data)
        trainer = build_trainer(config, Path(folder))
        _callbacks(trainer).insert(0, marks)
        trainer.fit(model, datamodule=data)
    return marks.spent.taken(sizes.epochs, float(trainer.callback_metrics["loss/val"]))


def floor(data: SeriesDataModule, sizes: Sizes, cell: str) -> Taken:
    """Lightning's barebones Trainer with flatspot's model: no hook is called but the module's own."""
    spent = Spent()
    model = build_model(settings(sizes, cell), data)
    begin, end = model.on_train_epoch_start, model.on_train_epoch_end

    def epoch() -> None:
        spent.epoch()
        begin()

    def trained() -> None:
        spent.trained()
        end()

    model.on_train_epoch_start, model.on_train_epoch_end = epoch, trained  # type: ignore[method-assign]
    trainer = Trainer(barebones=True, max_epochs=sizes.epochs, accelerator="cpu", devices=1)
    with flushed():
        trainer.fit(model, train_dataloaders=data.train_dataloader())
    spent.steps = trainer.global_step
    spent.ended()
    return spent.taken(sizes.epochs, float("nan"))


def _callbacks(trainer: Trainer) -> list[Callback]:
    held: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set, but not declared
    return held


@contextlib.contextmanager
def drawn() -> Iterator[None]:
    """Inside, errors and bars go to a terminal, which somebody reads."""
    ours, theirs = pty.openpty()
    thread = threading.Thread(target=_read, args=(ours,), daemon=True)
    thread.start()
    before, sys.stderr = sys.stderr, os.fdopen(theirs, "w", encoding="utf-8")
    try:
        yield
    finally:
        terminal, sys.stderr = sys.stderr, before
        terminal.close()
        thread.join(5)
        os.close(ours)


def _read(end: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(end, 65536):
            pass


RUNS: Final[dict[str, Callable[[SeriesDataModule, Sizes, str], Taken]]] = {
    "bare": bare,
    "floor": floor,
    "flatspot": flatspot,
}


def measured(sizes: Sizes, cell: str, rounds: int, ways: Sequence[str]) -> dict[str, list[Taken]]:
    """So many rounds of each way, forwards and backwards in turn."""
    found: dict[str, list[Taken]] = {way: [] for way in ways}
    config = settings(sizes, cell)
    for number in range(rounds):
        for way in ways if number % 2 == 0 else ways[::-1]:
            seed_everything(number, verbose=False)
            data = build_data(config, read_panel(config["data"]))
            data.setup("fit")
            found[way].append(RUNS[way](data, sizes, cell))
    return found


def ratios(found: dict[str, list[Taken]], way: str, part: str) -> list[float]:
    """Of a step's time to the bare loop's in the same round."""
    return [
        (getattr(own, part) / own.steps) / (getattr(base, part) / base.steps)
        for own, base in zip(found[way], found["bare"], strict=True)
    ]


def rows_of(cell: str, threads: int, found: dict[str, list[Taken]]) -> Iterator[str]:
    """A line of the table for each way."""
    for way, taken in found.items():
        figures = [f"{1e6 * statistics.median(each.train / each.steps for each in taken):,.0f}"]
        figures.append(f"{1e6 * statistics.median(each.all / each.steps for each in taken):,.0f}")
        for part in ("train", "all"):
            beside = ratios(found, way, part)
            figures.append(f"{statistics.median(beside):.2f} ({min(beside):.2f} to {max(beside):.2f})")
        loss = statistics.median(each.loss for each in taken)
        figures.append("-" if loss != loss else f"{loss:.4f}")  # noqa: PLR0124 - not a number
        yield f"| {cell} | {threads} | {way} | {' | '.join(figures)} |"


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, nargs="?", help="the series, as CSV; without it, the bundled sunspots")
    parser.add_argument("--target", default="OT")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--cells", nargs="*", default=[name for name in CELLS if hasattr(nn, name.upper())])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--ways", nargs="*", default=list(RUNS))
    parser.add_argument("--at-most", type=float, metavar="RATIO", help="fail where every round is above it")
    chosen = parser.parse_args()
    if chosen.epochs < 2 or "bare" not in chosen.ways:
        parser.error("needs two epochs, of which the first is left out, and the bare loop among the ways")
    if chosen.at_most is not None and "flatspot" not in chosen.ways:
        parser.error("--at-most is of flatspot: name it among the ways")
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sizes = Sizes(chosen.path and chosen.path.resolve(), chosen.target, epochs=chosen.epochs)
    slow = []
    print("| cell | threads | | µs a step, train | µs a step, all | train, beside bare | all, beside bare | val loss |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        for cell in chosen.cells:
            found = measured(sizes, cell, chosen.rounds, chosen.ways)
            print("\n".join(rows_of(cell, threads, found)), flush=True)
            least = min(ratios(found, "flatspot", "train"))
            if chosen.at_most is not None and least > chosen.at_most:
                slow.append(
                    f"{cell}, {threads} threads: {least:.2f} times the bare loop's step, at most {chosen.at_most}"
                )
    if slow:
        raise SystemExit("\n".join(slow))


if __name__ == "__main__":
    main()
