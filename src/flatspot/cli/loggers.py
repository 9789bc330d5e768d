"""Loggers by name, each writing straight into the run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, final

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

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


LOGGERS: Final[Registry[Callable[..., Logger]]] = Registry("logger", {"tensorboard": RunFolderTensorBoard, "csv": _csv})
