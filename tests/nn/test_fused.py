"""The fused engine's parts: formulas against torch, gradients against finite differences, denormals, forks."""

import copy
import os
import pickle
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir
from torch.nn.utils.rnn import pack_sequence

from flatspot.activations import ACTIVATIONS
from flatspot.nn import GRU, LSTM, RNN
from flatspot.nn.fused.compiled import Kernels, apply_formula, kernels, shares
from flatspot.nn.fused.formulas import FORMULAS
from flatspot.nn.fused.kernels import KERNELS, asked_of
from flatspot.nn.fused.room import LEAST, PATIENCE, Room
from flatspot.nn.fused.steps import steps_of, stretches

LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def test_every_activation_of_the_table_has_a_formula():
    assert list(FORMULAS) == list(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.float64, 2e-14)])
def test_formulas_are_the_functions_and_their_slopes(name, dtype, error):
    near = torch.linspace(-1e-3, 1e-3, 1001, dtype=torch.float64)
    z = torch.cat([torch.linspace(-30, 30, 60_001, dtype=torch.float64), near, torch.tensor([-300.0, 0, 300])]).to(
        dtype
    )
    exact = z.double().requires_grad_()
    expected = ACTIVATIONS[name].function(exact)
    (slope,) = torch.autograd.grad(expected.sum(), exact)
    for found, wanted in zip(apply_formula(name, z), (expected.detach(), slope), strict=True):
        assert ((found.double() - wanted).abs() / wanted.abs().clamp(min=1)).max() < error


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_not_a_number_stays_so_and_huge_numbers_do_not_become_so(name, dtype):
    nan, huge = torch.tensor([torch.nan], dtype=dtype), torch.tensor([-1e30, 1e30], dtype=dtype)
    assert apply_formula(name, nan)[0].isnan().all()
    if name != "sin":  # of so large an angle nothing is left
        assert all(each.isfinite().all() for each in apply_formula(name, huge))


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_nothing_is_kept_for_a_way_back_that_is_not_taken(cell, mode, monkeypatch):
    layer = LAYERS[cell](2, 3, engine="fused")
    x = torch.randn(4, 3, 2)
    run, names = Kernels.run, []
    monkeypatch.setattr(Kernels, "run", lambda self, name, *rest: (names.append(name), run(self, name, *rest)))
    expected = layer(x)[0]
    with mode():
        assert torch.equal(layer(x)[0], expected)
    assert names == ["forward_and_keep", "forward"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), st.booleans())
def test_steps_are_those_of_a_walk_through_each_sequence(lengths, backwards):
    lengths = sorted(lengths, reverse=True)
    sizes = tuple(sum(length > time for length in lengths) for time in range(lengths[0]))
    rows = [(time, each) for time, size in enumerate(sizes) for each in range(size)]
    steps = steps_of(sizes, backwards=backwards)
    assert (steps.rows, steps.samples, steps.count) == (len(rows), len(lengths), lengths[0])
    before = {}
    for each, length in enumerate(lengths):
        walk = [(time, each) for time in (reversed(range(length)) if backwards else range(length))]
        before |= dict(zip(walk, [None, *walk[:-1]], strict=True))
    expected = [
        len(rows) + each if before[time, each] is None else rows.index(before[time, each]) for time, each in rows
    ]
    if steps.before is not None:
        assert steps.before.tolist() == expected
    for number in range(steps.count):
        first, size, first_before, has_before = (int(each[number]) for each in steps.arrays)
        for each in range(size):
            row = first_before + each if each < has_before else len(rows) + each
            assert row == expected[first + each]


@pytest.mark.parametrize("cell", LAYERS)
def test_the_way_back_is_the_same_for_all_activations_features_and_units_of_as_many_vectors(cell):
    def written(activation, features, units):
        shape = kernels(cell, activation, features, units, torch.float32).shape
        module = ir.Module("flatspot")
        KERNELS["backward"][0](module, "backward", shape)
        return str(module), asked_of("backward", shape)

    reference = written("tanh", 2, 5)
    assert all(written(name, 2, 5) == reference for name in ACTIVATIONS)
    assert written("tanh", 7, 3) == reference
    assert written("tanh", 2, 50)[0] != reference[0] != written("tanh", 2, 50)[1]


@given(st.integers(1, 1000), st.integers(0, 10**6))
def test_shares_are_all_samples_once(samples, work):
    spans = shares(samples, work)
    assert [each for start, stop in spans for each in range(start, stop)] == list(range(samples))
    assert len(spans) <= torch.get_num_threads()


def test_denormals_are_flushed_in_every_thread_whatever_the_flag_says():
    """States that die away would otherwise be denormal numbers, each of which takes a hundred times as long."""
    torch.set_flush_denormal(False)
    layer = RNN(1, 64, activation="identity", engine="fused")
    with torch.no_grad():
        for weight in layer.parameters():
            weight.mul_(0.3)
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    x = torch.zeros(400, 64, 1)
    x[0] = 1.0
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        outputs = layer(x)[0]
    finally:
        torch.set_num_threads(threads)
    smallest = torch.finfo(torch.float32).tiny
    assert ((outputs == 0) | (outputs.abs() >= smallest)).all()
    assert (outputs[-1] == 0).all()
    assert outputs[5].abs().max() > 0
    assert torch.tensor([1e-39]) * 1 != 0  # outside, they are as they were


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_it_runs_in_a_process_that_was_forked_after_it_ran():
    layer = GRU(3, 64, engine="fused")
    x = torch.randn(50, 64, 3)
    expected = layer(x)[0].detach()
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if torch.equal(layer(x)[0].detach(), expected) else 2
        finally:
            os._exit(code)
    for _ in range(600):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.1)
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        pytest.fail("it hangs")
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("cell", LAYERS)
@pytest.mark.parametrize("units", [1, 9, 17, 33])
def test_any_number_of_units_gives_the_numbers_of_the_scan(cell, units):
    """Units fill one to five vectors, so that blocks of every size are there, and some lanes are empty."""
    torch.manual_seed(units)
    layers = [LAYERS[cell](2, units, engine=engine, dtype=torch.float64) for engine in ("fused", "scan")]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(5, 7, 2, dtype=torch.float64)
    found, expected = ([layer(x)[0], *gradients(layer, x)] for layer in layers)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)


def gradients(layer, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(layer(x)[0].square().sum(), [x, *layer.parameters()])


@pytest.mark.parametrize("cell", LAYERS)
def test_sums_that_are_there_for_some_steps_at_a_time_change_nothing(cell, monkeypatch):
    torch.manual_seed(3)
    layer = LAYERS[cell](2, 5, engine="fused", bidirectional=True, dtype=torch.float64)
    x = pack_sequence([torch.randn(length, 2, dtype=torch.float64) for length in (9, 9, 6, 4, 1)])

    def found():
        return torch.autograd.grad(layer(x)[0].data.square().sum(), [*layer.parameters()])

    at_once = found()
    monkeypatch.setattr("flatspot.nn.fused.function.CACHE", 4 * 8 * 5 * 4)
    for one, other in zip(found(), at_once, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.booleans(), st.integers(1, 20))
def test_stretches_are_all_steps_and_rows_once(sizes, backwards, most):
    sizes = tuple(sorted(sizes, reverse=True))
    steps = steps_of(sizes, backwards=backwards)
    found = stretches(sizes, backwards=backwards, most=most)
    assert [step for each in found for step in range(*each.steps)] == list(range(len(sizes)))
    for each in found:
        rows = [
            row
            for step in range(*each.steps)
            for row in range(int(steps.arrays[0][step]), int(steps.arrays[0][step] + steps.arrays[1][step]))
        ]
        assert sorted(rows) == list(range(*each.rows))
        assert len(rows) <= most or each.steps[1] - each.steps[0] == 1


def test_threads_of_ours_do_what_torchs_do(monkeypatch):
    layer = GRU(3, 40, engine="fused")
    x = torch.randn(30, 16, 3)
    threads = torch.get_num_threads()
    monkeypatch.setattr("flatspot.nn.fused.compiled.LEAST_WORK", 1)
    try:
        torch.set_num_threads(3)
        expected = [layer(x)[0], *gradients(layer, x)]
        monkeypatch.setattr("flatspot.nn.fused.team._parallel", lambda: None)
        found = [layer(x)[0], *gradients(layer, x)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_going_back_twice_gives_the_same():
    layer = LSTM(2, 5, engine="fused")
    total = layer(torch.randn(4, 3, 2))[0].square().sum()
    once = torch.autograd.grad(total, [*layer.parameters()], retain_graph=True)
    again = torch.autograd.grad(total, [*layer.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


@pytest.fixture
def made(monkeypatch):
    """How often memory was asked of the system."""
    counted = []
    empty = np.empty
    monkeypatch.setattr("flatspot.nn.fused.room.np.empty", lambda *args: (counted.append(args), empty(*args))[1])
    return counted


def test_room_is_lent_again_only_when_no_tensor_uses_it(made):
    room, like = Room(), torch.zeros(0)
    first = room.take(like, 1000, 300)
    part = first[10:]
    del first
    second = room.take(like, 1000, 300)
    assert (second.shape, len(made)) == ((1000, 300), 2)
    del part
    assert room.take(like, 900, 300).dtype == torch.float32
    assert room.take(torch.zeros(0, dtype=torch.float64), 500, 300).dtype == torch.float64
    assert len(made) == 2
    room.take(like, 1000, 100)  # so much more than is wanted is not lent
    assert len(made) == 3


def test_room_keeps_no_more_than_it_may_and_travels_empty(made):
    room, like = Room(most=1), torch.zeros(0)
    several = [room.take(like, 100_000) for _ in range(4)]
    del several
    assert len(made) == 4
    held = [room.take(like, 100_000) for _ in range(2)]
    assert (len(held), len(made)) == (2, 5)
    assert [copy.deepcopy(room).most, pickle.loads(pickle.dumps(room)).most] == [1, 1]  # noqa: S301 - its own


def test_outputs_that_are_held_stay_as_they_are_while_the_layer_goes_on():
    layer = RNN(1, 64, engine="fused")
    x = torch.randn(50, 64, 1)
    outputs = layer(x)[0]
    assert outputs.untyped_storage().nbytes() >= LEAST
    kept = outputs.detach().clone()
    for _ in range(3):
        layer(torch.randn_like(x))[0].sum().backward()
    assert torch.equal(outputs, kept)
    outputs.sum().backward()  # what its way back needs is there as well
    expected = torch.autograd.grad(layer(x)[0].sum(), layer.weight_hh_l0)[0]
    layer.zero_grad()
    layer(x)[0].sum().backward()
    assert torch.equal(layer.weight_hh_l0.grad, expected)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cell", LAYERS)
def test_gradient_norms_are_those_of_the_scan_when_steps_come_in_stretches(cell, threads, monkeypatch):
    monkeypatch.setattr("flatspot.nn.fused.function.CACHE", 4 * 8 * 6 * 4)
    monkeypatch.setattr("flatspot.nn.fused.compiled.LEAST_WORK", 500)
    layers = [
        LAYERS[cell](2, 5, num_layers=2, engine=engine, keep_gradient_norms=True, dtype=torch.float64)
        for engine in ("fused", "scan")
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    x, before = torch.randn(17, 6, 2, dtype=torch.float64), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        for layer in layers:
            layer(x)[0].square().sum().backward()
    finally:
        torch.set_num_threads(before)
    for name, expected in layers[1].gradient_norms.items():
        assert torch.allclose(layers[0].gradient_norms[name], expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("make", "state"),
    [(LSTM, (torch.float64, torch.float32)), (LSTM, (torch.float32, torch.float64)), (GRU, (torch.float32,))],
)
def test_a_state_of_other_numbers_is_refused_before_memory_is_read(make, state):
    layer = make(3, 5, engine="fused", dtype=torch.float64)
    parts = tuple(torch.zeros(1, 2, 5, dtype=dtype) for dtype in state)
    with pytest.raises(ValueError, match="must be alike"):
        layer(torch.zeros(9, 2, 3, dtype=torch.float64), parts if len(parts) > 1 else parts[0])


def test_weights_that_were_changed_in_kind_or_shape_are_refused():
    layer, x = GRU(3, 5, num_layers=2, engine="fused"), torch.zeros(9, 2, 3)
    layer.weight_ih_l1.data = layer.weight_ih_l1.data.double()
    with pytest.raises(ValueError, match="must be alike"):
        layer(x)
    layer.weight_ih_l1.data = layer.weight_ih_l1.data.float().t()
    with pytest.raises(ValueError, match=r"the shape \[5, 15\] does not fit: \[15, 5\] is wanted"):
        layer(x)


def test_a_bias_of_another_size_is_refused():
    layer = GRU(3, 5, engine="fused")
    layer.bias_hh_l0.data = torch.zeros(16)
    with pytest.raises(ValueError, match=r"the shape \[16\] does not fit"):
        layer(torch.zeros(9, 2, 3))


@pytest.mark.parametrize("units", [5, 16])
def test_transforms_of_torch_go_another_way_and_leave_ours_open(units):
    """torch.func has no memory to look at; what is cached under it must be of use afterwards."""
    layer = GRU(3, units)
    x = torch.randn(11, 2, 3)
    fused = layer(x)[0]
    found = torch.func.grad(lambda x: layer(x)[0].square().sum())(x)
    y = x.clone().requires_grad_()
    expected = torch.autograd.grad(layer(y)[0].square().sum(), y)[0]
    assert torch.allclose(found, expected, atol=1e-5)
    with torch.device("meta"):
        assert torch.equal(layer(x)[0], fused)
    assert layer.choice(x).engine == "fused"


@pytest.mark.parametrize("units", [5, 16])
def test_outputs_are_of_their_own_shape_in_memory(units):
    output, h_n = RNN(3, units, engine="fused")(torch.randn(9, 2, 3))
    assert (output.view(-1).shape, h_n.view(-1).shape) == ((9 * 2 * units,), (2 * units,))
    h_n.mul_(2)


def test_frozen_weights_have_no_gradients_and_the_others_have_theirs():
    layer = LSTM(3, 5, engine="fused", dtype=torch.float64)
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    expected = dict(zip(dict(layer.named_parameters()), gradients(layer, x)[1:], strict=True))
    layer.weight_hh_l0.requires_grad_(False)
    layer.bias_ih_l0.requires_grad_(False)
    layer(x)[0].square().sum().backward()
    for name, weight in layer.named_parameters():
        assert weight.grad is None if not weight.requires_grad else torch.allclose(weight.grad, expected[name])


def test_memory_comes_back_while_other_is_taken():
    """As when Python collects garbage in between; a lock would wait for itself."""
    room, like = Room(), torch.zeros(0)
    for _ in range(300):
        cycle = [room.take(like, 100_000)]
        cycle.append(cycle)
    assert room.take(like, 100_000).shape == (100_000,)


def test_room_that_is_not_wanted_again_is_freed(made):
    room, like = Room(), torch.zeros(0)
    room.take(like, 1_000_000)
    for _ in range(PATIENCE + 1):
        room.take(like, 10)
    room.take(like, 1_000_000)
    assert len(made) == 2


def test_a_negated_view_is_read_as_what_it_stands_for():
    layer, x = RNN(2, 5, engine="fused"), torch.randn(9, 3, 2)
    assert torch.equal(layer(torch._neg_view(x))[0], layer(-x)[0])


def test_numbers_of_64_bits_stay_so_under_autocast():
    layer = RNN(2, 5, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.zeros(9, 3, 2, dtype=torch.float64))[0].dtype == torch.float64
