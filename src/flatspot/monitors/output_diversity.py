"""Log how different a model's outputs are between samples, in training and validation."""

import logging
from typing import Any, Final, Literal, final

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from flatspot.errors import BadInput
from flatspot.monitors.predictions import Pair, PredictionFinder
from flatspot.monitors.publishing import last_step, log_figures, tell_callbacks
from flatspot.probes.diversity import DiversityReport, OutputDiversity

log = logging.getLogger(__name__)

Part = Literal["train", "val"]

CHUNK: Final = 1024
"""Samples that wait to be measured together: one update for many batches, or watching would cost as much as a small
network."""

MOST_NUMBERS: Final = 2**20
"""Numbers that may wait, however few samples hold them."""

MOST_OUTPUTS: Final = 2**12
"""Outputs of a sample that are measured; of more (long sequences, images), so many, evenly spread."""


@final
class OutputDiversityMonitor(Callback):
    """Logs output diversity once an epoch, over all of its samples, for any LightningModule and Trainer.

    Under `diversity/` with the endings `_train` and `_val`: `ratio` (0: one answer for every input),
    `minimum`, `flat_share`, `clock_share` and `duplicates`; and the histogram `diversity/distance` of each
    output's distance from the centre, in units of the target's spread. In training the weights move while the
    epoch is measured. Figures that are not finite are not logged. Of several validation loaders the first is measured.

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
        self._finder = PredictionFinder(predictions)
        self._sample_size = sample_size
        self._metrics: dict[Part, OutputDiversity] = {}
        self._waiting: dict[Part, list[Pair]] = {"train": [], "val": []}
        self._shapes: dict[Part, torch.Size] = {}
        self._said = False
        self._named = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen to the module."""
        if stage == "fit":
            self._metrics = {part: OutputDiversity(self._sample_size, trainer.global_rank) for part in self._waiting}
            self._shapes.clear()
            for waiting in self._waiting.values():
                waiting.clear()  # of a fit that was broken off
            self._finder.attach(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was."""
        self._finder.detach()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take the batch's outputs."""
        self._take("train", outputs, batch)

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
        if trainer.state.fn == "fit" and not trainer.sanity_checking and dataloader_idx == 0:
            self._take("val", outputs, batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figures."""
        self._log("train", trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's figures."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._log("val", trainer)

    def _take(self, part: Part, outputs: Any, batch: Any) -> None:
        found = self._finder.take(outputs, batch)
        if found is None or self._shapes.setdefault(part, found[1].shape[1:]) != found[1].shape[1:]:
            return self._say_once(part)
        if not self._named:
            self._named = True
            log.info("OutputDiversityMonitor takes %s for the predictions", self._finder.source)
        waiting = self._waiting[part]
        waiting.append((_own_copy(found[0]), _own_copy(found[1])))
        samples = sum(len(targets) for _, targets in waiting)
        if samples >= CHUNK or samples * waiting[0][1][0].numel() >= MOST_NUMBERS:
            self._measure(part)
        return None

    def _measure(self, part: Part) -> None:
        """Hand over what has waited."""
        waiting = self._waiting[part]
        if waiting:
            predictions, targets = zip(*waiting, strict=True)
            self._metrics[part].update(torch.cat(predictions), torch.cat(targets))
            waiting.clear()

    def _say_once(self, part: Part) -> None:
        if self._said:
            return
        self._said = True
        log.warning(
            "OutputDiversityMonitor found no targets, or no predictions of their shape, in a %s batch, so it leaves "
            "such batches out. Return {'loss': loss, 'predictions': y_hat, 'targets': y} from the step, or, where "
            "batches are (x, y), point it to them with OutputDiversityMonitor(predictions='name_of_submodule').",
            part,
        )

    def _log(self, part: Part, trainer: Trainer) -> None:
        self._measure(part)
        self._shapes.pop(part, None)
        metric = self._metrics[part]
        if not metric.update_called:
            return
        report = metric.compute()
        metric.reset()
        figures = _figures(report, part)
        log_figures(trainer, figures, last_step(trainer))
        tell_callbacks(trainer, figures)
        distances = report.distances[report.distances.isfinite()]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and distances.numel():
                logger.experiment.add_histogram(f"diversity/distance_{part}", distances, trainer.global_step)


def _own_copy(outputs: Tensor) -> Tensor:
    """A copy, since loaders and steps may write into their tensors again, of a bounded number of outputs."""
    flat = outputs.detach().reshape(len(outputs), -1)
    if flat.shape[1] <= MOST_OUTPUTS:
        return flat.clone()
    chosen = torch.linspace(0, flat.shape[1] - 1, MOST_OUTPUTS, device=flat.device).long()
    return flat[:, chosen]


def _figures(report: DiversityReport, part: Part) -> dict[str, float]:
    figures = {
        "ratio": report.diversity.ratio,
        "minimum": report.diversity.minimum,
        "flat_share": report.diversity.flat_share,
        "clock_share": report.diversity.clock_share,
        "duplicates": report.duplicates,
    }
    return {f"diversity/{name}_{part}": value for name, value in figures.items()}
