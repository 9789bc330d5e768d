"""Write the tables and figures of the experiments' pages from finished sweeps.

    python train.py experiment=does_scaling_matter hydra.sweep.dir=SWEEPS/does_scaling_matter
    python scripts/write_experiment_pages.py SWEEPS [--docs docs/experiments]

For each page `docs/experiments/QUESTION.md` with a sweep `SWEEPS/QUESTION`, what stands between its two marks
`<!-- results -->` is replaced by the table, and `QUESTION.png` is drawn. The words around them are written by hand.
"""

import argparse
import csv
import itertools
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from flatspot import evidence
from flatspot.report.text import mean_and_std

MARK: Final = "<!-- results -->"
LOWEST_R2: Final = -1.0
GOOD: Final = 0.9
"""The share of the best R² on validation that counts as learned, for the speed of training."""

Row = Mapping[str, str]
Groups = dict[tuple[str, ...], list[Row]]


def column(rows: Sequence[Row], name: str) -> list[float]:
    """A column of results as numbers; NaN where it is empty."""
    return [float(row[name]) if row[name] else math.nan for row in rows]


def verdicts(rows: Sequence[Row]) -> str:
    """Each verdict with how often it was reached."""
    counted: defaultdict[str, int] = defaultdict(int)
    for row in rows:
        counted[row["verdict"]] += 1
    return ", ".join(f"{name} {count}" if len(counted) > 1 else name for name, count in counted.items())


def grouped(rows: Sequence[Row], keys: Sequence[str]) -> Groups:
    """Rows by the values of some columns, in the order in which they come."""
    groups: Groups = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def epochs(row: Row, sweep: Path, name: str) -> list[float]:
    """A figure of each epoch of one job."""
    entries = evidence.read(sweep / row["job"])
    return [entry.values[name] for entry in entries if entry.when == "epoch" and name in entry.values]


@dataclass(frozen=True)
class Column:
    """One column of a page's table: its head, and a group's cell."""

    head: str
    cell: Callable[[Sequence[Row], Path], str]


def figure_column(head: str, name: str, decimals: int | None = None) -> Column:
    """Mean ± std of a column of results."""
    return Column(head, lambda rows, _: mean_and_std(column(rows, name), decimals))


MAE: Final = figure_column("test MAE", "mae")
R2: Final = figure_column("test R²", "r2", 2)
DIVERSITY: Final = figure_column("diversity ratio", "diversity_ratio", 3)
VERDICT: Final = Column("verdict", lambda rows, _: verdicts(rows))


def _gradient(rows: Sequence[Row], sweep: Path) -> str:
    """The median over epochs of the mean gradient norm, before clipping."""
    return mean_and_std([statistics.median(epochs(row, sweep, "gradient/total")) for row in rows], 2)


def epochs_to_learn(row: Row, sweep: Path, good: float) -> float:
    """The epoch that first reaches a validation R² of `good`; infinity if none does."""
    entries = [entry for entry in evidence.read(sweep / row["job"]) if entry.when == "epoch"]
    reached = [entry.epoch for entry in entries if entry.values.get("error/r2_val", -math.inf) >= good]
    return min(reached, default=math.inf)


def table(groups: Groups, keys: Sequence[str], columns: Sequence[Column], sweep: Path) -> str:
    """A Markdown table, a row a group."""
    lines = [
        f"| {' | '.join([*keys, *(each.head for each in columns)])} |",
        "|---" * (len(keys) + len(columns)) + "|",
    ]
    for values, rows in groups.items():
        lines.append(f"| {' | '.join([*values, *(each.cell(rows, sweep) for each in columns)])} |")
    return "\n".join(lines)


def dots(axes: Axes, groups: Groups, values: Callable[[Row], float], label: str, *, low: float | None = None) -> None:
    """One dot a seed and a bar at the mean, a line a group, the first on top."""
    for place, rows in enumerate(groups.values()):
        found = [values(row) for row in rows]
        finite = [value for value in found if math.isfinite(value)]
        shown = [value if low is None else max(value, low) for value in finite]
        axes.plot(shown, [place] * len(shown), "o", color="tab:blue", alpha=0.6, markersize=5)
        if finite:
            mean = statistics.fmean(finite)
            axes.plot(mean if low is None else max(mean, low), place, "|", color="black", markersize=14)
    axes.set_yticks(range(len(groups)), [" ".join(key) for key in groups], fontsize="small")
    axes.invert_yaxis()
    axes.set_xlabel(label, fontsize="small")
    axes.grid(axis="x", alpha=0.3)


def _of(name: str) -> Callable[[Row], float]:
    return lambda row: float(row[name]) if row[name] else math.nan


def _canvas(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def scaling(rows: Sequence[Row], sweep: Path) -> tuple[str, Figure]:
    """Does scaling matter?"""
    keys = ("data", "data.scale", "data.scale_target")
    figure, grid = _canvas(2, 3, (13, 5.5))
    for line, (name, of_data) in zip(grid, grouped(rows, ["data"]).items(), strict=True):
        arms: Groups = {
            (f"inputs {_words(scale)}, targets {_words(target)}",): some
            for (scale, target), some in grouped(of_data, keys[1:]).items()
        }
        dots(line[0], arms, _of("diversity_ratio"), "diversity ratio of the test forecasts")
        dots(line[1], arms, _of("r2"), "test R² (below -1 drawn at -1)", low=LOWEST_R2)
        _by_epoch(line[2], arms, sweep, "diversity/ratio_val", "diversity ratio on validation")
        line[0].set_title(name[0], loc="left", fontsize="medium")
        line[0].set_xlim(left=-0.03)
        line[1].set_yticklabels([])
        line[1].axvline(0, color="0.6", linewidth=0.8)
    grid[0][2].legend(fontsize="x-small")
    return table(grouped(rows, keys), keys, [MAE, R2, DIVERSITY, VERDICT], sweep), figure


def _words(scale: str) -> str:
    return {"standard": "scaled", "none": "raw"}[scale]


def _by_epoch(axes: Axes, groups: Groups, sweep: Path, name: str, label: str) -> None:
    """A line a group: the mean over the seeds that still train."""
    for (key, rows), style in zip(groups.items(), itertools.cycle(("-", "--", "-.", ":"))):
        runs = [epochs(row, sweep, name) for row in rows]
        means = [
            statistics.fmean(run[epoch] for run in runs if epoch < len(run)) for epoch in range(max(map(len, runs)))
        ]
        axes.plot(range(1, len(means) + 1), means, style, label=" ".join(key))
    axes.set_xlabel("epoch", fontsize="small")
    axes.set_ylabel(label, fontsize="small")
    axes.grid(alpha=0.3)


def activations(rows: Sequence[Row], sweep: Path) -> tuple[str, Figure]:
    """Which activation stays alive?"""
    tables = []
    figure, grid = _canvas(2, 4, (14, 8))
    for line, ((data,), of_data) in zip(grid, grouped(rows, ["data"]).items(), strict=True):
        good = GOOD * max(max(epochs(row, sweep, "error/r2_val")) for row in of_data)
        by_name = grouped(of_data, ["model.activation"])
        ordered = dict(sorted(by_name.items(), key=lambda each: statistics.fmean(column(each[1], "mae"))))
        speed = Column(f"epochs to R² {good:.2f} (val)", _speed(good))
        columns = [
            MAE,
            R2,
            DIVERSITY,
            VERDICT,
            speed,
            Column("gradient norm", _gradient),
        ]
        tables.append(f"**{data}**\n\n" + table(ordered, ["activation"], columns, sweep))
        dots(line[0], ordered, _of("r2"), "test R²", low=LOWEST_R2)
        dots(line[1], ordered, _of("diversity_ratio"), "diversity ratio")
        dots(line[2], ordered, _learned(sweep, good), f"epochs to a validation R² of {good:.2f} (40: never)")
        dots(line[3], ordered, _median_gradient(sweep), "gradient norm before clipping, median epoch")
        line[3].set_xscale("log")
        line[3].xaxis.set_major_formatter("{x:g}")
        line[3].xaxis.set_minor_formatter(_no_label)
        line[0].set_title(data, loc="left", fontsize="medium")
        for axes in line[1:]:
            axes.set_yticklabels([])
    return "\n\n".join(tables), figure


def _no_label(*_: object) -> str:
    return ""


def _speed(good: float) -> Callable[[Sequence[Row], Path], str]:
    def cell(rows: Sequence[Row], sweep: Path) -> str:
        needed = [epochs_to_learn(row, sweep, good) for row in rows]
        return ", ".join("never" if math.isinf(each) else f"{each:.0f}" for each in needed)

    return cell


def _learned(sweep: Path, good: float) -> Callable[[Row], float]:
    return lambda row: min(epochs_to_learn(row, sweep, good), 40)


def _median_gradient(sweep: Path) -> Callable[[Row], float]:
    return lambda row: statistics.median(epochs(row, sweep, "gradient/total"))


def initial_states(rows: Sequence[Row], sweep: Path) -> tuple[str, Figure]:
    """Does the initial state matter?"""
    keys = ("model.cell", "model.initial_state")
    figure, grid = _canvas(1, 2, (10, 3))
    dots(grid[0][0], grouped(rows, keys), _of("mae"), "test MAE in sunspots")
    dots(grid[0][1], grouped(rows, keys), _of("diversity_ratio"), "diversity ratio")
    grid[0][1].set_yticklabels([])
    return table(grouped(rows, keys), keys, [MAE, R2, DIVERSITY, VERDICT], sweep), figure


def data_sizes(rows: Sequence[Row], sweep: Path) -> tuple[str, Figure]:
    """How much data is enough?"""
    keys = ("data.train_windows", "data.train_windows_from")
    figure, grid = _canvas(1, 3, (13, 3.6))
    named = [{**row, "data.train_windows": row["data.train_windows"].replace("null", "all")} for row in rows]
    arms = grouped(named, keys)
    arms.pop(("all", "stretch"), None)  # all windows are the same from anywhere
    panels = {"mae": "test MAE in sunspots", "diversity_ratio": "diversity ratio of the test forecasts"}
    for axes, (name, label) in zip(grid[0], panels.items(), strict=False):
        _by_size(axes, named, _of(name), label)
    _by_size(grid[0][2], named, lambda row: epochs(row, sweep, "loss/train")[-1], "last training loss")
    grid[0][0].legend(fontsize="small")
    columns = [MAE, R2, DIVERSITY, VERDICT, Column("last training loss", _last_loss)]
    return table(arms, ("windows", "from"), columns, sweep), figure


def _last_loss(rows: Sequence[Row], sweep: Path) -> str:
    return mean_and_std([epochs(row, sweep, "loss/train")[-1] for row in rows], 3)


def _by_size(axes: Axes, rows: Sequence[Row], value: Callable[[Row], float], label: str) -> None:
    for (where,), some in grouped(rows, ["data.train_windows_from"]).items():
        by_size = grouped(some, ["data.train_windows"])
        means = [statistics.fmean(map(value, each)) for each in by_size.values()]
        spreads = [statistics.stdev(map(value, each)) if len(each) > 1 else 0.0 for each in by_size.values()]
        legend = {"anywhere": "from anywhere", "stretch": "one stretch, nearly alike"}[where]
        axes.errorbar(range(len(by_size)), means, spreads, marker="o", capsize=3, label=legend)
        axes.set_xticks(range(len(by_size)), [size for (size,) in by_size])
    axes.set_xlabel("training windows", fontsize="small")
    axes.set_ylabel(label, fontsize="small")
    axes.grid(alpha=0.3)


PAGES: Final[Mapping[str, Callable[[Sequence[Row], Path], tuple[str, Figure]]]] = {
    "does_scaling_matter": scaling,
    "which_activation_stays_alive": activations,
    "does_the_initial_state_matter": initial_states,
    "how_much_data_is_enough": data_sizes,
}


def write_page(page: Path, sweep: Path) -> None:
    """Replace the table and draw the figure of one page."""
    with (sweep / "results.csv").open(encoding="utf-8") as file:
        every = list(csv.DictReader(file))
    rows = [row for row in every if row["status"] == "done"]
    if len(rows) < len(every):
        print(f"{page.stem}: {len(every) - len(rows)} of {len(every)} jobs failed and are left out")
    made, figure = PAGES[page.stem](rows, sweep)
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text(f"{before}{MARK}\n\n{made}\n\n{MARK}{after}", encoding="utf-8")
    figure.savefig(page.with_suffix(".png"), dpi=110)


def main() -> None:
    """Read the command line and write every page that has a sweep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sweeps", type=Path)
    parser.add_argument("--docs", type=Path, default=Path("docs/experiments"))
    chosen = parser.parse_args()
    for name in PAGES:
        if (chosen.sweeps / name / "results.csv").exists():
            write_page(chosen.docs / f"{name}.md", chosen.sweeps / name)
            print(f"{chosen.docs / name}.md")


if __name__ == "__main__":
    main()
