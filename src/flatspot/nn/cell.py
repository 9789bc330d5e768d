"""What a recurrent layer does at one time step, and which of torch.nn's layers does the same."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

Elementwise = Callable[[Tensor], Tensor]

Norm = Callable[[Tensor, int], Tensor]
"""Normalises the pre-activation of the gate with that number; without layer norm it returns what it is given."""


@runtime_checkable
class Step(Protocol):
    """From one time step to the next."""

    def __call__(
        self,
        from_input: Float[Tensor, "batch gates*hidden"],
        from_state: Float[Tensor, "batch gates*hidden"],
        state: tuple[Float[Tensor, "batch hidden"], ...],
        activation: Elementwise,
        norm: Norm,
    ) -> tuple[Float[Tensor, "batch hidden"], ...]:
        """The next state, its output first.

        Args:
            from_input: W_ih x + b_ih. from_state: W_hh h + b_hh, with h the first part of the state.
            state: the state before.
            activation: the one that the user named.
            norm: to be applied to each gate's pre-activation.
        """


@final
@dataclass(frozen=True)
class Cell:
    """A recurrent cell: its equation, its sizes, and torch.nn's layer where there is one.

    Args:
        step: the equation.
        gates: the blocks of `hidden_size` rows in its weights.
        states: the tensors in its state: 1 (h), or 2 (h and c).
        native: torch.nn's layers with the same equation and the same parameters, each after the function it runs.
        candidate: the block of the weights that the activation is of. keep: the gate that multiplies the old state;
            write: the one that multiplies the new. None: there is none, or it is not said, and `flatspot.nn`'s starting
            weights leave it alone.
    """

    step: Step
    gates: int
    states: int = 1
    native: tuple[tuple[Elementwise, Callable[..., nn.RNNBase]], ...] = ()
    candidate: int | None = None
    keep: int | None = None
    write: int | None = None
