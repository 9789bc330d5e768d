"""A run that was killed goes on, and ends as the one that never was."""

import csv
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from flatspot import evidence
from flatspot.cli.train import main
from flatspot.monitors.progress import EpochLines

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]

LONG = (
    "trainer.max_epochs=5",
    "data.stride=3",
    "model.num_layers=2",
    "model.dropout=0.2",
    "model.initial_state=normal",
)

ARMS = {
    "cosine": (),
    "plateau": ("scheduler=plateau", "optimizer.lr=0.1"),
    "momentum, no monitors": (
        "scheduler=none",
        "optimizer=sgd",
        "optimizer.lr=0.05",
        "optimizer.momentum=0.9",
        "monitors=none",
    ),
    "early stopping": ("early_stopping.patience=2", "early_stopping.min_delta=10", "trainer.max_epochs=9"),
    "accumulated": ("trainer.accumulate_grad_batches=3", "trainer.gradient_clip_val=0.1", "examine=quick"),
    "classes": ("data=frequency_classes", "model=classifier", "data.window=null", "data.horizon=null"),
}


@pytest.fixture
def resume(capfd):
    """`python train.py resume=...`"""

    def run(*typed):
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(typed))
        said = capfd.readouterr()
        return left.value.code, said.out, said.err

    return run


def broken_off(train, monkeypatch, folder, *overrides, epoch, hook="on_train_epoch_end"):
    """A run that ends at a hook of this epoch as if someone had pressed Ctrl-C."""
    meant = getattr(EpochLines, hook)

    def stop(self, trainer, *given):
        if trainer.current_epoch == epoch:
            raise KeyboardInterrupt
        meant(self, trainer, *given)

    with monkeypatch.context() as patched:
        patched.setattr(EpochLines, hook, stop)
        assert train(*overrides, folder=folder).code == 130


def timeless(held):
    if isinstance(held, dict):
        return {name: timeless(each) for name, each in held.items() if "seconds" not in name}
    return [timeless(each) for each in held] if isinstance(held, list) else held


def assert_same(one, other, at=""):
    """Bitwise, but for seconds and for where the run folder is."""
    if isinstance(one, torch.Tensor):
        assert np.array_equal(one.numpy(), other.numpy(), equal_nan=True), at
    elif isinstance(one, dict):
        plain = [
            {Path(name).name if isinstance(name, str) else name: v for name, v in each.items()} for each in (one, other)
        ]
        assert plain[0].keys() == plain[1].keys(), at
        for name in plain[0]:
            assert_same(plain[0][name], plain[1][name], f"{at}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), at
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{at}[{number}]")
    elif isinstance(one, str) and os.sep in one:
        assert Path(one).name == Path(other).name, at
    elif "seconds" not in at:
        assert one == other or (one != one and other != other), at  # noqa: PLR0124 - NaN


def assert_ends_alike(one, other):
    for name in ("best.ckpt", "last.ckpt"):
        held = [torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (one, other)]
        assert_same(*held, name)
    metrics = [timeless(json.loads((folder / "metrics.json").read_text())) for folder in (one, other)]
    assert metrics[0] == metrics[1]
    assert evidence.read(one) == evidence.read(other)


@pytest.mark.parametrize("arm", ARMS)
def test_it_ends_bitwise_as_the_run_that_was_never_broken_off(train, resume, monkeypatch, tmp_path, arm):
    whole = train(*LONG, *ARMS[arm], folder=tmp_path / "whole")
    assert whole.code == 0, whole.err
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, *ARMS[arm], epoch=2)
    assert evidence.read(tmp_path / "run") != evidence.read(whole.folder)
    code, out, err = resume("resume=run")
    assert code == 0, err
    assert "goes on after 2 epochs, from run/checkpoints/last.ckpt" in out
    assert_ends_alike(whole.folder, tmp_path / "run")
    if arm == "early stopping":
        assert json.loads((whole.folder / "metrics.json").read_text())["steps"] < 9 * 10
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "done"


def test_it_may_be_broken_off_again_and_again(train, resume, monkeypatch, tmp_path):
    whole = train(*LONG, folder=tmp_path / "whole")
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, epoch=0)
    meant = EpochLines.on_train_epoch_end
    for epoch in (1, 2, 2, 4):

        def stop(self, trainer, *given, at=epoch):
            if trainer.current_epoch == at:
                raise KeyboardInterrupt
            meant(self, trainer, *given)

        with monkeypatch.context() as patched:
            patched.setattr(EpochLines, "on_train_epoch_end", stop)
            assert resume("resume=run")[0] == 130
    assert resume("resume=run")[0] == 0
    assert_ends_alike(whole.folder, tmp_path / "run")


@pytest.mark.parametrize(
    "where", ["flatspot.cli.fit.examine_model", "flatspot.cli.fit.keep", "flatspot.cli.fit.log_end"]
)
def test_one_that_broke_after_its_last_epoch_repeats_that_epoch(train, resume, monkeypatch, tmp_path, where):
    whole = train(*LONG, folder=tmp_path / "whole")

    def broken(*given, **named):
        raise ZeroDivisionError("made up")

    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(where, broken)
            code = train(*LONG).code if not (tmp_path / "run").exists() else resume("resume=run")[0]
            assert code == 3
    code, out, _ = resume("resume=run")
    assert code == 0
    assert "goes on after 4 epochs" in out
    assert_ends_alike(whole.folder, tmp_path / "run")


def tear(path):
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("hurt", [tear, flip])
@pytest.mark.parametrize(("names", "said"), [
    (["last.ckpt"], "goes on after 2 epochs"),
    (["last.ckpt", "previous.ckpt"], "begins anew; what was there is kept in run/attempts/1"),
    (["best.ckpt"], "begins anew; what was there is kept in run/attempts/1"),
])  # fmt: skip
def test_a_checkpoint_that_is_not_whole_is_named_and_the_one_before_is_used(
    train, resume, monkeypatch, tmp_path, hurt, names, said
):
    whole = train(*LONG, folder=tmp_path / "whole")
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, epoch=3)
    for name in names:
        hurt(tmp_path / "run" / "checkpoints" / name)
    code, out, err = resume("resume=run")
    assert code == 0, err
    for name in names:
        assert f"checkpoints/{name}: torn or corrupt (" in out + err
    assert said in out
    assert_ends_alike(whole.folder, tmp_path / "run")


@pytest.mark.parametrize("harm", ["no version", "weights", "optimizer", "a callback"])
def test_a_checkpoint_that_holds_another_thing_is_named_and_renamed_the_one_before_is_used(
    train, resume, monkeypatch, tmp_path, harm
):
    """Whole, and not what a run has kept: known as it is restored, or by the first step."""
    broken_off(train, monkeypatch, tmp_path / "run", "trainer.max_epochs=4", "monitors=default", epoch=3)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    held = torch.load(last, weights_only=True)
    if harm == "no version":
        del held["pytorch-lightning_version"]
    elif harm == "weights":
        del held["state_dict"]["network.head.weight"]
    elif harm == "optimizer":
        del held["optimizer_states"][0]["state"][0]["exp_avg"]
    else:
        held["callbacks"]["FiniteSteps"] = 3
    torch.save(held, last)
    code, _, err = resume(f"resume={tmp_path / 'run'}")
    assert code == 2
    assert "last.ckpt: the run cannot go on from it: " in err
    assert "where it is renamed, resume= goes on from the epoch before" in err
    assert "Traceback" not in err
    last.rename(last.with_suffix(".other"))
    code, out, _ = resume(f"resume={tmp_path / 'run'}")
    assert code == 0
    assert "goes on after 2 epochs" in out


def test_a_folder_that_was_moved_goes_on_where_it_lies(train, resume, monkeypatch, tmp_path):
    whole = train(*LONG, folder=tmp_path / "whole")
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, epoch=3)
    moved = tmp_path / "it's = elsewhere, now"
    shutil.move(tmp_path / "run", moved)
    code, _, err = resume(f"resume={moved}")
    assert code == 0, err
    assert not (tmp_path / "run").exists()
    assert_ends_alike(whole.folder, moved)


def test_loggers_hold_each_step_once(train, resume, monkeypatch, tmp_path):
    several = (*LONG, "logger=[csv,tensorboard]", "trainer.log_every_n_steps=5")
    whole = train(*several, folder=tmp_path / "whole")
    broken_off(train, monkeypatch, tmp_path / "run", *several, epoch=2, hook="on_train_epoch_end")
    assert resume("resume=run")[0] == 0
    rows = [rows_of(folder / "metrics.csv") for folder in (whole.folder, tmp_path / "run")]
    assert rows[0] == rows[1]
    told = [scalars_of(folder) for folder in (whole.folder, tmp_path / "run")]
    assert told[0] == told[1]


def rows_of(path):
    with path.open() as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def scalars_of(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["resume=no/such/run"], "resume=no/such/run: there is no such run folder"),
        (["resume=runn"], "resume=runn: there is no such run folder; did you mean 'run'?"),
        (["resume=run", "model.cell=lstm"], "the run goes on with its own settings; model.cell=lstm cannot be given"),
        (["resume=."], "resume=.: holds no config.yaml, so it is no run folder"),
        (["-m", "resume=run", "seed=0,1"], "resume=run: known: auto; a sweep finds its own runs"),
    ],
)
def test_what_cannot_go_on_is_said_in_a_sentence(train, resume, typed, said):
    train()
    code, _, err = resume(*typed)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_sweep_is_not_taken_for_a_run(train, resume, tmp_path):
    train("seed=0,1", "hydra.sweep.dir=sweep", flags=["-m"])
    code, _, err = resume("resume=sweep")
    assert code == 2
    assert "resume=sweep: is a sweep, which goes on with its own command and resume=auto hydra.sweep.dir=sweep" in err


def test_a_run_that_is_done_is_left_alone(train, resume):
    done = train()
    before = {name: (done.folder / name).read_bytes() for name in done.files()}
    code, out, _ = resume("resume=run")
    assert (code, out) == (0, "run: this run is done\n")
    assert {name: (done.folder / name).read_bytes() for name in done.files()} == before


def test_a_run_that_another_process_is_at_is_left_alone(train, resume, monkeypatch, tmp_path):
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, epoch=1)
    before = (tmp_path / "run" / "status.json").read_bytes()
    with FileLock(tmp_path / "run" / ".lock"):
        code, _, err = resume("resume=run")
    assert code == 2
    assert "run: another process is at this run" in err
    assert (tmp_path / "run" / "status.json").read_bytes() == before


def test_one_killed_before_its_first_epoch_begins_anew(train, resume, monkeypatch, tmp_path):
    whole = train(*LONG, folder=tmp_path / "whole")
    broken_off(train, monkeypatch, tmp_path / "run", *LONG, epoch=0)
    code, out, _ = resume("resume=run")
    assert code == 0
    assert "begins anew" in out
    assert_ends_alike(whole.folder, tmp_path / "run")


def test_a_half_done_job_of_a_sweep_is_taken_up(train, monkeypatch, tmp_path):
    arms = (*LONG, "seed=0,1")
    whole = train(*arms, f"hydra.sweep.dir={tmp_path / 'whole'}", flags=["-m"])
    assert whole.code == 0
    meant = EpochLines.on_train_epoch_end

    def stop(self, trainer, *given):
        if trainer.current_epoch == 3:
            raise KeyboardInterrupt
        meant(self, trainer, *given)

    with monkeypatch.context() as patched:
        patched.setattr(EpochLines, "on_train_epoch_end", stop)
        assert train(*arms, "hydra.sweep.dir=sweep", flags=["-m"]).code == 130
    again = train(*arms, "hydra.sweep.dir=sweep", "resume=auto", flags=["-m"])
    assert again.code == 0, again.err
    assert "goes on after 3 epochs" in (tmp_path / "sweep" / "0" / "train.log").read_text()
    for number in ("0", "1"):
        assert_ends_alike(tmp_path / "whole" / number, tmp_path / "sweep" / number)
        assert not (tmp_path / "sweep" / number / "attempts").exists()


@pytest.mark.parametrize("seed", [0])  # scripts/kill_and_resume.py takes any number
def test_killed_at_random_it_ends_the_same(train, resume, quick, python, tmp_path, seed):
    """By `kill -9`, at any moment of its life."""
    small = [word for word in quick if not word.startswith("trainer.max_epochs")]
    typed = [*small, *LONG, "trainer.max_epochs=30", "early_stopping.patience=null"]
    whole = train(*typed, folder=tmp_path / "whole")
    assert whole.code == 0, whole.err
    rng = np.random.default_rng(seed)
    log = tmp_path / "run" / "train.log"

    def kill(process):
        wanted = rng.integers(1, 20)
        for _ in range(2400):
            if log.exists() and log.read_text().count("· loss") > wanted:
                break
            time.sleep(0.05)
        threading.Event().wait(rng.uniform(0, 0.3))
        os.kill(process, signal.SIGKILL)

    killed = python.run(ROOT / "train.py", *typed, "hydra.run.dir=run", cwd=tmp_path, meanwhile=kill)
    assert killed.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "running"
    code, out, err = resume("resume=run")
    assert code == 0, err
    assert "goes on after " in out
    assert_ends_alike(whole.folder, tmp_path / "run")


@pytest.mark.parametrize("operation", [4, 14])
def test_it_may_be_broken_off_between_any_two_files(train, resume, monkeypatch, tmp_path, operation):
    """As the n-th file is about to take its place, of a run whose checkpoints, status and figures are all moved so."""
    whole = train(*LONG, folder=tmp_path / "whole")
    code, tries = 0, 0
    for _ in range(2):  # and once more as it goes on
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", breaking(Path.replace, operation))
            begun = (tmp_path / "run" / ".hydra" / "config.yaml").exists()
            code = resume("resume=run")[0] if begun else train(*LONG).code
            tries += code == 130
        if code == 0:
            break
    if code:
        code, _, err = resume("resume=run")
        assert code == 0, err
    assert tries
    assert_ends_alike(whole.folder, tmp_path / "run")
    assert not list((tmp_path / "run" / "checkpoints").glob(".*"))


def breaking(meant, operation):
    """The function, which is broken off at its n-th call, before it has done anything."""
    calls = iter(range(1, 10**6))

    def broken(*given):
        if next(calls) == operation:
            raise KeyboardInterrupt
        return meant(*given)

    return broken


def test_data_that_have_changed_are_not_gone_on_with(train, resume, monkeypatch, tmp_path):
    rows = [f"{(number * 7) % 13 + number % 5}" for number in range(600)]
    (tmp_path / "my.csv").write_text("y\n" + "\n".join(rows))
    mine = (*LONG, "data=csv", "data.path=my.csv")
    broken_off(train, monkeypatch, tmp_path / "run", *mine, epoch=2)
    (tmp_path / "my.csv").write_text("y\n" + "\n".join([*rows, "5", "6", "7"]))
    code, _, err = resume("resume=run")
    assert code == 2
    assert "run: the data are not those that the run was begun with" in err
