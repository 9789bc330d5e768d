"""A terminal gets colours and signs of life; a pipe, a log file, and whoever sets NO_COLOR get the words alone."""

import fcntl
import io
import json
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
import time

import pytest

from flatspot.cli import terminal
from flatspot.cli.terminal import paint_logging, painted, waiting


class Terminal(io.StringIO):
    def isatty(self):
        return True


TOLD = """flat: the outputs are nearly the same for every input

1. unscaled-inputs (83%)
   seen       9065 is far
verdict          healthy: in line
error: no such file"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_gets_colours_and_the_same_words():
    said = painted(TOLD, Terminal())
    assert "\033[31mflat\033[0m: " in said
    assert "\033[32mhealthy\033[0m: " in said
    assert "\033[1munscaled-inputs\033[0m (83%)" in said
    words = said
    for code in (terminal.GOOD, terminal.BAD, terminal.CAUSE, terminal.SOFT, terminal.END):
        words = words.replace(code, "")
    assert words == TOLD


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_nobody_gets_colours_who_wants_none(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert painted(TOLD, Terminal()) == TOLD


def test_a_pipe_gets_none():
    assert painted(TOLD, io.StringIO()) == TOLD


def test_a_log_file_gets_none_beside_a_terminal_that_does(tmp_path):
    root = logging.getLogger()
    before = root.handlers[:]
    screen, file = logging.StreamHandler(Terminal()), logging.FileHandler(tmp_path / "log")
    root.handlers[:] = [screen, file]
    try:
        paint_logging()
        paint_logging()
        root.warning("verdict  flat: all alike")
    finally:
        root.handlers[:] = before
        file.close()
    assert screen.stream.getvalue() == "verdict  \033[31mflat\033[0m: all alike\n"
    assert (tmp_path / "log").read_text() == "verdict  flat: all alike\n"


@pytest.mark.parametrize(("seconds", "said"), [(0.0, True), (60.0, False)])
def test_what_takes_long_says_what_it_is(monkeypatch, seconds, said):
    screen = Terminal()
    monkeypatch.setattr(terminal, "DELAY", seconds)
    monkeypatch.setattr(sys, "stderr", screen)
    with waiting("reading my.csv"):
        for _ in range(200 * said):
            if "reading my.csv" in screen.getvalue():
                break
            time.sleep(0.02)
    assert ("reading my.csv" in screen.getvalue()) == said


@pytest.mark.parametrize(("stream", "name", "value"), [(io.StringIO, "TERM", "xterm"), (Terminal, "CI", "true")])
def test_a_pipe_and_a_build_hear_of_no_wait(monkeypatch, stream, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(terminal, "DELAY", 0.0)
    monkeypatch.setattr(sys, "stderr", stream())
    with waiting("reading"):
        time.sleep(0.05)
    assert sys.stderr.getvalue() == ""


class Closed(io.StringIO):
    def write(self, text):
        raise BrokenPipeError


def test_a_pipe_that_nobody_reads_any_more_hears_nothing_and_the_log_goes_on(tmp_path, capsys):
    root = logging.getLogger()
    before = root.handlers[:]
    pipe, file = logging.StreamHandler(Closed()), logging.FileHandler(tmp_path / "log")
    root.handlers[:] = [pipe, file]
    try:
        paint_logging()
        root.warning("first")
        root.warning("second")
    finally:
        root.handlers[:] = before
        file.close()
        pipe.stream.close()
    assert (tmp_path / "log").read_text() == "first\nsecond\n"
    assert capsys.readouterr().err == ""


def on_a_terminal(*words, both=False, **environment):
    """What a command says to a real one; `both`: its errors and bars too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 118, 0, 0))  # lines and columns
    errors = theirs if both else subprocess.PIPE
    try:
        subprocess.run(words, stdout=theirs, stderr=errors, env=os.environ | environment, check=False)
        os.close(theirs)
        return _all_of(ours)
    finally:
        os.close(ours)


def _all_of(end):
    said = b""
    while True:
        try:
            more = os.read(end, 4096)
        except OSError:  # nobody holds the other end any more
            return said.decode()
        if not more:
            return said.decode()
        said += more


def test_the_doctor_on_a_real_terminal_and_in_a_pipe(tmp_path):
    values = {"diversity/ratio_val": 0.01, "skill/val": 0.0, "references/best": 0.9}
    line = {"when": "end", "epoch": 1, "step": 1, "values": values}
    (tmp_path / "evidence.jsonl").write_text(json.dumps(line) + "\n")
    (tmp_path / "status.json").write_text('{"status": "done"}')
    words = (sys.executable, "-c", "from flatspot.cli.app import run; run()", "doctor", str(tmp_path))
    assert "\033[31mflat\033[0m: " in on_a_terminal(*words)
    assert "\033" not in on_a_terminal(*words, NO_COLOR="1")
    assert "\033" not in subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_a_sweep_on_a_terminal_says_how_many_of_its_jobs_are_left(tmp_path):
    words = (
        *(sys.executable, "-c", "from flatspot.cli.app import run; run()", "train", "-m", "data=csv", "data.target=x"),
        *(f"data.path={tmp_path / 'none.csv'}", "seed=0,1,2", "model.cell=gru,lstm", f"hydra.sweep.dir={tmp_path}/s"),
    )
    said = on_a_terminal(*words, both=True)
    assert all(f" {done}/6 [" in said for done in range(6))
    assert "#5" in said.rpartition("5/6")[2]
    assert "6 of 6 jobs failed" in said
    assert "/6 [" not in on_a_terminal(*words[:-1], f"hydra.sweep.dir={tmp_path}/t")  # errors go into a pipe
