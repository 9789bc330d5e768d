import numpy as np
import pytest

from flatspot.report.figures import forecast_examples


@pytest.mark.parametrize(("windows", "shown"), [(300, 4), (2, 2), (1, 1)])
def test_examples_stand_where_their_truth_is(windows, shown):
    series = np.arange(500.0)
    truth = np.array([series[40 + i + 10 : 40 + i + 13] for i in range(windows)])
    figure = forecast_examples(series, truth, 40, window=10, name="level")
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == shown
    for axes in drawn:
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_array_equal(lines["truth"], lines["prediction"])
        assert lines["window"][-1] + 1 == lines["truth"][0]


@pytest.mark.parametrize(("windows", "said"), [(300, "all predictions"), (2000, "500 of 2000 predictions")])
def test_the_legend_says_how_many_predictions_stand_behind(windows, said):
    figure = forecast_examples(np.arange(2100.0), np.zeros((windows, 2)), 0, window=10, name="level")
    (label,) = (text.get_text() for text in figure.axes[0].get_legend().get_texts() if "predictions" in text.get_text())
    assert label.startswith(said)
    faint = [line for line in figure.axes[0].get_lines() if line.get_alpha() == 0.06]
    assert len(faint) == min(windows, 500)


def test_it_is_drawn_without_a_display_and_without_pyplot():
    figure = forecast_examples(np.arange(50.0), np.zeros((5, 2)), 0, window=10, name="level")
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).std() > 0
