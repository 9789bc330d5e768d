"""The models by name: what `model=` may say."""

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
