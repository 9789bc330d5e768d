"""Follows a page as its reader would, and holds what came against what is shown."""

import contextlib
import io
import re
import shlex
import sys
from pathlib import Path

from pages import ROOT

BEGINNINGS = {("python", "train.py"): ROOT / "train.py", ("flatspot",): Path(sys.executable).parent / "flatspot"}
"""What the pages' commands begin with, and the program that it is here."""

SHORTER = ("report=none",)
"""What is appended to a sweep here, and to nothing else: its jobs' pages, which nobody opens, take time."""

NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?")
"""Figures are those of one machine; words are those of any."""

CAUSE = re.compile(r"^ *\d\. ([a-z-]+) \(", re.MULTILINE)

VERDICT = re.compile(r"^(?:verdict +)?([a-z-]+): the outputs", re.MULTILINE)


class Reader:
    """Follows a page: its Python in one namespace, its commands one after another, all in one folder."""

    def __init__(self, python, folder):
        self.python, self.folder, self.namespace = python, folder, {"__name__": "__main__"}

    def follow(self, block, code):
        """What the block printed; its commands are to end with this exit code."""
        if block.kind == "python":
            return self.execute(block.text)
        return "".join(self.type(line, code) for line in block.text.splitlines())

    def execute(self, program):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(program, "<page>", "exec"), self.namespace)  # noqa: S102 - it is what a reader does
        return said.getvalue()

    def type(self, command, code, *shorter):
        words = shlex.split(command.removeprefix("$ "))
        typed = next(each for each in BEGINNINGS if tuple(words[: len(each)]) == each)
        shorter = SHORTER if "-m" in words else shorter
        done = self.python.run(BEGINNINGS[typed], *words[len(typed) :], *shorter, cwd=self.folder)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout + done.stderr


def masked(text):
    """The words of a text in a line, without figures and however it was wrapped."""
    return " ".join(NUMBER.sub("#", text).split())


def pieces(shown):
    """What a page shows, cut where it leaves something out."""
    return [piece.strip("\n") for piece in re.split(r"^ *\.\.\.$", shown, flags=re.MULTILINE) if piece.strip()]


def compare(shown, printed):
    """The same verdicts and the same first cause; the same words all through."""
    said = masked(printed)
    assert VERDICT.findall(shown) == VERDICT.findall(printed)[: len(VERDICT.findall(shown))]
    assert CAUSE.findall(shown)[:1] == CAUSE.findall(printed)[: len(CAUSE.findall(shown)[:1])]
    for piece in pieces(shown):
        lines = [piece] if "seen" in piece else piece.splitlines()  # a report may be wrapped elsewhere
        for line in (masked(each) for each in lines):
            assert line in said, f"{line!r} is not in {said!r}"
