"""Labels of series and of windows, for classifiers and regressors."""

import numpy as np
import pytest
import torch
from sklearn.preprocessing import RobustScaler, StandardScaler
from torch.nn.utils.rnn import unpack_sequence

from flatspot.data.labels import classes_of, numbers_of
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Labels
from flatspot.data.tables import read_table
from flatspot.errors import BadInput

LENGTHS = [6 + number % 5 for number in range(40)]


def labels(values, per="series"):
    return Labels("kind", per, np.asarray(values).astype(str))


def all_of(windows):
    return windows.__getitems__(range(len(windows)))


@pytest.fixture(scope="module")
def panel(panel_with):
    return panel_with(*LENGTHS, channels=2, targets=0, labels=labels(["dog", "cat"] * 20))


def test_classes_stand_in_the_order_of_their_numbers_or_else_of_the_alphabet():
    given = ["10", "9", "-1", "1e1", "b", "A", "9.5"]
    found = classes_of(labels(given), "made")
    assert found.names == ("-1", "9", "9.5", "10", "1e1", "A", "b")
    assert [found.names[number] for number in found.numbers] == given
    assert classes_of(labels([True, False, True]), "made").names == ("False", "True")


def test_the_classes_of_a_trained_network_keep_their_numbers():
    found = classes_of(labels(["c", "a"]), "made", known=("c", "b", "a"))
    assert (found.names, found.numbers.tolist()) == (("c", "b", "a"), [0, 2])
    with pytest.raises(BadInput, match=r"column 'kind': 'd' is no class that the network knows \(c, b, a\)"):
        classes_of(labels(["d"]), "made", known=("c", "b", "a"))


@pytest.mark.parametrize(
    ("read", "values", "message"),
    [
        (classes_of, ["x", "x"], "made: column 'kind' has one class only, 'x': there is nothing to tell apart"),
        (classes_of, range(1001), "made: column 'kind' has 1,001 different labels; .* say model=regressor"),
        (numbers_of, ["1", "two"], "made: column 'kind': 'two' is not a number; .* say model=classifier"),
        (numbers_of, ["1", "inf"], "made: column 'kind': '...' is not finite"),
        (numbers_of, ["1", "nan"], "made: column 'kind': '...' is not finite"),
    ],
)
def test_labels_that_cannot_be_used_are_named(read, values, message):
    with pytest.raises(BadInput, match=message):
        read(labels(values), "made")


def test_whole_series_are_packed_with_their_own_labels(panel):
    data = SeriesDataModule(panel, task="classify", scale="none")
    assert data.answers.classes == ("cat", "dog")
    assert (data.rows, data.window, data.horizon) == ({"train": 28, "val": 6, "test": 6}, 10, 0)
    served = []
    for part in ("train", "val", "test"):
        x, y = all_of(data.dataset(part))
        numbers = data.dataset(part).numbers.tolist()
        served += numbers
        for sequence, kind, number in zip(unpack_sequence(x), y.tolist(), numbers, strict=True):
            rows = panel.values[panel.firsts[number] :][: LENGTHS[number]]
            np.testing.assert_allclose(sequence, rows, rtol=1e-6)
            assert data.answers.classes[kind] == panel.labels.values[number]
    assert sorted(served) == list(range(40))
    assert data.answers.counts == (14, 14)
    assert data.known.counts == data.answers.counts
    assert data.targets == ("kind",)


def test_the_split_of_whole_series_is_stratified(panel_with):
    kinds = ["rare"] * 20 + ["often"] * 100
    panel = panel_with(*[4] * 120, targets=0, labels=labels(kinds))
    data = SeriesDataModule(panel, task="classify")
    for part, (often, rare) in {"train": (70, 14), "val": (15, 3), "test": (15, 3)}.items():
        assert torch.bincount(all_of(data.dataset(part))[1]).tolist() == [often, rare]


def test_a_window_cuts_whole_series_to_their_last_steps(panel):
    data = SeriesDataModule(panel, task="classify", scale="none", window=8)
    x, _ = all_of(data.dataset("train"))
    for sequence, number in zip(unpack_sequence(x), data.dataset("train").numbers.tolist(), strict=True):
        end = panel.firsts[number] + LENGTHS[number]
        np.testing.assert_allclose(sequence, panel.values[end - min(LENGTHS[number], 8) : end], rtol=1e-6)
    assert data.known.shortest == 6
    assert SeriesDataModule(panel, task="classify", window=3).known.shortest == 3


def test_a_loader_serves_whole_series(panel):
    data = SeriesDataModule(panel, task="classify", batch_size=10)
    batches = list(data.train_dataloader())
    assert [len(y) for _, y in batches] == [10, 10, 8]
    assert all(x.batch_sizes[0] == len(y) for x, y in batches)


@pytest.mark.parametrize(("name", "scaler"), [("standard", StandardScaler()), ("robust", RobustScaler())])
def test_a_regressors_labels_are_scaled_by_those_of_the_training_series(panel_with, name, scaler):
    values = np.random.default_rng(0).normal(1e3, 50, size=40)
    panel = panel_with(*LENGTHS, targets=0, labels=labels(values))
    data = SeriesDataModule(panel, task="regress", scale_target=name)
    train, test = (data.dataset(part).numbers.numpy() for part in ("train", "test"))
    scaler.fit(values[train][:, None])
    _, y = all_of(data.dataset("test"))
    assert y.shape == (6, 1, 1)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y[:, 0], scaler.transform(values[test][:, None]), rtol=1e-5, atol=1e-6)
    assert data.naive.means[0, 0] == pytest.approx(values[train].mean())


def test_the_inputs_of_whole_series_are_scaled_by_the_training_series(panel):
    data = SeriesDataModule(panel, task="classify")
    train = np.isin(panel.series_of_rows(), data.dataset("train").numbers)
    np.testing.assert_allclose(
        data.prepared.inputs, StandardScaler().fit(panel.values[train]).transform(panel.values), atol=1e-5
    )


def test_whole_series_may_be_scaled_each_by_itself(panel):
    data = SeriesDataModule(panel, task="classify", scale="per_series")
    for first, length in zip(panel.firsts, LENGTHS, strict=True):
        own = panel.values[first : first + length]
        np.testing.assert_allclose(
            data.prepared.inputs[first : first + length], StandardScaler().fit_transform(own), atol=1e-5
        )


@pytest.mark.parametrize(("task", "shape"), [("classify", ()), ("regress", (1, 1))])
@pytest.mark.parametrize("scale", ["standard", "per_series"])
def test_a_window_has_the_label_of_its_last_row(panel_with, task, shape, scale):
    kinds = np.random.default_rng(0).integers(3, size=200)
    panel = panel_with(120, 80, targets=0, labels=labels(kinds, "window"))
    data = SeriesDataModule(panel, task=task, window=7, scale=scale, scale_target="none")
    for part in ("train", "val", "test"):
        batch = all_of(data.dataset(part))
        assert len(batch) == 2
        assert batch[1].shape == (len(data.dataset(part)), *shape)
        assert batch[1].flatten().tolist() == kinds[data.dataset(part).runs.starts() + 6].tolist()
    borders = data.prepared.borders
    first_val = data.dataset("val").runs.starts()[0] + 6
    assert first_val == borders[0, 1]


def test_what_counts_is_the_labels_of_training_windows(panel_with):
    kinds = np.array(["a"] * 5 + ["b"] * 30 + ["c"] * 65)
    panel = panel_with(100, targets=0, labels=labels(kinds, "window"))
    data = SeriesDataModule(panel, task="classify", window=4, stride=2)
    assert data.answers.counts == (1, 15, 18)
    assert sum(data.answers.counts) == len(data.dataset("train"))
    with pytest.raises(BadInput, match="made: the class 'a' of column 'kind' has no example in the training split"):
        SeriesDataModule(panel, task="classify", window=10)


def test_a_class_that_training_never_sees_is_refused_by_name(panel_with):
    kinds = ["a", "b"] * 40 + ["new"] * 20
    with pytest.raises(BadInput, match="made: the class 'new' of column 'kind' has no example in the training split"):
        SeriesDataModule(panel_with(100, targets=0, labels=labels(kinds, "window")), task="classify", window=4)


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ("kind", {}, "data.label=kind: a forecaster has no label; say model=classifier or regressor"),
        (None, {"task": "classify"}, "model=classifier: needs labels: say their column with data.label="),
        (None, {"task": "regress"}, "model=regressor: needs labels: say their column with data.label="),
        ("kind", {"task": "classify", "horizon": 3}, "data.horizon=3: a label has no horizon; leave it out"),
        ("kind", {"task": "regress"}, "column 'kind': 'a' is not a number; to predict a class, say model=classifier"),
        ("1", {"task": "regress", "scale_target": "per_series"}, "data.scale_target=per_series: labels have one scale"),
    ],
)
def test_what_labels_and_models_cannot_do_together_is_named(panel_with, given, options, message):
    kinds = {"kind": ["a", "b"] * 20, "1": range(40), None: None}[given]
    panel = panel_with(*LENGTHS, labels=None if kinds is None else labels(kinds))
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(panel, **options)


def test_few_training_series_come_again(panel):
    data = SeriesDataModule(panel, task="classify", train_windows=3, train_windows_from="stretch")
    x, y = all_of(data.dataset("train"))
    assert len(y) == 28
    expected, _ = all_of(data.every_window("train"))
    last = unpack_sequence(expected)[-3:]
    for place, sequence in enumerate(unpack_sequence(x)):
        assert torch.equal(sequence, last[place % 3])


@pytest.mark.parametrize(
    ("label", "scale", "told"),
    [
        (lambda row: "1e39" if row == 7 else str(row), "standard", r"row 8, column 'kind': '1e39' is beyond 1e\+30"),
        (lambda row: "inf" if row == 7 else str(row), "standard", r"row 8, column 'kind': 'inf' is not finite"),
        (lambda row: 1e9 + row % 3, "none", r"column 'kind': its changes are finer than float32 can hold"),
        (lambda row: 5, "standard", r"column 'kind' \(data\.label\) is 5 everywhere: there is nothing to predict"),
        (lambda row: 1e15 + row % 3 / 8, "standard", r"column 'kind' \(data\.label\) is 1e\+15 everywhere"),
    ],
)
def test_numbers_that_a_regressor_cannot_learn_are_named(label, scale, told):
    data = {"y": [float(row * row % 7) for row in range(60)], "kind": [str(label(row)) for row in range(60)]}
    panel = read_table(data, label="kind", label_per="window", time="none")
    with pytest.raises(BadInput, match=told):
        SeriesDataModule(panel, window=5, task="regress", scale_target=scale)


def test_labels_on_a_high_level_are_learned_where_they_are_scaled():
    data = {"y": [float(row * row % 7) for row in range(60)], "kind": [str(1e9 + row % 3) for row in range(60)]}
    panel = read_table(data, label="kind", label_per="window", time="none")
    module = SeriesDataModule(panel, window=5, task="regress")
    assert module.answers.tensor.unique().numel() == 3
