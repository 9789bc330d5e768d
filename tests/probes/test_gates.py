import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from flatspot import nn as ours
from flatspot.activations import ACTIVATIONS
from flatspot.probes.gates import dead_units, gate_report, layer_gates, layer_inputs, recurrent_layers

LAYERS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
OURS = {"rnn": ours.RNN, "gru": ours.GRU, "lstm": ours.LSTM}


@pytest.fixture(autouse=True)
def start():
    """Of the weights."""
    torch.manual_seed(0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def stirred(layer, seed=0, scale=1.0):
    """With larger weights than torch starts with, so that the gates differ."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=seeded(seed)).to(parameter))
    return layer


def unrolled(layer, x, state=None, function=torch.tanh):
    """The slow twin: one sample, one step, one unit's gate after another, from the equations in torch's documentation.

    x: `[sample, time, channel]`.
    """
    found = {}
    directions = ("", "_reverse") if layer.bidirectional else ("",)
    parts = None if state is None else (state if isinstance(state, tuple) else (state,))
    for number in range(layer.num_layers):
        outputs = []
        for which, suffix in enumerate(directions):
            name = f"l{number}{suffix}"
            row = number * len(directions) + which
            start = None if parts is None else [part[row] for part in parts]
            steps = range(x.shape[1])[:: -1 if suffix else 1]
            rows = list(one_direction(layer, name, x, start, steps, function))
            found[name] = {
                gate: torch.stack([each[gate] for each in rows[:: -1 if suffix else 1]], 1) for gate in rows[0]
            }
            outputs.append(found[name]["state"])
        x = torch.cat(outputs, dim=-1)
    return found


def one_direction(layer, name, x, start, steps, function):
    w_i, w_h = getattr(layer, f"weight_ih_{name}"), getattr(layer, f"weight_hh_{name}")
    nothing = torch.zeros(len(w_i)).to(w_i)
    b_i, b_h = (getattr(layer, f"{kind}_{name}") if layer.bias else nothing for kind in ("bias_ih", "bias_hh"))
    h = start[0] if start else torch.zeros(len(x), w_h.shape[1]).to(x)
    c = start[1] if start and len(start) > 1 else torch.zeros(len(x), layer.hidden_size).to(x)
    for t in steps:
        from_x, from_h = x[:, t] @ w_i.T + b_i, h @ w_h.T + b_h
        gates = {}
        if isinstance(layer, nn.LSTM):
            i, f, g, o = (from_x + from_h).chunk(4, dim=1)
            gates = {"input": i.sigmoid(), "forget": f.sigmoid(), "cell": function(g), "output": o.sigmoid()}
            c = gates["forget"] * c + gates["input"] * gates["cell"]
            gates["tanh_cell"] = function(c)
            h = gates["output"] * gates["tanh_cell"]
            if layer.proj_size:
                h = h @ getattr(layer, f"weight_hr_{name}").T
        elif isinstance(layer, nn.GRU):
            (xr, xz, xn), (hr, hz, hn) = from_x.chunk(3, dim=1), from_h.chunk(3, dim=1)
            gates = {"reset": (xr + hr).sigmoid(), "update": (xz + hz).sigmoid()}
            gates["candidate"] = function(xn + gates["reset"] * hn)
            h = (1 - gates["update"]) * gates["candidate"] + gates["update"] * h
        else:
            h = function(from_x + from_h)
        yield gates | {"state": h}


def same(found, expected, **tolerance):
    assert {name: list(gates) for name, gates in found.items()} == {name: list(each) for name, each in expected.items()}
    for name, gates in expected.items():
        for gate, values in gates.items():
            torch.testing.assert_close(found[name][gate], values, **tolerance)


OPTIONS = [
    {},
    {"num_layers": 3, "dropout": 0.5},
    {"bidirectional": True},
    {"bidirectional": True, "num_layers": 2, "bias": False},
    {"proj_size": 2, "num_layers": 2, "bidirectional": True},
    {"nonlinearity": "relu"},
]
SETTINGS = [
    (kind, options)
    for kind in LAYERS
    for options in OPTIONS
    if not ("proj_size" in options and kind != "lstm") and not ("nonlinearity" in options and kind != "rnn")
]


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@pytest.mark.parametrize("given_state", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("kind", "options"), SETTINGS)
@torch.no_grad()
def test_gates_are_those_of_the_equations_and_states_those_of_the_layer(kind, options, batch_first, given_state):
    layer = stirred(LAYERS[kind](3, 5, batch_first=batch_first, **options), scale=0.7)
    x = torch.randn(4, 6, 3, generator=seeded(1))
    count = layer.num_layers * (2 if layer.bidirectional else 1)
    h, c = (torch.randn(count, 4, width, generator=seeded(2)) for width in (layer.proj_size or 5, 5))
    state = None if not given_state else (h, c) if kind == "lstm" else h
    given_x = x if batch_first else x.transpose(0, 1)
    found = layer_gates(layer, given_x, state)
    relu = options.get("nonlinearity") == "relu"
    same(found, unrolled(layer, x, state, torch.relu if relu else torch.tanh), atol=1e-5, rtol=1e-5)
    last = torch.cat([gates["state"] for gates in list(found.values())[-2 if layer.bidirectional else -1 :]], dim=-1)
    output = layer.eval()(given_x, state)[0]
    torch.testing.assert_close(last, output if batch_first else output.transpose(0, 1))


@pytest.mark.parametrize("kind", LAYERS)
@torch.no_grad()
def test_states_are_those_of_torchs_cells(kind):
    layer, cells = LAYERS[kind](3, 5), {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
    cell = cells[kind](3, 5)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x, state, states = torch.randn(6, 4, 3, generator=seeded(0)), None, []
    for step in x:
        state = cell(step, state)
        states.append(state[0] if kind == "lstm" else state)
    torch.testing.assert_close(layer_gates(layer, x)["l0"]["state"], torch.stack(states, dim=1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu", "softsign", "own"])
@pytest.mark.parametrize("kind", OURS)
@torch.no_grad()
def test_our_layers_are_read_with_their_activation(kind, activation, bidirectional):
    function = torch.erf if activation == "own" else ACTIVATIONS[activation].function
    asked = torch.erf if activation == "own" else activation
    layer = OURS[kind](
        3, 5, num_layers=2, bidirectional=bidirectional, batch_first=True, activation=asked, engine="scan"
    )
    x = torch.randn(4, 6, 3, generator=seeded(1))
    found = layer_gates(layer, x)
    same(found, unrolled(layer, x, function=function), atol=1e-5, rtol=1e-5)
    names = ["l1", "l1_reverse"][: 2 if bidirectional else 1]
    torch.testing.assert_close(torch.cat([found[name]["state"] for name in names], dim=-1), layer(x)[0])


@torch.no_grad()
def test_a_trained_activation_is_read():
    layer = ours.GRU(3, 5, activation=nn.PReLU(init=0.3))
    x = torch.randn(6, 4, 3, generator=seeded(1))
    torch.testing.assert_close(layer_gates(layer, x)["l0"]["state"].transpose(0, 1), layer(x)[0])
    assert gate_report(layer, layer_gates(layer, x))["l0"].rails == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", [*LAYERS, "ours"])
@torch.no_grad()
def test_every_precision(kind, dtype):
    layer = (ours.LSTM(3, 5, activation="softsign", engine="scan") if kind == "ours" else LAYERS[kind](3, 5)).to(dtype)
    x = torch.randn(6, 4, 3, generator=seeded(1)).to(dtype)
    found = layer_gates(layer, x)
    assert all(each.dtype == dtype for each in found["l0"].values())
    torch.testing.assert_close(found["l0"]["state"].transpose(0, 1), layer(x)[0], atol=4e-3, rtol=0.02)
    assert 0 <= gate_report(layer, found)["l0"].saturated <= 1


@torch.no_grad()
def test_one_sample_may_come_without_an_axis_for_samples():
    for batch_first in (False, True):
        layer = nn.LSTM(3, 5, batch_first=batch_first)
        x, state = torch.randn(6, 3, generator=seeded(0)), (torch.ones(1, 5), torch.ones(1, 5))
        torch.testing.assert_close(layer_gates(layer, x, state)["l0"]["state"][0], layer(x, state)[0])
        gru = nn.GRU(3, 5, batch_first=batch_first)
        torch.testing.assert_close(layer_gates(gru, x, state[0])["l0"]["state"][0], gru(x, state[0])[0])


class NormedGRU(nn.GRU):
    def forward(self, x, hx=None):
        out, state = super().forward(x, hx)
        return nn.functional.layer_norm(out, out.shape[-1:]), state


class FirstHalf(nn.GRU):
    def forward(self, x, hx=None):
        return super().forward(x, hx)[0][..., :2]


class Renamed(nn.GRU):
    pass


def test_a_layer_that_computes_something_else_is_named():
    x = torch.randn(6, 4, 3, generator=seeded(0))
    with pytest.raises(ValueError, match=r"layer: NormedGRU does not compute what torch.nn's gru does"):
        layer_gates(NormedGRU(3, 5), x)
    with pytest.raises(ValueError, match="layer: FirstHalf does not"):
        layer_gates(FirstHalf(3, 5), x)
    assert layer_gates(Renamed(3, 5), x)["l0"]["state"].shape == (4, 6, 5)
    lying = nn.LSTM(3, 5)
    lying.activation = "relu"
    assert not (layer_gates(lying, x)["l0"]["cell"] < 0).any(), "torch's own classes are taken at their word"


def test_what_cannot_be_read_is_refused():
    layer = nn.GRU(3, 5)
    packed = pack_padded_sequence(torch.zeros(6, 2, 3), [6, 4])
    with pytest.raises(ValueError, match="x: a packed sequence"):
        layer_gates(layer, packed)
    layer.mode = "SRU"
    with pytest.raises(ValueError, match="layer: GRU of the kind SRU"):
        layer_gates(layer, torch.zeros(6, 2, 3))


class Model(nn.Module):
    """Two layers, one called twice, one with its arguments by name, one not at all."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 5, batch_first=True, num_layers=2, dropout=0.5)
        self.decoder = ours.GRU(5, 4, activation="relu", engine="scan", batch_first=True)
        self.spare = nn.RNN(1, 1)
        self.head = nn.Linear(4, 1)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        states, _ = self.encoder(x)
        self.decoder(states[:, -1:])
        out, _ = self.decoder(hx=torch.ones(1, len(x), 4) + torch.rand(()), input=states)
        self.decoder(states[:, :1])
        return self.head(out[:, -1])


def test_what_layers_of_a_model_are_given_is_caught():
    model, x = Model(), torch.randn(4, 6, 3, generator=seeded(0))
    given_to = layer_inputs(model, x)
    assert list(recurrent_layers(model)) == ["encoder", "decoder", "spare"]
    assert list(given_to) == ["encoder", "decoder"]
    assert given_to["encoder"][0] is x
    assert given_to["encoder"][1] is None
    decoded, state = given_to["decoder"]
    assert decoded.shape == (4, 6, 5)
    assert (state >= 1).all()
    assert layer_gates(model.decoder, decoded, state)["l0"]["candidate"].min() >= 0
    asked = []
    layer_inputs(model, x, ask=lambda given: asked.append(given) or model(given))
    assert asked[0] is x
    assert list(recurrent_layers(model.decoder)) == [""]


def test_nothing_is_left_behind():
    model, x = Model().train(), torch.randn(4, 6, 3, generator=seeded(0))
    model(x).sum().backward()
    seen = []
    model.decoder.register_forward_hook(lambda *_: seen.append(1))

    def everything():
        gradients = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
        hooks = [(len(part._forward_hooks), len(part._forward_pre_hooks)) for part in model.modules()]
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [part.training for part in model.modules()]
        draws = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())
        keys = [sorted(part.__dict__) for part in model.modules()]
        return gradients, weights, draws, modes, hooks, model.calls, keys

    before = everything()
    for name, given_to in layer_inputs(model, x).items():
        layer = recurrent_layers(model)[name]
        seen.clear()
        gates = layer_gates(layer, *given_to)
        assert not seen, "hooks of a layer are not told"
        assert not any(each.requires_grad for each in gates["l0"].values())
    after = everything()
    for one, other in zip(before[0], after[0], strict=True):
        assert one is other or torch.equal(one, other)
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
    assert torch.equal(before[2][0], after[2][0])
    assert before[2][1:] == after[2][1:]
    assert before[3:] == after[3:]


def slow_report(gates):
    """Each figure by a loop over numbers."""
    flat = {name: each.double().flatten().tolist() for name, each in gates.items()}

    def share(values, counts):
        return sum(1 for value in values if counts(value)) / len(values)

    sigmoids = [name for name in ("input", "forget", "output", "reset", "update") if name in flat]
    tanhs = [name for name in ("cell", "tanh_cell", "candidate") if name in flat]
    rails = {name: share(flat[name], lambda value: abs(value) > 0.99) for name in tanhs}
    at_rail = [share(flat[name], lambda value: abs(2 * value - 1) > 0.99) for name in sigmoids] + list(rails.values())
    keeps = gates["forget"] if "forget" in gates else gates["update"]
    means = [keeps[..., unit].double().mean().item() for unit in range(keeps.shape[-1])]
    return (
        {name: share(flat[name], lambda value: value < 0.05) for name in sigmoids},
        {name: share(flat[name], lambda value: value > 0.95) for name in sigmoids},
        rails,
        [1 / (1 - q) for q in np.quantile(means, [0.1, 0.5, 0.9])],
        sum(at_rail) / len(at_rail),
    )


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from(["gru", "lstm"]), scale=st.floats(0.1, 5))
def test_the_report_equals_its_slow_twin(seed, kind, scale):
    layer = stirred(LAYERS[kind](2, 3), seed, scale)
    gates = layer_gates(layer, torch.randn(5, 4, 2, generator=seeded(seed)))
    report = gate_report(layer, gates)["l0"]
    shut, wide, rails, horizon, saturated = slow_report(gates["l0"])
    assert report.shut == pytest.approx(shut)
    assert report.open == pytest.approx(wide)
    assert report.rails == pytest.approx(rails)
    assert list(report.horizon) == pytest.approx(horizon, rel=1e-6)
    assert report.saturated == pytest.approx(saturated)
    shuffled = {name: each[torch.randperm(4, generator=seeded(seed))] for name, each in gates["l0"].items()}
    again = gate_report(layer, {"l0": shuffled})["l0"]
    assert (again.shut, again.saturated, again.dead) == (report.shut, report.saturated, report.dead)


def test_a_forget_gate_that_keeps_long_is_told_and_not_blamed():
    torch.manual_seed(0)
    layer = nn.LSTM(1, 4)
    with torch.no_grad():
        layer.bias_ih_l0[4:8] = 3.0
    report = gate_report(layer, layer_gates(layer, torch.zeros(9, 3, 1)))["l0"]
    assert 10 < report.horizon.median < 40
    assert report.saturated == 0
    keeps = nn.GRU(1, 4)
    with torch.no_grad():
        keeps.bias_ih_l0[4:8] = 40.0
    report = gate_report(keeps, layer_gates(keeps, torch.zeros(9, 3, 1)))["l0"]
    assert report.horizon.median == math.inf
    assert report.open["update"] == 1


def test_raw_inputs_saturate_and_scaled_ones_do_not():
    for make in LAYERS.values():
        layer = stirred(make(1, 8), seed=1, scale=0.3)
        x = torch.randn(10, 6, 1, generator=seeded(2))
        raw, scaled = (gate_report(layer, layer_gates(layer, each))["l0"] for each in (9065 + 22 * x, x))
        assert scaled.saturated < 0.05
        assert raw.saturated > 0.7
        assert scaled.dead == 0


@pytest.mark.parametrize(("activation", "rails"), [("softsign", True), ("sigmoid", True), ("relu", False)])
def test_rails_are_the_bounds_of_the_activation(activation, rails):
    layer = stirred(ours.RNN(1, 4, activation=activation, engine="scan"), scale=2.0)
    report = gate_report(layer, layer_gates(layer, 1e6 * torch.ones(5, 3, 1)))["l0"]
    assert report.rails == ({"state": 1.0} if rails else {})
    assert report.saturated == 1 if rails else math.isnan(report.saturated)
    assert math.isnan(report.horizon.median)


def test_relus_that_are_never_active_are_dead():
    layer = stirred(ours.LSTM(2, 4, activation="relu", engine="scan"))
    with torch.no_grad():
        layer.bias_ih_l0[8:11] = -1e3  # of the candidate
    x = torch.randn(6, 5, 2, generator=seeded(0))
    assert gate_report(layer, layer_gates(layer, x))["l0"].dead == 0.75


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    dead=st.integers(0, 4),
    stuck=st.integers(0, 3),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    offset=st.sampled_from([0.0, 1e9]),
)
def test_units_that_never_move_are_counted(seed, dead, stuck, dtype, offset):
    states = torch.randn(6, 4, 8, generator=seeded(seed), dtype=torch.float64)
    # Of a bfloat16 at 1e9 neighbours lie four million apart.
    states = (offset * (1 + states.sign() / 8) + states).to(dtype)
    states[..., :dead], states[..., dead : dead + stuck] = 0, 1
    shuffled = states[torch.randperm(6, generator=seeded(seed))]
    for each in (states, shuffled, 3 * states, states.flatten(0, 1), states[:, 0]):
        slow = sum(len(set(each[..., unit].flatten().tolist())) == 1 for unit in range(8)) / 8
        assert dead_units(each) == slow >= (dead + stuck) / 8


def test_rounding_is_no_movement():
    states = 1 - 6e-8 * torch.rand(20, 1, generator=seeded(0))
    assert dead_units(states) == 1
    assert dead_units(1e-3 * states + 1e-5 * torch.rand(20, 1, generator=seeded(0))) == 0


@pytest.mark.parametrize("kind", [*LAYERS, "ours"])
@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2), (1, 1, 2)])
def test_without_samples_or_steps_there_are_no_figures(kind, shape):
    layer = ours.LSTM(2, 3, activation="relu", engine="scan") if kind == "ours" else LAYERS[kind](2, 3)
    gates = layer_gates(layer, torch.zeros(*shape))
    assert gates["l0"]["state"].shape == (shape[1], shape[0], 3)
    report = gate_report(layer, gates)["l0"]
    assert math.isnan(report.dead)
    if 0 in shape:
        assert all(math.isnan(each) for each in [*report.horizon, report.saturated, *report.shut.values()])


def test_values_that_are_not_finite_give_no_figure():
    layer = nn.LSTM(1, 3)
    report = gate_report(layer, layer_gates(layer, torch.full((4, 2, 1), math.nan)))["l0"]
    assert all(math.isnan(each) for each in [*report.horizon, report.saturated, report.dead, *report.open.values()])
    assert math.isnan(dead_units(torch.tensor([[0.0], [math.inf]])))
    assert math.isnan(dead_units(torch.zeros(3, 0)))
    assert math.isnan(dead_units(torch.zeros(1, 3)))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", LAYERS)
def test_on_a_gpu_the_gates_are_those_of_the_host(kind):
    layer = LAYERS[kind](3, 5, num_layers=2, bidirectional=True, batch_first=True)
    x = torch.randn(4, 6, 3, generator=seeded(1))
    expected = layer_gates(layer, x)
    found = layer_gates(layer.cuda(), x.cuda())
    same({name: {gate: each.cpu() for gate, each in gates.items()} for name, gates in found.items()}, expected)
    gate_report(layer, found)
