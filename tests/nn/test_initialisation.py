"""Starting weights: what each kind is, in every layer and direction, and what each cell cannot have."""

import math
import sys
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.regressor import Regressor
from flatspot.monitors.layers import LayerLines
from flatspot.nn import GRU, LSTM, RNN, engines
from flatspot.nn.cell import Cell
from flatspot.nn.cells import CELLS
from flatspot.nn.initialisation import RECIPES
from flatspot.nn.layer import build_layer
from flatspot.nn.scan import Scan
from flatspot.run import load

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
NATIVE = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
SCHEMES = ["auto", "torch", "orthogonal", "identity"]
UNITS = 8
SHAPES = [{}, {"num_layers": 2, "bidirectional": True}]


def layer(cell, scheme, *, seed=0, **options):
    torch.manual_seed(seed)
    return LAYERS[cell](3, UNITS, recurrent_init=scheme, **options)


def scan(cell, scheme, *, activation="tanh", **options):
    torch.manual_seed(0)
    return Scan(CELLS[cell], ACTIVATIONS[activation].function, 3, UNITS, recurrent_init=scheme, **options)


def of_kind(module, kind):
    return [value.detach() for name, value in module.named_parameters() if name.startswith(kind)]


def gate(module, cell, number):
    """The biases of a gate, both vectors together, in every layer and direction."""
    pairs = zip(of_kind(module, "bias_ih"), of_kind(module, "bias_hh"), strict=True)
    return torch.cat([(one + other).chunk(GATES[cell])[number] for one, other in pairs])


def same(one, other):
    weights, others = one.state_dict(), other.state_dict()
    return list(weights) == list(others) and all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_torch_is_torchs_own_and_the_default_of_the_layers(cell, shape):
    torch.manual_seed(0)
    theirs = NATIVE[cell](3, UNITS, **shape)
    after = torch.rand(1)
    assert same(layer(cell, "torch", **shape), theirs)
    assert torch.equal(torch.rand(1), after)
    torch.manual_seed(0)
    assert same(LAYERS[cell](3, UNITS, **shape), theirs)
    assert same(scan(cell, "torch", **shape), theirs)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonal_blocks_are_orthogonal_times_the_gain(cell, shape):
    for module in (layer(cell, "orthogonal", activation="softsign", **shape), scan(cell, "orthogonal", **shape)):
        gain = RECIPES["softsign" if isinstance(module, nn.RNNBase) else "tanh"].gain if cell == "rnn" else 1.0
        for weight in of_kind(module, "weight_hh"):
            for block in weight.chunk(GATES[cell]):
                torch.testing.assert_close(block @ block.T, gain**2 * torch.eye(UNITS))
        assert not any(bias.any() for bias in of_kind(module, "bias"))


def test_around_zero_an_activation_that_is_bent_there_has_the_gain_of_the_table():
    (weight,) = of_kind(layer("rnn", "orthogonal", activation="relu"), "weight_hh")
    torch.testing.assert_close(weight @ weight.T, ACTIVATIONS["relu"].recurrent_gain ** 2 * torch.eye(UNITS))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_identity_is_the_candidates_and_has_no_bias(cell, shape):
    candidate = CELLS[cell].candidate
    for module in (layer(cell, "identity", activation="relu", **shape), scan(cell, "identity", **shape)):
        for weight in of_kind(module, "weight_hh"):
            for number, block in enumerate(weight.chunk(GATES[cell])):
                assert torch.equal(block, torch.eye(UNITS) if number == candidate else torch.zeros(UNITS, UNITS))
        assert not any(bias.any() for bias in of_kind(module, "bias"))


@pytest.mark.parametrize("shape", SHAPES)
def test_an_lstm_begins_by_forgetting_little(shape):
    module = layer("lstm", "auto", **shape)
    for number in range(4):
        assert (gate(module, "lstm", number) == (1.0 if number == 1 else 0.0)).all()
    assert not any(bias.any() for bias in of_kind(layer("gru", "auto", **shape), "bias"))


def test_with_layer_norm_the_forget_bias_is_where_the_norm_leaves_it():
    module = scan("lstm", "auto", layer_norm=True)
    assert not any(bias.any() for bias in of_kind(module, "bias"))
    for bias in of_kind(module, "norm_bias"):
        assert torch.equal(bias, torch.tensor([0.0, 1.0, 0.0, 0.0])[:, None].expand(4, UNITS))
    assert same(scan("rnn", "auto", layer_norm=True), scan("rnn", "torch", layer_norm=True))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_auto_is_the_activations_recipe(activation, shape):
    recipe, module = RECIPES[activation], layer("rnn", "auto", activation=activation, **shape)
    apart = torch.eye(UNITS) - 1 / UNITS
    deaf = recipe.centre is not None
    for weight in of_kind(module, "weight_hh"):
        torch.testing.assert_close(weight @ weight.T, recipe.gain**2 * (apart if deaf else torch.eye(UNITS)))
    assert (gate(module, "rnn", 0) == (recipe.centre or 0.0)).all()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_without_an_input_the_units_stay_at_their_centre(activation):
    module, value = layer("rnn", "auto", activation=activation), RECIPES[activation].centre or 0.0
    outputs, _ = module(torch.zeros(30, 1, 3))
    torch.testing.assert_close(outputs, ACTIVATIONS[activation].function(torch.full_like(outputs, value)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_gradient_outlives_fifty_steps_under_auto(activation):
    norms = {}
    for scheme in ("auto", "torch"):
        torch.manual_seed(0)
        module = RNN(1, 32, activation=activation, recurrent_init=scheme, engine="scan").double()
        start = torch.zeros(1, 4, 32, dtype=torch.float64, requires_grad=True)
        final = module(torch.randn(50, 4, 1, dtype=torch.float64), start)[1]
        norms[scheme] = torch.autograd.grad(final.square().sum().sqrt(), start)[0].norm().item()
    assert norms["auto"] > 1e-2
    assert norms["torch"] < 1e-3 * norms["auto"]


def test_input_weights_have_the_recipes_size_whatever_the_number_of_inputs():
    for inputs in (1, 100):
        torch.manual_seed(0)
        weight = RNN(inputs, 2000 // inputs, recurrent_init="auto").weight_ih_l0
        assert weight.std().item() * math.sqrt(inputs) == pytest.approx(RECIPES["tanh"].input_gain, rel=0.1)


def test_a_function_that_the_table_has_not_is_taken_for_the_identity_around_zero():
    (weight,) = of_kind(layer("rnn", "auto", activation=F.hardswish), "weight_hh")
    torch.testing.assert_close(weight @ weight.T, torch.eye(UNITS))


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("shape", SHAPES)
def test_chrono_spreads_what_gates_remember_over_the_length(cell, shape):
    torch.manual_seed(0)
    module = LAYERS[cell](3, 500, recurrent_init="chrono", chrono_length=60, **shape)
    kept = gate(module, cell, 1)
    assert 0 <= kept.min() < 0.5
    assert math.log(57) < kept.max() <= math.log(59)
    assert kept.exp().mean().item() == pytest.approx(30, rel=0.1)
    others = {0: -kept if cell == "lstm" else 0 * kept, 2: 0 * kept}
    for number, expected in others.items():
        assert torch.equal(gate(module, cell, number), expected)


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_drawn_again_as_they_were_first(cell, scheme):
    module = layer(cell, scheme, activation=nn.PReLU(init=0.5), num_layers=2)
    first = {name: value.clone() for name, value in module.state_dict().items()}
    nn.init.constant_(module.weight_hh_l1, 9.0)
    torch.manual_seed(0)
    module.reset_parameters()
    assert all(torch.equal(first[name], value) for name, value in module.state_dict().items())
    module.reset_parameters()
    assert not torch.equal(module.weight_ih_l0, first["weight_ih_l0"])


def test_a_scan_draws_its_weights_again_too():
    module = scan("lstm", "auto", layer_norm=True, num_layers=2)
    first = {name: value.clone() for name, value in module.state_dict().items()}
    for parameter in module.parameters():
        nn.init.constant_(parameter, 9.0)
    torch.manual_seed(0)
    module.reset_parameters()
    assert all(torch.equal(first[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("cell", LAYERS)
def test_the_scan_starts_as_the_drop_in_does(cell):
    for scheme in SCHEMES:
        assert same(scan(cell, scheme, num_layers=2), layer(cell, scheme, num_layers=2))


@pytest.mark.parametrize("options", [{"bias": False}, {"dtype": torch.bfloat16}, {"device": "meta"}, {"hidden": 1}])
def test_layers_without_biases_of_other_numbers_and_of_one_unit_have_every_kind(options):
    units = options.pop("hidden", UNITS)
    for make in LAYERS.values():
        for scheme in SCHEMES:
            made = make(3, units, recurrent_init=scheme, activation="relu", **options)
            assert made.weight_hh_l0.dtype == options.get("dtype", torch.float32)


def step(from_input, from_state, state, activation, norm):
    return (activation(norm(from_input + from_state, 0)[..., :UNITS]),)


def test_a_cell_that_says_nothing_of_its_blocks_keeps_torchs_weights():
    cell = Cell(step, gates=2)
    made = []
    for scheme in ("auto", "torch"):
        torch.manual_seed(0)
        made.append(build_layer(cell, ACTIVATIONS["relu"], 3, UNITS, recurrent_init=scheme))
    assert same(*made)
    with pytest.raises(ValueError, match="recurrent_init=identity: the cell does not say which block"):
        build_layer(cell, ACTIVATIONS["relu"], 3, UNITS, recurrent_init="identity")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"recurrent_init": "ortogonal"}, "recurrent_init=ortogonal: did you mean 'orthogonal'"),
        ({"recurrent_init": "chrono"}, "recurrent_init=chrono: needs chrono_length"),
        ({"recurrent_init": "chrono", "chrono_length": 2}, "chrono_length=2: must be at least 3"),
        ({"recurrent_init": "auto", "chrono_length": 9}, "chrono_length=9: is for recurrent_init=chrono, not auto"),
        ({"engine": "nativ"}, "engine=nativ: did you mean 'native'"),
        ({"engine": "native", "activation": "relu"}, "engine=native: torch.nn has no gru with relu"),
    ],
)
def test_what_cannot_be_is_refused_by_layers_and_by_models(options, told):
    with pytest.raises(ValueError, match=told):
        GRU(3, UNITS, **options)
    with pytest.raises(BadInput, match=f"^model.{told}"):
        Forecaster(cell="gru", **options)


def test_a_plain_cell_has_no_gates_for_chrono():
    with pytest.raises(ValueError, match="recurrent_init=chrono: needs a cell with gates: gru or lstm"):
        RNN(3, UNITS, recurrent_init="chrono", chrono_length=9)
    with pytest.raises(ValueError, match="recurrent_init=chrono: sets biases, and bias=False leaves none"):
        GRU(3, UNITS, recurrent_init="chrono", chrono_length=9, bias=False)


@pytest.mark.parametrize("options", [{"layer_norm": True}, {"residual": True, "num_layers": 2}])
def test_an_engine_that_cannot_run_norms_and_residuals_is_refused(options):
    for engine in ("native", "fused"):
        with pytest.raises(BadInput, match=f"model.engine={engine}: model.{next(iter(options))}=true is run by scan"):
            Forecaster(engine=engine, **options)
    assert isinstance(Forecaster(engine="scan", **options).encoder, Scan)


@pytest.mark.parametrize(("model", "options"), [(Forecaster, {}), (Regressor, {}), (Classifier, {"classes": "ab"})])
def test_models_start_by_activation_and_pass_what_is_said(model, options):
    for cell in LAYERS:
        for scheme in ("auto", "orthogonal"):
            torch.manual_seed(0)
            said = {} if scheme == "auto" else {"recurrent_init": scheme}
            made = model(inputs=3, cell=cell, hidden_size=UNITS, engine="scan", **said, **options).network.encoder
            assert same(made, layer(cell, scheme, batch_first=True))
            assert made.engine == "scan"
    remembering = model(cell="gru", recurrent_init="chrono", chrono_length=40, **options)
    assert remembering.hparams["chrono_length"] == 40


@pytest.mark.parametrize("options", [{"engine": "scan", "recurrent_init": "orthogonal"}, {"layer_norm": True}])
def test_the_log_says_what_runs_and_how_it_started(options, trainer_options, caplog):
    model = Forecaster(cell="gru", hidden_size=4, **options)
    batches = DataLoader(TensorDataset(torch.zeros(2, 5, 1), torch.zeros(2, 1, 1)))
    with caplog.at_level("INFO", logger="flatspot.monitors.layers"):
        Trainer(**trainer_options, callbacks=[LayerLines()], max_epochs=1).fit(model, batches, batches)
    why = (
        "asked for" if "engine" in options else "layer norm, residual layers and cells of others are run by plain torch"
    )
    (line,) = [record.getMessage() for record in caplog.records if record.name == "flatspot.monitors.layers"]
    assert line.startswith(f"engine scan: {why}")
    assert line.endswith(f"recurrent_init {options.get('recurrent_init', 'auto')}")


def test_a_run_takes_the_length_from_its_window_and_says_what_runs(run_of, monkeypatch):
    run = run_of("model.cell=gru", "model.recurrent_init=chrono", "model.engine=fused", "data.window=12")
    (line,) = [each for each in (run / "train.log").read_text().splitlines() if ": engine " in each]
    assert line.endswith("engine fused: asked for; recurrent_init chrono for 12 steps")
    assert "chrono_length: null" in (run / "config.yaml").read_text()
    monkeypatch.setitem(sys.modules, "flatspot.nn.fused.compiled", None)
    engines._why_no_fused.cache_clear()
    try:
        assert load(run).model.encoder.choice().engine == "native"  # where LLVM is missing it is evaluated too
    finally:
        engines._why_no_fused.cache_clear()
    kept = torch.load(Path(run) / "checkpoints" / "best.ckpt", weights_only=True)["hyper_parameters"]
    assert (kept["recurrent_init"], kept["chrono_length"], kept["engine"]) == ("chrono", 12, "fused")
