"""One line an epoch, and a bar while it runs on a terminal."""

import logging
import math
import os
import sys
import time
from contextlib import ExitStack
from typing import Any, Final, final

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

log = logging.getLogger(__name__)

REFRESH: Final = 20
"""Batches between two looks at the bar."""

LARGE: Final = 1000.0
"""A loss beyond this has no use for decimals."""

COLUMNS: Final = (
    ("loss/train", "loss {:{loss}} train"),
    ("loss/val", "{:{loss}} val"),
    ("error/mae_val", "mae {:.4g} val"),
    ("error/accuracy_val", "accuracy {:.3f} val"),
    ("diversity/ratio_val", "diversity {:{share}} val"),
    ("gradient/total", "gradient {:.2g}"),
)
"""What a line says, where it was measured."""


@final
class EpochLines(ProgressBar):
    """Logs one line an epoch: losses, error, diversity, gradient, seconds. Last among the monitors."""

    def __init__(self) -> None:
        super().__init__()
        self._enabled = True
        self._bar: tqdm[Any] | None = None
        self._until_end = ExitStack()
        self._epoch_started = 0.0

    def disable(self) -> None:
        """Say nothing: another process does."""
        self._enabled = False

    def enable(self) -> None:
        """Speak again."""
        self._enabled = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if not self._enabled:
            return
        self._until_end = ExitStack()
        if _console_speaks():
            self._until_end.enter_context(logging_redirect_tqdm())
        total = int(self.total_train_batches) if self.total_train_batches != float("inf") else None
        self._bar = self._until_end.enter_context(
            tqdm(total=total, unit="batch", leave=False, disable=not _attended(), dynamic_ncols=True)
        )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the epoch's clock and bar."""
        self._epoch_started = time.perf_counter()
        if self._bar is not None:
            self._bar.reset()
            self._bar.set_description(f"epoch {_progress(trainer)}")

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move the bar now and then."""
        if self._bar is not None and (batch_idx + 1) % REFRESH == 0:
            self._bar.update(REFRESH)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how the epoch went."""
        if self._enabled:
            seconds = time.perf_counter() - self._epoch_started
            log.info("epoch %s · %s · %.1f s", _progress(trainer), _figures(trainer), seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error stands on a line of its own."""
        self._close()

    def _close(self) -> None:
        self._until_end.close()
        self._bar = None


def _console_speaks() -> bool:
    """Whether lines are said on the screen, which must not tear the bar. In a sweep they go to each job's own log."""
    streams = [each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    return any(not isinstance(each, logging.FileHandler) and each.level <= logging.INFO for each in streams)


def _progress(trainer: Trainer) -> str:
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return str(trainer.current_epoch + 1)
    width = len(str(trainer.max_epochs))
    return f"{trainer.current_epoch + 1:{width}}/{trainer.max_epochs}"


def _figures(trainer: Trainer) -> str:
    measured = trainer.callback_metrics
    found = {name: measured[name].item() for name, _ in COLUMNS if name in measured}
    large = any(abs(value) >= LARGE for name, value in found.items() if name.startswith("loss/"))
    decimals = {"loss": ".4g" if large else ".4f", "share": ".4g" if large else ".2f"}
    # That a loss is not finite is news; the others then say nothing.
    told = {name: value for name, value in found.items() if math.isfinite(value) or name.startswith("loss/")}
    return " · ".join(text.format(told[name], **decimals) for name, text in COLUMNS if name in told)


def _attended() -> bool:
    """Whether somebody looks at the bar: on a terminal, and none of a machine's that builds and tests."""
    return sys.stderr.isatty() and not os.environ.get("CI")
