"""Where one of the processes that train together ends, by processes that do nothing but that."""

import json
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from flatspot.cli import processes
from flatspot.cli.processes import OBSERVER, watched
from flatspot.errors import ProcessLost

SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]
FAILS = [sys.executable, "-c", "raise SystemExit(7)"]


class Lightning:
    """A trainer, of which is asked who was begun; and Lightning's own watch, which has the launcher's list."""

    def __init__(self, *commands, first=True):
        self.theirs = [subprocess.Popen(each) for each in commands]
        self.world_size = len(commands) + 1
        self.is_global_zero = first
        self.strategy = SimpleNamespace(launcher=SimpleNamespace(procs=self.theirs))
        self.ended = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.ended.wait, name=OBSERVER, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for each in (*self.theirs, *self.strategy.launcher.procs):
            each.kill()
            each.wait()


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(processes, "EVERY", 0.01)


def until(happens):
    for _ in range(3000):
        if happens():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not happen")


@pytest.mark.parametrize("kept", [False, True])
def test_a_broken_exchange_is_told_by_who_has_ended(kept, tmp_path):
    if kept:
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints" / "last.ckpt").touch()

    def exchanges():
        until(lambda: trainer.strategy.launcher.procs and trainer.strategy.launcher.procs[1].poll() == 7)
        raise RuntimeError("Connection closed by peer")

    with Lightning(SLEEPS, FAILS) as trainer:
        with pytest.raises(ProcessLost) as told, watched(trainer, tmp_path):
            exchanges()
        said = "process 3 of 3 ended with exit code 7; this one stops too"
        assert str(told.value) == said + ", and resume= goes on from the last epoch that was kept" * kept
        assert trainer.strategy.launcher.procs[0].wait(timeout=30) == -signal.SIGKILL  # nobody is left to wait


def test_ones_own_error_is_left_as_it_is(tmp_path, monkeypatch):
    """Also where the others have met the same, and are gone before it is told."""
    with Lightning(SLEEPS) as trainer, pytest.raises(RuntimeError, match="shapes"), watched(trainer, tmp_path):
        raise RuntimeError("shapes differ")

    def runs_out():
        until(lambda: trainer.strategy.launcher.procs and trainer.strategy.launcher.procs[0].poll() == 7)
        threading.Event().wait(0.1)
        raise RuntimeError("CUDA out of memory")

    with Lightning(FAILS) as trainer, pytest.raises(RuntimeError, match="out of memory"), watched(trainer, tmp_path):
        runs_out()
    monkeypatch.setattr(processes, "HANGS", 0.1)
    with Lightning(SLEEPS) as trainer, pytest.raises(RuntimeError, match="by peer"), watched(trainer, tmp_path):
        raise RuntimeError("[gloo] Connection reset by peer")  # and nobody has ended

    def is_interrupted():
        until(lambda: trainer.strategy.launcher.procs is not trainer.theirs)
        raise KeyboardInterrupt

    with Lightning(SLEEPS) as trainer:
        with pytest.raises(KeyboardInterrupt), watched(trainer, tmp_path):
            is_interrupted()
        assert trainer.strategy.launcher.procs[0].wait(timeout=30) == -signal.SIGKILL


def test_lightnings_own_watch_has_nobody_to_watch_and_afterwards_nobody_has(tmp_path):
    """It would kill this process, also where there is nothing left to do together."""
    with Lightning(SLEEPS) as trainer:
        observed = trainer.theirs
        with watched(trainer, tmp_path):
            until(lambda: not observed)
        trainer.strategy.launcher.procs[0].kill()
        trainer.strategy.launcher.procs[0].wait()
        until(lambda: not any(each.name == "flatspot-processes" for each in threading.enumerate()))


def test_one_that_fails_at_once_leaves_nobody(tmp_path, monkeypatch):
    """Before Lightning's list was taken over."""
    monkeypatch.setattr(processes, "EVERY", 60)
    with Lightning(SLEEPS) as trainer:
        with pytest.raises(OSError, match="disk"), watched(trainer, tmp_path):
            raise OSError("disk")
        assert trainer.theirs[0].wait(timeout=30) == -signal.SIGKILL


def test_before_lightning_watches_its_list_is_its_own(tmp_path):
    trainer = Lightning(SLEEPS)
    with watched(trainer, tmp_path):
        threading.Event().wait(0.1)
        assert trainer.strategy.launcher.procs is trainer.theirs
        assert len(trainer.theirs) == 1
    trainer.__exit__()


HANGS = """
import json, os, subprocess, sys, threading, time
from pathlib import Path
from types import SimpleNamespace
from flatspot.cli import processes

processes.EVERY, processes.HANGS = 0.01, 0.1
first, folder, closed = sys.argv[1] == "first", Path(sys.argv[2]), len(sys.argv) > 3
if closed:
    sys.stderr.close()
if first:
    begun = [subprocess.Popen([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])]
    threading.Thread(target=time.sleep, args=[600], name=processes.OBSERVER, daemon=True).start()
else:
    os.environ[processes.FIRST] = str(os.getpid())
    if os.fork():  # the one that has begun it ends
        if sys.argv[1] == "second":
            time.sleep(1)
        os._exit(0)
    begun = []
    os.environ["LOCAL_RANK"] = "1"
    if sys.argv[1] == "second, while it imports":
        processes.follow_first(folder)
        time.sleep(600)
launcher = SimpleNamespace(procs=begun)
trainer = SimpleNamespace(world_size=2, is_global_zero=first, strategy=SimpleNamespace(launcher=launcher))
try:
    with processes.watched(trainer, folder):
        time.sleep(600)  # in an exchange with who is no more
finally:
    (folder / "unwound").touch()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are begun by forking")
@pytest.mark.parametrize("who", ["first", "second", "second, and the first one is gone", "second, while it imports"])
def test_a_process_that_waits_for_ever_is_ended_and_says_why(who, python, tmp_path):
    ended = python.run("-c", HANGS, who, tmp_path, cwd=tmp_path, timeout=60)
    if who == "first":
        said = "process 2 of 2 was killed by signal 9"
        assert ended.returncode == 3
        held = json.loads((tmp_path / "status.json").read_text())
        assert (held["status"], held["why"]) == ("failed", f"{said}; this one stops too")
    else:
        until(lambda: "error:" in python.said[1].read_text())
        said = "the first process of the run has ended"
        assert not (tmp_path / "status.json").exists()  # it is the first one's to write
    assert python.said[1].read_text() == f"error: {said}; this one stops too\n"
    assert not (tmp_path / "unwound").exists()


def test_it_is_ended_where_nobody_can_be_told(python, tmp_path):
    assert python.run("-c", HANGS, "first", tmp_path, "closed", cwd=tmp_path, timeout=60).returncode == 3
    assert json.loads((tmp_path / "status.json").read_text())["status"] == "failed"
