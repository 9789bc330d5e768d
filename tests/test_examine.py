import numpy as np
import pytest
import torch

from flatspot.cli.build import build_model
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.examination.own import examine_model
from flatspot.models.forecaster import Forecaster


def examined(values, loss="mse"):
    data = SeriesDataModule(Series("made", ("y",), 1, values[:, None]), window=12, horizon=3)
    torch.manual_seed(0)
    model = Forecaster(horizon=3, hidden_size=4, loss=loss)
    model.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    return examine_model(model, data), model


def waves(offset=0.0, size=1.0):
    noise = np.random.default_rng(0).normal(size=400)
    return offset + size * (10 * np.sin(np.arange(400) / 5) + noise)


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12])
def test_an_offset_moves_no_error(offset):
    """All rows of the table, the naive ones too, are as exact as the series is."""
    plain, moved = examined(waves())[0], examined(waves(offset))[0]
    for name in ("mean", "persistence", "ridge"):
        assert moved.evaluation.baseline_scores()[name]["rmse"] == pytest.approx(
            plain.evaluation.baseline_scores()[name]["rmse"], rel=1e-3
        )
    assert moved.evaluation.scores()["mae"] == pytest.approx(plain.evaluation.scores()["mae"], rel=1e-3)


def test_a_larger_unit_gives_larger_errors_and_the_same_verdict():
    small, large = examined(waves())[0], examined(waves(size=1000.0))[0]
    assert large.evaluation.scores()["rmse"] == pytest.approx(1000 * small.evaluation.scores()["rmse"], rel=1e-4)
    assert large.evaluation.scores()["mase"] == pytest.approx(small.evaluation.scores()["mase"], rel=1e-4)
    assert large.diagnosis().verdict == small.diagnosis().verdict == "flat"


def test_noise_is_rightly_answered_with_a_constant():
    found, _ = examined(np.random.default_rng(1).normal(size=2000))
    assert found.references["ridge"] < 0.02
    assert found.diagnosis().verdict == "rightly-flat"


def test_the_model_and_the_random_state_stay_as_they_were():
    _, model = examined(waves())
    assert model.training
    torch.manual_seed(0)
    Forecaster(horizon=3, hidden_size=4)
    expected = torch.rand(1)
    examined(waves())
    assert torch.equal(torch.rand(1), expected)


def test_the_builder_hands_the_scaling_to_the_model(data):
    config = {"model": {"name": "forecaster"}, "optimizer": {"name": "adam", "lr": 1e-3}, "scheduler": "none"}
    model = build_model(config, data)
    assert model.target_scaling.mean.tolist() == data.target_scaling.mean
    assert model.input_scaling.scale.tolist() == data.input_scaling.scale
