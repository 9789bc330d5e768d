"""The main job through its door, on the bundled series and on a file of one's own."""

import json
import logging
import math
import os
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from flatspot import evidence
from flatspot.models.forecaster import Forecaster

ROOT = Path(__file__).parents[2]


def metrics(outcome):
    return json.loads((outcome.folder / "metrics.json").read_text())


def events(outcome):
    accumulator = EventAccumulator(str(outcome.folder))
    accumulator.Reload()
    return accumulator


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def plain(train, kept):
    """A run with what is there when nothing is said, made once."""
    if not kept:
        kept["run"] = train("logger=tensorboard")
    return kept["run"]


@pytest.fixture
def my_csv(tmp_path):
    steps = np.arange(300)
    level = 50 + 5 * np.sin(steps / 4) + np.random.default_rng(0).normal(size=300)
    days = np.datetime64("2021-03-01") + steps
    rows = [f"{day},{value:.3f},{value * 0.1:.3f},shop" for day, value in zip(days, level, strict=True)]
    path = tmp_path / "my.csv"
    path.write_text("\n".join(["day,level,tenth,place", *rows]))
    return path


def test_a_run_leaves_its_folder_complete(plain):
    assert plain.code == 0, plain.err
    named = [name for name in plain.files() if not name.startswith("events.out.tfevents")]
    hydra = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".lock"]
    ours = ["config.yaml", "evidence.jsonl", "forecasts.npz", "metrics.json", "ridge.npz", "status.json", "train.log"]
    assert named == [*hydra, "checkpoints/best.ckpt", "checkpoints/last.ckpt", *ours]
    assert len(plain.files()) > len(named)
    assert json.loads((plain.folder / "status.json").read_text())["status"] == "done"


def test_metrics_hold_what_the_table_says_and_are_finite(plain):
    found = metrics(plain)
    assert set(found["test"]) == {"mae", "rmse", "mase", "smape", "r2"}
    assert set(found["baseline"]) == {"mean", "persistence", "ridge"}
    assert f"{found['test']['mae']:.2f}" in plain.out
    assert f"{found['baseline']['ridge']['rmse']:.2f}" in plain.out
    assert f"verdict          {found['verdict']}: " in plain.out
    assert found["findings"] == []
    assert "none was looked for (examine=none)" in found["not_examined"]["causes"]
    assert found["steps"] == math.ceil((1974 - 12 - 3 + 1) / 64)
    assert 0 < found["fit_seconds"] < found["seconds"]
    assert "tensorboard --logdir run" in plain.out


def test_baselines_are_right_in_original_units(plain):
    """Against a transcription that goes window by window."""
    baseline = metrics(plain)["baseline"]
    rows = (ROOT / "src/flatspot/data/bundled/sunspots_monthly.csv").read_text().splitlines()[1:]
    values = np.array([float(row.split(",")[1]) for row in rows])
    train_rows, first = values[:1974], 2397
    mean, persistence, truth = [], [], []
    for start in range(first, len(values) - 3 + 1):
        truth.append(values[start : start + 3])
        mean.append(np.full(3, train_rows.mean()))
        persistence.append(np.full(3, values[start - 1]))
    truth, mean, persistence = map(np.array, (truth, mean, persistence))
    assert baseline["mean"]["mae"] == pytest.approx(np.abs(mean - truth).mean())
    assert baseline["persistence"]["rmse"] == pytest.approx(np.sqrt(np.square(persistence - truth).mean()))
    naive = np.abs(np.diff(train_rows)).mean()
    assert baseline["persistence"]["mase"] == pytest.approx(np.abs(persistence - truth).mean() / naive)


def test_tensorboard_holds_scalars_histograms_the_figure_and_the_final_figures(train):
    done = train("trainer.log_every_n_steps=10", "logger=tensorboard")
    found = events(done)
    scalars = set(found.Tags()["scalars"])
    assert {"loss/train", "loss/val", "loss/test"} <= scalars
    assert {f"error/{name}_{part}" for name in ("mae", "rmse", "r2") for part in ("val", "test")} <= scalars
    figures = ("ratio", "minimum", "clock_share", "duplicates", "flat_share")
    assert {f"diversity/{name}_{part}" for name in figures for part in ("train", "val")} <= scalars
    assert {"gradient/total", "gradient/total_max", "gradient/encoder", "gradient/head"} <= scalars
    assert {"activation/network.encoder_saturated", "activation/network.encoder_dead", "update_ratio/total"} <= scalars
    assert set(found.Tags()["images"]) == {
        "forecast/examples",
        "diversity/stations",
        "sensitivity/by_step",
        "loss_gradient/by_step",
    }
    assert {"diversity/distance_train", "diversity/distance_val"} <= set(found.Tags()["histograms"])
    assert found.Scalars("final/mae")[0].value == pytest.approx(metrics(done)["test"]["mae"], rel=1e-5)
    assert "_hparams_/session_start_info" in found.PluginTagToContent("hparams")


def test_evidence_is_a_line_for_the_start_each_epoch_what_was_trained_and_the_end(train):
    done = train("trainer.max_epochs=2")
    entries = evidence.read(done.folder)
    times = [("start", 0), ("epoch", 1), ("epoch", 2), ("trained", 2), ("end", 2)]
    assert [(entry.when, entry.epoch) for entry in entries] == times
    told = {"diversity/ratio_val", "diversity/ratio_train", "gradient/total", "loss/train"}
    assert told <= set(entries[1].values)
    looked_at = {"diversity/ratio_sample", "station/output/spread", "activation/network.encoder_dead", "sample/size"}
    assert looked_at <= set(entries[0].values)
    assert len(entries[0].curves["sensitivity/by_step"]) == 12
    assert entries[-1].values["test/mae"] == metrics(done)["test"]["mae"]


def test_the_checkpoint_needs_no_more_than_weights(plain):
    path = plain.folder / "checkpoints" / "best.ckpt"
    torch.load(path, weights_only=True)
    model = Forecaster.load_from_checkpoint(path, weights_only=True)
    assert model.target_scaling.mean.item() == pytest.approx(45.1, abs=0.1)


def test_one_line_an_epoch_and_no_advert(train):
    done = train("trainer.max_epochs=3", "logger=tensorboard")
    lines = done.out.splitlines()
    assert len([line for line in lines if line.startswith("epoch ")]) == 3
    assert lines[0].startswith("data   sunspots: 2,820 rows, 1749-01-01 to 1983-12-01")
    assert not [line for line in lines if "Tip" in line or "GPU" in line or "lightning" in line.lower()]
    assert done.err == ""
    assert not Path("lightning_logs").exists()


def test_what_runs_in_the_same_process_later_is_heard_as_before(train):
    talkative = [logging.getLogger(f"flatspot.monitors.{name}") for name in ("subject", "output_diversity")]
    before = [(each.level, list(each.filters)) for each in talkative]
    advert = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    filters = list(advert.filters)
    train("trainer.max_epochs=1")
    assert [(each.level, list(each.filters)) for each in talkative] == before
    assert advert.filters == filters


def test_the_same_seed_gives_the_same_numbers_with_monitors_on_and_off(train, tmp_path):
    options = ("trainer.max_epochs=2", "model.num_layers=2", "model.dropout=0.3", "seed=5")
    on = train(*options, "logger=tensorboard", folder=tmp_path / "on")
    again = train(*options, folder=tmp_path / "again")
    off = train(*options, "monitors=none", folder=tmp_path / "off")
    other = train(*options, "seed=6", folder=tmp_path / "other")
    weights = [torch.load(each.folder / "checkpoints/last.ckpt", weights_only=True) for each in (on, again, off, other)]
    states = [each["state_dict"] for each in weights]
    for state in states[1:3]:
        assert all(torch.equal(state[name], states[0][name]) for name in state)
    assert not torch.equal(states[3]["network.head.weight"], states[0]["network.head.weight"])
    timeless = [{k: v for k, v in metrics(each).items() if "seconds" not in k} for each in (on, again, off)]
    assert timeless[0] == timeless[1] == timeless[2]


def test_a_file_of_ones_own(train, my_csv):
    done = train("data=csv", f"data.path={my_csv}", "data.target=level", "data.features=[tenth]")
    assert done.code == 0, done.err
    assert "test error in level" in done.out
    assert "2021-03-01 to 2021-12-25" in done.out
    assert metrics(done)["baseline"]["mean"]["mae"] < 20


def test_the_resolved_configuration_is_kept(train):
    done = train("model.cell=gru", "optimizer=sgd", "scheduler=plateau", "early_stopping.patience=null")
    kept = OmegaConf.load(done.folder / "config.yaml")
    assert (kept.model.cell, kept.optimizer.name, kept.optimizer.momentum, kept.scheduler) == (
        "gru",
        "sgd",
        0.9,
        "plateau",
    )
    assert kept.early_stopping.patience is None


def test_early_stopping_ends_a_run_that_does_not_improve(train):
    done = train("trainer.max_epochs=30", "early_stopping.patience=1", "early_stopping.min_delta=100.0")
    assert metrics(done)["steps"] == 2 * 31


def test_a_run_that_diverges_ends_with_the_verdict_unknown(train):
    done = train("model.activation=relu", "optimizer=sgd", "optimizer.lr=1e12", "trainer.gradient_clip_val=null")
    assert done.code == 0, done.err
    assert metrics(done)["verdict"] == "unknown"
    assert metrics(done)["test"]["mae"] is None
    assert "NaN" not in (done.folder / "metrics.json").read_text()


def test_a_csv_logger_instead_of_tensorboard(train):
    done = train("logger=csv")
    assert "metrics.csv" in done.files()
    assert not [name for name in done.files() if "tfevents" in name]


def test_a_flag_may_stand_behind_an_override(train, tmp_path):
    done = train("seed=0", "--cfg", "job")
    assert done.code == 0
    assert "hidden_size: 4" in done.out


def test_logging_can_be_switched_off(train):
    assert not [name for name in train().files() if "tfevents" in name or "csv" in name]


def test_ones_own_yaml(train, my_csv, tmp_path):
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "data" / "shop.yaml").write_text(f"name: csv\npath: {my_csv}\ntarget: level\n")
    done = train("data=shop", flags=["--config-dir", str(tmp_path / "mine")])
    assert done.code == 0, done.err
    assert "test error in level" in done.out


def test_a_job_leaves_the_threads_as_they_were(train):
    before = torch.get_num_threads()
    train("threads=1")
    assert torch.get_num_threads() == before


def test_a_head_that_cannot_say_the_targets_is_told(train):
    done = train("model.head_activation=relu")
    assert "note   model.head_activation=relu reaches 0 to inf: 58 % of the training targets" in done.out
    assert "note " not in train("model.head_activation=relu", "data.scale_target=none", folder=done.folder / "raw").out


def test_few_poor_windows_do_not_make_a_flat_forecast_right(train):
    """What is achievable is asked of all training windows and of persistence."""
    done = train("data.train_windows=20", "data.train_windows_from=stretch", "optimizer.lr=1e-6")
    skills = metrics(done)["skill"]
    assert skills["ridge"] > 0.5
    assert skills["persistence"] > 0.5
    assert metrics(done)["verdict"] == "flat"


def test_under_another_loss_the_verdict_says_what_it_rests_on(train):
    assert "squared loss" in metrics(train("model.loss=mae"))["not_examined"]["spread"]


def command(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["--version"]])
def test_looking_at_the_configuration_imports_no_torch(arguments, tmp_path):
    code = f"""
import sys
sys.argv = ["train.py", *{arguments}]
from flatspot.cli.train import main
try:
    main()
finally:
    print(*(name in sys.modules for name in ("torch", "lightning", "matplotlib")))
"""
    done = command("-c", code, cwd=tmp_path)
    assert done.stdout.strip().endswith("False False False"), done.stderr


def test_python_train_py_and_flatspot_train_are_one_thing(tmp_path):
    flatspot = Path(sys.executable).with_name("flatspot")
    by_script = command(ROOT / "train.py", "model.cell=gru", "--cfg", "job", cwd=tmp_path)
    by_command = subprocess.run(
        [flatspot, "train", "model.cell=gru", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert by_script.returncode == by_command.returncode == 0
    assert by_script.stdout == by_command.stdout
    assert "cell: gru" in by_script.stdout


def test_the_console_script_says_what_it_can_do(tmp_path):
    flatspot = Path(sys.executable).with_name("flatspot")
    shown = subprocess.run([flatspot, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert shown.returncode == 0
    assert "train" in shown.stdout
    unknown = subprocess.run([flatspot, "trian"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert unknown.returncode == 2


def test_two_processes_end_in_one_table_with_the_numbers_of_one(train, quick, python, tmp_path):
    """Lightning starts the second process with the command line as it was typed. A step has as many windows as ever."""
    flatspot = Path(sys.executable).with_name("flatspot")
    asked = ("examine=full", "optimizer.lr=0.01", "trainer.max_epochs=2")
    mine = [word for word in quick if word.partition("=")[0] not in {each.partition("=")[0] for each in asked}]
    processes = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu", "hydra.run.dir=two")
    done = python.run(flatspot, "train", *mine, *asked, *processes, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("test error in sunspots") == 1
    assert len([line for line in done.stdout.splitlines() if line.startswith("epoch ")]) == 2
    two = tmp_path / "two"
    assert json.loads((two / "status.json").read_text())["status"] == "done"
    assert [each.when for each in evidence.read(two)] == ["start", "epoch", "epoch", "trained", "examined", "end"]
    assert [path.name for path in two.glob("*.log")] == ["train.log"]
    one = train(*asked, folder=tmp_path / "one")
    assert one.code == 0
    for ours, theirs in zip(evidence.read(one.folder), evidence.read(two), strict=True):
        assert ours.step == theirs.step
        assert ours.values == pytest.approx(theirs.values, rel=1e-3, abs=1e-4), ours.when


def test_processes_that_cannot_share_a_step_are_refused(quick, python, tmp_path):
    processes = ("trainer.devices=2", "trainer.strategy=ddp", "trainer.accelerator=cpu", "hydra.run.dir=two")
    refused = python.run(ROOT / "train.py", *quick, *processes, "data.batch_size=33", cwd=tmp_path)
    assert refused.returncode == 2
    assert "error: data.batch_size=33: must be a multiple of 2, the processes that share a step" in refused.stderr
    assert refused.stderr.count("error: data.batch_size") == 1


def test_help_shows_every_knob_with_its_comment(train):
    shown = train("--help")
    assert shown.code == 0
    assert "--config-dir DIR" in shown.out
    assert "window: null    # steps of an input" in shown.out
    assert "optimizer=adam | adamw | rmsprop | sgd" in shown.out
    assert "hydra:" not in shown.out
    assert not shown.folder.exists()


def test_the_version_is_told(tmp_path):
    flatspot = Path(sys.executable).with_name("flatspot")
    told = subprocess.run([flatspot, "--version"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert told.stdout.startswith("flatspot 0.")


def test_settings_that_were_left_alone_are_hinted_at_once(train, tmp_path):
    days = [date(2024, 1, 1) + timedelta(day) for day in range(200)]
    rows = [f"{day},{shop},{size * (20 + day.weekday())}" for shop, size in (("a", 1), ("b", 9)) for day in days]
    (tmp_path / "shops.csv").write_text("\n".join(["day,shop,sales", *rows]) + "\n")
    keys = ("data=csv", "data.path=shops.csv", "data.group=shop")
    hinted = train(*keys, folder=tmp_path / "hinted")
    notes = [line for line in hinted.out.splitlines() if line.startswith("note ")]
    assert len(notes) == 2
    assert "2 of 2 series ('a', 'b') vary in sales by less than half of the std of all" in notes[0]
    assert "data.season=7 adds the forecast that repeats the last one" in notes[1]
    chosen = train(
        *keys, "data.scale=per_series", "data.scale_target=per_series", "data.season=7", folder=tmp_path / "chosen"
    )
    assert "note " not in chosen.out


def test_where_the_test_rows_alone_are_ill_a_cause_is_looked_for_too(train, tmp_path):
    rows = np.arange(600)
    values = np.sin(rows / 3) + np.where(rows >= 510, 12.0, 0.0)  # beyond what the units have room for
    (tmp_path / "a.csv").write_text("y\n" + "\n".join(f"{each:.5f}" for each in values))
    keys = ("data=csv", f"data.path={tmp_path / 'a.csv'}", "data.target=y", "examine=quick", "trainer.max_epochs=25")
    done = train(*keys, "model.hidden_size=16", "model.cell=gru", "optimizer.lr=1e-2", "early_stopping.patience=null")
    assert done.code == 0, done.err
    assert json.loads((done.folder / "metrics.json").read_text())["verdict"] in {"flat", "shrunken", "varied-but-wrong"}
    (seen,) = [each for each in evidence.read(done.folder) if each.when == "examined"]
    assert seen.values["skill/val"] > 0.9
    assert "skill/missing" in seen.values
