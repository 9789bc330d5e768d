import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flatspot.data.windows import EpochSampler, Windows, as_is, epoch_seed


def windows(rows=20, channels=2, window=4, horizon=3, part=None):
    values = torch.arange(float(rows * channels)).view(rows, channels)
    return Windows(values, values[:, :1], window=window, horizon=horizon, rows=part or range(rows)), values


def test_a_window_is_followed_by_its_horizon():
    data, values = windows()
    x, y = data[5]
    assert torch.equal(x, values[5:9])
    assert torch.equal(y, values[9:12, :1])


@given(st.data())
def test_a_batch_is_its_windows_one_by_one(draw):
    data, _ = windows()
    indices = draw.draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=8))
    x, y = data.__getitems__(indices)
    slow = [data[index] for index in indices]
    assert torch.equal(x, torch.stack([each for each, _ in slow]))
    assert torch.equal(y, torch.stack([each for _, each in slow]))


@given(rows=st.integers(10, 40), window=st.integers(1, 5), horizon=st.integers(1, 4), start=st.integers(0, 5))
def test_targets_stay_within_their_rows_and_use_all_of_them(rows, window, horizon, start):
    part = range(start, rows)
    data, _ = windows(rows=rows, channels=1, window=window, horizon=horizon, part=part)
    targets = torch.cat([data[index][1].flatten() for index in range(len(data))])
    first = max(start, window)
    assert sorted(set(targets.int().tolist())) == list(range(first, rows))


def test_the_series_is_shared_and_not_copied():
    data, values = windows()
    assert data.inputs.data_ptr() == values.data_ptr()


def test_negative_and_missing_indices_behave_like_a_list():
    data, _ = windows()
    assert torch.equal(data[-1][0], data[len(data) - 1][0])
    with pytest.raises(IndexError):
        data[len(data)]


def test_a_loader_fetches_a_batch_in_one_call():
    data, _ = windows()
    calls = []
    fetch = data.__getitems__
    data.__getitems__ = lambda indices: calls.append(list(indices)) or fetch(indices)
    batches = list(DataLoader(data, batch_size=5, collate_fn=as_is))
    assert [len(indices) for indices in calls] == [len(x) for x, _ in batches] == [5, 5, 4]
    assert batches[0][0].shape == (5, 4, 2)


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
