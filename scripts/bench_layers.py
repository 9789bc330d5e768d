"""How fast the recurrent layers are beside torch.nn's: a training step and an inference, side by side in one process.

    python scripts/bench_layers.py [--parts grid activations memory first] [--cells rnn gru lstm] [--threads 1 2]
        [--engine auto] [--rounds 7] [--quick] [--json] [--page FILE]

A training step is forward and backward of a head that reads the last state. At every point of the grid torch.nn's layer
and ours take turns, with the same weights; printed is the ratio of the medians. `activations` has each activation take
turns with tanh in the same layer; `memory` runs steps of each layer in a process of its own, and reads the most that it
held; `first` times the first step of a new process, machine code included. With --page it is written as a page.
"""

import argparse
import itertools
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from flatspot import nn as ours
from flatspot.activations import ACTIVATIONS

BATCHES, TIMES, UNITS, FEATURES = (32, 64, 256), (24, 96, 336), (16, 64, 128), (1, 7)
QUICK: Final = ((32, 24, 16, 1), (64, 96, 64, 1), (64, 96, 128, 7), (256, 96, 64, 7), (256, 336, 128, 1))
ASKED: Final = {"rnn": 2.0, "gru": 3.0, "lstm": 1.5}
SHAPE: Final = (64, 96, 64, 1)
"""Batch, time, units and features where activations are compared, and first steps taken."""

MEMORY: Final = ((64, 96, 64, 1), (256, 336, 128, 7))

PARTS: Final = ("grid", "activations", "memory", "first")

ENOUGH: Final = 0.7
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


def layer_of(cell: str, sizes: tuple[int, int, int, int], **more: str) -> ours.RNN | ours.GRU | ours.LSTM:
    """Our layer at a point."""
    make: Any = LAYERS[cell][1]
    return make(sizes[3], sizes[2], batch_first=True, **more)  # type: ignore[no-any-return]


def step_of(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """A training step: the loss reads the last state alone."""

    def step() -> None:
        _, state = layer(x)
        last = state[0] if isinstance(state, tuple) else state
        last[-1].square().mean().backward()
        layer.zero_grad()

    return step


def measured(cell: str, threads: int, sizes: tuple[int, int, int, int], rounds: int, rate: float, engine: str) -> Point:
    """Both layers at one point."""
    batch, length, units, features = sizes
    theirs, mine = LAYERS[cell][0](features, units, batch_first=True), layer_of(cell, sizes, engine=engine)
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
            point = measured(cell, threads, sizes, chosen.rounds, rate, chosen.engine)
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


def activations(cells: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """How many times tanh's time a training step takes with each activation, by cell: the median over rounds."""
    torch.set_num_threads(1)
    batch, length, _, features = SHAPE
    x = torch.randn(batch, length, features)
    found: dict[str, dict[str, float]] = {}
    for cell in cells:
        steps = {name: step_of(layer_of(cell, SHAPE, activation=name, engine="fused"), x) for name in ACTIVATIONS}
        reference, found[cell] = steps["tanh"], {}
        for name, step in steps.items():
            pairs = [medians((step, reference), 1) for _ in range(rounds)]
            found[cell][name] = statistics.median(one / other for one, other in pairs)
    return found


def in_a_process(code: str) -> float:
    """What a program prints, run by itself with this interpreter."""
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


PROGRAM: Final = """
import time, torch
from pathlib import Path
from torch import nn
from flatspot import nn as ours
def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
def step():
    _, state = layer(x)
    last = state[0] if isinstance(state, tuple) else state
    last[-1].square().mean().backward()
    layer.zero_grad()
torch.set_num_threads(1)
cell, (batch, length, units, features), kind, engine = {given}
x = torch.randn(batch, length, features)
make = getattr(ours if kind == "ours" else nn, cell)
layer = make(features, units, batch_first=True, **(dict(engine=engine) if kind == "ours" else dict()))
"""

MEMORY_OF: Final = """
small = x
x = x[:1]
step()
before, x = held("VmRSS"), small
for _ in range(3):
    step()
print(held("VmHWM") - before)
"""

FIRST_OF: Final = """
begun = time.perf_counter()
step()
print(time.perf_counter() - begun)
"""


def memory(cells: list[str], engine: str) -> list[dict[str, object]]:
    """Bytes that training steps held at most beyond what was held before them, machine code already written."""
    rows: list[dict[str, object]] = []
    for cell, sizes in itertools.product(cells, MEMORY):
        named = (LAYERS[cell][1].__name__, sizes)
        theirs, mine = (
            in_a_process(PROGRAM.replace("{given}", repr((*named, kind, engine))) + MEMORY_OF)
            for kind in ("nn", "ours")
        )
        rows.append({"cell": cell, "sizes": sizes, "torch.nn": theirs, "ours": mine})
    return rows


def first(cells: list[str]) -> dict[str, tuple[float, float]]:
    """Seconds of the first training step of a process, of torch.nn's layer and of the fused one, by cell."""
    found = {}
    for cell in cells:
        named = (LAYERS[cell][1].__name__, SHAPE)
        theirs, mine = (
            in_a_process(PROGRAM.replace("{given}", repr((*named, kind, "fused"))) + FIRST_OF)
            for kind in ("nn", "ours")
        )
        found[cell] = (theirs, mine)
    return found


def told(part: str, found: Any) -> str:  # noqa: ANN401 - as the part has it
    """What a part but the grid found, as a table."""
    if part == "activations":
        cells = list(found)
        rows = [
            f"| {name} | " + " | ".join(f"{found[cell][name]:.2f}" for cell in cells) + " |" for name in ACTIVATIONS
        ]
        return "\n".join([f"| activation | {' | '.join(cells)} |", "|---" * (len(cells) + 1) + "|", *rows])
    if part == "memory":
        head = (
            "| cell | batch, time, units, features | torch.nn, MB | ours, MB | ours over torch.nn's |\n"
            + "|---" * 5
            + "|"
        )
        rows = []
        for row in found:
            theirs, mine = row["torch.nn"], row["ours"]
            sizes = ", ".join(map(str, row["sizes"]))
            rows.append(f"| {row['cell']} | {sizes} | {theirs / 1e6:.0f} | {mine / 1e6:.0f} | {mine / theirs:.2f} |")
        return "\n".join([head, *rows])
    head = "| cell | torch.nn, s | fused, s |\n|---|---|---|"
    return "\n".join([head, *(f"| {cell} | {theirs:.2f} | {mine:.2f} |" for cell, (theirs, mine) in found.items())])


SAID: Final = {
    "activations": "## Activations\n\nHow many times tanh's time a training step of the fused layer takes with each, "
    f"in turns; batch, time,\nunits and features {', '.join(map(str, SHAPE))}; one thread.",
    "memory": "## Memory\n\nThe most that three training steps held beyond what was held before (`VmHWM`), each layer "
    "in a process\nof its own, one thread. What a fused layer keeps between steps, to use it again, is among it.",
    "first": "## First use\n\nThe first training step of a process, with the machine code that is written for it.",
}


def page(found: list[Point], parts: dict[str, Any]) -> str:
    """All of it, as docs/benchmarks/layers.md has it."""
    return "\n".join(
        [
            "# The recurrent layers beside torch.nn's",
            "",
            "Written by `python scripts/bench_layers.py --page docs/benchmarks/layers.md`: a training step (forward",
            "and backward of a head that reads the last state, float32), torch.nn's layer and ours in turns in one",
            "process, medians. The floor is the time of the matrix products at the rate of a large one, measured in",
            "the same run.",
            "",
            f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}, "
            f"llvmlite {version('llvmlite')}. Not run on a GPU, where torch.nn's layers serve.",
            "",
            *([summary(found), ""] if found else []),
            *itertools.chain.from_iterable((SAID[part], "", told(part, what), "") for part, what in parts.items()),
            *(["## Every point", "", HEAD, *map(line, found), ""] if found else []),
        ]
    )


def processor() -> str:
    """Its name, as Linux has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((row.partition(":")[2].strip() for row in lines if row.startswith("model name")), platform.machine())


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cells", nargs="+", default=list(LAYERS), choices=list(LAYERS))
    parser.add_argument("--engine", default="auto", choices=["auto", "fused", "scan"])
    parser.add_argument("--quick", action="store_true", help="five points of the grid")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    if not chosen.json and "grid" in chosen.parts:
        print(HEAD)
    found = list(points(chosen)) if "grid" in chosen.parts else []
    measure: dict[str, Callable[[], Any]] = {
        "activations": lambda: activations(chosen.cells, chosen.rounds),
        "memory": lambda: memory(chosen.cells, chosen.engine),
        "first": lambda: first(chosen.cells),
    }
    if found and not chosen.json:
        print(f"\n{summary(found)}")
    parts: dict[str, Any] = {}
    for part in PARTS[1:]:
        if part in chosen.parts:
            parts[part] = measure[part]()
            if not chosen.json:
                print(f"\n{SAID[part]}\n\n{told(part, parts[part])}", flush=True)
    if chosen.page:
        chosen.page.write_text(page(found, parts), encoding="utf-8")
    if chosen.json:
        print(json.dumps({"grid": [asdict(point) | {"ratio": point.ratio} for point in found], **parts}))


if __name__ == "__main__":
    main()
