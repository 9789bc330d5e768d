"""Figures of runs: the same after loading as after training, by hand as by us, and none that nothing measured."""

import json
import math
import re

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flatspot.run import load

ROWS = 320

CHOICES = {
    "model.cell": st.sampled_from(["rnn", "gru", "lstm"]),
    "model.activation": st.sampled_from(["tanh", "relu", "softsign", "gelu"]),
    "model.num_layers": st.integers(1, 2),
    "model.bidirectional": st.booleans(),
    "model.initial_state": st.sampled_from(["zeros", "learned"]),
    "model.head_activation": st.sampled_from(["none", "tanh"]),
    "model.loss": st.sampled_from(["mse", "mae", "huber"]),
    "data.scale": st.sampled_from(["standard", "robust", "minmax", "per_series", "none"]),
    "data.scale_target": st.sampled_from(["standard", "robust", "minmax", "none"]),
    "data.window": st.integers(3, 14),
    "data.horizon": st.integers(1, 5),
    "data.batch_size": st.integers(7, 80),
    "optimizer": st.sampled_from(["adam", "sgd", "rmsprop"]),
    "seed": st.integers(0, 99),
}


def table(scale=1.0, offset=0.0):
    steps, rng = np.arange(ROWS), np.random.default_rng(5)
    y = offset + scale * (np.sin(steps / 6) + 0.2 * rng.normal(size=ROWS))
    return pl.DataFrame({"y": y, "x": np.cos(steps / 6), "constant": np.where(steps < 270, 3.5, steps)})


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def small(train, tmp_path):
    def run(frame, *words, folder="run"):
        frame.write_csv(tmp_path / f"{folder}.csv")
        read = ("data=csv", f"data.path={folder}.csv", "data.time=none", "data.target=y", "data.horizon=3")
        named = {word.partition("=")[0] for word in words}
        done = train(*(each for each in read if each.partition("=")[0] not in named), *words, folder=tmp_path / folder)
        assert done.code == 0, done.err
        return done

    return run


@settings(
    max_examples=6, phases=[Phase.explicit, Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(chosen=st.fixed_dictionaries(CHOICES))
def test_any_small_run_evaluates_bitwise_to_its_own_figures(small, tmp_path_factory, chosen):
    name = str(tmp_path_factory.mktemp("any") / "run").strip("/").replace("/", "-")
    words = [f"{key}={str(value).lower()}" for key, value in chosen.items()]
    done = small(table(), "data.features=[x]", *words, folder=name)
    run = load(done.folder)
    found = run.evaluate()
    kept = metrics(done.folder)["test"]
    assert {each: None if math.isnan(value) else value for each, value in found.scores().items()} == kept
    own = {each: kept[each] for each in ("mae", "rmse")}
    assert called_by_hand(run, table(), found) == pytest.approx(own, rel=1e-5)
    assert of_forecasts(run, table(), found) == pytest.approx(own, rel=1e-5)


def of_forecasts(run, frame, found):
    """Errors of what `predict` says after each window of the test split, held against the rows that follow."""
    first, last = first_of(run, found), ROWS - run.known.horizon  # the last seen row, counted from 1
    told = run.predict(frame, every_origin=True).filter(pl.col("origin").is_between(first, last))
    told = told.join(frame.with_columns(time=pl.int_range(1, ROWS + 1)), on="time")
    assert len(told) == len(found.targets) * run.known.horizon
    errors = (told["forecast"] - told["y"]).to_numpy()
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}


def first_of(run, found):
    """The row of the test split's first forecast."""
    return ROWS - len(found.targets) - run.known.horizon + 1


def called_by_hand(run, frame, found):
    """Errors of the network called window after window, on rows scaled by hand, in float64."""
    window, horizon = run.known.window, run.known.horizon
    values = frame.select("y", "x").to_numpy()
    first = first_of(run, found)
    state = run.model.input_scaling, run.model.target_scaling
    errors = []
    for at in range(first, ROWS - horizon + 1):
        seen = (values[at - window : at] - state[0].mean.numpy()) / state[0].scale.numpy()
        with torch.no_grad():
            told = run.model(torch.from_numpy(seen.astype(np.float32))[None])[0, :, 0].double().numpy()
        errors.append(told * state[1].scale.item() + state[1].mean.item() - values[at : at + horizon, 0])
    return {"mae": float(np.abs(errors).mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1e6, 1e12])
def test_a_unit_of_the_target_changes_the_figures_by_itself_and_nothing_else(small, scale):
    one, other = small(table(), "examine=quick", folder="one"), small(table(scale), "examine=quick", folder="other")
    first, second = metrics(one.folder), metrics(other.folder)
    for figure in ("mae", "rmse"):
        assert second["test"][figure] == pytest.approx(scale * first["test"][figure], rel=1e-4)
        for baseline, scores in first["baseline"].items():
            assert second["baseline"][baseline][figure] == pytest.approx(scale * scores[figure], rel=1e-4)
    for figure in ("r2", "mase"):
        assert second["test"][figure] == pytest.approx(first["test"][figure], rel=1e-4)
    assert second["diversity"]["ratio"] == pytest.approx(first["diversity"]["ratio"], rel=1e-4)
    assert second["verdict"] == first["verdict"]


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_raw_targets_of_any_size_end_in_figures_or_in_none(small, scale):
    done = small(table(scale), "data.scale_target=none", "report=html", "logger=csv", "examine=quick")
    assert_no_figure_is_none(done)


def test_a_constant_feature_moves_nothing(small):
    plain = small(table(), "data.features=[x]", folder="plain")
    done = small(table(), "data.features=[x,constant]", "report=html", folder="constant")
    assert "constant in the training rows: constant" in done.out
    assert_no_figure_is_none(done)
    for name, scores in metrics(plain.folder)["baseline"].items():
        assert metrics(done.folder)["baseline"][name] == pytest.approx(scores)


def test_a_constant_target_is_refused(train, tmp_path):
    table().with_columns(y=pl.lit(2.0)).write_csv(tmp_path / "flat.csv")
    done = train("data=csv", "data.path=flat.csv", "data.time=none", "data.target=y")
    assert done.code == 2
    assert "flat.csv: column 'y' (data.target) is 2 in every row" in done.err


def test_a_class_that_is_absent_from_validation(small):
    """It has no recall there, and none is made up."""
    steps = np.arange(ROWS)
    kinds = np.where(steps < 200, np.array(["up", "down", "rare"])[steps % 3], np.array(["up", "down"])[steps % 2])
    frame = table().with_columns(kind=pl.Series(kinds))
    words = ("model=classifier", "data.label=kind", "data.target=null", "data.features=[y]", "data.horizon=null")
    done = small(frame, *words, "data.window=6", "report=html", "logger=csv")
    assert_no_figure_is_none(done)
    kept = metrics(done.folder)
    assert kept["classes"] == ["down", "rare", "up"]
    by_hand = np.array(kept["confusion"], float)  # [true, told]
    assert by_hand[1].sum() == 0
    recalls = by_hand.diagonal()[[0, 2]] / by_hand.sum(axis=1)[[0, 2]]
    assert kept["test"]["balanced_accuracy"] == pytest.approx(recalls.mean())


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed", "bf16-true"])
def test_other_precisions(small, precision):
    done = small(table(), f"trainer.precision={precision}", "report=html", "logger=csv", "examine=quick")
    assert_no_figure_is_none(done)
    kept = metrics(done.folder)["test"]
    rounding = 1e-5 if precision == "64-true" else 0.05
    assert load(done.folder).evaluate().scores()["mae"] == pytest.approx(kept["mae"], rel=rounding)


def test_gradients_of_nothing_but_zeros(small):
    """Behind a ReLU whose inputs are all negative no weight gets a gradient: figures are 0, not absent, not NaN."""
    frame = table(offset=-50.0)
    words = ("model.head_activation=relu", "data.scale_target=none", "trainer.max_epochs=3", "examine=full")
    done = small(frame, *words, "report=html", "logger=csv")
    assert_no_figure_is_none(done)
    assert metrics(done.folder)["verdict"] == "flat"


NO_NUMBER = re.compile(r"(?<![A-Za-z])(nan|inf|infinity)(?![A-Za-z])", re.IGNORECASE)


def assert_no_figure_is_none(done):
    """Neither the screen, nor a file, nor what the page shows has one; nor an infinity."""
    page = done.folder / "report.html"
    shown = (
        re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL) if page.exists() else ""
    )
    for text in (done.out, shown):
        told = text.replace("reaches 0 to inf", "")  # what ReLU can say
        assert not NO_NUMBER.search(told), NO_NUMBER.search(told)
    for text in [
        (done.folder / "metrics.json").read_text(),
        *(done.folder / "evidence.jsonl").read_text().splitlines(),
    ]:
        json.loads(text, parse_constant=pytest.fail)


@pytest.mark.parametrize("text", ["(nan)", "nan;", "nan,3", "-inf", "NaN"])
def test_what_holds_the_others_sees_a_figure_that_is_none(text):
    assert NO_NUMBER.search(f"a {text} b")
    assert not NO_NUMBER.search("finance, nanosecond, information")
