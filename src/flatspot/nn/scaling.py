"""Scaling that travels with the weights: a checkpoint needs no pickled estimator."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn


@final
class Scaling(nn.Module):
    """A shift and a stretch per channel: `(x - mean) / scale`, and back. The identity until `set` is called.

    Works on the host in float64, whatever the model's device and precision: a mean of 1e9 with a std of 1 has
    to come back to the unit, and MPS has no float64. Hence an extra state of the module and no buffer, which
    `.to()`, `.half()` and DDP would move, cast and broadcast. See docs/decisions/0003-scaling.md.

    >>> scaling = Scaling(1)
    >>> scaling.set([50.0], [10.0])
    >>> scaling(torch.tensor([[70.0]]))
    tensor([[2.]])
    >>> scaling.inverse(torch.tensor([[2.0]]))
    tensor([[70.]], dtype=torch.float64)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._mean_and_scale = torch.tensor([[0.0] * channels, [1.0] * channels], dtype=torch.float64)

    @property
    def mean(self) -> Float[Tensor, " channel"]:
        """What is taken away, in original units."""
        return self._mean_and_scale[0]

    @property
    def scale(self) -> Float[Tensor, " channel"]:
        """What is divided by: original units per unit of the network."""
        return self._mean_and_scale[1]

    def set(self, mean: Sequence[float], scale: Sequence[float]) -> None:
        """Take the mean and scale that were fitted on the training rows.

        Raises:
            ValueError: if their length is not the number of channels.
        """
        given = torch.tensor([list(mean), list(scale)], dtype=torch.float64)
        if given.shape != self._mean_and_scale.shape:
            raise ValueError(f"scaling of {self.mean.numel()} channels was given {given.shape[1]}")
        self._mean_and_scale = given

    def forward(self, x: Float[Tensor, "*batch channel"]) -> Float[Tensor, "*batch channel"]:
        """From original units to the network's, on the host, in float32."""
        return ((x.to("cpu", torch.float64) - self.mean) / self.scale).float()

    def inverse(self, x: Float[Tensor, "*batch channel"]) -> Float[Tensor, "*batch channel"]:
        """From the network's units to the original ones, on the host, in float64."""
        return x.to("cpu").double() * self.scale + self.mean

    def get_extra_state(self) -> Tensor:
        """What a checkpoint keeps: mean and scale, `[2, channel]`."""
        return self._mean_and_scale

    def set_extra_state(self, state: Tensor) -> None:
        """Restore from a checkpoint."""
        self.set(*state.tolist())
