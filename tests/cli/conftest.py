"""Run the command in this process, in a folder of its own."""

import logging
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flatspot.cli.train import main

QUICK = (
    "trainer.max_epochs=1",
    "model.hidden_size=4",
    "model.cell=rnn",
    "data.window=12",
    "data.horizon=3",
    "examine=none",  # tests/cli/test_doctor.py asks for it
    "report=none",  # tests/cli/test_report.py does
    "logger=none",  # TensorBoard's figure takes as long as the rest
)


@pytest.fixture
def quick():
    """Overrides that make a run small."""
    return QUICK


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Trains once for all tests of a module; each has a copy, to do with as it likes."""
    held = {}

    def copy(train, *overrides):
        if overrides not in held:
            done = train(*overrides)
            kept = tmp_path_factory.mktemp("made") / "run"
            shutil.copytree(done.folder, kept)
            held[overrides] = replace(done, folder=kept)
            return done
        folder = Path.cwd() / "run"
        shutil.copytree(held[overrides].folder, folder)
        return replace(held[overrides], folder=folder)

    return copy


@dataclass
class Outcome:
    code: int
    out: str
    err: str
    folder: Path

    def files(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def train(tmp_path, capfd, monkeypatch):
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.chdir(tmp_path)

    def run(*overrides, flags=(), folder=tmp_path / "run"):
        # Hydra wants its flags before the overrides, and each choice once.
        quick = [word for word in QUICK if not any(each.startswith(word.split("=")[0] + "=") for each in overrides)]
        with pytest.raises(SystemExit) as left:
            main([*flags, f"hydra.run.dir={folder}", *quick, *overrides])
        said = capfd.readouterr()
        return Outcome(left.value.code, said.out, said.err, Path(folder))

    yield run
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:], root.level = handlers, level
