"""One job: its run folder, its status, its record of failure.

What is wrong with a file or a key is found before torch is imported.
"""

import inspect
import logging
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from flatspot.cli import STARTED
from flatspot.cli.folder import first_process, shown, write_status
from flatspot.cli.schema import SHAPING_KEYS, SOURCE_KEYS, checked
from flatspot.data.datasets import DATASETS
from flatspot.data.panel import Panel, Series, panel_of
from flatspot.data.tables import csv
from flatspot.errors import BadInput, reason

log = logging.getLogger(__name__)

SIGTERM_CODE: Final = 143


def run(cfg: DictConfig) -> float | None:
    """Run one job in its run folder.

    Returns:
        Its test MAE, for a sweeper to minimise; None in processes other than the first.

    Raises:
        BadInput: for what the user can mend. Whatever is raised is first written to the folder's `status.json`
            and log.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    started = STARTED if HydraConfig.get().mode == RunMode.RUN else time.perf_counter()
    _refuse_finished(folder)
    if not first_process():
        _close_log()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _hush_console()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)
    write_status(folder, "running")
    try:
        mae = _run(checked(cfg), folder, started)
    except BaseException as error:
        _record_failure(folder, error)
        raise
    write_status(folder, "done")
    return mae


def _refuse_finished(folder: Path) -> None:
    """A folder keeps one run: a second one would mix its evidence into the first one's."""
    if first_process() and (folder / "evidence.jsonl").exists():
        raise BadInput(
            f"{shown(folder)}: holds a run already; give another folder with hydra.run.dir= or hydra.sweep.dir="
        )


def _end(*_: object) -> None:
    """A scheduler must not take a killed run for a done one."""
    sys.exit(SIGTERM_CODE)


def _hush_console() -> None:
    """In a sweep each job's own log tells its epochs; the screen gets a line a job."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.WARNING)


def _close_log() -> None:
    """Hydra gives every process a log in the run folder; the first one's is enough."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, logging.FileHandler):
            root.removeHandler(handler)
            handler.close()
            Path(handler.baseFilename).unlink(missing_ok=True)


def _run(cfg: DictConfig, folder: Path, started: float) -> float | None:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    panel = read_panel(config["data"])
    from flatspot.cli.fit import fit_and_report

    several = HydraConfig.get().mode == RunMode.MULTIRUN
    return fit_and_report(config, panel, folder, started, several=several)


def read_panel(data: Mapping[str, Any]) -> Panel:
    """Read what the `data` keys name.

    Raises:
        BadInput: naming the file, row, column, key or value that cannot be used.
    """
    read = DATASETS[data["name"]]
    takes = inspect.signature(read).parameters
    unset = {key: each.default for key, each in inspect.signature(csv).parameters.items()}
    for key in SOURCE_KEYS:
        if key not in takes and data[key] != unset[key] and data[key] not in (None, []):
            raise BadInput(
                f"data.{key}={data[key]}: the data set {data['name']} is built in and takes no {key}; "
                f"did you mean data=csv data.path=my.csv?"
            )
    own = [key for key in data if key != "name" and key not in SHAPING_KEYS]
    series = read(**{key: data[key] for key in own if key in takes})
    if not isinstance(series, (Series, Panel)):
        raise TypeError(f"the data set {data['name']} gave no Series or Panel of flatspot.data.panel: {series!r:.80}")
    return panel_of(series)


def _record_failure(folder: Path, error: BaseException) -> None:
    """Into the folder, not onto the screen: that is for the command to say, once."""
    why = reason(error)
    write_status(folder, "failed", why)
    text = why if isinstance(error, BadInput) else "".join(traceback.format_exception(error))
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)
