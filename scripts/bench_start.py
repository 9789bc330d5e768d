"""What a command waits for before it works: imports, help, a doctor's answer, the first training step, a run's end.

    python scripts/bench_start.py

Every measurement is a fresh process; each round runs all of them, forwards and backwards in turn, and a figure is the
median over the rounds. A ratio or a difference is taken within a round, and its median is told.

A command's first training step is clocked as the optimizer has taken it: torch is imported a moment earlier than the
command would by itself, so that it can be asked to tell. *The end* of a run is what comes after its fit (pictures,
test, references, examination, page): from the moment at which the last checkpoint was written to the end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
TRAIN: Final = str(ROOT / "train.py")

FIRST_STEP: Final = """
import os, sys, time
from torch.optim.optimizer import register_optimizer_step_post_hook

def told(*_):
    print(f"@ {time.monotonic()}", flush=True)
    os._exit(0)

register_optimizer_step_post_hook(told)
from flatspot.cli.train import main
main(sys.argv[1:])
"""

COMPLETION: Final = {"_FLATSPOT_COMPLETE": "complete_bash", "COMP_WORDS": "flatspot train model.act", "COMP_CWORD": "2"}
"""What bash asks `flatspot` with, as TAB is pressed behind `flatspot train model.act`."""


@dataclass(frozen=True)
class Command:
    """A process: what is run, with which settings, and against what it is held."""

    name: str
    words: tuple[str, ...]
    beside: str | None = None
    goal: str = ""
    environment: Mapping[str, str] | None = None
    codes: tuple[int, ...] = (0,)
    to_mark: bool = False  # until it prints a mark, not until it ends


def python(code: str) -> tuple[str, ...]:
    """A process that runs this."""
    return (sys.executable, "-c", code)


def commands(run: Path, folder: Path) -> list[Command]:
    """All that is measured. `beside`: what a goal is set against."""
    flatspot = str(Path(sys.executable).with_name("flatspot"))
    train = (sys.executable, TRAIN)
    fit = (sys.executable, "-c", FIRST_STEP, f"hydra.run.dir={folder / 'first-{}'}")
    half = "import hydra: + 0.5 s"
    return [
        Command("python -c pass", python("pass")),
        Command("import hydra", python("import hydra")),
        Command("import torch", python("import torch")),
        Command("import lightning", python("import lightning")),
        Command("import flatspot", python("import flatspot"), "python -c pass", "+ 0.05 s"),
        Command(
            "import torch; from flatspot.nn import GRU",
            python("import torch; from flatspot.nn import GRU"),
            "import torch",
            "+ 0.3 s",
        ),
        Command("python train.py --help", (*train, "--help"), "import hydra", half),
        Command("python train.py --cfg job", (*train, "--cfg", "job"), "import hydra", half),
        Command("flatspot train model.act, TAB", (flatspot,), "import hydra", half, COMPLETION),
        Command(
            "python train.py model.act, TAB (by Hydra)",
            (*train, "-sc", "query=bash"),
            "import hydra",
            half,
            {"COMP_LINE": "train.py model.act", "COMP_POINT": "18"},
        ),
        Command("flatspot doctor RUN", (flatspot, "doctor", str(run)), "import hydra", half, codes=(0, 1)),
        Command("python train.py, to its first step", fit, "import lightning", "1.3 ×", to_mark=True),
    ]


def seconds(command: Command, number: int) -> float:
    """From the start of the process to its end, or to its mark."""
    environment = dict(os.environ) | dict(command.environment or {})
    words = [each.format(number) if command.to_mark and each.startswith("hydra.") else each for each in command.words]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    ended = time.monotonic()
    if done.returncode not in command.codes:
        raise SystemExit(f"{command.name}: ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    if command.to_mark:
        marks = [line for line in done.stdout.splitlines() if line.startswith("@ ")]
        ended = float(marks[0].removeprefix("@ "))
    return ended - began


def table(measured: Mapping[str, list[float]], asked: list[Command]) -> list[str]:
    """A line for each command."""
    lines = ["| command | s | beside | more, s | times | goal |", "|---|--:|---|--:|--:|---|"]
    for each in asked:
        own = measured[each.name]
        figures = [f"{statistics.median(own):.2f}"]
        if each.beside is None:
            figures += ["", "", ""]
        else:
            both = list(zip(own, measured[each.beside], strict=True))
            more = statistics.median(a - b for a, b in both)
            times = statistics.median(a / b for a, b in both)
            figures += [each.beside, f"{more:.2f}", f"{times:.2f}"]
        lines.append(f"| `{each.name}` | {' | '.join(figures)} | {each.goal} |")
    return lines


def ends(folder: Path, rounds: int) -> list[str]:
    """What comes after the fit of a default run, whole and with examination and page switched off."""
    lines = ["| a default run | seconds | of it the fit | after the fit, s | of the run | goal |"]
    lines.append("|---|--:|--:|--:|--:|---|")
    kinds: dict[str, list[str]] = {"as it is": [], "examine=none report=none": ["examine=none", "report=none"]}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in kinds}
    for number in range(rounds):
        for name in list(kinds)[:: 1 if number % 2 == 0 else -1]:
            found[name].append(_run(kinds[name], folder / f"end-{number}-{len(kinds[name])}"))
    goal = "15 %, or 10 s"
    for name, figures in found.items():
        whole, fit, after = (statistics.median(column) for column in zip(*figures, strict=True))
        lines.append(f"| {name} | {whole:.1f} | {fit:.1f} | {after:.1f} | {100 * after / whole:.0f} % | {goal} |")
    return lines


def _run(overrides: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds of the whole command, of the fit, and of what came after the fit."""
    began = time.time()
    words = [sys.executable, TRAIN, f"hydra.run.dir={folder}", *overrides]
    subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
    ended = time.time()
    fit = json.loads((folder / "metrics.json").read_text())["fit_seconds"]
    last = (folder / "checkpoints" / "last.ckpt").stat().st_mtime  # written as the fit ends
    return ended - began, fit, ended - last


def main() -> None:
    """Read the command line, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=3, help="default runs, each way; 0: none")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = folder / "run"
        _run(["trainer.max_epochs=2"], run)
        asked = commands(run, folder)
        measured: dict[str, list[float]] = {each.name: [] for each in asked}
        for number in range(-1, chosen.rounds):  # the first to have all files in memory
            for each in asked if number % 2 == 0 else asked[::-1]:
                took = seconds(each, number)
                if number >= 0:
                    measured[each.name].append(took)
        print("\n".join(table(measured, asked)), flush=True)
        if chosen.runs:
            print("", *ends(folder, chosen.runs), sep="\n", flush=True)


if __name__ == "__main__":
    main()
