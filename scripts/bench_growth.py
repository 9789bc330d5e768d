"""How the cost of training grows: seconds a step and peak memory over units, window and rows, everything on.

    python scripts/bench_growth.py --picture docs/pictures/growth.png

Each point is a process of its own that trains a few steps as `flatspot train` would (all default monitors, the log,
checkpoints), on a sine with noise that is made in memory; a step is the median of those after the first ones. *Memory*
is the largest resident set less that after the imports, the rows in float64 among it; *until the first batch* is
splitting, scaling and cutting, once.

A slope is that of the logarithms: 1 is in proportion, 2 its square; beside it that of the arithmetic (the products of
the recurrence and the head, forwards and twice backwards), between the same two points.
"""

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

GATES: Final = {"rnn": 1, "gru": 3, "lstm": 4}
BATCH: Final = 64
HORIZON: Final = 24
CHUNK: Final = 2**16
WARM: Final = 10
"""Steps that are left out."""


@dataclass(frozen=True)
class Point:
    """What is trained."""

    cell: str = "gru"
    hidden: int = 64
    window: int = 96
    rows: int = 20_000
    steps: int = 60

    @property
    def products(self) -> float:
        """Multiplications of a step: recurrence and head, forwards and twice backwards."""
        recurrence = self.window * GATES[self.cell] * self.hidden * (self.hidden + 1)
        return 3.0 * BATCH * (recurrence + self.hidden * HORIZON)


@dataclass(frozen=True)
class Cost:
    """What it took."""

    step: float
    memory: float
    before: float


AXES: Final[dict[str, list[int]]] = {
    "hidden": [16, 32, 64, 128, 256, 512],
    "window": [24, 96, 336, 1000],
    "rows": [10_000, 100_000, 1_000_000, 10_000_000],
}
UNITS: Final = {"hidden": "units", "window": "steps of a window", "rows": "rows"}


def measure(point: Point) -> Cost:
    """In this process: train, and look at the clock and at the memory."""
    import numpy as np  # noqa: PLC0415 - only in the processes that train
    import torch  # noqa: PLC0415
    from bench_train import Marks, Sizes, settings  # noqa: PLC0415

    from flatspot.cli import fit  # noqa: F401, PLC0415 - all that a run imports
    from flatspot.cli.build import build_data, build_model, build_trainer  # noqa: PLC0415
    from flatspot.data.panel import Series, panel_of  # noqa: PLC0415
    from flatspot.nn.denormals import flushed  # noqa: PLC0415

    torch.set_num_threads(1)
    imported = _resident("VmRSS")
    values = np.empty((point.rows, 1))
    noise = np.random.default_rng(0)
    for first in range(0, point.rows, CHUNK):  # what making them takes is no part of it
        steps = np.arange(first, min(first + CHUNK, point.rows))
        values[first : first + CHUNK, 0] = np.sin(steps / 10) + 0.1 * noise.normal(size=len(steps))
    panel = panel_of(Series("sine", ("value",), 1, values))
    del values
    sizes = Sizes(Path("sine.csv"), "value", window=point.window, hidden=point.hidden, horizon=HORIZON, epochs=1)
    config = settings(sizes, point.cell)
    began = time.perf_counter()
    data = build_data(config, panel)
    data.setup("fit")
    next(iter(data.train_dataloader()))
    before = time.perf_counter() - began
    starts: list[float] = []

    class Starts(Marks):
        def on_train_batch_start(self, *_: Any) -> None:  # noqa: ANN401
            starts.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder, flushed():
        model = build_model(config, data)
        trainer = build_trainer(config, Path(folder))
        trainer.callbacks.insert(0, Starts())  # type: ignore[attr-defined] # set, but not declared
        trainer.limit_train_batches, trainer.limit_val_batches = point.steps, 2
        trainer.fit(model, datamodule=data)
    took = [later - earlier for earlier, later in zip(starts[WARM:], starts[WARM + 1 :], strict=False)]
    return Cost(statistics.median(took), _resident("VmHWM") - imported, before)


def _resident(what: str) -> float:
    """Of this process, in MB: VmRSS, what is held now; VmHWM, the most so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise SystemExit("bench_growth.py needs /proc, as Linux has it")


def apart(point: Point) -> Cost:
    """The same in a process of its own."""
    words = [sys.executable, __file__, "--one", json.dumps(asdict(point))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{point}: ended with {done.returncode}\n{done.stderr[-2000:]}")
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Of the last two points, by their logarithms: where a cost has outgrown what is always there."""
    return math.log(y[-1] / y[-2]) / math.log(x[-1] / x[-2])


def lines(axis: str, points: Sequence[Point], costs: Sequence[Cost]) -> list[str]:
    """A table: a line for each point, and the slopes to the one before."""
    found = [
        f"| {UNITS[axis]} | ms a step | steps a second | slope | of the arithmetic | memory, MB | slope | until the "
        f"first batch, s | slope |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for number, (point, cost) in enumerate(zip(points, costs, strict=True)):
        at = [float(getattr(each, axis)) for each in points[max(number - 1, 0) : number + 1]]
        both = costs[max(number - 1, 0) : number + 1]
        slopes = [""] * 4
        if number:
            series = [
                [each.step for each in both],
                [each.products for each in points[number - 1 : number + 1]],
                [each.memory for each in both],
                [each.before for each in both],
            ]
            slopes = [f"{slope(at, each):.2f}" for each in series]
        step, arithmetic, memory, before = slopes
        found.append(
            f"| {getattr(point, axis):,} | {1000 * cost.step:.1f} | {1 / cost.step:.1f} | {step} | {arithmetic} "
            f"| {cost.memory:.0f} | {memory} | {cost.before:.2f} | {before} |"
        )
    return found


def draw(path: Path, measured: dict[str, tuple[list[Point], list[Cost]]]) -> None:
    """Three panels, both axes logarithmic: a step, the memory, and the arithmetic as a line through the last step."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    panels = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for panel, (axis, (points, costs)) in zip(panels, measured.items(), strict=True):
        x = [getattr(each, axis) for each in points]
        panel.loglog(x, [1000 * each.step for each in costs], "o-", label="ms a step")
        factor = 1000 * costs[-1].step / points[-1].products
        panel.loglog(x, [factor * each.products for each in points], ":", color="0.5", label="arithmetic alone")
        panel.loglog(x, [each.memory for each in costs], "s-", label="memory, MB")
        panel.set_xlabel(UNITS[axis])
        panel.set_xticks(x, [f"{each:,}" for each in x], fontsize="small")
        panel.xaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        panel.grid(visible=True, which="major", alpha=0.3)
    panels[0].legend(fontsize="small", loc="upper left")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cell", default="gru", choices=GATES)
    parser.add_argument("--axes", nargs="*", default=list(AXES), choices=AXES)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(asdict(measure(Point(**json.loads(chosen.one))))))
        return
    measured: dict[str, tuple[list[Point], list[Cost]]] = {}
    for axis in chosen.axes:
        points = [Point(**({"cell": chosen.cell} | {axis: value})) for value in AXES[axis]]
        costs = [apart(point) for point in points]
        measured[axis] = points, costs
        print("\n".join([f"\n{chosen.cell}, over {UNITS[axis]}:\n", *lines(axis, points, costs)]), flush=True)
    if chosen.picture:
        draw(chosen.picture, measured)


if __name__ == "__main__":
    main()
