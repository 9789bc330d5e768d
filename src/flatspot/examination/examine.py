"""Examine any model: evidence by probes and by short experiments on copies, judged by the rules."""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from flatspot.diagnosis import Diagnosis, Finding, Verdict
from flatspot.errors import BadInput
from flatspot.examination.gathering import Gathered, gather
from flatspot.examination.patient import LossOf, Patient
from flatspot.examination.samples import Batch, samples_of
from flatspot.report.diagnosis import told
from flatspot.rules import diagnose

MOST_TRAIN: Final = 2048
"""Training samples that are read, spread evenly over the data."""

MOST_VAL: Final = 1024
"""Held-out samples that are read."""


@final
@dataclass(frozen=True)
class Report:
    """What an examination found.

    Args:
        verdict: in a word. findings: the most likely cause first. not_examined: what could not be measured, and why.
        evidence: all numbers by name. notes: what was noticed on the way.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    not_examined: Mapping[str, str]
    evidence: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The verdict first, then each finding: what was seen, what it means, what to try."""
        return told(Diagnosis(self.verdict, self.findings, self.not_examined), self.evidence, self.notes)

    def to_json(self) -> str:
        """The same for programs."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)


def examine(
    model: nn.Module,
    *,
    train: Iterable[Any],
    val: Iterable[Any],
    loss: LossOf | None = None,
    optimizer: Optimizer | None = None,
    batch: Batch | None = None,
    make_model: Callable[[], nn.Module] | None = None,
    budget: float = math.inf,
) -> Report:
    """Say whether, where and why a model's outputs are nearly the same for every input, and what to try.

    The model, its mode and gradients, the optimizer, the loaders and all random states stay as they are: experiments
    are made on copies, and data are read through a fresh loader over the given loader's dataset.

    Args:
        model: any module. train, val: loaders (or lists) of batches `(x, y)`; x may be a tuple or a dict of arguments.
        loss: of (predictions, targets). optimizer: as it is used; both are needed for what is tried on copies.
        batch: from a batch to `(x, y)`, where batches are others. make_model: gives fresh copies: without it, what
            needs fresh weights is not examined.
        budget: seconds after which no further measurement is begun.

    Raises:
        BadInput: where there is nothing to examine: no batch, or outputs that do not fit the targets.

    >>> x = torch.randn(200, 8, 1)
    >>> loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.mean(dim=1)), batch_size=50)
    >>> examine(nn.Sequential(nn.Flatten(), nn.Linear(8, 1)), train=loader, val=loader).verdict == "unknown"
    False
    """
    device = next((each.device for each in model.parameters()), torch.device("cpu"))
    seen = samples_of(train, batch, MOST_TRAIN).moved(device)
    held_out = samples_of(val, batch, MOST_VAL).moved(device)
    patient = Patient(model, seen, held_out, loss, optimizer, make_model)
    return report_of(gather(patient, budget), tuple(dict.fromkeys((*seen.notes, *held_out.notes))))


def report_of(seen: Gathered, notes: tuple[str, ...] = ()) -> Report:
    """What the rules make of the evidence."""
    found = diagnose(seen.figures, seen.unmeasured)
    return Report(found.verdict, found.findings, found.not_examined or {}, seen.figures, notes)


__all__ = ["BadInput", "Report", "examine", "report_of"]
