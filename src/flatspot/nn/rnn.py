"""The plain recurrent network of Elman (1990)."""

from functools import partial
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flatspot.nn.cell import Cell, Elementwise, Norm


def step(
    from_input: Tensor,
    from_state: Tensor,
    state: tuple[Tensor, ...],  # noqa: ARG001 - all of it is in from_state
    activation: Elementwise,
    norm: Norm,
) -> tuple[Tensor, ...]:
    """To h' = f(W_ih x + b_ih + W_hh h + b_hh)."""
    return (activation(norm(from_input + from_state, 0)),)


RNN: Final = Cell(
    step, gates=1, native=((torch.tanh, nn.RNN), (F.relu, partial(nn.RNN, nonlinearity="relu"))), candidate=0
)
