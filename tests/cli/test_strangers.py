"""A run folder that someone else has made runs no code, whatever reads it, and wherever in it the code lies."""

import json
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.cli.train import main
from flatspot.data.tables import csv
from flatspot.errors import BadInput

COMMANDS = ("doctor", "evaluate", "predict", "report")


class Payload:
    """What, unpickled, leaves a file behind."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


class Later:
    """The same behind an attribute that is looked up by name, as `torch.load` would do for a class of ours."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return getattr(Path(self.mark), "mkdir"), ()  # noqa: B009 - pickled as getattr


def in_weights(held, payload):
    held["state_dict"]["network.head.weight"] = payload


def in_a_key_of_the_weights(held, payload):
    held["state_dict"]["more"] = {"deep": [payload]}


def in_the_optimizer(held, payload):
    held["optimizer_states"][0]["state"][0]["exp_avg"] = payload


def in_the_schedule(held, payload):
    held["lr_schedulers"] = [payload]


def in_hyperparameters(held, payload):
    held["hyper_parameters"]["cell"] = payload


def in_the_data(held, payload):
    held["SeriesDataModule"]["source"] = payload


def in_callbacks(held, payload):
    held["callbacks"]["EpochKeeper"] = payload


def in_loops(held, payload):
    held["loops"] = payload


def in_what_nobody_asks_for(held, payload):
    held["more"] = payload


FIELDS = (
    in_weights,
    in_a_key_of_the_weights,
    in_the_optimizer,
    in_the_schedule,
    in_hyperparameters,
    in_the_data,
    in_callbacks,
    in_loops,
    in_what_nobody_asks_for,
)


@pytest.fixture
def theirs(run_of, tmp_path):
    """A copy of a finished run."""
    shutil.copytree(run_of("data.window=12", "data.horizon=3"), tmp_path / "theirs")
    return tmp_path / "theirs"


def plant(folder, place, payload):
    for name in ("best.ckpt", "last.ckpt"):
        path = folder / "checkpoints" / name
        held = torch.load(path, weights_only=True)
        place(held, payload)
        torch.save(held, path)


@pytest.fixture
def asked(tmp_path, monkeypatch, train, capfd):
    """What each command says of a folder; `resume` goes on from it."""

    def ask(command, folder):
        if command == "resume":
            held = folder / "status.json"
            held.write_text('{"status": "running"}')
            capfd.readouterr()
            with pytest.raises(SystemExit) as left:
                main([f"resume={folder}"])
            said = capfd.readouterr()
            return left.value.code, said.out + said.err
        words = [command, str(folder)] + (["--out", str(tmp_path / "out.csv")] if command == "predict" else [])
        answer = CliRunner().invoke(app, words)
        assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
        return answer.exit_code, answer.output

    monkeypatch.chdir(tmp_path)
    return ask


@pytest.mark.parametrize("kind", [Payload, Later])
@pytest.mark.parametrize("place", FIELDS, ids=lambda place: place.__name__)
def test_a_checkpoint_runs_nothing(theirs, asked, tmp_path, place, kind):
    mark = tmp_path / "it_ran"
    plant(theirs, place, kind(mark))
    for command in COMMANDS:
        code, said = asked(command, theirs)
        assert not mark.exists(), command
        assert code in (0, 1, 2)
        assert "Traceback" not in said
        if command in ("evaluate", "predict"):  # they read weights
            assert code == 2
            assert "best.ckpt: cannot be read as a checkpoint of this version" in said


def test_what_is_gone_on_from_runs_nothing(theirs, asked, tmp_path):
    mark = tmp_path / "it_ran"
    plant(theirs, in_the_optimizer, Payload(mark))
    code, said = asked("resume", theirs)
    assert not mark.exists()
    assert "torn or corrupt" in said
    assert code == 0, said  # it begins anew; what was there is kept
    assert [*theirs.rglob("*.corrupt")]


def test_a_checkpoint_that_is_a_plain_pickle_is_refused(theirs, asked, tmp_path):
    import pickle  # noqa: PLC0415 - as a stranger would

    mark = tmp_path / "it_ran"
    (theirs / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Payload(mark)))
    code, said = asked("evaluate", theirs)
    assert (code, mark.exists()) == (2, False)
    assert "best.ckpt: cannot be read" in said


def test_a_checkpoint_that_unpacks_to_much_more_is_not_unpacked_for_the_report(theirs, asked):
    """Neither the doctor nor the report look at weights."""
    with zipfile.ZipFile(theirs / "checkpoints" / "best.ckpt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("best/data.pkl", b"\x80\x02}." + bytes(10**7))
    for command in ("doctor", "report"):
        assert asked(command, theirs)[0] in (0, 1)
    code, said = asked("evaluate", theirs)
    assert code == 2
    assert "best.ckpt: cannot be read" in said


CONFIGS = {
    "a target": "model:\n  _target_: os.mkdir\n  path: {mark}\n",
    "a tag": "model: !!python/object/apply:os.mkdir ['{mark}']\n",
    "a resolver of the environment": "report: ${{oc.env:HOME}}\n",
    "a resolver that decodes": "report: ${{oc.decode:'{mark}'}}\n",
    "a resolver of Hydra's": "report: ${{hydra:runtime.cwd}}\n",
    "aliases that grow": "a: &a [1,1,1,1,1,1,1,1,1]\n"
    + "".join(
        f"{later}: &{later} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
        for before, later in zip("abcdefghijk", "bcdefghijkl", strict=True)
    ),
    "depth": "a: " + "[" * 5000 + "]" * 5000 + "\n",
}


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("name", ["config.yaml", ".hydra/config.yaml"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_config_of_a_run_runs_nothing(theirs, asked, tmp_path, monkeypatch, kind, name, command):
    monkeypatch.setenv("HOME", "/secret/home")
    mark = tmp_path / "it_ran"
    (theirs / name).parent.mkdir(exist_ok=True)
    (theirs / name).write_text(CONFIGS[kind].format(mark=mark) if "{mark}" in CONFIGS[kind] else CONFIGS[kind])
    code, said = asked(command, theirs)
    assert not mark.exists()
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert "/secret/home" not in said
    page = theirs / "report.html"
    assert "/secret/home" not in (page.read_text() if page.exists() else "")


NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "javascript:alert(1)",
    "a\x1b[31mred",
    "\u202eevil",
    "{{7*7}}",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_from_a_file_is_shown_and_nothing_more(train, tmp_path, name):
    rows = "\n".join(str((number * 7) % 13) for number in range(200))
    quoted = '"' + name.replace('"', '""') + '"'
    (tmp_path / "a.csv").write_text(f"{quoted}\n{rows}\n", encoding="utf-8")
    done = train("data=csv", "data.path=a.csv", "report=html", "threads=1")
    if done.code == 2:  # refused, in a sentence
        assert "a.csv" in done.err
        assert "Traceback" not in done.err
        return
    assert done.code == 0, done.err
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|img)\b[^>]*>", page)
    assert "onerror=alert(1)>" not in page
    assert '<a href="javascript:' not in page
    assert "\x1b" not in page + done.out + done.err
    assert "49" not in re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)


@pytest.mark.parametrize(
    "name", ["metrics.json", "evidence.jsonl", "config.yaml", "status.json", "forecasts.npz", "train.log"]
)
def test_a_link_out_of_the_folder_shows_nothing_of_what_it_leads_to(theirs, asked, tmp_path, name):
    secret = tmp_path / "secret.txt"
    secret.write_text("top: secret-word\n")
    (theirs / name).unlink(missing_ok=True)
    (theirs / name).symlink_to(secret)
    for command in COMMANDS:
        code, said = asked(command, theirs)
        assert code in (0, 1, 2)
        assert "secret-word" not in said
    page = theirs / "report.html"
    assert "secret-word" not in (page.read_text() if page.exists() else "")
    assert secret.read_text() == "top: secret-word\n"


def test_a_page_is_not_written_through_a_link(theirs, asked, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (theirs / "report.html").unlink(missing_ok=True)
    (theirs / "report.html").symlink_to(mine)
    assert asked("report", theirs)[0] == 0
    assert mine.read_text() == "mine"
    assert not (theirs / "report.html").is_symlink()


EVIDENCE = {
    "depth": "[" * 100_000,
    "a line of a hundred million": '{"step": 0, "when": "epoch", "values": {"a": ' + "1" * 10**6 + "}}",
    "a number of digits": '{"step": 0, "when": "epoch", "values": {"a": 1' + "0" * 5000 + "}}",
    "not a number": '{"step": 0, "when": "epoch", "values": {"a": NaN}}',
    "many lines": '{"step": 0, "when": "epoch", "values": {"loss/val": 1.0}}\n' * 200_000,
}


@pytest.mark.parametrize("kind", EVIDENCE)
def test_evidence_of_absurd_size_or_depth_is_read_or_refused(theirs, asked, kind):
    (theirs / "evidence.jsonl").write_text(EVIDENCE[kind])
    for command in ("doctor", "report"):
        code, said = asked(command, theirs)
        assert code in (0, 1, 2)
        assert "Traceback" not in said


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\x9b", "\u202e"])
def test_a_terminal_gets_no_order_from_a_file(theirs, asked, sign):
    """Neither from evidence, which anyone can write, nor from the names in a table, which are refused."""
    line = {"step": 1, "epoch": 0, "when": "examined", "values": {}, "unmeasured": {"skill/val": f"because {sign}[31m"}}
    with (theirs / "evidence.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    for command in ("doctor", "report"):
        code, said = asked(command, theirs)
        assert code in (0, 1, 2)
        assert sign not in said


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\x1bb\n1\n2\n", "the column 'a\\x1bb' holds the control character '\\x1b'"),
        ("shop,y\na,1\nb\u202e,2\n", "the series 'b\\u202e' holds the control character '\\u202e'"),
        ("y,kind\n1,a\n2,b\x07\n", "the label 'b\\x07' holds the control character '\\x07'"),
    ],
)
def test_a_name_with_a_control_character_is_refused(tmp_path, text, what):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    keys = {"group": "shop", "target": ["y"]} if "shop" in text else {"label": "kind"} if "kind" in text else {}
    with pytest.raises(BadInput, match=re.escape(what)):
        csv(str(path), **keys)
