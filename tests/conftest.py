"""What the tests share: small series, and quiet third parties."""

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import lightning  # noqa: F401 - here, for below jaxtyping's import hook all that it imports is compiled anew
import numpy as np
import polars  # noqa: F401
import pytest
import shapes  # noqa: F401 - before the first of ours is imported
import sklearn.preprocessing  # noqa: F401
import torch
import torch.utils.tensorboard
import torchmetrics.classification  # noqa: F401
from hypothesis import settings

from flatspot.cli.train import main
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.models.forecaster import Forecaster

# No test depends on timing; in CI none on luck either.
settings.register_profile("flatspot", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("flatspot")

# The networks are tiny: a second thread only waits for the first, here and in the processes that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="run the tests marked thorough, too")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """One more than cores: a test that waits for another process leaves its core to the next."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores + 1


def pytest_collection(session):
    """Sixteen thousand tests are no garbage, and to look through them again and again takes a minute."""
    gc.disable()


def pytest_collection_finish(session):
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    named = any("::" in each for each in config.args) or "thorough" in config.getoption("-m")
    if not config.getoption("--thorough") and not named:
        left_out = [each for each in items if each.get_closest_marker("thorough")]
        items[:] = [each for each in items if not each.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left_out)
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device on this machine"))


@pytest.fixture
def waves():
    """Two channels of 400 steps: a noisy sine of mean 100 and std 7 or so, and a cosine of another scale."""
    steps = np.arange(400)
    noise = np.random.default_rng(0).normal(size=400)
    first = 100 + 10 * np.sin(steps / 5) + noise
    values = np.column_stack([first, 0.01 * np.cos(steps / 5)])
    times = np.datetime64("2020-01-01", "us") + steps * np.timedelta64(1, "D")
    return Series("waves", ("level", "tilt"), 1, values, times)


@pytest.fixture
def data(waves):
    return SeriesDataModule(waves, window=12, horizon=3, batch_size=32)


@pytest.fixture
def forecaster():
    torch.manual_seed(0)
    return Forecaster(inputs=2, targets=1, horizon=3, cell="gru", hidden_size=8, lr=1e-2)


@pytest.fixture
def trainer_options(tmp_path):
    """A Trainer that is small and silent."""
    return {
        "default_root_dir": tmp_path,
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "use_distributed_sampler": False,
    }


@pytest.fixture(scope="session")
def run_of(tmp_path_factory):
    """The folder of a small finished run with these overrides; the same ones are trained once."""
    folders = {}

    def run(*overrides):
        if overrides not in folders:
            folders[overrides] = tmp_path_factory.mktemp("runs") / "größe 1"
            _train(folders[overrides], overrides)
        return folders[overrides]

    return run


class Python:
    """Runs programs as `python` does, without importing their libraries anew (programs.py, started at first need)."""

    def __init__(self, folder):
        self.said = [folder / name for name in ("out", "err")]
        self.forking = None

    def run(self, *arguments, cwd, environment=os.environ, meanwhile=lambda process: None, timeout=300):
        """What a program said and how it ended. `meanwhile` is called with the process's number when it has begun."""
        typed = [str(each) for each in arguments]
        out, err = map(str, self.said)
        for path in self.said:
            path.write_text("")
        asked = {"arguments": typed, "folder": str(cwd), "environment": dict(environment), "out": out, "err": err}
        process, ended = self._begin(asked)
        late = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
        late.start()
        try:
            meanwhile(process)
            code = ended()
        except BaseException:
            os.kill(process, signal.SIGKILL)  # else it would go on beside all other tests
            raise
        finally:
            late.cancel()
        return subprocess.CompletedProcess(typed, code, *(path.read_text(encoding="utf-8") for path in self.said))

    def _begin(self, asked):
        """The process's number, and what waits for its exit code."""
        if sys.platform != "linux":  # elsewhere not every library outlives a fork
            command, folder, environment = [sys.executable, *asked["arguments"]], asked["folder"], asked["environment"]
            with self.said[0].open("w") as out, self.said[1].open("w") as err:
                plain = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=err)
            return plain.pid, plain.wait
        self.forking = self.forking or subprocess.Popen(
            [sys.executable, Path(__file__).with_name("programs.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        print(json.dumps(asked), file=self.forking.stdin, flush=True)
        answer = self.forking.stdout.readline
        return int(answer()), lambda: int(answer())

    def end(self):
        if self.forking:
            self.forking.communicate(timeout=60)


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Runs programs, each in a process of its own."""
    runs = Python(tmp_path_factory.mktemp("programs"))
    yield runs
    runs.end()


def _train(folder, overrides):
    """In this process; Hydra's handlers are taken away again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    small = ("trainer.max_epochs=1", "model.hidden_size=4", "model.cell=rnn", "logger=none", "monitors=none")
    plain = (
        "examine=none",
        "report=none",
    )  # tests/cli/test_doctor.py and test_report.py ask for them: they take longest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train.py"])
        with pytest.raises(SystemExit) as left:
            main([f"hydra.run.dir='{folder}'", *small, *plain, *overrides])
    for handler in [each for each in root.handlers if each not in handlers]:
        handler.close()
    root.handlers[:], root.level = handlers, level
    assert left.value.code == 0
