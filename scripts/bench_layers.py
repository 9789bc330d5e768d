"""How fast the recurrent layers are beside torch.nn's: a training step and an inference, side by side in one process.

    python scripts/bench_layers.py [--rounds 7] [--threads 1 2] [--cells rnn gru lstm] [--quick] [--json] [--page FILE]

A training step is forward and backward of a head that reads the last state. At every point of the grid torch.nn's layer
and ours take turns, with the same weights; printed is the ratio of the medians. With --page it is written as a page.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from flatspot import nn as ours

BATCHES, TIMES, UNITS, FEATURES = (32, 64, 256), (24, 96, 336), (16, 64, 128), (1, 7)
QUICK: Final = ((32, 24, 16, 1), (64, 96, 64, 1), (64, 96, 128, 7), (256, 96, 64, 7), (256, 336, 128, 1))
ASKED: Final = {"rnn": 2.0, "gru": 3.0, "lstm": 1.5}
ENOUGH: Final = 1.0
"""Seconds for a point and a kind of step, after which no further round begins."""

LAYERS: Final = {"rnn": (nn.RNN, ours.RNN), "gru": (nn.GRU, ours.GRU), "lstm": (nn.LSTM, ours.LSTM)}


@dataclass(frozen=True)
class Point:
    """One point of the grid: seconds of torch.nn's layer and of ours."""

    cell: str
    threads: int
    batch: int
    time: int
    units: int
    features: int
    engine: str
    training: tuple[float, float]
    inference: tuple[float, float]
    floor: float

    @property
    def ratio(self) -> float:
        """How many times as fast ours is in training."""
        return self.training[0] / self.training[1]


def medians(steps: tuple[Callable[[], object], ...], rounds: int) -> tuple[float, float]:
    """The seconds of each, taken in turns; the first round warms up."""
    taken: list[list[float]] = [[] for _ in steps]
    begun = time.perf_counter()
    for number in range(rounds + 2):
        for step, seconds in zip(steps, taken, strict=True):
            started = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - started)
        if number > 2 and time.perf_counter() - begun > ENOUGH:
            break
    one, other = (statistics.median(seconds[1:]) for seconds in taken)
    return one, other


def step_of(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """A training step: the loss reads the last state alone."""

    def step() -> None:
        _, state = layer(x)
        last = state[0] if isinstance(state, tuple) else state
        last[-1].square().mean().backward()
        layer.zero_grad()

    return step


def measured(cell: str, threads: int, sizes: tuple[int, int, int, int], rounds: int, rate: float) -> Point:
    """Both layers at one point."""
    batch, length, units, features = sizes
    theirs, mine = (make(features, units, batch_first=True) for make in LAYERS[cell])
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(batch, length, features)
    training = medians((step_of(theirs, x), step_of(mine, x)), rounds)
    with torch.inference_mode():
        inference = medians((lambda: theirs(x), lambda: mine(x)), rounds)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    work = 2.0 * batch * length * gates * units * (3 * units + 2 * features)
    return Point(cell, threads, *sizes, mine.choice(x).engine, training, inference, work / rate)


def rate_of_products() -> float:
    """Floating-point operations a second of a large matrix product."""
    one = torch.randn(1024, 1024)
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        _ = one @ one
        seconds.append(time.perf_counter() - started)
    return 2 * 1024**3 / statistics.median(seconds[1:])


def points(chosen: argparse.Namespace) -> Iterator[Point]:
    """All that is asked for."""
    grid = QUICK if chosen.quick else tuple(itertools.product(BATCHES, TIMES, UNITS, FEATURES))
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        rate = rate_of_products()
        for cell, sizes in itertools.product(chosen.cells, grid):
            point = measured(cell, threads, sizes, chosen.rounds, rate)
            if not chosen.json:
                print(line(point), flush=True)
            yield point


def line(point: Point) -> str:
    """A point as a row of a table."""
    there, here = (1000 * each for each in point.training)
    inference = point.inference[0] / point.inference[1]
    return (
        f"| {point.cell} | {point.threads} | {point.batch} | {point.time} | {point.units} | {point.features} "
        f"| {point.engine} | {there:.2f} | {here:.2f} | {point.ratio:.2f} | {inference:.2f} "
        f"| {here / (1000 * point.floor):.1f} |"
    )


HEAD: Final = (
    "| cell | threads | batch | time | units | features | engine | torch.nn, ms | ours, ms | times as fast "
    "| inference, times as fast | times the floor |\n" + "|---" * 12 + "|"
)


def summary(found: list[Point]) -> str:
    """The geometric mean, the worst point and the figure that was asked for, for each cell and thread count."""
    rows = [
        "| cell | threads | times as fast (geometric mean) | asked | worst point | inference: mean | worst |",
        "|---" * 7 + "|",
    ]
    for (cell, threads), some in itertools.groupby(found, key=lambda point: (point.cell, point.threads)):
        held = list(some)
        ratios = [point.ratio for point in held]
        others = [point.inference[0] / point.inference[1] for point in held]
        rows.append(
            f"| {cell} | {threads} | {mean(ratios):.2f} | {ASKED[cell]} | {min(ratios):.2f} | {mean(others):.2f} "
            f"| {min(others):.2f} |"
        )
    return "\n".join(rows)


def mean(ratios: list[float]) -> float:
    """The geometric one."""
    return math.exp(statistics.fmean(map(math.log, ratios)))


def page(found: list[Point]) -> str:
    """All of it, as docs/benchmarks/layers.md has it."""
    return "\n".join(
        [
            "# The recurrent layers beside torch.nn's",
            "",
            "Written by `python scripts/bench_layers.py --page docs/benchmarks/layers.md`: a training step (forward",
            "and backward of a head that reads the last state, float32), torch.nn's layer and ours in turns in one",
            "process, medians. The floor is the time of the matrix products at the rate of a large one.",
            "",
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"torch {torch.__version__}. Not run on a GPU, where torch.nn's layers serve.",
            "",
            summary(found),
            "",
            HEAD,
            *map(line, found),
            "",
        ]
    )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cells", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--quick", action="store_true", help="five points of the grid")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    if not chosen.json:
        print(HEAD)
    found = list(points(chosen))
    if chosen.page:
        chosen.page.write_text(page(found), encoding="utf-8")
    print(json.dumps([asdict(point) for point in found]) if chosen.json else f"\n{summary(found)}")


if __name__ == "__main__":
    main()
