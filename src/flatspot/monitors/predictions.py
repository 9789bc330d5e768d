"""Find a step's predictions and targets in a LightningModule that knows nothing of flatspot."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final, final

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PREDICTIONS: Final = ("predictions", "prediction", "preds", "pred", "y_hat", "outputs", "output")
TARGETS: Final = ("targets", "target", "y", "y_true", "label", "labels")

Pair = tuple[Tensor, Tensor]


@final
class PredictionFinder:
    """Remembers what a module and its children returned last, and picks what fits the targets.

    In this order: the step's returned dict (`predictions` or a common synonym), the module's own forward, its
    children's forward, the last called first. With `where`, that submodule alone.

    Args:
        where: the dotted name of the submodule whose output is the prediction. None: find it.
    """

    def __init__(self, where: str | None = None) -> None:
        self.where = where
        self._recent: dict[str, deque[Any]] = {}
        self._handles: list[RemovableHandle] = []

    def attach(self, module: nn.Module) -> None:
        """Listen to the module; until `detach`.

        Raises:
            AttributeError: if there is no submodule called `where`.
        """
        self.detach()
        watched = {self.where: module.get_submodule(self.where)} if self.where else _candidates(module)
        for name, part in watched.items():
            # Two: where a strategy wraps the module, the outer call's loss follows the inner call's output.
            self._recent[name] = deque(maxlen=2)
            self._handles.append(part.register_forward_hook(self._listener(name)))

    def detach(self) -> None:
        """Stop listening and let go of all tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._recent.clear()

    def take(self, outputs: Any, batch: Any) -> Pair | None:
        """The predictions and targets of the step that just ended, of one shape; None if none fit."""
        target = _target(outputs, batch)
        found = None if target is None else _first_fit(self._offered(outputs), target)
        for recent in self._recent.values():
            recent.clear()
        return found

    def _listener(self, name: str) -> Any:
        def remember(_: nn.Module, __: Any, output: Any) -> None:
            self._recent[name].append(output)
            if name in self._recent:  # last called, last in the order of the table
                self._recent[name] = self._recent.pop(name)

        return remember

    def _offered(self, outputs: Any) -> Iterator[Tensor]:
        if self.where is None:
            yield from _named(outputs, PREDICTIONS)
            yield from _tensors(self._recent.get("", ()))
        for name, recent in reversed(self._recent.items()):
            if name:
                yield from _tensors(recent)


def _candidates(module: nn.Module) -> dict[str, nn.Module]:
    return {"": module, **dict(module.named_children())}


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


def _tensors(recent: Any) -> Iterator[Tensor]:
    for output in reversed(recent):
        parts = output if isinstance(output, (tuple, list)) else (output,)
        yield from (part for part in parts if isinstance(part, Tensor))


def _first_fit(offered: Iterator[Tensor], target: Tensor) -> Pair | None:
    """The first tensor with a number for each of the target's: (N, 1) fits (N,), a scalar loss fits nothing."""
    if not target.dim() or not target.is_floating_point():
        return None
    for prediction in offered:
        if _fits(prediction, target):
            return prediction.detach().reshape(target.shape), target
    return None


def _fits(prediction: Tensor, target: Tensor) -> bool:
    return (
        prediction.dim() > 0
        and prediction.is_floating_point()
        and len(prediction) == len(target)
        and prediction.numel() == target.numel()
    )
