import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flatspot.probes.independence import independence

seeds = st.integers(0, 2**31)


def normal(seed, *size):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


class Net(nn.Module):
    """A recurrent layer and a head; `before` and `between` do what a mistake would."""

    def __init__(self, batch_first=True, before=lambda x: x, between=lambda h: h[:, -1]):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.GRU(2, 4, batch_first=batch_first), nn.Linear(4, 1)
        self.before, self.between = before, between

    def forward(self, x):
        return self.head(self.between(self.rnn(self.before(x))[0]))


class Carries(Net):
    """The state is carried from batch to batch; or only that of every third batch."""

    def __init__(self, every=1):
        super().__init__()
        self.state, self.calls, self.every = None, 0, every

    def forward(self, x):
        out, state = self.rnn(x, self.state)
        self.calls += 1
        if self.calls % self.every == 0:
            self.state = state.detach()
        return self.head(out[:, -1])


class CarriesAList(Net):
    """The state is changed where it stands."""

    def __init__(self):
        super().__init__()
        self.state = [torch.zeros(1, 4, 4)]

    def forward(self, x):
        out, state = self.rnn(x, self.state[0].clone())
        self.state[0].copy_(state.detach())
        return self.head(out[:, -1])


class RandomStart(Net):
    def forward(self, x):
        start = torch.randn(1, len(x), 4) + float(np.random.normal())
        return self.head(self.rnn(x, start)[0][:, -1])


class OwnGenerator(Net):
    """Draws from a generator that nobody can put back."""

    def forward(self, x):
        self.generator = getattr(self, "generator", None) or torch.Generator().manual_seed(0)
        return super().forward(x) + torch.rand((), generator=GENERATOR)


GENERATOR = torch.Generator().manual_seed(0)

WIRINGS = {
    "none": Net(),
    "earlier": Net(batch_first=False),
    "later": Net(batch_first=False, before=lambda x: x.flip(0), between=lambda h: h.flip(0)[:, -1]),
    "mixed": Net(batch_first=False, before=lambda x: x.reshape(x.shape[1], x.shape[0], 2), between=lambda h: h[-1]),
}


@pytest.mark.parametrize("step", [0, 3, -1])
def test_states_that_a_reshape_hands_to_other_samples_are_mixed(step):
    """All read the states of one sample or two: of the first, as if the recurrence ran along the batch."""
    module = Net(between=lambda h: h.reshape(h.shape[1], h.shape[0], 4)[step])
    assert independence(module, normal(1, 5, 7, 2)).verdict == "mixed"


@pytest.mark.parametrize(("verdict", "module"), WIRINGS.items())
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_each_wiring_is_named(verdict, module, dtype):
    found = independence(module.to(dtype), normal(1, 5, 7, 2).to(dtype))
    module.float()
    assert found.verdict == verdict
    assert found.repeatable
    assert found.remembers is False


def slow(module, x, replaced, seed):
    """The obvious twin: the same swaps, found by trying which; each output by itself, bitwise."""
    asked, moved = [], []
    independence(module, x, ask=lambda each: asked.append(each.clone()) or module.eval()(each), seed=seed)
    own = module.eval()(x)
    for j, batch in zip(replaced, asked[2:], strict=False):
        assert any(torch.equal(batch[j], x[k]) for k in range(len(x)) if k != j)
        after = module(torch.stack([batch[i] if i == j else x[i] for i in range(len(x))]))
        moved.append([not torch.equal(own[i], after[i]) for i in range(len(x))])
    return moved


@settings(max_examples=8)
@given(seed=seeds, samples=st.integers(2, 6), wiring=st.sampled_from(sorted(WIRINGS)))
def test_the_matrix_equals_its_slow_twin(seed, samples, wiring):
    module, x = WIRINGS[wiring], normal(seed, samples, 3, 2)
    found = independence(module, x, seed=seed)
    assert found.replaced.tolist() == list(range(samples))
    assert found.moved.tolist() == slow(module, x, range(samples), seed)


@settings(max_examples=3)
@given(seed=seeds)
def test_the_verdict_is_of_the_wiring_and_not_of_the_numbers(seed):
    """Other samples, other scales, a mean of a billion with std 1 in float64."""
    x = normal(seed, 4, 6, 2)
    for module, verdict in ((WIRINGS["none"], "none"), (WIRINGS["mixed"], "mixed"), (WIRINGS["earlier"], "earlier")):
        for each in (x, 0.01 * x, x[torch.randperm(4, generator=torch.Generator().manual_seed(seed))]):
            assert independence(module, each, seed=seed).verdict == verdict
    far = nn.Identity()
    assert independence(far, 1e9 + x.double()).verdict == "none"


def test_a_state_that_is_carried_is_told_from_a_random_start():
    x = normal(0, 4, 5, 2)
    for module in (Carries(), Carries(every=3), CarriesAList()):
        found = independence(module, x)
        assert (found.verdict, found.repeatable, found.remembers) == ("none", True, True)
    found = independence(RandomStart(), x)
    assert (found.verdict, found.repeatable, found.remembers) == ("none", True, False)


def test_answers_that_do_not_repeat_say_nothing():
    found = independence(OwnGenerator(), normal(0, 4, 5, 2))
    assert (found.verdict, found.repeatable, found.remembers) == ("unknown", False, None)


class BatchStatistics(nn.Module):
    def forward(self, x):
        return (x - x.mean(dim=0)).sum(dim=1)


@pytest.mark.parametrize(
    ("module", "verdict"),
    [(BatchStatistics(), "mixed"), (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(0.5)), "none")],
)
def test_statistics_of_the_batch_mix_and_running_ones_do_not(module, verdict):
    x = normal(0, 4, 3, 2)
    assert independence(module, x).verdict == verdict
    assert module.training


def test_ids_are_swapped_and_answers_may_be_classes():
    ids = torch.tensor([3, 1, 0, 1])
    assert independence(nn.Embedding(5, 2), ids).verdict == "none"
    assert independence(nn.Flatten(0), ids, ask=lambda x: x.cumsum(0)).verdict == "earlier"


def test_where_a_swap_shows_nothing_the_verdict_is_unknown():
    x = normal(0, 4, 3, 2)
    for module, batch in ((Net(), x[:1]), (Net(), x[:1].expand(4, 3, 2)), (nn.Identity(), x * torch.nan)):
        found = independence(module, batch)
        assert (found.verdict, found.remembers) == ("unknown", False)
        assert not found.moved.any()
    assert independence(Net(between=lambda h: 0 * h[:, -1]), x).verdict == "unknown"
    empty = independence(Net(), x[:0])
    assert tuple(empty.moved.shape) == (0, 0)
    assert (empty.verdict, empty.repeatable, empty.remembers) == ("unknown", None, None)


def test_an_output_that_is_not_finite_says_nothing():
    """In a batch that is taken for time, NaN would hide what all that follow it read."""
    x = normal(0, 4, 3, 2)
    x[1] = torch.nan
    found = independence(WIRINGS["earlier"], x)
    assert found.verdict == "unknown"
    assert found.repeatable


def test_large_batches_are_replaced_here_and_there():
    found = independence(WIRINGS["earlier"], normal(0, 50, 3, 2), most=4)
    assert found.replaced.tolist() == [0, 16, 33, 49]
    assert tuple(found.moved.shape) == (4, 50)
    assert found.verdict == "earlier"


def test_an_answer_that_is_not_one_for_each_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 1\) for 4 inputs"):
        independence(Net(between=lambda h: h[0]), normal(0, 4, 3, 2))


def test_the_model_and_the_random_states_are_left_as_they_were():
    module, x = Carries(), torch.randn(4, 5, 2)
    module(x).sum().backward()
    state, weights = module.state, [each.clone() for each in [module.state, *module.state_dict().values()]]
    gradients = [each.grad for each in module.parameters()]
    kept = [each.clone() for each in gradients]
    draws, numpy = torch.get_rng_state(), np.random.get_state()[1].tolist()
    assert independence(module, x).remembers
    assert module.state is state
    assert module.calls == 1
    assert all(each.training for each in module.modules())
    assert all(map(torch.equal, weights, [module.state, *module.state_dict().values()]))
    assert all(each.grad is old for each, old in zip(module.parameters(), gradients, strict=True))
    assert all(map(torch.equal, kept, gradients))
    assert torch.equal(torch.get_rng_state(), draws)
    assert np.random.get_state()[1].tolist() == numpy
