import pytest

from flatspot.diagnosis import EXPLAINED
from flatspot.report.text import error_table, summary


def metrics(**changes):
    errors = {"mae": 21.575, "rmse": 29.673, "mase": 1.883, "r2": 0.7316}
    whole = {
        "test": errors,
        "baseline": {name: dict(errors) for name in ("mean", "persistence", "ridge")},
        "diversity": {"ratio": 0.7727, "minimum": 0.7377, "flat_share": 0.0, "clock_share": 0.01},
        "verdict": "healthy",
        "explained": EXPLAINED["healthy"],
        "findings": [],
        "not_examined": {"causes": "no cause was looked for yet"},
    }
    return whole | changes


def shown(**changes):
    looks = ["outputs/a run/report.html", 'tensorboard --logdir "outputs/a run"']
    return summary(metrics(**changes), model="lstm", target="sunspots", run="outputs/a run", looks=looks)


def test_the_table_lines_up():
    table = shown().split("\n\n")[0].splitlines()
    assert len({len(line) for line in table}) == 1
    assert table[0].split() == ["test", "error", "in", "sunspots", "MAE", "RMSE", "MASE", "R²"]
    assert [line.split("  ")[0] for line in table[2:]] == ["lstm", "ridge", "persistence", "training mean"]


def test_verdict_run_and_what_was_not_examined_are_said():
    text = shown()
    assert "verdict          healthy: the outputs vary in line with what the inputs allow" in text
    assert "not examined     causes: no cause was looked for yet" in text
    assert text.endswith(
        """
look             outputs/a run/report.html
                 tensorboard --logdir "outputs/a run\""""
    )


def test_a_finding_says_what_was_seen_what_it_means_and_what_to_try_first():
    told = {"seen": "1e-6 of the last step", "means": "early steps are lost", "try_first": "model.cell=lstm"}
    text = shown(findings=[{"cause": "vanishing-gradient", **told}])
    assert "finding          vanishing-gradient\n" in text
    assert "  seen           1e-6 of the last step\n" in text
    assert "  means          early steps are lost\n" in text
    assert "  try first      model.cell=lstm\n" in text


def test_what_could_not_be_measured_is_a_dash():
    nothing = dict.fromkeys(("mae", "rmse", "mase", "r2"))
    unmeasured = {"ratio": None, "minimum": None, "flat_share": None, "clock_share": None}
    text = shown(test=nothing, diversity=unmeasured)
    assert text.splitlines()[2].split() == ["lstm", "-", "-", "-", "-"]
    assert "diversity ratio  -\n" in text


@pytest.mark.parametrize(
    ("largest", "written"), [(1234567.0, "1,234,567"), (0.0012, "0.001200"), (12.0, "12.00"), (2.1e19, "2.100e+19")]
)
def test_figures_keep_four_digits(largest, written):
    row = {"mae": largest, "rmse": 0.0, "mase": 0.0, "r2": 0.0}
    baselines = dict.fromkeys(("mean", "persistence", "ridge"), row)
    assert written in shown(test=row, baseline=baselines).splitlines()[2]


def test_one_huge_figure_does_not_take_the_digits_of_the_others():
    own, ridge = {"mae": 21.64, "r2": 0.714}, {"mae": 24.2, "r2": -51_230.4}
    lines = error_table(own, {"ridge": ridge}, model="lstm", target="sales")
    assert "0.714" in lines[2]
    assert "-51,230" in lines[3]


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (10.0, "2.157 times as much as ridge"),
        (20.0, "8% more than ridge"),
        (43.15, "50% less than ridge"),
        (21.58, "as much as ridge"),
    ],
)
def test_it_is_said_how_far_the_best_baseline_is(best, said):
    baselines = {name: metrics()["test"] | {"mae": 50.0} for name in ("mean", "persistence")}
    baselines["ridge"] = metrics()["test"] | {"mae": best}
    assert f"errs             {said}, the best baseline (MAE)\n" in shown(baseline=baselines)


def test_where_no_baseline_has_an_error_nothing_is_said_of_it():
    assert "best baseline" not in shown(baseline={"ridge": dict.fromkeys(metrics()["test"])})
