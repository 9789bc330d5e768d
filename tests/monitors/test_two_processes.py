"""Two processes on the same global batches give the numbers of one."""

import json
from pathlib import Path

import pytest

from flatspot import evidence

SCRIPT = Path(__file__).with_name("ddp_run.py")


SINGLE, DOUBLE = "32-true", "64-true"


@pytest.fixture(scope="module")
def figures(python, tmp_path_factory):
    """Of a fit in so many processes and a precision: what it logged, and the folder of its evidence; each once."""
    folder, known = tmp_path_factory.mktemp("runs"), {}

    def run(processes, precision):
        out = folder / f"{processes}-{precision}.json"
        if out not in known:
            done = python.run(SCRIPT, processes, out, precision, cwd=folder)
            assert done.returncode == 0, done.stderr[-2000:]
            known[out] = json.loads(out.read_text())
        return dict(known[out]), out.with_suffix("")

    return run


@pytest.mark.parametrize("precision", [SINGLE, pytest.param(DOUBLE, marks=pytest.mark.thorough)])
def test_two_processes_give_the_numbers_of_one(figures, precision):
    (one, _), (two, _) = figures(1, precision), figures(2, precision)
    assert one.pop("flushed")
    assert two.pop("flushed"), "a spawned process does not inherit the flag"
    assert two.pop("weights") == pytest.approx(one.pop("weights"), abs=1e-6)
    assert set(one) == set(two)
    assert {"diversity/ratio_val", "diversity/duplicates_val", "gradient/total", "error/mae_val", "loss/val"} <= set(
        one
    )
    # In single precision the gradients of two halves, added, are not those of the whole to the last digit.
    rounding = 2e-6 if precision == SINGLE else 1e-6
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=rounding, abs=1e-6), name


@pytest.mark.parametrize(
    ("precision", "rounding"), [(SINGLE, 2e-5), pytest.param(DOUBLE, 1e-6, marks=pytest.mark.thorough)]
)
def test_two_processes_leave_the_evidence_of_one(figures, precision, rounding):
    """On a sample of the data that is the same in both."""
    single, double = (evidence.read(figures(processes, precision)[1]) for processes in (1, 2))
    assert [(each.when, each.step) for each in single] == [(each.when, each.step) for each in double]
    assert {each.when for each in single} == {"start", "step", "epoch", "trained"}
    for a, b in zip(single, double, strict=True):
        assert b.values == pytest.approx(a.values, rel=rounding, abs=1e-6)
        assert set(b.curves) == set(a.curves)
        for name, curve in a.curves.items():
            assert b.curves[name] == pytest.approx(
                curve, rel=5 * rounding if precision == SINGLE else rounding, abs=1e-7
            )


def test_samples_that_a_strangers_sampler_repeats_are_told_once(figures):
    said = json.loads(figures(2, SINGLE)[1].with_suffix(".foreign").read_text())
    assert [each for each in said if "repeats 1 samples" in each] == said
    assert len(said) == 1
