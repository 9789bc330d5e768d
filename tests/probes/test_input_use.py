import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from flatspot.probes.input_use import input_use, log_grid, memory_curve

seeds = st.integers(0, 2**31)


def normal(seed, *size, dtype=torch.float64):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class Asked(nn.Module):
    """Answers by a function, and keeps what it was asked."""

    def __init__(self, function):
        super().__init__()
        self.function, self.inputs = function, []

    def forward(self, x):
        self.inputs.append(x)
        return self.function(x)


class Leaky(nn.Module):
    """A state that is carried, a random start, batch statistics, dropout."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.head = nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1)
        self.state, self.calls = torch.zeros(3), 0

    def forward(self, x):
        self.calls += 1
        self.state += x[:, -1].mean(dim=0)
        self.new = x
        start = torch.randn(3) + np.random.normal()
        return self.head(self.drop(self.norm(x.mean(dim=1) + self.state + start)))


def everything(module):
    return (
        [each.training for each in module.modules()],
        [value.clone() for value in module.state_dict().values()],
        [each.grad.clone() for each in module.parameters()],
        [module.calls, module.state.clone(), sorted(module.__dict__)],
        # Not Python's: beartype draws from it, where it looks into a list.
        [torch.get_rng_state(), np.random.get_state()[1].copy()],
    )


def flat(held):
    for each in held:
        if isinstance(each, (list, tuple)):
            yield from flat(each)
        else:
            yield torch.as_tensor(each).tolist() if isinstance(each, (torch.Tensor, np.ndarray)) else each


@pytest.mark.parametrize("probe", [input_use, memory_curve])
def test_the_model_and_the_random_states_are_left_as_they_were(probe):
    module, x, y = Leaky(), torch.randn(8, 4, 3), torch.randn(8, 1)
    module.drop.eval()
    module(x).sum().backward()
    before = list(flat(everything(module)))
    first = probe(module, x, y, F.mse_loss, repeats=2)
    assert list(flat(everything(module))) == before
    second = probe(module, x, y, F.mse_loss, repeats=2)
    assert list(flat(first)) == list(flat(second))


def slow_sign_flips(increases):
    """Each way to flip the signs in turn."""
    seen = sum(increases)
    flipped = [
        sum(a * b for a, b in zip(signs, increases, strict=True))
        for signs in itertools.product((1, -1), repeat=len(increases))
    ]
    return sum(each >= seen - 1e-12 for each in flipped) / len(flipped)


def squared(p, y):
    return sum((a - b) ** 2 for a, b in zip(p, y, strict=True)) / len(p)


@settings(max_examples=15)
@given(seed=seeds, samples=st.integers(2, 30), repeats=st.integers(1, 4))
def test_equals_its_slow_twin(seed, samples, repeats):
    """Permutations as the model saw them, losses sample by sample, each way to flip the signs in turn."""
    x = normal(seed, samples, 1)
    y = (0.3 * x + normal(seed + 1, samples, 1)).flatten().tolist()
    seen = []
    targets = torch.tensor(y, dtype=torch.float64).unsqueeze(1)
    used = input_use(
        nn.Identity(),
        x,
        targets,
        F.mse_loss,
        ask=lambda each: seen.append(each) or 2 * each,
        repeats=repeats,
        seed=seed,
    )
    own, *others = [(2 * each).flatten().tolist() for each in seen]
    assert used.loss == pytest.approx(squared(own, y))
    assert used.increase == pytest.approx(sum(squared(each, y) - squared(own, y) for each in others) / repeats)
    assert used.relative == pytest.approx(used.increase / used.loss)
    parts = [each.tolist() for each in np.array_split(np.arange(samples), min(10, samples // 2))]
    increases = [
        squared([others[i % repeats][j] for j in part], [y[j] for j in part])
        - squared([own[j] for j in part], [y[j] for j in part])
        for i, part in enumerate(parts)
    ]
    assert used.p_value == pytest.approx(slow_sign_flips(increases))


@settings(max_examples=8)
@given(seed=seeds, samples=st.integers(2, 12))
def test_no_sample_gets_its_own_input_and_all_are_used(seed, samples):
    module, x = Asked(lambda x: x.double()), torch.arange(samples).unsqueeze(1)
    asked = []
    input_use(module, x, x.double(), F.mse_loss, ask=lambda each: asked.append(each) or each.double(), seed=seed)
    assert len(asked) == 11
    assert torch.equal(asked[0], x)
    for each in asked[1:]:
        assert (each != x).all()
        assert torch.equal(each.sort(dim=0).values, x)


@settings(max_examples=4)
@given(seed=seeds)
def test_scale_and_shift_of_the_targets_matter_as_they_should(seed):
    x, y = normal(seed, 24, 1), normal(seed + 1, 24, 1)
    used = input_use(nn.Identity(), x, y, F.mse_loss)
    scaled = input_use(nn.Identity(), 10 * x, 10 * y, F.mse_loss)
    shifted = input_use(nn.Identity(), x + 7, y + 7, F.mse_loss)
    assert scaled.increase == pytest.approx(100 * used.increase)
    assert scaled[2:] == pytest.approx(used[2:])
    assert tuple(shifted) == pytest.approx(tuple(used))


def test_inputs_that_are_not_used_cost_exactly_nothing():
    x, y = torch.randn(32, 5, 2), torch.randn(32, 1)
    used = input_use(Asked(lambda x: torch.full((len(x), 1), 0.7)), x, y, F.mse_loss)
    assert (used.increase, used.relative, used.p_value) == (0, 0, 1)
    assert math.isnan(memory_curve(Asked(lambda x: torch.ones(len(x), 1)), x, y, F.mse_loss).lag)


def walk(generator, samples):
    """A series whose neighbours are alike: 0.9 of each is the one before."""
    noise, values = torch.randn(samples + 50, generator=generator).tolist(), [0.0]
    for each in noise:
        values.append(0.9 * values[-1] + each)
    return torch.tensor(values[-samples:]).unsqueeze(1)


@pytest.mark.parametrize("draw", [walk, lambda generator, samples: torch.randn(samples, 1, generator=generator)])
def test_varied_answers_that_have_nothing_to_do_with_the_targets_are_seldom_called_use(draw):
    """In 3 to 9 of a hundred draws, where to compare whole repeats with one loss would be wrong in 27 to 41."""
    generator = torch.Generator().manual_seed(0)
    values = [
        input_use(nn.Identity(), draw(generator, 100), draw(generator, 100), F.mse_loss, repeats=3).p_value
        for _ in range(40)
    ]
    assert sum(p <= 0.05 for p in values) <= 8


def test_ids_and_classes_are_served():
    ids = torch.arange(40) % 4
    table = nn.Embedding.from_pretrained(10 * torch.eye(4))
    used = input_use(table, ids, ids, F.cross_entropy)
    assert used.loss < 0.01
    assert used.increase > 5
    assert used.p_value == 1 / 1024


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_any_float_type_is_served(dtype):
    x = normal(0, 40, 6, 1, dtype=dtype)
    module = Asked(lambda x: x[:, -2])
    assert input_use(module, x, x[:, -2], F.mse_loss).increase == pytest.approx(2, rel=0.3)
    curve = memory_curve(module, x, x[:, -2], F.mse_loss)
    assert curve.lag == 2
    assert curve.increase.dtype == torch.float64


def test_degenerate_samples_have_no_figure():
    one = torch.ones(1, 3, 1)
    for few in (one, one[:0]):
        assert all(map(math.isnan, input_use(nn.Identity(), few, few, F.mse_loss)))
        assert memory_curve(nn.Identity(), few, few, F.mse_loss).increase.isnan().all()
    x = torch.full((6, 3, 1), torch.nan)
    assert all(map(math.isnan, input_use(nn.Identity(), x, x, F.mse_loss)))
    assert math.isnan(memory_curve(nn.Identity(), x, x, F.mse_loss).lag)
    same = torch.ones(6, 3, 1)
    assert input_use(nn.Identity(), same, same + 1, F.mse_loss) == (1, 0, 0, 1)
    assert math.isnan(input_use(nn.Identity(), same, same, F.mse_loss).relative)


def test_wrong_usage_is_named():
    x = torch.ones(4, 2)
    with pytest.raises(ValueError, match="repeats=0"):
        memory_curve(nn.Identity(), x, x, F.mse_loss, repeats=0)
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for 4 inputs"):
        input_use(Asked(lambda x: x.mean(dim=0, keepdim=True)), x, x, F.mse_loss)
    with pytest.raises(ValueError, match=r"loss: returned the shape \(4, 2\)"):
        input_use(nn.Identity(), x, x, nn.MSELoss(reduction="none"))
    with pytest.raises(ValueError, match=r"x: has the shape \(4,\)"):
        memory_curve(nn.Identity(), x[:, 0], x, F.mse_loss)
    with pytest.raises(ValueError, match=r"lags=\[3\]: x has 2 steps"):
        memory_curve(nn.Identity(), x, x, F.mse_loss, lags=[3])


@settings(max_examples=10)
@given(seed=seeds, steps=st.integers(1, 9), data=st.data())
def test_the_memory_curve_equals_its_slow_twin_and_finds_the_lag(seed, steps, data):
    """The inputs are put together sample by sample; the model reads one step."""
    lag = data.draw(st.integers(1, steps))
    x = normal(seed, 30, steps, 1)
    module, y = Asked(lambda x: x[:, -lag]), x[:, -lag] + 0.01 * normal(seed + 1, 30, 1)
    curve = memory_curve(module, x, y, F.mse_loss, repeats=1, seed=seed)
    found = []
    memory_curve(module, x, y, F.mse_loss, ask=lambda each: found.append(each) or module(each), repeats=1, seed=seed)
    own, everything_permuted, *_ = found
    order = [next(j for j in range(30) if torch.equal(own[j], row)) for row in everything_permuted]
    before = squared(x[:, -lag, 0].tolist(), y[:, 0].tolist())
    for k, increase in zip(curve.steps.tolist(), curve.increase.tolist(), strict=True):
        read = [(x[i] if lag <= k else x[order[i]])[-lag].item() for i in range(30)]
        assert increase == pytest.approx(squared(read, y[:, 0].tolist()) - before, abs=1e-12)
    assert curve.lag == next(k for k in curve.steps.tolist() if k >= lag)


def test_the_grid_is_whole_where_it_is_short_and_thin_where_it_is_long():
    assert log_grid(0) == [0]
    assert log_grid(1) == [0, 1]
    assert log_grid(5) == [0, 1, 2, 3, 4, 5]
    assert log_grid(100) == [0, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 100]
    assert len(log_grid(10_000)) < 30


def test_a_fading_memory_is_used_as_far_as_it_is_worth_five_percent():
    """Weights 0.5^t on the last steps: those after k cost 0.25^k of all."""
    x = normal(3, 400, 20, 1)
    weights = 0.5 ** torch.arange(19, -1, -1, dtype=torch.float64)
    module = Asked(lambda x: (x[:, :, 0] * weights).sum(dim=1, keepdim=True))
    curve = memory_curve(module, x, module(x), F.mse_loss)
    assert curve.lag == 3
    assert (curve.increase / curve.increase[0])[:4].tolist() == pytest.approx([1, 0.25, 0.0625, 0.0156], rel=0.2)


def test_the_lags_may_be_chosen():
    x = normal(0, 40, 20, 1)
    curve = memory_curve(Asked(lambda x: x[:, -7]), x, x[:, -7], F.mse_loss, lags=[7, 6, 12])
    assert curve.steps.tolist() == [0, 6, 7, 12, 20]
    assert curve.lag == 7
