"""One thorough look at a network: every probe that is cheap enough for a fit, by the names of evidence."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

from torch import Tensor

from flatspot.errors import reason
from flatspot.monitors.activation import activation_figures, gate_figures
from flatspot.monitors.subject import Subject
from flatspot.probes.activations import unit_reports
from flatspot.probes.diversity import duplicate_share, output_diversity
from flatspot.probes.fitting import Reader
from flatspot.probes.moments import moments
from flatspot.probes.sensitivity import loss_gradient, sensitivity, sensitivity_shape
from flatspot.probes.stations import first_loss, stations
from flatspot.probes.undisturbed import undisturbed

MANY: Final = 64
"""Samples that are followed from station to station."""

FEW: Final = 16
"""Samples whose gates are computed: their values are many."""

DIFFERENTIATED: Final = 32
"""Samples whose outputs are differentiated, once each: as much as a training step of a small batch."""


@final
@dataclass
class Look:
    """What was seen at one time.

    Args:
        values: numbers by name. curves: several numbers by name. stations: names, from input to output.
        outputs, targets: of the sample, `[sample, output]`; first_target: where the first target's steps are among
            them, where these are numbers that all are kept. unmeasured: what could not be measured, and why.
    """

    values: dict[str, float] = field(default_factory=dict)
    curves: dict[str, list[float]] = field(default_factory=dict)
    stations: list[str] = field(default_factory=list)
    outputs: Tensor | None = None
    targets: Tensor | None = None
    first_target: slice | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """What later pictures are drawn from, as plain values: all but the outputs, which only the last one shows."""
        return {name: getattr(self, name) for name in ("values", "curves", "stations", "unmeasured")}


def look(subject: Subject, *, layers: bool) -> Look:
    """Look at a network. It is left as it was. What cannot be measured is told, and the rest is measured.

    Args:
        layers: at its gates and units too.
    """
    seen = Look()
    probes: dict[str, Callable[[Subject, Look], None]] = {
        "the outputs": _outputs,
        "the stations": _stations,
        "the sensitivity": _sensitivity,
        "the gradient by time step": _gradient,
    }
    if layers:
        probes["the layers"] = _layers
    for name, probe in probes.items():
        try:
            probe(subject, seen)
        except Exception as error:  # noqa: BLE001 - a stranger's module may refuse any one of them
            seen.unmeasured[name] = reason(error)
    return seen


def look_at_data(subject: Subject) -> dict[str, float]:
    """How far inputs and targets are from mean 0 and standard deviation 1, over the sample; they stay as they are."""
    figures: dict[str, float] = {"sample/size": len(subject.y)}
    for name, values in (("input", subject.x), ("target", subject.y)):
        if values.is_floating_point() and values.dim() and values.numel():
            rows = values.reshape(-1, values.shape[-1]) if values.dim() > 2 else values.reshape(-1, 1)
            found = moments(rows)
            figures |= {
                f"{name}/largest_mean": found.mean.abs().max().item(),
                f"{name}/smallest_std": found.std.min().item(),
                f"{name}/largest_std": found.std.max().item(),
            }
    return figures


def _outputs(subject: Subject, seen: Look) -> None:
    with undisturbed(subject.part):
        seen.outputs, seen.targets = subject.outputs()
    if subject.fit.kind == "numbers" and seen.targets.shape[1] == subject.y[0].numel():
        seen.first_target = slice(None, None, subject.y.shape[2] if subject.y.dim() == 3 else 1)
    diversity = output_diversity(seen.outputs, seen.targets)
    seen.values |= {f"diversity/{name}_sample": value for name, value in diversity._asdict().items()}
    spread = moments(seen.targets).std
    unit = spread.where(spread > 0, 1.0).to(seen.outputs)
    seen.values["diversity/duplicates_sample"] = duplicate_share(seen.outputs, unit)


def _stations(subject: Subject, seen: Look) -> None:
    targets = subject.y[:MANY] if subject.fit.kind == "numbers" else None
    found = stations(subject.part, subject.x[:MANY], targets=targets, ask=subject.ask)
    seen.stations = [each.name for each in found]
    seen.curves["station/spread"] = [each.spread for each in found]
    seen.curves["station/effective_rank"] = [each.effective_rank for each in found]
    for each in found:
        seen.values[f"station/{each.name}/spread"] = each.spread
        seen.values[f"station/{each.name}/effective_rank"] = each.effective_rank
    lost = first_loss(found)
    seen.values["station/lost"] = float("nan") if lost is None else seen.stations.index(lost)


def _sensitivity(subject: Subject, seen: Look) -> None:
    if not _are_sequences(subject.x):
        seen.unmeasured["the sensitivity"] = f"inputs of type {subject.x.dtype} and shape {tuple(subject.x.shape)}"
        return
    curve = sensitivity(subject.part, subject.x[:DIFFERENTIATED], ask=subject.ask, draws=1)
    shape = sensitivity_shape(curve)
    seen.curves["sensitivity/by_step"] = curve.tolist()
    seen.values |= {f"sensitivity/{name}": value for name, value in shape._asdict().items()}


def _gradient(subject: Subject, seen: Look) -> None:
    """Of the squared error, of classes that of their probabilities: what the fit's own loss is need not be known."""
    if not _are_sequences(subject.x):
        return  # said of the sensitivity

    def loss(predictions: Tensor) -> Tensor:
        said, true = Reader().read(predictions, subject.y[:DIFFERENTIATED], subject.fit)
        return (said - true).square().mean(dim=1)

    curve = loss_gradient(subject.part, subject.x[:DIFFERENTIATED], loss, ask=subject.ask)
    seen.curves["loss_gradient/by_step"] = curve.tolist()


def _are_sequences(x: Tensor) -> bool:
    return x.is_floating_point() and 2 <= x.dim() <= 3


def _layers(subject: Subject, seen: Look) -> None:
    reports = unit_reports(subject.part, subject.x[:FEW], ask=subject.ask)
    seen.values |= activation_figures(reports) | gate_figures(reports)


def figures_of(seen: Look) -> Mapping[str, float]:
    """What loggers are told."""
    return {name: value for name, value in seen.values.items() if name == "sensitivity/half_life"}
