"""What the user can mend: exit code 2, one sentence, no traceback, and nothing but the record of it left behind."""

import json
import os
import shlex
import signal
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
import torch

from flatspot.cli.train import main

ROOT = Path(__file__).parents[2]
RECORD = [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", ".lock", "status.json", "train.log"]
GOOD = "day,y\n" + "".join(f"2024-01-{day:02},{day}\n" for day in range(1, 31))


def files(tmp_path):
    made = {
        "empty.csv": "",
        "good.csv": GOOD,
        "text.csv": GOOD.replace(",7\n", ",seven\n"),
        "nan.csv": GOOD.replace(",7\n", ",NaN\n"),
        "gap.csv": GOOD.replace(",7\n", ",\n"),
        "date.csv": GOOD.replace("2024-01-07", "the seventh"),
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data=csv", "data.path=nope.csv"], "nope.csv: there is no such file"),
        (["data=csv"], "data=csv needs a file: data=csv data.path=my.csv data.target=column"),
        (["data=csv", "data.path=empty.csv"], "empty.csv: the file is empty"),
        (
            ["data=csv", "data.path=good.csv", "data.target=yy"],
            "good.csv: has no column 'yy' (data.target); did you mean 'y'?",
        ),
        (["data=csv", "data.path=text.csv"], "text.csv: line 8, column 'y': 'seven' is not a number"),
        (
            ["data=csv", "data.path=nan.csv"],
            "nan.csv: line 8, column 'y': the value is missing; fill it with",
        ),
        (["data=csv", "data.path=gap.csv"], "gap.csv: line 8, column 'y': the value is missing"),
        (["data=csv", "data.path=date.csv"], "date.csv: line 8, column 'day': 'the seventh' cannot be read as a date"),
        (["data=csv", "data.path=good.csv"], "good.csv: 22 rows reach the train split, and one window needs 23"),
        (["data.window=0"], "data.window=0: must be at least 1"),
        (["data.horizon=0"], "data.horizon=0: must be at least 1"),
        (["data.path=my.csv"], "data.path=my.csv: the data set sunspots is built in and takes no path"),
        (["data.target=level"], "data.target=level: the data set sunspots is built in and takes no target"),
        (["data.features=[a]"], "the data set sunspots is built in and takes no features"),
        (["trainer.precision=foo"], "trainer.precision=foo: "),
        (["trainer.strategy=foo"], "trainer.strategy=foo: "),
        (["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val=-1.0: must be above 0"),
        (["monitors.output_diversity.sample_size=0"], "sample_size=0"),
        (["data.scale=robustt"], "data.scale=robustt: did you mean 'robust'?"),
        (["model.cell=gur"], "no cell is called 'gur'; did you mean 'gru'?"),
        (["model.activation=rellu"], "no activation is called 'rellu'; did you mean 'relu'?"),
        (["model.head_activation=linear"], "model.head_activation=linear: "),
        (["model.initial_state=zero"], "no initial state is called 'zero'; did you mean 'zeros'?"),
        (
            ["model.recurrent_init=ortogonal"],
            "model.recurrent_init=ortogonal: did you mean 'orthogonal'?",
        ),
        (["model.recurrent_init=chrono"], "model.recurrent_init=chrono: needs a cell with gates: gru or lstm"),
        (["model.chrono_length=9"], "model.chrono_length=9: is for recurrent_init=chrono, not auto"),
        (["model.engine=nativ"], "model.engine=nativ: did you mean 'native'?"),
        (
            ["model.engine=native", "model.cell=gru", "model.activation=relu"],
            "model.engine=native: torch.nn has no gru with relu; engine=auto finds one that can",
        ),
        (["model.engine=fused", "model.layer_norm=true"], "model.engine=fused: model.layer_norm=true is run by scan"),
        (["model.residual=true"], "model.residual=true: acts between stacked layers; set model.num_layers=2 or more"),
        (["model.layer_norm=true", "model.hidden_size=1"], "model.layer_norm=true: one unit, normalised over itself"),
        (["model.bidirectional=both"], "model.bidirectional: Value 'both'"),
        (["data=sines", "data.frequencies=[0.7]"], "data.frequencies: 0.7 is not between 0 and 0.5 cycles per step"),
        (["data=sines", "data.frequencies=[a]"], "data.frequencies[0]: Value 'a'"),
        (["data=sines", "data.phases=[0,0,0]"], "data.phases: 3 of them for 2 data.frequencies; one each, or one"),
        (["data=sines", "data.noise=-1"], "data.noise=-1.0: must be a finite number of at least 0"),
        (["data=delay", "data.lag=0"], "data.lag=0: must lie between 1 and 2399"),
        (["data=delay", "data.series_seed=-1"], "data.series_seed=-1: must be at least 0"),
        (["data=delay", "data.steps=10000000000"], "data.steps=10000000000: must lie between 1 and 50,000,000"),
        (["data=delay", "data.path=my.csv"], "data.path=my.csv: the data set delay is built in and takes no path"),
        (["data.train_windows=0"], "data.train_windows=0: must lie between 1 and 1,960"),
        (["data.train_windows=2000"], "data.train_windows=2000: must lie between 1 and 1,960"),
        (["data.train_windows_from=somewhere"], "no choice of training windows is called 'somewhere'"),
        (["+data.lag=3"], "data.lag: there is no such key; data=delay has it\n"),
        (["model.hidden_size=many"], "model.hidden_size: Value 'many'"),
        (["+model.typo=1"], "model.typo: there is no such key"),
        (["+optimizer._target_=os.system"], "optimizer._target_: refused"),
        (["data.features=[{_target_:os.system}]"], "data.features.0._target_: refused"),
        (
            ["+monitors.output_diversty={}"],
            "no monitor is called 'output_diversty'; did you mean 'output_diversity'?",
        ),
        (["+monitors.output_diversity.sample=1"], "has no option 'sample'; did you mean 'sample_size'?"),
        (["trainer.max_epochs=0"], "trainer.max_epochs=0: must be at least 1"),
        (["early_stopping.patience=0"], "early_stopping.patience=0: must be at least 1"),
        (["seed=-1"], "seed=-1: must lie between"),
        (["threads=0"], "threads=0: must lie between 1 and"),
        (["trainer.accelerator=quantum"], "trainer.accelerator=quantum"),
    ],
)
def test_bad_input_is_named_in_one_sentence(train, tmp_path, overrides, sentence):
    files(tmp_path)
    quick = ["data.window=20"] if "data.path=good.csv" in overrides else []
    refused = train(*quick, *overrides)
    assert refused.code == 2
    assert sentence in refused.err
    assert refused.err.count("\n") == 1
    assert refused.out == ""
    assert refused.files() == RECORD
    status = json.loads((refused.folder / "status.json").read_text())
    assert status["status"] == "failed"
    assert f"error: {status['why']}\n" == refused.err
    log = (refused.folder / "train.log").read_text()
    assert status["why"] in log
    assert "Traceback" not in log


@pytest.mark.skipif(torch.cuda.is_available(), reason="here a GPU can be had")
def test_a_gpu_where_there_is_none(train):
    refused = train("trainer.accelerator=gpu")
    assert refused.code == 2
    assert "trainer.accelerator=gpu" in refused.err
    assert "trainer.accelerator=auto takes what is here" in refused.err
    assert refused.files() == RECORD


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["monitors.output_diversity.sample=1"], "monitors.output_diversity.sample"),
        (["model.activaton=relu"], "model.activaton: there is no such key; did you mean 'activation'?"),
        (["modl.cell=gru"], "modl: there is no such key; did you mean 'model'?"),
        (["model=forcaster"], "model=forcaster: there is no such choice; did you mean 'forecaster'?"),
        (["optimizer=adm"], "optimizer=adm: there is no such choice; did you mean 'adam'? (known: adam, adamw, "),
        (["experiment=does_scaling_mater"], "there is no such choice; did you mean 'does_scaling_matter'?"),
        (["data=delay", "data.lagg=3"], "data.lagg: there is no such key; did you mean 'lag'?"),
        (["data.lag=3"], "data.lag: there is no such key; data=delay has it"),
        (["optimizer=adam", "optimizer.momentum=0.9"], "optimizer.momentum: there is no such key"),
        (["nonsense"], "nonsense: not of the form key=value"),
        (["data.target=a=b"], "data.target=a=b: the value needs quotes: \"data.target='a=b'\""),
        (["logger=null"], "override must be a string"),
        (["--experimental-rerun=x.pickle"], "it is refused"),
        (["--exp=x.pickle"], "it is refused"),
    ],
)
def test_what_cannot_be_composed_leaves_no_folder(train, overrides, sentence):
    refused = train(*overrides)
    assert refused.code == 2
    assert sentence in refused.err
    assert refused.err.count("\n") == 1
    assert not refused.folder.exists()


def test_our_own_failure_is_code_3_with_its_traceback_in_the_log(train, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("made up")

    monkeypatch.setattr("flatspot.cli.fit.examine_model", broken)
    failed = train()
    assert failed.code == 3
    assert "ZeroDivisionError: made up" in failed.err
    assert "Traceback" in (failed.folder / "train.log").read_text()
    why = json.loads((failed.folder / "status.json").read_text())
    assert why["status"] == "failed"
    assert why["why"] == "ZeroDivisionError: made up"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_so(sent, code, python, tmp_path):
    log = tmp_path / "run" / "train.log"

    def stop(process):
        for _ in range(1200):
            if log.exists() and "epoch" in log.read_text():
                break
            time.sleep(0.1)
        os.kill(process, sent)

    endless = ("trainer.max_epochs=1000", "early_stopping.patience=null", "hydra.run.dir=run")
    assert python.run(ROOT / "train.py", *endless, cwd=tmp_path, meanwhile=stop).returncode == code
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "failed"


def test_a_traceback_is_shown_to_those_who_ask(train):
    refused = train("data.window=0", "--traceback")
    assert refused.code == 2
    assert "Traceback" in refused.err
    assert refused.err.endswith("error: data.window=0: must be at least 1\n")


def test_a_target_in_ones_own_yaml_is_refused_before_hydra_builds_anything(train, tmp_path):
    """Hydra itself would build this callback before any job of ours begins."""
    callback = "# @package _global_\nhydra:\n  callbacks:\n    stranger:\n      _target_: shutil.rmtree\n"
    mine = stranger(tmp_path, callback)
    for flags in (["--config-dir", mine], [f"--config-dir={mine}"], [f"--config-d={mine}"], ["-cd", mine], []):
        searched = [] if flags else [f"hydra.searchpath=[{mine}]"]
        refused = train("experiment=nice", *searched, flags=flags)
        assert refused.code == 2
        assert "hydra.callbacks.stranger._target_=shutil.rmtree: refused" in refused.err
        assert not refused.folder.exists()


def stranger(tmp_path, text):
    """A folder of configs with one experiment."""
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "nice.yaml").write_text("# @package _global_\n" + text)
    return str(tmp_path / "mine")


LOGGING = "hydra:\n  job_logging:\n    handlers:\n      x:\n        "


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('hydra:\n  callbacks:\n    x:\n      "\\x5ftarget_": shutil.copyfile', "hydra.callbacks.x._target_"),
        ("hydra:\n  launcher:\n    _target_: os.system", "hydra.launcher._target_=os.system"),
        ("hydra:\n  callbacks:\n    let_go:\n      _target_: os.system", "hydra.callbacks.let_go._target_=os.system"),
        ("evil:\n  x:\n    _target_: os.system\nhydra:\n  callbacks: ${evil}", "hydra.callbacks=${evil}"),
        ("hydra:\n  callbacks:\n    x: '${oc.create:{a: 1}}'", "hydra.callbacks.x="),
        (LOGGING + '"()": shutil.copyfile\n        src: a.csv', "hydra.job_logging.handlers.x.()"),
        (LOGGING + "class: my.Handler", "hydra.job_logging.handlers.x.class=my.Handler"),
        (LOGGING + "class: logging.StreamHandler\n        stream: ext://os.sep", "handlers.x.stream=ext://os.sep"),
        (LOGGING + "class: ${data.name}", "handlers.x.class=${data.name}"),
        ("evil: 1\nhydra:\n  job_logging: ${evil}", "hydra.job_logging=${evil}"),
        ("hydra:\n  job:\n    env_set:\n      LD_PRELOAD: evil.so", "hydra.job.env_set.LD_PRELOAD=evil.so"),
        ("hydra:\n  job:\n    env_set:\n      PYTHONPATH: evil", "hydra.job.env_set.PYTHONPATH=evil"),
        ("hydra:\n  job:\n    env_set: ${hydra.help}", "hydra.job.env_set=${hydra.help}"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_no_stranger_gets_code_past_hydra_or_logging(train, tmp_path, text, key, several):
    flags = ["--config-dir", stranger(tmp_path, text)]
    more = ["seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}"] if several else []
    refused = train("experiment=nice", *more, flags=[*flags, "-m"] if several else flags)
    assert refused.code == 2
    assert key in refused.err
    assert "things are named, never imported from a config" in refused.err
    assert not refused.folder.exists()


def test_what_people_set_of_hydra_passes(train, tmp_path):
    environment = "  job:\n    env_set:\n      MY_FLAG: ${oc.env:HOME}\n"
    mine = f"hydra:\n{environment}  sweep:\n    subdir: ${{data.name}}-${{seed}}-${{now:%Y}}\n"
    done = train("experiment=nice", "trainer.max_epochs=0", flags=["--config-dir", stranger(tmp_path, mine)])
    assert done.err == "error: trainer.max_epochs=0: must be at least 1\n"


def test_a_folder_keeps_one_run(train):
    first = train()
    kept = (first.folder / "metrics.json").read_text()
    again = train("seed=7")
    assert again.code == 2
    assert again.err.startswith("error: run: holds a run already; give another folder with hydra.run.dir=")
    assert (first.folder / "metrics.json").read_text() == kept
    assert json.loads((first.folder / "status.json").read_text())["status"] == "done"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            ["shops.csv"],
            "shops.csv: settings are typed as KEY=VALUE: python train.py data=csv data.path=shops.csv "
            "data.target=sales (the target is a guess; columns of numbers: sales, visitors)",
        ),
        (
            ["two shops.csv", "data.group=shop"],
            "two shops.csv: settings are typed as KEY=VALUE: python train.py data=csv "
            "\"data.path='two shops.csv'\" data.target=sales data.group=shop (the target is a guess; columns of "
            "numbers: sales, visitors)",
        ),
        (
            ["data.target=visitors", "shops.csv"],
            "shops.csv: settings are typed as KEY=VALUE: python train.py data=csv data.path=shops.csv "
            "data.target=visitors",
        ),
        (["nope.csv"], "nope.csv: there is no such file; a file is named by data=csv data.path=FILE"),
        (
            ["words.csv"],
            "words.csv: has no column of numbers to predict; a file is named by data=csv data.path=FILE",
        ),
        (["sales"], "sales: not of the form key=value"),
    ],
)
def test_a_file_typed_by_itself_is_answered_with_the_whole_command(tmp_path, monkeypatch, capfd, typed, told):
    monkeypatch.setattr(sys, "argv", ["train.py"])
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{date(2024, 1, 1) + timedelta(day)},north,{day % 7},{2 * day}\n" for day in range(100))
    for name in ("shops.csv", "two shops.csv"):
        (tmp_path / name).write_text(f"day,shop,sales,visitors\n{rows}")
    (tmp_path / "words.csv").write_text("day,shop\n2024-01-01,north\n")
    with pytest.raises(SystemExit) as left:
        main(typed)
    assert (left.value.code, *capfd.readouterr()) == (2, "", f"error: {told}\n")
    assert not (tmp_path / "outputs").exists()


def test_the_command_that_a_file_is_answered_with_can_be_typed(train, tmp_path):
    rows = "".join(f"{date(2024, 1, 1) + timedelta(day)},{day % 7}\n" for day in range(100))
    (tmp_path / "it's (one).csv").write_text(f"day,a (b)\n{rows}")
    told = train(flags=["it's (one).csv"]).err
    command = told[told.index("data=csv") : told.index(" (the target")]
    words = [each for each in shlex.split(command) if each.startswith(("data=", "data.path=", "data.target="))]
    assert len(words) == 3
    done = train(*words)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("data   it's (one).csv: 100 rows")
