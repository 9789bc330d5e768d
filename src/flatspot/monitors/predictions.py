"""Find a step's predictions and targets in a LightningModule that knows nothing of flatspot."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.utils.hooks import RemovableHandle
from torchmetrics import Metric

from flatspot.errors import BadInput
from flatspot.registry import nearest

PREDICTIONS: Final = ("predictions", "prediction", "preds", "pred", "y_hat", "outputs", "output")
TARGETS: Final = ("targets", "target", "y", "y_true", "label", "labels")

Pair = tuple[Tensor, Tensor]
Call = tuple[tuple[Any, ...], Any]


@final
class PredictionFinder:
    """Remembers what a module and its children returned last, and picks what fits the targets.

    In this order: the step's returned dict (`predictions` or a common synonym), the module's own forward, its
    children's forward, the last called first. A child that was given the targets (a loss, a scaler of targets) is not
    asked, and neither are torch's losses and metrics. With `where`, that submodule alone.

    Args:
        where: the dotted name of the submodule whose output is the prediction. None: find it.

    `source` says where the last predictions were found.
    """

    def __init__(self, where: str | None = None) -> None:
        self.where = where
        self.source = ""
        self._recent: dict[str, deque[Call]] = {}
        self._handles: list[RemovableHandle] = []

    def attach(self, module: nn.Module) -> None:
        """Listen to the module; until `detach`.

        Raises:
            BadInput: if there is no submodule called `where`.
        """
        self.detach()
        watched = _candidates(module) if self.where is None else {self.where: _submodule(module, self.where)}
        for name, part in watched.items():
            # Two: where a strategy wraps the module, the outer call's loss follows the inner call's output.
            self._recent[name] = deque(maxlen=2)
            self._handles.append(part.register_forward_hook(self._listener(name), with_kwargs=True))

    def detach(self) -> None:
        """Stop listening and let go of all tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._recent.clear()

    def take(self, outputs: Any, batch: Any) -> Pair | None:
        """The predictions and targets of the step that just ended, of one shape; None if none fit."""
        target = _target(outputs, batch)
        found = None
        if target is not None and target.dim() and target.is_floating_point() and _is_dense(target):
            found = self._first_fit(outputs, target)
        for recent in self._recent.values():
            recent.clear()
        return found

    def _listener(self, name: str) -> Any:
        def remember(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            calls = self._recent.pop(name)
            calls.append(((*given, *named.values()), output))
            self._recent[name] = calls  # last called, last in the order of the table

        return remember

    def _first_fit(self, outputs: Any, target: Tensor) -> Pair | None:
        """The first tensor of the target's shape, axes of size 1 aside: (N, 1) fits (N,), a scalar loss nothing."""
        for source, prediction in self._offered(outputs, target):
            if _fits(prediction, target):
                self.source = source
                return prediction.detach().reshape(target.shape), target
        return None

    def _offered(self, outputs: Any, target: Tensor) -> Iterator[tuple[str, Tensor]]:
        if self.where is not None:
            yield from (("the output of " + self.where, each) for each in _tensors(self._recent[self.where]))
            return
        yield from (("what the step returned", each) for each in _named(outputs, PREDICTIONS))
        yield from (("what the module's forward returned", each) for each in _tensors(self._recent.get("", ())))
        for name, calls in reversed(self._recent.items()):
            unaware = (call for call in calls if name and not _was_given(call, target))
            yield from ((f"the output of {name}", each) for each in _tensors(unaware))


def _candidates(module: nn.Module) -> dict[str, nn.Module]:
    deaf = (torch.jit.ScriptModule, Metric, _Loss)  # a scripted module takes no hooks
    children = {name: child for name, child in module.named_children() if not isinstance(child, deaf)}
    return {"": module, **children}


def _submodule(module: nn.Module, name: str) -> nn.Module:
    known = [each for each, _ in module.named_modules() if each]
    if name not in known:
        raise BadInput(f"the module has no submodule {name!r} to take predictions from; {nearest(name, known)}")
    return module.get_submodule(name)


def _was_given(call: Call, target: Tensor) -> bool:
    """Whether the call saw the targets themselves, or a view of them."""
    seen = [value for value in call[0] if isinstance(value, Tensor) and _is_dense(value)]
    return any(value is target or value.data_ptr() == target.data_ptr() for value in seen)


def _is_dense(tensor: Tensor) -> bool:
    """A sparse tensor has no one place in memory, and is neither a target nor a prediction here."""
    return tensor.layout == torch.strided


def _target(outputs: Any, batch: Any) -> Tensor | None:
    named = [*_named(outputs, TARGETS), *_named(batch, TARGETS)]
    if named:
        return named[0]
    if isinstance(batch, (tuple, list)) and len(batch) > 1 and isinstance(batch[1], Tensor):
        return batch[1]
    return None


def _named(source: Any, names: tuple[str, ...]) -> list[Tensor]:
    if not isinstance(source, Mapping):
        return []
    return [source[name] for name in names if isinstance(source.get(name), Tensor)]


def _tensors(calls: Iterable[Call]) -> Iterator[Tensor]:
    for _, output in reversed(list(calls)):
        parts = output if isinstance(output, (tuple, list)) else (output,)
        yield from (part for part in parts if isinstance(part, Tensor))


def _fits(prediction: Tensor, target: Tensor) -> bool:
    return (
        prediction.dim() > 0
        and prediction.is_floating_point()
        and _is_dense(prediction)
        and len(prediction) == len(target)
        and [size for size in prediction.shape if size > 1] == [size for size in target.shape if size > 1]
    )
