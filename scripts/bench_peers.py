"""Training steps of forecasting libraries a second, and the test errors that they come to, beside flatspot's.

    python scripts/bench_peers.py ETTh1.csv --python neuralforecast=~/nf/bin/python darts=~/darts/bin/python ...

Each library lives in a fresh virtual environment of its own, and its adapter in `scripts/peers/` runs there:

    python -m venv ~/nf && ~/nf/bin/pip install neuralforecast

One series in windows of 96 steps, 24 ahead, one recurrent layer of 64 units, batches of 64 windows, Adam, squared
error, as many steps; all else is as each one's documentation sets it up, progress bar, log and checkpoints among it.
Each round trains once with each, forwards and backwards in turn, each in a process of its own. *A step* is its time,
with all that is done between two of them but validation, first steps left out; *fit* is the whole of the fit. The error
is that of forecasts after every window of the same test rows, in the series' unit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent

LACKING: Final = {("pytorch-forecasting", "rnn")}
"""What a library does not have."""


def trained(name: str, python: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What an adapter answers."""
    adapter = HERE / "peers" / f"{name.replace('-', '_')}_adapter.py"
    threads = str(asked["threads"])
    environment = dict(os.environ) | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with tempfile.TemporaryDirectory() as folder:  # some leave files where they run
        done = subprocess.run(
            [python, str(adapter), json.dumps(asked)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=folder,
            check=False,
        )
    marks = [line for line in done.stdout.splitlines() if line.startswith("@ ")]
    if done.returncode or not marks:
        raise SystemExit(f"{name}: ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(marks[-1].removeprefix("@ "))
    return found


def rows_of(cell: str, threads: int, found: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """A line of the table for each library."""
    lines = []
    for name, answers in found.items():
        step = statistics.median(1000 * each["seconds"] / each["steps"] for each in answers)
        whole = statistics.median(1000 * each["fit_seconds"] / each["all_steps"] for each in answers)
        figures = [f"{step:.1f}", f"{whole:.1f}"]
        for top, bottom in (("seconds", "steps"), ("fit_seconds", "all_steps")):
            ratios = [
                (theirs[top] / theirs[bottom]) / (ours[top] / ours[bottom])
                for theirs, ours in zip(answers, found["flatspot"], strict=True)
            ]
            figures.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
        errors = [each["mae"] for each in answers]
        figures.append(f"{statistics.median(errors):.3f} ({min(errors):.3f} to {max(errors):.3f})")
        lines.append(f"| {cell} | {threads} | {name} | {' | '.join(figures)} | {answers[0]['windows'] or ''} |")
    return lines


def main() -> None:
    """Read the command line, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("path", type=Path, help="the series, as CSV with a column `date`")
    parser.add_argument("--target", default="OT")
    parser.add_argument("--python", nargs="*", default=[], metavar="NAME=PYTHON", help="each library's interpreter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--cells", nargs="*", default=["rnn", "gru", "lstm"])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    chosen = parser.parse_args()
    pythons = {"flatspot": sys.executable} | dict(each.split("=", 1) for each in chosen.python)
    versions: dict[str, str] = {}
    columns = ["cell", "threads", "", "ms a step", "ms a step, fit", "times flatspot's step", "times, fit"]
    print(f"| {' | '.join(columns)} | test MAE | windows |")
    print("|---|--:|---|--:|--:|--:|--:|--:|--:|")
    for threads in chosen.threads:
        for cell in chosen.cells:
            names = [name for name in pythons if (name, cell) not in LACKING]
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
            for number in range(chosen.rounds):
                asked = {
                    "path": str(chosen.path.resolve()),
                    "target": chosen.target,
                    "cell": cell,
                    "threads": threads,
                    "seed": number,
                    "epochs": chosen.epochs,
                }
                for name in names[:: 1 if number % 2 == 0 else -1]:
                    found[name].append(trained(name, str(Path(pythons[name]).expanduser()), asked))
                    versions |= found[name][-1]["versions"]
            print("\n".join(rows_of(cell, threads, found)), flush=True)
    print("\n" + ", ".join(f"{name} {number}" for name, number in sorted(versions.items())))


if __name__ == "__main__":
    main()
