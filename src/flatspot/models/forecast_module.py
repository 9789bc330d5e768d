"""What every forecaster shares, whatever its network: loss, errors in original units, scaling, optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypedDict

from jaxtyping import Float
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from flatspot.models.losses import LOSSES
from flatspot.models.optimizers import check_optimizer, configure
from flatspot.nn.scaling import Scaling
from flatspot.probes.errors import ForecastErrors
from flatspot.probes.mean import WeightedMean

Batch = Sequence[Tensor]  # a tuple from our loaders, a list from torch's default collation


class Training(TypedDict, total=False):
    """How a forecaster is trained: what `ForecastModule` takes beside the sizes."""

    loss: str
    optimizer: str
    lr: float
    weight_decay: float
    momentum: float | None
    scheduler: str


class ForecastModule(LightningModule, ABC):
    """Trains and tests a network that forecasts the steps after a window.

    A subclass builds its network in its constructor, from plain values that `save_hyperparameters` keeps, and says in
    `forward` what it forecasts. What it adds to the constructor's arguments are the `model.` keys of its configuration.

    Args:
        inputs: channels of the window. targets: channels predicted. horizon: steps predicted.
        loss: `mse`, `mae` or `huber`, in scaled units.
        optimizer: `adam`, `adamw`, `sgd` or `rmsprop`. lr: its learning rate. weight_decay: its decay.
        momentum: for `sgd` and `rmsprop`.
        scheduler: `none`, `cosine` or `plateau`.

    Raises:
        BadInput: naming the value that cannot be used.
    """

    def __init__(
        self,
        *,
        inputs: int = 1,
        targets: int = 1,
        horizon: int = 1,
        loss: str = "mse",
        optimizer: str = "adamw",
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float | None = None,
        scheduler: str = "none",
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        check_optimizer(optimizer, scheduler, lr=lr, weight_decay=weight_decay, momentum=momentum)
        self.loss = LOSSES[loss]
        self.input_scaling = Scaling(inputs)
        self.target_scaling = Scaling(targets)
        self.val_errors, self.test_errors = ForecastErrors(), ForecastErrors()
        self.val_loss, self.test_loss = WeightedMean(), WeightedMean()

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch horizon target"]:
        """Forecasts in scaled units, from windows in scaled units."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch."""
        x, y = batch
        loss = self.loss(self(x), y)
        self.log("loss/train", loss, on_step=False, on_epoch=True, batch_size=len(x), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a validation batch into the loss and the errors."""
        self._evaluate(batch, self.val_loss, self.val_errors)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Take a test batch into the loss and the errors."""
        self._evaluate(batch, self.test_loss, self.test_errors)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Forecasts in scaled units."""
        predictions: Tensor = self(batch[0])
        return predictions

    def on_validation_epoch_end(self) -> None:
        """Log the loss, and the errors in original units."""
        self._log_evaluation("val", self.val_loss, self.val_errors)

    def on_test_epoch_end(self) -> None:
        """Log the loss, and the errors in original units."""
        self._log_evaluation("test", self.test_loss, self.test_errors)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer and schedule that the hyperparameters name."""
        keys = ("optimizer", "lr", "weight_decay", "momentum", "scheduler")
        chosen: dict[str, Any] = {key: self.hparams[key] for key in keys}
        return configure(self.parameters(), epochs=self.trainer.max_epochs or 1, **chosen)

    def _evaluate(self, batch: Batch, mean_loss: WeightedMean, errors: ForecastErrors) -> None:
        x, y = batch
        predictions = self(x)
        errors.update(predictions, y)
        mean_loss.update(self.loss(predictions, y), weight=len(x))

    def _log_evaluation(self, part: str, mean_loss: WeightedMean, errors: ForecastErrors) -> None:
        measured = asdict(errors.errors(self.target_scaling.scale))
        figures = {f"error/{name}_{part}": value for name, value in measured.items()}
        # sync_dist: the metrics have already gathered all processes; it only tells Lightning so.
        self.log_dict({f"loss/{part}": mean_loss.compute(), **figures}, sync_dist=True)
        errors.reset()
        mean_loss.reset()
