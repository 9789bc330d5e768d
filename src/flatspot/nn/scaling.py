"""Scaling that travels with the weights: a checkpoint needs no pickled estimator."""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn


@final
class Scaling(nn.Module):
    """A shift and a stretch per channel: `(x - mean) / scale`, and back. The identity until `set` is called.

    One row for all, or a row for each series, as it was set: then each sample needs the number of its series.

    Works on the host in float64, whatever the model's device and precision: a mean of 1e9 with a std of 1 has
    to come back to the unit, and MPS has no float64. Hence an extra state of the module and no buffer, which
    `.to()`, `.half()` and DDP would move, cast and broadcast. See docs/decisions/0003-scaling.md.

    >>> scaling = Scaling(1)
    >>> scaling.set([50.0], [10.0])
    >>> scaling(torch.tensor([[70.0]]))
    tensor([[2.]])
    >>> scaling.inverse(torch.tensor([[2.0]]))
    tensor([[70.]], dtype=torch.float64)
    >>> scaling.set([[50.0], [0.0]], [[10.0], [1.0]])
    >>> scaling(torch.tensor([[70.0], [70.0]]), torch.tensor([0, 1]))
    tensor([[ 2.],
            [70.]])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self._rows = torch.stack([make(1, channels, dtype=torch.float64) for make in (torch.zeros, torch.ones)])

    @property
    def per_series(self) -> bool:
        """Whether each series has a row of its own."""
        return self._rows.shape[1] > 1

    @property
    def mean(self) -> Float[Tensor, "*series channel"]:
        """What is taken away, in original units: `[channel]`, or `[series, channel]`."""
        return self._rows[0] if self.per_series else self._rows[0, 0]

    @property
    def scale(self) -> Float[Tensor, "*series channel"]:
        """What is divided by: original units per unit of the network. `[channel]`, or `[series, channel]`."""
        return self._rows[1] if self.per_series else self._rows[1, 0]

    def set(
        self, mean: Sequence[float] | Sequence[Sequence[float]], scale: Sequence[float] | Sequence[Sequence[float]]
    ) -> None:
        """Take the mean and scale that were fitted on the training rows: `[channel]`, or `[series][channel]`.

        Raises:
            ValueError: if their lengths are not the number of channels, or not the same.
        """
        given = torch.tensor([list(mean), list(scale)], dtype=torch.float64)
        rows = given.unsqueeze(1) if given.dim() == 2 else given
        channels = self._rows.shape[2]
        if rows.shape[2] != channels:
            raise ValueError(f"scaling of {channels} channels was given {rows.shape[2]}")
        self._rows = rows

    def forward(
        self, x: Float[Tensor, "*any channel"], series: Int64[Tensor, " sample"] | None = None
    ) -> Float[Tensor, "*any channel"]:
        """From original units to the network's, on the host, in float32.

        Args:
            x: any shape; where each series has a row, `[sample, ..., channel]`.
            series: the number of each sample's series.

        Raises:
            ValueError: if each series has a row and `series` is missing.
        """
        mean, scale = self._of(x, series)
        return ((x.to("cpu", torch.float64) - mean) / scale).float()

    def inverse(
        self, x: Float[Tensor, "*any channel"], series: Int64[Tensor, " sample"] | None = None
    ) -> Float[Tensor, "*any channel"]:
        """From the network's units to the original ones, on the host, in float64. The arguments are `forward`'s."""
        mean, scale = self._of(x, series)
        return x.to("cpu").double() * scale + mean

    def _of(self, x: Tensor, series: Tensor | None) -> tuple[Tensor, Tensor]:
        """The mean and scale that x is reckoned by, of a shape that goes with it."""
        if not self.per_series:
            return self.mean, self.scale
        if series is None:
            raise ValueError(f"each of {self._rows.shape[1]} series is scaled by itself: whose are the samples?")
        between = (1,) * (x.dim() - 2)
        mean, scale = self._rows[:, series.to("cpu")].view(2, len(series), *between, x.shape[-1])
        return mean, scale

    def get_extra_state(self) -> Tensor:
        """What a checkpoint keeps: mean and scale, `[2, series, channel]`; one row where all share it."""
        return self._rows

    def set_extra_state(self, state: Tensor) -> None:
        """Restore from a checkpoint; `[2, channel]`, as they once were, is one row."""
        self.set(*state.tolist())
