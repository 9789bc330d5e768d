"""Examine the network of a fit that has ended, as `flatspot.examine` does; its loss and first weights are found."""

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torchmetrics import Metric

from flatspot.errors import BadInput
from flatspot.examination.gathering import Gathered, gather
from flatspot.examination.patient import NO_FRESH, NO_LOSS, LossOf, Patient
from flatspot.examination.samples import Samples, samples_of
from flatspot.monitors.predictions import unheard
from flatspot.monitors.subject import Subject, mute

MOST_TRAIN: Final = 2048
MOST_VAL: Final = 1024
"""Samples that are read."""

ALIKE: Final = 1e-4
"""Two losses that differ by less than this share are the same one: mixed precision rounds."""

OF_A_FIT: Final = {
    NO_LOSS: "the loss of the step is none that is known here; flatspot.examine(..., loss=) takes any",
    NO_FRESH: "the fit went on from a checkpoint, so what its weights began as is not known",
}
"""What is said of a fit, where `flatspot.examine` asks for something to be given."""

LOSSES: Final[tuple[LossOf, ...]] = (
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.cross_entropy,
    F.binary_cross_entropy_with_logits,
    F.binary_cross_entropy,
    F.nll_loss,
)
"""What a step may have called."""


@final
class FirstStep:
    """What the first training step shows: its loss, and the weights before any of them moved."""

    def __init__(self) -> None:
        self._loss: Tensor | None = None
        self._weights: Mapping[str, Tensor] | None = None

    def hear(self, loss: Tensor, parts: int) -> None:
        """The loss that is differentiated, the first time; of `parts` batches a step, each counts its share."""
        if self._loss is None:
            self._loss = loss.detach() * parts

    def begin(self, subject: Subject) -> None:
        """Before the first step."""
        self._weights = {name: each.detach().clone() for name, each in subject.part.state_dict().items()}

    def loss_of(self, subject: Subject, module: LightningModule) -> LossOf | None:
        """The loss that, of the first step's predictions and targets, is what was differentiated; None: none is."""
        predictions, targets = subject.answered
        wanted = None if self._loss is None or self._loss.dim() else float(self._loss)
        if wanted is None:
            return None
        for loss in (*_attributes(module), *LOSSES):
            for asked in (loss, _shaped(loss)):
                found = _value(asked, predictions, targets)
                if found is not None and abs(found - wanted) <= ALIKE * abs(wanted) + 1e-12:
                    return asked
        return None

    def fresh(self, subject: Subject) -> Callable[[], nn.Module] | None:
        """Copies with the first weights; None where the fit went on from another one."""
        weights = self._weights
        if weights is None:
            return None

        def made() -> nn.Module:
            model = copy.deepcopy(subject.part)
            model.load_state_dict(weights)
            return model

        return made


def examined(
    trainer: Trainer,
    module: LightningModule,
    subject: Subject | None,
    first: FirstStep,
    *,
    trying: bool,
    budget: float,
) -> Gathered:
    """What a cause can be told from; the module stays as it was.

    Args:
        trying: whether anything is tried on copies. budget: seconds after which no further measurement is begun.

    Raises:
        BadInput: naming what stands in the way.
    """
    if trainer.world_size > 1:
        raise BadInput("it is trained in several processes; flatspot.examine looks at it in one")
    if subject is None:
        raise BadInput("no predictions and targets were found")
    if subject.read is None:
        raise BadInput("its inputs are prepared in the step; flatspot.examine(..., batch=) takes any")
    with unheard(), mute(module), _apart(module):
        train, val, notes = _samples(trainer, subject)
        loss = first.loss_of(subject, module)
        optimizer = _optimizer(trainer, subject.part)
        patient = Patient(subject.part, train, val, loss, optimizer, first.fresh(subject))
        seen = gather(patient, budget, experiments=trying)
    seen.unmeasured = {name: OF_A_FIT.get(why, why) for name, why in seen.unmeasured.items()} | notes
    if subject.name:
        seen.names = {what: _within(subject.name, names) for what, names in seen.names.items()}
    return seen


def _within(part: str, names: str) -> str:
    """Names of a submodule's parts as the module has them."""
    return ", ".join(f"{part}.{name}" for name in names.split(", "))


def _samples(trainer: Trainer, subject: Subject) -> tuple[Samples, Samples, dict[str, str]]:
    """Of the training data, and of the first validation data; where there are none, of the training data again."""
    held_out = trainer.val_dataloaders
    loaders = held_out if isinstance(held_out, (list, tuple)) else [held_out] if held_out is not None else []
    train = samples_of(_loader(trainer.train_dataloader), subject.read, MOST_TRAIN).moved(subject.y.device)
    if not loaders:
        return train, train, {"held out": "there are no validation data: all is judged on the training data"}
    return train, samples_of(loaders[0], subject.read, MOST_VAL).moved(subject.y.device), {}


def _loader(held: Any) -> Any:
    if held is None or isinstance(held, Mapping):
        raise BadInput("the training data are several loaders, or none")
    return held


def _optimizer(trainer: Trainer, part: nn.Module) -> Optimizer | None:
    """The one that holds most of the part's weights."""
    ours = {id(each) for each in part.parameters()}

    def held(optimizer: Optimizer) -> int:
        return sum(id(each) in ours for group in optimizer.param_groups for each in group["params"])

    plain = [getattr(each, "optimizer", each) for each in trainer.optimizers]
    return max((each for each in plain if isinstance(each, Optimizer)), key=held, default=None)


@contextmanager
def _apart(module: LightningModule) -> Iterator[None]:
    """Inside, modules do not know their trainer: a copy of one would copy loaders, loggers and all."""
    parts = [vars(each) for each in module.modules() if isinstance(each, LightningModule)]
    before = [held.get("_trainer") for held in parts]
    for held in parts:
        held["_trainer"] = None
    try:
        yield
    finally:
        for held, trainer in zip(parts, before, strict=True):
            held["_trainer"] = trainer


def _attributes(module: LightningModule) -> list[LossOf]:
    """What the module holds that may be a loss: functions, and children without weights."""
    own = [each for name, each in vars(module).items() if not name.startswith("_") and callable(each)]
    children = [each for each in module.children() if not isinstance(each, Metric) and not list(each.parameters())]
    return [*children, *(each for each in own if not isinstance(each, (nn.Module, type)))]


def _shaped(loss: LossOf) -> LossOf:
    """The loss of predictions in the targets' shape, as a step that squeezes them asks it."""
    return lambda predictions, targets: loss(predictions.reshape(targets.shape), targets)


def _value(loss: LossOf, predictions: Tensor, targets: Tensor) -> float | None:
    """The loss, if it takes these and gives a number."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            found = loss(predictions, targets)
            return float(found) if isinstance(found, Tensor) and not found.dim() else None
        except Exception:  # noqa: BLE001 - a loss of something else
            return None
