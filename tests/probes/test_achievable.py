import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from flatspot.probes.achievable import achievable_skill, beyond_chance
from flatspot.probes.references import fit_ridge
from flatspot.probes.skill import skill


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def slow(x, seed, keep=0.9):
    """Noise that remembers."""
    values = [torch.zeros(())]
    for each in noise(x, seed=seed):
        values.append(keep * values[-1] + each)
    return torch.stack(values[1:])


def windows(series, target, length=6, horizon=2):
    """The windows of one series and what comes next of another, one step apart; the last third is held out."""
    count = len(series) - length - horizon + 1
    x = series.unfold(0, length, 1)[:count].unsqueeze(-1)
    y = target[length:].unfold(0, horizon, 1)[:count].unsqueeze(-1)
    split, gap = 2 * count // 3, length + horizon
    return (x[:split], y[:split]), (x[split + gap :], y[split + gap :])


def independent(samples, rule, seed=0):
    """Samples in no order."""
    x = noise(samples, 6, 1, seed=seed)
    y = rule(x[..., 0]).view(samples, 1, 1) + 0.1 * noise(samples, 1, 1, seed=seed + 1)
    split = 2 * samples // 3
    return (x[:split], y[:split]), (x[split:], y[split:])


def test_a_straight_line_needs_no_second_reference():
    series = slow(500, 0)
    found = achievable_skill(*windows(series, series), F.mse_loss)
    assert found.reference == "ridge"
    assert list(found.by_reference) == ["ridge"]
    assert found.skill == found.by_reference["ridge"] > 0.4
    assert found.chance["ridge"] == pytest.approx(0.01)


def test_what_ridge_cannot_see_trees_may():
    found = achievable_skill(*independent(600, lambda x: x[:, -1] * x[:, -2]), F.mse_loss, ordered=False)
    assert list(found.by_reference) == ["ridge", "trees"]
    assert found.by_reference["ridge"] < 0.1
    assert found.reference == "trees"
    assert found.skill > 0.4


def test_the_best_of_all_is_told_where_all_are_asked_for():
    train, val = independent(400, lambda x: (x[:, 1:].sign() != x[:, :-1].sign()).float().sum(dim=1))
    found = achievable_skill(train, val, F.mse_loss, ordered=False, enough=math.inf, steps=150)
    assert list(found.by_reference) == ["ridge", "trees", "gru"]
    assert found.skill == max(found.by_reference.values())
    assert found.chance[found.reference] <= 0.05


def test_noise_is_no_signal_to_any():
    found = achievable_skill(*windows(slow(400, 0), slow(400, 1)), F.mse_loss, steps=20)
    assert list(found.by_reference) == ["ridge", "trees", "gru"]
    assert found.reference is None
    assert found.skill == 0


def test_ridge_seldom_finds_a_signal_in_noise_that_remembers():
    found = 0
    for seed in range(40):
        train, (x, y) = windows(slow(250, 2 * seed), slow(250, 2 * seed + 1))
        first = [each[:120] for each in train]
        stop = [each[120:] for each in train]
        predictions = fit_ridge(lambda first=first: [first], lambda stop=stop: [stop]).predict(x)
        chance = beyond_chance(F.mse_loss, predictions, y, apart=8)
        found += skill(F.mse_loss, predictions, y) > 0 and chance <= 0.05
    assert found <= 4


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.huber_loss])
def test_the_loss_is_the_users(loss):
    series = slow(300, 0)
    train, val = windows(series, series)
    found = achievable_skill(train, val, loss)
    assert found.reference == "ridge"
    assert 0.1 < found.skill < 0.9
    if loss is F.mse_loss:
        return
    assert found.skill != achievable_skill(train, val, F.mse_loss).skill


def slow_chance(loss, predictions, targets, apart, groups):
    """All shifts that there are of one series, by numpy."""
    p, y = np.asarray(predictions), np.asarray(targets)
    true = loss(torch.tensor(p), torch.tensor(y))
    shifts = range(apart, len(y) - apart + 1)
    worse = [loss(torch.tensor(p), torch.tensor(np.roll(y, shift, axis=0))) <= true for shift in shifts]
    return (1 + sum(bool(each) for each in worse)) / (1 + len(worse))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), size=st.integers(12, 60), apart=st.integers(1, 5), follows=st.booleans())
def test_chance_equals_its_slow_twin(seed, size, apart, follows):
    y = noise(size, 2, seed=seed).double()
    p = noise(size, 2, seed=seed + 1).double() + (y if follows else 0)
    found = beyond_chance(F.l1_loss, p, y, apart=apart)
    assert found == pytest.approx(slow_chance(F.l1_loss, p, y, apart, None))
    assert beyond_chance(F.l1_loss, 8 * p - 2, 8 * y - 2, apart=apart) == pytest.approx(found)
    assert 0 < found <= 1


def test_long_series_are_shifted_a_hundred_times_at_most():
    y, calls = noise(2000, 1), []

    def counted(p, target):
        calls.append(1)
        return F.mse_loss(p, target)

    assert beyond_chance(counted, y, y, apart=10) == pytest.approx(0.01)
    assert len(calls) == 100


def test_shuffles_call_a_signal_what_shifts_do_not():
    called = {True: 0, False: 0}
    for seed in range(30):
        p, y = slow(200, 2 * seed, keep=0.97), slow(200, 2 * seed + 1, keep=0.97)
        for ordered in called:
            called[ordered] += beyond_chance(F.mse_loss, p, y, apart=10, ordered=ordered) <= 0.05
    assert called[True] <= 6
    assert called[False] >= 2 * called[True]


def test_series_are_shifted_by_themselves():
    groups = torch.arange(3).repeat_interleave(60)
    levels = 100.0 * groups.unsqueeze(1)
    y = levels + noise(180, 1)
    level_known = beyond_chance(F.mse_loss, levels + noise(180, 1, seed=1), y, apart=8, groups=groups)
    assert level_known > 0.05, "to know the levels of the series is no signal"
    assert beyond_chance(F.mse_loss, levels + noise(180, 1, seed=1), y, apart=8) < 0.05
    followed = beyond_chance(F.mse_loss, y + noise(180, 1, seed=1), y, apart=8, groups=groups)
    assert followed == pytest.approx(0.01)
    # The places of a series need not adjoin.
    order = torch.cat([torch.arange(3) * 60 + step for step in range(60)])
    interleaved = beyond_chance(F.mse_loss, (y + 1)[order], y[order], apart=8, groups=groups[order])
    assert interleaved == pytest.approx(0.01)


def test_a_series_with_no_room_is_left_out():
    groups = torch.tensor([0] * 10 + [1] * 60)
    y = noise(70, 1)
    p = y.clone()
    p[:10] = 1e6
    assert beyond_chance(F.mse_loss, p, y, apart=8, groups=groups) == pytest.approx(1 / 46)
    assert math.isnan(beyond_chance(F.mse_loss, y, y, apart=40, groups=groups))
    assert math.isnan(beyond_chance(F.mse_loss, y, y, apart=40))


def test_skill_by_series_is_over_their_own_constants():
    groups = torch.arange(2).repeat_interleave(60)
    x = noise(120, 6, 1)
    y = x[:, -1:] + 100.0 * groups.view(-1, 1, 1)
    # The level of the series is told by another channel.
    x = torch.cat([x, groups.view(-1, 1, 1).expand(120, 6, 1).float()], dim=-1)
    found = achievable_skill((x, y), (x, y), F.mse_loss, groups=groups)
    assert found.reference == "ridge"
    useless = achievable_skill((x[:, :, 1:], y), (x[:, :, 1:], y), F.mse_loss, groups=groups, steps=5)
    assert useless.reference is None
    assert useless.by_reference["ridge"] == pytest.approx(0, abs=0.1)


def test_where_there_is_no_room_to_shift_skill_is_told_and_chance_is_not():
    series = slow(60, 0)
    found = achievable_skill(*windows(series, series), F.mse_loss, steps=5, apart=50)
    assert all(math.isnan(each) for each in found.chance.values())
    assert list(found.by_reference) == ["ridge", "trees", "gru"]
    assert found.skill == max(0.0, *found.by_reference.values())


def test_classes_are_ones_at_the_true_one():
    x = noise(300, 4, 1)
    y = F.one_hot((x[:, -1, 0] > 0).long(), 2).unsqueeze(1).float()
    found = achievable_skill((x[:200], y[:200]), (x[200:], y[200:]), F.mse_loss, ordered=False)
    assert found.skill > 0.4


def test_the_same_numbers_again_and_no_random_state_moved():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    data = windows(slow(200, 0), slow(200, 1))
    first, again = (achievable_skill(*data, F.mse_loss, steps=5, enough=math.inf) for _ in range(2))
    assert first == again
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_precision(dtype):
    series = slow(300, 0)
    (x, y), (x_val, y_val) = windows(series, series)
    found = achievable_skill((x.to(dtype), y.to(dtype)), (x_val.to(dtype), y_val.to(dtype)), F.mse_loss)
    assert found.reference == "ridge"
    assert found.skill > 0.3


def test_far_off_targets():
    series = slow(300, 0)
    (x, y), (x_val, y_val) = windows(series, series)
    near = achievable_skill((x, y), (x_val, y_val), F.mse_loss)
    far = achievable_skill((x, y.double() + 1e9), (x_val, y_val.double() + 1e9), F.mse_loss)
    assert far.skill == pytest.approx(near.skill, abs=1e-3)


def test_without_figures_there_are_none():
    series = slow(300, 0)
    (x, y), (x_val, y_val) = windows(series, series)
    holed = x.clone()
    holed[3, 2] = math.nan
    for train, val in (
        ((holed, y), (x_val, y_val)),
        ((x[:9], y[:9]), (x_val, y_val)),
        ((x, y), (x_val[:0], y_val[:0])),
    ):
        found = achievable_skill(train, val, F.mse_loss)
        assert math.isnan(found.skill)
        assert (found.reference, found.by_reference, found.chance) == (None, {}, {})
    flat = achievable_skill((x, y), (x_val, torch.ones_like(y_val)), F.mse_loss, steps=5)
    assert math.isnan(flat.skill)
    assert flat.reference is None
    one = achievable_skill((x, y), (x_val[:1], y_val[:1]), F.mse_loss, steps=5)
    assert math.isnan(one.skill)


def test_other_shapes_are_refused():
    x, y = noise(30, 6, 1), noise(30, 1, 1)
    with pytest.raises(ValueError, match=r"train: \(30, 6\) and \(30, 1, 1\) are not \[sample, time, channel\]"):
        achievable_skill((x[..., 0], y), (x, y), F.mse_loss)
    with pytest.raises(ValueError, match=r"val: \(30, 6, 1\) and \(30, 1\)"):
        achievable_skill((x, y), (x, y[..., 0]), F.mse_loss)


def test_the_skill_of_trees_is_over_their_own_outputs():
    x = noise(400, 4, 1)
    y = (x[:, -1] * x[:, -2]).unsqueeze(1).repeat(1, 12, 1)
    found = achievable_skill((x[:260], y[:260]), (x[260:], y[260:]), F.mse_loss, ordered=False)
    alone = achievable_skill((x[:260], y[:260, :1]), (x[260:], y[260:, :1]), F.mse_loss, ordered=False)
    assert found.by_reference["trees"] == pytest.approx(alone.by_reference["trees"])
