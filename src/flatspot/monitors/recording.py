"""Keep each epoch's figures as evidence in the run folder."""

import logging
from pathlib import Path
from typing import Any, Final, final

from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from flatspot import evidence
from flatspot.errors import reason

log = logging.getLogger(__name__)

SOMETIMES: Final = ("activation/", "update_ratio/")
"""What is measured now and then is recorded then, and not again as an epoch ends."""


@final
class EpochFigures:
    """Records what the callbacks were told of each epoch, and not once more what they were told of an earlier one.

    As an epoch ends, a module logs its own figures after the callbacks have had their say. So the epoch is recorded a
    little later: as a checkpoint is saved, as the next one starts, or as the fit ends.
    """

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}
        self._ended: tuple[int, int] | None = None

    def end(self, trainer: Trainer) -> None:
        """An epoch has ended."""
        self._ended = trainer.current_epoch + 1, trainer.global_step

    def record(self, folder: Path, trainer: Trainer) -> None:
        """Append the figures of the epoch that has ended, if they are not yet there."""
        if self._ended is None:
            return
        (epoch, step), self._ended = self._ended, None
        told = dict(trainer.callback_metrics)
        # A figure told again is a new tensor; where an epoch has no validation, the last one's still stands there.
        new = {name: each.item() for name, each in told.items() if each is not self._before.get(name)}
        self._before = told
        kept = {name: value for name, value in new.items() if not name.startswith(SOMETIMES)}
        evidence.append(folder, evidence.measurement("epoch", epoch, step, kept))


def prepare(folder: Path, step: int) -> None:
    """A folder for the evidence of a fit that goes on from a step: one from step 0 finds none there.

    Evidence of another fit is kept beside it; what was measured after the step is measured again.
    """
    folder.mkdir(parents=True, exist_ok=True)
    held = folder / evidence.FILE
    if step:
        evidence.cut(folder, step)
    elif held.exists():
        number = next(each for each in range(1, 10**9) if not (folder / f"evidence-{each}.jsonl").exists())
        kept = held.rename(folder / f"evidence-{number}.jsonl")
        log.info("evidence of another fit is kept as %s", kept)


@final
class EvidenceRecorder(Callback):
    """Appends a measurement of all finite epoch figures after every training epoch. Last among the monitors.

    Where the file can no longer be written that is said once, and training goes on.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._epoch = EpochFigures()
        self._lost = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the folder: a fit that goes on measures anew what came after the checkpoint."""
        if trainer.is_global_zero:
            prepare(self._folder, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for what the module itself logs."""
        self._epoch.end(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch that ended."""
        self._record(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record the epoch that ended: a fit that goes on from here does not come back to it."""
        self._record(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the epoch that ended."""
        self._record(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Record the epoch that ended."""
        self._record(trainer)

    def _record(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero or self._lost:
            return
        try:
            self._epoch.record(self._folder, trainer)
        except OSError as error:
            self._lost = True
            log.warning("evidence.jsonl is not written while training goes on: %s", reason(error))
