"""Sweeps that others run: Hydra's launchers and Optuna's search give the numbers and the table of the plain one."""

import contextlib
import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

from flatspot import evidence
from flatspot.cli.help import conf_dir
from flatspot.cli.threads import share

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]

LAUNCHERS = {
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    "submitit": ("hydra/launcher=submitit_local",),
    "ray": (
        "hydra/launcher=ray",
        "+hydra.launcher.ray.init.num_cpus=2",
        "+hydra.launcher.ray.init.include_dashboard=false",
        "+hydra.launcher.ray.init.runtime_env.env_vars.PYTHONWARNINGS=ignore",
    ),
}

PLUGINS = {"joblib": "hydra_joblib_launcher", "submitit": "hydra_submitit_launcher", "ray": "hydra_ray_launcher"}


def is_here(launcher):
    return importlib.util.find_spec(f"hydra_plugins.{PLUGINS[launcher]}") is not None


def marked(launcher):
    marks = {"ray": [pytest.mark.ray], "submitit": [pytest.mark.thorough]}
    return pytest.param(launcher, marks=marks.get(launcher, []))


def timeless(folder):
    found = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in found.items() if "seconds" not in name}


def statuses(sweep):
    return pl.read_parquet(sweep / "results.parquet")["status"].to_list()


@pytest.mark.parametrize("launcher", [marked(each) for each in LAUNCHERS])
def test_it_gives_the_numbers_and_the_table_of_the_plain_one(train, quick, python, tmp_path, launcher):
    """Two jobs a process; of submitit's, each of which starts Python anew, two are enough."""
    if not is_here(launcher):
        pytest.skip(f"the extra {launcher} is not installed")
    activations, jobs = ("tanh", "01") if launcher == "submitit" else ("tanh,relu", "0123")
    told = {"01": "2 jobs: 1 setting × 2 seeds, best first", "0123": "4 jobs: 2 settings × 2 seeds, best first"}[jobs]
    arms = (f"model.activation={activations}", "seed=0,1")
    plain = train(*arms, "hydra.sweep.dir=plain", "threads=1", flags=["-m"])
    assert plain.code == 0
    arms = (*quick, *arms, "hydra.sweep.dir=sweep", *LAUNCHERS[launcher])
    swept = python.run(ROOT / "train.py", "-m", *arms, cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    for number in jobs:
        assert timeless(tmp_path / "sweep" / number) == timeless(tmp_path / "plain" / number)
        assert "note   takes 1 of the " in (tmp_path / "sweep" / number / "train.log").read_text()
    table = pl.read_csv(tmp_path / "sweep" / "results.csv")
    assert table["mae"].to_list() == pl.read_csv(tmp_path / "plain" / "results.csv")["mae"].to_list()
    assert told in swept.stdout
    assert not (tmp_path / "sweep" / ".jobs").exists()


def test_a_job_that_fails_in_a_worker_is_named_and_goes_on_later(quick, python, tmp_path):
    """Its file appears in between."""
    rows = "y\n" + "\n".join(str((number * 7) % 13) for number in range(200))
    (tmp_path / "a.csv").write_text(rows)
    arms = ("data=csv", "data.path=a.csv,b.csv", "hydra.sweep.dir=sweep", *LAUNCHERS["joblib"])
    swept = python.run(ROOT / "train.py", "-m", *quick, *arms, cwd=tmp_path)
    assert swept.returncode == 3, swept.stderr
    assert "b.csv: there is no such file" in swept.stdout
    assert "error: 1 of 2 jobs failed" in swept.stderr
    assert statuses(tmp_path / "sweep") == ["done", "failed"]
    (tmp_path / "b.csv").write_text(rows)
    again = python.run(ROOT / "train.py", "-m", *quick, *arms, "resume=auto", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "#0  done before: " in again.stdout
    assert statuses(tmp_path / "sweep") == ["done", "done"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
def test_a_worker_that_is_killed_is_named(quick, python, tmp_path):
    endless = ("trainer.max_epochs=100000", "early_stopping.patience=null", "hydra.sweep.dir=sweep")
    small = [word for word in quick if "max_epochs" not in word]

    def kill(process):
        logs = [tmp_path / "sweep" / str(number) / "train.log" for number in (0, 1)]
        for _ in range(2400):
            if all(log.exists() and "epoch" in log.read_text() for log in logs):
                break
            time.sleep(0.05)
        for worker in _at_work_in(tmp_path / "sweep" / "1"):
            os.kill(worker, signal.SIGKILL)

    swept = python.run(
        ROOT / "train.py", "-m", *small, *endless, "seed=0,1", *LAUNCHERS["joblib"], cwd=tmp_path, meanwhile=kill
    )
    assert swept.returncode == 3
    assert statuses(tmp_path / "sweep") == ["failed", "failed"]  # joblib ends the others with it
    whys = pl.read_parquet(tmp_path / "sweep" / "results.parquet")["why"].to_list()
    assert whys[1] == "its process was killed"
    assert "the launcher ended early" in swept.stdout


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough)]
)
def test_a_sweep_that_is_stopped_leaves_a_table_and_no_worker(quick, python, tmp_path, sent, code):
    endless = ("trainer.max_epochs=100000", "early_stopping.patience=null", "hydra.sweep.dir=sweep")
    small = [word for word in quick if "max_epochs" not in word]
    folders = [tmp_path / "sweep" / number for number in "01"]

    def stop(process):
        for _ in range(2400):
            if all((each / "train.log").exists() and "epoch" in (each / "train.log").read_text() for each in folders):
                break
            time.sleep(0.05)
        assert all(any(_at_work_in(each)) for each in folders)
        os.kill(process, sent)

    swept = python.run(
        ROOT / "train.py", "-m", *small, *endless, "seed=0,1", *LAUNCHERS["joblib"], cwd=tmp_path, meanwhile=stop
    )
    assert swept.returncode == code, swept.stderr
    assert statuses(tmp_path / "sweep") == ["failed", "failed"]
    for _ in range(200):
        if not any(any(_at_work_in(each)) for each in folders):
            break
        time.sleep(0.05)
    assert not any(any(_at_work_in(each)) for each in folders)


def _at_work_in(folder):
    """The processes that hold a file of this folder open."""
    for process in Path("/proc").glob("[0-9]*"):
        if str(folder / ".lock") in _held_by(process):
            yield int(process.name)


def _held_by(process):
    """The files that it holds open; one that it closes meanwhile is none, and no reason to pass over the others."""
    try:
        files = [*(process / "fd").iterdir()]
    except OSError:
        return
    for file in files:
        with contextlib.suppress(OSError):
            yield str(file.readlink())


SEARCH = (
    "hydra/sweeper=optuna",
    "hydra.sweeper.sampler.seed=1",
    "hydra.sweeper.n_jobs=1",
    "hydra.sweeper.n_trials=3",
    "optimizer.lr=tag(log,interval(1e-4,1e-1))",
    "hydra.sweep.dir=sweep",
)


@pytest.fixture
def search(quick, python, tmp_path):
    """In a process of its own: Optuna 2 warns of itself as it is imported."""

    def run(*typed):
        small = [word for word in quick if not any(each.startswith(word.partition("=")[0]) for each in typed)]
        return python.run(ROOT / "train.py", "-m", *small, *SEARCH, *typed, cwd=tmp_path)

    return run


def trials(sweep):
    """The validation error and diversity of each trial's only epoch."""
    for number in "012":
        values = next(each.values for each in evidence.read(sweep / number) if each.when == "epoch")
        yield values["error/mae_val"], values["diversity/ratio_val"]


def test_optuna_makes_the_error_small(search, tmp_path):
    searched = search()
    assert searched.returncode == 0, searched.stderr
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    assert found.best_value == min(error for error, _ in trials(tmp_path / "sweep"))
    assert pl.read_parquet(tmp_path / "sweep" / "results.parquet")["optimizer.lr"].n_unique() == 3


def test_optuna_makes_error_and_flatness_small_together(search, tmp_path):
    searched = search("hydra.sweeper.direction=[minimize,minimize]")
    assert searched.returncode == 0, searched.stderr
    found = OmegaConf.load(tmp_path / "sweep" / "optimization_results.yaml")
    both = {(error, 1 - min(ratio, 1)) for error, ratio in trials(tmp_path / "sweep")}
    best = {tuple(each["values"]) for each in found.solutions}
    assert best <= both
    assert best == {one for one in both if not any(a <= one[0] and b <= one[1] and (a, b) != one for a, b in both)}


def test_a_search_for_three_things_is_refused(search, tmp_path):
    searched = search("hydra.sweeper.direction=[minimize,minimize,minimize]")
    assert searched.returncode == 2
    assert "minimize for the error, or [minimize,minimize] for error and flatness" in searched.stderr
    assert not (tmp_path / "sweep").exists()


def test_a_search_goes_on_past_a_trial_that_fails(search, tmp_path):
    searched = search("model.hidden_size=choice(4,0)", "hydra.sweeper.sampler.seed=3")
    assert searched.returncode == 3
    table = pl.read_parquet(tmp_path / "sweep" / "results.parquet")
    assert set(table["status"]) == {"done", "failed"}
    assert len(table) == 3


def mine(tmp_path, text):
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "nice.yaml").write_text("# @package _global_\n" + text)
    return ["--config-dir", str(tmp_path / "mine"), "-m"]


SETUP = "defaults:\n  - override /hydra/launcher: submitit_slurm\nhydra:\n  launcher:\n    setup: [touch stolen]\n"
SPACE = "defaults:\n  - override /hydra/sweeper: optuna\nhydra:\n  sweeper:\n    custom_search_space: os.system\n"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SETUP, "hydra.launcher.setup.0=touch stolen"),
        (SPACE, "hydra.sweeper.custom_search_space=os.system"),
        (
            SPACE.replace("custom_search_space: os.system", "storage: sqlite:///theirs.db"),
            "hydra.sweeper.storage=sqlite",
        ),
    ],
)
def test_what_an_engine_would_run_or_ask_is_taken_from_the_command_line_alone(train, tmp_path, text, key):
    refused = train("experiment=nice", "seed=0,1", "hydra.sweep.dir=sweep", flags=mine(tmp_path, text))
    assert refused.code == 2
    assert key in refused.err
    assert "refused from a config; type it on the command line" in refused.err
    assert not (tmp_path / "sweep").exists()


def test_what_is_typed_passes(search, tmp_path):
    done = search(f"hydra.sweeper.storage='sqlite:///{tmp_path}/own.db'", "hydra.sweeper.study_name=own")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own.db").exists()


HANDLER = """hydra:
  job_logging:
    handlers:
      x:
        "()": shutil.copyfile
        src: a
        dst: b
"""


def test_a_worker_holds_each_jobs_configuration_against_the_list_too(quick, python, tmp_path):
    """One job alone chooses the stranger's file: the sweep's own configuration does not show it."""
    flags = mine(tmp_path, HANDLER)
    (tmp_path / "mine" / "experiment" / "plain.yaml").write_text("# @package _global_\nseed: 1\n")
    (tmp_path / "a").write_text("mine")
    arms = ("experiment=plain,nice", "hydra.sweep.dir=sweep", *LAUNCHERS["joblib"])
    swept = python.run(ROOT / "train.py", *flags, *quick, *arms, cwd=tmp_path)
    assert swept.returncode != 0
    assert "hydra.job_logging.handlers.x.()=shutil.copyfile: refused" in swept.stdout + swept.stderr
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("launcher", "cores", "threads"),
    [
        ({"_target_": "a.JoblibLauncher", "n_jobs": 2}, 8, 4),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 3}, 8, 2),
        ({"_target_": "a.JoblibLauncher", "n_jobs": -1}, 8, 1),
        ({"_target_": "a.JoblibLauncher", "n_jobs": -7}, 8, 4),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 16}, 8, 1),
        ({"_target_": "a.JoblibLauncher", "n_jobs": 1}, 8, None),
        ({"_target_": "a.LocalLauncher", "cpus_per_task": None}, 8, 1),
        ({"_target_": "a.LocalLauncher", "cpus_per_task": 2}, 8, 2),
        ({"_target_": "a.SlurmLauncher", "cpus_per_task": None}, 8, None),
        ({"_target_": "a.SlurmLauncher", "cpus_per_task": 4}, 8, 4),
        ({"_target_": "a.BasicLauncher"}, 8, None),
        ({"_target_": "a.RayLauncher", "ray": {"remote": {}}}, 8, 1),
        ({"_target_": "a.RayLauncher", "ray": {"remote": {"num_cpus": 3}}}, 8, 3),
    ],
)
def test_jobs_that_run_at_once_share_the_cores(launcher, cores, threads):
    assert share(OmegaConf.create(launcher), cores) == threads


@pytest.mark.thorough
@pytest.mark.parametrize("sweep", ["cores", "search"])
def test_a_choice_of_ours_runs(quick, python, tmp_path, sweep):
    more = {"cores": ["seed=0,1"], "search": ["hydra.sweeper.n_trials=2"]}[sweep]
    small = [word for word in quick if not word.startswith("model.")]
    done = python.run(ROOT / "train.py", "-m", f"sweep={sweep}", *small, *more, "hydra.sweep.dir=sweep", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "sweep") == ["done", "done"]


@pytest.mark.parametrize("sweep", sorted(path.stem for path in conf_dir().glob("sweep/*.yaml")))
def test_a_choice_of_ours_composes(python, tmp_path, sweep):
    """Whatever it launches: a cluster, for one, is not at hand."""
    shown = python.run(ROOT / "train.py", f"sweep={sweep}", "--cfg", "hydra", cwd=tmp_path)
    if sweep == "ray" and not is_here("ray"):
        assert shown.stderr == "error: hydra/launcher=ray: is not installed; pip install 'flatspot[ray]'\n"
        return
    assert shown.returncode == 0, shown.stderr
    told = OmegaConf.create(shown.stdout)
    assert "hydra_plugins" in told.hydra.launcher._target_ + told.hydra.sweeper._target_
