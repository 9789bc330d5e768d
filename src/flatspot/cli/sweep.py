"""A sweep's jobs as they end, and the table at its end."""

import contextlib
import csv
import hashlib
import io
import json
import math
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, final

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig

from flatspot.cli.configs import read_settings
from flatspot.cli.folder import shown, write_json, write_text
from flatspot.cli.schema import SHAPING_KEYS
from flatspot.cli.terminal import JobsBar
from flatspot.errors import BadInput, reason
from flatspot.evidence import latest, read
from flatspot.kept import own, write_whole

if TYPE_CHECKING:
    import polars as pl

    from flatspot.report.sweep import ErrorName, Job

Objective = float | tuple[float, ...] | None


class Begin(Protocol):
    """Runs a job."""

    def __call__(self, *, again: bool) -> None:
        """Run it; `again`: from what an earlier try has left."""


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

RECORDS: Final = ".jobs"
"""The folder of a sweep in which its jobs say how they ended, while it runs."""

KILLED: Final = "its process was killed"


@final
class Sweep:
    """The jobs of a sweep, wherever they run: each leaves a record in the sweep's folder, and the end reads them all.

    A copy of this in another process (a launcher's worker) writes to the same place.
    """

    def __init__(self) -> None:
        self._token = secrets.token_hex(8)  # of an earlier sweep in the same folder nothing is read
        self._folder: Path | None = None
        self._report = False
        self._bar = JobsBar()

    @property
    def begun(self) -> bool:
        """Whether a job has."""
        return self._folder is not None and self._records(self._folder).is_dir()

    def compose(self, config: DictConfig) -> None:
        """Learn from the first configuration that Hydra composes where the jobs will leave their records.

        Raises:
            BadInput: for a search that is to make something else small than error, and flatness.
        """
        if self._folder is None:
            _check_direction(config.hydra.sweeper)
            self._folder = Path(str(config.hydra.sweep.dir)).absolute()
            self._report = config.get("report") == "html"
            self._bar = JobsBar(_count(config.hydra))

    def run(self, job: Begin, done_before: Callable[[Path], bool]) -> Objective:
        """Run the job that Hydra has just set up, and tell in a line how it ended.

        Args:
            job: begins it, or takes up what an earlier try has left. done_before: whether a folder holds it done.

        Returns:
            What a sweeper is to make small.

        Raises:
            BadInput: if its folder is another job's; and whatever the job raises.
        """
        config = HydraConfig.get()
        assert self._folder is not None  # noqa: S101 - Hydra has composed something before a job
        folder, records = Path(config.runtime.output_dir), self._records(self._folder)
        typed = (_setting(each) for each in config.overrides.task)
        settings = {key: value for key, value in typed if key != "resume"}
        record = {"number": int(config.job.num), "folder": str(folder), "settings": settings}
        kept, looked_up = False, {}
        failure: str | None = KILLED
        self._bar.show()
        try:
            again = _claim(records, folder, config)
            _write(records, {**record, "failure": KILLED})
            kept = done_before(folder)
            if not kept:
                job(again=again)
            failure, looked_up = None, _looked_up(folder)
            return _objective(folder, several=_are_several(config.sweeper))
        except BaseException as error:
            failure = reason(error).partition("\n")[0]
            raise
        finally:
            ended = {**record, "failure": failure, **looked_up}
            _write(records, ended)
            from flatspot.report.sweep import line  # what a sweep says is loaded where there is one

            told = line(_job(ended))
            self._bar.say(f"{'#' + str(ended['number']):>6}  {'done before: ' if kept else ''}{told}")

    def end(self) -> tuple[int, int]:
        """Print the table, write it as `sweep.json` and the jobs as `results.csv` and `results.parquet`.

        Returns: how many jobs failed, and of how many.
        """
        self._bar.close()
        if self._folder is None or not self.begun:
            return 0, 0
        from flatspot.report.sweep import answer, summary
        from flatspot.report.text import quoted

        records = self._records(self._folder)
        held = sorted(
            (json.loads(path.read_text(encoding="utf-8")) for path in records.glob("[!.]*.json")), key=_number
        )
        series = {each["series"] for each in held if each["failure"] is None}
        jobs = [replace(job, folder=shown(Path(job.folder))) for job in map(_job, held)]  # from here, not from its own
        classify = any(job.classifies for job in jobs)
        error: ErrorName = "error" if classify else "mase" if len(series) > 1 else "mae"
        write_text(self._folder / "results.csv", _results(jobs))
        write_whole(self._folder / "results.parquet", _table(jobs).write_parquet)
        write_json(self._folder / "sweep.json", answer(jobs, error=error))
        print(f"\n{summary(jobs, error=error)}")  # noqa: T201
        folder = shown(self._folder)
        print(f"\nsweep   {folder}")  # noqa: T201
        page = [_page(self._folder, held, error)] if self._report else []
        looks = [*filter(None, page), f"tensorboard --logdir {quoted(folder)}"]
        print("\n".join(f"{'' if number else 'look':<8}{each}" for number, each in enumerate(looks)))  # noqa: T201
        _forget(records)
        return sum(job.failure is not None for job in jobs), len(jobs)

    def _records(self, folder: Path) -> Path:
        return folder / RECORDS / self._token


def _count(hydra: DictConfig) -> int | None:
    """The jobs of a sweep that runs them one after the other in this process; None of any other sweep.

    Args:
        hydra: its node of the configuration that the sweep as a whole is composed of.
    """
    if not str(hydra.launcher._target_).endswith(".BasicLauncher"):
        return None
    if not str(hydra.sweeper._target_).endswith(".BasicSweeper"):
        return None
    typed = [f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()]
    parsed = OverridesParser.create().parse_overrides([*typed, *hydra.overrides.task])
    swept = {each.get_key_element(): each for each in parsed}  # what is typed last counts
    try:
        return math.prod(len(list(each.sweep_string_iterator())) for each in swept.values() if each.is_sweep_override())
    except (HydraException, ValueError, TypeError):  # glob(*) asks Hydra which files there are
        return None


def _page(folder: Path, held: Sequence[Mapping[str, Any]], error: "ErrorName") -> str | None:
    """Write the sweep's page, whose links go from its own folder; None where it could not be written."""
    from flatspot.cli.report import REPORT, page_of_jobs, told_if_not  # matplotlib is no matter of a sweep's beginning

    jobs = [replace(job, folder=os.path.relpath(job.folder, folder)) for job in map(_job, held)]
    written = told_if_not(lambda: write_text(folder / REPORT, page_of_jobs(folder, jobs, error)))
    return shown(folder / REPORT) if written else None


def _forget(records: Path) -> None:
    """All of it stands in the results now."""
    shutil.rmtree(records, ignore_errors=True)
    with contextlib.suppress(OSError):  # another sweep's are there
        records.parent.rmdir()


def _write(records: Path, record: Mapping[str, Any]) -> None:
    records.mkdir(parents=True, exist_ok=True)
    write_json(records / f"{record['number']}.json", record)


def _claim(records: Path, folder: Path, config: HydraConf) -> bool:
    """A folder is one job's; of many jobs none looks through all the others.

    Returns:
        Whether it is the same job's already: a scheduler begins one again that it has stopped.
    """
    records.mkdir(parents=True, exist_ok=True)
    claim = records / f"{hashlib.sha256(str(folder).encode()).hexdigest()}.claim"
    number = str(config.job.num)
    try:
        with claim.open("x", encoding="utf-8") as file:
            file.write(number)
    except FileExistsError:
        if claim.read_text(encoding="utf-8") != number:
            raise BadInput(f"hydra.sweep.subdir={config.sweep.subdir}: two jobs would share a folder") from None
        return True
    return False


def _looked_up(folder: Path) -> dict[str, Any]:
    """What of a job's files the end of the sweep asks for, and would take long to read for many."""
    return {"series": _series(folder), "half_life": _half_life(folder)}


def _job(record: Mapping[str, Any]) -> "Job":
    """A job, with the figures that stand in its folder."""
    from flatspot.report.sweep import Job

    folder, failure = Path(record["folder"]), record["failure"]
    metrics = _read(folder / "metrics.json") if failure is None else None
    life = math.nan if record.get("half_life") is None else record["half_life"]
    return Job(record["number"], record["folder"], record["settings"], metrics, failure, life)


def _number(record: Mapping[str, Any]) -> int:
    return int(record["number"])


def _setting(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value.strip("'\"")


def _series(folder: Path) -> str:
    """What was read, whatever was done with it: jobs that differ in it forecast in different units."""
    data = read_settings(own(folder, "config.yaml")).data
    return str({key: value for key, value in sorted(data.items()) if key not in SHAPING_KEYS})


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _results(jobs: Sequence["Job"]) -> str:
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


def _value(job: "Job", path: Sequence[str]) -> object:
    if path == ("cause",):
        return job.cause
    if path == ("half_life",):
        return job.half_life if math.isfinite(job.half_life) else ""
    value: Any = job.metrics
    for name in path:
        value = None if value is None else value.get(name)
    return "" if value is None else value


def _table(jobs: Sequence["Job"]) -> "pl.DataFrame":
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


def _directions(sweeper: DictConfig) -> list[str]:
    """What is to become of what a search looks at; nothing is looked at where all combinations are run."""
    direction = sweeper.get("direction", [])
    asked = direction if isinstance(direction, ListConfig | list) else [direction]
    return [str(getattr(each, "name", each)) for each in asked]


def _check_direction(sweeper: DictConfig) -> None:
    asked = _directions(sweeper)
    if asked not in ([], ["minimize"], ["minimize", "minimize"]):
        raise BadInput(
            f"hydra.sweeper.direction={sweeper.direction}: minimize for the error, or [minimize,minimize] for error "
            f"and flatness"
        )


def _are_several(sweeper: DictConfig) -> bool:
    """Whether a search makes two things small: the error, and how flat the outputs are."""
    return len(_directions(sweeper)) == 2


def _objective(folder: Path, *, several: bool) -> Objective:
    """What a search makes small: the error on the validation rows; with it, where both are asked for, the flatness.

    The error is the MAE in original units, or the share of wrong classes, of the epoch with the best validation loss:
    a search that looked at the test rows would leave none to test on. Flatness is 1 for outputs that are all the same,
    and 0 for ones that differ as much as the targets do, or more.
    """
    try:
        epochs = [entry.values for entry in read(folder) if "loss/val" in entry.values]
    except BadInput:  # the job is done, and its folder is not ours to mend
        return None
    best: Mapping[str, float] = min(epochs, key=lambda values: values["loss/val"], default={})
    error = best.get("error/mae_val", 1 - best.get("error/accuracy_val", math.nan))
    found = (error, 1 - min(best.get("diversity/ratio_val", math.nan), 1.0)) if several else (error,)
    if any(math.isnan(each) for each in found):
        return None
    return found if several else error


def _half_life(folder: Path) -> float | None:
    """The last half-life of the sensitivity that a run wrote down."""
    try:
        return latest(read(folder)).get("sensitivity/half_life")
    except BadInput:  # the job is done, and its folder is not ours to mend
        return None
