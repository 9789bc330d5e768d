"""A sweep's jobs as they end, and the table at its end."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, final

from hydra.core.hydra_config import HydraConfig

from flatspot.cli.folder import shown, write_text
from flatspot.cli.schema import SHAPING_KEYS
from flatspot.report.sweep import Job, line, summary, varied

FIGURES: Final = {
    **{name: ("test", name) for name in ("mae", "rmse", "mase", "r2")},
    "diversity_ratio": ("diversity", "ratio"),
    "diversity_minimum": ("diversity", "minimum"),
    "skill": ("skill", "model"),
    "skill_ridge": ("skill", "ridge"),
    "verdict": ("verdict",),
    "steps": ("steps",),
    "fit_seconds": ("fit_seconds",),
    "seconds": ("seconds",),
}
"""The columns of `results.csv`, and where they stand in `metrics.json`."""


@final
class Sweep:
    """The jobs that a sweep has begun, by what they left in their folders."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._begun: list[tuple[int, Path, dict[str, str]]] = []

    def begin(self) -> None:
        """Take note of the job that Hydra has just set up."""
        config = HydraConfig.get()
        self.folder = Path(config.sweep.dir)
        settings = dict(_setting(each) for each in config.overrides.task)
        self._begun.append((int(config.job.num), Path(config.runtime.output_dir), settings))

    def say_last(self) -> None:
        """Tell how the last job ended."""
        print(f"        {line(_job(*self._begun[-1]))}", flush=True)  # noqa: T201 - the command's answer

    def end(self) -> tuple[int, int]:
        """Print the table and write `results.csv`; how many jobs failed, and of how many."""
        jobs = [_job(*each) for each in self._begun]
        if not jobs or self.folder is None:
            return 0, 0
        write_text(self.folder / "results.csv", _results(jobs))
        units_differ = any(_changes_units(key) for key in varied(jobs))
        print(f"\n{summary(jobs, error='mase' if units_differ else 'mae')}")  # noqa: T201
        print(f"\nsweep   {shown(self.folder)}\nlook    tensorboard --logdir {shown(self.folder)}")  # noqa: T201
        return sum(job.failure is not None for job in jobs), len(jobs)


def _setting(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _changes_units(key: str) -> bool:
    """Whether jobs that differ in this setting forecast different series."""
    group, _, name = key.partition(".")
    return group == "data" and name not in SHAPING_KEYS


def _job(number: int, folder: Path, settings: dict[str, str]) -> Job:
    status = _read(folder / "status.json") or {}
    done = status.get("status") == "done"
    why = None if done else str(status.get("why", "stopped before its end"))
    return Job(number, shown(folder), settings, _read(folder / "metrics.json") if done else None, why)


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
    value: Any = job.metrics
    for name in path:
        value = None if value is None else value[name]
    return "" if value is None else value
