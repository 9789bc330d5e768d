"""How predictions and targets belong together: numbers beside numbers, or scores of classes beside class numbers."""

import re
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

Kind = Literal["numbers", "classes", "labels"]

CHANCES: Final = re.compile(r"(Sigmoid|Softmax|SafeSoftmax)Backward")

SCORES: Final = re.compile(r"(Addmm|Mm|Bmm|Baddbmm|Mv|Add|Sub|Convolution|NativeLayerNorm)Backward")
"""What gives scores that know no bounds: those of a fresh network often lie between 0 and 1 all the same."""

VIEWS: Final = re.compile(
    r"(View|UnsafeView|Reshape|Squeeze|Unsqueeze|Transpose|T|Permute|Alias|Select|Slice|Clone|ToCopy)Backward"
)
"""What changes no number."""

MOST_VIEWS: Final = 16

MOST_OUTPUTS: Final = 2**12
"""Outputs of a sample that are kept; of more (long sequences, images), so many, evenly spread."""


@final
@dataclass(frozen=True)
class Fit:
    """What the two are.

    Args:
        kind: `numbers`: of one shape; `classes`: scores of classes beside class numbers; `labels`: scores beside
            labels of yes and no.
        axis: of the classes in the predictions.
        chances: whether the predictions came out of a sigmoid or softmax, and are probabilities; None: there is no
            graph to show it.
    """

    kind: Kind
    axis: int = 0
    chances: bool | None = None


def fit_of(predictions: Tensor, targets: Tensor) -> Fit | None:
    """How the predictions fit the targets; None if they do not. Only types and shapes are looked at.

    Numbers fit where shapes are equal, axes of size 1 aside: (N, 1) fits (N,). Class numbers (N, *) want scores
    (N, C, *), as torch's cross-entropy does, or (N, *, C).

    >>> fit_of(torch.zeros(8, 1), torch.zeros(8)).kind
    'numbers'
    >>> fit_of(torch.zeros(8, 5, 3), torch.zeros(8, 5, dtype=torch.long))
    Fit(kind='classes', axis=2, chances=None)
    """
    if not (predictions.dim() and predictions.is_floating_point() and is_dense(predictions)):
        return None
    if len(predictions) != len(targets):
        return None
    wanted, said = _sizes(targets), _sizes(predictions)
    if said == wanted:
        return Fit("numbers") if targets.is_floating_point() else Fit("labels", chances=_are_chances(predictions))
    if targets.is_floating_point() or targets.is_complex():
        return None
    return _classes(predictions, wanted)


def _classes(predictions: Tensor, wanted: list[int]) -> Fit | None:
    for axis in dict.fromkeys((1, predictions.dim() - 1)):
        rest = [size for at, size in enumerate(predictions.shape) if at not in {0, axis} and size > 1]
        if 1 <= axis < predictions.dim() and predictions.shape[axis] > 1 and rest == wanted[1:]:
            return Fit("classes", axis, _are_chances(predictions))
    return None


def _sizes(tensor: Tensor) -> list[int]:
    """The number of samples, and the sizes of the other axes that are more than one long."""
    return [len(tensor), *(size for size in tensor.shape[1:] if size > 1)]


def is_dense(tensor: Tensor) -> bool:
    """A sparse tensor has no one place in memory, and is neither a target nor a prediction here."""
    return tensor.layout == torch.strided


def _are_chances(predictions: Tensor) -> bool | None:
    """Whether the last thing done to them, but for views, was a sigmoid or softmax, or a product; None: neither."""
    node = predictions.grad_fn
    if node is None:
        return None
    for _ in range(MOST_VIEWS):
        if node is None or not VIEWS.match(node.name()):
            break
        node = node.next_functions[0][0]
    if node is None or SCORES.match(node.name()):
        return False
    return True if CHANCES.match(node.name()) else None


@final
class Reader:
    """Brings predictions and targets to one shape: numbers as they are, classes as probabilities beside ones and zeros.

    Scores are probabilities where they came out of a sigmoid or softmax in a training step. Where there is no graph to
    show it (validation, detached predictions), the first batch's values are looked at: whether they lie between 0 and
    1, and sum to 1. Whether targets are labels of yes and no is looked at in the first batch too (whole numbers that
    are 0 and 1; floating ones that are both, beside predictions that are no probabilities): later ones do not wait for
    the device. What they say against it is told by `mistaken` once an epoch has ended.

    Args:
        most: outputs of a sample that are kept; None: `MOST_OUTPUTS`.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST_OUTPUTS if most is None else most
        self._chances: bool | None = None
        self._yes_or_no: bool | None = None
        self._others: Tensor | None = None

    @property
    def decided(self) -> tuple[bool | None, bool | None]:
        """Whether scores are probabilities, and targets labels of yes and no; None: nothing has shown it yet."""
        return self._chances, self._yes_or_no

    @decided.setter
    def decided(self, value: tuple[bool | None, bool | None]) -> None:
        self._chances, self._yes_or_no = value

    def mistaken(self) -> bool:
        """Whether targets that were taken for labels of yes and no turned out to be others; then they are no more."""
        if self._others is None:
            return False
        found, self._others = bool(self._others), None
        self._yes_or_no = self._yes_or_no and not found
        return found

    def read(self, predictions: Tensor, targets: Tensor, fit: Fit) -> tuple[Tensor, Tensor]:
        """Two copies `[sample, output]` of one shape: loaders and steps may write into theirs again."""
        if fit.chances is not None:
            self._chances = fit.chances
        if fit.kind == "classes":
            return self._classes(predictions, targets, fit.axis)
        said, true = self._few(predictions), self._few(targets)
        if self._are_labels(said, true, fit) and not self._between(said):
            said = said.float().sigmoid()
        # Halves are too coarse to tell spread from level; whole numbers have none.
        said = said.float() if said.element_size() < 4 else said.clone()
        coarse = not true.is_floating_point() or true.element_size() < 4
        return said, true.to(said.dtype if coarse else true.dtype, copy=True)

    def class_numbers(self, predictions: Tensor, fit: Fit) -> Tensor | None:
        """The class that is named at each place, `[place]`; None where there are no classes."""
        return predictions.movedim(fit.axis, -1).flatten(0, -2).argmax(dim=-1) if fit.kind == "classes" else None

    def _classes(self, predictions: Tensor, targets: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        """Each place's probabilities, `[sample, place * class]`; a target that is no class has zeros for all."""
        scores = predictions.movedim(axis, -1)
        count = scores.shape[-1]
        scores = scores.reshape(len(scores), -1, count)
        places = _spread(scores.shape[1], max(self._most // count, 1), scores.device)
        scores, true = scores[:, places].float(), targets.reshape(len(targets), -1)[:, places]
        chances = scores.clone() if self._between(scores, sums=True) else scores.softmax(dim=-1)
        ones = true.unsqueeze(-1) == torch.arange(count, device=true.device)
        return self._few(chances), self._few(ones.to(chances.dtype))

    def _few(self, outputs: Tensor) -> Tensor:
        flat = outputs.reshape(len(outputs), -1)
        return flat if flat.shape[1] <= self._most else flat[:, _spread(flat.shape[1], self._most, flat.device)]

    def _between(self, scores: Tensor, *, sums: bool = False) -> bool:
        """Whether scores are probabilities already."""
        if self._chances is None:
            within = ((scores >= 0) & (scores <= 1)).all()
            self._chances = bool(within & ((scores.sum(dim=-1) - 1).abs() < 1e-3).all() if sums else within)
        return self._chances

    def _are_labels(self, predictions: Tensor, targets: Tensor, fit: Fit) -> bool:
        if self._yes_or_no is False:
            return False
        others = ((targets != 0) & (targets != 1)).any()
        if self._yes_or_no is None:
            self._yes_or_no = not bool(others) and (fit.kind == "labels" or _are_yes_and_no(predictions, targets))
        if self._yes_or_no:
            self._others = others if self._others is None else self._others | others
        return self._yes_or_no


def _are_yes_and_no(predictions: Tensor, targets: Tensor) -> bool:
    """Whether floating targets of 0 and 1 are both there, beside predictions that are no numbers between them."""
    beyond = ((predictions < 0) | (predictions > 1)).any()
    return bool((targets == 0).any() & (targets == 1).any() & beyond)


def _spread(size: int, most: int, device: torch.device) -> Tensor:
    places = min(size, most)  # in whole numbers: floating ones miss some beyond 2**24
    return torch.arange(places, device=device) * (size - 1) // max(places - 1, 1)
