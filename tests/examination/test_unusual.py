"""Programs of unusual make: wrapped, looked up, rounded, filled up in front, slipped, held down; beside their twins."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Subset, TensorDataset

import flatspot


class Net(nn.Module):
    def __init__(self, inputs=1):
        super().__init__()
        self.gru = nn.GRU(inputs, 12, batch_first=True)
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def means(count=600, steps=10, channels=1):
    torch.manual_seed(0)
    x = torch.randn(count, steps, channels)
    return x, x[:, -4:].mean(dim=(1, 2)).unsqueeze(1) * 2


def fit(model, data, loss=nn.functional.mse_loss, epochs=6, rate=1e-2, after=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for a, b in DataLoader(data, 40, shuffle=True):
            optimizer.zero_grad()
            loss(model(a), b).backward()
            optimizer.step()
            if after is not None:
                after(model)
    return optimizer


def examined(model, x, y, optimizer, make_model, loss=nn.functional.mse_loss, cut=400):
    train, val = (DataLoader(TensorDataset(x[part], y[part]), 40) for part in (slice(cut), slice(cut, None)))
    return flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer, make_model=make_model)


def learned(make_model, x, y, loss=nn.functional.mse_loss, **how):
    """The report on a model that was trained on the first 400 samples."""
    torch.manual_seed(0)
    model = make_model()
    optimizer = fit(model, TensorDataset(x[:400], y[:400]), loss, **how)
    return examined(model, x, y, optimizer, make_model, loss)


def causes(report):
    return [each.cause for each in report.findings]


@pytest.mark.thorough
def test_an_average_that_was_never_updated_is_told_through_its_wrapping():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    averaged = AveragedModel(model)
    optimizer = fit(model, TensorDataset(x[:400], y[:400]))
    assert causes(examined(averaged, x, y, optimizer, Net))[0] == "weights-not-loaded"
    averaged.update_parameters(model)
    assert causes(examined(averaged, x, y, optimizer, Net)) == []


class LooksUp(nn.Module):
    """The second channel holds the number of a station, whatever else the first one holds."""

    def __init__(self):
        super().__init__()
        self.stations = nn.Embedding(5, 3)
        self.net = Net(4)

    def forward(self, x):
        return self.net(torch.cat([x[..., :1], self.stations(x[..., 1].long())], dim=2))


def test_numbers_that_are_looked_up_stay_where_inputs_are_replaced_or_scaled():
    x, y = means()
    stations = torch.randint(0, 5, (600, 1, 1)).expand(-1, 10, -1).float()
    report = learned(LooksUp, torch.cat([50 * x, stations], dim=2), y, rate=1e-5)
    assert not {"arrival", "units", "stages", "reach", "trial_inputs"} & set(report.not_examined)
    assert report.evidence["arrival/moves"] == 1
    assert "trial_inputs/skill" in report.evidence


class Binned(nn.Module):
    """Looks up in which bin of degrees a reading is."""

    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.arange(10.0, 30.0))
        self.bins = nn.Embedding(21, 4)
        self.net = Net(4)

    def forward(self, x):
        return self.net(self.bins(torch.bucketize(x[..., 0], self.edges)))


def test_scaled_readings_that_all_fall_into_one_bin():
    x, y = means()
    lost = learned(Binned, x, y)
    assert causes(lost)[0] == "input-never-arrives"
    assert "whole numbers" in lost.findings[0].seen
    assert causes(learned(Binned, 20 + 4 * x, y, epochs=12)) == []


class Rounds(Net):
    def forward(self, x):
        return super().forward(x).round()


class NotBelowZero(Net):
    def forward(self, x):
        return super().forward(x).relu()


@pytest.mark.parametrize(("make_model", "cause"), [(Rounds, "frozen-weights"), (NotBelowZero, "head-range")])
def test_a_staircase_behind_the_head_is_no_matter_of_its_range(make_model, cause):
    x, y = means()
    report = learned(make_model, x, 3 * y if make_model is Rounds else y - 9)
    assert causes(report)[0] == cause
    assert report.evidence.get("ceiling/staircase", 0.0) == (make_model is Rounds)


class Rate(Net):
    def forward(self, x):
        return super().forward(x).exp().squeeze(1)


def test_a_broadcast_within_a_loss_that_takes_only_what_is_above_zero():
    x, y = means()
    counts = torch.poisson((1 + y).exp())
    loss = nn.PoissonNLLLoss(log_input=False)
    report = learned(Rate, x, counts, loss)
    assert causes(report)[0] == "loss-broadcast"
    assert not learned(Rate, x, counts.squeeze(1), loss).findings


class Chance(Net):
    def forward(self, x):
        return super().forward(x).sigmoid()


def test_rare_samples_are_told_by_chances_under_an_absolute_error_too():
    x, y = means(count=900)
    rare = (y > y.quantile(0.94)).float()
    report = learned(Chance, x, rare, nn.functional.l1_loss, epochs=8)
    assert causes(report)[0] == "class-imbalance"
    assert report.evidence["targets/majority"] > 0.9


class TurnsRound(nn.Module):
    def __init__(self, turns=True):
        super().__init__()
        self.turns = turns
        self.words = nn.Embedding(12, 6)
        self.rnn = nn.RNN(6, 12, batch_first=True)
        self.head = nn.Linear(12, 1)

    def forward(self, ids):
        return self.head(self.rnn(self.words(ids.flip(1) if self.turns else ids))[1][0])


def test_filler_in_front_that_the_model_reads_last():
    torch.manual_seed(0)
    lengths = torch.randint(3, 7, (600,))
    there = torch.arange(36) >= 36 - lengths.unsqueeze(1)
    ids = torch.randint(1, 12, (600, 36)) * there
    y = (torch.randn(12)[ids] * there).sum(dim=1, keepdim=True) / 2
    report = learned(TurnsRound, ids, y, epochs=4)
    assert causes(report)[0] == "padding-dominates"
    assert report.evidence["padding/front"] == 1
    assert causes(learned(lambda: TurnsRound(turns=False), ids, y, epochs=12)) == []


def drawn(x, y):
    """Loaders over two parts of one dataset, drawn at random."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1)).tolist()
    data = TensorDataset(x, y)
    return DataLoader(Subset(data, order[:600]), 40, shuffle=True), DataLoader(Subset(data, order[600:]), 40)


def slipped(x, y):
    """Every fiftieth target was lost."""
    kept = torch.arange(len(y)) % 50 != 20
    return x[: int(kept.sum())], y[kept]


def one_off(x, y):
    return x[:-1], y[1:]


def as_it_is(x, y):
    return x, y


@pytest.mark.thorough
@pytest.mark.parametrize("torn", [slipped, one_off, as_it_is])
def test_pairs_under_a_random_split_are_looked_at_in_their_own_order(torn):
    x, _ = means(count=900, channels=2)
    train, val = drawn(*torn(x, x.mean(dim=(1, 2)).unsqueeze(1) * 3))
    torch.manual_seed(0)
    model = Net(2)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    report = flatspot.examine(
        model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer, make_model=lambda: Net(2)
    )
    assert ("misaligned-pairs" in causes(report)) == (torn is not as_it_is)
    assert ("little by little" in str(report.findings)) == (torn is slipped)
    assert torn is not as_it_is or report.evidence["pairs/drifting"] == 0


def test_what_was_trained_for_a_few_steps_is_trained_on_for_many():
    x, y = means()
    report = learned(Net, x, y, nn.functional.mse_loss, epochs=1, rate=2e-3)
    assert report.evidence["settings/steps"] == 10
    assert report.evidence["trial_again/steps"] == 10
    assert report.evidence["trial_on/steps"] > 100
    assert causes(report)[0] == "undertrained"


def test_a_head_that_the_loop_holds_down():
    def held(model):
        with torch.no_grad():
            model.head.weight.mul_(0.5)

    x, y = means()
    report = learned(Net, x, y, after=held)
    assert causes(report)[0] == "head-ignores-state"
    assert report.evidence["head/weight_share"] < 0.2


class Grows(Net):
    """Adds to its own weights in each call."""

    def forward(self, x):
        self.head.bias.data += 0.01
        return super().forward(x)


@pytest.mark.thorough
def test_weights_that_a_call_writes_into_come_back():
    x, y = means()
    torch.manual_seed(0)
    model = Grows()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    examined(model, x, y, torch.optim.Adam(model.parameters()), Grows)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())


class Factors(nn.Module):
    """A drive of two thin matrices, both of zeros: neither has a gradient through the other."""

    def __init__(self, spread=0.0):
        super().__init__()
        self.first = nn.Parameter(spread * torch.randn(1, 4))
        self.second = nn.Parameter(spread * torch.randn(4, 12))
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(torch.tanh(x @ self.first @ self.second)[:, -4:].mean(dim=1))


def test_matrices_of_an_authors_own_are_drawn_anew_too():
    x, y = means()
    report = learned(Factors, x, y)
    assert causes(report)[0] == "bad-init"
    assert report.evidence["trial_reset/skill"] > 0.5
    assert causes(learned(lambda: Factors(0.5), x, y)) == []


@pytest.mark.thorough
def test_targets_that_are_one_number_but_for_a_few_on_both_sides():
    x, _ = means()
    noise = torch.randn(len(x), 1)
    few = torch.rand(len(x), 1) < 0.05
    assert causes(learned(Net, x, noise * few))[0] == "flat-target"
    assert "flat-target" not in causes(learned(Net, x, noise.abs() * few))
    assert "flat-target" not in causes(learned(Net, x, noise.sign() * few))


@pytest.mark.thorough
@pytest.mark.parametrize(("decay", "tried"), [(0.01, False), (50.0, True)])
def test_a_decay_is_taken_away_where_it_can_have_moved_the_weights(decay, tried):
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=decay)
    for a, b in DataLoader(TensorDataset(x[:400], y[:400]), 40):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a), b).backward()
        optimizer.step()
    assert ("trial_free/skill" in examined(model, x, y, optimizer, Net).evidence) == tried
