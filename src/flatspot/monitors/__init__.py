"""Lightning callbacks for any Trainer: when to measure and where to log, nothing else."""

from collections.abc import Callable
from typing import Final

from lightning import Callback

from flatspot.monitors.activation import ActivationMonitor
from flatspot.monitors.doctor import Doctor
from flatspot.monitors.gradient_norm import GradientNormMonitor
from flatspot.monitors.output_diversity import OutputDiversityMonitor
from flatspot.registry import Registry

__all__ = ["MONITORS", "ActivationMonitor", "Doctor", "GradientNormMonitor", "OutputDiversityMonitor"]

MONITORS: Final[Registry[Callable[..., Callback]]] = Registry(
    "monitor",
    {
        "output_diversity": OutputDiversityMonitor,
        "gradient_norm": GradientNormMonitor,
        "activation": ActivationMonitor,
        "doctor": Doctor,
    },
)
