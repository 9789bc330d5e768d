"""Denormals are zeros in the threads that matter: each multiplies one, and looks."""

import json
import threading
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from flatspot.nn.denormals import flushed, flushes

SCRIPT = Path(__file__).with_name("denormals_run.py")


@pytest.fixture
def as_it_was():
    before = flushes()
    yield
    torch.set_flush_denormal(before)


@pytest.mark.parametrize("before", [False, True])
def test_afterwards_the_thread_is_as_before(before, as_it_was):
    torch.set_flush_denormal(before)
    with flushed():
        assert flushes()
    assert flushes() is before
    with pytest.raises(ZeroDivisionError), flushed():
        _ = 1 / 0
    assert flushes() is before


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, found):
        ctx.found = found
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        ctx.found.append((threading.current_thread(), flushes()))
        return gradient, None


def test_a_backward_pass_runs_in_the_thread_that_asked_for_it(as_it_was):
    found = []
    with flushed():
        Backward.apply(torch.ones(2, requires_grad=True), found).sum().backward()
    assert found == [(threading.current_thread(), True)]


class Flushes(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return flushes()


@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_data_worker_that_is_forked_inherits_it(as_it_was):
    torch.set_flush_denormal(False)
    loader = DataLoader(Flushes(), batch_size=4, num_workers=1, multiprocessing_context="fork", timeout=60)
    assert not next(iter(loader)).any()
    with flushed():
        assert next(iter(loader)).all()


def test_a_run_has_it_in_all_its_threads(python, tmp_path):
    """`python train.py threads=2` in a process of its own: in it torch's threads first work in the run."""
    out = tmp_path / "found.json"
    done = python.run(SCRIPT, out, f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert found == {"forward": True, "shared": True, "product": True, "backward": True, "after": False}


def test_threads_that_it_does_not_reach_are_told(python, tmp_path):
    code = (
        "import logging, torch; from flatspot.nn.denormals import SHARED, flushed, flushes\n"
        "logging.basicConfig(level='INFO', format='%(message)s'); torch.set_num_threads(2)\n"
        "flushes(SHARED)\nwith flushed(): print(flushes(), flushes(SHARED))"
    )
    done = python.run("-c", code, cwd=tmp_path)
    assert done.stdout.split() == ["True", "False"]
    assert "torch's threads were at work before" in done.stderr
