"""Examine any model: evidence by probes and by short experiments on copies, judged by the rules."""

import copy
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import nn
from torch.optim import Optimizer
from tqdm import tqdm

from flatspot.diagnosis import Diagnosis, Finding, Verdict, asides
from flatspot.errors import BadInput, reason
from flatspot.examination.gathering import ALWAYS, EXPERIMENTS, MOST_VAL, WHERE_ILL, Gathered, gather
from flatspot.examination.patient import LossOf, Patient
from flatspot.examination.samples import Batch, samples_of
from flatspot.report.diagnosis import told
from flatspot.report.page import page
from flatspot.rules import diagnose

MOST_TRAIN: Final = 2048
"""Training samples that are read, spread evenly over the data."""

STAGES: Final = len(ALWAYS) + len(WHERE_ILL) + len(EXPERIMENTS)
"""Measurements of a model with which something is wrong."""


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
        return told(self._diagnosis, self.evidence, self.notes)

    def to_json(self) -> str:
        """The same for programs."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)

    def to_html(self, path: str | PathLike[str]) -> None:
        """Write the same as one page that needs nothing else: with each cause's page and all numbers, folded up.

        Raises:
            BadInput: it cannot be written there.
        """
        try:
            Path(path).write_text(page(self._diagnosis, self.evidence, self.notes), encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{path}: cannot be written: {error.strerror}") from error

    @property
    def _diagnosis(self) -> Diagnosis:
        return Diagnosis(self.verdict, self.findings, self.not_examined)


def examine(
    model: nn.Module,
    *,
    train: Iterable[Any],
    val: Iterable[Any],
    loss: LossOf | None = None,
    optimizer: Optimizer | None = None,
    batch: Batch | None = None,
    make_model: Callable[[], nn.Module] | None = None,
    device: torch.device | str | None = None,
    budget: float = math.inf,
    seed: int = 0,
) -> Report:
    """Say whether, where and why a model's outputs are nearly the same for every input, and what to try.

    The model, its mode and gradients, the optimizer, the loaders and all random states stay as they are: experiments
    are made on copies, and data are read through a fresh loader over the given loader's dataset. On a terminal, what
    takes longer than two seconds shows how far it is.

    Args:
        model: any module. train, val: loaders (or lists) of batches `(x, y)`; x may be a tensor, a packed sequence, or
            a tuple or dict of them, as arguments or as the one argument that `forward` takes.
        loss: of (predictions, targets). optimizer: as it is used; both are needed for what is tried on copies.
        batch: from a batch to `(x, y)`, where batches are others. make_model: gives fresh copies: without it, what
            needs fresh weights is not examined.
        device: where to examine a copy of the model; None: the model itself, where it is.
        budget: seconds after which no further measurement is begun.
        seed: of what the experiments draw: the batches' order, fresh weights, dropout.

    Raises:
        BadInput: where there is nothing to examine: no batch, outputs that do not fit the targets, or a model that
            cannot be copied to the device; and for what is no model, loss, optimizer or function.

    >>> x = torch.randn(200, 8, 1)
    >>> loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, x.mean(dim=1)), batch_size=50)
    >>> examine(nn.Sequential(nn.Flatten(), nn.Linear(8, 1)), train=loader, val=loader).verdict == "unknown"
    False
    """
    _check(model, loss, optimizer, make_model)
    if device is not None:
        model, optimizer = _copied(model, optimizer, device)
    where = next((each.device for each in model.parameters()), torch.device("cpu"))
    seen = samples_of(train, batch, MOST_TRAIN).moved(where)
    held_out = samples_of(val, batch, MOST_VAL).moved(where)
    patient = Patient(model, seen, held_out, loss, optimizer, make_model, seed)
    with tqdm(total=STAGES, desc="examining", leave=False, delay=2, disable=None) as bar:
        found = gather(patient, budget, tell=partial(_moved_on, bar))
    return report_of(found, tuple(dict.fromkeys((*seen.notes, *held_out.notes))))


def _check(model: object, loss: object, optimizer: object, make_model: object) -> None:
    """Refuse at the door what would only be "not examined" further in."""
    if not isinstance(model, nn.Module):
        raise BadInput(f"model={model!r:.60}: is no torch.nn.Module")
    if loss is not None and not callable(loss):
        raise BadInput(f"loss={loss!r:.60}: cannot be called with predictions and targets, as nn.MSELoss() can")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise BadInput(f"optimizer={optimizer!r:.60}: is no torch.optim.Optimizer; give the one that was used")
    if make_model is not None and (isinstance(make_model, nn.Module) or not callable(make_model)):
        raise BadInput(
            f"make_model={type(make_model).__name__}: must be a function that gives a fresh model, as the class"
        )


def _copied(
    model: nn.Module, optimizer: Optimizer | None, device: torch.device | str
) -> tuple[nn.Module, Optimizer | None]:
    """Both as copies that belong together, the model on the device."""
    try:
        ours, theirs = copy.deepcopy((model, optimizer))
        for mine, yours in zip(ours.parameters(), model.parameters(), strict=True):
            mine.grad = None if yours.grad is None else yours.grad.detach().clone()
        return ours.to(device), theirs
    except Exception as error:
        raise BadInput(f"the model cannot be copied to {device}: {reason(error)}") from error


def _moved_on(bar: "tqdm[Any]", name: str) -> None:
    bar.set_postfix_str(name, refresh=False)
    bar.update()


def report_of(seen: Gathered, notes: tuple[str, ...] = ()) -> Report:
    """What the rules make of the evidence."""
    found = diagnose(seen.figures, seen.unmeasured, seen.names)
    target = seen.names.get("targets/name")
    about = (f"the targets are {target!r} of each batch",) if target else ()
    told = (*notes, *about, *asides(seen.figures))
    return Report(found.verdict, found.findings, found.not_examined or {}, seen.figures, told)


__all__ = ["BadInput", "Report", "examine", "report_of"]
