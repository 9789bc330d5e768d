import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.models.forecaster import Forecaster
from flatspot.nn import LSTM
from flatspot.nn.cells import CELLS
from flatspot.nn.scan import Scan

PAIRS = [(cell, activation) for cell in CELLS for activation in ACTIVATIONS]
NATIVE = [("rnn", "tanh"), ("rnn", "relu"), ("gru", "tanh"), ("lstm", "tanh")]


@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_every_cell_forecasts_every_step_and_target(cell, activation):
    model = Forecaster(inputs=3, targets=2, horizon=5, cell=cell, activation=activation, hidden_size=4)
    assert model(torch.zeros(7, 11, 3)).shape == (7, 5, 2)


@pytest.mark.parametrize("cell", CELLS)
def test_the_named_activation_is_the_one_that_runs(cell):
    outputs = []
    for activation in ACTIVATIONS:
        torch.manual_seed(0)
        model = Forecaster(inputs=3, cell=cell, activation=activation, hidden_size=4)  # machine code from above
        outputs.append(model(torch.full((1, 5, 3), 9.0)).item())
    assert len({round(output, 6) for output in outputs}) == len(ACTIVATIONS)


@pytest.mark.parametrize("head", [name for name in ACTIVATIONS if name != "identity"])
def test_the_heads_activation_bounds_the_outputs(head):
    torch.manual_seed(0)
    free, bounded = Forecaster(horizon=50), Forecaster(horizon=50, head_activation=head)
    nn.init.normal_(free.head.weight, std=3.0)
    bounded.load_state_dict(free.state_dict())
    x = 10 * torch.randn(8, 5, 1)
    assert torch.equal(bounded(x), ACTIVATIONS[head].function(free(x)))
    assert not torch.equal(bounded(x), free(x))


def test_both_directions_have_read_the_whole_window():
    torch.manual_seed(0)
    model = Forecaster(cell="gru", hidden_size=4, bidirectional=True)
    x = torch.randn(1, 6, 1, requires_grad=True)
    for half in (slice(4), slice(4, 8)):
        model.head.weight.data.zero_()
        model.head.weight.data[:, half] = 1.0
        (gradient,) = torch.autograd.grad(model(x).sum(), x)
        assert (gradient != 0).all()


@pytest.mark.parametrize(
    ("options", "scan"),
    [
        ({}, False),
        ({"layer_norm": True}, True),
        ({"residual": True, "num_layers": 2}, True),
        ({"activation": "sin"}, False),
    ],
)
def test_a_drop_in_of_torchs_layer_runs_what_it_can(options, scan):
    assert isinstance(Forecaster(**options).encoder, Scan if scan else LSTM)


@pytest.mark.parametrize(("cell", "activation"), NATIVE)
def test_it_is_torchs_layer_and_a_linear_head_on_the_last_state(cell, activation):
    torch.manual_seed(0)
    model = Forecaster(horizon=2, cell=cell, activation=activation, hidden_size=4, num_layers=2)
    layer = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    options = {"nonlinearity": activation} if cell == "rnn" else {}
    twin = layer(1, 4, 2, batch_first=True, **options)
    twin.load_state_dict(model.encoder.state_dict())
    x = torch.randn(3, 6, 1)
    expected = twin(x)[0][:, -1] @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x).flatten(1), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "gur"}, "no cell is called 'gur'; did you mean 'gru'"),
        ({"activation": "rellu"}, "no activation is called 'rellu'; did you mean 'relu'"),
        ({"head_activation": "linear"}, "model.head_activation=linear: "),
        ({"initial_state": "zero"}, "no initial state is called 'zero'; did you mean 'zeros'"),
        ({"residual": True}, "model.residual=true: acts between stacked layers; set model.num_layers=2"),
        ({"layer_norm": True, "hidden_size": 1}, "model.layer_norm=true: one unit, normalised over itself, is 0"),
        ({"loss": "msee"}, "no loss is called 'msee'; did you mean 'mse'"),
        ({"optimizer": "adams"}, "no optimizer is called 'adams'"),
        ({"scheduler": "cosin"}, "no scheduler is called 'cosin'; did you mean 'cosine'"),
        ({"hidden_size": 0}, "model.hidden_size=0: must be at least 1"),
        ({"num_layers": 0}, "model.num_layers=0: must be at least 1"),
        ({"dropout": 1.0}, "model.dropout=1.0: must be at least 0 and below 1"),
        ({"dropout": 0.5}, "model.dropout=0.5: acts between stacked layers"),
        ({"lr": 0.0}, "optimizer.lr=0.0: must be a number above 0"),
        ({"optimizer": "adam", "momentum": 0.9}, "optimizer.momentum=0.9: adam takes no momentum"),
        ({"weight_decay": -0.1}, "optimizer.weight_decay=-0.1: must be a number of at least 0"),
        ({"weight_decay": float("nan")}, "optimizer.weight_decay=nan"),
        ({"lr": float("inf")}, "optimizer.lr=inf"),
        ({"optimizer": "sgd", "momentum": 1.0}, "optimizer.momentum=1.0: must be at least 0 and below 1"),
    ],
)
def test_what_cannot_be_used_is_named(options, message):
    with pytest.raises(BadInput, match=message):
        Forecaster(**options)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop"])
@pytest.mark.parametrize("scheduler", ["none", "cosine", "plateau"])
def test_every_optimizer_and_schedule_trains(optimizer, scheduler, data, trainer_options):
    torch.manual_seed(0)
    model = Forecaster(inputs=2, horizon=3, hidden_size=4, optimizer=optimizer, scheduler=scheduler)
    before = model.head.weight.detach().clone()
    trainer = Trainer(max_epochs=1, limit_train_batches=2, **trainer_options)
    trainer.fit(model, datamodule=data)
    assert not torch.equal(model.head.weight, before)


def test_momentum_and_decay_reach_the_optimizer(data, trainer_options):
    model = Forecaster(inputs=2, horizon=3, optimizer="sgd", lr=0.1, momentum=0.7, weight_decay=0.2)
    trainer = Trainer(max_epochs=1, limit_train_batches=1, limit_val_batches=0, **trainer_options)
    trainer.fit(model, datamodule=data)
    group = trainer.optimizers[0].param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.7, 0.2)


def test_a_checkpoint_loads_with_weights_only_and_forecasts_the_same(forecaster, data, trainer_options, tmp_path):
    forecaster.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    keep = ModelCheckpoint(tmp_path, filename="best", monitor="loss/val")
    trainer = Trainer(max_epochs=1, callbacks=[keep], **(trainer_options | {"enable_checkpointing": True}))
    trainer.fit(forecaster, datamodule=data)
    loaded = Forecaster.load_from_checkpoint(tmp_path / "best.ckpt", weights_only=True)
    x = torch.randn(3, 12, 2)
    assert torch.equal(loaded(x), forecaster(x))
    assert loaded.hparams["cell"] == "gru"
    assert loaded.target_scaling.mean.tolist() == data.target_scaling.mean
    assert all(isinstance(value, (int, float, str, type(None))) for value in loaded.hparams.values())


def test_logged_errors_are_in_original_units(forecaster, data, trainer_options):
    forecaster.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    trainer = Trainer(**trainer_options)
    (logged,) = trainer.test(forecaster, datamodule=data, verbose=False)
    x, y = data.dataset("test").__getitems__(range(len(data.dataset("test"))))
    with torch.no_grad():
        gap = forecaster.eval()(x) - y
    assert logged["error/mae_test"] == pytest.approx((gap.abs().mean() * data.target_scaling.scale[0]).item(), rel=1e-5)
    assert logged["loss/test"] == pytest.approx(gap.square().mean().item(), rel=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_a_gpu_gives_the_numbers_of_a_cpu(cell, activation):
    model = Forecaster(horizon=3, cell=cell, activation=activation)
    x = torch.randn(8, 20, 1)
    here = model(x)
    there = model.cuda()(x.cuda())
    torch.testing.assert_close(there.to("cpu"), here, atol=1e-4, rtol=1e-4)
