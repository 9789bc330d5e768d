import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatspot.errors import BadInput
from flatspot.report.figures import answers_by_truth, confusion_matrix, forecast_example, forecast_examples
from flatspot.report.forecasts import FILE, choose, kept_of, read_forecasts, write_forecasts


def examples_of(windows):
    chosen = choose(np.zeros(windows, np.int64))
    return chosen.numbers[chosen.examples]


def kept(windows):
    return kept_of(np.zeros((windows, 2)), np.ones((windows, 2)), np.zeros((len(examples_of(windows)), 10)))


@pytest.mark.parametrize(("windows", "shown"), [(300, 4), (2, 2), (1, 1)])
def test_examples_stand_where_their_truth_is(windows, shown):
    truth = np.array([[50.0 + i, 51.0 + i, 52.0 + i] for i in range(windows)])
    pasts = np.array([np.arange(40.0 + i, 50.0 + i) for i in examples_of(windows)])
    figure = forecast_examples(kept_of(truth, truth, pasts), name="level")
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == shown
    for axes in drawn:
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_array_equal(lines["truth"], lines["prediction"])
        assert lines["window"][-1] + 1 == lines["truth"][0]


@pytest.mark.parametrize(("windows", "said"), [(300, "all predictions"), (2000, "300 of 2000 predictions")])
def test_the_legend_says_how_many_predictions_stand_behind(windows, said):
    figure = forecast_examples(kept(windows), name="level")
    (label,) = (text.get_text() for text in figure.axes[0].get_legend().get_texts() if "predictions" in text.get_text())
    assert label.startswith(said)
    (faint,) = figure.axes[0].collections
    assert len(faint.get_segments()) == min(windows, 300)


def test_of_a_single_step_other_forecasts_are_points_that_all_are_seen():
    figure = forecast_examples(kept_of(np.zeros((50, 1)), np.ones((50, 1))), name="level")
    points = max((line.get_xydata() for line in figure.axes[0].get_lines()), key=len)
    assert len({tuple(each) for each in points.tolist()}) == 50
    assert set(points[:, 1]) == {0.0}
    assert points[:, 0].min() > 0.5 and points[:, 0].max() < 1.5  # noqa: PT018 - a range


def test_it_is_drawn_without_a_display_and_without_pyplot():
    figure = forecast_examples(kept(5), name="level")
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0


def test_one_answer_for_all_is_a_level_line_and_a_full_column():
    figure = answers_by_truth(np.full(9, 2.0), np.arange(9.0), "sum")
    line, points = figure.axes[0].get_lines()
    assert set(points.get_ydata()) == {2.0}
    assert list(line.get_xdata()) == list(line.get_ydata()) == [0.0, 8.0]
    figure = confusion_matrix([[3, 0], [5, 0]], ["a", "b"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "0", "5", "0"]
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[1, 0], [1, 0]])


def test_many_classes_are_drawn_without_their_names():
    figure = confusion_matrix(np.eye(30, dtype=int).tolist(), [f"class {each}" for each in range(30)])
    assert not figure.axes[0].texts


@pytest.mark.parametrize("windows", [1, 3, 300, 1234])
def test_what_is_kept_is_read_back_and_belongs_together(windows, tmp_path):
    truth = np.arange(windows, dtype=float)[:, None] + np.arange(3.0)
    pasts = np.stack([np.arange(place - 5.0, place) for place in examples_of(windows)])
    write_forecasts(tmp_path, kept_of(truth + 0.5, truth, pasts))
    held = read_forecasts(tmp_path)
    assert held.total == windows
    assert len(held.numbers) == min(windows, 300)
    np.testing.assert_array_equal(held.targets[:, 0], held.numbers)
    np.testing.assert_array_equal(held.predictions, held.targets + 0.5)
    np.testing.assert_array_equal(held.pasts[:, -1] + 1, held.targets[held.examples, 0])
    assert {path.name for path in tmp_path.iterdir()} == {FILE}


@given(sizes=st.lists(st.integers(1, 200), min_size=2, max_size=30), most=st.integers(1, 300), data=st.data())
def test_of_several_series_examples_are_whole_and_have_company(sizes, most, data):
    series = np.repeat(data.draw(st.permutations(range(len(sizes)))), sizes)
    numbers, examples = choose(series, most)
    assert 1 <= len(examples) <= 4
    assert len(set(numbers)) == len(numbers) <= most + 4 * 76
    assert len(set(examples)) == len(examples)
    shown = series[numbers[examples]]
    assert len(set(shown)) == min(len(sizes), 4)
    for each in set(shown):
        assert (series[numbers] == each).sum() >= min((series == each).sum(), 75)


def test_each_series_is_drawn_at_its_own_level_and_by_its_name(tmp_path):
    series = np.repeat([0, 1, 2], 100)
    truth = np.array([1.0, 50.0, 9000.0])[series][:, None] + np.linspace(0, 0.5, 300)[:, None] * np.ones(3)
    write_forecasts(tmp_path, kept_of(truth, truth, series=series, names=["a", "$b", "c" * 100]))
    held = read_forecasts(tmp_path)
    figure = forecast_examples(held, name="level")
    for number, axes in enumerate(axes for axes in figure.axes if axes.get_visible()):
        low, high = axes.get_ylim()
        assert high - low < 1
        assert len(axes.collections[0].get_segments()) == len(held.beside(number)) >= 75
        assert axes.get_title().split(":")[0] in {"a", r"\$b", f"{'c' * 15}…{'c' * 16}"}
    figure.canvas.draw()


def test_there_may_be_none(tmp_path):
    assert read_forecasts(tmp_path) is None


@pytest.mark.parametrize(
    "arrays",
    [
        {"predictions": np.zeros((3, 2))},
        {"predictions": np.zeros((3, 2)), "targets": np.zeros((2, 2))},
        {"examples": np.array([7])},
        {"pasts": np.zeros((5, 2))},
        {"predictions": np.zeros((3, 0)), "targets": np.zeros((3, 0))},
        {"examples": np.array([0, 1, 2, 0, 1, 2])},
        {"series": np.zeros(2, int)},
        {"names": np.array(["a", "b"])},
        {"names": np.array([print], dtype=object)},
        {"predictions": np.array([{"code": print}], dtype=object)},
    ],
)
def test_a_file_of_something_else_is_named(arrays, tmp_path):
    whole = {
        "predictions": np.zeros((3, 2)),
        "targets": np.zeros((3, 2)),
        "examples": np.array([0]),
        "numbers": np.arange(3),
        "total": np.asarray(3),
    }
    given = arrays if len(arrays) == 1 and "predictions" in arrays and arrays["predictions"].dtype != object else None
    np.savez(tmp_path / FILE, **(given or whole | arrays))
    with pytest.raises(BadInput, match=r"forecasts\.npz: cannot be read as the run's forecasts"):
        read_forecasts(tmp_path)


def test_a_torn_file_is_named(tmp_path):
    write_forecasts(tmp_path, kept(5))
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"forecasts\.npz"):
        read_forecasts(tmp_path)


def test_forecasts_that_are_not_finite_are_drawn_as_far_as_they_go():
    held = kept_of(np.full((5, 2), np.nan), np.ones((5, 2)), np.zeros((4, 10)))
    forecast_example(held, 0, name="level").canvas.draw()
    forecast_examples(held, name="level").canvas.draw()


def test_a_name_with_dollars_is_no_formula():
    forecast_example(kept(5), 0, name=r"$\frac{$").canvas.draw()
    answers_by_truth(np.zeros(3), np.arange(3.0), "$x_").canvas.draw()
    confusion_matrix([[1, 0], [0, 1]], ["$a_", "b$"]).canvas.draw()
