import pytest
import torch
from torch import nn

from flatspot.errors import BadInput
from flatspot.monitors.predictions import PredictionFinder

X, Y = torch.randn(6, 5, 1), torch.randn(6, 1)


class Direct(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


class Holder(nn.Module):
    """The step calls a child; the module's own forward is never used."""

    def __init__(self):
        super().__init__()
        self.loss = nn.MSELoss()
        self.net = Direct()


def taken(module, use, outputs=None, batch=(X, Y), where=None):
    finder = PredictionFinder(where)
    finder.attach(module)
    made = use(module)
    found = finder.take(outputs, batch)
    finder.detach()
    return found, made


def test_the_modules_own_forward_is_found():
    found, made = taken(Direct(), lambda m: m(X))
    assert torch.equal(found[0], made)
    assert torch.equal(found[1], Y)
    assert not found[0].requires_grad


def test_a_childs_forward_is_found_behind_a_loss_module():
    def step(module):
        predictions = module.net(X)
        module.loss(predictions, Y)
        return predictions

    found, made = taken(Holder(), step)
    assert torch.equal(found[0], made)


def test_a_returned_dict_comes_first():
    named = torch.randn(6, 1)
    found, _ = taken(Direct(), lambda m: m(X), outputs={"loss": torch.zeros(()), "predictions": named})
    assert torch.equal(found[0], named)


def test_targets_may_be_named_too():
    target = torch.randn(6, 1)
    found, _ = taken(Direct(), lambda m: m(X), outputs={"loss": torch.zeros(()), "targets": target})
    assert torch.equal(found[1], target)
    found, _ = taken(Direct(), lambda m: m(X), batch={"x": X, "y": Y})
    assert torch.equal(found[1], Y)


def test_a_column_fits_a_flat_target():
    found, made = taken(Direct(), lambda m: m(X), batch=(X, Y[:, 0]))
    assert torch.equal(found[0], made[:, 0])


def test_a_tuple_output_is_searched():
    class Pair(Direct):
        def forward(self, x):
            states, last = self.rnn(x)
            return self.head(states[:, -1]), last

    found, made = taken(Pair(), lambda m: m(X))
    assert torch.equal(found[0], made[0])


def test_a_named_submodule_is_the_only_one_asked():
    found, _ = taken(Holder(), lambda m: m.net(X), where="net.head")
    assert found is not None
    with pytest.raises(BadInput, match=r"no submodule 'nope' to take predictions from; did you mean 'net'"):
        PredictionFinder("nope").attach(Holder())


@pytest.mark.parametrize(
    "batch",
    [
        X,
        (X,),
        (X, "words"),
        (X, torch.randn(1, 6)),
        (X, torch.zeros(6, dtype=torch.long)),
        (X, torch.randn(6, 9)),
        (X, torch.zeros(())),
    ],
    ids=["no target", "one part", "words", "turned", "classes", "another shape", "a number"],
)
def test_what_does_not_fit_is_not_taken(batch):
    found, _ = taken(Direct(), lambda m: m(X), batch=batch)
    assert found is None


def test_after_detaching_nothing_is_held_and_nothing_heard():
    module, finder = Direct(), PredictionFinder()
    finder.attach(module)
    module(X)
    finder.detach()
    module(X)
    assert finder.take(None, (X, Y)) is None
    assert not module._forward_hooks
    assert not module.head._forward_hooks


def test_an_old_prediction_is_not_taken_for_a_new_one():
    module, finder = Direct(), PredictionFinder()
    finder.attach(module)
    module(X)
    assert finder.take(None, (X, Y)) is not None
    assert finder.take(None, (X, Y)) is None


class Flattering(Holder):
    """A dead network beside children that could be taken for it."""

    def __init__(self):
        super().__init__()
        self.scaler = nn.BatchNorm1d(1)
        self.loss = nn.MSELoss(reduction="none")
        self.custom = CustomLoss()
        self.sparse = nn.Identity()
        self.scripted = torch.jit.script(nn.Identity())


class CustomLoss(nn.Module):
    def forward(self, predictions, targets):
        return (predictions - targets) ** 2


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_a_child_that_was_given_the_targets_is_not_taken_for_the_network():
    def step(module):
        predictions = 0 * module.net(X)
        predictions = module.net.head.bias.expand(6, 1) + predictions
        module.scaler(Y)
        module.loss(predictions, Y)
        module.custom(predictions, targets=Y)
        module.sparse(predictions.to_sparse())
        module.scripted(X)
        return predictions

    found, _ = taken(Flattering(), step)
    assert found is not None
    module_output = found[0]
    assert not torch.equal(module_output, Y)
    assert module_output.shape == Y.shape


def test_channels_in_another_order_are_not_scrambled():
    class Turned(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2)

    found, _ = taken(Turned(), lambda m: m(torch.randn(6, 4, 3)), batch=(X, torch.randn(6, 4, 3)))
    assert found is None
