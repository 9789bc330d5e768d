"""Find a step's predictions and targets in a LightningModule that knows nothing of flatspot."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss
from torch.utils.hooks import RemovableHandle
from torchmetrics import Metric

from flatspot.errors import BadInput
from flatspot.probes.fitting import Fit, fit_of, is_dense
from flatspot.probes.undisturbed import tensors_in
from flatspot.registry import nearest

PREDICTIONS: Final = ("predictions", "prediction", "preds", "pred", "y_hat", "logits", "outputs", "output")
TARGETS: Final = ("targets", "target", "y", "y_true", "label", "labels")


MANY_CLASSES: Final = 32
"""So many numbers for a sample are rather its input again than scores of classes, where they are as many as it has."""

_unheard: Final = ContextVar("unheard", default=False)


@final
class Call(NamedTuple):
    """What a submodule was given, by position and by name, and what it returned."""

    given: tuple[Any, ...]
    named: Mapping[str, Any]
    output: Any


@final
@dataclass(frozen=True)
class Found:
    """Predictions and targets of a step, as they were found.

    Args:
        predictions: as they were returned. targets: beside them. fit: how the two belong together.
        source: where the predictions were found, in words.
        name: of the submodule that was called, `""` being the module itself; None: the step returned them.
        call: that call. place: which of its tensors it was.
    """

    predictions: Tensor
    targets: Tensor
    fit: Fit
    source: str
    name: str | None = None
    call: Call | None = None
    place: int = 0


Form = tuple[torch.Size, torch.dtype]


@final
class _Last(NamedTuple):
    """Where predictions were found last, and of which form: no tensor, so that nothing outlives its batch."""

    name: str
    place: int
    fit: Fit
    source: str
    forms: tuple[Form, Form]

    @classmethod
    def of(cls, found: Found) -> "_Last | None":
        """None where no call gave them."""
        if found.name is None:
            return None
        forms = _form(found.predictions), _form(found.targets)
        return cls(found.name, found.place, found.fit, found.source, forms)


@final
class PredictionFinder:
    """Remembers what a module and its children returned last, and picks what fits the targets.

    In this order: the step's returned dict (`predictions` or a common synonym), the module's own forward, its
    children's forward, the last called first. A child that was given the targets (a loss, a scaler of targets) is not
    asked, and neither are torch's losses and metrics. With `where`, that submodule alone.

    Once found, only that place is listened to, until it fails; then all are again, and for good.

    Args:
        where: the dotted name of the submodule whose output is the prediction. None: find it.
    """

    def __init__(self, where: str | None = None) -> None:
        self.where = where
        self._only: tuple[str, ...] | None = None if where is None else (where,)
        self._settled = where is not None
        self._recent: dict[str, deque[Call]] = {}
        self._handles: list[RemovableHandle] = []
        self._last: _Last | None = None
        self._weightless: set[str] = set()
        self.preferred: str | None = None

    def attach(self, module: nn.Module) -> None:
        """Listen to the module, until `detach`; where predictions were found before, to that place.

        Raises:
            BadInput: if there is no submodule called `where`.
        """
        self.detach()
        names = _candidates(module) if self._only is None else self._only
        for name in names:
            if not any(True for _ in _submodule(module, name).parameters()):
                self._weightless.add(name)
            # Two: where a strategy wraps the module, the outer call's loss follows the inner call's output.
            self._recent[name] = deque(maxlen=2)
            part = _submodule(module, name)
            self._handles.append(part.register_forward_hook(_Listener(self, name, part), with_kwargs=True))

    def detach(self) -> None:
        """Stop listening and let go of all tensors."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._recent.clear()
        self._last = None

    def take(self, module: nn.Module, outputs: Any, batch: Any) -> Found | None:
        """The predictions and targets of the module's step that just ended; None if none fit."""
        found = self._again(outputs, batch) or self.look(outputs, batch)
        for recent in self._recent.values():
            recent.clear()
        self._settle(module, found)
        self._last = _Last.of(found) if found is not None and self._settled else None
        return found

    def look(self, outputs: Any, batch: Any) -> Found | None:
        """The same in the middle of a step: what was returned is kept for `take`."""
        calls = [call for recent in self._recent.values() for call in recent]
        for target in _targets(outputs, batch, calls):
            if target.dim() and is_dense(target) and (found := next(self._fitting(outputs, target), None)):
                return found
        return None

    def _again(self, outputs: Any, batch: Any) -> Found | None:
        """The same in the usual case, quickly: one call, where it was found last, with targets of the same kind."""
        last = self._last
        calls = self._recent.get(last.name) if last is not None else None
        if last is None or not calls or len(calls) != 1 or len(self._recent) != 1:
            return None
        target = next(iter(_targets(outputs, batch, calls)), None)
        several = tensors_in(calls[0].output)
        if target is None or last.place >= len(several) or not is_dense(target):
            return None
        prediction = several[last.place]
        if len(prediction) != len(target) or (_form(prediction), _form(target)) != last.forms:
            return None
        return Found(prediction.detach(), target, last.fit, last.source, last.name, calls[0], last.place)

    def _settle(self, module: nn.Module, found: Found | None) -> None:
        """Listen to fewer once it is known where predictions come from, and to all again where that was wrong."""
        if found is not None and not self._settled:
            self._only, self._settled = (() if found.name is None else (found.name,)), True
            self.attach(module)
        elif found is None and self._only is not None and self.where is None:
            self._only = None
            self.attach(module)

    def hear(self, name: str, call: Call) -> None:
        """A submodule was called."""
        if _unheard.get() or name not in self._recent:
            return
        calls = self._recent.pop(name)
        calls.append(call)
        self._recent[name] = calls  # last called, last in the order of the table

    def _fitting(self, outputs: Any, target: Tensor) -> Iterator[Found]:
        """What fits the targets, the likeliest first."""
        for each in () if self.where is not None else _named(outputs, PREDICTIONS):
            fit = fit_of(each, target)
            if fit is not None:
                yield Found(each.detach(), target, fit, "what the step returned")
        for name, call in self._asked(target):
            for place, each in enumerate(tensors_in(call.output)):
                fit = fit_of(each, target)
                if fit is not None and not (fit.kind == "classes" and _repeats_input(each, call)):
                    source = f"the output of {name}" if name else "what the module's forward returned"
                    yield Found(each.detach(), target, fit, source, name, call, place)

    def _asked(self, target: Tensor) -> Iterator[tuple[str, Call]]:
        """The calls that may have given predictions, the likeliest first."""
        if self.where is not None:
            yield from ((self.where, call) for call in reversed(self._recent.get(self.where, ())))
            return
        yield from (("", call) for call in reversed(self._recent.get("", ())))
        asked = [(name, call) for name, calls in reversed(self._recent.items()) for call in reversed(calls) if name]
        kept = [each for each in asked if not _was_given(each[1], target) and not self._is_loss(*each, target)]
        # A teacher beside its student has no gradient, and in validation nobody has: there the student's name counts.
        yield from sorted(kept, key=lambda each: (each[0] != self.preferred, not _learns(each[1])))

    def _is_loss(self, name: str, call: Call, target: Tensor) -> bool:
        """Whether a child without weights was given another one's output and something of the targets' size."""
        if name not in self._weightless:
            return False
        given = [each for each in (*call.given, *call.named.values()) if isinstance(each, Tensor)]
        said = {id(each) for calls in self._recent.values() for other in calls for each in tensors_in(other.output)}
        others = [each for each in given if id(each) not in said]
        return len(others) < len(given) and any(each.numel() == target.numel() for each in others)


@final
class _Listener:
    """Tells a finder of a module's calls; what is copied or saved with the module is deaf."""

    def __init__(self, finder: PredictionFinder | None = None, name: str = "", part: nn.Module | None = None) -> None:
        self._finder, self._name, self._part = finder, name, part

    def __call__(self, part: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if self._finder is not None and part is self._part:
            self._finder.hear(self._name, Call(given, named, output))

    def __deepcopy__(self, _: Any) -> "_Listener":
        return _Listener()

    def __reduce__(self) -> tuple[type["_Listener"], tuple[()]]:
        return _Listener, ()


@contextmanager
def unheard() -> Iterator[None]:
    """Inside, a module may be called without anybody taking it for a step's call."""
    token = _unheard.set(True)
    try:
        yield
    finally:
        _unheard.reset(token)


def _form(tensor: Tensor) -> Form:
    """What all samples of one kind have in common."""
    return tensor.shape[1:], tensor.dtype


def _candidates(module: nn.Module) -> list[str]:
    deaf = (torch.jit.ScriptModule, Metric, _Loss)  # a scripted module takes no hooks
    return ["", *(name for name, child in module.named_children() if not isinstance(child, deaf))]


def _submodule(module: nn.Module, name: str) -> nn.Module:
    known = [each for each, _ in module.named_modules()]
    if name not in known:
        raise BadInput(f"the module has no submodule {name!r} to take predictions from; {nearest(name, known[1:])}")
    return module.get_submodule(name)


def _repeats_input(predictions: Tensor, call: Call) -> bool:
    """Whether what may be scores of many classes is of its input's size: an autoencoder beside labels."""
    sizes = {each[0].numel() for each in call.given if isinstance(each, Tensor) and each.dim() and len(each)}
    return predictions[0].numel() > MANY_CLASSES and predictions[0].numel() in sizes


def _learns(call: Call) -> bool:
    return any(each.requires_grad for each in tensors_in(call.output))


def _was_given(call: Call, target: Tensor) -> bool:
    """Whether the call saw the targets themselves, or a view of them."""
    values: Iterable[Any] = (*call.given, *call.named.values())
    if not is_dense(target):
        return any(value is target for value in values)
    seen = [value for value in values if isinstance(value, Tensor) and is_dense(value)]
    return any(value is target or value.data_ptr() == target.data_ptr() for value in seen)


def _targets(outputs: Any, batch: Any, calls: Iterable[Call]) -> list[Tensor]:
    """What may be the targets, the likeliest first: what is called so; then what follows the inputs in a batch.

    Of several, those come last that a module was given (lengths beside packed inputs, say), and whole numbers and
    masks after floating ones.
    """
    named = [*_named(outputs, TARGETS), *_named(batch, TARGETS)]
    if named or not isinstance(batch, (tuple, list)):
        return named[:1]
    following = [each for each in batch[1:] if isinstance(each, Tensor)]
    if len(following) < 2:
        return following
    given = {id(each): any(_was_given(call, each) for call in calls) for each in following}
    return sorted(following, key=lambda each: (given[id(each)], not each.is_floating_point()))


def _named(source: Any, names: tuple[str, ...]) -> list[Tensor]:
    if not isinstance(source, Mapping):
        return []
    return [source[name] for name in names if isinstance(source.get(name), Tensor)]
