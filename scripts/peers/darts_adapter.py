"""darts, as its documentation trains a BlockRNNModel on one scaled series, and forecasts after every window."""

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from common import Asked, Clock, Rows, answer, error
from darts import TimeSeries
from darts.dataprocessing.transformers import Scaler
from darts.models import BlockRNNModel


class Clocked(Clock, pl.Callback):
    """A clock in darts' Trainer."""


def main() -> None:
    """Train, forecast after every window, answer."""
    asked = Asked.from_command_line()
    torch.set_num_threads(asked.threads)
    rows, clock = Rows.of(asked), Clocked()
    series = TimeSeries.from_times_and_values(pd.DatetimeIndex(rows.stamps), rows.values[:, None])
    scaler = Scaler(global_fit=True)  # the forecasts are many series, the scale is one
    train = scaler.fit_transform(series[: rows.val])
    model = BlockRNNModel(
        model=asked.cell.upper(),
        input_chunk_length=asked.window,
        output_chunk_length=asked.horizon,
        hidden_dim=asked.hidden,
        n_rnn_layers=1,
        batch_size=asked.batch,
        n_epochs=asked.epochs,
        optimizer_kwargs={"lr": asked.rate},
        random_state=asked.seed,
        pl_trainer_kwargs={"accelerator": "cpu", "callbacks": [clock]},
    )
    model.fit(train, val_series=scaler.transform(series[rows.val : rows.test]))
    made = model.historical_forecasts(
        scaler.transform(series),
        start=rows.test,
        start_format="position",
        forecast_horizon=asked.horizon,
        stride=1,
        retrain=False,
        last_points_only=False,
    )
    values = np.stack([each.values()[:, 0] for each in scaler.inverse_transform(made)])
    answer(clock, error(values, rows.truth(asked)), len(values), "darts", "pytorch-lightning", "torch")


if __name__ == "__main__":
    main()
