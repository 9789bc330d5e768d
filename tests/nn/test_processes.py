"""The fused engine in processes that are spawned for DDP, and beside data workers that are forked."""

import os
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from flatspot.nn import GRU

SCRIPT = Path(__file__).with_name("ddp_run.py")


def test_two_spawned_processes_train_like_one(python, tmp_path):
    done = python.run(SCRIPT, tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    one, first, second = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("one", "0", "1"))
    start = torch.load(tmp_path / "start.pt", weights_only=True)
    for name, expected in one.items():
        assert torch.equal(first[name], second[name]), name
        assert torch.allclose(first[name], expected, atol=1e-6), name
        assert not torch.equal(expected, start[name]), f"{name} was not trained"


class Encoded(Dataset):
    """Samples that went through a fused layer in the process that is asked for them."""

    def __init__(self, layer, x):
        self.layer = layer
        self.x = x

    def __len__(self):
        return 8

    def __getitem__(self, index):
        outputs, _ = self.layer(self.x)
        (gradient,) = torch.autograd.grad(outputs.square().mean(), self.layer.weight_hh_l0)
        return outputs.detach(), gradient


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_it_runs_before_during_and_after_forked_workers_that_run_it_too(monkeypatch):
    """With two threads of its own everywhere; torch's own threads outlive no fork (its workers take one)."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    torch.manual_seed(0)
    data = Encoded(GRU(3, 64, engine="fused"), torch.randn(50, 64, 3))
    outputs, gradient = data[0]
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60)
    batches = 0
    for their_outputs, their_gradients in loader:
        assert torch.equal(data[0][0], outputs)
        assert all(torch.equal(each, outputs) for each in their_outputs)
        assert all(torch.allclose(each, gradient, atol=1e-6) for each in their_gradients)
        batches += 1
    assert batches == 4
    assert torch.equal(data[0][0], outputs)
