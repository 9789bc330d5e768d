"""Log how different a model's outputs are between samples, in training and validation."""

import logging
import math
import zlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DistributedSampler

from flatspot.errors import BadInput
from flatspot.monitors.predictions import Found, PredictionFinder
from flatspot.monitors.publishing import last_step, log_figures, log_histogram, log_layout, tell_callbacks
from flatspot.monitors.sample import loaders_in
from flatspot.probes.classification import NamedClasses
from flatspot.probes.diversity import DiversityReport, OutputDiversity
from flatspot.probes.fitting import Reader

log = logging.getLogger(__name__)

Part = Literal["train", "val"]
Kind = tuple[str, int, tuple[int, ...], tuple[int, ...]]
PARTS: Final[tuple[Part, ...]] = ("train", "val")

CHUNK: Final = 1024
"""Samples that wait to be measured together: one update for many batches, or watching would cost as much as a small
network."""

MOST_NUMBERS: Final = 2**20
"""Numbers that may wait, however few samples hold them."""

MISSED: Final = (
    "OutputDiversityMonitor found no targets, or no predictions that fit them, in a %s batch, so it leaves such "
    "batches out. Return {'loss': loss, 'predictions': y_hat, 'targets': y} from the step, or, where batches are "
    "(x, y), point it to them with OutputDiversityMonitor(predictions='name_of_submodule')."
)

DIFFER: Final = (
    "OutputDiversityMonitor: the processes saw outputs of different shapes, or some of them none, so this epoch has no "
    "diversity."
)

MISTAKEN: Final = (
    "OutputDiversityMonitor took the targets for labels of yes and no, as those of the first batch were, and met "
    "others: this epoch has no diversity; from here on they are numbers."
)

PADDED: Final = (
    "OutputDiversityMonitor: the validation sampler repeats %d samples, so that all processes have as many; they are "
    "counted twice. A sampler of your own and Trainer(use_distributed_sampler=False) count each once."
)


@final
@dataclass
class _Watch:
    """One part of a fit: where its predictions are found, and what was measured of it since the epoch began."""

    finder: PredictionFinder
    metric: OutputDiversity
    reader: Reader
    named: NamedClasses | None = None
    waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    samples: int = 0
    kind: Kind | None = None
    measured: int = 0

    def take(self, found: Found) -> None:
        """Keep a copy of a batch, and measure what has waited once it is much."""
        pair = self.reader.read(found.predictions, found.targets, found.fit)
        self.waiting.append(pair)
        self.samples += len(found.targets)
        classes = self.reader.class_numbers(found.predictions, found.fit)
        if classes is not None:
            self.named = self.named or NamedClasses(found.predictions.shape[found.fit.axis]).to(classes.device)
            self.named.update(classes)
        if self.samples >= CHUNK or self.samples * pair[1].shape[1] >= MOST_NUMBERS:
            self.measure()

    def measure(self) -> None:
        """Hand over what has waited."""
        if self.waiting:
            predictions, targets = zip(*self.waiting, strict=True)
            self.metric.update(torch.cat(predictions), torch.cat(targets))
            self.waiting.clear()
            self.samples = 0

    def close(self, part: Part) -> tuple[dict[str, float | None], Tensor]:
        """The epoch's figures, and the distances of its outputs from their centre."""
        report = self.metric.compute()
        figures = _figures(report, part)
        if self.named is not None:
            figures[f"diversity/class_entropy_{part}"] = self.named.compute().item()
        self.measured += 1
        self.forget()
        return figures, report.distances

    def forget(self) -> None:
        """Begin a new epoch."""
        self.waiting.clear()
        self.samples = 0
        self.metric.reset()
        if self.named is not None:
            self.named.reset()
        self.kind = None


@final
class OutputDiversityMonitor(Callback):
    """Logs output diversity once an epoch, over all of its samples, for any LightningModule and Trainer.

    Under `diversity/` with the endings `_train` and `_val`: `ratio` (0: one answer for every input),
    `minimum`, `flat_share`, `clock_share` and `duplicates`; and after the epochs 1, 2, 4, 8, ... the histogram
    `diversity/distance` of each output's distance from the centre, in units of the target's spread. In training the
    weights move while the epoch is measured. Figures that are not finite are not logged; of one output there is no
    `clock_share`. Of several validation loaders
    the first is measured.

    Where targets are class numbers and predictions their scores, the outputs are the classes' probabilities, beside
    ones at the true class, and `class_entropy` is the entropy of the histogram of predicted classes, in nats: 0 says
    that one class is named for all.

    Args:
        predictions: the dotted name of the submodule whose output is the prediction. None: found by itself, in
            the step's returned dict, or in what the module or one of its children returned.
        sample_size: outputs kept for duplicates and the histogram, at least 2.

    Raises:
        BadInput: for a sample size below 2, or (as the fit starts) a submodule that is not there.

    >>> from lightning import Trainer
    >>> trainer = Trainer(callbacks=[OutputDiversityMonitor()], logger=False, enable_checkpointing=False)
    """

    def __init__(self, predictions: str | None = None, sample_size: int = 256) -> None:
        if sample_size < 2:
            raise BadInput(f"sample_size={sample_size}: OutputDiversityMonitor compares outputs, so at least 2")
        self._predictions = predictions
        self._sample_size = sample_size
        self._watches: dict[Part, _Watch] = {}
        self._said: set[str] = set()

    def state_dict(self) -> dict[str, Any]:
        """How often each part was measured, and what was said of its targets."""
        watches = self._watches.items()
        reader = next((watch.reader.decided for _, watch in watches), None)
        return {"measured": {part: watch.measured for part, watch in watches}, "reader": reader}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on as before the fit was broken off."""
        for part, watch in self._watches.items():
            watch.measured = state_dict["measured"].get(part, 0)
            watch.reader.decided = state_dict["reader"] or (None, None)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Start anew."""
        if stage == "fit":
            self._listen(None, pl_module)  # of a fit that was broken off
            reader = Reader()
            self._watches = {part: self._watch(reader, trainer.global_rank) for part in PARTS}

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was."""
        self._listen(None, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was: Lightning tears nothing down after an exception."""
        self._listen(None, pl_module)
        for watch in self._watches.values():
            watch.forget()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the module as it was: its own hook, which follows, may save or script it."""
        self._listen(None, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the module, and lay out what TensorBoard shows side by side."""
        log_layout(trainer)
        self._listen("train", pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the validation steps: these may ask another part of the module."""
        if _is_of_fit(trainer):
            self._listen("val", pl_module)
            self._tell_of_padding(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the training steps again."""
        if _is_of_fit(trainer):
            self._listen("train", pl_module)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take the batch's outputs."""
        self._take("train", pl_module, outputs, batch)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the batch's outputs."""
        if _is_of_fit(trainer) and dataloader_idx == 0:
            self._take("val", pl_module, outputs, batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figures."""
        self._log("train", trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figures."""
        if _is_of_fit(trainer):
            self._log("val", trainer)

    def _watch(self, reader: Reader, rank: int) -> _Watch:
        return _Watch(PredictionFinder(self._predictions), OutputDiversity(self._sample_size, rank), reader)

    def _listen(self, part: Part | None, module: LightningModule) -> None:
        """To the steps of this part, and of no other."""
        for each, watch in self._watches.items():
            if each != part:
                watch.finder.detach()
        if part is not None:
            self._watches[part].finder.attach(module)

    def _take(self, part: Part, module: LightningModule, outputs: Any, batch: Any) -> None:
        watch = self._watches[part]
        found = watch.finder.take(module, outputs, batch)
        kind = None if found is None else _kind(found)
        if found is None or (watch.kind is not None and watch.kind != kind):
            self._say("missed", logging.WARNING, MISSED, part)
            return
        watch.kind = kind
        if part == "train":
            self._watches["val"].finder.preferred = found.name
        self._say("found", logging.INFO, "OutputDiversityMonitor takes %s for the predictions", found.source)
        watch.take(found)

    def _say(self, what: str, level: int, message: str, *values: object) -> None:
        """Once."""
        if what not in self._said:
            self._said.add(what)
            log.log(level, message, *values)

    def _tell_of_padding(self, trainer: Trainer) -> None:
        """Lightning gives a stranger's loader a sampler that repeats samples until all processes have as many."""
        padded = _repeated(trainer)
        if padded and trainer.is_global_zero:
            self._say("padded", logging.WARNING, PADDED, padded)

    def _log(self, part: Part, trainer: Trainer) -> None:
        watch = self._watches[part]
        watch.measure()
        if not _agreed(trainer, watch.kind):
            if watch.kind is not None:
                self._say("differ", logging.WARNING, DIFFER)
            watch.forget()
            return
        if watch.reader.mistaken():
            self._say("mistaken", logging.WARNING, MISTAKEN)
            watch.forget()
            return
        figures, distances = watch.close(part)
        log_figures(trainer, figures, last_step(trainer))
        tell_callbacks(trainer, figures)
        if watch.measured & (watch.measured - 1) == 0:
            log_histogram(trainer, f"diversity/distance_{part}", distances, last_step(trainer))


def _kind(found: Found) -> Kind:
    """What can be measured together."""
    return found.fit.kind, found.fit.axis, tuple(found.predictions.shape[1:]), tuple(found.targets.shape[1:])


def _agreed(trainer: Trainer, kind: Kind | None) -> bool:
    """Whether all processes measured something, and the same: all of them take part in the merging, or none."""
    if trainer.world_size == 1:
        return kind is not None
    mark = torch.tensor(zlib.crc32(repr(kind).encode()), device=trainer.strategy.root_device)
    return kind is not None and bool((trainer.strategy.all_gather(mark) == mark).all())


def _is_of_fit(trainer: Trainer) -> bool:
    return trainer.state.fn == "fit" and not trainer.sanity_checking


def _repeated(trainer: Trainer) -> int:
    """Samples of the first validation loader that are seen twice."""
    sampler = getattr(next(loaders_in(trainer.val_dataloaders), None), "sampler", None)
    if not isinstance(sampler, DistributedSampler) or sampler.drop_last:
        return 0
    return int(sampler.total_size - len(sampler.dataset))  # type: ignore[arg-type] # a sampler counts what it has


def _figures(report: DiversityReport, part: Part) -> dict[str, float | None]:
    shared = report.diversity.clock_share
    figures: dict[str, float | None] = {
        "ratio": report.diversity.ratio,
        "minimum": report.diversity.minimum,
        "flat_share": report.diversity.flat_share,
        "clock_share": shared if math.isfinite(shared) else None,  # of one output there is none
        "duplicates": report.duplicates,
    }
    return {f"diversity/{name}_{part}": value for name, value in figures.items()}
