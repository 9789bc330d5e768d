"""Reading, setting up and gathering: how long and how much memory, beside what one would do without flatspot.

    python scripts/bench_data.py [--rows 10000000] [--rounds 3] [--series 100000] [--page docs/benchmarks/data.md]

Every measurement runs in a process of its own, alternating with what it is compared to; the median counts. Reading:
from a CSV file of numbers (and one with time stamps besides) to the first batch, beside `polars.read_csv` of the same
file. Memory: the largest resident set, less that after the imports, in sizes of the float32 array. Gathering: batches
of 64 windows, beside a Dataset of single samples under torch's default loader, and beside indexing by hand. Many short
series: seconds from the file to the first batch, for ten thousand and for ten times as many.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

CHANNELS: Final = 4

BATCH: Final = 64
WINDOW, HORIZON = 96, 24

MARK: Final = "<!-- results -->"

MiB: Final = 2**20


def main() -> None:
    """Measure, print, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(MEASUREMENTS[asked.measure[0]](Path(asked.measure[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        text = "\n\n".join(
            [
                reading(Path(folder), asked.rows, asked.rounds),
                gathering(asked.rounds),
                many_series(Path(folder), asked.series, asked.rounds),
            ]
        )
    print(text)
    if asked.page:
        before, _, after = asked.page.read_text(encoding="utf-8").split(MARK)
        asked.page.write_text(f"{before}{MARK}\n\n{text}\n\n{MARK}{after}", encoding="utf-8")


def reading(folder: Path, rows: int, rounds: int) -> str:
    """From a file to the first batch, beside `polars.read_csv`."""
    lines = ["| file | to the first batch | polars.read_csv | ratio | memory above the imports | float32 arrays |"]
    lines.append("|---|---|---|---|---|---|")
    for name, timed in {"numbers": False, "time stamps and numbers": True}.items():
        path = folder / f"{timed}.csv"
        write_rows(path, rows, timed=timed)
        measured: dict[str, list[dict[str, float]]] = {"polars": [], "flatspot": []}
        for _ in range(rounds):
            for what, kept in measured.items():
                kept.append(_in_its_own_process(what, path))
        ours, theirs = (statistics.median(each["seconds"] for each in measured[key]) for key in ("flatspot", "polars"))
        peak = statistics.median(each["peak"] for each in measured["flatspot"])
        array = rows * CHANNELS * 4
        size = f"{rows:,} rows × {CHANNELS} {name}, {path.stat().st_size / MiB:,.0f} MiB"
        times = f"{ours:.2f} s | {theirs:.2f} s | {ours / theirs:.2f}"
        lines.append(f"| {size} | {times} | {peak / MiB:,.0f} MiB | {peak / array:.2f} |")
        path.unlink()
    return "\n".join(lines)


def write_rows(path: Path, rows: int, *, timed: bool) -> None:
    """Numbers of six digits, and a stamp every minute."""
    generator = np.random.default_rng(0)
    columns = {f"c{each}": (100 * generator.standard_normal(rows)).round(3) for each in range(CHANNELS)}
    frame = pl.DataFrame(columns)
    if timed:
        stamps = np.datetime64("2000-01-01", "us") + np.arange(rows) * np.timedelta64(60_000_000, "us")
        frame.insert_column(0, pl.Series("time", stamps).dt.strftime("%Y-%m-%d %H:%M:%S"))
    frame.write_csv(path)


def _in_its_own_process(what: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", what, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def _resident(key: str) -> int:
    """Bytes, as Linux counts them: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def by_polars(path: Path) -> dict[str, float]:
    """Read all of it as polars does by itself."""
    before, started = _resident("VmRSS"), time.perf_counter()
    pl.read_csv(path)
    return {"seconds": time.perf_counter() - started, "peak": _resident("VmHWM") - before}


def by_flatspot(path: Path) -> dict[str, float]:
    """To the first batch."""
    from flatspot.data.module import SeriesDataModule  # noqa: PLC0415 - not in the other process
    from flatspot.data.tables import read_table  # noqa: PLC0415

    grouped = "series" in path.name
    before, started = _resident("VmRSS"), time.perf_counter()
    panel = read_table(path, target="c0", features="all", group="id" if grouped else None)
    window, horizon = (24, 6) if grouped else (WINDOW, HORIZON)
    data = SeriesDataModule(panel, window=window, horizon=horizon, spend=True)
    next(iter(data.train_dataloader()))
    return {"seconds": time.perf_counter() - started, "peak": _resident("VmHWM") - before}


def many_series(folder: Path, most: int, rounds: int) -> str:
    """Many short series of unequal length, from the file to the first batch."""
    lines = ["| series | rows | to the first batch | µs a row |", "|---|---|---|---|"]
    for count in (most // 10, most):
        path = folder / f"series{count}.csv"
        lengths = np.random.default_rng(0).integers(40, 61, count)
        rows = int(lengths.sum())
        ids = np.repeat([f"series {each}" for each in range(count)], lengths)
        pl.DataFrame({"id": ids, "c0": np.random.default_rng(1).standard_normal(rows).round(4)}).write_csv(path)
        seconds = statistics.median(_in_its_own_process("flatspot", path)["seconds"] for _ in range(rounds))
        lines.append(f"| {count:,} | {rows:,} | {seconds:.2f} s | {seconds / rows * 1e6:.2f} |")
    return "\n".join(lines)


def gathering(rounds: int) -> str:
    """A batch of 64 windows: by the data module, by torch's default way, and by hand."""
    done = [_in_its_own_process("gathering", Path("none")) for _ in range(rounds)]
    ours, default, by_hand = (statistics.median(each[key] for each in done) for key in ("ours", "default", "by_hand"))
    lines = ["| a batch of 64 windows | µs | beside ours |", "|---|---|---|"]
    lines.append(f"| the data module's loader | {ours:.0f} | 1 |")
    lines.append(f"| a Dataset of single windows, torch's default loader | {default:.0f} | {default / ours:.1f} |")
    lines.append(f"| indexing by hand, no loader | {by_hand:.0f} | {by_hand / ours:.2f} |")
    return "\n".join(lines)


def measure_gathering(_: Path) -> dict[str, float]:
    """Microseconds a batch in each way, alternating."""
    import torch  # noqa: PLC0415 - not in the other processes

    from flatspot.data.module import SeriesDataModule  # noqa: PLC0415
    from flatspot.data.panel import Series  # noqa: PLC0415

    torch.set_num_threads(1)
    values = np.random.default_rng(0).standard_normal((20_000, CHANNELS))
    columns = tuple(f"c{each}" for each in range(CHANNELS))
    data = SeriesDataModule(Series("made", columns, 1, values), window=WINDOW, horizon=HORIZON, batch_size=BATCH)
    ways = _ways(data)
    batches = -(-len(data.dataset("train")) // BATCH)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(7):
        for name, way in ways.items():
            started = time.perf_counter()
            for _batch in way():
                pass
            taken[name].append((time.perf_counter() - started) / batches * 1e6)
    return {name: statistics.median(each) for name, each in taken.items()}


def _ways(data: Any) -> dict[str, Callable[[], Iterable[Any]]]:  # noqa: ANN401 - imported in one process alone
    """An epoch's batches, in each way."""
    import torch  # noqa: PLC0415 - not in the other processes
    from torch.utils.data import DataLoader  # noqa: PLC0415

    inputs, targets, count = data.prepared.inputs, data.prepared.targets, len(data.dataset("train"))
    steps, ahead = torch.arange(WINDOW), torch.arange(WINDOW, WINDOW + HORIZON)

    class Single:
        def __len__(self) -> int:
            return count

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            return inputs[index : index + WINDOW], targets[index + WINDOW : index + WINDOW + HORIZON]

    def by_hand() -> Iterable[Any]:
        for chunk in torch.split(torch.randperm(count), BATCH):
            first = chunk.unsqueeze(1)
            yield inputs[first + steps], targets[first + ahead]

    ours, default = data.train_dataloader(), DataLoader(Single(), batch_size=BATCH, shuffle=True)  # type: ignore[arg-type, var-annotated]
    return {"ours": lambda: ours, "default": lambda: default, "by_hand": by_hand}


MEASUREMENTS: Final = {"polars": by_polars, "flatspot": by_flatspot, "gathering": measure_gathering}

if __name__ == "__main__":
    main()
