"""The models by name: what `model=` may say."""

from collections.abc import Mapping
from typing import Any, Final

from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.regressor import Regressor
from flatspot.registry import Registry

MODELS: Final[Registry[type[Any]]] = Registry(
    "model",
    {"forecaster": Forecaster, "regressor": Regressor, "classifier": Classifier},
    extensions="flatspot.models",
    of=type,
)

SIZED: Final = ("cell", "activation", "num_layers", "hidden_size", "bidirectional")
"""Settings of a network that say what it is."""


def called(name: str, settings: Mapping[str, Any]) -> str:
    """What a model is called in a table: what it is made of, where its settings say so.

    Args:
        name: as in `model=`. settings: of its constructor, or of the `model` keys.

    >>> made = {"cell": "gru", "activation": "tanh", "num_layers": 2, "hidden_size": 8, "bidirectional": False}
    >>> called("forecaster", made), called("last_values", {"last": 3})
    ('gru (tanh, 2 × 8 units)', 'last_values')
    """
    if any(key not in settings for key in SIZED):
        return name
    layers = f"{settings['num_layers']} × " if settings["num_layers"] > 1 else ""
    both = "bidirectional " if settings["bidirectional"] else ""
    return f"{both}{settings['cell']} ({settings['activation']}, {layers}{settings['hidden_size']} units)"
