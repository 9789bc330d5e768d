import pytest
import torch
from torch import nn

from flatspot.errors import BadInput
from flatspot.monitors.predictions import PredictionFinder, unheard
from flatspot.probes.fitting import Fit, Reader, fit_of

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
    found = finder.take(module, outputs, batch)
    finder.detach()
    return found, made


def test_the_modules_own_forward_is_found():
    found, made = taken(Direct(), lambda m: m(X))
    assert torch.equal(found.predictions, made)
    assert torch.equal(found.targets, Y)
    assert not found.predictions.requires_grad


def test_a_childs_forward_is_found_behind_a_loss_module():
    def step(module):
        predictions = module.net(X)
        module.loss(predictions, Y)
        return predictions

    found, made = taken(Holder(), step)
    assert torch.equal(found.predictions, made)


def test_a_returned_dict_comes_first():
    named = torch.randn(6, 1)
    found, _ = taken(Direct(), lambda m: m(X), outputs={"loss": torch.zeros(()), "predictions": named})
    assert torch.equal(found.predictions, named)


def test_targets_may_be_named_too():
    target = torch.randn(6, 1)
    found, _ = taken(Direct(), lambda m: m(X), outputs={"loss": torch.zeros(()), "targets": target})
    assert torch.equal(found.targets, target)
    found, _ = taken(Direct(), lambda m: m(X), batch={"x": X, "y": Y})
    assert torch.equal(found.targets, Y)


def test_a_column_fits_a_flat_target():
    found, made = taken(Direct(), lambda m: m(X), batch=(X, Y[:, 0]))
    assert torch.equal(found.predictions, made)
    assert found.fit == Fit("numbers")


def test_a_tuple_output_is_searched():
    class Pair(Direct):
        def forward(self, x):
            states, last = self.rnn(x)
            return self.head(states[:, -1]), last

    found, made = taken(Pair(), lambda m: m(X))
    assert torch.equal(found.predictions, made[0])


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
        (X, torch.randn(6, 9)),
        (X, torch.zeros(())),
    ],
    ids=["no target", "one part", "words", "turned", "another shape", "a number"],
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
    assert finder.take(module, None, (X, Y)) is None
    assert not module._forward_hooks
    assert not module.head._forward_hooks


def test_an_old_prediction_is_not_taken_for_a_new_one():
    module, finder = Direct(), PredictionFinder()
    finder.attach(module)
    module(X)
    assert finder.take(module, None, (X, Y)) is not None
    assert finder.take(module, None, (X, Y)) is None


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
    module_output = found.predictions
    assert not torch.equal(module_output, Y)
    assert module_output.shape == Y.shape


def test_channels_in_another_order_are_not_scrambled():
    class Turned(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2)

    found, _ = taken(Turned(), lambda m: m(torch.randn(6, 4, 3)), batch=(X, torch.randn(6, 4, 3)))
    assert found is None


def test_once_found_only_that_place_is_listened_to_until_it_fails():
    module, finder = Holder(), PredictionFinder()
    finder.attach(module)
    module.net(X)
    assert finder.take(module, None, (X, Y)).source == "the output of net"
    assert not module._forward_hooks
    assert module.net._forward_hooks
    assert finder.take(module, None, (X, Y)) is None  # this step asked nobody: listen to all again
    assert module._forward_hooks
    module.net(X)
    assert finder.take(module, None, (X, Y)) is not None
    assert module._forward_hooks


def test_a_probes_call_is_not_taken_for_a_steps():
    module, finder = Direct(), PredictionFinder()
    finder.attach(module)
    with unheard():
        module(X)
    assert finder.take(module, None, (X, Y)) is None


@pytest.mark.parametrize(
    ("predictions", "targets", "fit"),
    [
        ((6, 3), (6,), Fit("classes", 1)),
        ((6, 3, 5), (6, 5), Fit("classes", 1)),
        ((6, 5, 3), (6, 5), Fit("classes", 2)),
        ((6, 3), (6, 1), Fit("classes", 1)),
        ((6, 1), (6,), Fit("labels")),
        ((6, 4), (6, 4), Fit("labels")),
        ((6, 3), (5,), None),
        ((6, 3, 5), (6, 4), None),
        ((6,), (6, 4), None),
    ],
)
def test_scores_fit_class_numbers(predictions, targets, fit):
    assert fit_of(torch.zeros(predictions), torch.zeros(targets, dtype=torch.long)) == fit


def test_scores_are_read_as_probabilities_beside_ones():
    scores, truth = torch.randn(6, 3, requires_grad=True), torch.tensor([0, 1, 2, -100, 0, 1])
    for given in (scores * 1, scores.softmax(dim=-1), scores.log_softmax(dim=-1)):
        fit = fit_of(given, truth)
        chances, ones = Reader(100).read(given.detach(), truth, fit)
        torch.testing.assert_close(chances, scores.detach().softmax(dim=-1))
        assert ones.argmax(dim=-1).tolist() == [0, 1, 2, 0, 0, 1]
        assert ones.sum(dim=-1).tolist() == [1, 1, 1, 0, 1, 1]  # a target that is no class counts for none


def test_scores_of_yes_and_no_are_read_as_probabilities():
    scores, labels = torch.randn(6, 1, requires_grad=True), torch.tensor([0, 1, 1, 0, 0, 1])
    for given in (scores * 1, scores.sigmoid()[:, 0]):
        chances, truth = Reader(100).read(given.detach(), labels, fit_of(given, labels))
        torch.testing.assert_close(chances, scores.detach().sigmoid())
        assert truth[:, 0].tolist() == labels.tolist()
    counts = torch.tensor([3, 1, 4, 1, 5, 9])  # whole numbers that are no labels are numbers
    assert torch.equal(Reader(100).read(scores.detach(), counts, Fit("labels"))[0], scores.detach())


def test_what_is_read_is_a_copy_of_few_outputs():
    wide, truth = torch.randn(6, 40), torch.randn(6, 40)
    said, true = Reader(10).read(wide, truth, Fit("numbers"))
    assert said.shape == true.shape == (6, 10)
    narrow = torch.randn(6, 4)
    said, _ = Reader(10).read(narrow, narrow, Fit("numbers"))
    said.zero_()
    assert narrow.abs().sum() > 0
    chances, ones = Reader(12).read(torch.randn(6, 3, 100), torch.zeros(6, 100, dtype=torch.long), Fit("classes", 1))
    assert chances.shape == ones.shape == (6, 12)
    torch.testing.assert_close(chances.view(6, 4, 3).sum(dim=-1), torch.ones(6, 4))
