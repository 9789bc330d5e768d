"""Record evidence of a fit, step 0 included, for the rules to judge, and draw what it shows."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, final

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.optim import Optimizer

from flatspot import evidence
from flatspot.errors import BadInput, reason
from flatspot.examination.examine import Report, report_of
from flatspot.monitors.activation import ActivationMonitor
from flatspot.monitors.examining import FirstStep, examined
from flatspot.monitors.looking import Look, figures_of, look, look_at_data
from flatspot.monitors.pictures import pictures_of
from flatspot.monitors.publishing import last_step, log_figures, log_picture, log_text, takes_pictures
from flatspot.monitors.recording import EpochFigures, prepare
from flatspot.monitors.subject import Subject, Watch
from flatspot.registry import nearest

EXAMINE: Final = ["full", "quick", "none"]

WELL: Final = ("healthy", "rightly-flat")
"""Verdicts that nobody need be warned of."""

log = logging.getLogger(__name__)


@final
class Doctor(Callback):
    """Records what a fit did to a network in `evidence.jsonl`, for any LightningModule and Trainer.

    It looks thoroughly before the first step, after the steps `first`, 2·`first`, 4·`first`, ... and after the last
    one, at one fixed sample of the validation data (else of the training data): the diversity of the outputs, how
    different samples are at each station from input to output, how much the output follows each step of the input and
    how much of the loss's gradient reaches it, gates and dead units. As each epoch ends it records every figure in
    `trainer.callback_metrics`, those of the other monitors among them.

    As the fit ends it examines the network as `flatspot.examine` does, names the cause of outputs that are nearly the
    same, and tells the log, text loggers (`doctor/report`) and the evidence; `report` keeps it. Not where a fit was
    broken off, with `fast_dev_run`, or in several processes.

    Loggers get `sensitivity/half_life` in steps, and as the fit ends the pictures `diversity/stations`,
    `sensitivity/by_step` and `loss_gradient/by_step`, and `forecast/examples` of the sample. The module's weights,
    mode, gradients and random states stay as they are.

    Args:
        folder: where `evidence.jsonl` is written; None: the logger's folder, else the Trainer's `default_root_dir`.
            One of another fit is kept beside it as `evidence-1.jsonl`. Of `fast_dev_run` nothing is kept, unless named.
        predictions: the dotted name of the submodule whose output is the prediction; None: found by itself.
        sample_size: samples that are looked at. seed: of their draw.
        first: optimizer steps until the second look.
        forecasts: whether to draw `forecast/examples`.
        examine: `full`; `quick`: nothing is tried on copies; `none`. budget: seconds after which no further
            measurement is begun.

    Raises:
        BadInput: for another word, for a sample size below 2 or a `first` below 1, or (as the fit starts) a submodule
            that is not there.
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        predictions: str | None = None,
        sample_size: int = 128,
        first: int = 100,
        seed: int = 0,
        *,
        forecasts: bool = True,
        examine: str = "full",
        budget: float = 60.0,
    ) -> None:
        if examine not in EXAMINE:
            raise BadInput(f"examine={examine!r}: {nearest(str(examine), EXAMINE)}")
        if sample_size < 2:
            raise BadInput(f"sample_size={sample_size}: Doctor compares samples, so at least 2")
        self._asked_folder = folder
        self._folder: Path | None = None
        self._watch = Watch("Doctor", predictions, sample_size, seed, first)
        self._forecasts = forecasts
        self._examine, self._budget = examine, budget
        self._first = FirstStep()
        self.report: Report | None = None
        self._looks: dict[int, Look] = {}
        self._epoch = EpochFigures()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Stand behind the other monitors, so that as an epoch ends they have told what they measured."""
        if stage == "fit":
            others = [each for each in trainer.callbacks if each is not self]  # type: ignore[attr-defined]
            last = [each for each in others if isinstance(each, Checkpoint)]
            before = [each for each in others if not isinstance(each, Checkpoint)]
            trainer.callbacks = [*before, self, *last]  # type: ignore[attr-defined] # set, but not declared

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for the pictures at the end of a fit that goes on."""
        return {"looks": {step: seen.numbers() for step, seen in self._looks.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was seen before the fit was broken off."""
        self._looks = {step: Look(**numbers) for step, numbers in state_dict["looks"].items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare the folder, and listen to the first step."""
        folder = self._asked_folder or trainer.log_dir or trainer.default_root_dir  # every process must ask
        kept = trainer.is_global_zero and (self._asked_folder or not trainer.fast_dev_run)  # type: ignore[attr-defined]
        self._folder = Path(folder) if kept else None
        self._written(lambda held: prepare(held, trainer.global_step))
        self._first, self.report = FirstStep(), None
        self._watch.start(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the batch until the first step shows how the module is asked."""
        self._watch.batch(batch)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember the loss of the first step: it shows which one it is."""
        self._first.hear(loss, trainer.accumulate_grad_batches)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look before the weights move for the first time, and remember what they were."""
        self._look(trainer, "start", self._watch.before_step(trainer, pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look where it is due."""
        self._look(trainer, "step", self._watch.after_batch(trainer, pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for what the module itself logs as the epoch ends."""
        self._epoch.end(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the figures of the epoch that ended."""
        self._record_epoch(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record the epoch that ended: a fit that goes on from here does not come back to it."""
        self._record_epoch(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look once more, and draw."""
        self._record_epoch(trainer)
        self._look(trainer, "trained", self._watch.at_end(trainer))
        if trainer.global_step in self._looks:
            self._record(trainer, "trained")
        if self._looks and takes_pictures(trainer) and trainer.is_global_zero:
            for tag, figure in pictures_of(self._looks, forecasts=self._forecasts):
                log_picture(trainer, tag, figure, last_step(trainer))
        if self._examine != "none" and self._watch.subject is not None and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._diagnose(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was, and let go of the sample."""
        self._watch.end()
        self._looks, self._epoch, self._first = {}, EpochFigures(), FirstStep()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was: Lightning tears nothing down after an exception."""
        self._record_epoch(trainer)
        self.teardown(trainer, pl_module, "fit")

    def _diagnose(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the cause; what goes wrong meanwhile is told, and the fit has ended well all the same."""
        try:
            seen = examined(
                trainer,
                pl_module,
                self._watch.subject,
                self._first,
                trying=self._examine == "full",
                budget=self._budget,
            )
        except Exception as error:  # noqa: BLE001 - a stranger's module may refuse anything
            log.info("Doctor has not examined the network: %s", reason(error))
            return
        self.report = report_of(seen)
        told = logging.INFO if self.report.verdict in WELL else logging.WARNING
        log.log(told, "%s", self.report)
        step = trainer.current_epoch, trainer.global_step
        entry = evidence.measurement("examined", *step, seen.figures, None, seen.unmeasured, seen.names)
        self._written(lambda held: evidence.append(held, entry))
        log_text(trainer, "doctor/report", str(self.report), last_step(trainer))

    def _look(self, trainer: Trainer, when: str, subject: Subject | None) -> None:
        if subject is None:
            return
        if when == "start":
            self._first.begin(subject)
        step = trainer.global_step
        others: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set, but not declared
        # An ActivationMonitor stands before this one: it may have looked at the layers at this very step.
        known = any(isinstance(each, ActivationMonitor) and each.looked_at(step) for each in others)
        seen = look(subject, layers=not known)
        if when == "start":
            seen.values |= look_at_data(subject)
        for name, why in seen.unmeasured.items() if not self._looks else ():
            log.log(logging.INFO if seen.values else logging.WARNING, "Doctor could not measure %s: %s", name, why)
        if known:
            told = trainer.callback_metrics.items()
            seen.values |= {name: each.item() for name, each in told if name.startswith("activation/")}
        self._looks[step] = seen
        if when != "trained":
            self._record(trainer, when)
        log_figures(trainer, figures_of(seen), last_step(trainer))

    def _record(self, trainer: Trainer, when: str) -> None:
        """Append what was seen at this step."""
        seen = self._looks[trainer.global_step]
        entry = evidence.measurement(when, trainer.current_epoch, trainer.global_step, seen.values, seen.curves)
        self._written(lambda held: evidence.append(held, entry))

    def _record_epoch(self, trainer: Trainer) -> None:
        self._written(lambda held: self._epoch.record(held, trainer))

    def _written(self, write: Callable[[Path], None]) -> None:
        """Write into the folder; where that cannot be, training goes on without evidence."""
        if self._folder is None:
            return
        try:
            write(self._folder)
        except OSError as error:
            log.warning("evidence.jsonl is not written while training goes on: %s", reason(error))
            self._folder = None
