"""pytorch-forecasting, as its documentation trains a RecurrentNetwork on a TimeSeriesDataSet."""

import lightning.pytorch as pl
import pandas as pd
import torch
from common import Asked, Clock, Rows, answer, error
from pytorch_forecasting import RecurrentNetwork, TimeSeriesDataSet
from pytorch_forecasting.metrics import RMSE


class Clocked(Clock, pl.Callback):
    """A clock in a Trainer."""


def main() -> None:
    """Train, forecast after every window, answer."""
    asked = Asked.from_command_line()
    torch.set_num_threads(asked.threads)
    pl.seed_everything(asked.seed)
    rows, clock = Rows.of(asked), Clocked()
    frame = pd.DataFrame({"time": range(len(rows.values)), "series": "one", "value": rows.values})
    train = TimeSeriesDataSet(
        frame[: rows.val],
        time_idx="time",
        target="value",
        group_ids=["series"],
        min_encoder_length=asked.window,
        max_encoder_length=asked.window,
        min_prediction_length=asked.horizon,
        max_prediction_length=asked.horizon,
        time_varying_unknown_reals=["value"],
    )
    val = TimeSeriesDataSet.from_dataset(train, frame[: rows.test], min_prediction_idx=rows.val)
    test = TimeSeriesDataSet.from_dataset(train, frame, min_prediction_idx=rows.test)
    model = RecurrentNetwork.from_dataset(
        train,
        cell_type=asked.cell.upper(),
        hidden_size=asked.hidden,
        rnn_layers=1,
        learning_rate=asked.rate,
        optimizer="adam",
        loss=RMSE(),
    )
    trainer = pl.Trainer(max_epochs=asked.epochs, accelerator="cpu", gradient_clip_val=0.1, callbacks=[clock])
    trainer.fit(
        model,
        train.to_dataloader(train=True, batch_size=asked.batch, num_workers=0),
        val.to_dataloader(train=False, batch_size=asked.batch, num_workers=0),
    )
    made = model.predict(
        test.to_dataloader(train=False, batch_size=asked.batch, num_workers=0),
        return_index=True,
        trainer_kwargs={"accelerator": "cpu"},
    )
    order = made.index["time"].to_numpy().argsort()
    values = made.output.numpy()[order]
    answer(clock, error(values, rows.truth(asked)), len(values), "pytorch-forecasting", "lightning", "torch")


if __name__ == "__main__":
    main()
