import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import unpack_sequence
from torch.utils.data import DataLoader

from flatspot.data.module import SeriesDataModule
from flatspot.data.windows import EpochSampler, Runs, Sequences, Windows, as_is, epoch_seed, runs_between


def windows(rows=20, channels=2, window=4, horizon=3, part=None, **more):
    values = torch.arange(float(rows * channels)).view(rows, channels)
    part = part or range(rows)
    lows, highs = np.array([max(part.start - window, 0)]), np.array([part.stop - window - horizon])
    runs = runs_between(lows, highs, 1)
    return Windows(values, values[:, :1], window=window, horizon=horizon, runs=runs, **more), values


def test_a_window_is_followed_by_its_horizon():
    data, values = windows()
    x, y = data[5]
    assert torch.equal(x, values[5:9])
    assert torch.equal(y, values[9:12, :1])


def test_a_label_is_that_of_the_windows_last_row():
    values = torch.randn(20, 3)
    runs = Runs(np.array([2, 11]), np.array([3, 4]))
    data = Windows(values, torch.arange(20), window=5, horizon=0, runs=runs)
    x, y = data.__getitems__(range(7))
    starts = [2, 3, 4, 11, 12, 13, 14]
    assert y.tolist() == [start + 4 for start in starts]
    assert torch.equal(x, torch.stack([values[start : start + 5] for start in starts]))


spans = st.tuples(st.integers(-5, 40), st.integers(-5, 40))


@given(edges=st.lists(spans, max_size=6), stride=st.integers(1, 5), seed=st.none() | st.integers(0, 99))
def test_runs_are_the_rows_between_one_by_one(edges, stride, seed):
    """Any lows and highs that do not overlap; some rows may be barred."""
    lows = np.cumsum([max(low, 0) for low, _ in edges], dtype=np.int64) + 50 * np.arange(len(edges))
    highs = lows + np.array([high for _, high in edges], np.int64)
    allowed = None if seed is None else np.random.default_rng(seed).random(1000) < 0.7
    runs = runs_between(lows, highs, stride, allowed)
    slow = [row for low, high in zip(lows, highs, strict=True) for row in range(low, high + 1, stride)]
    slow = [row for row in slow if allowed is None or allowed[row]]
    assert runs.starts().tolist() == slow
    assert len(runs) == len(slow)
    if slow:
        data = Windows(torch.zeros(1000, 1), torch.zeros(1000, 1), window=1, horizon=1, runs=runs)
        assert data.starts(torch.arange(len(slow))).tolist() == slow


@given(st.data())
def test_a_batch_is_its_windows_one_by_one(draw):
    data, _ = windows()
    indices = draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8))
    x, y = data.__getitems__(indices)
    slow = [data[index] for index in indices]
    assert torch.equal(x, torch.stack([each for each, _ in slow]))
    assert torch.equal(y, torch.stack([each for _, each in slow]))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(12, 30), min_size=1, max_size=4),
    stride=st.integers(1, 3),
    scale_target=st.sampled_from(["none", "per_series", "minmax"]),
)
def test_a_batch_equals_gathering_by_hand(panel_with, seed, lengths, stride, scale_target):
    panel = panel_with(*lengths, channels=3, targets=2)
    data = SeriesDataModule(panel, window=3, horizon=2, stride=stride, scale="none", scale_target=scale_target)
    served, mean_and_scale = data.dataset("train"), data.target_scaling.table
    indices = np.random.default_rng(seed).integers(len(served), size=7).tolist()
    x, y, *_ = served.__getitems__(indices)
    starts, owner = served.runs.starts(), panel.series_of_rows()
    for place, index in enumerate(indices):
        start = starts[index]
        np.testing.assert_allclose(x[place], panel.values[start : start + 3], rtol=1e-6)
        row = owner[start] if scale_target == "per_series" and len(lengths) > 1 else 0
        mean, scale = (table[row] for table in mean_and_scale)
        np.testing.assert_allclose(
            y[place], (panel.values[start + 3 : start + 5, :2] - mean) / scale, rtol=1e-4, atol=1e-4
        )


@given(rows=st.integers(10, 40), window=st.integers(1, 5), horizon=st.integers(1, 4), start=st.integers(0, 5))
def test_targets_stay_within_their_rows_and_use_all_of_them(rows, window, horizon, start):
    part = range(start, rows)
    data, _ = windows(rows=rows, channels=1, window=window, horizon=horizon, part=part)
    targets = torch.cat([data[index][1].flatten() for index in range(len(data))])
    first = max(start, window)
    assert sorted(set(targets.int().tolist())) == list(range(first, rows))


def test_the_series_is_shared_and_not_copied(panel_with):
    data, values = windows()
    assert data.inputs.data_ptr() == values.data_ptr()
    module = SeriesDataModule(panel_with(100), window=5, horizon=2)
    parts = [module.dataset(part).inputs.data_ptr() for part in ("train", "val", "test")]
    assert set(parts) == {module.prepared.inputs.data_ptr()}


def test_negative_and_missing_indices_behave_like_a_list():
    data, _ = windows()
    assert torch.equal(data[-1][0], data[len(data) - 1][0])
    with pytest.raises(IndexError):
        data[len(data)]


def test_few_windows_come_again_until_an_epoch_is_as_long_as_with_all(panel_with):
    every = SeriesDataModule(panel_with(100), window=5, horizon=2)
    last, spread = (
        SeriesDataModule(panel_with(100), window=5, horizon=2, train_windows=4, train_windows_from=where)
        for where in ("stretch", "anywhere")
    )
    count = len(every.dataset("train"))
    for few, numbers in ((last, range(count - 4, count)), (spread, [0, 21, 42, 63])):
        assert len(few.dataset("train")) == count == 64
        assert few.dataset("train").starts(torch.arange(count)).tolist() == [*numbers] * 16
        assert len(few.every_window("train")) == count
        assert few.every_window("train").starts(torch.arange(count)).tolist() == list(range(count))


def test_a_loader_fetches_a_batch_in_one_call():
    data, _ = windows()
    calls = []
    fetch = data.__getitems__
    data.__getitems__ = lambda indices: calls.append(list(indices)) or fetch(indices)
    batches = list(DataLoader(data, batch_size=5, collate_fn=as_is))
    assert [len(indices) for indices in calls] == [len(x) for x, _ in batches] == [5, 5, 4]
    assert batches[0][0].shape == (5, 4, 2)


def test_worker_processes_serve_the_same_batches(panel_with):
    data = SeriesDataModule(panel_with(60, 70), window=4, horizon=2, scale_target="per_series").dataset("train")
    options = {"batch_size": 16, "collate_fn": as_is, "generator": torch.Generator()}
    alone = list(DataLoader(data, **options))
    shared = list(DataLoader(data, num_workers=2, multiprocessing_context="fork", **options))
    assert len(alone) == len(shared) > 3
    for ours, theirs in zip(alone, shared, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    seed=st.integers(0, 2**31),
)
def test_whole_series_keep_their_own_rows_and_their_own_label(lengths, seed):
    rng = np.random.default_rng(seed)
    rows = torch.randn(sum(lengths), 2)
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    numbers = rng.permutation(len(lengths))[: max(len(lengths) // 2, 1)]
    labels = torch.arange(len(lengths)) * 10
    data = Sequences(rows, labels, firsts=firsts[numbers], lengths=np.array(lengths)[numbers], numbers=numbers)
    indices = rng.permutation(len(data)).tolist()
    x, y = data.__getitems__(indices)
    for sequence, label, index in zip(unpack_sequence(x), y, indices, strict=True):
        which = numbers[index]
        assert torch.equal(sequence, rows[firsts[which] : firsts[which] + lengths[which]])
        assert label == 10 * which
    one, label = data[-1]
    assert torch.equal(one.data, unpack_sequence(data.__getitems__([len(data) - 1])[0])[0])
    assert label == 10 * numbers[-1]


def order(seed, epoch, **others):
    sampler = EpochSampler(50, seed=seed, shuffle=True, **others)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_of_an_epoch_comes_from_seed_and_epoch_alone():
    torch.manual_seed(1)
    before = order(3, 7)
    torch.manual_seed(2)
    assert order(3, 7) == before
    assert sorted(before) == list(range(50))
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


def test_an_epoch_that_is_resumed_has_the_batches_of_one_that_is_not(panel_with):
    def epoch(module, number):
        loader = module.train_dataloader()
        loader.sampler.set_epoch(number)
        return [x for x, _ in loader]

    through, resumed = (SeriesDataModule(panel_with(90), window=4, horizon=2, seed=5) for _ in range(2))
    batches = [epoch(through, number) for number in range(3)]
    assert all(torch.equal(one, other) for one, other in zip(epoch(resumed, 2), batches[2], strict=True))
    assert not torch.equal(batches[0][0], batches[1][0])


def test_the_order_draws_nothing_from_the_global_state():
    torch.manual_seed(0)
    order(0, 0)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


@given(size=st.integers(1, 40), world=st.integers(1, 5))
def test_processes_share_an_unshuffled_epoch_without_padding(size, world):
    parts = [list(EpochSampler(size, seed=0, shuffle=False, rank=r, world_size=world)) for r in range(world)]
    assert sorted(index for part in parts for index in part) == list(range(size))


@given(size=st.integers(5, 40), world=st.integers(1, 5))
def test_processes_share_a_shuffled_epoch_in_equal_parts(size, world):
    samplers = [EpochSampler(size, seed=0, shuffle=True, rank=r, world_size=world) for r in range(world)]
    parts = [list(sampler) for sampler in samplers]
    assert {len(part) for part in parts} == {len(samplers[0])} == {size // world}
    assert len({index for part in parts for index in part}) == size // world * world


def test_seeds_of_neighbours_differ():
    seeds = {epoch_seed(s, e, r) for s in range(5) for e in range(5) for r in range(3)}
    assert len(seeds) == 75
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert epoch_seed(0, 1) != epoch_seed(1, 0)
    assert np.iinfo(np.int64).max >= max(seeds)
