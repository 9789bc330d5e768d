"""What the examination finds out by doing something, each beside a look-alike that it must tell from it."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatspot
from flatspot.errors import BadInput

pytestmark = pytest.mark.long


class Net(nn.Module):
    def __init__(self, inputs=1, outputs=1):
        super().__init__()
        self.gru = nn.GRU(inputs, 12, batch_first=True)
        self.head = nn.Linear(12, outputs)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def loader(x, y, batch_size=40, shuffle=False):
    return DataLoader(TensorDataset(x, y), batch_size=batch_size, shuffle=shuffle)


def fit(model, x, y, loss=nn.functional.mse_loss, epochs=8, optimizer=None):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2) if optimizer is None else optimizer
    for _ in range(epochs):
        for a, b in loader(x, y, shuffle=True):
            optimizer.zero_grad()
            loss(model(a), b).backward()
            optimizer.step()
    return optimizer


def examined(model, x, y, optimizer, make_model, loss=nn.functional.mse_loss, cut=400):
    train, val = loader(x[:cut], y[:cut], shuffle=True), loader(x[cut:], y[cut:])
    return flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer, make_model=make_model)


def means(count=600, steps=10, channels=1):
    torch.manual_seed(0)
    x = torch.randn(count, steps, channels)
    return x, x[:, -4:].mean(dim=(1, 2)).unsqueeze(1) * 2


def causes(report):
    return [each.cause for each in report.findings]


class Carries(Net):
    """What earlier batches left is added to the state."""

    left = 0.0

    def forward(self, x):
        self.left = self.left + 1.0
        return self.head(self.gru(x)[0][:, -1]) + self.left


def test_a_state_that_leaks_is_shown_by_a_copy_that_forgets():
    x, y = means(steps=4)
    torch.manual_seed(0)
    model = Carries()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=3), Carries)
    assert causes(report)[0] == "state-leak"
    assert report.evidence["trial_alone/skill"] > report.evidence["trial_again/skill"] + 0.2
    assert "a copy that forgets" in report.findings[0].seen


@pytest.mark.parametrize("trained", [True, False])
def test_an_optimizer_of_another_model(trained):
    """Gradients that are left on the weights say that this one was trained, to no effect, and not another one."""
    x, y = means()
    torch.manual_seed(0)
    other, model = Net(), Net()
    optimizer = fit(other, x[:400], y[:400])
    if trained:
        fit(model, x[:400], y[:400], epochs=1, optimizer=optimizer)
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == ("frozen-weights" if trained else "weights-not-loaded")


def pinball(said, y):
    over = y - said
    levels = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(levels * over, (levels - 1) * over).mean()


@pytest.mark.thorough
def test_several_quantiles_of_one_target_are_healthy_and_flat_ones_are_not():
    x, y = means()
    torch.manual_seed(0)
    model = Net(outputs=3)
    healthy = examined(model, x, y, fit(model, x[:400], y[:400], pinball), lambda: Net(outputs=3), loss=pinball)
    assert healthy.verdict == "healthy"
    assert not healthy.findings
    assert healthy.evidence["skill/val"] > 0.4
    torch.manual_seed(0)
    lazy = Net(outputs=3)
    optimizer = fit(lazy, x[:400], y[:400], pinball, 1, torch.optim.Adam(lazy.parameters(), lr=1e-5))
    flat = examined(lazy, x, y, optimizer, lambda: Net(outputs=3), loss=pinball)
    assert flat.verdict == "flat"
    assert causes(flat)[0] == "undertrained"


def backwards(y):
    return y.flip(0)


def as_text_sorts(y):
    return y[sorted(range(len(y)), key=str)]


def one_late(y):
    return y.roll(1, dims=0)


@pytest.mark.parametrize("order", [backwards, as_text_sorts, one_late])
def test_targets_in_the_order_of_something_else(order):
    x, y = means()
    y = torch.cat([order(y[:400]), order(y[400:])])
    torch.manual_seed(0)
    model = Net()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=4), Net)
    assert causes(report)[0] == "misaligned-pairs"


def test_pairs_of_a_large_data_set_are_looked_at_in_a_stretch():
    x, y = means(count=3600)
    y = torch.cat([one_late(y[:2400]), one_late(y[2400:])])
    torch.manual_seed(0)
    model = Net()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=2), Net, cut=2400)
    assert causes(report)[0] == "misaligned-pairs"


def test_returns_are_not_taken_for_pairs_that_are_shifted():
    """An earlier return is a difference of two prices of the window."""
    torch.manual_seed(0)
    prices = torch.randn(900).cumsum(0)
    x = prices.unfold(0, 12, 1)[:-1].unsqueeze(2)
    y = (prices[12:] - prices[11:-1]).unsqueeze(1)
    x = (x - x[:600].mean()) / x[:600].std()
    model = Net()
    optimizer = fit(model, x[:600], y[:600], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-4))
    assert set(causes(examined(model, x, y, optimizer, Net, cut=600))) <= {"no-signal"}


def test_a_lag_beyond_a_sliding_window_is_no_misalignment():
    torch.manual_seed(0)
    series = torch.randn(800)
    x = series.unfold(0, 8, 1)[10:700].unsqueeze(2)  # ends at step t
    y = 2 * series[6 : 6 + 690].unsqueeze(1)  # step t - 11
    model = Net()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=4), Net)
    assert causes(report)[0] == "window-too-short"


def test_windows_that_are_all_the_same_leave_nothing_to_find():
    torch.manual_seed(0)
    x, y = torch.randn(1, 12, 1).repeat(600, 1, 1), torch.randn(600, 1)
    model = Net()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=2), Net)
    assert causes(report)[0] == "redundant-inputs"


class Shut(nn.Module):
    """An LSTM whose input gate is shut from the start."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 12, batch_first=True)
        self.head = nn.Linear(12, 1)
        with torch.no_grad():
            self.lstm.bias_ih_l0[:12] = -30.0

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


@pytest.mark.thorough
def test_a_gate_that_is_shut_is_named_by_what_it_is_or_by_how_it_began():
    x, y = means()
    torch.manual_seed(0)
    model = Shut()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=4), Shut)
    assert causes(report)[0] in {"saturated-units", "bad-init"}
    assert report.evidence["units/now_shut"] == 1


class FirstState(Net):
    """The head reads the state that the layer began with, through a relu."""

    def forward(self, x):
        begun = x.new_zeros(1, len(x), 12)
        self.gru(x, begun)
        return self.head(torch.relu(begun[0]))


class Sunken(Net):
    """The head reads a relu that is never above zero."""

    def forward(self, x):
        return self.head(torch.relu(self.gru(x)[0][:, -1] - 5))


@pytest.mark.parametrize(("kind", "cause"), [(FirstState, "input-never-arrives"), (Sunken, "dead-units")])
def test_zeros_of_a_dead_layer_and_zeros_that_nothing_reached(kind, cause):
    x, y = means()
    torch.manual_seed(0)
    model = kind()
    assert causes(examined(model, x, y, fit(model, x[:400], y[:400], epochs=3), kind))[0] == cause


class Letters(nn.Module):
    """A plain RNN that is to remember the first of many letters; whole numbers have no gradient."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 6)
        self.rnn = nn.RNN(6, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, ids):
        return self.head(self.rnn(self.embed(ids))[0][:, -1])


@pytest.mark.thorough
def test_a_gradient_that_vanishes_before_it_reaches_whole_numbers():
    torch.manual_seed(0)
    ids = torch.randint(3, 12, (800, 60))
    y = torch.randint(0, 3, (800,))
    ids[:, 0] = y
    model, loss = Letters(), nn.functional.cross_entropy
    report = examined(model, ids, y, fit(model, ids[:600], y[:600], loss, 3), Letters, loss, cut=600)
    assert report.evidence["references/best"] > 0.5
    assert causes(report)[0] == "vanishing-gradient"


class Tower(nn.Module):
    """One GRU, and above it sigmoids upon sigmoids."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 12, batch_first=True)
        self.floors = nn.Sequential(*(part for _ in range(8) for part in (nn.Linear(12, 12), nn.Sigmoid())))
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.floors(self.gru(x)[0][:, -1]))


@pytest.mark.thorough
def test_layers_that_do_not_recur_are_layers_too():
    x, y = means()
    torch.manual_seed(0)
    model = Tower()
    assert causes(examined(model, x, y, fit(model, x[:400], y[:400], epochs=4), Tower))[0] == "too-deep"


def test_a_pull_to_zero_that_stands_in_the_loop():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        for a, b in loader(x[:400], y[:400], shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(a), b).backward()
            optimizer.step()
            with torch.no_grad():
                for each in model.parameters():
                    each.mul_(0.5)
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == "over-regularised"
    assert "loop" in report.findings[0].means


def test_a_peak_that_throws_away_what_the_beginning_learned():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=10.0, total_steps=100, cycle_momentum=False)
    for _ in range(10):
        for a, b in loader(x[:400], y[:400], shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(a), b).backward()
            optimizer.step()
            schedule.step()
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == "learning-rate-too-high"


def test_a_few_held_out_samples_make_rightly_flat_less_sure():
    torch.manual_seed(0)
    x, y = torch.randn(1200, 10, 1), torch.randn(1200, 1)
    model = Net()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-4))
    many, few = (examined(model, x[:count], y[:count], optimizer, Net) for count in (1200, 440))
    assert causes(many) == causes(few) == ["no-signal"]
    assert few.findings[0].confidence < many.findings[0].confidence < 1


def test_a_loader_of_one_batch():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    report = flatspot.examine(
        model,
        train=[(x[:400], y[:400])],
        val=[(x[400:], y[400:])],
        loss=nn.functional.mse_loss,
        optimizer=optimizer,
        make_model=Net,
    )
    assert causes(report)[0] == "undertrained"


def test_outputs_that_are_no_tensors_are_told():
    class Talks(nn.Module):
        def forward(self, x):
            return "as you say"

    x, y = means()
    report = flatspot.examine(Talks(), train=[(x[:400], y[:400])], val=[(x[400:], y[400:])])
    assert report.verdict == "unknown"
    assert "the model returned no tensor" in report.not_examined.values()


def test_targets_that_fit_no_output_are_told():
    x, y = means()
    report = flatspot.examine(Net(outputs=3), train=[(x[:400], y[:400].expand(-1, 2))], val=[(x, y.expand(-1, 2))])
    assert report.verdict == "unknown"
    assert any("(400, 3) do not fit targets of shape (400, 2)" in why for why in report.not_examined.values())


def test_batches_that_are_no_pairs_are_told():
    x, y = means()
    with pytest.raises(BadInput, match="batch=lambda b"):
        flatspot.examine(Net(), train=[(x, y, y)], val=[(x, y)])


class TimeFirst(Net):
    """As torch.nn has it by default."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 12)

    def forward(self, x):
        return self.head(self.gru(x)[0][-1])


@pytest.mark.thorough
@pytest.mark.parametrize("steps", [12, 20, 40])
def test_time_first_with_as_many_samples_as_steps(steps):
    torch.manual_seed(0)
    x = torch.randn(600, steps, 1)
    y = x[:, -4:].mean(dim=1) * 2

    def collate(pairs):
        xs, ys = zip(*pairs, strict=True)
        return torch.stack(xs, dim=1), torch.stack(ys)

    data = TensorDataset(x[:400], y[:400]), TensorDataset(x[400:], y[400:])
    train, val = (DataLoader(each, batch_size=40, collate_fn=collate) for each in data)
    model = TimeFirst()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    for a, b in train:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a), b).backward()
        optimizer.step()
    report = flatspot.examine(
        model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer, make_model=TimeFirst
    )
    assert report.verdict == "flat"
    assert causes(report)[0] == "undertrained"


class TwoHeads(Net):
    """The prediction, and what the states say besides."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(12, 3)

    def forward(self, x):
        state = self.gru(x)[0][:, -1]
        return self.head(state), self.other(state)


def test_a_second_answer_is_not_taken_for_the_head():
    x, y = means()
    x = x * 22 + 9065
    torch.manual_seed(0)
    model = TwoHeads()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def loss(said, targets):
        return nn.functional.mse_loss(said[0], targets)

    report = examined(model, x, y, fit(model, x[:400], y[:400], loss, 4, optimizer), TwoHeads, loss)
    assert causes(report)[0] == "unscaled-inputs"


def test_a_mask_beside_the_series_is_left_as_it_is():
    class Masked(Net):
        def forward(self, x, mask):
            return super().forward(x * mask)

    x, y = means()
    x = x * 22 + 9065
    mask = torch.ones_like(x)
    torch.manual_seed(0)
    model = Masked()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(4):
        for at in range(0, 400, 40):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x[at : at + 40], mask[:40]), y[at : at + 40]).backward()
            optimizer.step()
    batches = [((x[at : at + 40], mask[:40]), y[at : at + 40]) for at in range(0, 600, 40)]
    report = flatspot.examine(
        model,
        train=batches[:10],
        val=batches[10:],
        loss=nn.functional.mse_loss,
        optimizer=optimizer,
        make_model=Masked,
    )
    assert causes(report)[0] == "unscaled-inputs"


def test_a_rate_that_a_schedule_lowered_is_not_the_rate_of_the_experiments():
    x, y = means()
    x = x * 22 + 9065
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1.0)
    for _ in range(8):
        fit(model, x[:400], y[:400], epochs=1, optimizer=optimizer)
        schedule.step(1.0)
    assert optimizer.param_groups[0]["lr"] < 1e-4
    assert causes(examined(model, x, y, optimizer, Net))[0] == "unscaled-inputs"


def test_an_optimizer_that_asks_for_the_loss_itself():
    x, y = means()
    x = x * 22 + 9065
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe")
    report = examined(model, x, y, optimizer, Net)
    assert report.evidence["trial_inputs/skill"] > report.evidence["trial_again/skill"] + 0.3


@pytest.mark.thorough
def test_gradients_of_a_penalty_in_the_loss_stay_out_of_the_model():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    kept = [each.grad.clone() for each in model.parameters()]

    def loss(said, targets):
        return nn.functional.mse_loss(said, targets) + 1e-3 * sum(each.square().sum() for each in model.parameters())

    state = torch.get_rng_state()
    examined(model, x, y, optimizer, Net, loss)
    assert all(torch.equal(each.grad, before) for each, before in zip(model.parameters(), kept, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    for each in model.parameters():
        each.grad = None
    examined(model, x, y, optimizer, Net, loss)
    assert all(each.grad is None for each in model.parameters())


def test_noise_whose_loop_squeezes_is_no_broadcast_loss():
    torch.manual_seed(0)
    x, y = torch.randn(600, 10, 1), torch.randn(600)
    model = Net()

    def squeezed(said, targets):
        return nn.functional.mse_loss(said[:, 0], targets)

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    fit(model, x[:400], y[:400], squeezed, 1, optimizer)
    report = examined(model, x, y, optimizer, Net, lambda said, targets: (said - targets).square().mean())
    assert "loss-broadcast" not in causes(report)


def test_what_no_reference_could_read_is_not_called_rightly_flat():
    """Below ten samples nothing is fitted, so nothing was looked for."""
    x, y = means(count=12)
    model = Net()
    report = examined(model, x, y, torch.optim.Adam(model.parameters()), Net, cut=8)
    assert report.verdict == "unknown"


def test_one_word_a_batch():
    torch.manual_seed(0)
    ids = torch.randint(0, 12, (60, 20))
    y = torch.randint(0, 3, (60,))
    model = Letters()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    report = flatspot.examine(
        model,
        train=loader(ids[:40].int(), y[:40], batch_size=1),
        val=loader(ids[40:].int(), y[40:], batch_size=1),
        loss=nn.functional.cross_entropy,
        optimizer=optimizer,
        make_model=Letters,
    )
    assert report.evidence["arrival/moves"] == 1
    assert "input-never-arrives" not in causes(report)


class BothWays(nn.Module):
    """Two directions, and `batch_first` is missing."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 12, bidirectional=True)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def test_a_recurrence_along_the_batch_goes_both_ways_where_it_has_two():
    x, y = means()
    y = x[:, :5].mean(dim=1) * 2
    torch.manual_seed(0)
    model = BothWays()
    assert causes(examined(model, x, y, fit(model, x[:400], y[:400], epochs=3), BothWays))[0] == "batch-as-time"


class Listed(nn.Module):
    """The recurrent part stands in a container of the caller's choice."""

    def __init__(self, container):
        super().__init__()
        self.parts = container([nn.GRU(1, 12, batch_first=True)])
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.parts[0](x)[0][:, -1])


def test_weights_in_a_plain_list_are_no_part_of_the_model():
    x, y = means()
    y = x[:, :6].mean(dim=(1, 2)).unsqueeze(1) * 2  # an untrained state knows little of the beginning
    for container, wanted in ((list, "frozen-weights"), (nn.ModuleList, None)):
        torch.manual_seed(0)
        model = Listed(container)
        report = examined(
            model, x, y, fit(model, x[:400], y[:400], epochs=10), lambda container=container: Listed(container)
        )
        assert causes(report)[:1] == ([wanted] if wanted else [])
        assert (report.evidence.get("gradients/stray_share", 0.0) > 0.5) == bool(wanted)
        before = [each.detach().clone() for part in model.parts for each in part.parameters()]
        left = [each.grad for part in model.parts for each in part.parameters()]
        examined(model, x, y, None, lambda container=container: Listed(container))
        after = [each for part in model.parts for each in part.parameters()]
        assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
        assert all(one is other.grad for one, other in zip(left, after, strict=True))


class Ends(nn.Module):
    """Of a window that is read backwards, the state at one place."""

    def __init__(self, place):
        super().__init__()
        self.place = place
        self.gru = nn.GRU(1, 12, batch_first=True)
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.gru(x.flip(1))[0][:, self.place])


@pytest.mark.parametrize(("place", "cause"), [(0, "wrong-timestep"), (-1, None)])
def test_a_window_that_is_read_backwards_ends_at_its_beginning(place, cause):
    x, _ = means()
    y = x[:, :5].mean(dim=1) * 2
    torch.manual_seed(0)
    model = Ends(place)
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=12), lambda: Ends(place))
    assert causes(report)[:1] == ([cause] if cause else [])


class Masked(nn.Module):
    """The state stands still where the mask (the last channel) has one of two values."""

    def __init__(self, still):
        super().__init__()
        self.still = still
        self.cell = nn.GRUCell(3, 12)
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        state = x.new_zeros(len(x), 12)
        for now in x.unbind(1):
            state = torch.where(now[:, 3:] == self.still, state, self.cell(now[:, :3], state))
        return self.head(state)


@pytest.mark.thorough
@pytest.mark.parametrize(("still", "cause"), [(1.0, "input-never-arrives"), (0.0, None)])
def test_what_a_mask_keeps_out_never_arrives(still, cause):
    torch.manual_seed(0)
    lengths = torch.randint(5, 11, (600, 1))
    inside = (torch.arange(10) < lengths).float().unsqueeze(2)
    x = torch.cat([torch.randn(600, 1, 3) + 0.5 * torch.randn(600, 10, 3), torch.ones(600, 10, 1)], dim=2) * inside
    y = x[:, :4, :3].mean(dim=(1, 2)).unsqueeze(1) * 2
    torch.manual_seed(0)
    model = Masked(still)
    report = examined(model, x, y, fit(model, x[:400], y[:400]), lambda: Masked(still))
    assert causes(report)[:1] == ([cause] if cause else [])


@pytest.mark.thorough
def test_another_order_within_each_batch_leaves_the_batches_means():
    x, _ = means()
    x = x + torch.randn(len(x), 1, 1)
    y = x.mean(dim=1)
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:400], y[torch.randperm(600)][:400], epochs=4)

    def another_order(pairs):
        ordered = sorted(pairs, key=lambda pair: pair[0][0, 0].item())
        return torch.stack([a for a, _ in ordered]), torch.stack([b for _, b in pairs])

    def told(targets, collate=another_order):
        train, val = (
            DataLoader(TensorDataset(x[rows], targets[rows]), 20, collate_fn=collate)
            for rows in (slice(0, 400), slice(400, 600))
        )
        return flatspot.examine(
            model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer, make_model=Net
        )

    torn = told(y)
    assert causes(torn)[0] == "misaligned-pairs"
    assert torn.evidence["pairs/in_batches"] > 0.5
    assert told(torch.randn_like(y)).evidence["pairs/in_batches"] == 0


def one_by_one(said, y):
    """Each level's column against a column of targets, of which the one is a vector."""
    return sum(torch.maximum(q * (y - said[:, i]), (q - 1) * (y - said[:, i])).mean() for i, q in enumerate((0.2, 0.8)))


def test_a_loss_that_broadcasts_several_numbers_of_a_target():
    x, y = means()
    torch.manual_seed(0)
    model = Net(outputs=2)
    report = examined(model, x, y, fit(model, x[:400], y[:400], one_by_one), lambda: Net(outputs=2), loss=one_by_one)
    assert causes(report)[0] == "loss-broadcast"
    assert report.verdict == "flat"  # judged with each prediction beside its own target
    assert report.evidence["references/best"] > 0.2


def test_the_head_moves_a_thousandth_as_fast_as_the_rest():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    nn.init.zeros_(model.head.weight)
    groups = [{"params": model.gru.parameters(), "lr": 1e-2}, {"params": model.head.parameters(), "lr": 1e-7}]
    report = examined(model, x, y, fit(model, x[:400], y[:400], optimizer=torch.optim.Adam(groups)), Net)
    assert causes(report)[0] == "head-ignores-state"
    assert report.evidence["head/rate_share"] == pytest.approx(1e-5)


@pytest.mark.thorough
def test_a_rate_that_a_schedule_never_took():
    """A rate of 1 is multiplied by a warm-up of thousands of steps; a decay from 0.01 did take its first rate."""
    x, y = means()
    for rate, factor, wanted in ((1.0, lambda step: 1e-6 * (step + 1), "warm-up"), (1e-2, lambda step: 0.9**step, "")):
        torch.manual_seed(0)
        model = Net()
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        for a, b in loader(x[:400], y[:400]):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(a), b).backward()
            optimizer.step()
            schedule.step()
        report = examined(model, x, y, optimizer, Net)
        assert report.evidence["settings/rate"] == pytest.approx(optimizer.param_groups[0]["lr"] if wanted else rate)


def test_a_loss_without_a_gradient_is_told_from_one_with():
    def of_numbers(said, y):
        return torch.tensor(float((said.detach() - y).square().mean()), requires_grad=True)

    x, _ = means()
    y = x[:, :6].mean(dim=(1, 2)).unsqueeze(1) * 2
    torch.manual_seed(0)
    model = Net()
    report = examined(model, x, y, fit(model, x[:400], y[:400], of_numbers), Net, loss=of_numbers)
    assert causes(report)[0] == "frozen-weights"
    assert report.verdict in {"flat", "shrunken"}


@pytest.mark.thorough
def test_classes_that_are_weighted_by_how_often_they_occur():
    torch.manual_seed(0)
    label = (torch.rand(800) < 0.08).long()
    x = torch.randn(800, 10, 1) + 2.0 * label[:, None, None] * torch.rand(800, 1, 1)
    share = torch.bincount(label).float() / len(label)
    loss = nn.CrossEntropyLoss(weight=share)
    torch.manual_seed(0)
    model = Net(outputs=2)
    optimizer = fit(model, x[:500], label[:500], loss, 4)
    report = examined(model, x, label, optimizer, lambda: Net(outputs=2), loss=loss, cut=500)
    assert causes(report)[0] == "class-imbalance"
    assert torch.equal(loss.weight, share)


@pytest.mark.thorough
def test_a_handful_of_training_samples_is_not_another_scale():
    torch.manual_seed(0)
    x = torch.randn(500, 6, 24) + 2.0 * torch.randn(500, 1, 24)
    y = x[..., :4].mean(dim=(1, 2)).unsqueeze(1)
    torch.manual_seed(0)
    model = Net(inputs=24)
    optimizer = fit(model, x[:8], y[:8], epochs=150)
    report = examined(model, x, y, optimizer, lambda: Net(inputs=24), cut=8)
    assert causes(report)[0] == "too-little-data"


@pytest.mark.thorough
def test_an_input_that_moves_nothing_is_told_beside_one_that_does():
    """What stands behind a sample's length is read, and what stands before it was hidden."""

    class Hidden(Net):
        def forward(self, x, lengths):
            inside = (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(2)
            return self.head(self.gru(x.masked_fill(inside, 0.0))[0][torch.arange(len(x)), lengths - 1])

    torch.manual_seed(0)
    lengths = torch.randint(5, 11, (600,))
    x = torch.randn(600, 10, 1) + torch.randn(600, 1, 1)
    y = x[:, :5].mean(dim=1)
    torch.manual_seed(0)
    model = Hidden()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = TensorDataset(x, lengths, y)
    train, val = (
        DataLoader(torch.utils.data.Subset(data, rows), batch_size=40) for rows in (range(400), range(400, 600))
    )
    for a, count, b in train:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a, count), b).backward()
        optimizer.step()
    report = flatspot.examine(
        model,
        train=train,
        val=val,
        loss=nn.functional.mse_loss,
        optimizer=optimizer,
        make_model=Hidden,
        batch=lambda held: ((held[0], held[1]), held[2]),
    )
    assert causes(report)[0] == "input-never-arrives"
    assert "series" in report.findings[0].seen


@pytest.mark.thorough
def test_quantiles_of_a_target_that_is_far_away():
    x, y = means()
    y = 900 + 20 * y
    torch.manual_seed(0)
    model = Net(outputs=3)
    report = examined(model, x, y, fit(model, x[:400], y[:400], pinball), lambda: Net(outputs=3), loss=pinball)
    assert causes(report)[0] == "unscaled-targets"
    assert report.evidence["trial_targets/skill"] > 0.3


class Picks(Net):
    """Reads the state at a place that is reckoned from the length; rightly, or behind the end of most samples."""

    def __init__(self, shift):
        super().__init__()
        self.shift = shift

    def forward(self, x):
        lengths = (x[:, :, 0] != 0).sum(1)
        states = nn.utils.rnn.pad_packed_sequence(
            self.gru(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0],
            batch_first=True,
        )[0]
        return self.head(states[torch.arange(len(x)), (lengths - 1 + self.shift).clamp(max=states.shape[1] - 1)])


@pytest.mark.thorough
@pytest.mark.parametrize(("shift", "cause"), [(4, "padding-dominates"), (0, None)])
def test_a_state_that_is_picked_up_behind_the_end(shift, cause):
    torch.manual_seed(0)
    lengths = torch.randint(4, 13, (600, 1))
    inside = (torch.arange(12) < lengths).unsqueeze(2)
    x = (torch.randn(600, 1, 1) + 0.5 * torch.randn(600, 12, 1)) * inside
    y = x.sum(dim=1) / lengths * 1.3
    torch.manual_seed(0)
    model = Picks(shift)
    report = examined(model, x, y, fit(model, x[:400], y[:400]), lambda: Picks(shift))
    assert causes(report)[:1] == ([cause] if cause else [])


def test_a_matrix_that_the_loop_sets_to_zero_after_each_step():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for a, b in loader(x[:400], y[:400]):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a), b).backward()
        optimizer.step()
        with torch.no_grad():
            model.gru.weight_ih_l0.mul_(1e-4)
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == "over-regularised"
    assert report.evidence["weights/emptied"] == pytest.approx(1 / 2)


@pytest.mark.thorough
def test_a_filler_at_the_end_is_no_step_that_is_not_read():
    """Where all samples end in zeros, no swap of their last steps moves anything, whatever the head reads."""
    x, y = means()
    x = torch.cat([x, torch.zeros(600, 6, 1)], dim=1)

    class Trims(Net):
        def forward(self, x):
            return super().forward(x[:, :10])

    torch.manual_seed(0)
    model = Trims()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    report = examined(model, x, y, optimizer, Trims)
    assert report.evidence["steps/last_read"] == 1
    assert "wrong-timestep" not in causes(report)


def test_a_level_that_neighbours_share_is_no_torn_pair():
    """Samples in the order of their groups: each batch has a level of its own, in inputs and targets."""
    torch.manual_seed(0)
    level = torch.randn(30, 1).repeat_interleave(20, dim=0)
    x = level.unsqueeze(1) + 3 * torch.randn(600, 1, 1) + torch.randn(600, 10, 1)
    y = level + 4 * torch.randn(600, 1)
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:400], y[:400], epochs=3)
    train, val = loader(x[:400], y[:400], 20), loader(x[400:], y[400:], 20)
    report = flatspot.examine(
        model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer, make_model=Net
    )
    assert "misaligned-pairs" not in causes(report)


def test_a_first_state_that_asks_for_a_gradient_is_no_weight():
    class Begins(Net):
        def forward(self, x):
            first = torch.zeros(1, len(x), 12).requires_grad_()
            return self.head(self.gru(x, first)[0][:, -1])

    x, y = means()
    torch.manual_seed(0)
    model = Begins()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    report = examined(model, x, y, optimizer, Begins)
    assert report.evidence["gradients/stray_share"] == 0
    assert causes(report)[0] == "undertrained"


SHARED = nn.GRU(1, 12, batch_first=True)


@pytest.mark.thorough
def test_what_copies_share_with_the_model_is_not_trained():
    class Borrows(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(12, 1)

        def forward(self, x):
            return self.head(SHARED(x)[0][:, -1])

    x, y = means()
    y = x[:, :6].mean(dim=(1, 2)).unsqueeze(1) * 2
    before = [each.detach().clone() for each in SHARED.parameters()]
    torch.manual_seed(0)
    model = Borrows()
    optimizer = fit(model, x[:400], y[:400])
    for each in SHARED.parameters():
        each.grad = None
    report = examined(model, x, y, optimizer, Borrows)
    assert report.evidence["gradients/stray_share"] > 0.5
    assert all(torch.equal(one, other) for one, other in zip(before, SHARED.parameters(), strict=True))
    assert all(each.grad is None for each in SHARED.parameters())


class MixesTime(nn.Module):
    """A linear layer along time for each channel, as in DLinear."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(10, 1)
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        return self.head(self.mix(x.transpose(1, 2)).squeeze(2))


def test_a_linear_layer_along_time_does_not_say_that_channels_come_first():
    torch.manual_seed(0)
    x = torch.randn(600, 10, 3)
    y = x.mean(dim=(1, 2)).unsqueeze(1)
    model = MixesTime()
    report = examined(model, x, y, fit(model, x[:400], y[:400]), MixesTime)
    assert report.evidence["sizes/steps"] == 10
    assert report.evidence["sizes/channels"] == 3


def test_an_offset_does_not_hide_what_the_head_follows():
    x, y = means()
    x = x * 1e-3
    y = 9000 + 2000 * x.mean(dim=1)
    torch.manual_seed(0)
    model = Net()
    nn.init.constant_(model.head.bias, 9000.0)
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    report = examined(model, x, y, optimizer, None)
    assert report.evidence["steps/read"] == 1
    assert "wrong-timestep" not in causes(report)


@pytest.mark.thorough
def test_a_channel_that_nobody_reads_is_no_mask():
    class ReadsOne(Net):
        def forward(self, x):
            return super().forward(x[..., :1])

    torch.manual_seed(0)
    x = torch.randn(600, 10, 4)
    y = x[..., 0].mean(dim=1, keepdim=True) * 2
    torch.manual_seed(0)
    model = ReadsOne()
    optimizer = fit(model, x[:400], y[:400], epochs=1, optimizer=torch.optim.Adam(model.parameters(), lr=1e-5))
    assert causes(examined(model, x, y, optimizer, ReadsOne))[0] == "undertrained"


def test_a_loss_that_cuts_an_axis_off_is_asked_in_the_models_shape():
    def cuts(said, true):
        return (said[..., 0] - true).square().mean()

    class Deep(Net):
        def forward(self, x):
            return super().forward(x).unsqueeze(2)

    x, y = means()
    torch.manual_seed(0)
    model = Deep()
    report = examined(model, x, y, fit(model, x[:400], y[:400], cuts), Deep, loss=cuts)
    assert report.verdict == "healthy"
    assert not report.evidence["loss/blind_to_pairs"]


def test_zeros_that_a_relu_says_are_said_of_samples_without_a_filler_too():
    torch.manual_seed(0)
    demand = torch.randn(600, 10, 1).clamp(min=0) * (torch.rand(600, 10, 1) < 0.5)
    y = (demand.mean(dim=1) - 0.2).clamp(min=0) * 3

    class Positive(Net):
        def forward(self, x):
            return super().forward(x).relu()

    torch.manual_seed(0)
    model = Positive()
    report = examined(model, demand, y, fit(model, demand[:400], y[:400], epochs=2), Positive)
    assert "padding-dominates" not in causes(report)


@pytest.mark.thorough
def test_a_schedule_that_ends_at_zero_did_take_its_first_rate():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    nn.init.zeros_(model.gru.bias_hh_l0)
    model.gru.bias_hh_l0.requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for a, b in loader(x[:400], y[:400]):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a), b).backward()
        optimizer.step()
        schedule.step()
    assert examined(model, x, y.roll(7, 0), optimizer, Net).evidence["settings/rate"] == pytest.approx(1e-2)


def test_packed_values_are_scaled_without_their_filler():
    torch.manual_seed(0)
    lengths = torch.randint(3, 11, (600,)).tolist()
    held = [300 + 20 * torch.randn(1, 1) + 20 * torch.randn(length, 1) for length in lengths]
    pairs = [(each, (each.mean().reshape(1) - 300) / 20) for each in held]

    class Last(Net):
        def forward(self, x):
            return self.head(self.gru(x)[1][0])

    def packed(several):
        sequences = nn.utils.rnn.pack_sequence([a for a, _ in several], enforce_sorted=False)
        return sequences, torch.stack([b for _, b in several])

    train, val = (DataLoader(part, 40, collate_fn=packed) for part in (pairs[:400], pairs[400:]))
    torch.manual_seed(0)
    model = Last()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for a, b in train:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(a), b).backward()
        optimizer.step()
    report = flatspot.examine(
        model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer, make_model=Last
    )
    assert report.evidence["inputs/largest_mean"] == pytest.approx(300, rel=0.02)
    assert causes(report)[0] == "unscaled-inputs"


@pytest.mark.thorough
def test_a_way_beside_the_head_is_not_behind_it():
    class Highway(Net):
        def __init__(self):
            super().__init__()
            self.way = nn.Linear(1, 1)

        def forward(self, x):
            return (self.head(self.gru(x)[0][:, -1]) + self.way(x[:, -1])).sigmoid()

    x, y = means()
    torch.manual_seed(0)
    model = Highway()
    report = examined(model, x, y + 3, fit(model, x[:400], y[:400] + 3), Highway)
    assert causes(report)[0] == "head-range"


@pytest.mark.thorough
def test_a_running_variance_that_is_infinite_is_not_finite():
    class Norm(Net):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(1)
            self.register_buffer("mask", torch.full((1, 10), -torch.inf))

        def forward(self, x):
            return super().forward(self.norm(x.transpose(1, 2)).transpose(1, 2))

    x, y = means()
    model = Norm()
    optimizer = fit(model, x[:400], y[:400])
    assert examined(model, x, y.roll(5, 0), optimizer, Norm).evidence["finite/bad_weights"] == 0
    model.norm.running_var.fill_(torch.inf)
    assert "not-finite" in causes(examined(model, x, y, optimizer, Norm))


class Faint(Net):
    """Its weights begin so small that in float32 nothing is left of the inputs beside the head's bias."""

    def __init__(self):
        super().__init__()
        for name, each in self.named_parameters():
            nn.init.normal_(each, std=0.0 if "gru.bias" in name else 1e-7)
        nn.init.ones_(self.head.bias)


@pytest.mark.thorough
def test_weights_of_nearly_nothing_are_no_missing_wire():
    x, y = means()
    torch.manual_seed(0)
    model = Faint()
    optimizer = torch.optim.SGD(model.parameters(), lr=5e-2)
    report = examined(model, x, y, fit(model, x[:400], y[:400], optimizer=optimizer), Faint)
    assert report.evidence["arrival/moves"] == 0
    assert report.evidence["arrival/reset"] == 1
    assert causes(report)[0] == "bad-init"


@pytest.mark.thorough
def test_what_comes_on_slowly_is_trained_for_longer():
    """Plain steps of a small rate: a few more lead somewhere, ten times the rate is too high for the first layer."""
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:400], y[:400], epochs=2, optimizer=torch.optim.SGD(model.parameters(), lr=5e-3))
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == "undertrained"


class Remembers(Net):
    """Goes on from the state that the last batch left."""

    state = None

    def forward(self, x):
        before = None if self.state is None or self.state.shape[1] != len(x) else self.state
        _, after = self.gru(x, before)
        self.state = after.detach()
        return self.head(after[-1])


@pytest.mark.thorough
def test_a_state_that_training_has_grown_used_to_is_shown_by_one_that_begins_anew():
    """Without `make_model` a few steps that forget do not undo what was learned of others' ends."""
    torch.manual_seed(0)
    x = torch.randn(640, 12, 1)
    y = 2 * x[:, :2].mean(dim=1)
    model = Remembers()
    optimizer = fit(model, x[:400], y[:400], epochs=30)
    report = examined(model, x, y, optimizer, None)
    assert causes(report)[0] == "state-leak"
    evidence = report.evidence
    assert evidence["trial_alone_anew/skill"] > evidence.get("trial_reset/skill", 0.0) + 0.2


class Normed(Net):
    """Its head is held to a norm, as Keras' `max_norm` does."""

    def __init__(self):
        super().__init__()
        nn.utils.parametrize.register_parametrization(self.head, "weight", Held())


class Held(nn.Module):
    def forward(self, weight):
        return 0.02 * weight / weight.norm()


@pytest.mark.thorough
def test_a_head_whose_weight_is_made_from_another_is_a_head():
    x, y = means()
    torch.manual_seed(0)
    model = Normed()
    report = examined(model, x, y, fit(model, x[:400], y[:400]), Normed)
    assert causes(report)[0] == "head-ignores-state"
    assert report.evidence["head/weight_norm"] == pytest.approx(0.02)
    assert report.evidence["head/weight_share"] == pytest.approx(1.0)
    assert not {"head-range", "head-ignores-state"} & set(report.not_examined)


class Storeys(nn.Module):
    """Many convolutions before a single recurrent layer."""

    def __init__(self, storeys=20):
        super().__init__()
        pairs = [(nn.Conv1d(12 if storey else 1, 12, 3, padding=1), nn.GELU()) for storey in range(storeys)]
        self.tower = nn.Sequential(*(each for pair in pairs for each in pair))
        self.gru = nn.GRU(12, 12, batch_first=True)
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.gru(self.tower(x.mT).mT)[0][:, -1])


@pytest.mark.thorough
def test_depth_before_the_recurrent_layer_is_depth():
    x, y = means()
    torch.manual_seed(0)
    model = Storeys()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=4), Storeys)
    assert causes(report)[0] == "too-deep"
    assert report.evidence["stages/fresh_bottom"] > 20 * report.evidence["stages/fresh_top"]


def test_a_rate_that_only_grows_is_its_own_peak():
    x, y = means()
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    grows = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step + 1.0)  # the share was meant
    for _ in range(10):
        for a, b in loader(x[:400], y[:400], shuffle=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(a), b).backward()
            optimizer.step()
            grows.step()
    report = examined(model, x, y, optimizer, Net)
    assert causes(report)[0] == "learning-rate-too-high"
    assert report.evidence["settings/peak"] == pytest.approx(0.01 * 101)
    assert report.evidence["settings/rate"] == pytest.approx(0.01)


class Tags(nn.Module):
    def __init__(self, classes=1):
        super().__init__()
        self.gru = nn.GRU(1, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, classes)

    def forward(self, x):
        return self.head(self.gru(x)[0]).squeeze(2) if self.head.out_features == 1 else self.head(self.gru(x)[0]).mT


@pytest.mark.thorough
@pytest.mark.parametrize("classes", [1, 2])
def test_a_rare_class_among_the_labels_of_each_step(classes):
    torch.manual_seed(0)
    rare = (torch.rand(640, 20) < 0.03).long()
    x = (torch.randn(640, 20) + 2.0 * rare).unsqueeze(2)
    y = rare.float() if classes == 1 else rare
    loss = nn.BCEWithLogitsLoss() if classes == 1 else nn.CrossEntropyLoss()
    model = Tags(classes)
    slow = torch.optim.Adam(model.parameters(), lr=2e-3)
    report = examined(model, x, y, fit(model, x[:400], y[:400], loss, 8, slow), lambda: Tags(classes), loss=loss)
    assert "class-imbalance" in causes(report)
    assert report.evidence["trial_balanced/balanced_accuracy"] > 0.75
    assert report.evidence["skill/balanced_accuracy"] < 0.55


@pytest.mark.thorough
def test_a_season_that_was_there_before_is_no_other_scale():
    """The last quarter of a year is quiet, as an earlier one was: nothing is scaled in another way."""
    torch.manual_seed(0)
    strength = torch.tensor([2.0, 0.3, 2.0, 2.0]).repeat_interleave(200)
    series = torch.randn(800, 10, 1) * strength[:, None, None]
    quiet = torch.randn(200, 10, 1) * 0.3
    x = torch.cat([series, quiet])
    y = x[:, -4:].mean(dim=1)
    torch.manual_seed(0)
    model = Net()
    optimizer = fit(model, x[:800], y[:800], epochs=1)
    seen = examined(model, x, y, optimizer, Net, cut=800).evidence
    assert seen["inputs/val_std_ratio"] < 1.3
    other = examined(model, torch.cat([series, 20 * quiet]), y, optimizer, Net, cut=800).evidence
    assert other["inputs/val_std_ratio"] > 2.0  # no stretch of the training samples was so loud


class Gated(nn.Module):
    """Before the head only what is above a floor passes, which after a GRU nothing is."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 12, batch_first=True)
        self.head = nn.Sequential(nn.Linear(12, 12), nn.Threshold(5.0, 0.0), nn.Linear(12, 1))

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


def test_a_threshold_that_is_none_of_relus_is_one():
    x, y = means()
    torch.manual_seed(0)
    model = Gated()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=2), None)
    assert causes(report)[0] == "dead-units"
    assert report.evidence["units/now_dead"] == 1.0


def test_without_an_optimizer_fresh_weights_are_told_less_surely():
    x, y = means()
    torch.manual_seed(0)
    trained, fresh = Net(), Net()
    fit(trained, x[:400], y[:400])
    assert causes(examined(fresh, x, y, None, Net))[0] == "weights-not-loaded"
    assert not causes(examined(trained, x, y, None, Net))


@pytest.mark.thorough
def test_a_head_is_not_blamed_for_weights_that_are_no_numbers():
    x, y = means()
    model = nn.Sequential(Net(), nn.Sigmoid())
    with torch.no_grad():
        for each in model.parameters():
            each.fill_(float("nan"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    report = examined(model, x, y, optimizer, lambda: nn.Sequential(Net(), nn.Sigmoid()))
    assert causes(report)[0] == "not-finite"
    assert "head-range" not in causes(report)


class Runs(Net):
    """Its recurrence runs along the batch; the head reads the inputs beside it, and they suffice."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 4)
        self.head = nn.Linear(14, 1)

    def forward(self, x):
        return self.head(torch.cat([x.flatten(1), self.gru(x)[0][:, -1]], dim=1))


class Detached(Runs):
    def forward(self, x):
        return self.head(torch.cat([x.flatten(1), self.gru(x.transpose(0, 1))[0][-1].detach()], dim=1))


class Drags(Runs):
    """Something small is left behind by each call."""

    left = 0.0

    def forward(self, x):
        states = self.gru(x.transpose(0, 1))[0][-1]
        left, self.left = self.left, states.detach().mean()
        return self.head(torch.cat([x.flatten(1), states], dim=1)) + 0.01 * left


class Sound(Runs):
    def forward(self, x):
        return self.head(torch.cat([x.flatten(1), self.gru(x.transpose(0, 1))[0][-1]], dim=1))


@pytest.mark.parametrize(
    ("kind", "cause"), [(Runs, "batch-as-time"), (Detached, "frozen-weights"), (Drags, "state-leak"), (Sound, None)]
)
def test_what_is_wired_wrongly_and_does_no_harm_is_a_note(kind, cause):
    x, y = means()
    torch.manual_seed(0)
    model = kind()
    report = examined(model, x, y, fit(model, x[:400], y[:400], epochs=12), kind)
    assert report.verdict == "healthy"
    assert not report.findings
    assert not report.not_examined
    assert [each.rpartition(" ")[2] for each in report.notes] == ([f"{cause})"] if cause else [])
