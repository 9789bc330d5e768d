"""The layer that runs a cell with an activation: torch.nn's own where it does what is asked, else the scan."""

from torch import nn

from flatspot.activations import Activation
from flatspot.nn.cell import Cell
from flatspot.nn.scan import Scan


def build_layer(
    cell: Cell,
    activation: Activation,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    *,
    dropout: float = 0.0,
    bidirectional: bool = False,
    layer_norm: bool = False,
    residual: bool = False,
) -> nn.RNNBase | Scan:
    """Stacked recurrent layers, batch first, that really run the activation. See `Scan` for the arguments."""
    sizes = (input_size, hidden_size, num_layers)
    native = next((build for function, build in cell.native if function is activation.function), None)
    if native is not None and not (layer_norm or residual):
        return native(*sizes, batch_first=True, dropout=dropout, bidirectional=bidirectional)
    return Scan(
        cell,
        activation.function,
        *sizes,
        dropout=dropout,
        bidirectional=bidirectional,
        layer_norm=layer_norm,
        residual=residual,
    )
