"""A run folder that someone else has made runs no code, whatever reads it, and wherever in it the code lies."""

import html
import json
import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.cli.train import main
from flatspot.data.tables import csv
from flatspot.errors import BadInput
from flatspot.monitors.keeping import read

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
            if not held.is_symlink():
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
    """Weights are read by `evaluate` and `predict` alone."""
    mark = tmp_path / "it_ran"
    plant(theirs, place, kind(mark))
    for command in COMMANDS:
        code, said = asked(command, theirs)
        assert not mark.exists(), command
        assert "Traceback" not in said
        if command in ("evaluate", "predict"):
            assert code == 2
            assert "best.ckpt: cannot be read as a checkpoint of this version" in said
        else:
            assert code in (0, 1)


@pytest.mark.parametrize("kind", [Payload, Later])
@pytest.mark.parametrize("place", FIELDS, ids=lambda place: place.__name__)
def test_what_is_gone_on_from_runs_nothing(theirs, tmp_path, place, kind):
    mark = tmp_path / "it_ran"
    plant(theirs, place, kind(mark))
    with pytest.raises(BadInput, match=r"last\.ckpt: torn or corrupt"):
        read(theirs / "checkpoints" / "last.ckpt")
    assert not mark.exists()


def test_a_run_that_cannot_go_on_begins_anew_and_keeps_what_was_there(theirs, asked, tmp_path):
    mark = tmp_path / "it_ran"
    plant(theirs, in_the_optimizer, Payload(mark))
    code, said = asked("resume", theirs)
    assert (code, mark.exists()) == (0, False), said
    assert "torn or corrupt" in said
    assert [*theirs.rglob("*.corrupt")]


@pytest.mark.parametrize("path", ["/x/..", "..", "../..", "/", "/etc/passwd", "best.ckpt/../../config.yaml"])
def test_a_path_in_a_checkpoint_leads_nowhere(run_of, asked, tmp_path, path):
    """Lightning removes the best checkpoint when there is a better one: once, the whole folder, by `x/..`."""
    theirs, beside = tmp_path / "theirs", tmp_path / "mine.txt"
    shutil.copytree(run_of("data.window=12", "data.horizon=3", "trainer.max_epochs=3"), theirs)
    beside.write_text("mine")
    held = torch.load(theirs / "checkpoints" / "previous.ckpt", weights_only=True)
    state = next(state for name, state in held["callbacks"].items() if name.startswith("ModelCheckpoint"))
    bad = torch.tensor(99.0)
    state |= {"best_k_models": {path: bad}, "kth_value": bad, "best_model_score": bad, "dirpath": path}
    state |= dict.fromkeys(("best_model_path", "kth_best_model_path", "last_model_path"), path)
    torch.save(held, theirs / "checkpoints" / "last.ckpt")
    before = {each.name for each in theirs.iterdir()}
    code, said = asked("resume", theirs)
    assert code == 0, said
    assert "goes on after 2 epochs" in said
    assert before <= {each.name for each in theirs.iterdir()}
    assert beside.read_text() == "mine"
    best = torch.load(theirs / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["epoch"] == 2  # there was a better one


def test_a_checkpoint_that_is_a_plain_pickle_is_refused(theirs, asked, tmp_path):
    mark = tmp_path / "it_ran"
    (theirs / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Payload(mark)))
    code, said = asked("evaluate", theirs)
    assert (code, mark.exists()) == (2, False)
    assert "best.ckpt: cannot be read" in said


def test_a_checkpoint_that_unpacks_to_much_more_is_refused(theirs, asked):
    path = theirs / "checkpoints" / "best.ckpt"
    torch.save({"state_dict": torch.zeros(2**24)}, path)
    with zipfile.ZipFile(path) as held:
        files = {name: held.read(name) for name in held.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    assert path.stat().st_size < 2**20
    shutil.copy(path, path.with_name("last.ckpt"))
    code, said = asked("evaluate", theirs)
    assert code == 2
    assert "best.ckpt: cannot be read as a checkpoint of this version: ValueError: it unpacks to more" in said
    with pytest.raises(BadInput, match="it unpacks to more"):
        read(path.with_name("last.ckpt"))


def test_a_reference_that_unpacks_to_much_more_is_refused(theirs, asked):
    np.savez_compressed(theirs / "ridge.npz", coefficients=np.zeros(2**23))
    code, said = asked("evaluate", theirs)
    assert code == 2
    assert "ridge.npz: cannot be read as the run's reference: it unpacks to more" in said


@pytest.mark.parametrize("where", ["absolute", "relative"])
def test_of_a_file_that_is_not_the_runs_own_nothing_is_told(run_of, asked, tmp_path, where):
    """A checkpoint names the file that its run was trained on; a stranger's, any."""
    secret = tmp_path / "secret.txt"
    secret.write_text("root:secret-word:1\nother:2:3\n")
    theirs = tmp_path / "theirs"
    shutil.copytree(run_of("data=sines", "data.steps=300", "data.window=12", "data.horizon=3"), theirs)
    path = theirs / "checkpoints" / "best.ckpt"
    held = torch.load(path, weights_only=True)
    name = str(secret) if where == "absolute" else secret.name
    held["SeriesDataModule"]["source"]["data"] = {"name": "csv", "path": name, "target": "u"}
    torch.save(held, path)
    for command in ("evaluate", "predict"):
        code, said = asked(command, theirs)
        assert code == 2
        assert "secret.txt: has none of the run's columns, so it is not its file" in said
        assert "secret-word" not in said


PIPES = ("best.ckpt", "last.ckpt", "previous.ckpt", "train.log", "evidence.jsonl", "metrics.csv", "metrics.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
@pytest.mark.parametrize("name", [*PIPES, "status.json", "ridge.npz", "forecasts.npz", "config.yaml"])
def test_a_pipe_is_not_waited_for(theirs, asked, name):
    path = theirs / "checkpoints" / name if name.endswith(".ckpt") else theirs / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    for command in COMMANDS:
        assert asked(command, theirs)[0] in (0, 1, 2)
    with pytest.raises(SystemExit) as left:
        main([f"resume={theirs}"])
    assert left.value.code == 2


@pytest.mark.parametrize("name", ["n$SECRET", "it's \\", "a=b,c {d}"])
def test_a_name_of_a_folder_is_a_name(run_of, asked, tmp_path, name):
    theirs = tmp_path / name
    shutil.copytree(run_of("data.window=12", "data.horizon=3"), theirs)
    (theirs / "metrics.json").unlink()
    code, said = asked("resume", theirs)
    assert code == 0, said
    assert (theirs / "metrics.json").exists()
    assert {each.name for each in tmp_path.iterdir()} == {name}


@pytest.mark.parametrize("name", ["n${oc.env:SECRET}", "${now:%Y}"])
def test_a_name_of_a_folder_that_is_a_resolver_is_refused(run_of, asked, tmp_path, monkeypatch, name):
    """Hydra follows it, in the folder of its log too, however it is quoted."""
    monkeypatch.setenv("SECRET", "secret-word")
    theirs = tmp_path / name
    shutil.copytree(run_of("data.window=12", "data.horizon=3"), theirs)
    code, said = asked("resume", theirs)
    assert code == 2
    assert "Hydra would follow the ${ in its name; rename the folder" in said
    assert "secret-word" not in said
    assert {each.name for each in tmp_path.iterdir()} == {name}


def test_as_many_processes_as_a_config_names_are_not_begun(theirs, asked):
    config = theirs / "config.yaml"
    text = re.sub("devices: .*", "devices: 1000", config.read_text()).replace("strategy: auto", "strategy: ddp")
    config.write_text(re.sub("accelerator: .*", "accelerator: cpu", text))
    code, said = asked("resume", theirs)
    assert code == 2
    assert "trainer.devices=1000: must be at most " in said


SIZES = [
    ("hidden_size", 10**5),
    ("hidden_size", 2**40),
    ("num_layers", 10**7),
    ("num_layers", 2**63),
    ("horizon", 10**10),
    ("inputs", 10**9),
]


@pytest.mark.parametrize(("name", "size"), SIZES)
@pytest.mark.parametrize("expanded", [False, True])
def test_sizes_that_would_fill_the_memory_are_refused_before_any_is_taken(theirs, asked, name, size, expanded):
    """Also with weights of that size, in the file as one number."""
    path = theirs / "checkpoints" / "best.ckpt"
    held = torch.load(path, weights_only=True)
    held["hyper_parameters"][name] = size
    if expanded:
        held["state_dict"]["network.encoder.weight_hh_l0"] = torch.zeros(1).expand(size % 10**9, size % 10**9)
    torch.save(held, path)
    for command in ("evaluate", "predict"):
        code, said = asked(command, theirs)
        assert code == 2
        assert "best.ckpt: cannot be read as a checkpoint of this version: ValueError: " in said
        told = ("far larger than its weights", "it says that it has", "is larger than what was kept of it")
        assert any(each in said for each in told)


@pytest.mark.parametrize(
    ("key", "value"), [("steps", 10**10), ("steps", "many"), ("steps", None), ("steps", 10**400), ("scales", 3)]
)
def test_made_series_of_any_size_are_not_made(run_of, asked, tmp_path, key, value):
    theirs = tmp_path / "theirs"
    shutil.copytree(run_of("data=sines", "data.steps=300", "data.window=12", "data.horizon=3"), theirs)
    path = theirs / "checkpoints" / "best.ckpt"
    held = torch.load(path, weights_only=True)
    held["SeriesDataModule"]["source"]["data"][key] = value
    torch.save(held, path)
    for command in ("evaluate", "predict"):
        code, said = asked(command, theirs)
        assert code == 2, said
        assert "best.ckpt: what it says of its data is " in said


CONFIGS = {
    "a target": ("model:\n  _target_: os.mkdir\n  path: {mark}\n", {"resume"}),
    "a tag": ("model: !!python/object/apply:os.mkdir ['{mark}']\n", {"resume", "report"}),
    "a resolver of the environment": ("report: ${oc.env:SECRET}\n", {"resume"}),
    "a resolver within a reference": ("report: ${model.${oc.env:SECRET}}\n", {"resume"}),
    "a resolver that decodes": ("report: ${oc.decode:'{mark}'}\n", {"resume"}),
    "a resolver of Hydra's": ("report: ${hydra:runtime.cwd}\n", {"resume"}),
    "aliases that grow": (
        "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(
            f"{later}: &{later} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
            for before, later in zip("abcdefghijk", "bcdefghijkl", strict=True)
        ),
        {"resume", "report"},
    ),
    "depth": ("a: " + "[" * 5000 + "]" * 5000 + "\n", {"resume", "report"}),
    "size": ("a: " + "b" * 2**20 + "\n", {"resume"}),
}
"""What a configuration holds, and who refuses it: the doctor reads none, and the report resolves nothing."""


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_of_a_run_runs_nothing_and_brings_nothing_in(theirs, asked, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("SECRET", "secret-word")
    mark = tmp_path / "it_ran"
    text, refusing = CONFIGS[kind]
    (theirs / "config.yaml").write_text(text.replace("{mark}", str(mark)))
    for command in (*COMMANDS, "resume"):
        code, said = asked(command, theirs)
        assert not mark.exists()
        assert "Traceback" not in said
        assert "secret-word" not in said
        assert (code == 2) == (command in refusing), f"{command}: {said}"
        assert code != 2 or "config.yaml: " in said or "model._target_: refused" in said
    page = theirs / "report.html"
    assert "secret-word" not in (page.read_text() if page.exists() else "")


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_as_it_was_composed_brings_nothing_in(theirs, asked, tmp_path, monkeypatch, kind):
    """It is read where a run was stopped before it had written its own."""
    monkeypatch.setenv("SECRET", "secret-word")
    mark = tmp_path / "it_ran"
    (theirs / "config.yaml").unlink()
    (theirs / ".hydra" / "config.yaml").write_text(CONFIGS[kind][0].replace("{mark}", str(mark)))
    code, said = asked("resume", theirs)
    assert (code, mark.exists()) == (2, False)
    assert "config.yaml: " in said or "model._target_: refused" in said
    assert "secret-word" not in said


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["series", "label"])
def test_a_name_of_a_series_or_a_label_is_shown_and_nothing_more(train, tmp_path, what, name):
    """In the page, on the terminal, in what is forecast, and in the verdict on other rows."""
    rng = np.random.default_rng(0)
    if what == "label":
        ids, kinds = np.arange(360) // 6, np.array([name, "plain"])[np.arange(360) // 6 % 2]
        words = ("data.label=y", "model=classifier", "data.target=null", "data.features=[x]", "data.window=null")
        words = (*words, "data.horizon=null")
    else:
        ids, kinds = np.array([name, f"{name} 1", "plain"])[np.arange(360) // 120], ["none"] * 360
        words = ("data.target=x", "data.time=none")
    pl.DataFrame({"id": ids, "x": rng.normal(size=360), "y": kinds}).write_csv(tmp_path / "a.csv")
    done = train("data=csv", "data.path=a.csv", "data.group=id", *words, "report=html", "threads=1")
    shown = done.out + done.err
    if "\x1b" in name or "\u202e" in name:
        assert done.code == 2
        assert "a.csv" in done.err
    else:
        assert done.code == 0, done.err
        page = (done.folder / "report.html").read_text(encoding="utf-8")
        assert name in html.unescape(page) or what == "label"  # which stands in a picture
        assert not re.findall(r"<(?:script|img)\b[^>]*>", page)
        assert "onerror=alert(1)>" not in page
        assert '<a href="javascript:' not in page
        for command in ("evaluate", "predict"):
            result = CliRunner().invoke(app, [command, str(done.folder)])
            assert result.exit_code == 0, result.output
            shown += result.output
    assert not {"\x1b", "\u202e"} & set(shown)


READ_BY = {
    "metrics.json": {"report"},
    "evidence.jsonl": {"doctor", "report"},
    "config.yaml": {"report"},
    "status.json": {"doctor", "report"},
    "forecasts.npz": {"report"},
    "ridge.npz": {"evaluate"},
    "train.log": set(),
}
"""The files of a run, and the commands that read them."""


@pytest.mark.parametrize("name", READ_BY)
def test_a_link_out_of_the_folder_is_not_followed(theirs, asked, tmp_path, name):
    secret = tmp_path / "secret.txt"
    secret.write_text("top: secret-word\n")
    (theirs / name).unlink(missing_ok=True)
    (theirs / name).symlink_to(secret)
    for command in (*COMMANDS, "resume"):
        code, said = asked(command, theirs)
        assert "secret-word" not in said
        if command in {*READ_BY[name], "resume"}:  # what goes on is written to
            assert code == 2
            assert f"{name}" in said
            assert "is a link that leads out of the run folder" in said
    page = theirs / "report.html"
    assert "secret-word" not in (page.read_text() if page.exists() else "")
    assert secret.read_text() == "top: secret-word\n"


def test_a_link_within_the_folder_is_followed(theirs, asked):
    (theirs / "metrics.json").rename(theirs / "figures.json")
    (theirs / "metrics.json").symlink_to("figures.json")
    assert asked("report", theirs)[0] == 0


@pytest.mark.parametrize("name", ["status.json", "evidence.jsonl"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(theirs, asked, name):
    (theirs / name).unlink()
    os.mkfifo(theirs / name)
    code, said = asked("doctor", theirs)
    assert code == 2
    assert f"{name}: is no regular file" in said


def test_a_page_is_not_written_through_a_link(theirs, asked, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (theirs / "report.html").unlink(missing_ok=True)
    (theirs / "report.html").symlink_to(mine)
    assert asked("report", theirs)[0] == 0
    assert mine.read_text() == "mine"
    assert not (theirs / "report.html").is_symlink()


def test_no_command_reads_an_event_file(theirs, asked):
    """Neither one without an end, nor one whose first record says that it has 2^62 bytes."""
    os.mkfifo(theirs / "events.out.tfevents.1.pipe")
    (theirs / "events.out.tfevents.2.huge").write_bytes((2**62).to_bytes(8, "little") + b"x" * 2**20)
    for command in COMMANDS:
        code, said = asked(command, theirs)
        assert code in (0, 1)
        assert "Traceback" not in said


EVIDENCE = {
    "depth": "[" * 100_000,
    "a line of a hundred million": '{"step": 0, "when": "epoch", "values": {"a": ' + "1" * 10**6 + "}}",
    "an integer beyond any float": '{"step": 0, "when": "epoch", "values": {"a": 1' + "0" * 400 + "}}\n{}\n",
    "names that are a number": '{"step": 0, "when": "epoch", "epoch": 1, "values": {}, "names": 3}\n{}\n',
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
def test_a_terminal_gets_no_order_from_evidence(theirs, asked, sign):
    line = {"step": 1, "epoch": 0, "when": "examined", "values": {}, "unmeasured": {"skill/val": f"because {sign}[31m"}}
    with (theirs / "evidence.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    for command in ("doctor", "report"):
        code, said = asked(command, theirs)
        assert code in (0, 1, 2)
        assert sign not in said
    told = CliRunner().invoke(app, ["doctor", str(theirs), "--json"]).output
    assert sign not in told
    assert f"because {sign}[31m" in json.loads(told)["not_examined"].values() or f"because {sign}" in str(
        json.loads(told)
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a\x1bb\n1\n2\n", "the column 'a\\x1bb' has a control character in its name"),
        ("shop,y\na,1\nb\u202e,2\n", "the series 'b\\u202e' has a control character in its name"),
        ("y,kind\n1,a\n2,b\x07\n", "the label 'b\\x07' has a control character in its name"),
    ],
)
def test_a_name_with_a_control_character_is_refused(tmp_path, text, what):
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    keys = {"group": "shop", "target": ["y"]} if "shop" in text else {"label": "kind"} if "kind" in text else {}
    with pytest.raises(BadInput, match=re.escape(what)):
        csv(str(path), **keys)
