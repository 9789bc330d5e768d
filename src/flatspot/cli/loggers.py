"""Loggers by name, each writing straight into the run folder."""

import csv
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from flatspot.errors import BadInput, reason
from flatspot.kept import write_whole
from flatspot.registry import Registry

if TYPE_CHECKING:
    from flatspot.cli.events import Events

log = logging.getLogger(__name__)

BESIDE: Final = ".metrics.csv.before"


@final
class RunFolderTensorBoard(TensorBoardLogger):
    """TensorBoard's events in the run folder itself, not in `lightning_logs/version_0` below it.

    Args:
        begun: the optimizer steps of a run that goes on: TensorBoard passes over what was told of later ones before.
    """

    _experiment: "Events | None"

    def __init__(self, folder: Path, begun: int) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)
        self._begun = begun

    @property
    @rank_zero_experiment
    def experiment(self) -> "Events":
        """The writer, made at first need: to import it takes a while."""
        if self._experiment is None:
            from flatspot.cli.events import Events

            self._experiment = Events(self.log_dir, self._begun)
        return self._experiment

    def save(self) -> None:
        """Write no `hparams.yaml`: the run's configuration stands in its `config.yaml`."""


@final
class _WholeTable(ExperimentWriter):
    """Lightning's, which begins the file anew for a new column: here beside it, so that a full disk costs no row."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))

        def write(half: Path) -> None:
            with half.open("w", newline="") as file:
                table = csv.DictWriter(file, fieldnames)
                table.writeheader()
                table.writerows(rows)

        write_whole(path, write)


@final
class _RunFolderCSV(CSVLogger):
    """Lightning's; where its file can no longer be written that is said once, and the run goes on without."""

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="")
        self._experiment = _WholeTable(self.log_dir)
        self.lost = False

    def save(self) -> None:
        """Write what was logged since."""
        if self.lost:
            self.experiment.metrics.clear()
            return
        try:
            super().save()
        except OSError as error:
            self.lost = True
            log.warning("metrics.csv is no longer written, and the run goes on: %s", reason(error))


def _csv(folder: Path, begun: int) -> Logger:
    """Lightning's writer begins the file anew: of a run that goes on it is told again what stood there.

    Until that is done the rows stand beside it, where the next try finds them.
    """
    place, aside = (folder / name for name in (ExperimentWriter.NAME_METRICS_FILE, BESIDE))
    if begun and not aside.exists() and place.exists():
        place.rename(aside)
    held = _rows(aside, before=begun) if begun else []
    logger = _RunFolderCSV(folder)
    for step, figures in held:
        logger.log_metrics(dict(figures), step=step)
    if held:
        logger.save()
    if not logger.lost:
        aside.unlink(missing_ok=True)
    return logger


def _rows(path: Path, *, before: int) -> list[tuple[int, dict[str, float]]]:
    """The rows of steps before a step; a row that a crash has torn was the last one."""
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")  # behind the last line break stands nothing, or a torn row
    rows = [row for row in csv.DictReader(whole) if (row["step"] or "").isdecimal() and None not in row.values()]
    kept = ((int(row.pop("step")), row) for row in rows)
    return [
        (step, {name: _number(value) for name, value in row.items() if value}) for step, row in kept if step < before
    ]


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


def _wandb(
    folder: Path,
    begun: int,  # noqa: ARG001 - a run that goes on is a new one there
    project: str = "flatspot",
    name: str | None = None,
    *,
    offline: bool = False,
) -> Logger:
    try:
        return WandbLogger(save_dir=folder, project=project, name=name, offline=offline)
    except ModuleNotFoundError as error:
        raise BadInput("logger=wandb: Weights & Biases is not installed; pip install 'flatspot[wandb]'") from error


LOGGERS: Final[Registry[Callable[..., Logger]]] = Registry(
    "logger", {"tensorboard": RunFolderTensorBoard, "csv": _csv, "wandb": _wandb}
)


@contextmanager
def ended(loggers: Iterable[Logger]) -> Iterator[None]:
    """However a run ends, its run at Weights & Biases ends too: the next job of a sweep would write into it."""
    try:
        yield
    finally:
        for logger in loggers:
            if isinstance(logger, WandbLogger) and logger._experiment is not None:
                logger._experiment.finish()
