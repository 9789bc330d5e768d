"""neuralforecast, as its documentation trains and cross-validates a model on one series."""

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from common import Asked, Clock, Rows, answer, error
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from neuralforecast.models import GRU, LSTM, RNN


class Clocked(Clock, pl.Callback):
    """A clock in neuralforecast's Trainer."""


def main() -> None:
    """Train, forecast after every window, answer."""
    asked = Asked.from_command_line()
    torch.set_num_threads(asked.threads)
    rows, clock = Rows.of(asked), Clocked()
    windows = rows.val - asked.window - asked.horizon + 1
    epoch = -(-windows // asked.batch)
    model = {"rnn": RNN, "gru": GRU, "lstm": LSTM}[asked.cell](
        h=asked.horizon,
        input_size=asked.window,
        encoder_n_layers=1,
        encoder_hidden_size=asked.hidden,
        windows_batch_size=asked.batch,
        max_steps=asked.epochs * epoch,
        val_check_steps=epoch,
        learning_rate=asked.rate,
        loss=MSE(),
        random_seed=asked.seed,
        accelerator="cpu",
        devices=1,
        callbacks=[clock],
    )
    frame = pd.DataFrame({"unique_id": "series", "ds": pd.to_datetime(rows.stamps), "y": rows.values})
    found = NeuralForecast(models=[model], freq="h").cross_validation(
        frame,
        n_windows=None,
        step_size=1,
        val_size=rows.test - rows.val,
        test_size=len(rows.values) - rows.test,
    )
    made = found.sort_values(["cutoff", "ds"])[type(model).__name__].to_numpy().reshape(-1, asked.horizon)
    assert np.isfinite(made).all()
    answer(clock, error(made, rows.truth(asked)), len(made), "neuralforecast", "pytorch-lightning", "torch")


if __name__ == "__main__":
    main()
