"""Long short-term memory (Hochreiter & Schmidhuber 1997) with the forget gate of Gers et al. (2000)."""

from typing import Final

import torch
from torch import Tensor, nn

from flatspot.nn.cell import Cell, Elementwise, Norm


def step(
    from_input: Tensor, from_state: Tensor, state: tuple[Tensor, ...], activation: Elementwise, norm: Norm
) -> tuple[Tensor, ...]:
    """To c' = f c + i a(g) and h' = o a(c'): the activation a is the candidate's and the output's."""
    i, f, g, o = (norm(gate, number) for number, gate in enumerate((from_input + from_state).chunk(4, dim=-1)))
    c = f.sigmoid() * state[1] + i.sigmoid() * activation(g)
    return o.sigmoid() * activation(c), c


LSTM: Final = Cell(step, gates=4, states=2, native=((torch.tanh, nn.LSTM),), candidate=2, keep=1, write=0)
