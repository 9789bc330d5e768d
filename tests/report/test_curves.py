import numpy as np

from flatspot.report.curves import diversity_by_station, gate_shares, sensitivity_by_step


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_each_look_is_a_line_the_first_one_faint():
    figure = diversity_by_station(["input", "rnn", "output"], {200: [1.0, 0.5, 0.2], 0: [1.0, 0.1, 0.0]})
    drawn = lines(figure)
    assert list(drawn) == ["before training", "after 200 steps"]
    np.testing.assert_array_equal(drawn["after 200 steps"].get_ydata(), [1.0, 0.5, 0.2])
    assert np.isnan(drawn["before training"].get_ydata()[2]), "nothing has no place on a logarithmic axis"
    assert [text.get_text() for text in figure.axes[0].get_xticklabels()] == ["input", "rnn", "output"]
    brightness = [sum(drawn[name].get_color()[:3]) for name in drawn]
    assert brightness[0] > brightness[1]


def test_the_last_time_step_stands_at_zero():
    line = lines(sensitivity_by_step({0: [0.1, 0.2, 0.3]}))["before training"]
    np.testing.assert_array_equal(line.get_xdata(), [-2, -1, 0])


def test_rounding_does_not_press_everything_else_to_the_top():
    axes = sensitivity_by_step({0: [1e-30, 0.2, 0.3]}).axes[0]
    assert axes.get_ylim()[0] == 1e-12
    assert sensitivity_by_step({0: [0.1, 0.2, 0.3]}).axes[0].get_ylim()[0] > 0.01


def test_gates_reach_to_the_left_where_they_are_shut_and_to_the_right_where_they_are_open():
    low, high = {"rnn input": {0: [0.25], 5: [0.5]}}, {"rnn input": {0: [0.0], 5: [0.75]}}
    figure = gate_shares(low, high)
    widths = [bar.get_width() for bars in figure.axes[0].containers for bar in bars]
    assert widths == [-0.25, 0.0, -0.5, 0.75]
    figure.canvas.draw()
    labels = "".join(text.get_text() for text in figure.axes[0].get_xticklabels())
    assert labels
    assert not {"-", "\N{MINUS SIGN}"} & set(labels)


def test_a_network_that_says_nothing_is_drawn_all_the_same():
    for figure in (diversity_by_station(["a", "b"], {0: [0.0, 0.0]}), sensitivity_by_step({0: [0.0, 0.0]})):
        figure.canvas.draw()
        assert figure.axes[0].get_legend() is not None
