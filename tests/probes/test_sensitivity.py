import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flatspot.nn import GRU
from flatspot.probes.sensitivity import loss_gradient, sensitivity, sensitivity_shape

X = torch.randn(6, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Reads(nn.Module):
    def __init__(self, cell=nn.GRU, outputs=3):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = cell(2, 4, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, outputs)

    def forward(self, x):
        return self.head(self.drop(self.rnn(x)[0][:, -1]))


def by_differences(module, x, size=1e-6):
    """The slow, obvious twin: each number of each sample is moved by itself; root mean square over the outputs."""
    module.eval()
    found = torch.zeros(x.shape[:2], dtype=x.dtype)
    unit = x.std(dim=0, correction=0)
    with torch.no_grad():
        for i in range(len(x)):
            for t in range(x.shape[1]):
                squares = 0.0
                for c in range(x.shape[2]):
                    up, down = x[i : i + 1].clone(), x[i : i + 1].clone()
                    up[0, t, c] += size
                    down[0, t, c] -= size
                    slope = (module(up) - module(down)) / (2 * size) * unit[t, c]
                    squares += slope.square().mean()
                found[i, t] = squares**0.5
    return found


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_it_is_what_differences_say(cell):
    module = Reads(cell).double()
    expected = by_differences(module, X).square().mean(dim=0).sqrt()
    many = sensitivity(module, X, draws=100)
    torch.testing.assert_close(many, expected, rtol=0.3, atol=0)
    one = Reads(cell, outputs=1).double()
    torch.testing.assert_close(sensitivity(one, X), by_differences(one, X).mean(dim=0), rtol=1e-5, atol=1e-9)


def squared(y):
    def loss(predictions):
        return (predictions - y[: len(predictions)]).square().sum(dim=1)

    return loss


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_the_loss_gradient_is_what_differences_say(cell):
    module, size = Reads(cell).double(), 1e-6
    module.eval()
    y, unit = X.sum(dim=(1, 2))[:, None].expand(6, 3), X.std(dim=0, correction=0)
    expected = torch.zeros(X.shape[:2], dtype=X.dtype)
    for i, t in ((i, t) for i in range(6) for t in range(5)):
        slopes = []
        for c in range(2):
            up, down = X[i : i + 1].clone(), X[i : i + 1].clone()
            up[0, t, c] += size
            down[0, t, c] -= size
            with torch.no_grad():
                losses = [(module(each) - y[i]).square().sum() for each in (up, down)]
            slopes.append((losses[0] - losses[1]) / (2 * size) * unit[t, c])
        expected[i, t] = torch.stack(slopes).norm()
    found = loss_gradient(module, X, squared(y))
    torch.testing.assert_close(found, expected.mean(dim=0), rtol=1e-5, atol=1e-9)


def test_the_loss_gradient_leaves_the_module_alone_and_knows_dead_ends():
    module, before = Reads().train(), torch.random.get_rng_state()
    loss_gradient(module.double(), X, squared(torch.zeros(6, 3)))
    assert module.training
    assert all(each.grad is None for each in module.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)

    class Cut(nn.Module):
        def forward(self, x):
            return x.detach()[:, -1]

    assert loss_gradient(Cut(), X, squared(torch.zeros(6, 2))).tolist() == [0.0] * 5
    assert loss_gradient(Cut(), X[:1], squared(torch.zeros(6, 2))).isnan().all()
    with pytest.raises(ValueError, match="sequences are"):
        loss_gradient(Cut(), torch.zeros(4), squared(torch.zeros(4, 1)))


def by_sample(module, x, directions):
    """The other slow twin: one sample and one direction at a time."""
    module.eval()
    unit, norms = x.std(dim=0, correction=0), []
    for direction in directions:
        for i in range(len(x)):
            leaf = x[i : i + 1].clone().requires_grad_()
            (gradient,) = torch.autograd.grad(module(leaf), leaf, direction[i : i + 1] / direction.shape[1] ** 0.5)
            norms.append((gradient[0] * unit).norm(dim=1))
    return torch.stack(norms).mean(dim=0)


def recorded(module, seen):
    """As the module, but what comes back to its outputs is kept."""

    def ask(x):
        outputs = module(x)
        outputs.register_hook(seen.append)
        return outputs

    return ask


@settings(max_examples=5)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(2, 6), st.integers(1, 4))
def test_it_is_the_mean_over_samples_and_directions(seed, outputs, samples, draws):
    module, x, seen = Reads(outputs=outputs).double(), X[:samples], []
    found = sensitivity(module, x, ask=recorded(module, seen), draws=draws, seed=seed)
    assert len(seen) == (draws if outputs > 1 else 1)
    assert all((each.abs() == 1).all() for each in seen)
    torch.testing.assert_close(found, by_sample(module, x, seen), rtol=1e-9, atol=0)


def test_fused_layers_say_what_plain_torch_says():
    """Several backward passes through one call; and what a layer kept of the user's own backward pass stays."""
    x, found = X.float(), []
    for engine in ("fused", "scan"):
        module = Reads(partial(GRU, engine=engine, keep_gradient_norms=True))
        module(x).sum().backward()
        norms = {name: each.clone() for name, each in module.rnn.gradient_norms.items()}
        found.append(sensitivity(module, x))
        assert all(torch.equal(each, norms[name]) for name, each in module.rnn.gradient_norms.items())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-7)


@pytest.mark.gpu
def test_layers_of_cudnn_give_gradients_in_evaluation_mode():
    module = Reads().eval()
    here = sensitivity(module, X.float())
    torch.testing.assert_close(sensitivity(module.cuda(), X.float().cuda()).cpu(), here, rtol=1e-3, atol=1e-6)


def test_what_is_small_is_no_zero():
    """1e-30 for two channels: in float32 the squares of a norm would be 0."""

    class Small(nn.Module):
        def forward(self, x):
            return (x * 1e-30).sum(dim=2)

    found = sensitivity(Small(), X.float())
    expected = 1e-30 * X.float().double().std(dim=0, correction=0).norm(dim=1) / 5**0.5
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


def test_a_batch_keeps_its_size_and_its_samples():
    """A module that takes the batch for time would say something else of four batches in a row."""
    sizes = []

    class AlongTheBatch(nn.Module):
        def forward(self, x):
            sizes.append(x.shape)
            return x.cumsum(dim=0).flatten(1)

    sensitivity(AlongTheBatch(), X)
    assert sizes == [X.shape]


def test_nothing_is_left_behind_and_the_same_comes_again():
    module = Reads().double().train()
    module(X).sum().backward()
    gradients = [each.grad.clone() for each in module.parameters()]
    state = torch.get_rng_state()
    with torch.no_grad():
        first, second = sensitivity(module, X), sensitivity(module, X)
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    assert all(torch.equal(each.grad, old) for each, old in zip(module.parameters(), gradients, strict=True))


@settings(max_examples=5)
@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_units_and_the_order_of_samples_do_not_matter(scale, shift):
    """A module that reads inputs of another unit, and undoes it, is as sensitive."""

    class Undoes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Reads(outputs=1).double()

        def forward(self, x):
            return self.inner((x - shift) / scale)

    expected = sensitivity(Reads(outputs=1).double(), X)
    torch.testing.assert_close(sensitivity(Undoes(), X * scale + shift), expected, rtol=1e-4, atol=1e-12)
    torch.testing.assert_close(sensitivity(Reads(outputs=1).double(), X.flip(0)), expected)


def test_a_large_offset_is_no_spread():
    far = 1e9 + X
    assert sensitivity(nn.Identity(), far).max() < 2 * sensitivity(nn.Identity(), X).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_types(dtype):
    found = sensitivity(Reads().to(dtype), X.to(dtype))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.double(), sensitivity(Reads().double(), X), rtol=0.1, atol=0.01)


def test_inputs_that_say_nothing():
    assert sensitivity(Reads(), X[:1].float()).isnan().all()
    assert sensitivity(Reads(), X[:0].float()).isnan().all()
    assert (sensitivity(Reads(), torch.ones(4, 5, 2)) == 0).all()
    assert sensitivity(Reads(), torch.full((4, 5, 2), math.nan)).isnan().all()
    assert sensitivity(nn.Flatten(), X[..., 0]).shape == (5,)
    assert sensitivity(nn.Flatten(), X[:, :0]).shape == (0,)
    assert (sensitivity(Reads().double(), torch.full((6, 5, 2), 0.1, dtype=torch.float64)) == 0).all()
    module = Reads()
    with torch.inference_mode():
        assert (sensitivity(module, X.float().clone()) > 0).all()


def test_a_path_without_gradients_is_no_sensitivity():
    class Detached(nn.Module):
        def forward(self, x):
            return x[:, -1].detach()

    assert (sensitivity(Detached(), X) == 0).all()


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.zeros(3, 4, 1, dtype=torch.long)])
def test_wrong_inputs_are_named(wrong):
    with pytest.raises(ValueError, match=r"x: (has the shape|is of the type)"):
        sensitivity(Reads(), wrong)


def test_other_wrong_usage_is_named():
    with pytest.raises(ValueError, match="draws=0"):
        sensitivity(Reads(), X, draws=0)
    with pytest.raises(ValueError, match=r"shape \(1, 3\) for 6 inputs"):
        sensitivity(Reads().double(), X, ask=lambda x: Reads().double()(x)[:1])


@settings(max_examples=20)
@given(st.floats(0.1, 20), st.integers(3, 40))
def test_a_decay_has_its_half_life(half_life, steps):
    curve = 2.0 ** (torch.arange(steps, dtype=torch.float64) / half_life)
    shape = sensitivity_shape(curve)
    assert shape.half_life == pytest.approx(half_life, rel=1e-6)
    assert shape.ratio == pytest.approx(2.0 ** (-(steps - 1) / half_life), rel=1e-6)
    assert math.isnan(sensitivity_shape(curve.flip(0)).half_life)


@pytest.mark.parametrize("curve", [[], [1.0], [math.nan, 1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
def test_a_curve_that_tells_nothing(curve):
    shape = sensitivity_shape(torch.tensor(curve))
    assert math.isnan(shape.slope)
    assert shape.ratio == 0 or math.isnan(shape.ratio)


def test_zeros_and_what_is_not_finite_are_left_out_of_the_slope():
    shape = sensitivity_shape(torch.tensor([0.0, 0.0, 1.0, math.inf, 4.0]))
    assert shape.slope == pytest.approx(math.log(2))
    assert shape.ratio == 0
    assert shape.half_life == pytest.approx(1)
