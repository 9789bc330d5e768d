"""What goes wrong around a run: a full disk, a folder that is gone, a kill in the middle of a file. docs/faults.md."""

import builtins
import csv
import errno
import io
import json
import logging
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from filelock import FileLock
from lightning.pytorch.callbacks import ModelCheckpoint
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from flatspot import evidence
from flatspot.cli import events
from flatspot.cli.app import app
from flatspot.cli.loggers import BESIDE, LOGGERS
from flatspot.cli.train import main
from flatspot.models.sequence_module import SequenceModule
from flatspot.monitors.progress import EpochLines
from flatspot.probes.mean import WeightedMean

pytestmark = pytest.mark.long

LONG = ("trainer.max_epochs=4", "trainer.log_every_n_steps=7")
ROOT = Path(__file__).parents[2]


def status(folder):
    return json.loads((folder / "status.json").read_text())


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def same(one, other):
    return all(torch.equal(each, other[name]) for name, each in one.items())


def at_epoch(monkeypatch, epoch, act):
    """Something happens as an epoch ends."""
    meant = EpochLines.on_train_epoch_end

    def happens(self, trainer, *given):
        if trainer.current_epoch == epoch:
            act()
        meant(self, trainer, *given)

    monkeypatch.setattr(EpochLines, "on_train_epoch_end", happens)


def nan_from(monkeypatch, step):
    """The loss is NaN from this step on, counted from 1."""
    meant, calls = SequenceModule.training_step, []

    def training_step(self, batch, batch_idx):
        calls.append(batch_idx)
        loss = meant(self, batch, batch_idx)
        return loss * float("nan") if len(calls) >= step else loss

    monkeypatch.setattr(SequenceModule, "training_step", training_step)


# A loss that turns NaN


def test_stop_keeps_the_weights_before_it_and_the_doctor_says_why(train):
    words = ("data.window=60", "data.horizon=24", "model.hidden_size=8", "trainer.max_epochs=3", "examine=full")
    done = train(*words, "model.activation=relu", "optimizer=sgd", "optimizer.lr=30")
    assert done.code == 0
    metrics = json.loads((done.folder / "metrics.json").read_text())
    step = metrics["steps"] + 1
    assert f"gradient of optimizer step {step} is NaN or infinite: training stops before it is taken" in done.out
    causes = [each["cause"] for each in metrics["findings"]]
    assert causes[0] == "learning-rate-too-high"
    found = next(each for each in metrics["findings"] if each["cause"] == "not-finite")
    assert found["seen"] == (
        f"the gradient of 1 step was NaN or infinite, first at step {step}; the data and the weights are clean"
    )
    for name in ("best.ckpt", "last.ckpt"):
        assert all(each.isfinite().all() for each in weights(done.folder / "checkpoints" / name).values())
    assert " nan" not in done.out.lower().replace("is nan or", "").replace("was nan or", "")


def test_stop_leaves_the_best_checkpoint_as_it_was(train, monkeypatch, tmp_path):
    before = train("trainer.max_epochs=1", "scheduler=none", folder=tmp_path / "before")
    steps = json.loads((before.folder / "metrics.json").read_text())["steps"]
    nan_from(monkeypatch, steps + 1)
    done = train("trainer.max_epochs=5", "scheduler=none")
    assert done.code == 0
    best = weights(done.folder / "checkpoints" / "best.ckpt")
    assert same(best, weights(before.folder / "checkpoints" / "best.ckpt"))
    assert same(best, weights(done.folder / "checkpoints" / "last.ckpt"))  # not a step was taken since


def test_skip_goes_on_and_says_so_at_the_end(train, monkeypatch):
    meant, calls = SequenceModule.training_step, []

    def training_step(self, batch, batch_idx):
        calls.append(batch_idx)
        loss = meant(self, batch, batch_idx)
        return loss * float("inf") if len(calls) in {3, 5} else loss

    monkeypatch.setattr(SequenceModule, "training_step", training_step)
    done = train("on_not_finite=skip", "trainer.max_epochs=40", "examine=full", "optimizer.lr=0.01")
    assert done.code == 0
    assert done.out.count("step 3 is NaN or infinite: it is left out") == 1
    assert status(done.folder)["status"] == "done"
    assert "note   the gradient of step 3 and of one more was NaN or infinite, and was not followed" in done.out
    held = evidence.latest(evidence.read(done.folder))
    assert (held["training/not_finite"], held["training/first_not_finite"]) == (2, 3)
    steps = max(each.step for each in evidence.read(done.folder))
    assert json.loads((done.folder / "metrics.json").read_text())["steps"] == steps - 2  # those that were taken


def test_continue_goes_on_with_what_it_has(train, monkeypatch):
    nan_from(monkeypatch, 40)
    done = train("on_not_finite=continue", "trainer.max_epochs=4")
    assert done.code == 0
    last = next(line for line in done.out.splitlines() if line.startswith("epoch 4/4"))
    assert "loss nan train · nan val" in last
    assert "mae" not in last
    assert all(each.isfinite().all() for each in weights(done.folder / "checkpoints" / "best.ckpt").values())
    steps = max(each.step for each in evidence.read(done.folder))
    told = f"the gradient of step 40 and of {steps - 40} more was NaN or infinite, and was followed (see not-finite)"
    assert f"note   {told}" in done.out
    assert json.loads((done.folder / "metrics.json").read_text())["steps"] == steps


def test_continue_from_the_first_step_on_names_the_cause(train, monkeypatch):
    nan_from(monkeypatch, 1)
    done = train("on_not_finite=continue", "trainer.max_epochs=2", "examine=quick")
    assert done.code == 0
    assert "verdict          unknown: " in done.out
    assert "finding          not-finite" in done.out
    assert "was NaN or infinite, first at step 1" in " ".join(done.out.split())
    held = json.loads((done.folder / "metrics.json").read_text())
    assert set(held["test"].values()) == {None}


def test_a_validation_loss_that_is_no_number_ends_the_fit(train, monkeypatch):
    monkeypatch.setattr(WeightedMean, "compute", lambda self: torch.tensor(float("inf")))
    done = train("trainer.max_epochs=4", "early_stopping.patience=3")
    assert (
        "note   training ended after 1 epochs: the validation loss is NaN or infinite (on_not_finite=stop)" in done.out
    )


def test_a_run_that_ends_early_says_why(train):
    done = train("trainer.max_epochs=9", "early_stopping.patience=1", "early_stopping.min_delta=100")
    assert "note   training ended after 2 epochs: no better validation loss in 1 epochs" in done.out


def test_another_word_for_on_not_finite(train):
    done = train("on_not_finite=stopp")
    assert done.code == 2
    assert "on_not_finite=stopp: did you mean 'stop'?" in done.err


# A disk that is full. A limit for the bytes of a file is met in the middle of a write, as the end of a disk is.

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from flatspot.cli.train import main
main(sys.argv[2:])
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="the limit, and what is forked, are Linux's")


@linux
def test_a_checkpoint_that_does_not_fit_stops_the_run_with_a_sentence(python, quick, tmp_path):
    done = python.run("-c", LIMITED, 9000, *quick, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 3
    assert (
        "error: run/checkpoints/best.ckpt: cannot be written: File too large\n" in done.stderr
    )  # nothing to go on from
    assert "Traceback" not in done.stderr
    assert status(tmp_path / "run")["why"].endswith("best.ckpt: cannot be written: File too large")
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert "RuntimeError" in (tmp_path / "run" / "train.log").read_text()  # the whole story, for who asks


@linux
def test_an_event_file_and_a_page_that_do_not_fit_are_told_and_cost_nothing_else(python, quick, train, tmp_path):
    words = ["logger=[tensorboard,csv]", "report=html", "model.hidden_size=8"]
    small = [each for each in quick if each.partition("=")[0] not in {"logger", "report", "model.hidden_size"}]
    done = python.run("-c", LIMITED, 60_000, *small, *words, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert told.count("TensorBoard's event file is no longer written, and the run goes on") == 1
    assert "report.html was not written: run/report.html: cannot be written: File too large" in told
    assert "Traceback" not in told
    assert not (tmp_path / "run" / "report.html").exists()
    assert CliRunner().invoke(app, ["report", str(tmp_path / "run")]).exit_code == 0  # later
    assert (tmp_path / "run" / "report.html").exists()
    whole = train(*words, folder=tmp_path / "whole")
    metrics = [json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path / "run", whole.folder)]
    assert metrics[0]["test"] == metrics[1]["test"]


@pytest.fixture
def unwritable(monkeypatch, tmp_path):
    """A switch: from then on nothing can be written below the run folder, or no file of this name."""

    def switch(only=""):
        meant = io.open

        def refusing(path, mode="r", *given, **named):
            inside = isinstance(path, (str, os.PathLike)) and Path(path).absolute().is_relative_to(tmp_path / "run")
            if inside and set(mode) & set("wax+") and only in Path(path).name:
                raise OSError(errno.EROFS, "Read-only file system", str(path))
            return meant(path, mode, *given, **named)

        def refuse_link(held, place, **named):
            raise OSError(errno.EROFS, "Read-only file system", str(place))

        monkeypatch.setattr(io, "open", refusing)
        monkeypatch.setattr(builtins, "open", refusing)
        monkeypatch.setattr(os, "link", refuse_link)

    return switch


@pytest.mark.parametrize("monitors", ["default", "none"])
@pytest.mark.parametrize("name", ["metrics.csv", "evidence.jsonl"])
def test_figures_that_can_no_longer_be_kept_are_told_once(train, unwritable, monkeypatch, name, monitors):
    at_epoch(monkeypatch, 1, lambda: unwritable(name))
    done = train(*LONG, "logger=csv", f"monitors={monitors}")
    if name == "metrics.csv":
        assert done.code == 0
        assert done.out.count("metrics.csv is no longer written, and the run goes on") == 1
        assert "epoch 4/4" in done.out
    else:  # what the end adds to the evidence is not left out in silence
        assert done.code == 3
        assert (done.out + done.err).count("evidence.jsonl is not written while training goes on: ") == 1
        assert "error: run/evidence.jsonl: cannot be written: Read-only file system" in done.err
    assert weights(done.folder / "checkpoints" / "last.ckpt")


class Full(io.StringIO):
    """A file on a disk without room."""

    def write(self, text):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_can_no_longer_be_written_is_told_once(train, monkeypatch):
    def fill():
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.FileHandler) and handler.baseFilename.endswith("train.log"):
                handler.setStream(Full()).close()

    at_epoch(monkeypatch, 1, fill)
    done = train(*LONG)
    assert done.code == 0
    assert (done.out + done.err).count("train.log lacks lines: OSError: [Errno 28] No space left on device") == 1
    assert "epoch 4/4" in done.out
    assert "epoch 1/4" in (done.folder / "train.log").read_text()


@pytest.mark.parametrize("name", ["ridge.npz", "forecasts.npz", "metrics.json"])
def test_what_a_run_is_for_is_not_left_out(train, unwritable, monkeypatch, tmp_path, name):
    unwritable(name)
    done = train()
    assert done.code == 3
    assert f"error: run/{name}: cannot be written: Read-only file system" in done.err
    assert "Traceback" not in done.err
    assert status(done.folder)["status"] == "failed"
    go_on(monkeypatch, tmp_path)
    assert (done.folder / name).exists()


def go_on(monkeypatch, tmp_path):
    """Where all can be written again."""
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    with pytest.raises(SystemExit) as left:
        main(["resume=run"])
    assert left.value.code == 0
    assert status(tmp_path / "run")["status"] == "done"


def test_a_folder_that_can_no_longer_be_written(train, unwritable, monkeypatch, tmp_path):
    at_epoch(monkeypatch, 1, unwritable)
    done = train(*LONG)
    assert done.code == 3
    assert "evidence.jsonl is not written while training goes on" in done.out
    assert "error: run/checkpoints/best.ckpt: cannot be written: Read-only file system" in done.err
    assert "resume= goes on from it" in done.err
    assert "Traceback" not in done.err
    assert status(done.folder)["status"] == "running"  # nor can that be written
    go_on(monkeypatch, tmp_path)
    whole = train(*LONG, folder=tmp_path / "whole")
    best = [weights(folder / "checkpoints" / "best.ckpt") for folder in (tmp_path / "run", whole.folder)]
    assert same(*best)


def test_a_folder_that_can_no_longer_be_written_in_an_epoch_that_is_not_the_best(train, unwritable, monkeypatch):
    monkeypatch.setattr(
        ModelCheckpoint, "check_monitor_top_k", lambda self, trainer, current=None: not self.best_k_models
    )
    at_epoch(monkeypatch, 1, unwritable)
    done = train(*LONG)
    assert done.code == 3
    assert "error: run/checkpoints/previous.ckpt: cannot be written: Read-only file system" in done.err
    assert "Traceback" not in done.err


def test_rows_of_before_survive_a_disk_that_is_full_as_a_column_is_added(tmp_path, monkeypatch):
    logger = LOGGERS["csv"](folder=tmp_path, begun=0)
    logger.log_metrics({"a": 1.0}, step=0)
    logger.save()
    before = (tmp_path / "metrics.csv").read_text()

    def full(self, row):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(csv.DictWriter, "writerows", full)
        logger.log_metrics({"a": 2.0, "b": 3.0}, step=1)
        logger.save()
    assert logger.lost
    assert (tmp_path / "metrics.csv").read_text() == before
    with monkeypatch.context() as patched:  # and a run that goes on keeps what it could not tell again
        patched.setattr(csv.DictWriter, "writerows", full)
        with pytest.warns(UserWarning, match="exists and is not empty"):
            LOGGERS["csv"](folder=tmp_path, begun=5)
    assert before in {path.read_text() for path in (tmp_path / "metrics.csv", tmp_path / BESIDE) if path.exists()}


def test_a_folder_that_somebody_removed_is_not_made_anew(train, monkeypatch, tmp_path):
    at_epoch(monkeypatch, 1, lambda: shutil.rmtree(tmp_path / "run"))
    done = train(*LONG)
    assert done.code == 3
    assert "error: run/checkpoints/best.ckpt: cannot be written: the folder is gone" in done.err
    assert "resume" not in done.err
    assert not (tmp_path / "run").exists()


# TensorBoard's folder

FULL = "OSError: [Errno 28] No space left on device"


def test_no_event_file_can_be_made(train, monkeypatch, caplog):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied", "events.out")

    monkeypatch.setattr(events.EventFile, "_open", refuse)
    done = train("logger=tensorboard")
    assert done.code == 0
    assert (done.out + done.err).count("TensorBoard's event file is no longer written") == 1


def test_a_writer_that_failed_takes_any_number_of_events(tmp_path, monkeypatch, caplog):
    """TensorBoard's own waits forever with the eleventh."""

    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda *_: Full())
    with caplog.at_level(logging.WARNING):
        writer = events.Events(str(tmp_path), 0)
        for step in range(100):
            writer.add_scalar("a", 1.0, step)
        writer.flush()
        writer.close()
    assert caplog.messages == [f"TensorBoard's event file is no longer written, and the run goes on: {FULL}"]


def test_a_clock_that_jumps_back_holds_nothing_back(tmp_path, monkeypatch):
    clock = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(events.time, "time", lambda: float(next(clock)))
    tick = iter(range(0, 10**6, 6))
    monkeypatch.setattr(events.time, "monotonic", lambda: float(next(tick)))
    writer = events.Events(str(tmp_path), 0)
    for step in range(50):
        writer.add_scalar("a", step, step)
    held = EventAccumulator(str(tmp_path))  # read while it is open
    held.Reload()
    assert [each.step for each in held.Scalars("a")][:40] == [*range(40)]
    writer.close()


def test_a_run_while_the_clock_jumps(train, monkeypatch):
    real, jumps = time.time, iter(np.random.default_rng(0).uniform(-1e6, 1e6, 10**5))
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    done = train("logger=[tensorboard,csv]", "trainer.max_epochs=3")
    assert done.code == 0
    metrics = json.loads((done.folder / "metrics.json").read_text())
    assert 0 < metrics["fit_seconds"] < metrics["seconds"] < 600
    held = EventAccumulator(str(done.folder))
    held.Reload()
    assert len(held.Scalars("loss/val")) == 3


# A kill in the middle of each kind of file

TORN = """
import builtins, io, os, signal, sys
from pathlib import Path
wanted, nth = sys.argv[1], int(sys.argv[2])
meant, seen = io.open, []

class Torn:
    def __init__(self, file):
        self.file = file
    def __getattr__(self, name):
        return getattr(self.file, name)
    def __enter__(self):
        return self
    def __exit__(self, *given):
        self.file.close()
    def __iter__(self):
        return iter(self.file)
    def write(self, data):
        self.file.write(bytes(data)[:len(data) // 2] if not isinstance(data, str) else data[:len(data) // 2])
        self.file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

def opening(path, mode="r", *given, **named):
    file = meant(path, mode, *given, **named)
    if isinstance(path, (str, os.PathLike)) and wanted in Path(path).name and set(mode) & set("wax"):
        seen.append(path)
        if len(seen) == nth:
            return Torn(file)
    return file

io.open = builtins.open = opening
from flatspot.cli.train import main
main(sys.argv[3:])
"""

KINDS = {
    "status.json": 1,
    "train.log": 1,
    "config.yaml": 2,  # the first is Hydra's own
    "evidence.jsonl": 2,
    "best.ckpt": 2,
    "last.ckpt": 2,
    "events.out": 1,
    "metrics.csv": 1,
    "ridge.npz": 1,
    "forecasts.npz": 1,
    "metrics.json": 1,
    "report.html": 1,
}


OFTEN = {"evidence.jsonl", "last.ckpt", "events.out", "metrics.json"}


@linux
@pytest.mark.parametrize(
    "kind", [pytest.param(each, marks=[] if each in OFTEN else [pytest.mark.thorough]) for each in KINDS]
)
def test_killed_in_the_middle_of_a_file_it_ends_as_if_it_had_not_been(kind, made, python, quick, train, tmp_path):
    words = [
        *(each for each in quick if each.partition("=")[0] not in {"logger", "report", "trainer.max_epochs"}),
        "logger=[tensorboard,csv]",
        "report=html",
        *LONG,
    ]
    whole = made(train, *words)
    shutil.rmtree(tmp_path / "again", ignore_errors=True)
    killed = python.run("-c", TORN, kind, KINDS[kind], *words, "hydra.run.dir=again", cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with pytest.raises(SystemExit) as left:
        main(["resume=again"])
    assert left.value.code == 0
    folder = tmp_path / "again"
    assert status(folder)["status"] == "done"
    assert same(*(weights(each / "checkpoints" / "best.ckpt") for each in (folder, whole.folder)))
    tests = [json.loads((each / "metrics.json").read_text())["test"] for each in (folder, whole.folder)]
    assert tests[0] == tests[1]
    assert (folder / "report.html").exists()
    assert evidence.read(folder) == evidence.read(whole.folder)
    assert not [each for each in folder.rglob(".*") if each.name not in {".lock", ".hydra"}]


# One of two processes that train together


def children(process):
    told = Path(f"/proc/{process}/task/{process}/children")
    return [int(each) for each in told.read_text().split()] if told.exists() else []


@linux
@pytest.mark.parametrize("killed", [pytest.param("first", marks=pytest.mark.thorough), "second"])
def test_of_two_processes_that_train_together_one_is_killed(killed, python, quick, tmp_path):
    """The other one ends by itself, with a sentence, whoever it is; so would the whole test's time limit say."""
    processes = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu", "hydra.run.dir=run")
    small = [each for each in quick if not each.startswith("trainer.max_epochs")]
    log, second = tmp_path / "run" / "train.log", []

    def kill(process):
        for _ in range(1200):
            if log.exists() and log.read_text().count("· loss") > 1:
                break
            time.sleep(0.05)
        second.extend(children(process))
        os.kill(process if killed == "first" else second[0], signal.SIGKILL)

    words = (*small, *processes, "trainer.max_epochs=100000", "early_stopping.patience=null")
    ended = python.run(ROOT / "train.py", *words, cwd=tmp_path, meanwhile=kill, timeout=60)
    for _ in range(1200):  # the one that is left alone, if it is not the one that was waited for
        if not Path(f"/proc/{second[0]}").exists():
            break
        time.sleep(0.05)
    assert not Path(f"/proc/{second[0]}").exists()
    said = python.said[1].read_text()
    who = "the first process of the run has ended" if killed == "first" else "process 2 of 2 was killed by signal 9"
    assert f"error: {who}; this one stops too, and resume= goes on" in said
    assert "Traceback" not in said
    assert ended.returncode == (-signal.SIGKILL if killed == "first" else 3)


ALONE = """
import atexit, os, sys, time
from flatspot.cli import fit
from flatspot.cli.train import main

if os.environ.get("LOCAL_RANK", "0") != "0":
    atexit.register(time.sleep, 600)  # it has nothing left to do, and is there all the same
meant = fit.examine_model

def examined(*given, **named):
    open("examining", "w").close()
    while not os.path.exists("killed"):
        time.sleep(0.05)
    time.sleep(6)  # Lightning looks every five seconds
    return meant(*given, **named)

fit.examine_model = examined
main()
"""


@linux
@pytest.mark.thorough
def test_a_process_that_has_nothing_left_to_do_may_be_killed(python, quick, tmp_path):
    (tmp_path / "alone.py").write_text(ALONE)

    def kill(process):
        for _ in range(1200):
            if (tmp_path / "examining").exists():
                break
            time.sleep(0.05)
        [second] = children(process)
        os.kill(second, signal.SIGKILL)
        (tmp_path / "killed").touch()

    processes = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu", "hydra.run.dir=run")
    ended = python.run("alone.py", *quick, *processes, cwd=tmp_path, meanwhile=kill, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert status(tmp_path / "run")["status"] == "done"


# Two runs, one folder


def test_two_runs_that_were_told_to_use_one_folder(train, tmp_path):
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        second = train()
    assert second.code == 2
    assert "error: run: another process is at this run" in second.err
    first = train()
    assert first.code == 0
    before = {name: (first.folder / name).read_bytes() for name in first.files() if name != "train.log"}
    second = train()
    assert second.code == 2
    assert "run: holds a run already" in second.err
    assert {name: (first.folder / name).read_bytes() for name in before} == before


# Odd names, sizes


@pytest.mark.parametrize("name", ["größe 1", "a=b", "a,b", "a b'c", "{x}", "$HOME", "100%", "(1)", "-m", "#1", "日本"])
def test_odd_folders_and_files(train, tmp_path, name):
    place = tmp_path / name
    place.mkdir()
    steps = np.arange(300)
    file = place / f"{name}.csv"
    file.write_text("t,y\n" + "".join(f"{i},{np.sin(i / 5):.4f}\n" for i in steps))
    quoted = str(file).replace("\\", "\\\\").replace("'", "\\'")
    folder = str(place / "run").replace("\\", "\\\\").replace("'", "\\'")
    done = train("data=csv", f"data.path='{quoted}'", "data.time=none", "data.target=y", folder=f"'{folder}'")
    assert done.code == 0, done.err
    assert status(place / "run")["status"] == "done"


def test_a_file_of_a_thousand_channels(train, tmp_path):
    values = np.random.default_rng(0).normal(size=(200, 1000))
    names = [f"c{i}" for i in range(1000)]
    text = ",".join(names) + "\n" + "\n".join(",".join(f"{each:.3f}" for each in row) for row in values)
    (tmp_path / "wide.csv").write_text(text + "\n")
    done = train(
        "data=csv", "data.path=wide.csv", "data.target=c0", "data.features=all", "report=html", "data.time=none"
    )
    assert done.code == 0, done.err
    assert (done.folder / "report.html").stat().st_size < 3e6
    assert len(done.out) < 10_000


LEAN = """
import resource, sys
from flatspot.cli.train import main

try:
    main()
finally:
    print("KiB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@linux
@pytest.mark.thorough
def test_a_series_of_ten_million_steps(python, quick, tmp_path):
    """Its rows take 40 MB as float32; what is above a small run's is a few times that (120 MB, measured)."""
    steps = 10**7
    y = np.sin(np.arange(steps) / 50).round(3)
    frames = {"small": pl.DataFrame({"y": y[:2000]}), "large": pl.DataFrame({"y": y})}
    (tmp_path / "lean.py").write_text(LEAN)
    held = {}
    for name, frame in frames.items():
        frame.write_csv(tmp_path / f"{name}.csv")
        words = ("data=csv", f"data.path={name}.csv", "data.time=none", "data.target=y", "data.train_windows=1000")
        few = ("data.val_share=0.01", "data.test_share=0.01", "data.batch_size=4096") if name == "large" else ()
        done = python.run("lean.py", *quick, *words, *few, f"hydra.run.dir={name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        held[name] = int(done.stdout.split("KiB")[1]) / 1024
    assert f"{steps:,} rows" in done.stdout
    assert held["large"] - held["small"] < 250


# Ctrl-C in each phase


@pytest.mark.parametrize(
    "phase",
    [
        "flatspot.cli.job.read_panel",
        "flatspot.cli.fit.build_model",
        "flatspot.models.sequence_module.SequenceModule.training_step",
        "flatspot.models.sequence_module.SequenceModule.validation_step",
        "flatspot.models.sequence_module.SequenceModule.test_step",
        "flatspot.cli.fit.reference",
        "flatspot.cli.fit.look_for_causes",
        "flatspot.cli.fit.keep",
        "flatspot.cli.fit.write_report",
    ],
)
def test_ctrl_c_in_each_phase(phase, train, monkeypatch, tmp_path):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(phase, pressed)
        done = train("examine=quick", "report=html")
    assert done.code == 130
    assert done.err.strip().splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in done.err
    assert status(done.folder) == {**status(done.folder), "status": "failed", "why": "interrupted"}
    with pytest.raises(SystemExit) as left:
        main(["resume=run"])
    assert left.value.code == 0
    assert status(done.folder)["status"] == "done"
