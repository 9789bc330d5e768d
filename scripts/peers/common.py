"""What the adapters share: what is asked for, the rows, the clock, the answer. The standard library and numpy alone."""

import csv
import json
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TRAINED, VALIDATED = 0.70, 0.15
"""The share of the rows that are trained on, and of those after them that are validated on; the rest are tested on."""

LEFT_OUT = 50
"""Steps until the clock begins: first ones allocate, and write machine code."""


@dataclass(frozen=True)
class Asked:
    """One training: the same for all."""

    path: Path
    target: str
    cell: str
    threads: int
    seed: int
    epochs: int
    window: int = 96
    horizon: int = 24
    hidden: int = 64
    batch: int = 64
    rate: float = 1e-3

    @classmethod
    def from_command_line(cls) -> "Asked":
        """As `bench_peers.py` starts an adapter."""
        given = json.loads(sys.argv[1])
        return cls(**given | {"path": Path(given["path"])})


@dataclass(frozen=True)
class Rows:
    """A series, and where its parts begin."""

    stamps: list[str]
    values: "np.ndarray[Any, np.dtype[np.float32]]"
    val: int
    test: int

    @classmethod
    def of(cls, asked: Asked) -> "Rows":
        """Read the one column."""
        with asked.path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        values = np.array([float(row[asked.target]) for row in rows], np.float32)
        val = int(len(rows) * TRAINED)
        test = int(len(rows) * (TRAINED + VALIDATED))
        return cls([row["date"] for row in rows], values, val, test)

    def truth(self, asked: Asked) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """What followed each window whose forecast lies wholly in the test rows: `[window, horizon]`."""
        return np.lib.stride_tricks.sliding_window_view(self.values[self.test :], asked.horizon)


class Clock:
    """The hooks of a Lightning callback; an adapter puts its own Lightning's `Callback` beside it.

    Training is what lies between the start of the first step that counts and the end of the last, less validation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.began = self.ended = self.fit_began = self.fit = 0.0
        self.validating = self.validated = 0.0

    def __deepcopy__(self, _: Any) -> "Clock":
        """One clock, where a library trains a copy of the model that it was given with."""
        return self

    def on_fit_start(self, *_: Any) -> None:
        """The fit begins."""
        self.fit_began = time.perf_counter()

    def on_train_batch_start(self, *_: Any) -> None:
        """A step begins."""
        if self.steps == LEFT_OUT:
            self.began, self.validated = time.perf_counter(), 0.0
        self.steps += 1

    def on_validation_start(self, *_: Any) -> None:
        """Not training."""
        self.validating = time.perf_counter()

    def on_validation_end(self, *_: Any) -> None:
        """Training again."""
        self.validated += time.perf_counter() - self.validating

    def on_train_end(self, *_: Any) -> None:
        """The last step, and what followed it, is over."""
        self.ended = time.perf_counter()

    def on_fit_end(self, *_: Any) -> None:
        """The fit ends."""
        self.fit = time.perf_counter() - self.fit_began


@dataclass(frozen=True)
class Answer:
    """What came of it: seconds of the steps that count, seconds of the fit, test errors in the series' own unit."""

    steps: int
    seconds: float
    all_steps: int
    fit_seconds: float
    mae: float
    windows: int
    versions: dict[str, str]


def answer(clock: Clock, mae: float, windows: int, *packages: str) -> None:
    """Print the one line that `bench_peers.py` reads."""
    seconds = clock.ended - clock.began - clock.validated
    versions = {name: version(name) for name in packages}
    told = Answer(clock.steps - LEFT_OUT, seconds, clock.steps, clock.fit, mae, windows, versions)
    print("\n@ " + json.dumps(asdict(told)))


def error(predictions: Any, truth: Any) -> float:
    """The mean absolute error over windows and steps, `[window, horizon]` each."""
    assert predictions.shape == truth.shape, (predictions.shape, truth.shape)
    return float(np.abs(np.asarray(predictions, np.float64) - truth).mean())
