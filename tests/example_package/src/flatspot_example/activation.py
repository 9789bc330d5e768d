"""Hard swish (Howard et al. 2019)."""

import torch
from torch.nn import functional as F

from flatspot.activations import Activation


def slope(z):
    return torch.where(z <= -3, 0.0, torch.where(z >= 3, 1.0, z / 3 + 0.5)).to(z)


HARDSWISH = Activation(F.hardswish, slope, range=(-0.375, float("inf")), gain=1.686, recurrent_gain=None)
