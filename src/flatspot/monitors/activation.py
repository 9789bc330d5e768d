"""Log what a network's units and gates do: how many are at their rails, and how many never move."""

import logging
import math
from collections.abc import Mapping
from typing import Any, Final, final

from lightning import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from torch.optim import Optimizer

from flatspot.errors import BadInput, reason
from flatspot.monitors.publishing import (
    last_step,
    log_figures,
    log_histogram,
    log_picture,
    takes_pictures,
    tell_callbacks,
)
from flatspot.monitors.subject import Subject, Watch
from flatspot.probes.activations import UnitReport, unit_reports
from flatspot.report.curves import gate_shares

Shares = dict[str, tuple[float, float]]
"""By layer and gate: the share of values at which it is shut, and open."""

UNREAD: Final = (
    "ActivationMonitor found nothing to look at: no recurrent layer of torch.nn (or derived from one), no layer that "
    "returns a sequence and a state, no activation that is a module."
)

log = logging.getLogger(__name__)


@final
class ActivationMonitor(Callback):
    """Logs saturated and dead units of recurrent layers and activations, for any LightningModule and Trainer.

    Before the first step, after the steps `first`, 2·`first`, 4·`first`, ... and after the last one it looks at one
    fixed sample of the validation data (else of the training data). Loggers get `activation/<layer>_saturated`, the
    share of values at a rail, `activation/<layer>_dead`, the share of units that are the same for every sample and
    step, and `activation/<layer>_horizon`, the steps that the median unit keeps what it has; the histograms
    `activation/<layer>/<gate>`; and as the fit ends the picture `activation/gates`. Layers are torch.nn's RNN, GRU and
    LSTM and flatspot's, each stacked layer and direction by itself, and modules such as `nn.ReLU` and `nn.Tanh`. The
    module's weights, mode, gradients and random states stay as they are.

    Args:
        predictions: the dotted name of the submodule whose output is the prediction; None: found by itself.
        sample_size: samples that are looked at. seed: of their draw.
        first: optimizer steps until the second look.

    Raises:
        BadInput: for a sample size below 1 or a `first` below 1, or (as the fit starts) a submodule that is not there.
    """

    def __init__(self, predictions: str | None = None, sample_size: int = 32, first: int = 100, seed: int = 0) -> None:
        if sample_size < 1:
            raise BadInput(f"sample_size={sample_size}: ActivationMonitor looks at samples, so at least 1")
        self._watch = Watch("ActivationMonitor", predictions, sample_size, seed, first)
        self._seen: dict[int, Shares] = {}

    def state_dict(self) -> dict[str, Any]:
        """What was seen so far, for the picture at the end of a fit that goes on."""
        return {"seen": dict(self._seen)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what was seen before the fit was broken off."""
        self._seen = dict(state_dict["seen"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the first step."""
        self._watch.start(pl_module)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Remember the first batch."""
        self._watch.batch(batch)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look before the weights move for the first time."""
        self._look(trainer, self._watch.before_step(trainer, pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look where it is due."""
        self._look(trainer, self._watch.after_batch(trainer, pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look once more, and draw."""
        self._look(trainer, self._watch.at_end(trainer))
        figure = _drawn(self._seen) if takes_pictures(trainer) else None
        if figure is not None:
            log_picture(trainer, "activation/gates", figure, last_step(trainer))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave the module as it was, and let go of what was seen."""
        self._watch.end()
        self._seen = {}

    def looked_at(self, step: int) -> bool:
        """Whether it has seen the layers as they are after so many optimizer steps."""
        return step in self._seen

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the module as it was: Lightning tears nothing down after an exception."""
        self._watch.end()

    def _look(self, trainer: Trainer, subject: Subject | None) -> None:
        if subject is None:
            return
        try:
            reports = unit_reports(subject.part, subject.x, ask=subject.ask)
        except Exception as error:  # noqa: BLE001 - a stranger's module may refuse to be asked outside of its step
            log.warning("ActivationMonitor could not look: %s", reason(error))
            self._watch.subject = None
            return
        if not reports and not self._seen:
            log.warning(UNREAD)
        step = last_step(trainer)
        self._seen[trainer.global_step] = _shares(reports)
        figures = activation_figures(reports)
        log_figures(trainer, figures, step)
        tell_callbacks(trainer, figures | gate_figures(reports))
        for name, report in reports.items():
            for gate, values in report.gates.items():
                log_histogram(trainer, f"activation/{name}/{gate}", values, step)


def activation_figures(reports: Mapping[str, UnitReport]) -> dict[str, float]:
    """The figures of each layer by their tags."""
    figures: dict[str, float] = {}
    for name, each in reports.items():
        figures[f"activation/{name}_saturated"] = each.saturated
        figures[f"activation/{name}_dead"] = each.dead
        if each.report is not None and math.isfinite(each.report.horizon.median):
            figures[f"activation/{name}_horizon"] = each.report.horizon.median
    return figures


def gate_figures(reports: Mapping[str, UnitReport]) -> dict[str, float]:
    """How much of each gate is shut, and open: for the evidence; loggers get the whole histogram."""
    found: dict[str, float] = {}
    for name, (shut, opened) in _shares(reports).items():
        tag = f"activation/{name.replace(' ', '/')}"  # as the histogram's
        found |= {f"{tag}_shut": shut, f"{tag}_open": opened}
    return found


def _shares(reports: Mapping[str, UnitReport]) -> Shares:
    """How much of each gate of each layer is shut, and open."""
    found = {name: each.report for name, each in reports.items() if each.report is not None}
    gates = ((name, report, gate) for name, report in found.items() for gate in report.shut)
    return {f"{name} {gate}": (report.shut[gate], report.open[gate]) for name, report, gate in gates}


def _drawn(seen: Mapping[int, Shares]) -> Figure | None:
    """The gates of recurrent layers at each time; None where there are none."""
    low: dict[str, dict[int, list[float]]] = {}
    high: dict[str, dict[int, list[float]]] = {}
    for step, shares in seen.items():
        for gate, (shut, opened) in shares.items():
            low.setdefault(gate, {})[step] = [shut]
            high.setdefault(gate, {})[step] = [opened]
    return gate_shares(low, high) if low else None
