"""The recurrent cells by name: what `model.cell=` may say."""

from difflib import SequenceMatcher
from typing import Final

from flatspot.errors import BadInput
from flatspot.nn.cell import Cell
from flatspot.nn.gru import GRU
from flatspot.nn.lstm import LSTM
from flatspot.nn.rnn import RNN
from flatspot.nn.zoo import LEFT_OUT, ZOO, ZooCell
from flatspot.registry import Registry, UnknownName

CELLS: Final = Registry("cell", {"rnn": RNN, "gru": GRU, "lstm": LSTM}, extensions="flatspot.cells", of=Cell)


def cell_named(name: str) -> Cell | ZooCell:
    """Our own, one that an installed package adds, or else one of torchrecurrent's, which is not imported yet.

    Raises:
        BadInput: for a name that is not known, and for a cell that did not pass the examination.
    """
    if name in CELLS:
        return CELLS[name]
    if name in ZOO:
        return ZOO[name]
    if name in LEFT_OUT:
        cell, why = LEFT_OUT[name]
        raise BadInput(f"model.cell={name}: torchrecurrent's {cell.name} is left out; it {why} (docs/cells.md)")
    raise UnknownName(f"no cell is called {name!r}; {_nearest(str(name))}")


def _nearest(name: str) -> str:
    """As the registry's hint, with ours before theirs where both are as near."""

    def likeness(known: str) -> float:
        return SequenceMatcher(None, known, name.lower()).ratio()

    best = max([*CELLS, *ZOO], key=likeness)
    known = f"known: {', '.join(sorted(CELLS))}; with the extra zoo {', '.join(sorted(set(ZOO) - set(CELLS)))}"
    return f"did you mean {best!r}? ({known})" if likeness(best) >= 0.5 else known
