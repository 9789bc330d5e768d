"""Recurrent layers and what goes around them: RNN, GRU and LSTM are torch.nn's, with any activation."""

from flatspot.nn.recurrent import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
