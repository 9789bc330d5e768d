"""The recurrent cells by name: what `model.cell=` may say."""

from typing import Final

from flatspot.nn.cell import Cell
from flatspot.nn.gru import GRU
from flatspot.nn.lstm import LSTM
from flatspot.nn.rnn import RNN
from flatspot.registry import Registry

CELLS: Final = Registry("cell", {"rnn": RNN, "gru": GRU, "lstm": LSTM}, extensions="flatspot.cells", of=Cell)
