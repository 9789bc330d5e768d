"""The state that a recurrent layer starts each sequence with: what `model.initial_state=` may say."""

from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.nn.scan import State
from flatspot.registry import Registry


@final
class Zeros(nn.Module):
    """Zeros: torch.nn's own default."""

    def __init__(self, *_: int) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "batch time feature"]) -> State | None:
        """None: the layer takes zeros."""


@final
class Normal(nn.Module):
    """Drawn from N(0, 1) for every sequence anew in training; zeros in evaluation, where no draw should decide.

    Args:
        states: tensors in the state: h, or h and c. layers: stacked layers, times two if bidirectional.
        hidden_size: units a layer.
    """

    def __init__(self, states: int, layers: int, hidden_size: int) -> None:
        super().__init__()
        self._states = states
        self._size = (layers, hidden_size)

    def forward(self, x: Float[Tensor, "batch time feature"]) -> State | None:
        """A draw of its own for each sequence of the batch."""
        if not self.training:
            return None
        layers, hidden_size = self._size
        size = (self._states, layers, len(x), hidden_size)
        return _as_torch_has_it(torch.randn(size, device=x.device, dtype=x.dtype))


@final
class Learned(nn.Module):
    """One learned state for all sequences; it starts at zero.

    Args:
        states: tensors in the state: h, or h and c. layers: stacked layers, times two if bidirectional.
        hidden_size: units a layer.
    """

    def __init__(self, states: int, layers: int, hidden_size: int) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(states, layers, 1, hidden_size))

    def forward(self, x: Float[Tensor, "batch time feature"]) -> State | None:
        """The same state for each sequence of the batch."""
        return _as_torch_has_it(self.start.expand(-1, -1, len(x), -1).contiguous())


INITIAL_STATES: Final[Registry[Callable[[int, int, int], nn.Module]]] = Registry(
    "initial state", {"zeros": Zeros, "normal": Normal, "learned": Learned}
)


def _as_torch_has_it(stacked: Float[Tensor, "state layer batch hidden"]) -> State:
    parts = tuple(stacked.unbind(0))
    return parts if len(parts) > 1 else parts[0]
