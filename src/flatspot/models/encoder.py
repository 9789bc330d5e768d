"""The recurrent layers by name, as torch.nn has them."""

from collections.abc import Callable
from typing import Final

from torch import nn

from flatspot.activations import check_activation
from flatspot.registry import Registry

CELLS: Final[Registry[Callable[..., nn.RNNBase]]] = Registry("cell", {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM})


def build_encoder(
    cell: str, activation: str, *, inputs: int, hidden_size: int, num_layers: int, dropout: float
) -> nn.RNNBase:
    """torch.nn's layer for a cell and the activation that it shall really run, batch first.

    Raises:
        BadInput: for a cell that is not known, or an activation that the cell would ignore.
    """
    layer = CELLS[cell]
    check_activation(cell, activation)
    chosen = {"nonlinearity": activation} if cell == "rnn" else {}
    return layer(inputs, hidden_size, num_layers, batch_first=True, dropout=dropout, **chosen)
