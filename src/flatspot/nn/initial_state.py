"""The state that a recurrent layer starts each sequence with: what `model.initial_state=` may say."""

from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from flatspot.nn.scan import Sequences, State
from flatspot.registry import Registry


@final
class Zeros(nn.Module):
    """Zeros: torch.nn's own default."""

    def __init__(self, *_: int) -> None:
        super().__init__()

    def forward(self, x: Sequences) -> State | None:
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

    def forward(self, x: Sequences) -> State | None:
        """A draw of its own for each sequence of the batch."""
        if not self.training:
            return None
        layers, hidden_size = self._size
        values = x.data if isinstance(x, PackedSequence) else x
        size = (self._states, layers, _number_of(x), hidden_size)
        return _as_torch_has_it(torch.randn(size, device=values.device, dtype=values.dtype))


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

    def forward(self, x: Sequences) -> State | None:
        """The same state for each sequence of the batch."""
        return _as_torch_has_it(self.start.expand(-1, -1, _number_of(x), -1).contiguous())


INITIAL_STATES: Final[Registry[Callable[[int, int, int], nn.Module]]] = Registry(
    "initial state", {"zeros": Zeros, "normal": Normal, "learned": Learned}
)


def _number_of(x: Sequences) -> int:
    """How many sequences there are: all have a first step."""
    return int(x.batch_sizes[0]) if isinstance(x, PackedSequence) else len(x)


def _as_torch_has_it(stacked: Float[Tensor, "state layer batch hidden"]) -> State:
    parts = tuple(stacked.unbind(0))
    return parts if len(parts) > 1 else parts[0]
