"""What the gates of each cell do with their pre-activations, forward and backward, several units at a time.

Forward hands over, beside the new state, the factors by which a gradient goes back through the step. So backward is
products of those with what arrives, for every activation alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

from flatspot.nn.fused.formulas import Formula, sigmoid
from flatspot.nn.fused.vectors import Vector


@final
@dataclass(frozen=True)
class Forward:
    """After a step: the new output, the new cell state if there is one, and the factors for the way back."""

    output: Vector
    cell: Vector | None
    factors: Sequence[Vector]


@final
@dataclass(frozen=True)
class Backward:
    """Before a step: the gradients of the pre-activations, and of output and cell state besides the weights' way."""

    sums: Sequence[Vector]
    output: Vector | None
    cell: Vector | None


@final
@dataclass(frozen=True)
class Gates:
    """A cell, to a kernel.

    Args:
        count: gates, as the weights have them. sums: pre-activations that are summed up apart.
        of_input, of_state: the sum that each gate's part of the input, and of the state, goes to.
        factors: that are kept for the way back. order: in which the gradients of the sums are stored: so that those of
            `of_input`, and those of `of_state`, stand together.
        cell: whether there is a cell state.
        forward: from sums, output, cell state and activation. backward: from their gradients and the factors.
    """

    count: int
    sums: int
    of_input: tuple[int, ...]
    of_state: tuple[int, ...]
    factors: int
    order: tuple[int, ...]
    cell: bool
    forward: Callable[[Sequence[Vector], Vector, Vector | None, Formula], Forward]
    backward: Callable[[Vector, Vector | None, Sequence[Vector]], Backward]


def _rnn_forward(sums: Sequence[Vector], output: Vector, cell: Vector | None, activation: Formula) -> Forward:  # noqa: ARG001
    value, slope = activation(sums[0])
    return Forward(value, None, [slope])


def _rnn_backward(output: Vector, cell: Vector | None, factors: Sequence[Vector]) -> Backward:  # noqa: ARG001
    return Backward([output * factors[0]], None, None)


def _gru_forward(sums: Sequence[Vector], output: Vector, cell: Vector | None, activation: Formula) -> Forward:  # noqa: ARG001
    reset, update = sigmoid(sums[0]), sigmoid(sums[1])
    new, slope = activation(reset.times_plus(sums[3], sums[2]))
    to_new = (1.0 - update) * slope
    to_reset = to_new * sums[3] * reset * (1.0 - reset)
    to_update = (output - new) * update * (1.0 - update)
    after = update.times_plus(output - new, new)
    return Forward(after, None, [to_new, reset, to_reset, to_update, update])


def _gru_backward(output: Vector, cell: Vector | None, factors: Sequence[Vector]) -> Backward:  # noqa: ARG001
    to_new, reset, to_reset, to_update, update = factors
    new = output * to_new
    return Backward([output * to_reset, output * to_update, new, new * reset], output * update, None)


def _lstm_forward(sums: Sequence[Vector], output: Vector, cell: Vector | None, activation: Formula) -> Forward:  # noqa: ARG001
    assert cell is not None  # noqa: S101 - an LSTM has one
    let_in, keep, let_out = (sigmoid(sums[gate]) for gate in (0, 1, 3))
    new, slope = activation(sums[2])
    after = keep.times_plus(cell, let_in * new)
    shown, shown_slope = activation(after)
    factors = [
        new * let_in * (1.0 - let_in),
        cell * keep * (1.0 - keep),
        let_in * slope,
        shown * let_out * (1.0 - let_out),
        let_out * shown_slope,
        keep,
    ]
    return Forward(let_out * shown, after, factors)


def _lstm_backward(output: Vector, cell: Vector | None, factors: Sequence[Vector]) -> Backward:
    assert cell is not None  # noqa: S101 - an LSTM has one
    to_in, to_keep, to_new, to_out, to_cell, keep = factors
    after = output.times_plus(to_cell, cell)
    return Backward([after * to_in, after * to_keep, after * to_new, output * to_out], None, after * keep)


GATES: Final[Mapping[str, Gates]] = {
    "rnn": Gates(1, 1, (0,), (0,), 1, (0,), cell=False, forward=_rnn_forward, backward=_rnn_backward),
    "gru": Gates(3, 4, (0, 1, 2), (0, 1, 3), 5, (2, 0, 1, 3), cell=False, forward=_gru_forward, backward=_gru_backward),
    "lstm": Gates(
        4,
        4,
        (0, 1, 2, 3),
        (0, 1, 2, 3),
        6,
        (0, 1, 2, 3),
        cell=True,
        forward=_lstm_forward,
        backward=_lstm_backward,
    ),
}
"""By the names of the cells. A GRU's candidate has two sums: the state's part is multiplied by the reset gate."""
