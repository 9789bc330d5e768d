"""Sweeps: every job as if alone, one table, failures that hide nothing."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from flatspot.cli.help import conf_dir
from flatspot.cli.letting_go import LetGo
from flatspot.cli.order import in_the_same_order
from flatspot.errors import BadInput
from flatspot.examination.own import examine_model

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "experiments"
EXPERIMENTS = sorted(path.stem for path in conf_dir().glob("experiment/*.yaml"))


def status(folder):
    return json.loads((folder / "status.json").read_text())


def results(sweep):
    with (sweep / "results.csv").open() as file:
        return list(csv.DictReader(file))


def timeless(folder):
    found = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in found.items() if "seconds" not in name}


def state(folder):
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_each_job_gives_bitwise_the_numbers_of_the_same_job_alone(train, tmp_path):
    sweep = tmp_path / "sweep"
    shared = ("model.num_layers=2", "model.dropout=0.3", "model.initial_state=normal", "trainer.max_epochs=2")
    swept = train(*shared, f"hydra.sweep.dir={sweep}", "model.activation=sin,tanh", "seed=0,1", flags=["-m"])
    assert swept.code == 0, swept.err
    jobs = [(activation, seed) for activation in ("sin", "tanh") for seed in (0, 1)]
    for number, (activation, seed) in reversed(list(enumerate(jobs))):
        alone = train(*shared, f"model.activation={activation}", f"seed={seed}", folder=tmp_path / f"alone{number}")
        job = sweep / str(number)
        assert OmegaConf.load(job / "config.yaml") == OmegaConf.load(alone.folder / "config.yaml")
        assert timeless(job) == timeless(alone.folder)
        weights, expected = state(job), state(alone.folder)
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert timeless(sweep / "0") != timeless(sweep / "1")


def test_a_sweep_ends_in_one_table_best_first(train, tmp_path):
    sweep = tmp_path / "sweep"
    arms = ("model.activation=tanh,relu,identity", "seed=0,1", "logger=tensorboard")
    done = train(f"hydra.sweep.dir={sweep}", *arms, flags=["-m"])
    assert done.code == 0, done.err
    assert done.err == ""
    lines = done.out.splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("model.activation  "))
    assert lines[head].split() == [
        *("model.activation", "runs", "MAE", "R²", "diversity", "verdict", "half-life", "fit", "seconds")
    ]
    rows = lines[head + 2 : head + 5]
    assert {row.split()[0] for row in rows} == {"tanh", "relu", "identity"}
    means = [float(row.split()[2]) for row in rows]
    assert means == sorted(means)
    assert "6 jobs: 3 settings × 2 seeds, best first" in done.out
    assert "tensorboard --logdir sweep" in done.out
    assert not [line for line in lines if line.startswith("epoch ")]
    assert "epoch 1/1" in (sweep / "0" / "train.log").read_text()
    found = results(sweep)
    assert [row["status"] for row in found] == ["done"] * 6
    assert [row["model.activation"] for row in found] == ["tanh", "tanh", "relu", "relu", "identity", "identity"]
    assert [row["seed"] for row in found] == ["0", "1"] * 3
    kept = json.loads((sweep / "0" / "metrics.json").read_text())
    assert float(found[0]["mae"]) == kept["test"]["mae"]


def test_a_failing_job_is_named_and_hides_no_other(train, tmp_path, monkeypatch):
    def fails_for_relu(model, data, **options):
        if model.hparams["activation"] == "relu":
            raise ZeroDivisionError("made up")
        return examine_model(model, data, **options)

    monkeypatch.setattr("flatspot.cli.fit.examine_model", fails_for_relu)
    sweep = tmp_path / "sweep"
    done = train(f"hydra.sweep.dir={sweep}", "model.activation=rellu,relu,tanh", flags=["-m"])
    assert done.code == 3
    assert [status(sweep / str(job))["status"] for job in range(3)] == ["failed", "failed", "done"]
    assert "no activation is called 'rellu'; did you mean 'relu'?" in done.out
    assert "job 1 failed: " in done.out
    assert "ZeroDivisionError: made up" in done.out
    assert "Traceback" in (sweep / "1" / "train.log").read_text()
    assert "error: 2 of 3 jobs failed" in done.err
    assert [row["status"] for row in results(sweep)] == ["failed", "failed", "done"]
    assert results(sweep)[0]["why"].startswith("no activation is called 'rellu'")


def test_a_sweep_over_series_compares_in_mase(train, tmp_path):
    done = train("data=sunspots,sensor", f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"])
    assert done.code == 0, done.err
    assert "MASE" in done.out
    assert "MAE " not in done.out


def test_a_misspelt_key_or_choice_ends_a_sweep_before_its_first_job(train, tmp_path):
    for override in ("model.activaton=tanh,relu", "data=sunspots,sunspot"):
        refused = train(override, f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"])
        assert refused.code == 2
        assert "did you mean" in refused.err
        assert not (tmp_path / "sweep" / "0").exists()


def test_a_stopped_sweep_tells_what_was_done(train, tmp_path, monkeypatch):
    calls = []

    def stopped_in_the_second(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return examine_model(*arguments, **options)

    monkeypatch.setattr("flatspot.cli.fit.examine_model", stopped_in_the_second)
    done = train("seed=0,1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"])
    assert done.code == 130
    assert "2 jobs: " in done.out
    assert "1 of 2" in done.out
    assert "interrupted" in done.out


def test_jobs_that_would_share_a_folder_are_refused(train, tmp_path):
    sweep = tmp_path / "sweep"
    done = train("seed=0,1", f"hydra.sweep.dir={sweep}", "hydra.sweep.subdir=x", flags=["-m"])
    assert done.code == 3
    assert "hydra.sweep.subdir=x: two jobs would share a folder" in done.out
    assert [row["status"] for row in results(sweep)] == ["done", "failed"]
    assert results(sweep)[1]["mae"] == ""


def test_jobs_may_run_in_their_own_folders(train, tmp_path):
    sweep = tmp_path / "sweep"
    done = train("seed=0,1", f"hydra.sweep.dir={sweep}", "hydra.job.chdir=true", flags=["-m"])
    assert done.code == 0, done.err
    assert [row["folder"] for row in results(sweep)] == ["sweep/0", "sweep/1"]


def test_a_finished_sweep_is_not_written_over(train, tmp_path):
    sweep = tmp_path / "sweep"
    train("seed=0,1", f"hydra.sweep.dir={sweep}", flags=["-m"])
    kept = timeless(sweep / "0")
    again = train("seed=2,3", f"hydra.sweep.dir={sweep}", flags=["-m"])
    assert again.code == 3
    assert "holds a run already" in again.out
    assert timeless(sweep / "0") == kept


def test_the_same_job_twice_counts_once(train, tmp_path):
    done = train("seed=0,0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"])
    assert "1 setting × 2 seeds" in done.out
    row = next(line for line in done.out.splitlines() if line.startswith("as typed"))
    assert row.split()[2] == "2"


def test_several_processes_are_refused_in_a_sweep(train, tmp_path):
    refused = train("seed=0,1", "trainer.devices=2", f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"])
    assert refused.code == 3
    assert "trainer.devices=2 in a sweep: every process would start the whole sweep" in refused.out


def test_there_are_four_questions():
    assert EXPERIMENTS == [
        "does_scaling_matter",
        "does_the_initial_state_matter",
        "how_much_data_is_enough",
        "which_activation_stays_alive",
    ]


@pytest.mark.parametrize(
    "experiment",
    [
        pytest.param(each, marks=[pytest.mark.thorough] if each == "which_activation_stays_alive" else [])
        for each in EXPERIMENTS
    ],
)
def test_every_experiment_runs_small(train, python, tmp_path, experiment):
    """All of its arms, for one epoch of a small network and one seed, and then its page."""
    sweep = tmp_path / "sweeps" / experiment
    small = ("data.batch_size=256", "data.window=20", "seed=0", "logger=none")
    cells = "model.cell=rnn,lstm" if experiment == "does_the_initial_state_matter" else "model.cell=rnn"
    done = train(f"experiment={experiment}", *small, cells, f"hydra.sweep.dir={sweep}")
    assert done.code == 0, done.err
    rows = results(sweep)
    arms = {"does_scaling_matter": 8, "does_the_initial_state_matter": 6, "how_much_data_is_enough": 8}
    assert len(rows) == arms.get(experiment, 28)
    assert {row["status"] for row in rows} == {"done"}
    assert f"{len(rows)} jobs: {len(rows)} settings × 1 seed" in done.out
    shutil.copytree(ROOT / "docs" / "experiments", tmp_path / "docs")
    (tmp_path / "docs" / f"{experiment}.png").unlink()
    write = (ROOT / "scripts" / "write_experiment_pages.py", sweep.parent, "--docs", tmp_path / "docs")
    written = python.run(*write, cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    page, published = ((folder / f"{experiment}.md").read_text() for folder in (tmp_path / "docs", PAGES))
    assert (tmp_path / "docs" / f"{experiment}.png").stat().st_size > 10_000
    assert page != published
    assert [line.split("|")[1] for line in tables(page)] == [line.split("|")[1] for line in tables(published)]


def tables(page):
    """The lines of a page's tables of results; which activation comes first is for the numbers to say."""
    found = page.split("<!-- results -->")[1].splitlines()
    return sorted(line for line in found if line.startswith("|"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_is_a_few_keys_under_a_question(experiment):
    lines = (conf_dir() / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    assert len(lines) <= 12
    assert lines[1].startswith(f"# {experiment.replace('_', ' ').capitalize()}? ")


def stopped(folder):
    """As a job is left by `kill -9`: it says that it is running, and has no figures yet."""
    (folder / "metrics.json").unlink()
    (folder / "status.json").write_text('{"status": "running"}')


def test_a_sweep_goes_on_and_does_nothing_twice(train, tmp_path):
    sweep = tmp_path / "sweep"
    arms = ("seed=0,1,2", f"hydra.sweep.dir={sweep}")
    assert train(*arms, flags=["-m"]).code == 0
    kept = {number: (sweep / str(number) / "metrics.json").read_bytes() for number in (0, 2)}
    whole = timeless(sweep / "1")
    stopped(sweep / "1")
    again = train(*arms, "resume=auto", flags=["-m"])
    assert again.code == 0, again.err
    assert again.out.count("done before: ") == 2
    assert {number: (sweep / str(number) / "metrics.json").read_bytes() for number in kept} == kept
    assert timeless(sweep / "1") == whole
    assert (sweep / "1" / "attempts" / "1" / "evidence.jsonl").exists()
    assert [row["status"] for row in results(sweep)] == ["done"] * 3
    stopped(sweep / "1")
    assert train(*arms, "resume=auto", flags=["-m"]).code == 0
    assert (sweep / "1" / "attempts" / "2" / "evidence.jsonl").exists()


def test_a_torn_record_is_not_taken_for_a_done_job(train, tmp_path):
    sweep = tmp_path / "sweep"
    arms = ("seed=0,1", f"hydra.sweep.dir={sweep}")
    train(*arms, flags=["-m"])
    whole = timeless(sweep / "0")
    (sweep / "0" / "metrics.json").write_text('{"verdict": "hea')
    assert train(*arms, "resume=auto", flags=["-m"]).code == 0
    assert timeless(sweep / "0") == whole


def test_what_failed_is_tried_again(train, tmp_path):
    sweep = tmp_path / "sweep"
    rows = tmp_path / "my.csv"
    arms = (f"hydra.sweep.dir={sweep}", "data=csv", f"data.path={rows}", "seed=0,1")
    assert train(*arms, flags=["-m"]).code == 3
    rows.write_text("y\n" + "\n".join(str((number * 7) % 13) for number in range(200)))
    again = train(*arms, "resume=auto", flags=["-m"])
    assert again.code == 0, again.err
    assert [row["status"] for row in results(sweep)] == ["done", "done"]


def test_a_sweep_of_other_settings_is_not_gone_on_with(train, tmp_path):
    sweep = tmp_path / "sweep"
    train("seed=0,1", f"hydra.sweep.dir={sweep}", flags=["-m"])
    other = train("seed=0,1", "model.cell=gru", f"hydra.sweep.dir={sweep}", "resume=auto", flags=["-m"])
    assert other.code == 3
    assert "sweep/0: holds a job with model.cell=rnn, and model.cell=gru is asked for" in other.out
    assert json.loads((sweep / "0" / "metrics.json").read_text())["verdict"]


def test_a_sweep_goes_on_with_more_seeds_in_whatever_order_they_are_typed(train, tmp_path):
    sweep = f"hydra.sweep.dir={tmp_path / 'sweep'}"
    assert train("seed=0", "optimizer.lr=0.01,0.02", sweep, flags=["-m"]).code == 0
    kept = (tmp_path / "sweep" / "1" / "metrics.json").read_bytes()
    again = train("optimizer.lr=0.01,0.02", "seed=0,1", sweep, "resume=auto", flags=["-m"])
    assert again.code == 0, again.err
    assert again.out.count("done before: ") == 2
    assert (tmp_path / "sweep" / "1" / "metrics.json").read_bytes() == kept
    assert {(row["seed"], row["optimizer.lr"]) for row in results(tmp_path / "sweep")} == {
        (seed, rate) for seed in ("0", "1") for rate in ("0.01", "0.02")
    }
    noted = (tmp_path / "sweep" / "1" / ".hydra" / "overrides.yaml").read_bytes()
    moved = train("seed=0,1", "optimizer.lr=0.01,0.03,0.02", sweep, "resume=auto", flags=["-m"])
    assert moved.code == 2
    assert "holds the job of optimizer.lr=0.02 seed=0, which would be number 2 now" in moved.err
    assert (tmp_path / "sweep" / "1" / ".hydra" / "overrides.yaml").read_bytes() == noted


def begun(folder, *overrides):
    """A sweep's folder, with what Hydra and its jobs leave that says which job has which number."""
    jobs = 1
    for each in overrides:
        jobs *= len(each.partition("=")[2].split(","))
    for number in range(jobs):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "config.yaml").write_text("seed: 0")
    sweeper = {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper", "params": None}
    noted = {"hydra": {"sweeper": sweeper, "overrides": {"task": list(overrides)}}}
    (folder / "multirun.yaml").write_text(json.dumps(noted))


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["model.cell=gru,lstm", "seed=0,1,2"],
            "holds the job of model.cell=lstm seed=0, which would be number 3 now; what was added is a sweep of its "
            "own: type python train.py -m model.cell=gru,lstm seed=2 hydra.sweep.dir=",
        ),
        (["model.cell=rnn,gru,lstm", "seed=0,1,2"], "give another folder with hydra.sweep.dir="),
        (["model.cell=lstm,gru", "seed=0,1"], "holds the job of model.cell=gru seed=0, which would be number 2 now"),
    ],
)
def test_jobs_that_would_change_their_numbers_are_refused_with_the_command_to_type(typed, said, tmp_path):
    folder = tmp_path / "sweep"
    begun(folder, "model.cell=gru,lstm", "seed=0,1")
    with pytest.raises(BadInput) as refused:
        in_the_same_order(["-m", *typed, f"hydra.sweep.dir={folder}", "resume=auto"])
    assert said in str(refused.value)


@pytest.mark.parametrize("noted", ["", "hydra: [", "hydra: {sweeper: {_target_: x.OptunaSweeper}}"])
def test_where_it_is_not_known_how_jobs_were_counted_each_says_so_by_itself(noted, tmp_path):
    (tmp_path / "multirun.yaml").write_text(noted)
    typed = ["-m", "seed=1,0", "model.cell=gru", f"hydra.sweep.dir={tmp_path}", "resume=auto"]
    assert in_the_same_order(typed) == typed


@pytest.mark.parametrize(
    "typed",
    [
        ["-m", "seed=1,0"],
        ["seed=1", "resume=auto", "hydra.sweep.dir=x"],
        ["-m", "seed=1,0", "resume=auto"],
        ["-m", "seed=1,0", "resume=auto", "hydra.sweep.dir=nowhere"],
    ],
)
def test_what_does_not_go_on_with_a_sweep_stays_as_it_was_typed(typed):
    assert in_the_same_order(typed) == typed


@pytest.mark.parametrize(
    ("typed", "flags", "said"),
    [
        (["resume=auto"], [], "resume=auto: goes on with a sweep (-m hydra.sweep.dir=SAME); a single run with"),
        (["resume=aout", "seed=0,1"], ["-m"], "did you mean 'auto'?"),
    ],
)
def test_resume_takes_auto_in_a_sweep(typed, flags, said, train):
    refused = train(*typed, flags=flags)
    assert refused.code == 2
    assert said in refused.err


def test_what_hydra_keeps_of_a_job_is_no_configuration(train, tmp_path, monkeypatch):
    """Of many jobs they would fill the memory."""
    kept = []
    meant = LetGo.on_job_end

    def end(self, config, job_return, **given):
        assert job_return.cfg is not None
        meant(self, config, job_return, **given)
        kept.append(job_return)

    monkeypatch.setattr(LetGo, "on_job_end", end)
    assert train("seed=0,1", f"hydra.sweep.dir={tmp_path / 'sweep'}", flags=["-m"]).code == 0
    assert [(each.cfg, each.hydra_cfg, each.status.name) for each in kept] == [(None, None, "COMPLETED")] * 2
