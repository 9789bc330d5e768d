"""`flatspot report`, and the page at the end of a run and of a sweep."""

import copy
import json
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flatspot.cli.app import app

pytestmark = pytest.mark.long


def report(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def told(train, made):
    done = made(train, "data=sines", "report=html", "examine=quick", "trainer.max_epochs=2")
    assert done.code == 0, done.err
    return done


def test_a_run_ends_with_its_page_and_says_where_it_is(told):
    page = page_of(told.folder)
    assert "look             run/report.html\n" in told.out
    verdict = json.loads((told.folder / "metrics.json").read_text())["verdict"]
    assert f">{verdict}</b>" in page
    assert "has not ended" not in page
    for heading in ("Forecasts of the test windows", "Errors beside the baselines", "Training", "Where diversity goes"):
        assert heading in page
    assert page.count("<svg") == 4 + 2 + 3  # a plain recurrent layer has no gates
    assert "rows by part" in page
    assert "12 steps in, 3 out" in page


def test_it_is_written_anew_from_the_folder_alone(told, tmp_path):
    first = page_of(told.folder)
    moved = tmp_path / "elsewhere" / told.folder.name
    shutil.copytree(told.folder, moved)
    (moved / "report.html").unlink()
    shutil.rmtree(moved / "checkpoints")
    again = report(moved)
    assert again.exit_code == 0, again.output
    assert again.output == f"{moved / 'report.html'}\n"
    assert page_of(moved) == first


def test_a_run_that_broke_off_has_a_page_too(told):
    (told.folder / "metrics.json").unlink()
    (told.folder / "forecasts.npz").unlink()
    (told.folder / "status.json").write_text('{"status": "failed", "why": "no room on the device"}')
    assert report(told.folder).exit_code == 0
    assert "the run failed (no room on the device)" in page_of(told.folder)
    assert "no test was made" in page_of(told.folder)


def test_a_page_that_cannot_be_drawn_loses_no_run(train, monkeypatch):
    def broken(_):
        raise ZeroDivisionError("made up")

    monkeypatch.setattr("flatspot.cli.report.run_page", broken)
    done = train("report=html")
    assert done.code == 0, done.err
    assert "report.html was not written: ZeroDivisionError: made up" in done.out + done.err
    assert "look " not in done.out
    assert json.loads((done.folder / "status.json").read_text())["status"] == "done"


def test_none_is_written_where_none_is_asked_for(train):
    done = train("report=none")
    assert not (done.folder / "report.html").exists()
    assert "report.html" not in done.out


def test_a_report_of_another_kind_is_refused(train):
    refused = train("report=htm")
    assert refused.code == 2
    assert "report=htm: did you mean 'html'?" in refused.err


def test_names_that_a_charts_font_cannot_write_are_drawn_without_a_word(train, tmp_path):
    rows = "\n".join(f"{number % 7},{number % 5}" for number in range(120))
    (tmp_path / "a.csv").write_text(f"温度 🌡,{'long ' * 40}\n{rows}\n", encoding="utf-8")
    done = train(
        "data=csv", f"data.path={tmp_path / 'a.csv'}", "data.target='温度 🌡'", "data.features=all", "report=html"
    )
    assert done.code == 0, done.err
    assert "Glyph" not in done.out + done.err
    assert "温度 🌡" in page_of(done.folder)


def test_a_sweep_that_has_not_ended_says_how_it_goes_on(tmp_path):
    (tmp_path / "multirun.yaml").write_text("hydra: {}\n")
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "evidence.jsonl").write_text("")
    refused = report(tmp_path)
    assert refused.exit_code == 2
    assert "a sweep that has not ended" in refused.output
    assert "resume=auto" in refused.output


def places(held, path=()):
    """Every way into a table of JSON."""
    items = held.items() if isinstance(held, dict) else enumerate(held) if isinstance(held, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from places(each, (*path, key))


@pytest.fixture(scope="module")
def figures():
    errors = {"mae": 21.5, "rmse": 29.6, "mase": 1.9, "smape": 3.0, "r2": 0.73}
    return {
        "test": errors,
        "baseline": {"mean": errors, "ridge": errors},
        "diversity": {"ratio": 0.8, "minimum": 0.7, "flat_share": 0.0, "over_all": None, "within_series": None},
        "skill": {"model": 0.7, "ridge": 0.6},
        "verdict": "flat",
        "explained": "the outputs are nearly the same for every input",
        "findings": [{"cause": "dead-units", "seen": "s", "means": "m", "try_first": "t", "confidence": 0.9}],
        "not_examined": {"too-deep": "no fresh copy"},
        "steps": 90,
        "fit_seconds": 1.5,
        "seconds": 3.0,
        "about": {"data": "a.csv", "targets": ["level"], "model": "gru", "versions": {"torch": "2"}},
        "by_step": {"model": {"mae": [1.0, 2.0]}, "ridge": {"mae": [1.0, 2.0]}},
        "by_series": {"a": {"mae": 1.0, "mase": 1.0}, "b": {"mae": 2.0, "mase": None}},
        "baseline_by_series": {"a": {"ridge": 1.0}, "b": {"ridge": None}},
        "confusion": [[1, 2], [3, 4]],
        "classes": ["x", "y"],
    }


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_one_figure_is_there_is_a_page_or_a_sentence(figures, tmp_path, data):
    held = copy.deepcopy(figures)
    *way, last = data.draw(st.sampled_from(list(places(held))))
    inside = held
    for key in way:
        inside = inside[key]
    wrong = data.draw(
        st.sampled_from([..., None, "x", "\ud800", [], {}, 3, -1.0, 10**400, True, [[]], ["a"], {"b": None}])
    )
    if wrong is ...:
        del inside[last]
    else:
        inside[last] = wrong
    (tmp_path / "status.json").write_text('{"status": "done"}')
    (tmp_path / "metrics.json").write_text(json.dumps(held))
    (tmp_path / "report.html").unlink(missing_ok=True)
    done = report(tmp_path)
    assert done.exit_code in (0, 2), done.output
    assert (tmp_path / "report.html").exists() == (done.exit_code == 0)
    assert done.exit_code == 0 or str(tmp_path) in done.output


@pytest.mark.parametrize("model", ["classifier", "regressor"])
def test_a_label_has_a_picture_of_its_own(train, tmp_path, model):
    rng = np.random.default_rng(0)
    rows = ["id,x,y"]
    for number in range(60):
        kind = number % 2
        label = ("<calm>", "wild")[kind] if model == "classifier" else f"{kind + rng.normal() / 9:.3f}"
        rows += [f"{number},{(1 + 3 * kind) * rng.normal():.4f},{label}" for _ in range(12)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    keys = ("data=csv", f"data.path={tmp_path / 'a.csv'}", "data.group=id", "data.label=y", f"model={model}")
    done = train(*keys, "report=html", "data.window=null", "data.horizon=null", "data.time=none")
    assert done.code == 0, done.err
    page = page_of(done.folder)
    assert ("Which class was named" if model == "classifier" else "Answers by truth") in page
    assert "<calm>" not in page


def test_a_sweep_ends_with_its_page_and_links_to_those_of_its_runs(train, tmp_path):
    arms = ("model.activation=tanh,relu", "seed=0,1", "data.window=12,0", "hydra.sweep.dir=sweep")
    swept = train(*arms, "report=html", flags=["-m"])
    assert swept.code == 3
    sweep = tmp_path / "sweep"
    page = page_of(sweep)
    assert "8 jobs: 4 settings × 2 seeds" in page
    assert page.count("data.window=0: must be at least 1") == 4
    for line in json.loads((sweep / "sweep.json").read_text())["jobs"]:
        link = f'<a href="{line["job"]}/report.html">'
        assert (link in page) == (line["failure"] is None)
        assert (sweep / str(line["job"]) / "report.html").exists() == (line["failure"] is None)
    moved = tmp_path / "moved"
    sweep.rename(moved)
    assert report(moved).exit_code == 0
    assert page_of(moved) == page


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.json", "{", "metrics.json: cannot be read"),
        ("metrics.json", "[]", "metrics.json: cannot be read: it holds no table"),
        ("metrics.json", '{"test": {"mae": "<b>"}, "baseline": {}}', "'<b>' is no number"),
        ("config.yaml", "!!python/object/apply:os.system ['true']", "config.yaml: cannot be read"),
        ("evidence.jsonl", "{}\n{}\n", "line 1: not a measurement"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(told, name, content, said):
    (told.folder / name).write_text(content)
    refused = report(told.folder)
    assert refused.exit_code == 2
    assert said in refused.output
    assert "Traceback" not in refused.output


class Payload:
    def __reduce__(self):
        return (print, ("it ran",))


def test_forecasts_of_a_stranger_run_no_code(told, capfd):
    path = told.folder / "forecasts.npz"
    with zipfile.ZipFile(path, "w") as file:
        head = b"\x93NUMPY\x01\x00F\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }"
        file.writestr("predictions.npy", head.ljust(79) + b"\n" + pickle.dumps(Payload()))
    refused = report(told.folder)
    assert refused.exit_code == 2
    assert "forecasts.npz: cannot be read" in refused.output
    assert "it ran" not in capfd.readouterr().out


def test_a_folder_of_nothing_is_named(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "is no run folder" in report(tmp_path / "empty").output
    assert "there is no such run folder" in report(tmp_path / "nowhere").output


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"jobs": [{}], "error": "mae"},
        {"jobs": [], "error": "<b>"},
        {"jobs": [{"job": 0, "folder": "0", "failure": None, "settings": []}], "error": "mae"},
    ],
)
def test_an_answer_that_cannot_be_read_is_named(tmp_path, answer):
    (tmp_path / "sweep.json").write_text(json.dumps(answer))
    refused = report(tmp_path)
    assert refused.exit_code == 2
    assert "sweep.json: cannot be read as a sweep's answer" in refused.output


def test_a_sweep_reads_no_folder_but_its_own(tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "status.json").write_text("{}")
    (secret / "metrics.json").write_text('{"test": {"mae": 42.5}, "baseline": {}, "verdict": "healthy"}')
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    (sweep / "link").symlink_to(secret)
    jobs = [
        {"job": at, "folder": folder, "failure": None, "settings": {"seed": "0"}}
        for at, folder in enumerate(("../secret", str(secret), "link"))
    ]
    (sweep / "sweep.json").write_text(json.dumps({"jobs": jobs, "error": "mae"}))
    assert report(sweep).exit_code == 0
    assert "42.5" not in page_of(sweep)
    assert page_of(sweep).count("its folder is not there any more") == 3
