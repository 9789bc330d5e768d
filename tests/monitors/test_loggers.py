"""Every logger gets the figures; histograms and pictures go to those that can take them."""

import csv

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from torch.utils.data import DataLoader, TensorDataset

from flatspot.models.forecaster import Forecaster
from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor

SCALARS = {
    "diversity/ratio_train",
    "diversity/ratio_val",
    "diversity/minimum_val",
    "diversity/clock_share_val",
    "diversity/duplicates_val",
    "gradient/total",
    "gradient/total_max",
    "gradient/encoder",
    "update_ratio/total",
    "update_ratio/head",
    "activation/network.encoder_saturated",
    "activation/network.encoder_dead",
}
HISTOGRAMS = {"diversity/distance_val", "activation/network.encoder/update"}
PICTURES = {
    "diversity/stations",
    "sensitivity/by_step",
    "loss_gradient/by_step",
    "activation/gates",
    "forecast/examples",
}


@pytest.fixture(scope="module")
def loggers(tmp_path_factory, request):
    """A fit that three loggers hear of, one of them Weights & Biases, offline."""
    wandb = pytest.importorskip("wandb")
    folder = tmp_path_factory.mktemp("logs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_MODE", "offline")
        made = {
            "tensorboard": TensorBoardLogger(folder / "tensorboard", name="", version=""),
            "csv": CSVLogger(folder / "csv", name="", version=""),
            "wandb": WandbLogger(save_dir=folder, project="flatspot", offline=True),
        }
        _fit(list(made.values()), folder)
        yield made, folder
        wandb.finish()


def _fit(loggers, folder):
    torch.manual_seed(0)
    x = torch.randn(64, 12, 2)
    loader = DataLoader(TensorDataset(x, x[:, -3:, :1].cumsum(dim=1)), batch_size=16)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=loggers,
        callbacks=[
            OutputDiversityMonitor(),
            GradientNormMonitor(),
            ActivationMonitor(first=4),
            Doctor(folder, first=4),
        ],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=3,
    )
    trainer.fit(Forecaster(inputs=2, horizon=3, cell="gru", hidden_size=8), loader, loader)
    for logger in loggers:
        logger.finalize("success")


def test_tensorboard(loggers):
    events = EventAccumulator(str(loggers[1] / "tensorboard"), size_guidance={"histograms": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) >= SCALARS
    assert set(tags["histograms"]) >= HISTOGRAMS
    assert set(tags["images"]) == PICTURES
    assert "custom_scalars__config__" in tags["tensors"]
    assert [each.step for each in events.Scalars("gradient/total")] == [2, 3, 6, 7]
    assert [each.step for each in events.Scalars("activation/network.encoder_dead")] == [0, 3, 7]
    histogram = events.Histograms("diversity/distance_val")[-1].histogram_value
    assert histogram.num == sum(histogram.bucket) == 64
    assert histogram.min >= 0


def test_the_layout_puts_loss_diversity_and_gradient_side_by_side(loggers):
    events = EventAccumulator(str(loggers[1] / "tensorboard"))
    events.Reload()
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    (category,) = layout.category
    assert [chart.title for chart in category.chart][:3] == ["loss", "diversity", "gradient"]


def test_csv(loggers):
    with (loggers[1] / "csv" / "metrics.csv").open() as file:
        assert set(csv.DictReader(file).fieldnames) >= SCALARS


def test_weights_and_biases(loggers):
    summary = loggers[0]["wandb"].experiment.summary
    held = set(summary.keys())
    assert held >= SCALARS | HISTOGRAMS | PICTURES
    assert summary["diversity/distance_val"]["_type"] == "histogram"
    assert list(loggers[1].glob("wandb/offline-run-*/files/media/images/diversity/stations*.png"))


def test_pictures_that_nobody_takes_are_not_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("flatspot.monitors.doctor.pictures_of", lambda *_, **__: pytest.fail("drawn"))
    monkeypatch.setattr("flatspot.monitors.activation.gate_shares", lambda *_: pytest.fail("drawn"))
    _fit([CSVLogger(tmp_path, name="", version="")], tmp_path)
