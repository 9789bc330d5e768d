"""The sweep's table, from what the jobs left."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatspot.report.sweep import Job, line, summary, varied


def metrics(mae, verdict="healthy", diversity=0.7):
    return {
        "test": {"mae": mae, "rmse": mae, "mase": mae, "r2": 0.5},
        "diversity": {"ratio": diversity},
        "verdict": verdict,
        "seconds": 2.0,
        "fit_seconds": 1.0,
    }


def job(number, mae=1.0, failure=None, **settings):
    settings = {"seed": "0", "trainer.max_epochs": "1"} | {f"model.{key}": value for key, value in settings.items()}
    found = None if failure else metrics(mae)
    return Job(number, f"sweep/{number}", settings, found, failure)


def seeded(number, seed, mae, **settings):
    made = job(number, mae, **settings)
    return Job(number, made.folder, {**made.settings, "seed": str(seed)}, made.metrics)


def test_seeds_are_one_row_with_mean_and_std():
    jobs = [seeded(seed, seed, mae, cell="gru") for seed, mae in enumerate((1.0, 2.0, 3.0))]
    table = summary([*jobs, seeded(3, 0, 9.0, cell="lstm")])
    row = next(text for text in table.splitlines() if text.startswith("gru"))
    assert row.split()[:5] == ["gru", "3", "2.000", "±", "1.000"]
    assert "mean ± std over seeds" in table


def test_only_what_varies_is_a_column():
    jobs = [job(0, cell="gru", activation="tanh"), job(1, cell="gru", activation="relu")]
    assert varied(jobs) == ["model.activation"]


@given(st.lists(st.floats(0.1, 1e6), min_size=2, max_size=8, unique=True))
def test_the_best_is_first_and_what_was_not_measured_last(errors):
    jobs = [job(number, mae, cell=f"c{number}") for number, mae in enumerate([None, *errors])]
    rows = summary(jobs).splitlines()[4:]
    order = [int(row.split()[0][1:]) for row in rows if row.startswith("c")]
    assert order == [*(1 + errors.index(each) for each in sorted(errors)), 0]


def test_different_verdicts_are_counted():
    jobs = [
        Job(n, "f", {"seed": str(n)}, metrics(1.0, verdict)) for n, verdict in enumerate(("flat", "flat", "healthy"))
    ]
    assert "flat 2, healthy 1" in summary(jobs)
    assert "as typed" in summary(jobs)


def test_failures_are_named_with_their_folder_and_leave_the_row():
    table = summary([job(0, cell="gru"), job(1, cell="gur", failure="no such cell")])
    assert "0 of 1" in table
    assert "job 1 failed: seed=0 trainer.max_epochs=1 model.cell=gur\n  no such cell\n  sweep/1" in table


def test_all_may_fail():
    table = summary([job(0, failure="one"), Job(1, "f", {"seed": "1", "trainer.max_epochs": "1"}, None, "two")])
    assert "0 of 2" in table
    assert "job 0 failed" in table
    assert "job 1 failed" in table


def test_a_missing_figure_is_a_dash_and_no_number_is_made_of_it():
    table = summary([Job(0, "f", {"seed": "0"}, metrics(None, "unknown", None))])
    assert "nan" not in table
    assert table.count(" - ") >= 2
    assert math.isnan(Job(0, "f", {}, metrics(None)).figure("test", "mae"))


@pytest.mark.parametrize(
    ("given_job", "said"),
    [(job(0, 2.5), "mae 2.5 · diversity 0.70 · healthy · 2.0 s"), (job(0, failure="why"), "failed: why")],
)
def test_a_job_ends_in_a_line(given_job, said):
    assert line(given_job) == said
