"""The recurrent encoder by names, and what its settings must keep to."""

from torch import nn

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.nn.cells import cell_named
from flatspot.nn.layer import build_layer
from flatspot.nn.scan import Scan
from flatspot.nn.zoo import ZooLayer


def build_encoder(
    cell: str,
    activation: str,
    *,
    inputs: int,
    hidden_size: int,
    num_layers: int,
    dropout: float,
    bidirectional: bool,
    layer_norm: bool,
    residual: bool,
    recurrent_init: str,
    chrono_length: int | None,
    engine: str,
) -> nn.RNNBase | Scan | ZooLayer:
    """Stacked recurrent layers, batch first, that really run the activation. See `Scan` for the arguments.

    Raises:
        BadInput: for a name that is not known, a size that cannot be, or a setting that would do nothing.
    """
    chosen, function = cell_named(cell), ACTIVATIONS[activation]
    _check_sizes(hidden_size=hidden_size, num_layers=num_layers, dropout=dropout)
    _check_effects(hidden_size, num_layers, dropout=dropout, layer_norm=layer_norm, residual=residual)
    _check_engine(engine, layer_norm=layer_norm, residual=residual)
    try:
        return build_layer(
            chosen,
            function,
            inputs,
            hidden_size,
            num_layers,
            dropout=dropout,
            bidirectional=bidirectional,
            layer_norm=layer_norm,
            residual=residual,
            engine=engine,
            recurrent_init=recurrent_init,
            chrono_length=chrono_length,
        )
    except ValueError as error:
        raise BadInput(f"model.{error}") from error


def _check_sizes(*, hidden_size: int, num_layers: int, dropout: float) -> None:
    for name, size in {"hidden_size": hidden_size, "num_layers": num_layers}.items():
        if size < 1:
            raise BadInput(f"model.{name}={size}: must be at least 1")
    if not 0 <= dropout < 1:
        raise BadInput(f"model.dropout={dropout}: must be at least 0 and below 1")


def _check_engine(engine: str, **settings: bool) -> None:
    """Refuse an engine that cannot do what other keys ask for."""
    for name, value in settings.items():
        if value and engine in {"native", "fused"}:
            raise BadInput(f"model.engine={engine}: model.{name}=true is run by scan alone; set model.engine=auto")


def _check_effects(hidden_size: int, num_layers: int, *, dropout: float, layer_norm: bool, residual: bool) -> None:
    """Refuse a knob that would do nothing, and one that would leave nothing."""
    if num_layers == 1:
        for name, value in {"dropout": dropout, "residual": residual}.items():
            if value:
                shown = str(value).lower()
                raise BadInput(f"model.{name}={shown}: acts between stacked layers; set model.num_layers=2 or more")
    if layer_norm and hidden_size == 1:
        raise BadInput("model.layer_norm=true: one unit, normalised over itself, is 0; set model.hidden_size=2 or more")
