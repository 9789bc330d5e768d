"""Ask a model without leaving a trace: its modes, gradients, buffers, attributes and the random states come back."""

import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

Ask = Callable[[Tensor], Tensor]
"""From inputs `[sample, *input]` to predictions `[sample, *output]`."""

REGISTRIES: Final = frozenset({"_parameters", "_buffers", "_modules", "training"})
"""What a module keeps of itself that is restored another way."""

HOLDERS: Final = (Tensor, dict, list, tuple)
"""Kinds of attributes whose contents a call may change."""


@contextmanager
def undisturbed(module: nn.Module, *, training: bool = False) -> Iterator[None]:
    """Inside, the module is in evaluation mode (or training mode) and without gradients; afterwards it is as it was.

    Restored are the mode of each submodule, each parameter's gradient, the buffers in place, the attributes of each
    submodule (a state that is carried from call to call, also one in a list, tuple or dict, but not what other objects
    keep to themselves), and the random states of torch (each device that is in use), NumPy and Python. Gradients may be
    taken inside, also where the caller does not record any. cuDNN is off: its recurrent layers give no gradients in
    evaluation mode. A compiled module runs as it was written.

    Cost: a copy of the buffers and of the tensors among the attributes; the weights are not copied.

    >>> layer = nn.Dropout()
    >>> with undisturbed(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    with ExitStack() as until_end:
        until_end.enter_context(random_states_kept(module))
        for part in module.modules():
            until_end.callback(_restorer(part))
        for parameter in module.parameters():
            until_end.callback(setattr, parameter, "grad", parameter.grad)
            parameter.grad = None
        for part in module.modules():
            part.training = training
        until_end.enter_context(torch.backends.cudnn.flags(enabled=False))
        if "torch._dynamo" in sys.modules:  # a compiled module would be compiled again for other modes and sizes
            until_end.enter_context(torch.compiler.set_stance("force_eager"))
        until_end.enter_context(torch.inference_mode(mode=False))
        until_end.enter_context(torch.enable_grad())
        yield


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


def _restorer(part: nn.Module) -> Callable[[], None]:
    """Puts one module's mode, buffers and attributes back."""
    training = part.training
    buffers = {name: (buffer, _copied(buffer)) for name, buffer in part._buffers.items()}
    attributes = {name: each for name, each in part.__dict__.items() if name not in REGISTRIES}
    known: set[int] = set()
    contents = [put_back for each in attributes.values() for put_back in _contents(each, known)]

    def restore() -> None:
        part.training = training
        part._buffers = {name: buffer for name, (buffer, _) in buffers.items()}
        for held, copy in buffers.values():
            _put_back(held, copy)
        for name in [each for each in part.__dict__ if each not in attributes and each not in REGISTRIES]:
            del part.__dict__[name]
        part.__dict__.update(attributes)
        for put_back in contents:
            put_back()

    return restore


def _contents(held: object, known: set[int]) -> Iterator[Callable[[], None]]:
    """Each puts one thing back: a tensor's values, or what a list or dict held, at any depth."""
    if not isinstance(held, HOLDERS) or isinstance(held, nn.Parameter) or id(held) in known:
        return
    known.add(id(held))
    if isinstance(held, Tensor):
        yield partial(_put_back, held, _copied(held))
        return
    if isinstance(held, (dict, list)):
        yield partial(_refill, held, dict(held) if isinstance(held, dict) else list(held))
    for each in held.values() if isinstance(held, dict) else held:
        yield from _contents(each, known)


def _refill(held: Any, before: Any) -> None:  # noqa: ANN401 - a list or a dict of anything
    """Touched only where something changed: it may be of a kind that watches its changes."""
    if _identities(held) == _identities(before):
        return
    held.clear()
    if isinstance(held, dict):
        held.update(before)
    else:
        held.extend(before)


def _identities(held: Any) -> list[int]:  # noqa: ANN401
    return [id(each) for each in ([*held, *held.values()] if isinstance(held, dict) else held)]


def _copied(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None or tensor.is_inference() else tensor.detach().clone()


def _put_back(held: Tensor | None, copy: Tensor | None) -> None:
    """By `data`: a graph that waits for its backward pass is not told, since it finds what it saw."""
    if held is not None and copy is not None:
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
