"""Two processes on the same global batches give the numbers of one."""

import json
from pathlib import Path

import pytest

from flatspot import evidence

SCRIPT = Path(__file__).with_name("ddp_run.py")


def figures(python, processes, folder):
    out = folder / f"{processes}.json"
    done = python.run(SCRIPT, processes, out, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def one(python, folder):
    return figures(python, 1, folder)


@pytest.fixture(scope="module")
def two(python, folder):
    return figures(python, 2, folder)


def test_two_processes_give_the_numbers_of_one(one, two):
    one, two = dict(one), dict(two)
    assert one.pop("flushed")
    assert two.pop("flushed"), "a spawned process does not inherit the flag"
    assert two.pop("weights") == pytest.approx(one.pop("weights"), abs=1e-6)
    assert set(one) == set(two)
    assert {"diversity/ratio_val", "diversity/duplicates_val", "gradient/total", "error/mae_val", "loss/val"} <= set(
        one
    )
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=2e-6, abs=1e-6), name


def test_two_processes_leave_the_evidence_of_one(one, two, folder):
    """On a sample of the data that is the same in both: 1e-5, since the weights are the same to 1e-6 only."""
    single, double = (evidence.read(folder / name) for name in ("1", "2"))
    assert [(each.when, each.step) for each in single] == [(each.when, each.step) for each in double]
    assert {each.when for each in single} == {"start", "step", "epoch", "trained"}
    for a, b in zip(single, double, strict=True):
        assert b.values == pytest.approx(a.values, rel=2e-5, abs=1e-6)
        assert set(b.curves) == set(a.curves)
        for name, curve in a.curves.items():
            assert b.curves[name] == pytest.approx(curve, rel=1e-4, abs=1e-7)


def test_samples_that_a_strangers_sampler_repeats_are_told_once(two, folder):
    said = json.loads((folder / "2.foreign").read_text())
    assert [each for each in said if "repeats 1 samples" in each] == said
    assert len(said) == 1
