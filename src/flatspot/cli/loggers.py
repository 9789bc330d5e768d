"""Loggers by name, each writing straight into the run folder."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from flatspot.errors import BadInput
from flatspot.registry import Registry


@final
class RunFolderTensorBoard(TensorBoardLogger):
    """TensorBoard's events in the run folder itself, not in `lightning_logs/version_0` below it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)

    def save(self) -> None:
        """Write no `hparams.yaml`: the run's configuration stands in its `config.yaml`."""


def _csv(folder: Path) -> Logger:
    return CSVLogger(save_dir=folder, name="", version="")


def _wandb(folder: Path, project: str = "flatspot", name: str | None = None, *, offline: bool = False) -> Logger:
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
