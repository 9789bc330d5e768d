import numpy as np
import pytest

from flatspot.report.figures import answers_by_truth, confusion_matrix, examples_of, forecast_examples


@pytest.mark.parametrize(("windows", "shown"), [(300, 4), (2, 2), (1, 1)])
def test_examples_stand_where_their_truth_is(windows, shown):
    truth = np.array([[50.0 + i, 51.0 + i, 52.0 + i] for i in range(windows)])
    pasts = np.array([np.arange(40.0 + i, 50.0 + i) for i in examples_of(windows)])
    figure = forecast_examples(pasts, truth, truth, name="level")
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == shown
    for axes in drawn:
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_array_equal(lines["truth"], lines["prediction"])
        assert lines["window"][-1] + 1 == lines["truth"][0]


@pytest.mark.parametrize(("windows", "said"), [(300, "all predictions"), (2000, "500 of 2000 predictions")])
def test_the_legend_says_how_many_predictions_stand_behind(windows, said):
    figure = forecast_examples(np.zeros((4, 10)), np.zeros((windows, 2)), np.ones((windows, 2)), name="level")
    (label,) = (text.get_text() for text in figure.axes[0].get_legend().get_texts() if "predictions" in text.get_text())
    assert label.startswith(said)
    (faint,) = figure.axes[0].collections
    assert len(faint.get_segments()) == min(windows, 500)


def test_it_is_drawn_without_a_display_and_without_pyplot():
    figure = forecast_examples(np.zeros((4, 10)), np.zeros((5, 2)), np.ones((5, 2)), name="level")
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
