import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from flatspot.probes.ladder import Ladder, information_ladder
from flatspot.probes.references import PENALTIES


@pytest.fixture(autouse=True)
def start():
    """Of the weights."""
    torch.manual_seed(0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Net(nn.Module):
    def __init__(self, step=-1, layers=1):
        super().__init__()
        self.rnn = nn.GRU(1, 12, layers, batch_first=True)
        self.head = nn.Linear(12, 2)
        self.step = step
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.head(self.rnn(x)[0][:, self.step])


def made(samples=240, seed=0, scale=1.0, offset=0.0):
    """The mean of the last three steps, and their difference, with some noise; a third of the samples held out."""
    x = torch.randn(samples, 6, 1, generator=seeded(seed))
    y = torch.stack([x[:, -3:, 0].mean(dim=1), x[:, -1, 0] - x[:, -3, 0]], dim=1)
    y = y + 0.3 * torch.randn(y.shape, generator=seeded(seed + 1))
    x, split = offset + scale * x, 2 * samples // 3
    return (x[:split], y[:split]), (x[split:], y[split:])


def slow(x, y, x_val, y_val):
    """Ridge by scikit-learn, the penalty tried one after another on the last fifth of the training samples."""
    x, x_val = x.flatten(1).numpy(), x_val.flatten(1).numpy()
    first = len(x) - len(x) // 5
    scaler = StandardScaler().fit(x[:first])
    fits = [Ridge(alpha=first * each).fit(scaler.transform(x[:first]), y[:first]) for each in PENALTIES]
    errors = [np.square(fit.predict(scaler.transform(x[first:])) - y[first:].numpy()).sum() for fit in fits]
    predicted = fits[int(np.argmin(errors))].predict(scaler.transform(x_val))
    return r2_score(y_val, predicted, multioutput="variance_weighted")


def trained(net, data, steps=80):
    x, y = data
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-2)
    for _ in range(steps):
        loss = (net(x) - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def test_each_rung_equals_its_slow_twin():
    net, (train, val) = Net(layers=2), made()
    found = information_ladder(net, train, val)
    with torch.no_grad():
        h, h_val, out = net.rnn(train[0])[0][:, -1], net.rnn(val[0])[0][:, -1], net(val[0])
    assert found.inputs == pytest.approx(slow(*train, *val), abs=1e-4)
    assert found.states == pytest.approx(slow(h, train[1], h_val, val[1]), abs=1e-3)
    assert found.model == pytest.approx(r2_score(val[1], out, multioutput="variance_weighted"), abs=1e-5)
    assert found.lost_by_encoder == found.inputs - found.states
    assert found.lost_by_head == found.states - found.model


def test_a_gap_says_who_lost_it():
    train, val = made()
    well = information_ladder(trained(Net(), train), train, val)
    assert abs(well.lost_by_encoder) < 0.1
    assert abs(well.lost_by_head) < 0.1
    assert well.model > 0.6
    fresh = information_ladder(Net(), train, val)
    assert fresh.lost_by_head > 0.5, "the states know, the head does not say"
    first = trained(Net(step=0), train)
    lost = information_ladder(first, train, val, states=lambda x: first.rnn(x)[0][:, 0])
    assert lost.lost_by_encoder > 0.5, "the first step has not seen the last"
    assert abs(lost.lost_by_head) < 0.1
    train, val = made(scale=22.0, offset=9065.0)
    raw = information_ladder(Net(), train, val)
    assert raw.inputs > 0.6
    assert raw.lost_by_encoder > 0.5


def test_states_are_found_by_name_by_function_and_by_themselves():
    net, (train, val) = Net(layers=2), made(samples=90)
    alone = information_ladder(net, train, val)
    assert information_ladder(net, train, val, "rnn") == information_ladder(net, train, val, "rnn.l1") == alone
    assert information_ladder(net, train, val, lambda x: net.rnn(x)[0][:, -1]).states == pytest.approx(alone.states)
    assert information_ladder(net, train, val, "rnn.l0").states != alone.states
    head = information_ladder(net, train, val, "head")
    assert head.inputs == alone.inputs
    asked = information_ladder(net, train, val, ask=lambda x: -net(x))
    assert asked.states == alone.states
    assert asked.model != alone.model


def test_a_cell_in_a_loop_has_its_last_state():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(1, 4), nn.Linear(4, 2)

        def forward(self, x):
            state = None
            for step in x.unbind(1):
                state = self.cell(step, state)
            return self.head(state[0])

    train, val = made(samples=90)
    loop = Loop()
    found = information_ladder(loop, train, val)
    assert found == information_ladder(loop, train, val, "cell")
    assert found.states > 0.3


def test_what_is_not_there_is_refused():
    train, val = made(samples=60)
    with pytest.raises(ValueError, match=r"states: 'nn' was not called; known: input, rnn.l0, head, output"):
        information_ladder(Net(), train, val, "nn")
    with pytest.raises(ValueError, match="states: no recurrent layer or cell was called"):
        information_ladder(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), train, val)
    with pytest.raises(ValueError, match=r"val: targets of \(20, 1\) beside outputs of \(20, 2\)"):
        information_ladder(Net(), train, (val[0], val[1][:, :1]))


@settings(max_examples=8)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1.0, 1e-3, 1e6]), offset=st.sampled_from([0.0, 1e9]))
def test_units_of_targets_and_order_of_held_out_samples_do_not_matter(seed, scale, offset):
    net, (train, val) = Net(), made(samples=90)
    found = information_ladder(net, train, val)
    order = torch.randperm(len(val[0]), generator=seeded(seed))
    again = information_ladder(net, train, (val[0][order], val[1][order]))
    assert again == pytest.approx(found)
    (x, y), (x_val, y_val) = train, val
    units = information_ladder(net, (x, offset + scale * y.double()), (x_val, offset + scale * y_val.double()))
    # Beside targets of 1e-3 at 1e9 float64 has seven digits fewer.
    near = 1e-6 if offset == 0 or scale >= 1 else 1e-2
    assert (units.inputs, units.states) == pytest.approx((found.inputs, found.states), abs=near)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_precision(dtype):
    (x, y), (x_val, y_val) = made(samples=90)
    found = information_ladder(Net().to(dtype), (x.to(dtype), y), (x_val.to(dtype), y_val))
    assert found.inputs > 0.5
    assert math.isfinite(found.states + found.model)


def test_without_figures_there_are_none():
    (x, y), (x_val, y_val) = made(samples=60)
    assert all(math.isnan(rung) for rung in information_ladder(Net(), (x, y), (x_val, torch.ones(20, 2))))
    few = information_ladder(Net(), (x[:5], y[:5]), (x_val, y_val))
    assert math.isnan(few.inputs)
    assert math.isnan(few.states)
    assert math.isfinite(few.model)
    holed = x.clone()
    holed[3, 2] = math.nan
    assert math.isnan(information_ladder(Net(), (holed, y), (x_val, y_val)).inputs)
    assert math.isnan(information_ladder(Net(), (x, y), (x_val * math.nan, y_val)).model)
    assert math.isnan(information_ladder(Net(), (x, y), (x_val[:1], y_val[:1])).model)
    assert isinstance(information_ladder(Net(), (x, y), (x_val[:0], y_val[:0])), Ladder)


def test_as_many_samples_as_steps_are_told_apart():
    net = nn.Sequential(nn.GRU(1, 4), Last(), nn.Linear(4, 2))
    x, y = torch.randn(262, 6, 1, generator=seeded(0)), torch.randn(262, 2, generator=seeded(1))
    timed = nn.Sequential(Swap(), net)
    found = information_ladder(timed, (x, y), (x[:40], y[:40]))
    direct = information_ladder(timed, (x, y), (x[:40], y[:40]), lambda given: net[0](given.transpose(0, 1))[0][-1])
    assert found.states == pytest.approx(direct.states)


class Swap(nn.Module):
    def forward(self, x):
        return x.transpose(0, 1)


class Last(nn.Module):
    def forward(self, out):
        return out[0][-1]


def test_nothing_is_left_behind():
    net, (train, val) = Net().train(), made(samples=60)
    net(train[0]).sum().backward()

    def everything():
        held = [*net.state_dict().values(), *(each.grad for each in net.parameters())]
        return [each.clone() for each in held], (
            torch.get_rng_state().tolist(),
            net.calls,
            net.training,
            net.rnn.training,
        )

    before = everything()
    with torch.no_grad():
        information_ladder(net, train, val)
    after = everything()
    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


@pytest.mark.gpu
def test_on_a_gpu_the_rungs_are_those_of_the_host():
    net, (train, val) = Net(), made(samples=90)
    expected = information_ladder(net, train, val)
    there = [tuple(each.cuda() for each in part) for part in (train, val)]
    assert information_ladder(net.cuda(), *there) == pytest.approx(expected, abs=1e-3)
