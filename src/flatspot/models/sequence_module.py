"""What every model of sequences shares, whatever it predicts: the loss, the steps, the optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, final

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from flatspot.models.optimizers import check_optimizer, configure
from flatspot.nn.scaling import Scaling
from flatspot.probes.mean import WeightedMean
from flatspot.probes.moments import widest
from flatspot.probes.skill import Loss

Part = Literal["val", "test"]

Batch = Sequence[Any]
"""The inputs, the targets, and what a model may need beside them: a tuple from our loaders, a list from torch's."""


class Training(TypedDict, total=False):
    """How a model is trained: what all models take beside their sizes and their loss."""

    optimizer: str
    lr: float
    weight_decay: float
    momentum: float | None
    scheduler: str


@final
class _Mean:
    """A mean over the training batches so far: a sum on the device, which no step waits for.

    `LightningModule.log` in every step is a tenth of the step of a small network.
    """

    def __init__(self) -> None:
        self.sum: Tensor | None = None
        self.count = 0

    def add(self, value: Tensor, count: int) -> None:
        """Take a batch's mean and the number of its samples."""
        weighed = widest(value.detach()) * count
        self.sum = weighed if self.sum is None else self.sum + weighed
        self.count += count

    def taken(self) -> tuple[Tensor, int] | None:
        """The mean and the samples that it is of, after which a new one begins; None: of none."""
        mean = None if self.sum is None else (self.sum / self.count, self.count)
        self.sum, self.count = None, 0
        return mean


class SequenceModule(LightningModule, ABC):
    """Trains and tests a network that predicts something of a sequence.

    A subclass builds its network and its `loss` in its constructor, from plain values that `save_hyperparameters`
    keeps, says in `forward` what it predicts, and measures what goes with that beside the loss.

    Args:
        inputs: channels of a sequence.
        loss: its name.
        optimizer: `adam`, `adamw`, `sgd` or `rmsprop`. lr: its learning rate. weight_decay: its decay.
        momentum: for `sgd` and `rmsprop`.
        scheduler: `none`, `cosine` or `plateau`.

    Raises:
        BadInput: naming the value that cannot be used.
    """

    loss: Loss

    def __init__(
        self,
        *,
        inputs: int,
        loss: str,
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float | None = None,
        scheduler: str = "none",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_optimizer(optimizer, scheduler, lr=lr, weight_decay=weight_decay, momentum=momentum)
        self.input_scaling = Scaling(inputs)
        self.val_loss, self.test_loss = WeightedMean(), WeightedMean()
        self._train_loss = _Mean()

    @abstractmethod
    def measure(self, part: Part, predictions: Tensor, batch: Batch) -> None:
        """Take an evaluation batch into what is measured beside the loss."""

    @abstractmethod
    def measured(self, part: Part) -> Mapping[str, float]:
        """What was measured since it was last asked for, by name."""

    def told(self, loss: Tensor, predictions: Tensor, targets: Tensor) -> Tensor | dict[str, Tensor]:
        """What a step returns: the loss, and beside it what a monitor could not find by itself."""
        return loss

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | dict[str, Tensor]:
        """The loss of a batch."""
        x, y = batch[:2]
        predictions = self(x)
        loss = self.loss(predictions, y)
        self._train_loss.add(loss, len(y))
        return self.told(loss, predictions.detach(), y)

    def on_train_epoch_start(self) -> None:
        """Forget what an epoch that was broken off has left."""
        self._train_loss = _Mean()

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:  # noqa: ANN401 - as Lightning's
        """With the last batch of an epoch log the mean loss: in time for callbacks that ask as the epoch ends."""
        if _ends_epoch(self.trainer, batch_idx):
            self._log_train_loss()

    def on_train_epoch_end(self) -> None:
        """Log the mean loss of an epoch whose last batch nobody foresaw."""
        self._log_train_loss()

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor | dict[str, Tensor]:
        """Take a validation batch into the loss and the errors."""
        return self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor | dict[str, Tensor]:
        """Take a test batch into the loss and the errors."""
        return self._evaluate("test", batch)

    def on_validation_epoch_end(self) -> None:
        """Log the loss and the errors."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Log the loss and the errors."""
        self._log_evaluation("test")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and schedule that the hyperparameters name."""
        keys = ("optimizer", "lr", "weight_decay", "momentum", "scheduler")
        chosen: dict[str, Any] = {key: self.hparams[key] for key in keys}
        return configure(self.parameters(), epochs=self.trainer.max_epochs or 1, **chosen)

    def _evaluate(self, part: Part, batch: Batch) -> Tensor | dict[str, Tensor]:
        x, y = batch[:2]
        predictions = self(x)
        loss = self.loss(predictions, y)
        self._mean_loss(part).update(loss, weight=len(y))
        self.measure(part, predictions, batch)
        return self.told(loss, predictions, y)

    def _log_evaluation(self, part: Part) -> None:
        mean_loss = self._mean_loss(part)
        figures = {f"error/{name}_{part}": value for name, value in self.measured(part).items()}
        # sync_dist: the metrics have already gathered all processes; it only tells Lightning so.
        self.log_dict({f"loss/{part}": mean_loss.compute(), **figures}, sync_dist=True)
        mean_loss.reset()

    def _log_train_loss(self) -> None:
        taken = self._train_loss.taken()
        if taken is not None:
            mean, count = taken
            self.log("loss/train", mean, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)

    def _mean_loss(self, part: Part) -> WeightedMean:
        return self.val_loss if part == "val" else self.test_loss


def _ends_epoch(trainer: Trainer, batch_idx: int) -> bool:
    """Whether no batch of the epoch follows this one: the data are at their end, or the trainer's limits reached."""
    if trainer.is_last_batch or trainer.should_stop or batch_idx + 1 >= trainer.num_training_batches:
        return True
    return 0 <= trainer.max_steps <= trainer.global_step
