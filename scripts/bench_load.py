"""Many runs, and long ones: memory, open files and threads of the process, and whether its event files are whole.

    python scripts/bench_load.py --runs 200 --steps 50000 --picture docs/pictures/load.png

The runs are the jobs of one sweep in one process (`-m seed=...`), with everything on but the search for a cause; the
long one is one run. What the process holds is read from /proc twice a second, so Linux alone. *Flat* is told by the
second half: the slope of a line through it, for each further run or for each further 1,000 steps. Every event file is
read back record by record, check sums and all, and the validation losses in it are counted.

With `--hand-back` the C library gives free memory back at once, where it would keep it for the next one who asks: what
grows all the same is held by somebody.
"""

import argparse
import collections
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

ROOT: Final = Path(__file__).parents[1]

SMALL: Final = (
    "model.hidden_size=8",
    "model.cell=gru",
    "data.window=24",
    "data.horizon=6",
    "examine=none",
    "threads=1",
)
EVERY: Final = 0.5
"""Seconds between two looks."""

HAND_BACK: Final = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""glibc's own words for it (mallopt(3)): bytes."""


@dataclass
class Held:
    """What a process held, look by look."""

    seconds: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)

    def slope(self, what: str, *, per: float) -> float:
        """Of the second half, for so many runs or steps more; what the end itself takes is no growth."""
        done = np.array(self.done)
        chosen = (done >= done[-1] / 2) & (done < done[-1])
        return float(np.polyfit(done[chosen], np.array(getattr(self, what))[chosen], 1)[0]) * per


def watched(words: list[str], done: Callable[[], float]) -> Held:
    """Run the command, and look at its process until it ends."""
    process = subprocess.Popen([sys.executable, str(ROOT / "train.py"), *words], stdout=subprocess.DEVNULL)
    held, started = Held(), time.perf_counter()
    proc = Path(f"/proc/{process.pid}")
    while process.poll() is None:
        try:
            told = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
            now = (
                time.perf_counter() - started,
                done(),
                int(told["VmRSS"].split()[0]) / 1024,
                len(list((proc / "fd").iterdir())),
                int(told["Threads"]),
            )
        except (OSError, KeyError):
            break
        for name, value in zip(vars(held), now, strict=True):
            getattr(held, name).append(value)
        time.sleep(EVERY)
    if code := process.wait():
        sys.exit(f"{' '.join(words)}: ended with {code}")
    return held


def whole(folder: Path) -> tuple[int, int]:
    """The records of a folder's event files and the validation losses in them.

    A torn record, a wrong check sum and a loss that is told twice are errors; TensorBoard passes over the first two.
    """
    from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415

    records, losses = 0, collections.Counter[int]()
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for body in bodies(path):
            event = Event.FromString(body)
            losses.update(event.step for value in event.summary.value if value.tag == "loss/val")
            records += 1
    if set(losses.values()) - {1}:
        sys.exit(f"{folder}: a validation loss stands twice in its event files")
    return records, len(losses)


def bodies(path: Path) -> Iterator[bytes]:
    """The records of an event file: each its length, that number's check sum, its bytes and theirs."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c  # noqa: PLC0415

    held, at = path.read_bytes(), 0
    while at < len(held):
        size, told = struct.unpack_from("<QI", held, at)
        end = at + 12 + size
        body = held[at + 12 : end]
        if told != masked_crc32c(held[at : at + 8]) or held[end : end + 4] != struct.pack("<I", masked_crc32c(body)):
            sys.exit(f"{path}: the record at byte {at:,} is torn")
        yield body
        at = end + 4


def many(runs: int, folder: Path) -> Held:
    """So many short runs in a row, and what they left."""
    sweep = folder / "sweep"
    seeds = ",".join(map(str, range(runs)))
    words = ["-m", f"seed={seeds}", *SMALL, "trainer.max_epochs=2", f"hydra.sweep.dir={sweep}"]
    held = watched(words, lambda: len(list(sweep.glob("*/metrics.json"))))
    jobs = [each.parent for each in sweep.glob("*/metrics.json")]
    if len(jobs) != runs:
        sys.exit(f"{len(jobs)} of {runs} runs have ended well")
    for each in jobs:
        if whole(each)[1] != 2:
            sys.exit(f"{each}: its event files do not hold the validation losses of two epochs")
    return held


def long(steps: int, folder: Path) -> Held:
    """One run of so many steps, and what it left."""
    run = folder / "long"
    rows, batch = 32_000, 64
    epochs = -(-steps // (int(rows * 0.7) // batch))
    words = ["data=sines", f"data.steps={rows}", *SMALL, f"data.batch_size={batch}", f"trainer.max_epochs={epochs}"]
    words += ["early_stopping.patience=null", f"hydra.run.dir={run}"]
    evidence = run / "evidence.jsonl"

    def done() -> float:
        if not evidence.exists():
            return 0.0
        lines = evidence.read_text().splitlines()
        return float(max((json.loads(line)["step"] for line in lines if line.endswith("}")), default=0))

    held = watched(words, done)
    metrics = json.loads((run / "metrics.json").read_text())
    _, losses = whole(run)
    if metrics["steps"] < steps or losses != epochs:
        sys.exit(f"{run}: {metrics['steps']:,} steps, {losses} validation losses in the event files of {epochs} epochs")
    print(f"{metrics['steps']:,} steps in {metrics['fit_seconds']:.0f} s, {losses} epochs in its event files")
    return held


def main() -> None:
    """Measure, tell, draw."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--runs", type=int, default=200, help="0: none")
    arguments.add_argument("--steps", type=int, default=50_000, help="0: none")
    arguments.add_argument("--hand-back", action="store_true")
    arguments.add_argument("--picture", type=Path)
    asked = arguments.parse_args()
    if asked.hand_back:
        os.environ.update(HAND_BACK)
    with tempfile.TemporaryDirectory() as folder:
        shown: dict[str, tuple[Held, str, float, str]] = {}
        if asked.runs:
            shown[f"{asked.runs} short runs"] = (many(asked.runs, Path(folder)), "runs ended", 1.0, "a run")
        if asked.steps:
            shown[f"{asked.steps:,} steps"] = (long(asked.steps, Path(folder)), "steps", 1000.0, "1,000 steps")
    print("\n| what | seconds | MiB at half | at the end | slope of the second half | open files | threads |")
    print("|---|---|---|---|---|---|---|")
    for name, (held, _, per, each) in shown.items():
        half = len(held.done) // 2
        print(
            f"| {name} | {held.seconds[-1]:.0f} | {held.mebibytes[half]:.0f} | {held.mebibytes[-1]:.0f} "
            f"| {held.slope('mebibytes', per=per):+.3f} MiB {each} | {min(held.files[half:]):.0f} to "
            f"{max(held.files[half:]):.0f} ({held.slope('files', per=per):+.3f} {each}) "
            f"| {min(held.threads[half:]):.0f} to {max(held.threads[half:]):.0f} |"
        )
    if asked.picture:
        draw(shown, asked.picture)


def draw(shown: dict[str, tuple[Held, str, float, str]], path: Path) -> None:
    """Memory above, open files and threads below, over what was done."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots(2, len(shown), sharex="col", squeeze=False, height_ratios=(2, 1))
    for column, (name, (held, unit, _, _)) in enumerate(shown.items()):
        above, below = axes[0, column], axes[1, column]
        above.plot(held.done, held.mebibytes, color="#3366aa", lw=1)
        above.set_title(name, loc="left", fontsize=10)
        above.set_ylim(0, None)
        below.plot(held.done, held.files, color="#cc6633", lw=1, label="open files")
        below.plot(held.done, held.threads, color="#558844", lw=1, label="threads")
        below.set_ylim(0, None)
        below.set_xlabel(unit)
        below.legend(fontsize=8, frameon=False)
    axes[0, 0].set_ylabel("resident memory, MiB")
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
