"""The recurrent cells by name: what `model.cell=` may say."""

from typing import Final

from flatspot.errors import BadInput
from flatspot.nn.cell import Cell
from flatspot.nn.gru import GRU
from flatspot.nn.lstm import LSTM
from flatspot.nn.rnn import RNN
from flatspot.nn.zoo import LEFT_OUT, ZOO, ZooCell
from flatspot.registry import Registry, UnknownName, nearest

CELLS: Final = Registry("cell", {"rnn": RNN, "gru": GRU, "lstm": LSTM}, extensions="flatspot.cells", of=Cell)


def cell_named(name: str) -> Cell | ZooCell:
    """Our own, one of another package's, or one of torchrecurrent's, which is not imported yet.

    Raises:
        BadInput: for a name that is not known, and for a cell that did not pass the examination.
    """
    if name in ZOO:
        return ZOO[name]
    if name in CELLS:
        return CELLS[name]
    if name in LEFT_OUT:
        cell, why = LEFT_OUT[name]
        raise BadInput(f"model.cell={name}: torchrecurrent's {cell.name} is left out; it {why} (docs/cells.md)")
    raise UnknownName(f"no cell is called {name!r}; {nearest(name, [*CELLS, *ZOO])}")
