"""What a forecaster measures where every series has a scale of its own, and what another package may build on."""

import pytest
import torch
from lightning import Trainer
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from torch import nn
from torch.utils.data import DataLoader

from flatspot.models.forecast_module import ForecastModule
from flatspot.models.forecaster import Forecaster
from flatspot.models.models import MODELS

MEAN, SCALE = [[1e4, 5.0], [-30.0, 0.0], [0.5, 7.0]], [[20.0, 1.0], [3.0, 2.0], [0.1, 4.0]]


class LastValues(ForecastModule):
    """As another package writes one: see tests/example_package."""

    def __init__(self, *, inputs=1, targets=1, horizon=1, last=2, **training):
        super().__init__(inputs=inputs, targets=targets, horizon=horizon, **training)
        self.save_hyperparameters(logger=False)
        self.last = last
        self.linear = nn.Linear(last * inputs, horizon * targets)
        self.shape = (horizon, targets)

    def forward(self, x):
        return self.linear(x[:, -self.last :].flatten(1)).view(-1, *self.shape)


def batches(seed, *, parts):
    source = torch.Generator().manual_seed(seed)
    made = []
    for size in (16, 16, 5):
        x, y = torch.randn(size, 6, 2, generator=source), torch.randn(size, 3, 2, generator=source)
        made.append((x, y, torch.randint(3, (size,), generator=source))[:parts])
    return made


def loader(made):
    return DataLoader(made, batch_size=None, collate_fn=lambda batch: batch)


@pytest.mark.parametrize("build", [Forecaster, LastValues])
def test_series_with_scales_of_their_own_are_measured_in_original_units(build, trainer_options):
    torch.manual_seed(0)
    model, made = build(inputs=2, targets=2, horizon=3), batches(1, parts=3)
    model.target_scaling.set(MEAN, SCALE)
    trainer = Trainer(max_epochs=1, **trainer_options)
    trainer.fit(model, loader(batches(0, parts=3)), loader(made))
    validated = {name: value.item() for name, value in trainer.callback_metrics.items()}
    (logged,) = trainer.test(model, loader(made), verbose=False)
    with torch.no_grad():
        ours = torch.cat([model.target_scaling.inverse(model(x), series) for x, _, series in made]).flatten(1)
    y = torch.cat([model.target_scaling.inverse(y, series) for _, y, series in made]).flatten(1)
    for part, found in {"val": validated, "test": logged}.items():
        assert found[f"error/mae_{part}"] == pytest.approx(mean_absolute_error(y, ours), rel=1e-5)
        rmse = root_mean_squared_error(y.flatten(), ours.flatten())
        assert found[f"error/rmse_{part}"] == pytest.approx(rmse, rel=1e-5)
        assert found[f"error/r2_{part}"] == pytest.approx(r2_score(y, ours, multioutput="variance_weighted"), rel=1e-5)


def test_a_new_scale_is_used_in_the_next_test(trainer_options):
    model, made = Forecaster(inputs=2, targets=2, horizon=3), batches(1, parts=3)
    found = []
    for factor in (1.0, 10.0):
        model.target_scaling.set(MEAN, [[factor * each for each in row] for row in SCALE])
        (logged,) = Trainer(**trainer_options).test(model, loader(made), verbose=False)
        found.append(logged["error/mae_test"])
    assert found[1] == pytest.approx(10 * found[0], rel=1e-5)


def test_a_batch_that_says_no_series_is_refused_where_each_has_its_scale(trainer_options):
    model = Forecaster(inputs=2, targets=2, horizon=3)
    model.target_scaling.set(MEAN, SCALE)
    with pytest.raises(ValueError, match="a batch needs the number of each sample's series"):
        Trainer(**trainer_options).test(model, loader(batches(1, parts=2)), verbose=False)


def test_with_one_scale_for_all_the_series_make_no_difference(trainer_options):
    model, logged = Forecaster(inputs=2, targets=2, horizon=3), []
    model.target_scaling.set(MEAN[0], SCALE[0])
    for parts in (2, 3):
        logged += Trainer(**trainer_options).test(model, loader(batches(1, parts=parts)), verbose=False)
    assert logged[0] == logged[1]


def test_another_packages_model_keeps_all_it_was_given(tmp_path, trainer_options):
    torch.manual_seed(0)
    model = LastValues(inputs=2, targets=2, horizon=3, last=4, loss="mae")
    trainer = Trainer(max_epochs=1, **trainer_options)
    trainer.fit(model, loader(batches(0, parts=2)), loader(batches(1, parts=2)))
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    loaded = LastValues.load_from_checkpoint(tmp_path / "it.ckpt", weights_only=True)
    assert loaded.hparams == model.hparams
    assert (loaded.hparams["last"], loaded.hparams["loss"], loaded.hparams["optimizer"]) == (4, "mae", "adamw")
    x = torch.randn(3, 6, 2)
    assert torch.equal(loaded(x), model(x))


def test_an_abstract_model_cannot_be_built():
    with pytest.raises(TypeError, match="abstract"):
        ForecastModule()


def test_our_models_go_by_their_names():
    assert list(MODELS)[:3] == ["forecaster", "regressor", "classifier"]
    assert MODELS["forecaster"] is Forecaster
