"""flatspot says when, where and why a recurrent network's outputs go flat, and what to do about it."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from flatspot.diagnosis import Diagnosis, Finding
    from flatspot.examination.examine import Report, examine
    from flatspot.models.classifier import Classifier
    from flatspot.models.forecaster import Forecaster
    from flatspot.models.regressor import Regressor
    from flatspot.run import Run, load

__all__ = ["Classifier", "Diagnosis", "Finding", "Forecaster", "Regressor", "Report", "Run", "examine", "load"]

# Imported on first use: `import flatspot` stays cheap, and the doctor never pays for torch.
_HOMES: Final = {
    "Diagnosis": "flatspot.diagnosis",
    "Finding": "flatspot.diagnosis",
    "Classifier": "flatspot.models.classifier",
    "Forecaster": "flatspot.models.forecaster",
    "Regressor": "flatspot.models.regressor",
    "Report": "flatspot.examination.examine",
    "Run": "flatspot.run",
    "examine": "flatspot.examination.examine",
    "load": "flatspot.run",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("flatspot")
    if name not in _HOMES:
        raise AttributeError(f"module 'flatspot' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
