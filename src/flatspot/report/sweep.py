"""The end of a sweep: one table of its settings, best first, and every failure by name."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, final

from flatspot.report.apart import half_widths
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


ASTRAY: Final = 100.0
"""R² and diversity ratios beyond this are no figures to read to three places."""


@final
@dataclass(frozen=True)
class Job:
    """One job of a sweep.

    Args:
        number: in the sweep, from 0. folder: its run folder.
        settings: what was set for it, as typed.
        metrics: as in its `metrics.json`; None if it has none.
        half_life: steps back in which the outputs' sensitivity to the inputs halves; NaN where it was not measured.
        failure: why it failed or was stopped; None if it is done.
    """

    number: int
    folder: str
    settings: Mapping[str, str]
    metrics: Mapping[str, Any] | None = None
    failure: str | None = None
    half_life: float = math.nan

    def figure(self, *names: str) -> float:
        """A number of its metrics; NaN for what could not be measured."""
        value: Any = self.metrics
        if names == ("test", "error"):
            return 1 - self.figure("test", "accuracy")
        for name in names:
            value = None if value is None else value.get(name)
        return math.nan if value is None else float(value)

    @property
    def cause(self) -> str:
        """The first cause that was found; empty where there is none."""
        found = self.metrics.get("findings") if self.metrics is not None else None
        return str(found[0]["cause"]) if found else ""

    @property
    def classifies(self) -> bool:
        """Whether it was a classifier's job."""
        return self.metrics is not None and "accuracy" in self.metrics["test"]


@final
@dataclass
class Setting:
    """The jobs that differ in their seed alone."""

    values: tuple[str, ...]
    done: list[Job] = field(default_factory=list)
    seeds: list[str | None] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Its jobs, failed ones too."""
        return len(self.seeds)

    def figures(self, *names: str) -> list[float]:
        """A figure of each job that is done; NaN for what could not be measured."""
        return [job.figure(*names) for job in self.done]

    def finite(self, *names: str) -> list[float]:
        """The figures that could be measured."""
        return [value for value in self.figures(*names) if math.isfinite(value)]

    def verdicts(self) -> str:
        """How often each was given."""
        return _counted(str(job.metrics["verdict"]) for job in self.done if job.metrics)

    def causes(self) -> str:
        """How often each was named first."""
        return _counted(job.cause or "-" for job in self.done)

    def by_seed(self, *names: str) -> dict[str | None, float]:
        """A figure of each seed that has one."""
        found = {job.settings.get(SEED): job.figure(*names) for job in self.done}
        return {seed: value for seed, value in found.items() if math.isfinite(value)}


@final
@dataclass(frozen=True)
class Answer:
    """A sweep's table: a row a setting, best first.

    Args:
        head, rows: the cells as text. labels: how many columns, from the left, say what was set. left: of which
            columns the text begins at the left.
    """

    head: list[str]
    rows: list[list[str]]
    labels: int
    left: set[int]


def table_of(jobs: Sequence[Job], *, error: ErrorName = "mae") -> Answer:
    """Each setting's figures, mean ± std over seeds.

    Args:
        jobs: all of them.
        error: what is shown and sorted by; `mase` where the jobs forecast different series, whose units differ.
    """
    keys, settings = varied(jobs), ordered(jobs, error=error)
    told = any(job.cause for job in jobs)
    lives = any(math.isfinite(job.half_life) for job in jobs)
    head = [*(keys or ["setting"]), "runs", *LABELS[error], "diversity", "verdict", *["cause"] * told]
    head += [*["half-life"] * lives, "fit seconds"]
    decimals = decimals_of([value for setting in settings for value in setting.finite("test", error)])
    rows = []
    for setting in settings:
        figures, verdicts, seconds = _cells(setting, error, decimals)
        causes = [setting.causes() if setting.done else "-"] * told
        rows.append(
            [*(setting.values or ("as typed",)), *figures, verdicts, *causes, *[_life(setting)] * lives, seconds]
        )
    labels = max(len(keys), 1)
    return Answer(head, rows, labels, {*range(labels), labels + 4, *[labels + 5] * told})


def summary(jobs: Sequence[Job], *, error: ErrorName = "mae") -> str:
    """The sweep's table, how far each setting is from the best, and the failures, as text.

    Args:
        jobs: all of them. error: as in `table_of`.
    """
    found = table_of(jobs, error=error)
    lines = aligned([found.head, *found.rows], left=found.left)
    beside = _differences(varied(jobs), differences(jobs, error=error), error)
    return "\n".join([title(jobs, error=error), "", *lines, *beside, *_failures(jobs)])


def ordered(jobs: Sequence[Job], *, error: ErrorName = "mae") -> list[Setting]:
    """The settings, least error first."""
    return sorted(_grouped(jobs, varied(jobs)), key=lambda each: _order(each, error))


@final
@dataclass(frozen=True)
class Difference:
    """How much more a setting errs than the best one, over the seeds that both have.

    Args:
        values, best: of the settings that differ between jobs. pairs: seeds that both have.
        mean: of the differences, seed by seed. half: half of its interval; the intervals of all settings of a sweep
            hold together in 95 of 100 sweeps.
    """

    values: tuple[str, ...]
    best: tuple[str, ...]
    pairs: int
    mean: float
    half: float


def differences(jobs: Sequence[Job], *, error: ErrorName = "mae") -> list[Difference]:
    """Each setting beside the best one, over the same seeds; those with two seeds in common at least."""
    settings = ordered(jobs, error=error)
    if not settings:
        return []
    errors = [each.by_seed("test", error) for each in settings]
    best, found = errors[0], []
    for setting, own, half in zip(settings[1:], errors[1:], half_widths(errors), strict=True):
        apart = [own[seed] - best[seed] for seed in best if seed in own]
        if math.isfinite(half):
            found.append(Difference(setting.values, settings[0].values, len(apart), statistics.fmean(apart), half))
    return found


def answer(jobs: Sequence[Job], *, error: ErrorName = "mae") -> dict[str, Any]:
    """The same for programs: what differs, each setting best first, how far each is from the best, each job."""
    keys = varied(jobs)
    settings = ordered(jobs, error=error)
    return {
        "error": error,
        "varied": keys,
        "settings": [_told(setting, keys, error) for setting in settings],
        "differences": [asdict(each) for each in differences(jobs, error=error)],
        "jobs": [
            {"job": job.number, "folder": job.folder, "failure": job.failure, "settings": dict(job.settings)}
            for job in jobs
        ],
    }


def _told(setting: Setting, keys: Sequence[str], error: ErrorName) -> dict[str, Any]:
    figures = {
        error: ("test", error),
        "diversity_ratio": ("diversity", "ratio"),
        "fit_seconds": ("fit_seconds",),
        "seconds": ("seconds",),
    }
    return {
        "values": dict(zip(keys, setting.values, strict=True)),
        "runs": setting.count,
        "done": len(setting.done),
        "verdicts": dict(Counter(str(job.metrics["verdict"]) for job in setting.done if job.metrics)),
        "causes": dict(Counter(job.cause for job in setting.done if job.cause)),
        **{name: _mean_and_std(setting.finite(*path)) for name, path in figures.items()},
    }


def _mean_and_std(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "std": statistics.stdev(values) if len(values) > 1 else None,
    }


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


def _grouped(jobs: Sequence[Job], keys: Sequence[str]) -> list[Setting]:
    settings: dict[tuple[str, ...], Setting] = {}
    for job in jobs:
        values = tuple(job.settings.get(key, "-") for key in keys)
        setting = settings.setdefault(values, Setting(values))
        if job.settings.get(SEED) in setting.seeds:
            continue  # the same job twice says nothing new
        setting.seeds.append(job.settings.get(SEED))
        if job.metrics is not None:
            setting.done.append(job)
    return list(settings.values())


def _order(setting: Setting, error: ErrorName) -> tuple[bool, float]:
    """Least error first; what has none last."""
    errors = setting.figures("test", error)
    mean = statistics.fmean(errors) if errors else math.nan
    return math.isnan(mean), mean


def _cells(setting: Setting, error: ErrorName, decimals: int | None) -> tuple[list[str], str, str]:
    """Runs and figures; the verdicts; the seconds."""
    if not setting.done:
        return [f"0 of {setting.count}", "-", "-", "-"], "-", "-"
    all_done = len(setting.done) == setting.count
    figures = [
        str(setting.count) if all_done else f"{len(setting.done)} of {setting.count}",
        mean_and_std(setting.figures("test", error), decimals),
        _to_three_places(setting.figures("test", "f1" if error == "error" else "r2")),
        _to_three_places(setting.figures("diversity", "ratio")),
    ]
    return figures, setting.verdicts(), mean_and_std(setting.figures("fit_seconds"), 1)


def _to_three_places(values: Sequence[float]) -> str:
    """What is about 1 where a setting does not go astray."""
    astray = any(abs(value) >= ASTRAY for value in values if math.isfinite(value))
    return mean_and_std(values, None if astray else 3)


def _life(setting: Setting) -> str:
    known = [job.half_life for job in setting.done if math.isfinite(job.half_life)]
    return mean_and_std(known, 1) if known else "-"


def _counted(each: Iterable[str]) -> str:
    counted = Counter(each)
    if len(counted) == 1:
        return next(iter(counted))
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())


def _differences(keys: Sequence[str], found: Sequence[Difference], error: ErrorName) -> list[str]:
    if not found:
        return []
    best = ", ".join(found[0].best) or "as typed"
    told = f"more {LABELS[error][0]} than {best}, seed by seed, with 95 % intervals that hold for all settings together"
    return ["", told, "", *aligned(difference_rows(keys, found), left=set(range(max(len(keys), 1))))]


def difference_rows(keys: Sequence[str], found: Sequence[Difference]) -> list[list[str]]:
    """The head, and a row a difference."""
    head = [*(keys or ["setting"]), "seeds", "difference", "from", "to"]
    decimals = decimals_of([abs(value) for each in found for value in (each.mean, each.half) if value])
    rows = []
    for each in found:
        figures = (each.mean, each.mean - each.half, each.mean + each.half)
        signed = (f"{'+' * (value > 0)}{number(value, decimals)}" for value in figures)
        rows.append([*(each.values or ("as typed",)), str(each.pairs), *signed])
    return [head, *rows]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def title(jobs: Sequence[Job], *, error: ErrorName = "mae") -> str:
    """How many jobs, settings and seeds."""
    settings = ordered(jobs, error=error)
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
