"""Which run a command works on: the one that is named, the newest, or what it offers instead."""

import os
import shutil

import pytest
from typer.testing import CliRunner

from flatspot.cli.app import app

DOCTORS = ("doctor", "evaluate", "predict", "report")


@pytest.fixture(scope="module")
def trained(run_of):
    return run_of("data=sines", "data.steps=300", "data.window=8", "data.horizon=3")


@pytest.fixture
def outputs(trained, tmp_path, monkeypatch):
    """Two runs, the second one newer, one that was refused after them, and a sweep's job."""
    monkeypatch.chdir(tmp_path)
    days = tmp_path / "outputs"
    for age, name in enumerate(["2024-01-02/08-00-00-000000", "2024-01-01/12-00-00-000000"]):
        shutil.copytree(trained, days / name)
        for path in (days / name).iterdir():
            os.utime(path, (1e9 + age, 1e9 + age))
    refused = days / "2024-01-03" / "09-00-00-000000"
    (refused / ".hydra").mkdir(parents=True)
    for name in ("status.json", ".hydra/config.yaml"):
        (refused / name).write_text("{}")
    job = days / "sweeps" / "2024-01-04_10-00-00-000000" / "0"
    shutil.copytree(trained, job)
    (job.parent / "multirun.yaml").write_text("")
    return days


def called(command, *arguments):
    return CliRunner().invoke(app, [command, *map(str, arguments)])


NEWEST = "outputs/2024-01-01/12-00-00-000000"
OTHER = "outputs/2024-01-02/08-00-00-000000"


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize("command", DOCTORS)
def test_latest_is_the_run_that_was_last_begun_or_ended(command):
    newest, named = called(command, "latest"), called(command, NEWEST, *["--force"] * (command == "predict"))
    assert newest.exit_code == named.exit_code < 2
    over = "note    forecasts.csv was there, and is written over\n"
    assert named.stdout.replace(over, "") == newest.stdout
    if command == "report":
        assert newest.stdout == f"{NEWEST}/report.html\n"


def test_the_newest_sweep_has_a_page_too(outputs):
    sweep = outputs / "sweeps" / "2024-01-04_10-00-00-000000"
    (sweep / "sweep.json").write_text('{"error": "mae", "jobs": []}')
    done = called("report", "latest")
    assert str(sweep.relative_to(outputs.parent)) in done.stdout + done.stderr
    assert NEWEST in called("doctor", "nope").stderr  # and is no run


@pytest.mark.usefixtures("outputs")
@pytest.mark.parametrize("command", DOCTORS)
@pytest.mark.parametrize(
    ("named", "told"),
    [
        ((), "name a run folder, as in outputs/2026-01-31/12-00-00-000000; the newest here: "),
        (("nope",), "nope: there is no such run folder; the newest here: "),
        (("outputs",), "run folder"),
    ],
)
def test_where_no_run_is_named_the_newest_are_offered(command, named, told):
    done = called(command, *named)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert done.stderr.endswith(f"; the newest here: {NEWEST}, {OTHER}\n")


@pytest.mark.usefixtures("outputs")
def test_of_a_day_its_own_runs_are_offered():
    assert called("evaluate", "outputs/2024-01-02").stderr.endswith(f"; the newest here: {OTHER}\n")


@pytest.mark.parametrize("command", DOCTORS)
def test_where_there_is_none_nothing_is_offered(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (
        called(command, "latest").stderr == "error: latest: there is no such run folder, nor any run in outputs/ here\n"
    )
    assert called(command, "nope").stderr == "error: nope: there is no such run folder\n"
    assert called(command).stderr == "error: name a run folder, as in outputs/2026-01-31/12-00-00-000000\n"


@pytest.mark.usefixtures("outputs")
def test_what_is_wrong_with_a_run_is_told_alone():
    done = called("evaluate", OTHER, "--data", "nope.csv")
    assert done.stderr == "error: nope.csv: there is no such file\n"


def test_a_folder_may_be_called_latest(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained, tmp_path / "latest")
    assert called("report", "latest").stdout == "latest/report.html\n"
