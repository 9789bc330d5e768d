"""The end of a sweep: one table of its settings, best first, and every failure by name."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

from flatspot.report.table import aligned
from flatspot.report.text import decimals_of, mean_and_std, number

SEED: Final = "seed"
"""The setting that is averaged over."""

ErrorName = Literal["mae", "mase", "error"]

LABELS: Final[Mapping[ErrorName, tuple[str, str]]] = {
    "mae": ("MAE", "R²"),
    "mase": ("MASE", "R²"),
    "error": ("wrong", "F1"),
}
"""The columns of the error and of the score beside it."""


@final
@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        number: in the sweep, from 0. folder: its run folder.
        settings: what was set for it, as typed.
        metrics: as in its `metrics.json`; None if it has none.
        failure: why it failed or was stopped; None if it is done.
    """

    number: int
    folder: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Any] | None = None
    failure: str | None = None

    def figure(self, *names: str) -> float:
        """A number of its metrics; NaN for what could not be measured."""
        value: Any = self.metrics
        if names == ("test", "error"):
            return 1 - self.figure("test", "accuracy")
        for name in names:
            value = None if value is None else value.get(name)
        return math.nan if value is None else float(value)

    @property
    def classifies(self) -> bool:
        """Whether it was a classifier's job."""
        return self.metrics is not None and "accuracy" in self.metrics["test"]


@final
@dataclass
class _Setting:
    """The jobs that differ in their seed alone."""

    values: tuple[str, ...]
    done: list[Job] = field(default_factory=list)
    seeds: list[str | None] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.seeds)

    def figures(self, *names: str) -> list[float]:
        return [job.figure(*names) for job in self.done]

    def finite(self, *names: str) -> list[float]:
        return [value for value in self.figures(*names) if math.isfinite(value)]

    def verdicts(self) -> str:
        counted = Counter(str(job.metrics["verdict"]) for job in self.done if job.metrics)
        if len(counted) == 1:
            return next(iter(counted))
        return ", ".join(f"{verdict} {count}" for verdict, count in counted.most_common())


def summary(jobs: Sequence[Job], *, error: ErrorName = "mae") -> str:
    """The sweep's table: a row a setting, mean ± std over seeds, best first; then the failures.

    Args:
        jobs: all of them.
        error: what is shown and sorted by; `mase` where the jobs forecast different series, whose units differ.
    """
    keys = varied(jobs)
    settings = sorted(_grouped(jobs, keys), key=lambda each: _order(each, error))
    head = [*(keys or ["setting"]), "runs", *LABELS[error], "diversity", "verdict", "fit seconds"]
    decimals = decimals_of([value for setting in settings for value in setting.finite("test", error)])
    rows = [[*(setting.values or ("as typed",)), *_cells(setting, error, decimals)] for setting in settings]
    labels = max(len(keys), 1)
    lines = aligned([head, *rows], left={*range(labels), labels + 4})
    return "\n".join([_title(jobs, settings), "", *lines, *_failures(jobs)])


def varied(jobs: Sequence[Job]) -> list[str]:
    """The settings that differ between jobs, the seed aside."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings if key != SEED)
    return [key for key in keys if len({job.settings.get(key) for job in jobs}) > 1]


def line(job: Job) -> str:
    """How one job ended, in a line."""
    if job.metrics is None:
        return f"failed: {job.failure}"
    error = "accuracy" if job.classifies else "mae"
    own, diversity = number(_known(job.figure("test", error))), number(_known(job.figure("diversity", "ratio")), 2)
    return f"{error} {own} · diversity {diversity} · {job.metrics['verdict']} · {job.figure('seconds'):.1f} s"


def _grouped(jobs: Sequence[Job], keys: Sequence[str]) -> list[_Setting]:
    settings: dict[tuple[str, ...], _Setting] = {}
    for job in jobs:
        values = tuple(job.settings.get(key, "-") for key in keys)
        setting = settings.setdefault(values, _Setting(values))
        if job.settings.get(SEED) in setting.seeds:
            continue  # the same job twice says nothing new
        setting.seeds.append(job.settings.get(SEED))
        if job.metrics is not None:
            setting.done.append(job)
    return list(settings.values())


def _order(setting: _Setting, error: ErrorName) -> tuple[bool, float]:
    """Least error first; what has none last."""
    errors = setting.figures("test", error)
    mean = statistics.fmean(errors) if errors else math.nan
    return math.isnan(mean), mean


def _cells(setting: _Setting, error: ErrorName, decimals: int | None) -> list[str]:
    if not setting.done:
        return [f"0 of {setting.count}", "-", "-", "-", "-", "-"]
    all_done = len(setting.done) == setting.count
    return [
        str(setting.count) if all_done else f"{len(setting.done)} of {setting.count}",
        mean_and_std(setting.figures("test", error), decimals),
        mean_and_std(setting.figures("test", "f1" if error == "error" else "r2"), decimals=3),
        mean_and_std(setting.figures("diversity", "ratio"), decimals=3),
        setting.verdicts(),
        mean_and_std(setting.figures("fit_seconds"), 1),
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _title(jobs: Sequence[Job], settings: Sequence[_Setting]) -> str:
    seeds = len({job.settings.get(SEED) for job in jobs})
    many = f"{len(settings)} setting{'s' * (len(settings) != 1)} × {seeds} seed{'s' * (seeds != 1)}"
    over = ", best first; mean ± std over seeds" if seeds > 1 else ", best first"
    return f"{len(jobs)} job{'s' * (len(jobs) != 1)}: {many}{over}"


def _failures(jobs: Sequence[Job]) -> list[str]:
    failed = [job for job in jobs if job.failure is not None]
    if not failed:
        return []
    told = [f"job {job.number} failed: {_typed(job)}\n  {job.failure}\n  {job.folder}" for job in failed]
    return ["", *told]


def _typed(job: Job) -> str:
    return " ".join(f"{key}={value}" for key, value in job.settings.items())
