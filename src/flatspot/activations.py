"""One table of activations: what `model.activation=` may name, and for which cells.

torch.nn's own layers run these, so the table is as short as what they run: `nn.RNN` knows tanh and relu, and the
gates and candidates of `nn.GRU` and `nn.LSTM` are fixed (tanh).
"""

from typing import Final

from flatspot.errors import BadInput
from flatspot.registry import Registry

BY_CELL: Final = Registry(
    "cell",
    {
        "rnn": ("tanh", "relu"),
        "gru": ("tanh",),
        "lstm": ("tanh",),
    },
)


def check_activation(cell: str, activation: str) -> None:
    """Refuse an activation that the cell would not really run: a knob that does nothing is a bug.

    Raises:
        BadInput: naming the cell's activations.
    """
    if activation not in BY_CELL[cell]:
        known = ", ".join(BY_CELL[cell])
        others = ", ".join(f"model.cell={name}" for name, runs in BY_CELL.items() if activation in runs)
        hint = f"; try {others}" if others else ""
        raise BadInput(f"model.activation={activation}: the cell {cell} runs {known}{hint}")
