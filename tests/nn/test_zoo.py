"""torchrecurrent's cells: each sits the cells' examination, and the layer around them is called as torch.nn's are."""

import copy
import inspect

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.models.forecaster import Forecaster
from flatspot.models.network import Network
from flatspot.nn.cells import CELLS, cell_named
from flatspot.nn.examination import examine_cell
from flatspot.nn.layer import build_layer
from flatspot.nn.zoo import LEFT_OUT, ZOO
from flatspot.nn.zoo_equations import ZOO_EQUATIONS

torchrecurrent = pytest.importorskip("torchrecurrent", reason="the extra zoo is not installed")

EXACT = 1e-10
SOME = ["mgu", "janet", "indrnn"]  # of one state, of two, and without a recurrent matrix


def activation_of(name):
    """Of those that take any, one that torchrecurrent does not know."""
    return ACTIVATIONS["softsign" if ZOO[name].takes else ZOO[name].fixed]


def layer_of(name, *sizes, **options):
    return build_layer(ZOO[name], activation_of(name), *sizes, **options).double()


def state_of(name, layers, batch, units):
    parts = torch.randn(ZOO[name].states, layers, batch, units, dtype=torch.float64).unbind()
    return parts if len(parts) > 1 else parts[0]


def parts_of(state):
    return state if isinstance(state, tuple) else (state,)


def test_every_cell_of_torchrecurrent_is_here_or_left_out():
    theirs = {name.removesuffix("Cell").lower() for name in torchrecurrent.__all__ if name.endswith("Cell")}
    assert set(ZOO) | set(LEFT_OUT) == theirs
    assert not set(ZOO) & set(LEFT_OUT)
    assert not theirs & set(CELLS)


@pytest.mark.parametrize("name", ZOO)
def test_every_cell_passes(name):
    found = examine_cell(ZOO[name], activation_of(name), ZOO_EQUATIONS[name])
    assert found.engine == "torchrecurrent"
    assert found.engines is None
    assert found.steps < EXACT
    assert found.equation < EXACT
    assert found.neighbours < EXACT
    assert found.future == 0
    assert found.gradient < 1e-6
    if ZOO[name].takes:
        assert found.activation > 1e-3
    else:
        assert found.activation is None


@pytest.mark.parametrize("name", [name for name, (_, why) in LEFT_OUT.items() if why.startswith("fails")])
def test_what_is_left_out_still_fails_its_equation(name):
    """If it does not any more, torchrecurrent has changed, and the cell can come in."""
    assert examine_cell(LEFT_OUT[name][0], ACTIVATIONS["tanh"], ZOO_EQUATIONS[name]).equation > 1e-3


@pytest.mark.parametrize("name", [name for name, (_, why) in LEFT_OUT.items() if why.startswith("cannot")])
def test_what_is_left_out_still_cannot_sit_it(name):
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        examine_cell(LEFT_OUT[name][0], ACTIVATIONS["tanh"], lambda *_: [])


def test_the_reason_is_told():
    with pytest.raises(BadInput, match=r"model\.cell=lem: torchrecurrent's LEMCell is left out; it fails its equation"):
        cell_named("lem")


def test_a_misspelt_name_finds_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'ligru'"):
        cell_named("ligur")


@pytest.mark.parametrize("name", [name for name, cell in ZOO.items() if cell.takes is None])
def test_an_activation_that_would_do_nothing_is_refused(name):
    with pytest.raises(BadInput, match=rf"model\.activation=relu: .* say model\.activation={ZOO[name].fixed}"):
        build_layer(ZOO[name], ACTIVATIONS["relu"], 2, 3)


def test_no_cell_takes_an_activation_that_we_do_not_hand_over():
    for name, cell in ZOO.items():
        taken = inspect.signature(getattr(torchrecurrent, cell.name)).parameters
        if "nonlinearity" in taken:
            assert cell.takes == "nonlinearity" or "nonlinearity" in cell.options, name


@pytest.mark.parametrize("name", SOME)
def test_a_stack_is_its_layers_one_after_another(name):
    torch.manual_seed(0)
    layer, x = layer_of(name, 2, 3, 2), torch.randn(4, 6, 2, dtype=torch.float64)
    hx = state_of(name, 2, 4, 3)
    outputs, final = layer(x, hx)
    rows = x
    for number in range(2):
        alone = layer_of(name, 2 if number == 0 else 3, 3)
        alone.cells["l0"].load_state_dict(layer.cells[f"l{number}"].state_dict())
        start = tuple(part[number : number + 1] for part in parts_of(hx))
        rows, end = alone(rows, start if len(start) > 1 else start[0])
        for part, whole in zip(parts_of(end), parts_of(final), strict=True):
            assert torch.equal(part[0], whole[number])
    assert torch.equal(outputs, rows)


@pytest.mark.parametrize("name", SOME)
def test_backwards_is_forwards_over_the_turned_sequence(name):
    torch.manual_seed(0)
    layer, x = layer_of(name, 2, 3, bidirectional=True), torch.randn(4, 6, 2, dtype=torch.float64)
    outputs, final = layer(x)
    assert outputs.shape == (4, 6, 6)
    alone = layer_of(name, 2, 3)
    alone.cells["l0"].load_state_dict(layer.cells["l0_reverse"].state_dict())
    turned, end = alone(x.flip(1))
    assert torch.allclose(outputs[..., 3:], turned.flip(1), atol=1e-12)
    for part, whole in zip(parts_of(end), parts_of(final), strict=True):
        assert torch.allclose(part[0], whole[1], atol=1e-12)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "residual": True}])
def test_packed_sequences_are_each_read_alone(name, options):
    torch.manual_seed(0)
    layer = layer_of(name, 2, 3, **options)
    many = [torch.randn(length, 2, dtype=torch.float64) for length in (3, 6, 1, 6)]
    hx = state_of(name, len(layer.cells), 4, 3)
    outputs, final = layer(pack_sequence(many, enforce_sorted=False), hx)
    padded, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
    for number, each in enumerate(many):
        start = tuple(part[:, number : number + 1].contiguous() for part in parts_of(hx))
        alone, end = layer(each[None], start if len(start) > 1 else start[0])
        assert torch.allclose(padded[number, : len(each)], alone[0], atol=1e-12)
        for part, whole in zip(parts_of(end), parts_of(final), strict=True):
            assert torch.allclose(part[:, 0], whole[:, number], atol=1e-12)


def test_dropout_is_between_layers_and_in_training_alone():
    layer, x = layer_of("mgu", 2, 3, 2, dropout=0.5), torch.randn(4, 6, 2, dtype=torch.float64)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])


def test_weights_of_layers_and_directions_are_their_own():
    layer = layer_of("mgu", 3, 3, 2, bidirectional=True)
    assert list(layer.cells) == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert len({id(weight) for weight in layer.parameters()}) == 4 * 4


def test_an_initial_state_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="the initial state has the shapes"):
        layer_of("janet", 2, 3)(torch.zeros(4, 6, 2, dtype=torch.float64), torch.zeros(1, 4, 3, dtype=torch.float64))


@pytest.mark.parametrize("start", ["zeros", "normal", "learned"])
@pytest.mark.parametrize("name", SOME)
def test_a_network_takes_them(name, start):
    network = Network(2, 1, cell=name, num_layers=2, dropout=0.1, hidden_size=4, initial_state=start)
    network(torch.randn(3, 5, 2)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())
    assert torch.equal(copy.deepcopy(network).eval()(torch.ones(3, 5, 2)), network.eval()(torch.ones(3, 5, 2)))


def test_what_they_cannot_do_is_refused():
    with pytest.raises(BadInput, match=r"model\.layer_norm=true: torchrecurrent's MGUCell"):
        Network(2, 1, cell="mgu", layer_norm=True)
    with pytest.raises(ValueError, match="engine=fused"):
        build_layer(ZOO["mgu"], ACTIVATIONS["tanh"], 2, 3, engine="fused")


def test_a_checkpoint_loads_by_names_alone(data, trainer_options, tmp_path):
    from lightning import Trainer  # noqa: PLC0415

    torch.manual_seed(0)
    model = Forecaster(inputs=2, targets=1, horizon=3, cell="mgu", activation="softsign", hidden_size=4)
    trainer = Trainer(max_epochs=1, limit_train_batches=2, limit_val_batches=1, **trainer_options)
    trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = Forecaster.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    x = torch.randn(3, 12, 2)
    assert torch.equal(again.eval()(x), model.eval()(x))
    assert again.hparams["cell"] == "mgu"


def test_it_is_imported_when_it_is_asked_for_and_no_sooner(python, tmp_path):
    code = (
        "import sys; from flatspot.models.network import Network; from flatspot.nn.cells import cell_named\n"
        "cell_named('mgu'); Network(1, 1); before = 'torchrecurrent' in sys.modules\n"
        "Network(1, 1, cell='mgu'); print(before, 'torchrecurrent' in sys.modules)"
    )
    done = python.run("-c", code, cwd=tmp_path)
    assert done.stdout.split() == ["False", "True"]


def test_a_run_says_that_it_is_slow(run_of):
    log = (run_of("model.cell=mgu") / "train.log").read_text()
    assert "model.cell=mgu is torchrecurrent's: slow" in log
