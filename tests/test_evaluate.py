"""A network beside its baselines, in original units, against transcriptions that go window by window."""

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import nn

from flatspot.data.generate import frequency_classes
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Filling, Labels, Original, Panel
from flatspot.errors import BadInput
from flatspot.evaluate import evaluate, reference
from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.regressor import Regressor
from flatspot.probes.errors import forecast_errors

WINDOW, HORIZON = 8, 3


def panel(*lengths, channels=1, targets=1, seed=0, **more):
    rng = np.random.default_rng(seed)
    blocks = [
        rng.uniform(-50, 50)
        + rng.uniform(1, 9) * np.column_stack([np.sin(np.arange(length) / 4 + k) for k in range(channels)])
        for length in lengths
    ]
    values = np.concatenate(blocks) + rng.normal(size=(sum(lengths), channels))
    columns, names = (tuple(f"{kind}{k}" for k in range(n)) for kind, n in (("c", channels), ("s", len(lengths))))
    return Panel("made", columns, targets, [values], np.array(lengths), names, **more)


def windows_of(data, part="test"):
    return data.every_window(part).runs.starts()


def forecaster(data, **more):
    torch.manual_seed(0)
    sizes = {"inputs": len(data.columns), "targets": len(data.targets), "horizon": data.horizon}
    model = Forecaster(**sizes, cell="rnn", hidden_size=4, **more)
    model.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    return model


def by_hand(rows, starts, forecast):
    """Forecasts and truth, window by window: `forecast` is given the rows up to the origin and the first row after."""
    forecasts = np.stack([forecast(rows[: start + WINDOW], start + WINDOW) for start in starts])
    return forecasts, np.stack([rows[start + WINDOW : start + WINDOW + HORIZON] for start in starts])


def test_baselines_equal_transcriptions_of_one_series():
    made = panel(160, targets=1)
    data = SeriesDataModule(made, window=WINDOW, horizon=HORIZON)
    found = evaluate(forecaster(data), data, season=5)
    rows, starts = made.values, windows_of(data)
    train = rows[:112]
    change = np.abs(np.diff(train, axis=0)).mean()
    transcribed = {
        "mean": lambda past, _: np.repeat(train.mean(keepdims=True), HORIZON, axis=0),
        "persistence": lambda past, _: np.repeat(past[-1:], HORIZON, axis=0),
        "seasonal": lambda past, first: rows[first - 5 : first - 5 + HORIZON],
    }
    assert set(found.baselines) == {*transcribed, "ridge"}
    for name, forecast in transcribed.items():
        ours, truth = by_hand(rows, starts, forecast)
        error = ours - truth
        scores = found.baseline_scores()[name]
        assert scores["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
        assert scores["rmse"] == pytest.approx(np.sqrt(np.square(error).mean()), rel=1e-5)
        assert scores["mase"] == pytest.approx(np.abs(error).mean() / change, rel=1e-5)
        spread = np.square(truth - truth.mean(axis=0)).sum()
        assert scores["r2"] == pytest.approx(1 - np.square(error).sum() / spread, rel=1e-4, abs=1e-5)
        steps = found.details()["by_step"][name]["mae"]
        np.testing.assert_allclose(steps, np.abs(error).mean(axis=(0, 2)), rtol=1e-5)
    assert found.baseline_scores()["ridge"]["rmse"] < found.baseline_scores()["mean"]["rmse"] / 2
    assert found.notes == ()


def test_a_season_shorter_than_the_horizon_is_repeated_from_what_was_seen():
    made = panel(160)
    data = SeriesDataModule(made, window=WINDOW, horizon=HORIZON)
    found = evaluate(forecaster(data), data, season=2)
    ours, truth = by_hand(made.values, windows_of(data), lambda past, _: past[[-2, -1, -2]])
    assert found.baseline_scores()["seasonal"]["mae"] == pytest.approx(np.abs(ours - truth).mean(), rel=1e-5)


@pytest.mark.parametrize("breaks", [[], [14]])
def test_where_a_season_begins_before_a_series_or_a_gap_the_last_value_stands_in_and_is_told(breaks):
    data = SeriesDataModule(panel(160), window=WINDOW, horizon=HORIZON)
    made = panel(40, breaks=np.array(breaks, int))
    known = SeriesDataModule(made, window=WINDOW, horizon=HORIZON, known=data.known)
    found = evaluate(forecaster(data), known, ridge=reference(data), season=12)
    begins = [0, *breaks]

    def seasonal(past, first):
        start = max(each for each in begins if each < first)
        return past[-12:][:HORIZON] if first - 12 >= start else np.repeat(past[-1:], HORIZON, axis=0)

    ours, truth = by_hand(made.values, windows_of(known), seasonal)
    assert found.baseline_scores()["seasonal"]["mae"] == pytest.approx(np.abs(ours - truth).mean(), rel=1e-5)
    short = {0: 4, 1: 8}[len(breaks)]
    assert found.notes == (
        f"seasonal persistence: {short} of {len(truth)} windows have no row 12 steps before; the last value stands in",
    )


def test_where_rows_were_dropped_a_season_is_counted_by_stamps():
    hours = np.delete(np.arange(300), np.arange(5, 300, 19))
    kept = np.isin(np.arange(300), hours)
    times = np.datetime64("2024-01-01", "us") + np.arange(300) * np.timedelta64(1, "h")
    daily = np.sin(hours * 2 * np.pi / 24)[:, None]
    lengths = np.array([len(hours)])
    original = Original(np.array([300]), times, kept)
    made = Panel("made", ("y",), 1, [daily], lengths, ("s",), times=times[kept], frequency="1h", original=original)
    data = SeriesDataModule(made, window=48, horizon=HORIZON)
    found = evaluate(forecaster(data), data, season=24)
    assert "the last value stands in" in found.notes[0]
    predictions = found.baselines["seasonal"].overall.mae
    starts = windows_of(data)

    def seasonal(past, first):
        places = [np.flatnonzero(hours == hours[first + step] - 24) for step in range(HORIZON)]
        rows = [daily[place[0]] if len(place) else None for place in places]
        return np.repeat(past[-1:], HORIZON, axis=0) if any(row is None for row in rows) else np.stack(rows)

    origins = starts + 48
    ours = np.stack([seasonal(daily[:first], first) for first in origins])
    truth = np.stack([daily[first : first + HORIZON] for first in origins])
    assert predictions.item() == pytest.approx(np.abs(ours - truth).mean(), rel=1e-5)


def test_a_season_longer_than_the_rows_is_left_out_and_told():
    data = SeriesDataModule(panel(160), window=WINDOW, horizon=HORIZON)
    known = SeriesDataModule(panel(30), window=WINDOW, horizon=HORIZON, known=data.known)
    found = evaluate(forecaster(data), known, ridge=reference(data), season=30)
    assert set(found.baselines) == {"mean", "persistence", "ridge"}
    assert found.notes == ("seasonal persistence: no window has a row 30 steps before its forecast",)
    with pytest.raises(BadInput, match=r"data.season=0: must be at least 1"):
        evaluate(forecaster(data), data, season=0)


@pytest.mark.parametrize("scale_target", ["standard", "per_series", "minmax", "none"])
@pytest.mark.parametrize("part", ["test", "val"])
def test_errors_are_of_forecasts_in_original_units_and_each_series_counts_once(scale_target, part):
    made = panel(120, 200, 90, channels=2, targets=2, seed=3)
    data = SeriesDataModule(made, window=WINDOW, horizon=HORIZON, scale="robust", scale_target=scale_target)
    model = forecaster(data)
    found = evaluate(model, data, part=part)
    owner, starts = made.series_of_rows(), windows_of(data, part)
    mean, scale = data.target_scaling.table
    by_series = {number: [] for number in range(3)}
    for index, start in enumerate(starts):
        number = owner[start]
        with torch.no_grad():
            (scaled,) = model(data.prepared.inputs[start : start + WINDOW].unsqueeze(0)).double().numpy()
        row = number if len(mean) > 1 else 0
        forecast = scaled * scale[row] + mean[row]
        truth = made.values[start + WINDOW : start + WINDOW + HORIZON]
        np.testing.assert_allclose(found.predictions[index], forecast, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(found.targets[index], truth, rtol=1e-5, atol=1e-4)
        by_series[number].append(np.abs(forecast - truth))
    expected = [np.mean(errors) for errors in by_series.values()]
    assert found.scores()["mae"] == pytest.approx(np.mean(expected), rel=1e-5)
    told = found.details()["by_series"]
    assert list(told) == ["s0", "s1", "s2"]
    assert [figures["mae"] for figures in told.values()] == pytest.approx(expected, rel=1e-5)
    assert found.series.tolist() == owner[starts].tolist()
    trained = [made.values[first:val].mean(axis=0) for first, val, *_ in data.prepared.borders]
    np.testing.assert_allclose(data.naive.means, trained, rtol=1e-5, atol=1e-5)


def test_evaluating_moves_neither_mode_nor_random_state_nor_weights():
    data = SeriesDataModule(panel(120), window=WINDOW, horizon=HORIZON)
    model = forecaster(data, num_layers=2, dropout=0.5, initial_state="normal").train()
    before = [weight.clone() for weight in model.parameters()]
    torch.manual_seed(0)
    one = evaluate(model, data).scores()
    drawn = torch.rand(1)
    assert evaluate(model, data).scores() == one
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)
    assert model.training
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))


def test_few_training_windows_are_evaluated_beside_a_ridge_on_all():
    whole, few = (
        SeriesDataModule(panel(120), window=WINDOW, horizon=HORIZON, train_windows=count) for count in (None, 5)
    )
    one, other = (evaluate(forecaster(data), data).baseline_scores() for data in (whole, few))
    assert one == other


def test_a_series_that_training_has_not_seen_is_held_against_its_own_first_rows():
    trained = SeriesDataModule(
        panel(120, 130), window=WINDOW, horizon=HORIZON, scale="per_series", scale_target="per_series"
    )
    fresh = panel(60, 70, seed=9)
    fresh = Panel(**(vars(fresh) | {"series": ("new", "s1")}))
    data = SeriesDataModule(
        fresh, window=WINDOW, horizon=HORIZON, scale="per_series", scale_target="per_series", known=trained.known
    )
    assert data.rows == {"train": 0, "val": 0, "test": 130}
    first = fresh.values[:WINDOW]
    assert data.naive.means[:, 0] == pytest.approx([first.mean(), trained.naive.means[1, 0]], rel=1e-5)
    mean, scale = data.target_scaling.table
    assert mean[:, 0] == pytest.approx([first.mean(), trained.target_scaling.mean[1][0]])
    assert scale[:, 0] == pytest.approx([first.std(), trained.target_scaling.scale[1][0]])
    found = evaluate(forecaster(trained), data, ridge=reference(trained))
    assert len(found.series) == (60 - WINDOW - HORIZON + 1) + (70 - WINDOW - HORIZON + 1)
    np.testing.assert_allclose(found.targets[0], fresh.values[WINDOW : WINDOW + HORIZON], rtol=1e-5)


def test_what_holds_no_window_is_refused():
    data = SeriesDataModule(panel(120), window=WINDOW, horizon=HORIZON)
    short = SeriesDataModule(panel(WINDOW + HORIZON - 1), window=WINDOW, horizon=HORIZON, known=data.known)
    with pytest.raises(BadInput, match="made: has no window to evaluate"):
        evaluate(forecaster(data), short, ridge=reference(data))


def test_rows_of_nothing_but_gaps_are_refused():
    data = SeriesDataModule(panel(120), window=WINDOW, horizon=HORIZON)
    made = panel(60, filling=Filling(interpolate=True, most=0))
    made.blocks[0][::5] = np.nan
    holey = SeriesDataModule(made, window=WINDOW, horizon=HORIZON, known=data.known)
    with pytest.raises(BadInput, match="made: has no window to evaluate"):
        evaluate(forecaster(data), holey, ridge=reference(data))


def labelled(kinds, per, lengths, seed=0):
    labels = Labels("kind", per, np.asarray(kinds).astype(str))
    return panel(*lengths, targets=0, seed=seed, labels=labels)


LENGTHS = [9 + number % 6 for number in range(60)]


def classifier(data):
    torch.manual_seed(0)
    return Classifier(inputs=1, classes=data.answers.classes, cell="rnn", hidden_size=4)


def told_apart(found, data, logits):
    """The figures of a classifier and of the commonest class, counted one by one."""
    truth = torch.cat([data.every_window("test").__getitems__([each])[1] for each in range(len(logits))])
    named, classes = logits.argmax(dim=-1), len(data.answers.classes)
    confusion = [[int(((truth == t) & (named == n)).sum()) for n in range(classes)] for t in range(classes)]
    assert found.details() == {"classes": list(data.answers.classes), "confusion": confusion}
    assert found.scores()["accuracy"] == pytest.approx((truth == named).float().mean().item())
    commonest = int(np.argmax(data.answers.counts))
    assert found.baseline_scores()["commonest"]["accuracy"] == pytest.approx((truth == commonest).float().mean().item())
    seen = len(truth.unique())
    assert found.baseline_scores()["commonest"]["balanced_accuracy"] == pytest.approx(1 / seen)
    torch.testing.assert_close(found.outputs[:, 0], logits.softmax(dim=-1), check_dtype=False)
    assert torch.equal(found.answers[:, 0].argmax(dim=-1), truth)


def test_a_classifier_of_whole_series_is_scored_series_by_series():
    data = SeriesDataModule(labelled(["a", "b", "b"] * 20, "series", LENGTHS), task="classify")
    model = classifier(data)
    found = evaluate(model, data)
    windows = data.every_window("test")
    with torch.no_grad():
        logits = torch.cat([model(windows.__getitems__([each])[0]) for each in range(len(windows))])
    told_apart(found, data, logits)
    assert set(found.baseline_scores()) == {"commonest", "ridge"}


def test_a_classifier_of_windows_of_several_series_is_scored_window_by_window():
    kinds = np.random.default_rng(0).integers(3, size=220)
    data = SeriesDataModule(labelled(kinds, "window", (120, 100)), task="classify", window=WINDOW)
    model = classifier(data)
    found = evaluate(model, data)
    with torch.no_grad():
        logits = torch.cat([model(data.prepared.inputs[start : start + WINDOW][None]) for start in windows_of(data)])
    told_apart(found, data, logits)


@pytest.mark.parametrize("per", ["series", "window"])
def test_a_regressor_is_scored_in_the_units_of_its_labels(per):
    rng = np.random.default_rng(0)
    lengths = LENGTHS if per == "series" else (120, 100)
    values = rng.normal(1000, 50, size=len(lengths) if per == "series" else sum(lengths))
    window = None if per == "series" else WINDOW
    data = SeriesDataModule(labelled(values, per, lengths), task="regress", window=window, scale_target="robust")
    torch.manual_seed(0)
    model = Regressor(inputs=1, cell="rnn", hidden_size=4)
    found = evaluate(model, data)
    windows, (mean, scale) = data.every_window("test"), data.target_scaling.table
    with torch.no_grad():
        outputs = torch.cat([model(windows.__getitems__([each])[0]) for each in range(len(windows))]).double()
    numbers = windows.numbers.numpy() if per == "series" else windows_of(data) + WINDOW - 1
    error = np.abs(outputs[:, 0, 0].numpy() * scale[0, 0] + mean[0, 0] - values[numbers])
    owner = np.zeros(len(error), int) if per == "series" else (windows_of(data) >= 120).astype(int)
    expected = np.mean([error[owner == each].mean() for each in np.unique(owner)])
    assert found.scores()["mae"] == pytest.approx(expected, rel=1e-5)
    trained = data.dataset("train")
    seen = trained.numbers.numpy() if per == "series" else trained.runs.starts() + WINDOW - 1
    naive = np.abs(values[seen].mean() - values[numbers])
    expected = np.mean([naive[owner == each].mean() for each in np.unique(owner)])
    assert found.baseline_scores()["mean"]["mae"] == pytest.approx(expected, rel=1e-5)
    assert set(found.baseline_scores()) == {"mean", "ridge"}
    assert found.details() == {}


def test_series_shorter_and_longer_than_those_of_training_are_scored_too():
    trained = SeriesDataModule(labelled(["a", "b"] * 30, "series", LENGTHS), task="classify")
    fresh = labelled(["b", "a", "b"], "series", (4, 1, 40), seed=5)
    data = SeriesDataModule(fresh, task="classify", window=trained.window, known=trained.known)
    found = evaluate(classifier(trained), data, ridge=reference(trained))
    assert sum(map(sum, found.details()["confusion"])) == 3
    assert found.answers[:, 0].argmax(dim=-1).tolist() == [1, 0, 1]


def test_the_ridge_reads_a_sequence_alone_as_among_longer_ones():
    lengths = (4, 1, 40, 14, 9)
    trained = SeriesDataModule(labelled(["a", "b"] * 30, "series", LENGTHS), task="classify")
    ridge, whole = reference(trained), labelled(["b"] * 5, "series", lengths, seed=5)

    def by_ridge(chosen):
        panel = Panel(
            **vars(whole)
            | {
                "blocks": [np.concatenate([np.split(whole.values, np.cumsum(lengths)[:-1])[each] for each in chosen])],
                "lengths": np.array(lengths)[chosen],
                "series": tuple(whole.series[each] for each in chosen),
                "labels": Labels("kind", "series", whole.labels.values[chosen]),
            }
        )
        data = SeriesDataModule(panel, task="classify", window=trained.window, known=trained.known)
        return evaluate(classifier(trained), data, ridge=ridge).references["ridge"]

    together = by_ridge([0, 1, 2, 3, 4])
    for each in range(5):
        torch.testing.assert_close(by_ridge([each])[0], together[each])


def test_the_ridge_tells_frequencies_apart():
    data = SeriesDataModule(frequency_classes(count=200), task="classify")
    assert evaluate(classifier(data), data).baseline_scores()["ridge"]["accuracy"] > 0.9


def test_without_labels_there_is_nothing_to_score_against():
    trained = SeriesDataModule(labelled(["a", "b"] * 30, "series", LENGTHS), task="classify")
    fresh = panel(9, 9, targets=0)
    data = SeriesDataModule(fresh, task="classify", window=trained.window, known=trained.known)
    with pytest.raises(BadInput, match=r"made: has no column 'kind' \(data.label\) to evaluate against"):
        evaluate(classifier(trained), data, ridge=reference(trained))


def test_where_the_targets_are_scaled_by_series_the_errors_of_the_fit_are_in_original_units(trainer_options):
    made = panel(150, 260, 120, channels=2, targets=2, seed=7)
    data = SeriesDataModule(
        made, window=WINDOW, horizon=HORIZON, batch_size=32, scale="per_series", scale_target="per_series"
    )
    model = forecaster(data)
    trainer = Trainer(max_epochs=1, **trainer_options)
    trainer.fit(model, datamodule=data)
    logged = {name: value.item() for name, value in trainer.callback_metrics.items()}
    found = evaluate(model, data, part="val")
    whole = forecast_errors(found.predictions, found.targets)
    assert logged["error/mae_val"] == pytest.approx(whole.mae, rel=1e-5)
    assert logged["error/rmse_val"] == pytest.approx(whole.rmse, rel=1e-5)
    assert logged["error/r2_val"] == pytest.approx(whole.r2, rel=1e-5)
    loss = nn.functional.mse_loss(found.outputs, found.answers).item()
    assert logged["loss/val"] == pytest.approx(loss, rel=1e-5)
    (tested,) = trainer.test(model, datamodule=data, verbose=False)
    found = evaluate(model, data)
    assert tested["error/mae_test"] == pytest.approx(forecast_errors(found.predictions, found.targets).mae, rel=1e-5)
