"""RNN, GRU and LSTM beside torch.nn's: whatever torch.nn's take, ours take, and give the same."""

import copy
import inspect
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from flatspot.activations import ACTIVATIONS
from flatspot.errors import BadInput
from flatspot.nn import GRU, LSTM, RNN, engines

PAIRS = {"RNN": (RNN, nn.RNN), "GRU": (GRU, nn.GRU), "LSTM": (LSTM, nn.LSTM)}
CELLS = list(PAIRS)
ENGINES = ["auto", "native", "fused", "scan"]
FEATURES, UNITS = 3, 5
OPTIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "stacked": {"num_layers": 3},
    "both ways": {"bidirectional": True, "batch_first": True},
    "all": {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False},
}


def tensors(result):
    """All tensors of what a layer returns, in order."""
    if isinstance(result, PackedSequence):
        return [result.data]
    return [result] if isinstance(result, torch.Tensor) else [each for part in result for each in tensors(part)]


def both(name, dtype=torch.float64, **options):
    """Ours and torch.nn's, with the same weights; ours as machine code, which `auto` is not for inputs so short."""
    mine, theirs = (make(FEATURES, UNITS, dtype=dtype, **options) for make in PAIRS[name])
    mine.load_state_dict(theirs.state_dict())
    mine.engine = "fused"
    return mine, theirs


def state_of(name, layers, batch, dtype=torch.float64):
    shape = (layers, *batch, UNITS)
    parts = [torch.randn(shape, dtype=dtype, requires_grad=True) for _ in range(2 if name == "LSTM" else 1)]
    return tuple(parts) if len(parts) > 1 else parts[0]


def everything(layer, x, hx):
    """Outputs, final states, and the gradients of inputs, initial states and weights."""
    data = x.data if isinstance(x, PackedSequence) else x
    found = tensors(layer(x, hx))
    total = sum((each * torch.linspace(-1, 2, each.numel(), dtype=each.dtype).view_as(each)).sum() for each in found)
    leaves = [data, *(tensors(hx) if hx is not None else ()), *layer.parameters()]
    return [*found, *torch.autograd.grad(total, leaves)]


def inputs(kind, dtype=torch.float64):
    """An input of a kind, and the sizes of its batch."""
    torch.manual_seed(3)
    if kind == "packed":
        rows = [torch.randn(length, FEATURES, dtype=dtype) for length in (3, 7, 1, 4, 4)]
        packed = pack_sequence(rows, enforce_sorted=False)
        return packed._replace(data=packed.data.requires_grad_()), (5,)
    shape, batch = {"batch": ((6, 4, FEATURES), (4,)), "one": ((6, FEATURES), ())}[kind]
    return torch.randn(shape, dtype=dtype, requires_grad=True), batch


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("kind", ["batch", "one", "packed"])
@pytest.mark.parametrize("given", [False, True])
def test_every_engine_gives_what_torchs_layer_gives(name, option, kind, given):
    mine, theirs = both(name, **OPTIONS[option])
    x, batch = inputs(kind)
    if kind == "batch" and OPTIONS[option].get("batch_first"):
        batch = (6,)
    layers = theirs.num_layers * (2 if theirs.bidirectional else 1)
    hx = state_of(name, layers, batch) if given else None
    expected = everything(theirs, x, hx)
    for engine in ENGINES:
        mine.engine = engine
        found = everything(mine, x, hx)
        assert [each.shape for each in found] == [each.shape for each in expected]
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("engine", ["fused", "scan"])
def test_in_float32_the_engines_agree_to_a_hundred_thousandth(name, engine):
    mine, theirs = both(name, torch.float32, num_layers=2)
    x, _ = inputs("batch", torch.float32)
    mine.engine = engine
    for one, other in zip(everything(mine, x, None), everything(theirs, x, None), strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("option", OPTIONS)
def test_weights_have_torchs_names_order_and_starting_values(name, option):
    mine, theirs = PAIRS[name]
    torch.manual_seed(0)
    ours = mine(FEATURES, UNITS, **OPTIONS[option])
    torch.manual_seed(0)
    torchs = theirs(FEATURES, UNITS, **OPTIONS[option])
    assert list(ours.state_dict()) == list(torchs.state_dict())
    for one, other in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert torch.equal(one, other)
    assert isinstance(ours, theirs)
    torchs.load_state_dict(ours.state_dict())


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("engine", ["fused", "scan"])
@pytest.mark.parametrize(
    ("shape", "hidden"),
    [
        ((2, 3, 4, FEATURES), None),
        ((2, 4, FEATURES + 1), None),
        ((2, 4, FEATURES), (1, 3, UNITS)),
        ((2, 4, FEATURES), (2, 4, UNITS)),
        ((2, 4, FEATURES), (1, UNITS)),
        ((0, 4, FEATURES), None),
        ((4, FEATURES), (1, 1, UNITS)),
    ],
)
def test_what_torch_refuses_is_refused_in_the_same_way(name, engine, shape, hidden):
    mine, theirs = both(name)
    mine.engine = engine
    x = torch.zeros(shape, dtype=torch.float64)
    state = None if hidden is None else torch.zeros(hidden, dtype=torch.float64)
    hx = (state, state) if name == "LSTM" and state is not None else state
    with pytest.raises((ValueError, RuntimeError)) as expected:
        theirs(x, hx)
    with pytest.raises(type(expected.value)):
        mine(x, hx)


@pytest.mark.parametrize("name", CELLS)
def test_numbers_of_another_kind_are_refused(name):
    mine, theirs = both(name)
    x = torch.zeros(2, 4, FEATURES)
    with pytest.raises(ValueError, match="RNN input dtype") as expected:
        theirs(x)
    for engine in ENGINES:
        mine.engine = engine
        with pytest.raises(ValueError, match="RNN input dtype") as found:
            mine(x)
        assert str(found.value) == str(expected.value)


def test_projections_are_refused():
    with pytest.raises(ValueError, match=r"proj_size: flatspot.nn has no projections"):
        LSTM(3, 5, proj_size=2)
    with pytest.raises(ValueError, match="proj_size"):
        GRU(3, 5, proj_size=2)


@pytest.mark.parametrize("name", CELLS)
def test_dropout_is_between_the_layers_and_in_training_alone(name):
    mine, _ = both(name, num_layers=2, dropout=0.5, batch_first=True)
    x, _ = inputs("batch")
    torch.manual_seed(0)
    one = mine(x)[0]
    torch.manual_seed(1)
    assert not torch.allclose(one, mine(x)[0])
    mine.eval()
    assert torch.equal(mine(x)[0], mine(x)[0])
    plain = PAIRS[name][1](FEATURES, UNITS, 2, batch_first=True, dtype=torch.float64)
    plain.load_state_dict(mine.state_dict())
    torch.testing.assert_close(mine(x)[0], plain(x)[0])


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_runs_alike_by_name_and_by_function(name, activation):
    make = PAIRS[name][0]
    torch.manual_seed(0)
    layer = make(FEATURES, UNITS, activation=activation, dtype=torch.float64)
    twin = make(FEATURES, UNITS, activation=ACTIVATIONS[activation].function, engine="scan", dtype=torch.float64)
    twin.load_state_dict(layer.state_dict())
    assert layer.choice().engine == "fused"
    x, _ = inputs("batch")
    for one, other in zip(everything(layer, x, None), everything(twin, x, None), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_any_elementwise_function_will_do(name):
    layer = PAIRS[name][0](FEATURES, UNITS, activation=F.hardswish, dtype=torch.float64)
    assert layer.choice().engine == "scan"
    assert "no formula for this activation" in layer.choice().reason
    x = torch.randn(3, 2, FEATURES, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layer(x)[0], x)


@pytest.mark.parametrize("name", CELLS)
def test_a_module_with_parameters_is_trained(name):
    layer = PAIRS[name][0](FEATURES, UNITS, activation=nn.PReLU(), dtype=torch.float32)
    assert "activation.weight" in dict(layer.named_parameters())
    layer(torch.randn(4, 2, FEATURES))[0].sum().backward()
    assert layer.activation.weight.grad.abs() > 0


def test_an_activation_that_is_not_known_is_refused():
    with pytest.raises(BadInput, match="no activation is called 'rellu'; did you mean 'relu'"):
        GRU(3, 5, activation="rellu")


BOTH = {"nonlinearity": "relu", "activation": F.relu}


def test_rnn_takes_torchs_word_for_the_activation_too():
    x = torch.randn(6, 2, FEATURES)
    for said in ({"nonlinearity": "relu"}, {"activation": "relu"}, {"activation": F.relu}, BOTH):
        torch.manual_seed(0)
        mine = RNN(FEATURES, UNITS, **said)
        theirs = nn.RNN(FEATURES, UNITS, nonlinearity="relu")
        theirs.load_state_dict(mine.state_dict())
        for engine in ENGINES:
            mine.engine = engine
            torch.testing.assert_close(mine(x)[0], theirs(x)[0])
    with pytest.raises(ValueError, match="nonlinearity=relu and activation=tanh: say one of them"):
        RNN(FEATURES, UNITS, nonlinearity="relu", activation="tanh")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "fussed"}, "engine=fussed: did you mean 'fused'"),
        ({"engine": "native", "activation": "sin"}, "engine=native: torch.nn has no gru with sin"),
        ({"engine": "fused", "activation": F.hardswish}, "engine=fused: it has no formula for this activation"),
        ({"engine": "native", "keep_gradient_norms": True}, "engine=native: torch.nn does not tell gradients by time"),
        (
            {"engine": "fused", "dtype": torch.bfloat16},
            "engine=fused: it takes float32 and float64, not torch.bfloat16",
        ),
    ],
)
def test_an_engine_that_cannot_do_what_is_asked_is_refused(options, told):
    with pytest.raises(ValueError, match=told):
        GRU(3, 5, **options)


def test_the_choice_is_explained():
    assert str(GRU(3, 5).choice()) == "fused: machine code for a gru with tanh on this processor"
    assert str(GRU(3, 5, engine="scan").choice()) == "scan: asked for"
    assert GRU(3, 5, device="meta").choice().reason == (
        "torch.nn's own; the fused engine is out: it runs on a CPU, not on meta"
    )
    few, enough = torch.zeros(7, 2, 3), torch.zeros(8, 2, 3)
    assert GRU(3, 5).choice(few).reason == "torch.nn's own, which is sooner done with fewer than 8 time steps"
    assert [GRU(3, 5).choice(enough).engine, GRU(3, 5, activation="sin").choice(few).engine] == ["fused", "fused"]
    assert LSTM(3, 5, keep_gradient_norms=True).choice(few).engine == "fused"
    with torch.autocast("cpu", torch.bfloat16):
        assert LSTM(3, 5).choice(torch.zeros(2, 1, 3)).engine == "fused"
    assert "activation=softsign, engine=auto" in repr(GRU(3, 5, activation="softsign"))


def test_where_llvm_is_missing_torch_serves_and_says_so_once(monkeypatch, caplog):
    engines._why_no_fused.cache_clear()
    monkeypatch.setitem(sys.modules, "flatspot.nn.fused.compiled", None)
    try:
        plain, other = GRU(3, 5), GRU(3, 5, activation="sin")
        assert (plain.choice().engine, other.choice().engine) == ("native", "scan")
        assert plain(torch.zeros(2, 1, 3))[0].shape == (2, 1, 5)
        assert len([record for record in caplog.records if "no fused engine here" in record.message]) == 1
    finally:
        engines._why_no_fused.cache_clear()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("option", ["plain", "all"])
@pytest.mark.parametrize("kind", ["batch", "packed"])
def test_gradients_by_time_step_are_the_same_from_both_engines_and_from_autograd(name, option, kind):
    layer, _ = both(name, **OPTIONS[option])
    layer.keep_gradient_norms = True
    x, _ = inputs(kind)
    assert layer.gradient_norms == {}
    found = []
    for engine in ("fused", "scan"):
        layer.engine = engine
        tensors(layer(x))[0].pow(3).sum().backward()
        found.append(layer.gradient_norms)
    fused, scan = found
    assert list(fused) == list(scan)
    for one, other in zip(fused.values(), scan.values(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_at_a_time_step_is_that_of_the_loss_by_its_state():
    layer = GRU(FEATURES, UNITS, keep_gradient_norms=True, dtype=torch.float64)
    x, _ = inputs("batch")
    outputs, _ = layer(x)
    outputs[-1].sum().backward()
    at = layer.gradient_norms["l0"]
    state = layer(x[:3])[1].detach().requires_grad_()
    layer(x[3:], state)[0][-1].sum().backward()
    torch.testing.assert_close(at[2], state.grad.norm())
    assert at.shape == (6,)
    layer(x[:2])[0].sum().backward()
    assert layer.gradient_norms["l0"].shape == (2,)


@pytest.mark.parametrize("name", CELLS)
def test_second_derivatives_are_refused_by_name_or_right(name):
    layer, _ = both(name)
    x = torch.randn(3, 2, FEATURES, dtype=torch.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="the fused engine has no second derivatives"):
        torch.autograd.grad(layer(x)[0].sum(), x, create_graph=True)
    layer.engine = "scan"
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], x)


@pytest.mark.parametrize("name", CELLS)
def test_a_graph_that_is_kept_gives_its_gradients_twice(name):
    layer, _ = both(name)
    x, _ = inputs("batch")
    total = layer(x)[0].square().sum()
    one, other = (torch.autograd.grad(total, [x, *layer.parameters()], retain_graph=True) for _ in range(2))
    assert all(torch.equal(*each) for each in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_autocast_trains(name):
    layer, _ = both(name, torch.float32)
    x, _ = inputs("batch", torch.float32)
    expected = layer(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)[0]
        found.sum().backward()
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.05)
    assert all(each.grad.isfinite().all() for each in layer.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_not_a_number_goes_through_and_stays_in_its_sample(name):
    layer, _ = both(name)
    x = inputs("batch")[0].detach().clone()
    x[2, 1, 0] = torch.nan
    outputs = layer(x)[0]
    assert outputs[2:, 1].isnan().all()
    assert outputs[:2].isfinite().all()
    assert outputs[:, [0, 2, 3]].isfinite().all()


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_samples_and_change_no_bit(name, threads, monkeypatch):
    monkeypatch.setattr("flatspot.nn.fused.compiled.LEAST_WORK", 1)
    layer, _ = both(name)
    layer.engine = "fused"
    for x in (torch.randn(4, 41, FEATURES, dtype=torch.float64), inputs("packed")[0]):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            one = tensors(layer(x))
            torch.set_num_threads(threads)
            several = tensors(layer(x))
        finally:
            torch.set_num_threads(before)
        assert all(torch.equal(*each) for each in zip(one, several, strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_layers_are_copied_moved_cast_and_called_by_other_weights(name):
    layer, _ = both(name, torch.float32)
    x, _ = inputs("batch", torch.float32)
    expected = layer(x)[0]
    torch.testing.assert_close(copy.deepcopy(layer)(x)[0], expected)
    torch.testing.assert_close(layer.double()(x.double())[0].float(), expected)
    twice = {key: 2 * value for key, value in layer.float().state_dict().items()}
    called = torch.func.functional_call(layer, twice, (x,))[0]
    layer.load_state_dict(twice)
    torch.testing.assert_close(called, layer(x)[0])


@pytest.mark.parametrize("name", CELLS)
def test_an_empty_batch_is_one(name):
    layer, _ = both(name)
    outputs, _ = layer(torch.zeros(4, 0, FEATURES, dtype=torch.float64))
    assert outputs.shape == (4, 0, UNITS)


@pytest.mark.parametrize("name", CELLS)
def test_constructors_take_torchs_arguments_in_torchs_order(name):
    mine, theirs = PAIRS[name]
    options = (3, 5, 2, "relu", False, True, 0.1, True) if name == "RNN" else (3, 5, 2, False, True, 0.1, True)
    one, other = mine(*options), theirs(*options)
    for key in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(one, key) == getattr(other, key)
    added = {"activation", "engine", "keep_gradient_norms"}
    assert added <= set(inspect.signature(mine).parameters)
