"""Moments that merge exactly: (n, mean, M2), across batches and across processes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Moments(NamedTuple):
    """Size, mean and sum of squared deviations of each output over the samples seen.

    Kept this way because a mean of standard deviations is no standard deviation, and because Σx² - (Σx)²/n
    gives a variance of 128 for numbers of mean 1e9 and std 1.
    """

    size: Float[Tensor, ""]
    mean: Float[Tensor, " output"]
    m2: Float[Tensor, " output"]

    @property
    def variance(self) -> Float[Tensor, " output"]:
        """The population variance; 0 of one sample, NaN of none."""
        return self.m2 / self.size

    @property
    def std(self) -> Float[Tensor, " output"]:
        """The population standard deviation."""
        return self.variance.sqrt()


def widest(x: Tensor) -> Tensor:
    """The tensor in float64, or in float32 where the device has no float64 (MPS)."""
    return x.to(torch.float32 if x.device.type == "mps" else torch.float64)


def moments(samples: Float[Tensor, "sample *output"]) -> Moments:
    """The moments over the first dimension, the others flattened. Two passes over the samples.

    >>> m = moments(torch.tensor([[1.0], [3.0]]))
    >>> m.mean.item(), m.std.item()
    (2.0, 1.0)
    """
    flat = widest(samples.detach()).flatten(1) if samples.dim() > 1 else widest(samples.detach()).unsqueeze(1)
    size = flat.new_full((), len(flat))  # filled on the device: nothing is copied to it
    mean = flat.mean(dim=0) if len(flat) else flat.new_zeros(flat.shape[1])
    return Moments(size, mean, (flat - mean).square().sum(dim=0))


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets of samples together (Chan, Golub & LeVeque 1979)."""
    size = a.size + b.size
    share = b.size / size.clamp(min=1)
    gap = b.mean - a.mean
    return Moments(size, a.mean + gap * share, a.m2 + b.m2 + gap.square() * a.size * share)
