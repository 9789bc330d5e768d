"""The user's own loss, asked about answers in any form: as their model gives them, as numbers, as probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor
from torch.nn import functional as F

from flatspot.examination.patient import Answers, LossOf, value
from flatspot.probes.skill import best_constant


@final
@dataclass(frozen=True)
class Scoring:
    """Scores answers `[sample, output]` by the user's loss where that can be, else by the squared error.

    Squared errors of probabilities are the Brier score (1950): of classifiers they are what references and model are
    compared by, since a loss of logits punishes an overconfident reference without bound.

    Args:
        own: whether it is the user's loss. why: why not, if not.
    """

    loss: Callable[[Tensor, Tensor], Tensor]
    own: bool
    why: str = ""

    def skill(self, answers: Answers) -> float:
        """1 - loss / loss of the best constant for these very targets."""
        return self.of(answers.outputs, answers.targets)

    def of(self, outputs: Tensor, targets: Tensor, beside: Tensor | None = None) -> float:
        """The same of answers and targets `[sample, output]`; NaN where targets are constant or answers not finite.

        Args:
            beside: the targets whose best constant's loss is the unit; None: these.
        """
        y, known = targets.double(), (targets if beside is None else beside).double()
        if not outputs.isfinite().all() or not len(y) or not len(known):
            return float("nan")
        with torch.no_grad():
            floor = float(self.loss(self.constant(known).expand_as(known), known))
            found = float(self.loss(outputs.double(), y))
        return 1 - found / floor if floor > 0 else float("nan")

    def constant(self, targets: Tensor) -> Tensor:
        """The best constant answer `[output]`."""
        return best_constant(self.loss, targets.double())


def scoring_of(loss: LossOf | None, answers: Answers, kind: str, several: int | None = None) -> Scoring:
    """How these answers are scored: numbers by the user's loss where it is one of numbers, all else by squares.

    Args:
        several: the axis along which answers say several numbers of each target.
    """
    if loss is None:
        return Scoring(F.mse_loss, own=False, why="no loss was given")
    if kind != "numbers":
        return Scoring(F.mse_loss, own=False, why="probabilities are scored by their squared error (Brier)")
    own = _of_outputs(loss, answers, several)
    try:
        if not _has_a_gradient(own, answers.targets.double()):
            return Scoring(F.mse_loss, own=False, why="the loss has no gradient")
        sound = _is_a_loss(own, answers.targets.double())
    except Exception as error:  # noqa: BLE001 - a stranger's loss
        return Scoring(F.mse_loss, own=False, why=f"the loss refused plain numbers: {type(error).__name__}: {error}")
    if not sound:
        return Scoring(F.mse_loss, own=False, why="the loss is not smallest for the targets themselves, or below zero")
    return Scoring(own, own=True)


def _of_outputs(loss: LossOf, answers: Answers, several: int | None) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of answers and targets `[sample, output]`, asked in the shapes that it is used with."""
    shape = answers.y.shape[1:]
    as_said = answers.raw.shape[1:] if _pairs_as_said(loss, answers) else shape

    def own(predictions: Tensor, targets: Tensor) -> Tensor:
        count = len(predictions)
        if several is not None:
            form = (count, *answers.raw.shape[1:])
            one = targets.reshape(form).select(several, 0)
            return value(loss, predictions.reshape(form), one.reshape(count, *shape))
        if predictions.numel() != count * shape.numel():
            return value(loss, predictions, targets.reshape(predictions.shape))
        return value(loss, predictions.reshape(count, *as_said), targets.reshape(count, *shape))

    return own


def _pairs_as_said(loss: LossOf, answers: Answers) -> bool:
    """Whether the loss takes each prediction beside its own target in the shape that the model gives it.

    Of single pairs any loss makes what it was meant to make.
    """
    few, y = answers.raw[:8], answers.y[:8]
    if few.shape == y.shape or few.numel() != y.numel():
        return False
    try:
        with torch.no_grad():
            whole = float(value(loss, few, y))
            pairs = [float(value(loss, few[row : row + 1], y[row : row + 1])) for row in range(len(few))]
    except Exception:  # noqa: BLE001 - it does not take this shape
        return False
    return abs(whole - sum(pairs) / len(pairs)) <= 1e-5 * max(abs(whole), 1e-12)


def _has_a_gradient(loss: Callable[[Tensor, Tensor], Tensor], y: Tensor) -> bool:
    """Whether anything comes back through it: not where it went through numbers of another library."""
    free = (y + 1).requires_grad_()
    with torch.enable_grad():
        found = loss(free, y)
    if not found.requires_grad:
        return False
    return torch.autograd.grad(found, free, allow_unused=True)[0] is not None


def _is_a_loss(loss: Callable[[Tensor, Tensor], Tensor], y: Tensor) -> bool:
    """Whether right answers cost least, and nothing less than nothing; of finite targets."""
    with torch.no_grad():
        right = float(loss(y, y))
        others = [float(loss(y + shift * (y.std() + 1), y)) for shift in (-1.0, 1.0)]
    return right >= -1e-9 and all(other > right for other in others)
