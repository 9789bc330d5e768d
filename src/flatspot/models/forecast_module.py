"""What every model of numbers shares, whatever its network: errors in original units, scaling of the targets."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from flatspot.models.losses import loss_of_numbers
from flatspot.models.sequence_module import Batch, Part, SequenceModule, Training
from flatspot.nn.scaling import Scaling
from flatspot.probes.errors import ForecastErrors
from flatspot.probes.moments import widest


class ForecastModule(SequenceModule):
    """Trains and tests a network that forecasts the steps after a window.

    Batches are `(x, y)`: x `[batch, time, feature]`, y `[batch, horizon, target]`, in scaled units. Where the targets
    are scaled by series, a third part has the number of each sample's series, `[batch]`.

    A subclass builds its network in its constructor, from plain values that `save_hyperparameters` keeps, and says in
    `forward` what it forecasts. What it adds to the constructor's arguments are the `model.` keys of its configuration.

    Args:
        inputs: channels of the window. targets: channels predicted. horizon: steps predicted.
        loss: `mse`, `mae` or `huber`, in scaled units.
        training: the optimizer, its rates and its schedule, as `SequenceModule` has them.

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
        **training: Unpack[Training],
    ) -> None:
        super().__init__(inputs=inputs, loss=loss, **training)
        self.loss = loss_of_numbers(loss)
        self.target_scaling = Scaling(targets)
        self.val_errors, self.test_errors = ForecastErrors(), ForecastErrors()
        self._units_on_device: Tensor | None = None

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch horizon target"]:
        """Forecasts in scaled units, from windows in scaled units."""

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Forecasts in scaled units."""
        predictions: Tensor = self(batch[0])
        return predictions

    def measure(self, part: Part, predictions: Tensor, batch: Batch) -> None:
        """Take an evaluation batch into the errors."""
        self._errors(part).update(predictions, batch[1], self._units(batch))

    def measured(self, part: Part) -> Mapping[str, float]:
        """The errors in original units."""
        errors, scaling = self._errors(part), self.target_scaling
        found = errors.errors(None if scaling.per_series else scaling.scale)
        errors.reset()
        self._units_on_device = None
        return asdict(found)

    def _errors(self, part: Part) -> ForecastErrors:
        return self.val_errors if part == "val" else self.test_errors

    def _units(self, batch: Batch) -> Float[Tensor, "2 sample target"] | None:
        """The mean and scale of each sample's targets, where each series has its own."""
        if not self.target_scaling.per_series:
            return None
        if len(batch) < 3:
            raise ValueError("the targets are scaled by series: a batch needs the number of each sample's series")
        _, y, series = batch
        if self._units_on_device is None:  # moved once an epoch: no batch waits for it
            self._units_on_device = self._centred_units().to(y.device, widest(y[:0]).dtype)
        return self._units_on_device[:, series]

    def _centred_units(self) -> Float[Tensor, "2 series target"]:
        """Mean and scale of the series. No error depends on a level that all share, and float32 would blur it."""
        mean, scale = self.target_scaling.mean, self.target_scaling.scale
        return torch.stack([mean - mean.mean(dim=0), scale])
