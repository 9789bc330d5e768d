"""One job: its run folder, its status, its record of failure.

What is wrong with a file or a key is found before torch is imported.
"""

import inspect
import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from flatspot.cli import STARTED
from flatspot.cli.again import is_half_done, put_aside
from flatspot.cli.folder import alone_in, end_at_sigterm, first_process, record_failure, shown, write_status
from flatspot.cli.processes import follow_first
from flatspot.cli.schema import SHAPING_KEYS, SOURCE_KEYS, checked
from flatspot.cli.terminal import paint_logging, waiting
from flatspot.cli.threads import cores, share
from flatspot.data.datasets import DATASETS
from flatspot.data.panel import Panel, Series, panel_of
from flatspot.data.tables import csv
from flatspot.errors import BadInput, reason
from flatspot.kept import clear_halves

if TYPE_CHECKING:
    from flatspot.monitors.keeping import Begun

log = logging.getLogger(__name__)

Left = Literal["half done", "failed"]


def run(cfg: DictConfig, *, goes_on: bool = False) -> float | None:
    """Run one job in its run folder.

    Args:
        goes_on: take up what a stopped try has left in the folder.

    Returns:
        Its test MAE, for a sweeper to minimise; None in processes other than the first.

    Raises:
        BadInput: for what the user can mend. Whatever is raised is first written to the folder's `status.json`
            and log.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    started = STARTED if HydraConfig.get().mode == RunMode.RUN else time.perf_counter()
    if not goes_on:
        _refuse_finished(folder)
    follow_first(folder)
    with alone_in(folder):
        _speak_for_one()
        left = _left_in(folder) if goes_on else None
        if goes_on and first_process():
            clear_halves(folder)
        if left == "failed":  # before it says that it is running: a half done one would be taken up
            _tell_of(put_aside(folder))
        write_status(folder, "running")
        try:
            mae = _run(checked(cfg), folder, started, left)
        except BaseException as error:
            record_failure(folder, error)
            raise
        write_status(folder, "done")
        return mae


def _speak_for_one() -> None:
    """One log a run, one line a job of a sweep, and an end by SIGTERM that is none by itself."""
    if not first_process():
        _close_log()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _hush_console()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            vars(handler).update(handleError=_Once(Path(handler.baseFilename)).told)
    paint_logging()
    end_at_sigterm()


class _Once:
    """Python's logging prints a traceback for each line that it cannot write: of a full disk one sentence is enough."""

    def __init__(self, path: Path) -> None:
        self._path, self._said = path, False

    def told(self, record: logging.LogRecord) -> None:
        """Say why the file lacks this line and those that follow."""
        if not self._said:
            self._said = True
            print(f"{shown(self._path)} lacks lines: {reason(sys.exception() or OSError(record.msg))}", file=sys.stderr)  # noqa: T201


def _refuse_finished(folder: Path) -> None:
    """A folder keeps one run: a second one would mix its evidence into the first one's."""
    if first_process() and (folder / "evidence.jsonl").exists():
        raise BadInput(
            f"{shown(folder)}: holds a run already; give another folder with hydra.run.dir= or hydra.sweep.dir="
        )


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


def _left_in(folder: Path) -> Left:
    """What a stopped try has left: a job of a sweep that failed by itself is tried from the start."""
    return "half done" if HydraConfig.get().mode == RunMode.RUN or is_half_done(folder) else "failed"


def _run(cfg: DictConfig, folder: Path, started: float, left: Left | None) -> float | None:
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    config["resume"] = None  # how a run came about is none of its settings
    with waiting(f"reading {config['data'].get('path') or config['data']['name']}"):
        panel = read_panel(config["data"])
    from flatspot.cli.fit import fit_and_report

    several = HydraConfig.get().mode == RunMode.MULTIRUN
    begun = _taken_up(folder) if left == "half done" else None
    own = share(HydraConfig.get().launcher, cores()) if several else None
    return fit_and_report(config, panel, folder, started, several=several, begun=begun, share=own)


def _taken_up(folder: Path) -> "Begun | None":
    """The checkpoint that a run goes on from; None: there is none, what else was left is put aside, and it begins anew.

    Only the first process looks for it; others of the same run begin after it has.
    """
    from flatspot.monitors.keeping import LAST, Begun, checkpoint_to_go_on_from, read

    kept = folder / "checkpoints"
    if not first_process():
        return Begun.at(kept / LAST, read(kept / LAST)) if (kept / LAST).exists() else None
    begun, wrong = checkpoint_to_go_on_from(kept)
    for each in wrong:
        log.warning("%s", each)
    if begun is None:
        _tell_of(put_aside(folder))
        write_status(folder, "running")
    return begun


def _tell_of(aside: Path | None) -> None:
    if aside is not None:
        log.info("note   begins anew; what was there is kept in %s", shown(aside))


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
