import random
import time
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn

from flatspot.probes import undisturbed as probe
from flatspot.probes.undisturbed import answer, first_tensor, undisturbed


class Container(dict):
    """One that counts its changes."""

    changes = 0

    def clear(self):
        self.changes += 1
        super().clear()


class Holds(nn.Module):
    """States in containers."""

    def __init__(self):
        super().__init__()
        self.states = [torch.zeros(2), (torch.zeros(2), {"deep": [torch.zeros(2)]})]
        self.named = {"h": torch.zeros(2), "weight": nn.Parameter(torch.zeros(2))}
        self.quiet = Container(a=1)
        self.states.append(self.states)

    def forward(self, x):
        self.states[0] += 1
        self.states[1][0].add_(1)
        self.states[1][1]["deep"].append(x)
        self.named["h"] = x
        self.named["new"] = x
        self.states.clear()
        return x


def test_what_containers_hold_comes_back():
    module = Holds()
    states, named, held = module.states, module.named, [*module.states]
    with undisturbed(module):
        module(torch.ones(2))
        assert not module.states
    assert module.states is states
    assert all(now is before for now, before in zip(states, held, strict=True))
    assert states[2] is states
    assert [states[0].sum(), states[1][0].sum(), named["h"].sum()] == [0, 0, 0]
    assert len(states[1][1]["deep"]) == 1
    assert list(named) == ["h", "weight"]
    assert module.quiet.changes == 0


class Leaky(nn.Module):
    """Everything that a call may leave behind."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(3, 1)
        self.state = torch.zeros(2)
        self.calls = 0
        self.register_buffer("seen", torch.zeros(()))
        self.drop.eval()

    def forward(self, x):
        self.calls += 1
        self.state += 1
        self.new = x
        self.seen = self.seen + x.sum()
        x = x + torch.rand(()) + random.random() + np.random.random()  # noqa: S311
        return self.head(self.drop(self.norm(x))), "more"


def everything(module):
    modes = [each.training for each in module.modules()]
    held = {name: value.clone() for name, value in module.state_dict().items()}
    gradients = [None if each.grad is None else each.grad.clone() for each in module.parameters()]
    draws = (torch.get_rng_state().clone(), np.random.get_state()[1].copy(), random.getstate())
    return modes, held, gradients, module.calls, module.state.clone(), sorted(module.__dict__), draws


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(training, fails):
    module = Leaky()
    answer(module)(torch.randn(4, 3)).sum().backward()
    gradients, buffers = [each.grad for each in module.parameters()], dict(module.named_buffers())
    before = everything(module)

    def ask():
        with undisturbed(module, training=training):
            assert all(each.training == training for each in module.modules())
            assert all(each.grad is None for each in module.parameters())
            answer(module)(torch.randn(4, 3)).sum().backward()
            assert module.head.weight.grad is not None
            if fails:
                raise KeyError

    with pytest.raises(KeyError) if fails else torch.no_grad():
        ask()
    assert same(everything(module), before)
    assert all(each.grad is old for each, old in zip(module.parameters(), gradients, strict=True))
    assert all(buffer is buffers[name] for name, buffer in module.named_buffers())


def test_gradients_can_be_taken_in_inference_mode():
    layer, x = nn.Linear(2, 1), torch.randn(3, 2)
    with torch.inference_mode(), undisturbed(layer):
        (slope,) = torch.autograd.grad(layer(torch.ones(3, 2, requires_grad=True)).sum(), layer.weight)
    assert slope.tolist() == [[3.0, 3.0]]
    assert layer(x).requires_grad


def test_a_graph_that_waits_for_its_backward_can_still_be_followed():
    module = Leaky().eval()
    loss = answer(module)(torch.randn(4, 3)).square().sum()
    with undisturbed(module):
        answer(module)(torch.randn(4, 3))
    loss.backward()
    assert module.head.weight.grad is not None


def test_an_answer_that_is_no_tensor_is_named():
    assert first_tensor({"a": None, "y": torch.ones(1)}).item() == 1
    with pytest.raises(TypeError, match="no tensor but str"):
        first_tensor("words")


def test_a_state_in_a_tuple_a_list_or_a_dict_comes_back():
    layer = nn.LSTM(1, 2)
    layer.pair, layer.past, layer.named = (torch.zeros(2), torch.ones(2)), [torch.zeros(2)], {"h": torch.zeros(2)}
    past, named, weights = layer.past, layer.named, list(layer._flat_weights)
    with undisturbed(layer):
        layer.pair[1].add_(1)
        layer.past[0].add_(1)
        layer.past.append("more")
        layer.named["h"] = torch.ones(2)
    assert layer.pair[1].tolist() == [1, 1]
    assert layer.past is past
    assert [each.tolist() for each in past] == [[0, 0]]
    assert layer.named is named
    assert named["h"].tolist() == [0, 0]
    assert all(each is old for each, old in zip(layer._flat_weights, weights, strict=True))


class Looks(nn.Module):
    """Tables that cut their rows down as they are read."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(20, 4, max_norm=1.0)
        self.bag = nn.EmbeddingBag(20, 4, max_norm=0.5, mode="sum")
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.cat([self.table(x).sum(1), self.bag(x)], dim=1))


def fitted(looks):
    module, rows = Looks(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1)
    for _ in range(5):
        if looks:
            with undisturbed(module):
                module(torch.arange(20).view(4, 5))
        loss = module(torch.randint(0, 20, (3, 2), generator=rows)).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.state_dict()


def test_rows_that_a_look_cuts_down_come_back():
    """To the last bit: a look at other rows than the batch's changes nothing of the fit."""
    assert same(fitted(looks=True), fitted(looks=False))


def test_sets_queues_and_arrays_come_back():
    module, sign = nn.Module(), torch.zeros(2)
    module.queue, module.seen = deque([torch.zeros(2)], maxlen=2), {1, "two", sign}
    module.array, module.deep = np.zeros(3), {"all": deque([np.ones(2)])}
    module.fixed, module.wide = np.broadcast_to(np.zeros(1), (4,)), torch.zeros(1).expand(4)
    queue, array = module.queue, module.array
    with undisturbed(module):
        module.queue[0].add_(1)
        module.queue.extend("ab")
        module.seen.discard("two")
        module.seen.add(3)
        sign += 1
        module.array += 1
        module.deep["all"][0][1] = 7
        module.array = np.ones(1)
    assert module.queue is queue
    assert queue.maxlen == 2
    assert [each.tolist() for each in queue] == [[0, 0]]
    assert module.seen == {1, "two", sign}
    assert sign.tolist() == [0, 0]
    assert module.array is array
    assert array.tolist() == [0, 0, 0]
    assert module.deep["all"][0].tolist() == [1, 1]


def test_a_table_gets_its_entries_back_unopened():
    module, rows = nn.Module(), [(number, [number]) for number in range(100_000)]
    module.rows, module.index = rows, dict(enumerate(rows))
    first, start = rows[0], time.perf_counter()
    with undisturbed(module):
        rows.pop(0)
        module.index.clear()
        rows[0][1].append("stays")
    assert time.perf_counter() - start < 1
    assert len(rows) == len(module.index) == 100_000
    assert rows[0] is first
    assert rows[1] == (1, [1, "stays"])


def test_a_state_comes_back_beside_a_data_set_too_large_to_copy(monkeypatch):
    monkeypatch.setattr(probe, "MOST_VALUES", 1000)
    module = nn.Module()
    module.series, module.state = [torch.zeros(400) for _ in range(3)], torch.zeros(4)
    with undisturbed(module):
        for each in (*module.series, module.state):
            each.add_(1)
    assert module.state.tolist() == [0] * 4
    assert sum(each[0].item() == 0 for each in module.series) == 2, "as many as fit"


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(2))
        self.norm = nn.BatchNorm1d(2)

    def forward(self, x):
        self.seen = self.seen + 1
        return self.norm(x)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["scripted", "traced", "frozen"])
def test_a_scripted_part_comes_back_too(kind):
    scripted = torch.jit.trace(Counts(), torch.randn(4, 2)) if kind == "traced" else torch.jit.script(Counts())
    scripted = torch.jit.freeze(scripted.eval(), ["seen"]) if kind == "frozen" else scripted
    module = nn.Sequential(scripted, nn.BatchNorm1d(2))
    before, modes = {name: each.clone() for name, each in module.state_dict().items()}, str(list(module.modules()))
    trained = [getattr(each, "training", None) for each in module.modules()]
    held = getattr(scripted, "seen", None)
    with undisturbed(module, training=True):
        for _ in range(2):
            module(torch.randn(4, 2)).sum().backward()
        assert not same(dict(module.state_dict()), before)
    assert same(dict(module.state_dict()), before)
    assert [getattr(each, "training", None) for each in module.modules()] == trained
    assert getattr(scripted, "seen", None) is held
    assert str(list(module.modules())) == modes
    assert all(each.grad is None for each in module.parameters())
