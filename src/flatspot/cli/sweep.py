"""A sweep's jobs as they end, and the table at its end."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from flatspot.cli.folder import shown, write_json, write_text
from flatspot.cli.schema import SHAPING_KEYS
from flatspot.errors import BadInput, reason
from flatspot.evidence import latest, read
from flatspot.report.sweep import ErrorName, Job, answer, line, summary
from flatspot.report.text import quoted

if TYPE_CHECKING:
    import polars as pl

FIGURES: Final = {
    **{name: ("test", name) for name in ("mae", "rmse", "mase", "smape", "r2", "accuracy", "balanced_accuracy", "f1")},
    "diversity_ratio": ("diversity", "ratio"),
    "diversity_minimum": ("diversity", "minimum"),
    "skill": ("skill", "model"),
    "skill_ridge": ("skill", "ridge"),
    "skill_persistence": ("skill", "persistence"),
    "verdict": ("verdict",),
    "cause": ("cause",),
    "half_life": ("half_life",),
    "steps": ("steps",),
    "fit_seconds": ("fit_seconds",),
    "seconds": ("seconds",),
}
"""The columns of `results.csv`, and where they stand in `metrics.json`."""


@final
class Sweep:
    """The jobs of a sweep, each read from its folder as it ends."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._jobs: list[Job] = []

    def run(self, job: Callable[[], float | None], done_before: Callable[[Path], bool] | None = None) -> float | None:
        """Run the job that Hydra has just set up, and tell in a line how it ended.

        Args:
            done_before: whether a folder holds the job done, which is then not run again; None: it is not asked.

        Raises:
            BadInput: if its folder is another job's; and whatever the job raises.
        """
        config = HydraConfig.get()
        folder, self._folder = Path(config.runtime.output_dir), Path(config.sweep.dir)
        failure: str | None = None
        kept = False
        try:
            self._refuse_shared(folder, config.sweep.subdir)
            kept = done_before is not None and done_before(folder)
            return _error(folder) if kept else job()
        except BaseException as error:
            failure = reason(error).partition("\n")[0]
            raise
        finally:
            typed = (_setting(each) for each in config.overrides.task)
            settings = {key: value for key, value in typed if key != "resume"}
            metrics = _read(folder / "metrics.json") if failure is None else None
            life = _half_life(folder) if metrics is not None else math.nan
            self._jobs.append(Job(int(config.job.num), str(folder), settings, metrics, failure, life))
            before = "done before: " if kept else ""
            print(f"        {before}{line(self._jobs[-1])}", flush=True)  # noqa: T201 - the command's answer

    def end(self) -> tuple[int, int]:
        """Print the table, write it as `sweep.json` and the jobs as `results.csv` and `results.parquet`.

        Returns: how many jobs failed, and of how many.
        """
        if not self._jobs or self._folder is None:
            return 0, 0
        series = {_series(Path(job.folder)) for job in self._jobs if job.metrics is not None}
        jobs = [replace(job, folder=shown(Path(job.folder))) for job in self._jobs]  # from here, not from a job's own
        classify = any(job.classifies for job in jobs)
        error: ErrorName = "error" if classify else "mase" if len(series) > 1 else "mae"
        write_text(self._folder / "results.csv", _results(jobs))
        _table(jobs).write_parquet(self._folder / "results.parquet")
        write_json(self._folder / "sweep.json", answer(jobs, error=error))
        print(f"\n{summary(jobs, error=error)}")  # noqa: T201
        folder = shown(self._folder)
        print(f"\nsweep   {folder}\nlook    tensorboard --logdir {quoted(folder)}")  # noqa: T201
        return sum(job.failure is not None for job in self._jobs), len(self._jobs)

    def _refuse_shared(self, folder: Path, subdir: str) -> None:
        if str(folder) in {job.folder for job in self._jobs}:
            raise BadInput(f"hydra.sweep.subdir={subdir}: two jobs would share a folder")


def _setting(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value.strip("'\"")


def _series(folder: Path) -> str:
    """What was read, whatever was done with it: jobs that differ in it forecast in different units."""
    data = OmegaConf.load(folder / "config.yaml").data
    return str({key: value for key, value in sorted(data.items()) if key not in SHAPING_KEYS})


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _results(jobs: Sequence[Job]) -> str:
    """A row a job, as CSV."""
    text = io.StringIO()
    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["job", "folder", *keys, "status", "why", *FIGURES])
    for job in jobs:
        status = ["failed", job.failure] if job.failure is not None else ["done", ""]
        figures = [_value(job, path) for path in FIGURES.values()]
        writer.writerow([job.number, job.folder, *(job.settings.get(key, "") for key in keys), *status, *figures])
    return text.getvalue()


def _value(job: Job, path: Sequence[str]) -> object:
    if path == ("cause",):
        return job.cause
    if path == ("half_life",):
        return job.half_life if math.isfinite(job.half_life) else ""
    value: Any = job.metrics
    for name in path:
        value = None if value is None else value.get(name)
    return "" if value is None else value


def _table(jobs: Sequence[Job]) -> "pl.DataFrame":
    """A row a job: what was set as text, figures as numbers, what was not measured as null."""
    import polars as pl

    keys = list(dict.fromkeys(key for job in jobs for key in job.settings))
    columns: dict[str, list[Any]] = {
        "job": [job.number for job in jobs],
        "folder": [job.folder for job in jobs],
        **{key: [job.settings.get(key) for job in jobs] for key in keys},
        "status": ["done" if job.failure is None else "failed" for job in jobs],
        "why": [job.failure for job in jobs],
    }
    types: dict[str, Any] = {name: pl.Int64 if name == "job" else pl.String for name in columns}
    for name, path in FIGURES.items():
        columns[name] = [None if value == "" else value for value in (_value(job, path) for job in jobs)]
        types[name] = pl.String if name in {"verdict", "cause"} else pl.Float64
    return pl.DataFrame(columns, schema=types, strict=False)


def _error(folder: Path) -> float | None:
    """What a sweeper is to make small, of a job that was done before."""
    done = Job(0, "", {}, _read(folder / "metrics.json"))
    error = done.figure("test", "error" if done.classifies else "mae")
    return None if math.isnan(error) else error


def _half_life(folder: Path) -> float:
    """The last half-life of the sensitivity that a run wrote down; NaN: none."""
    try:
        return latest(read(folder)).get("sensitivity/half_life", math.nan)
    except BadInput:  # the job is done, and its folder is not ours to mend
        return math.nan
