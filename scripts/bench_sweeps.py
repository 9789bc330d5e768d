"""Sweeps: what a job costs beside its training, how two at once do, whether memory grows, and what grows with what.

    python scripts/bench_sweeps.py [--page docs/benchmarks/sweeps.md]
    python scripts/bench_sweeps.py --only memory

`overhead`: 32 small runs in one process; each but the first is timed from its start to the next one's, and its training
is taken off. Where the time goes is told by a profile of eight of them, of which the first is left out.
`throughput`: the same 32 by the basic launcher and by joblib with two workers, in turns, one thread a job.
`memory`: 100 jobs in one process, the resident memory after each.
`scaling`: one run at three sizes of one thing at a time, the rest as small as in `overhead`.
"""

import argparse
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl

ROOT: Final = Path(__file__).resolve().parents[1]

SMALL: Final = (
    "data=ar",
    "data.steps=2072",
    "data.window=24",
    "data.horizon=1",
    "model.hidden_size=32",
    "trainer.max_epochs=3",
    "examine=quick",
    "report=none",
    "threads=1",
)
"""About 2,000 windows."""

MARK: Final = "<!-- results -->"

PARTS: Final = {
    "pictures for TensorBoard": ("monitors/publishing.py", "log_picture"),
    "Hydra composes the configuration, twice a job": ("config_loader_impl.py", "load_sweep_config"),
    "thorough looks of the monitors": ("monitors/looking.py", "look"),
    "the examination": ("examination/own.py", "look_for_causes"),
    "references, and the verdict in original units": ("examination/own.py", "examine_model"),
    "checkpoints": ("trainer/trainer.py", "save_checkpoint"),
}
"""Where a job's time goes beside its training, by file and function."""

SIZES: Final = {
    "training windows (`data.steps`)": ("data.steps={}", (2_072, 8_072, 32_072)),
    "steps of a window": ("data.window={}", (24, 96, 384)),
    "hidden units": ("model.hidden_size={}", (32, 128, 512)),
    "horizon": ("data.horizon={}", (1, 24, 96)),
    "series": (None, (10, 100, 1_000)),
}


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--only", choices=MEASUREMENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--profile", nargs="+", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.profile:
        print(json.dumps(profiled(asked.profile)))
        return
    chosen = [asked.only] if asked.only else list(MEASUREMENTS)
    text = "\n\n".join(MEASUREMENTS[name](asked) for name in chosen)
    print(text)
    if asked.page:
        before, _, after = asked.page.read_text(encoding="utf-8").split(MARK)
        asked.page.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}{after}", encoding="utf-8")


def sweep(folder: Path, *overrides: str) -> float:
    """Seconds of a sweep in a process of its own."""
    started = time.perf_counter()
    command = [sys.executable, str(ROOT / "train.py"), "-m", *overrides, f"hydra.sweep.dir={folder}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def jobs_of(folder: Path) -> pl.DataFrame:
    """A row a job, in their order."""
    return pl.read_parquet(folder / "results.parquet").sort("job")


def begun(folder: Path, job: int) -> float:
    """When a job was set up: Hydra writes what it was given first of all."""
    return (folder / str(job) / ".hydra" / "config.yaml").stat().st_mtime


def overhead(asked: argparse.Namespace) -> str:
    """What a job takes beside its training."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held) / "sweep"
        sweep(folder, *SMALL, f"seed=range({asked.jobs})")
        fits = jobs_of(folder)["fit_seconds"].to_list()
        whole = [begun(folder, job + 1) - begun(folder, job) for job in range(1, asked.jobs - 1)]
    beside = [total - fit for total, fit in zip(whole, fits[1:], strict=False)]
    lines = [
        f"A job after the first, of {asked.jobs} in one process: {statistics.median(whole):.2f} s, of which "
        f"{statistics.median(fits[1:]):.2f} s are training and **{statistics.median(beside):.2f} s are not** "
        f"(mean {statistics.mean(beside):.2f} s, most {max(beside):.2f} s).",
        "",
        "| where the rest goes (under a profiler, which slows it) | s a job |",
        "|---|--:|",
    ]
    with tempfile.TemporaryDirectory() as held:
        command = [sys.executable, __file__, "--profile", *SMALL, f"hydra.sweep.dir={held}/sweep"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return "\n".join([*lines, *(f"| {part} | {seconds:.2f} |" for part, seconds in told.items())])


def profiled(overrides: list[str]) -> dict[str, float]:
    """Seconds a job by part: of seven jobs, once an eighth has imported everything."""
    from flatspot.cli.train import main as train  # noqa: PLC0415 - in the process that is profiled

    def run(*more: str) -> None:
        try:
            train(["-m", *overrides, *more])
        except SystemExit as left:
            if left.code:
                raise

    run("seed=7,8", "hydra.sweep.subdir=first-${hydra.job.num}")
    profile = cProfile.Profile()
    profile.runcall(run, "seed=0,1,2,3,4,5,6")
    held: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined] # set, but not declared
    return {part: _spent(held, *where) / 7 for part, where in PARTS.items()}


def _spent(held: dict[Any, Any], file: str, function: str) -> float:
    """Seconds in a function and in what it calls; it must have been called."""
    return float(next(each[3] for (path, _, name), each in held.items() if path.endswith(file) and name == function))


def throughput(asked: argparse.Namespace) -> str:
    """The basic launcher and joblib with two workers, in turns."""
    ways = {"basic": (), "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")}
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, more in ways.items():
            with tempfile.TemporaryDirectory() as held:
                spent[name].append(sweep(Path(held) / "sweep", *SMALL, f"seed=range({asked.jobs})", *more))
    ratios = [one / two for one, two in zip(spent["basic"], spent["joblib"], strict=True)]
    middle = {name: statistics.median(seconds) for name, seconds in spent.items()}
    return (
        f"{asked.jobs} jobs: {middle['basic']:.1f} s by the basic launcher, {middle['joblib']:.1f} s by joblib with "
        f"two workers: **{statistics.median(ratios):.2f} times the throughput** (rounds: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}), start of the processes and imports included."
    )


def memory(asked: argparse.Namespace) -> str:  # noqa: ARG001 - as the others are called
    """Resident memory of one process after each of 100 jobs."""
    with tempfile.TemporaryDirectory() as held:
        command = [sys.executable, str(ROOT / "train.py"), "-m", *SMALL, "trainer.max_epochs=1", "seed=range(100)"]
        folder = Path(held) / "sweep"
        seen: dict[int, float] = {}
        running = subprocess.Popen(
            [*command, f"hydra.sweep.dir={folder}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while running.poll() is None:
            done = sum((folder / str(job) / "metrics.json").exists() for job in range(100))
            seen[done] = _resident(running.pid) or seen.get(done, 0.0)
            time.sleep(0.05)
    marks = [1, 2, 5, 10, 20, 40, 60, 80, 99]
    told = [f"| {mark} | {seen[max(each for each in seen if each <= mark)]:.0f} |" for mark in marks]
    return "\n".join(["| jobs done in one process | resident memory, MiB |", "|--:|--:|", *told])


def _resident(process: int) -> float:
    """MiB; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def scaling(asked: argparse.Namespace) -> str:  # noqa: ARG001
    """One thing at a time at three sizes."""
    lines = ["| what grows | sizes | training, s an epoch | all else, s | resident memory at most, MiB |"]
    lines.append("|---|---|---|---|---|")
    for name, (override, sizes) in SIZES.items():
        found = [_run(override, size) for size in sizes]
        columns = [", ".join(f"{size:,}" for size in sizes)]
        columns += [
            ", ".join(f"{each[key]:.{digits}f}" for each in found)
            for key, digits in (("fit", 2), ("rest", 1), ("peak", 0))
        ]
        lines.append(f"| {name} | {' | '.join(columns)} |")
    return "\n".join(lines)


def _run(override: str | None, size: int) -> dict[str, float]:
    """Seconds of training an epoch and of the rest after the imports, and memory, of one run by itself."""
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        more = [override.format(size)] if override else _panel(folder / "panel.csv", size)
        small = [each for each in SMALL if not override or not each.startswith(more[0].partition("=")[0] + "=")]
        if not override:
            small = [each for each in small if not each.startswith(("data=", "data.steps="))]
        command = [sys.executable, str(ROOT / "train.py"), *small, *more, f"hydra.run.dir={folder}/run"]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(running.pid, 0)
        if status:
            raise SystemExit(f"{more}: a run failed")
        metrics = json.loads((folder / "run" / "metrics.json").read_text())
    fit = metrics["fit_seconds"]
    return {"fit": fit / 3, "rest": metrics["seconds"] - fit, "peak": used.ru_maxrss / 1024}


def _panel(path: Path, series: int) -> list[str]:
    """Series of 200 rows each, below each other."""
    rows = pl.int_range(series * 200, eager=True)
    frame = pl.DataFrame({"name": rows // 200, "y": (rows * 0.3).sin() + (rows * 7919 % 101) / 500})
    frame.write_csv(path)
    return ["data=csv", f"data.path={path}", "data.group=name", "data.target=y", "data.time=none"]


MEASUREMENTS: Final[dict[str, Callable[[argparse.Namespace], str]]] = {
    "overhead": overhead,
    "throughput": throughput,
    "memory": memory,
    "scaling": scaling,
}


if __name__ == "__main__":
    main()
