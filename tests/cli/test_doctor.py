"""`flatspot doctor`: what is told of a run, healthy, ill, broken off, or of another version."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from flatspot import evidence
from flatspot.cli.app import app
from flatspot.rules import RULES

pytestmark = pytest.mark.long


def doctor(*words):
    return CliRunner().invoke(app, ["doctor", *map(str, words)])


@pytest.fixture
def crawling(train, made):
    done = made(train, "data=sines", "optimizer.lr=1e-6", "trainer.max_epochs=2", "examine=full")
    assert done.code == 0, done.err
    return done


def test_a_run_that_crawls_is_named_so_at_its_end_and_by_the_doctor(crawling):
    told = json.loads((crawling.folder / "metrics.json").read_text())
    assert told["verdict"] == "flat"
    assert told["findings"][0]["cause"] == "undertrained"
    assert "finding          undertrained" in crawling.out
    found = doctor(crawling.folder)
    assert found.exit_code == 1
    assert found.output.startswith("flat: the outputs are nearly the same for every input\n")
    assert "1. undertrained" in found.output
    assert "optimizer.lr=" in found.output
    as_json = json.loads(doctor(crawling.folder, "--json").output)
    assert [each["cause"] for each in as_json["findings"]] == [each["cause"] for each in told["findings"]]
    assert as_json["verdict"] == told["verdict"]
    assert as_json["status"]["status"] == "done"


@pytest.mark.thorough
def test_causes_that_each_flatten_for_themselves_are_mended_together(train):
    raw = ("data=sensor", "data.scale=none", "data.scale_target=none", "model.cell=gru", "model.hidden_size=16")
    sick = train(*raw, "trainer.max_epochs=4", "optimizer.lr=0.02", "examine=full")
    found = doctor(sick.folder, "--cure")
    told = found.output.splitlines()
    both = "data.scale=standard data.scale_target=standard"
    assert "do 1 and 2 together: neither is enough alone" in doctor(sick.folder).output
    assert "mend unscaled-inputs and unscaled-targets at once" in sick.out or (
        "mend unscaled-targets and unscaled-inputs at once" in sick.out
    )
    tried = {line.rsplit(maxsplit=4)[0]: line.split()[-1] for line in told if line.endswith("%") and "=" in line}
    assert tried["data.scale=standard"] in {"0%", "-"} or tried["data.scale_target=standard"] == "0%"
    assert float(tried[both].removesuffix("%")) > 50
    assert told[-1].endswith(f" {both}")
    assert "'" not in told[-1]


def test_a_cure_that_does_not_help_is_said_not_to(crawling):
    """The evidence says that the learning rate is too high, which it is not."""
    path = crawling.folder / evidence.FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        values = line["values"]
        if line["when"] == "examined":
            values |= {name: 0.0 for name in values if name.startswith("trial_on") and name.endswith("closes")}
            values |= {"moved/expected": 1.0, "trial_slower/closes": 0.95, "head/refit_skill": 0.0}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = doctor(crawling.folder, "--cure")
    assert "1. learning-rate-too-high" in found.output
    assert "none of them helped" in found.output


def test_overrides_that_look_outside_of_the_run_are_not_followed(crawling):
    (crawling.folder / ".hydra" / "overrides.yaml").write_text("- data=sines\n- logger=${oc.env:HOME}\n")
    found = doctor(crawling.folder, "--cure")
    assert found.exit_code == 2
    assert "is not followed" in found.output


def test_quick_tries_nothing_on_copies_and_says_so(train):
    done = train("data=sines", "optimizer.lr=1e-6", "examine=quick")
    (examined,) = [each for each in evidence.read(done.folder) if each.when == "examined"]
    assert not any(name.startswith("trial_") for name in examined.values)
    assert examined.unmeasured["trial_inputs"] == "nothing was tried on copies: examine=full does"
    assert "nothing was tried on copies" in doctor(done.folder).output


def test_a_healthy_run_is_nearly_silent(train):
    done = train("data=sines", "optimizer.lr=0.02", "trainer.max_epochs=4", "model.hidden_size=16", "examine=full")
    found = doctor(done.folder)
    assert found.exit_code == 0, found.output
    assert found.output.startswith("healthy: ")
    assert len(found.output.splitlines()) == 2


@pytest.mark.thorough
def test_series_of_unequal_length_are_examined(train, tmp_path):
    path = tmp_path / "kinds.csv"
    random = np.random.default_rng(0)
    rows = ["series,value,kind"]
    for number in range(60):
        kind = number % 2
        values = np.sin((0.3 + 0.6 * kind) * np.arange(random.integers(12, 30)) + random.uniform(0, 6))
        rows += [f"s{number},{value:.4f},{'fast' if kind else 'slow'}" for value in values]
    path.write_text("\n".join(rows) + "\n")
    done = train(
        "model=classifier",
        "data=csv",
        f"data.path={path}",
        "data.label=kind",
        "data.window=null",
        "data.horizon=null",
        "examine=full",
    )
    assert done.code == 0, done.err
    (examined,) = [each for each in evidence.read(done.folder) if each.when == "examined"]
    assert "skill/val" in examined.values


def test_examine_takes_three_words(train):
    refused = train("examine=fast")
    assert refused.code == 2
    assert "examine=fast" in refused.err


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def wrote(folder, *entries, **status):
    for each in entries:
        evidence.append(folder, each)
    if status:
        (folder / "status.json").write_text(json.dumps(status))


EPOCH = evidence.measurement("epoch", 3, 30, {"diversity/ratio_val": 0.02, "loss/val": 1.0})


def test_a_run_that_crashed_is_told_of_by_what_it_left(folder):
    wrote(folder, EPOCH, status="failed", why="MemoryError: no room")
    found = doctor(folder)
    assert found.exit_code == 0
    assert found.output.startswith("unknown: ")
    assert "D 0.02" in found.output
    assert "the run failed (MemoryError: no room), last measured at epoch 3, step 30" in found.output


def test_a_torn_last_line_is_passed_over(folder):
    wrote(folder, EPOCH, status="running")
    with (folder / evidence.FILE).open("a") as file:
        file.write('{"when": "epoch", "epo')
    found = doctor(folder)
    assert found.exit_code == 0
    assert "the run has not ended, or was killed; last measured at epoch 3, step 30" in found.output


def test_a_run_that_left_only_its_status_is_told_of(folder):
    wrote(folder, status="failed", why="BadInput: no such column")
    assert "no such column), last measured at before anything was measured" not in doctor(folder).output
    assert "the run failed (BadInput: no such column), before anything was measured" in doctor(folder).output


def test_another_version_s_run_is_read_and_said_so(folder):
    wrote(folder, EPOCH, status="done", flatspot="9.1.0")
    assert "the run is flatspot 9.1.0's" in doctor(folder).output


@pytest.mark.parametrize("status", ["[]", "{", "", "[" * 3000, '{"status": {"a": 1}}'])
def test_a_status_that_cannot_be_read_keeps_nothing_from_being_told(folder, status):
    wrote(folder, EPOCH)
    (folder / "status.json").write_text(status)
    assert doctor(folder).exit_code == 0


def test_what_is_no_run_is_named(tmp_path):
    assert "nowhere: there is no such run folder" in doctor(tmp_path / "nowhere").output
    empty = doctor(tmp_path)
    assert empty.exit_code == 2
    assert "is no run folder" in empty.output
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / evidence.FILE).write_text("")
    assert "is a sweep; name one of its runs: 0" in doctor(tmp_path).output
    assert doctor().exit_code == 2


def test_a_broken_line_is_named(folder):
    wrote(folder, EPOCH)
    text = (folder / evidence.FILE).read_text()
    (folder / evidence.FILE).write_text(f"{text}no json\n{text}")
    found = doctor(folder)
    assert found.exit_code == 2
    assert "evidence.jsonl, line 2: not a measurement: 'no json'" in found.output


@pytest.mark.parametrize("cause", RULES)
def test_every_cause_is_explained(cause):
    found = doctor("--explain", cause)
    assert found.exit_code == 0
    assert found.output.startswith(f"# {cause}\n")
    assert "## What to try" in found.output


def test_a_misspelt_cause_gets_the_nearest():
    found = doctor("--explain", "vanishing-gradent")
    assert found.exit_code == 2
    assert "did you mean 'vanishing-gradient'" in found.output


def test_the_doctor_needs_neither_torch_nor_hydra(folder):
    wrote(folder, EPOCH, status="done")
    code = (
        "import sys; from flatspot.cli import main\n"
        f"sys.argv = ['flatspot', 'doctor', {str(folder)!r}]\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'lightning', 'hydra', 'numpy', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
