"""The gated recurrent unit (Cho et al. 2014), in torch's form: the reset gate acts after the product."""

from typing import Final

import torch
from torch import Tensor, nn

from flatspot.nn.cell import Cell, Elementwise, Norm


def step(
    from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...], activation: Elementwise, norm: Norm
) -> tuple[Tensor, ...]:
    """To h' = (1 - z) n + z h, with the candidate n = f(W_in x + b_in + r (W_hn h + b_hn))."""
    x_r, x_z, x_n = from_input.chunk(3, dim=-1)
    h_r, h_z, h_n = from_state.chunk(3, dim=-1)
    reset = norm(x_r + h_r, 0).sigmoid()
    update = norm(x_z + h_z, 1).sigmoid()
    candidate = activation(norm(x_n + reset * h_n, 2))
    return (candidate + update * (state[0] - candidate),)


GRU: Final = Cell(step, gates=3, native=((torch.tanh, nn.GRU),), candidate=2, keep=1)
