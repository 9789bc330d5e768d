import math

import pytest
import torch
from torch import nn

from flatspot.probes.gradient import by_block, fused_norms, gradient_norms, parameter_blocks, update_ratios


class Net(nn.Module):
    def __init__(self, cell=nn.LSTM, **options):
        super().__init__()
        self.rnn = cell(1, 4, batch_first=True, **options)
        self.head = nn.Linear(8 if options.get("bidirectional") else 4, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.loss = nn.MSELoss()
        self.model = Net()


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.initial_state = nn.Parameter(torch.zeros(4))
        self.rnn = nn.RNN(1, 4)


@pytest.mark.parametrize(
    ("module", "blocks"),
    [
        (Net(), {"rnn", "head"}),
        (Net(num_layers=2, dropout=0.1), {"rnn_l0", "rnn_l1", "head"}),
        (Net(num_layers=2, bidirectional=True), {"rnn_l0", "rnn_l1", "head"}),
        (Wrapper(), {"rnn", "head"}),
        (Own(), {"own", "rnn"}),
        (nn.GRU(1, 2, num_layers=2), {"own_l0", "own_l1"}),
        (nn.ReLU(), set()),
    ],
)
def test_blocks_hold_every_parameter_once(module, blocks):
    found = parameter_blocks(module)
    assert set(found) == blocks
    ids = [id(parameter) for block in found.values() for parameter in block]
    assert sorted(ids) == sorted(id(parameter) for parameter in module.parameters())


def slow(block):
    """The obvious twin: all numbers of the block in one long vector."""
    gradients = [parameter.grad.flatten() for parameter in block if parameter.grad is not None]
    return torch.cat(gradients).norm() if gradients else torch.zeros(())


def test_norms_equal_their_slow_twin():
    torch.manual_seed(0)
    net = Net(num_layers=2)
    net(torch.randn(5, 7, 1)).square().sum().backward()
    blocks = parameter_blocks(net)
    norms = gradient_norms(blocks)
    torch.testing.assert_close(norms["total"], slow(net.parameters()))
    for name, block in blocks.items():
        torch.testing.assert_close(norms[name], slow(block))


def test_parameters_without_a_gradient_count_as_zero():
    net = Net()
    assert all(norm == 0 for norm in gradient_norms(parameter_blocks(net)).values())
    net.head(torch.ones(1, 4)).sum().backward()
    norms = gradient_norms(parameter_blocks(net))
    assert norms["rnn"] == 0
    assert norms["total"] == norms["head"] > 0


def test_steps_are_kept_apart():
    steps = [fused_norms([torch.tensor([3.0]), torch.tensor([4.0])]), fused_norms([torch.zeros(1), torch.ones(1)])]
    norms = by_block(steps, ["a", "b"])
    assert norms["total"].tolist() == [5, 1]
    assert norms["a"].tolist() == [3, 0]


def test_sparse_gradients_are_measured():
    table = nn.Embedding(10, 3, sparse=True)
    table(torch.tensor([1, 1, 4])).sum().backward()
    dense = nn.Embedding(10, 3)
    dense(torch.tensor([1, 1, 4])).sum().backward()
    assert gradient_norms({"table": [table.weight]})["table"] == dense.weight.grad.norm()


def test_half_precision_norms_do_not_overflow():
    weight = nn.Parameter(torch.zeros(4, dtype=torch.float16))
    weight.grad = torch.full((4,), 60_000.0, dtype=torch.float16)
    assert gradient_norms({"head": [weight]})["total"].item() == pytest.approx(120_000, rel=1e-3)


@pytest.mark.parametrize(
    ("children", "blocks"),
    [
        (("total", "head"), {"total_", "head"}),
        (("norm", "gru"), {"norm_", "gru"}),
        (("total_max", "not_finite", "own"), {"total_max_", "not_finite_", "own_"}),
        (("total", "total_"), {"total_", "total__"}),
        (("norm_", "norm"), {"norm_", "norm__"}),
        (("gru_l0", "gru"), {"gru_l0", "gru_l0_", "gru_l1"}),
    ],
)
def test_a_child_that_is_called_as_something_else_is_keeps_a_name_of_its_own(children, blocks):
    made = {
        name: nn.GRU(1, 1, num_layers=2) if name == "gru" and "gru_l0" in children else nn.Linear(1, 1)
        for name in children
    }
    net = nn.Module()
    for name, each in made.items():
        net.add_module(name, each)
    found = parameter_blocks(net)
    assert set(found) == blocks
    assert sum(map(len, found.values())) == len(list(net.parameters()))


def test_weights_of_its_own_and_a_child_called_so_are_told_apart():
    net = Own()
    net.own = nn.Linear(1, 1)
    assert set(parameter_blocks(net)) == {"own", "own_", "rnn"}


def ratio_by_hand(old, new):
    """The slow, obvious twin."""
    old, new = (torch.cat([each.flatten().double() for each in tensors]) for tensors in (old, new))
    return ((new - old).abs().mean() / old.abs().mean()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_update_ratios_are_those_of_all_weights_of_a_block(dtype):
    torch.manual_seed(0)
    before = {
        "rnn": [torch.randn(3, 4, dtype=dtype), torch.randn(5, dtype=dtype)],
        "head": [torch.randn(2, dtype=dtype)],
    }
    after = {name: [each + 1e-2 * torch.randn_like(each) for each in block] for name, block in before.items()}
    found = update_ratios(before, after)
    assert set(found) == {"total", "rnn", "head"}
    for name, block in before.items():
        assert found[name].item() == pytest.approx(ratio_by_hand(block, after[name]), rel=0.07)
    whole = ([each for block in tensors.values() for each in block] for tensors in (before, after))
    assert found["total"].item() == pytest.approx(ratio_by_hand(*whole), rel=0.07)


def test_weights_that_did_not_move_or_are_not_there():
    still = {"still": [torch.ones(2)], "zero": [torch.zeros(2)], "empty": [torch.zeros(0)]}
    found = update_ratios(still, still)
    assert found["still"] == 0
    assert found["zero"].isnan()
    assert found["empty"].isnan()
    assert update_ratios({}, {}) == {}
    assert update_ratios(still, {**still, "still": [torch.full((2,), math.nan)]})["still"].isnan()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_complex_weight_counts_as_its_two_parts(dtype):
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 4, dtype=dtype)), nn.Parameter(torch.randn(4))
    weight.grad, bias.grad = torch.randn_like(weight), torch.randn_like(bias)
    norms = gradient_norms({"spectral": [weight], "head": [bias]})
    parts = [weight.grad.real, weight.grad.imag]
    assert norms["spectral"].item() == pytest.approx(torch.stack(parts).double().norm().item())
    assert norms["total"].item() == pytest.approx(
        torch.cat([bias.grad, *(each.flatten() for each in parts)]).norm().item()
    )
    assert fused_norms([weight.grad.conj()])[0].item() == pytest.approx(norms["spectral"].item())
    moved = weight.detach() + 1e-2 * torch.randn_like(weight)
    found = update_ratios({"spectral": [weight], "head": [bias]}, {"spectral": [moved], "head": [bias + 0.1]})
    old, new = (torch.view_as_real(each.detach()) for each in (weight, moved))
    assert found["spectral"].item() == pytest.approx(ratio_by_hand([old], [new]), rel=1e-5)
