"""Ask a model without leaving a trace: its modes, gradients, buffers, attributes and the random states come back."""

import operator
import random
import sys
from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Ask = Callable[[Tensor], Tensor]
"""From inputs `[sample, *input]` to predictions `[sample, *output]`."""

REGISTRIES: Final = frozenset({"_parameters", "_buffers", "_modules", "training"})
"""What a module keeps of itself that is restored another way."""

NUMBERS: Final = (Tensor, np.ndarray)

HOLDERS: Final = (*NUMBERS, dict, list, tuple, set, frozenset, deque)
"""Kinds of attributes whose contents a call may change."""

MOST_ENTRIES: Final = 10_000
"""Of a list, dict, set or the like with more, which is a table rather than a state, the entries stay unopened."""

MOST_VALUES: Final = 2**26
"""Numbers in tensors and arrays among the attributes that are copied, all together: a data set that a module holds is
no state."""

Values = Tensor | NDArray[Any]


@contextmanager
def undisturbed(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Inside, the module is in evaluation mode (or training mode) and without gradients; afterwards it is as it was.

    Restored are the mode of each submodule, each parameter's gradient, the buffers in place, the attributes of each
    submodule (a state that is carried from call to call, also one in a list, tuple, dict, set or deque, but not what
    other objects keep to themselves), the weights of a module with a `max_norm`, which its forward cuts down in place
    (nn.Embedding, nn.EmbeddingBag), and the random states of torch (each device that is in use), NumPy and Python.
    Gradients may be taken inside, also where the caller does not record any. cuDNN is off: its recurrent layers give no
    gradients in evaluation mode. A compiled module runs as it was written.

    Not restored are weights that a forward changes in any other way; the contents of the entries of a container of more
    than 10,000 (it gets the same entries again); of the tensors and arrays among the attributes the largest, where all
    together have more than 2**26 numbers; and of a scripted or traced module all but its mode and its buffers.

    Cost: a copy of the buffers, of the tensors and arrays among the attributes and of the weights that a `max_norm`
    cuts down; the others are not copied.

    >>> layer = nn.Dropout()
    >>> with undisturbed(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    with ExitStack() as until_end:
        until_end.enter_context(random_states_kept(module))
        for put_back in chain(_restorers(module), _uncut(module)):
            until_end.callback(put_back)
        for parameter in module.parameters():
            until_end.callback(setattr, parameter, "grad", parameter.grad)
            parameter.grad = None
        for part in module.modules():
            if hasattr(part, "training"):  # a frozen scripted one has no mode
                part.training = training
        until_end.enter_context(torch.backends.cudnn.flags(enabled=False))
        if "torch._dynamo" in sys.modules:  # a compiled module would be compiled again for other modes and sizes
            until_end.enter_context(torch.compiler.set_stance("force_eager"))
        until_end.enter_context(torch.inference_mode(mode=False))
        until_end.enter_context(torch.enable_grad())
        yield


def forgetful(module: nn.Module) -> None:
    """Let a module begin each call with the state that it has now: what a call leaves in attributes or buffers is lost.

    Normalisation layers keep their running figures, and every part its mode. There is no way back: it is for copies.

    >>> class Counter(nn.Module):
    ...     calls = 0
    ...     def forward(self, x: Tensor) -> Tensor:
    ...         self.calls += 1
    ...         return self.calls * x
    >>> counter = Counter()
    >>> forgetful(counter)
    >>> counter(torch.ones(1)), counter(torch.ones(1))
    (tensor([1.]), tensor([1.]))
    """
    put_backs: list[Callable[[], None]] = []

    def begin(*_: object) -> None:
        modes = [(part, part.training) for part in module.modules() if hasattr(part, "training")]
        for put_back in put_backs:
            put_back()
        for part, training in modes:
            part.training = training

    module.register_forward_pre_hook(begin)
    norms = {id(part) for part in module.modules() if isinstance(part, nn.modules.batchnorm._NormBase)}
    put_backs += _restorers(module, norms)


def answer(module: nn.Module) -> Ask:
    """How a module is asked where nobody says otherwise: by its forward; of a tuple, the first tensor.

    Raises:
        TypeError: (when asked) where the module returned no tensor.
    """
    return lambda x: first_tensor(module(x))


def first_tensor(output: object) -> Tensor:
    """The tensor itself, or the first one in a tuple, list or dict.

    >>> first_tensor((None, torch.ones(2)))
    tensor([1., 1.])
    """
    for tensor in tensors_in(output):
        return tensor
    raise TypeError(f"the model returned no tensor but {type(output).__name__}")


def tensors_in(output: object) -> list[Tensor]:
    """The tensors that a module returned: itself, or those in its tuple, list or dict.

    >>> tensors_in({"a": torch.ones(1), "b": None})
    [tensor([1.])]
    """
    parts = output.values() if isinstance(output, Mapping) else output
    several = parts if isinstance(output, (tuple, list, Mapping)) else (output,)
    return [part for part in several if isinstance(part, Tensor)]  # type: ignore[attr-defined] # one of these


def _restorers(module: nn.Module, but: Container[int] = ()) -> Iterator[Callable[[], None]]:
    """Each puts something back: a module's own, what a container held, the numbers of a tensor or an array.

    Args:
        but: parts that are left out, by their identity.
    """
    known: dict[int, Any] = {}
    for part in (each for each in module.modules() if id(each) not in but):
        scripted = isinstance(part, torch.jit.ScriptModule)
        yield _scripted_restorer(part) if scripted else _restorer(part)
        if not scripted:
            _find(_attributes(part).values(), known)
    values = [held for held in known.values() if isinstance(held, NUMBERS)]
    yield from (partial(_put_back, held, _copied(held)) for held in _smallest(values))
    for held in known.values():
        if isinstance(held, (dict, list, set, deque)):
            yield partial(_refill, held, dict(held) if isinstance(held, dict) else list(held))


def _uncut(module: nn.Module) -> Iterator[Callable[[], None]]:
    """Each puts weights back that a `max_norm` may cut down."""
    for part in module.modules():
        if getattr(part, "max_norm", None) is not None:
            yield from (partial(_put_back, weight, _copied(weight)) for weight in part.parameters(recurse=False))


def _restorer(part: nn.Module) -> Callable[[], None]:
    """Puts one module's mode and buffers back, and which attributes it has."""
    training, attributes = part.training, _attributes(part)
    buffers = {name: (buffer, _copied(buffer)) for name, buffer in part._buffers.items()}

    def restore() -> None:
        part.training = training
        part._buffers = {name: buffer for name, (buffer, _) in buffers.items()}
        for held, copy in buffers.values():
            _put_back(held, copy)
        for name in _attributes(part).keys() - attributes.keys():
            del part.__dict__[name]
        part.__dict__.update(attributes)

    return restore


def _scripted_restorer(part: nn.Module) -> Callable[[], None]:
    """Of a scripted or traced module, which keeps its registries itself: its mode and its buffers."""
    modes = {"training": part.training} if hasattr(part, "training") else {}
    buffers = {name: (buffer, _copied(buffer)) for name, buffer in part._buffers.items()}

    def restore() -> None:
        for name, held in [*modes.items(), *((name, held) for name, (held, _) in buffers.items())]:
            setattr(part, name, held)
        for held, copy in buffers.values():
            _put_back(held, copy)

    return restore


def _attributes(part: nn.Module) -> dict[str, Any]:
    return {name: each for name, each in part.__dict__.items() if name not in REGISTRIES}


def _find(held: Iterable[object], known: dict[int, Any]) -> None:
    """Add what a call may change in place, at any depth, by its identity."""
    waiting = list(held)
    while waiting:
        each: Any = waiting.pop()
        if not isinstance(each, HOLDERS) or isinstance(each, nn.Parameter) or id(each) in known:
            continue
        known[id(each)] = each
        if not isinstance(each, NUMBERS) and len(each) <= MOST_ENTRIES:
            waiting.extend(each.values() if isinstance(each, dict) else each)


def _smallest(values: Sequence[Values]) -> Iterator[Values]:
    """As many as have a bounded number of numbers together: states are smaller than data sets."""
    left = MOST_VALUES
    for each in sorted(values, key=_size):
        left -= _size(each)
        if left >= 0:
            yield each


def _size(values: Values) -> int:
    if isinstance(values, Tensor) and values.layout != torch.strided:
        return int(values._nnz())
    return values.numel() if isinstance(values, Tensor) else values.size


def _refill(held: Any, before: Any) -> None:  # noqa: ANN401 - a container of anything
    """Touched only where something changed: it may be of a kind that watches its changes."""
    if len(held) == len(before) and all(map(operator.is_, _entries(held), _entries(before))):
        return
    held.clear()
    fill = held.extend if isinstance(held, (list, deque)) else held.update
    fill(before)


def _entries(held: Any) -> Iterator[object]:  # noqa: ANN401
    return chain(held, held.values()) if isinstance(held, dict) else iter(held)


def _copied(held: Values | None) -> Values | None:
    """None: nobody can write into it."""
    if isinstance(held, np.ndarray):
        return held.copy() if held.flags.writeable else None
    return None if held is None or held.is_inference() or _repeats(held) else held.detach().clone()


def _repeats(tensor: Tensor) -> bool:
    """Whether several of its places are one in memory, as `expand` has it."""
    if tensor.layout != torch.strided:
        return False
    return any(size > 1 and not stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _put_back(held: Any, copy: Any) -> None:  # noqa: ANN401 - two tensors, or two arrays
    """By `data`: a graph that waits for its backward pass is not told, since it finds what it saw."""
    if copy is None:
        return
    if isinstance(held, np.ndarray):
        held[...] = copy
    else:
        held.data.copy_(copy)


@contextmanager
def random_states_kept(*modules: nn.Module) -> Iterator[None]:
    """Inside, anybody may draw; afterwards the random states of torch, NumPy and Python are as they were.

    Args:
        modules: whose CUDA devices are meant, beside the CPU.
    """
    devices = {each.device for module in modules for each in [*module.parameters(), *module.buffers()]}
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[each for each in devices if each.type == "cuda"]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
