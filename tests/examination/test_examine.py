"""flatspot.examine on strangers' programs: what it says, what it leaves alone, and what it cannot be told."""

import copy
import json
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatspot
from flatspot.diagnosis import Finding
from flatspot.errors import BadInput
from flatspot.examination.patient import NO_FRESH, NO_LOSS


class Net(nn.Module):
    def __init__(self, kind=nn.GRU):
        super().__init__()
        self.rnn = kind(1, 12, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(12, 1)

    def forward(self, x):
        return self.fc(self.drop(self.rnn(x)[0][:, -1]))


def data(offset=0.0, count=500):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, 12, 1, generator=generator)
    return x + offset, x.sum(dim=1) / 12**0.5


def loader(x, y, **options):
    return DataLoader(TensorDataset(x, y), **{"batch_size": 32, **options})


def trained(model, x, y, epochs=8):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(epochs):
        for a, b in loader(x[:350], y[:350], shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(a), b).backward()
            optimizer.step()
    return optimizer


@pytest.fixture(scope="module")
def offset():
    """A network that was trained on 9065 ± 1."""
    torch.manual_seed(0)
    x, y = data(9065.0)
    model = Net()
    return model, trained(model, x, y), x, y


def examine(offset, **options):
    model, optimizer, x, y = offset
    given = {
        "train": loader(x[:350], y[:350], shuffle=True),
        "val": loader(x[350:], y[350:]),
        "loss": nn.functional.mse_loss,
        "optimizer": optimizer,
        "make_model": Net,
    }
    return flatspot.examine(model, **(given | options))


def test_the_cause_its_number_and_what_to_try(offset):
    found = examine(offset)
    assert found.verdict == "flat"
    first = found.findings[0]
    assert first.cause == "unscaled-inputs"
    assert "9" in first.seen
    assert found.evidence["trial_inputs/skill"] > 0.8
    assert found.evidence["trial_again/skill"] < 0.2
    text = str(found)
    assert text.startswith("flat: ")
    assert "1. unscaled-inputs" in text
    assert json.loads(found.to_json())["findings"][0]["cause"] == "unscaled-inputs"


def test_the_same_again(offset):
    assert examine(offset).evidence == examine(offset).evidence


def test_nothing_of_the_users_moves(offset):
    model, optimizer, x, y = offset
    model.train()
    for each in model.parameters():
        each.grad = torch.ones_like(each)
    train = loader(x[:350], y[:350], shuffle=True, generator=torch.Generator().manual_seed(5))
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    # Not Python's own: what checks types in tests draws from it.
    states = np.random.get_state()[1].copy(), torch.get_rng_state(), train.generator.get_state()
    examine(offset, train=train)
    assert (np.random.get_state()[1] == states[0]).all()
    assert torch.equal(torch.get_rng_state(), states[1])
    assert torch.equal(train.generator.get_state(), states[2])
    assert model.training
    assert all(torch.equal(each, weights[name]) for name, each in model.state_dict().items())
    assert all((each.grad == 1).all() for each in model.parameters())
    after = optimizer.state_dict()
    assert after["param_groups"] == state["param_groups"]
    for number, held in state["state"].items():
        assert all(torch.equal(each, after["state"][number][name]) for name, each in held.items())


def test_what_was_not_given_is_not_examined(offset):
    found = examine(offset, optimizer=None, loss=None, make_model=None)
    assert found.not_examined["unscaled-inputs"] == NO_LOSS
    assert found.not_examined["loss-broadcast"] == NO_LOSS
    assert found.not_examined["weights-not-loaded"] == found.not_examined["too-deep"] == NO_FRESH
    for why in found.not_examined.values():
        assert "_" not in why.replace("make_model=", "")  # words, and what to give; no number's name
    assert "loss=" in NO_LOSS
    assert "make_model=" in NO_FRESH


def test_a_window_of_three_steps_has_none_that_is_early():
    torch.manual_seed(0)
    x, y = data()
    x = x[:, -3:]
    model = Net()
    with torch.no_grad():
        model.fc.weight.zero_()
    found = examine((model, torch.optim.Adam(model.parameters(), lr=1e-7), x, y))
    assert found.not_examined["vanishing-gradient"].startswith("the window has fewer than 4 steps")


def test_a_budget_that_is_spent_is_told(offset):
    found = examine(offset, budget=0.0)
    assert found.verdict == "flat"
    assert "the budget of 0 s was spent" in found.not_examined.values()


def test_a_healthy_network_is_nearly_silent():
    torch.manual_seed(0)
    x, y = data()
    model = Net(nn.LSTM)
    optimizer = trained(model, x, y)
    found = examine((model, optimizer, x, y), make_model=lambda: Net(nn.LSTM))
    assert found.verdict == "healthy"
    assert found.findings == ()
    assert len(str(found).splitlines()) <= 2


@pytest.mark.thorough
def test_an_untrained_network_can_be_examined():
    torch.manual_seed(0)
    x, y = data()
    model = Net()
    found = examine((model, torch.optim.Adam(model.parameters(), lr=1e-2), x, y))
    assert found.verdict in {"flat", "shrunken"}
    assert found.findings[0].cause == "undertrained"


@pytest.mark.thorough
def test_a_one_shot_iterator_is_used_up_and_told(offset):
    _, _, x, y = offset
    found = examine(offset, train=iter(loader(x[:350], y[:350])))
    assert any("only once" in each for each in found.notes)


def test_lists_of_batches(offset):
    _, _, x, y = offset
    batches = [(x[at : at + 50], y[at : at + 50]) for at in range(0, 350, 50)]
    assert examine(offset, train=batches).findings[0].cause == "unscaled-inputs"


@pytest.mark.parametrize("empty", [[], DataLoader(TensorDataset(torch.zeros(0, 3), torch.zeros(0, 1)))])
def test_a_loader_without_a_batch(offset, empty):
    with pytest.raises(BadInput, match="the loader gave no batch"):
        examine(offset, train=empty)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss": "mse"}, "loss='mse': cannot be called"),
        ({"optimizer": "adam"}, "optimizer='adam': is no torch.optim.Optimizer"),
        ({"make_model": nn.Linear(1, 1)}, "make_model=Linear: must be a function that gives a fresh model"),
    ],
)
def test_what_is_none_is_refused_at_the_door(offset, given, said):
    with pytest.raises(BadInput, match=re.escape(said)):
        examine(offset, **given)


def test_batches_of_another_form(offset):
    _, _, x, y = offset
    with pytest.raises(BadInput, match="batch=lambda b"):
        examine(offset, train=[{"x": x, "y": y}])


def test_nan_everywhere(offset):
    _, _, x, y = offset
    found = examine(offset, train=loader(x * float("nan"), y), val=loader(x * float("nan"), y))
    assert found.verdict == "unknown"
    assert found.findings[0].cause == "not-finite"


def test_a_model_that_fails_in_forward(offset):
    class Fails(nn.Module):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2")

    _, _, x, y = offset
    found = examine((Fails(), None, x, y), make_model=None)
    assert found.verdict == "unknown"
    assert any("mat1 and mat2" in why for why in found.not_examined.values())


def test_a_model_without_weights_or_gradients(offset):
    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=1)

    _, _, x, y = offset
    assert examine((Mean(), None, x, y), make_model=None).verdict in {"healthy", "varied-but-wrong", "shrunken"}


def test_a_loss_that_is_a_vector(offset):
    found = examine(offset, loss=nn.MSELoss(reduction="none"))
    assert found.findings[0].cause == "unscaled-inputs"


def test_tuples_out_and_words_in():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.rnn = nn.LSTM(4, 12, batch_first=True)
            self.fc = nn.Linear(12, 2)

        def forward(self, ids):
            out, state = self.rnn(self.embed(ids))
            return self.fc(out[:, -1]), state

    torch.manual_seed(0)
    ids = torch.randint(0, 10, (500, 8))
    y = (ids[:, -1] > 4).long()
    model = Words()
    found = examine(
        (model, torch.optim.Adam(model.parameters(), lr=1e-2), ids, y), loss=nn.CrossEntropyLoss(), make_model=Words
    )
    assert found.verdict in {"flat", "shrunken", "varied-but-wrong"}
    assert found.findings[0].cause == "undertrained"


def test_a_model_that_cannot_be_copied(offset):
    class Locked(Net):
        def __deepcopy__(self, memo):
            raise TypeError("locked")

    _, _, x, y = offset
    model = Locked()
    found = examine((model, torch.optim.Adam(model.parameters()), x, y), make_model=None)
    assert "the model cannot be copied (TypeError: locked)" in found.not_examined.values()


def test_one_sample_a_batch(offset):
    _, _, x, y = offset
    found = examine(offset, train=loader(x[:40], y[:40], batch_size=1), val=loader(x[350:], y[350:], batch_size=1))
    assert found.verdict == "flat"


class TwoAnswers(nn.Module):
    """The prediction first, then what else is of interest."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(1, 8, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        states, last = self.encoder(x)
        return self.head(states[:, -1]), last


def test_a_loss_that_takes_all_that_the_model_returns_is_not_taken_for_one_that_broadcasts():
    torch.manual_seed(0)
    x = torch.randn(400, 8, 1)
    y = x.mean(dim=1)
    loader = DataLoader(TensorDataset(x, y), batch_size=50)
    model = TwoAnswers()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-7)
    report = flatspot.examine(
        model,
        train=loader,
        val=loader,
        loss=lambda out, targets: (out[0] - targets).square().mean(),
        optimizer=optimizer,
        make_model=TwoAnswers,
    )
    assert report.evidence["loss/blind_to_pairs"] == 0
    assert "loss-broadcast" not in [each.cause for each in report.findings]
    assert report.evidence["trial_again/finite"] == 1


def test_a_loss_that_broadcasts_is_named_only_where_it_does_harm():
    """Of a loop that squeezes by itself, the loss that is handed over does not."""
    torch.manual_seed(0)
    x = torch.randn(600, 8, 1)
    y = x.mean(dim=(1, 2))
    loader = DataLoader(TensorDataset(x, y), batch_size=50)
    found = {}
    for squeezes in (True, False):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(20):
            for inputs, targets in loader:
                optimizer.zero_grad()
                said = model(inputs)
                ((said[:, 0] if squeezes else said) - targets).square().mean().backward()
                optimizer.step()
        report = flatspot.examine(
            model,
            train=loader,
            val=loader,
            loss=lambda said, targets: (said - targets).square().mean(),
            optimizer=optimizer,
            make_model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1)),
        )
        found[squeezes] = [each.cause for each in report.findings]
    assert found[True] == []
    assert found[False][0] == "loss-broadcast"


def test_a_page_that_needs_nothing_else(offset, tmp_path):
    found = examine(offset)
    found.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<h1><b>flat</b>: the outputs are nearly the same for every input</h1>" in page
    assert "1. unscaled-inputs" in page
    assert "An offset of thousands drives every unit to its rail" in page
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|https?:|url\(", page)
    assert all(name in page for name in found.evidence)


def test_a_page_shows_markup_as_it_is_written(tmp_path):
    told = Finding("of-a-plugin", "<script>alert(1)</script>", "a & b", "<b>", 0.5)
    found = flatspot.Report("flat", (told,), {"<i>": "<img src=x>"}, {"<u>": 1.0}, ("<blink>",))
    found.to_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not any(each in page for each in ("<script", "<img", "<i>", "<u>", "<blink>"))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_page_that_cannot_be_written_says_where(tmp_path):
    found = flatspot.Report("healthy", (), {}, {})
    with pytest.raises(BadInput, match="nowhere"):
        found.to_html(tmp_path / "nowhere" / "page.html")


def test_a_copy_on_a_device_tells_the_same(offset):
    found = examine(offset, device="cpu")
    assert found.evidence == examine(offset).evidence
    with pytest.raises(BadInput, match="cannot be copied to tube"):
        examine(offset, device="tube")


@pytest.mark.gpu
def test_a_copy_on_a_gpu_finds_the_same_cause(offset):
    found = examine(offset, device="cuda")
    assert found.findings[0].cause == "unscaled-inputs"
    assert all(each.device.type == "cpu" for each in offset[0].parameters())


def test_another_seed_draws_anew_and_finds_the_same_cause(offset):
    first, other = examine(offset), examine(offset, seed=7)
    assert first.evidence["trial_inputs/last"] != other.evidence["trial_inputs/last"]
    assert other.findings[0].cause == "unscaled-inputs"
