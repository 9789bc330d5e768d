"""The layer that runs a cell with an activation: a drop-in of torch.nn's where it does what is asked, else the scan."""

from functools import partial
from typing import Any, Final

from torch import nn

from flatspot.activations import Activation
from flatspot.nn import gru, lstm, rnn
from flatspot.nn.cell import Cell
from flatspot.nn.engines import known_engine
from flatspot.nn.initialisation import known_scheme
from flatspot.nn.recurrent import GRU, LSTM, RNN
from flatspot.nn.scan import Scan
from flatspot.nn.zoo import ZooCell, ZooLayer

DROP_INS: Final = ((rnn.RNN, RNN), (gru.GRU, GRU), (lstm.LSTM, LSTM))
"""Cells, and the layers that run them in more ways than one."""


def build_layer(
    cell: Cell | ZooCell,
    activation: Activation,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    dropout: float = 0.0,
    bidirectional: bool = False,
    layer_norm: bool = False,
    residual: bool = False,
    engine: str = "auto",
    recurrent_init: str = "torch",
    chrono_length: int | None = None,
) -> nn.RNNBase | Scan | ZooLayer:
    """Stacked recurrent layers, batch first, that really run the activation.

    See `Scan` for the arguments, and `flatspot.nn.RNN` for `engine`.

    Raises:
        ValueError: for an engine that cannot do what is asked, or starting weights that the cell cannot have.
        BadInput: for a cell of torchrecurrent's that cannot, or is not there.
    """
    sizes = input_size, hidden_size, num_layers
    make = next((layer for known, layer in DROP_INS if known is cell), None)
    if make is not None and not (layer_norm or residual):
        layer: Any = partial(make, *sizes, batch_first=True, dropout=dropout, bidirectional=bidirectional)
        starting = {"recurrent_init": recurrent_init, "chrono_length": chrono_length}
        return layer(activation=activation.function, engine=engine, **starting)  # type: ignore[no-any-return]
    if known_engine(engine) not in {"auto", "scan"}:
        raise ValueError(f"engine={engine}: layer norm, residual layers and cells of others are run by scan alone")
    if isinstance(cell, ZooCell):
        if known_scheme(recurrent_init) not in {"auto", "torch"}:
            raise ValueError(f"recurrent_init={recurrent_init}: torchrecurrent's cells start as they start themselves")
        return ZooLayer(
            cell,
            activation,
            *sizes,
            dropout=dropout,
            bidirectional=bidirectional,
            layer_norm=layer_norm,
            residual=residual,
        )
    return Scan(
        cell,
        activation.function,
        *sizes,
        dropout=dropout,
        bidirectional=bidirectional,
        layer_norm=layer_norm,
        residual=residual,
        recurrent_init=recurrent_init,
        chrono_length=chrono_length,
    )
