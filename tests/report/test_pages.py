"""Pages of runs and sweeps: whole by themselves, whatever is put into them, and drawn the same each time."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from flatspot.diagnosis import Diagnosis, Finding
from flatspot.evidence import measurement
from flatspot.report.comparison import axes_of, map_of
from flatspot.report.figures import small
from flatspot.report.forecasts import kept_of
from flatspot.report.progress import gates
from flatspot.report.run_page import RunRecord, check_metrics, run_page
from flatspot.report.svg import svg_of
from flatspot.report.sweep import Job
from flatspot.report.sweep_page import SORT, sweep_page

MARKUP = "<script>alert('$1')</script><img src=x>&\""

OUTSIDE = re.compile(
    r"""(?:src|href|action)\s*=\s*(?!["']?(?:#|data:|\d+/report))|@import|url\((?!#)|https?://(?!www\.w3\.org/)"""
)
"""What would ask for anything: links within the page, pictures in it, and runs' pages beside it are none."""


class Outline(HTMLParser):
    """Headings, names and pictures of a page."""

    def __init__(self, page):
        super().__init__()
        self.headings, self.names, self.labels, self.scripts, self.policy = [], [], [], [], ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if "id" in given:
            self.names.append(given["id"])
        if tag == "svg":
            self.labels.append(given.get("aria-label"))
        if tag == "script":
            self.scripts.append(given)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]


def metrics(**changes):
    errors = {"mae": 21.5, "rmse": 29.6, "mase": 1.9, "r2": 0.73}
    about = {"data": "a.csv: 9 rows", "targets": ["level"], "model": "gru (tanh)", "versions": {"torch": "2"}}
    whole = {
        "test": errors,
        "baseline": {name: dict(errors) for name in ("mean", "ridge")},
        "diversity": {"ratio": 0.8},
        "verdict": "healthy",
        "findings": [],
        "steps": 90,
        "fit_seconds": 1.5,
        "seconds": 3.0,
        "about": about,
        "by_step": {name: {"mae": [1.0, 2.0, 3.0]} for name in ("model", "ridge", "mean")},
    }
    return whole | changes


def entries():
    looks = {"station/input/spread": 0.9, "station/head/spread": 0.1, "station/output/spread": 0.1}
    looks |= {"activation/gru_saturated": 0.2, "activation/gru_dead": 0.0}
    looks |= {"activation/gru reset_shut": 0.3, "activation/gru reset_open": 0.1}
    curves = {
        "station/spread": [0.9, 0.1, 0.1],
        "sensitivity/by_step": [1e-6, 1e-3, 1.0],
        "loss_gradient/by_step": [0.0, 0.1, 2.0],
    }
    told = [measurement("start", 0, 0, looks, curves)]
    for epoch in (1, 2, 3):
        seen = {"loss/train": 1 / epoch, "loss/val": 1.0, "diversity/ratio_val": 0.1, "gradient/total": 0.5}
        told.append(measurement("epoch", epoch, 30 * epoch, seen))
    return [*told, measurement("trained", 3, 90, looks, curves)]


def record(name="a run", **changes):
    forecasts = kept_of(np.random.default_rng(0).normal(size=(40, 3)), np.zeros((40, 3)), np.zeros((4, 5)))
    found = Finding("unscaled-inputs", "9065 is large", "units stand still", "scale", 0.9, "data.scale=standard")
    whole = {
        "diagnosis": Diagnosis("flat", (found,), {"too-deep": "no fresh copy"}),
        "evidence": {"skill/val": 0.1, "diversity/ratio_val": 0.01},
        "entries": entries(),
        "metrics": metrics(),
        "config": "seed: 0",
        "settings": {"seed": 0, "data": {"scale": "none"}},
        "forecasts": forecasts,
    }
    return RunRecord(name, **whole | changes)


@pytest.mark.parametrize("between", [" ", "/"])
def test_gates_are_drawn_of_runs_of_before_too(between):
    shares = {f"activation/gru{between}reset_shut": 0.3, f"activation/gru{between}reset_open": 0.1}
    drawn = gates([measurement("start", 0, 0, shares)])
    assert [each.get_text() for each in drawn.axes[0].get_yticklabels()] == ["gru reset"]


def test_a_run_is_told_whole():
    page = run_page(record())
    seen = Outline(page)
    assert seen.headings[0] == 1
    assert seen.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(seen.headings, seen.headings[1:], strict=False))
    assert len(seen.names) == len(set(seen.names))
    assert len(seen.labels) == 4 + 2 + 5
    assert all(seen.labels)
    for told in ("data.scale=standard", "unscaled-inputs", "level", "gru (tanh)", "seed: 0", "90 optimizer steps"):
        assert told in page


@pytest.mark.parametrize("page", [run_page(record()), run_page(record(metrics=None, forecasts=None, entries=[]))])
def test_a_run_asks_for_nothing(page):
    assert "<script" not in page
    assert not OUTSIDE.search(page)
    assert "script-src" not in page
    assert len(page) < 3_000_000


def test_it_is_drawn_the_same_each_time():
    assert run_page(record()) == run_page(record())


def test_what_comes_from_data_is_shown_as_it_is_written():
    told = metrics()
    told["about"] |= {"targets": [MARKUP], "data": MARKUP, "model": MARKUP, "versions": {MARKUP: MARKUP}}
    odd = [
        measurement(
            "start",
            0,
            0,
            {f"station/{MARKUP}/spread": 1.0, f"activation/{MARKUP}_dead": 0.5},
            {"station/spread": [1.0]},
        )
    ]
    found = Finding("of-a-plugin", MARKUP, MARKUP, MARKUP, 0.5)
    page = run_page(
        record(
            MARKUP,
            metrics=told,
            entries=odd,
            config=MARKUP,
            diagnosis=Diagnosis("flat", (found,), {MARKUP: MARKUP}),
            evidence={MARKUP: 1.0},
            notes=[MARKUP],
        )
    )
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_several_series_are_named_each_on_axes_of_its_own():
    series = np.repeat([0, 1], 40)
    level = np.where(series, 9000.0, 3.0)[:, None]
    truth = level * (1 + 0.1 * np.random.default_rng(0).normal(size=(80, 3)))
    kept = kept_of(truth, truth, np.repeat(level[[0, 0, 79, 79]], 5, axis=1), series=series, names=["small", MARKUP])
    figures = {"small": {"mae": 0.5, "mase": 2.0, "r2": None}, MARKUP: {"mae": 90.0, "mase": 1.0, "r2": 0.5}}
    beside = {"small": {"ridge": 0.4, "mean": None}, MARKUP: {"ridge": 100.0, "mean": 200.0}}
    page = run_page(record(metrics=metrics(by_series=figures, baseline_by_series=beside), forecasts=kept))
    assert "<script" not in page
    assert "each series has axes of its own" in page
    table = page[page.index("Errors by series") :]
    assert table.index("small") < table.index("&lt;script&gt;")  # the larger MASE, not the larger MAE
    for told in ("ridge 0.4", "+25%", "ridge 100", "-10%", "series small"):
        assert told in page


def test_of_many_series_the_worst_are_in_sight_and_the_rest_is_folded_or_counted():
    figures = {f"shop {number:04}": {"mae": 1.0 + number, "mase": 1.0 + number} for number in range(600)}
    page = run_page(record(metrics=metrics(by_series=figures)))
    assert page.index("shop 0599") < page.index("shop 0590") < page.index("490 more series") < page.index("shop 0589")
    assert "100 more series are in metrics.json" in page
    assert "shop 0099" not in page


def test_classes_and_numbers_have_their_own_picture():
    classes = metrics(confusion=[[3, 0], [2, 0]], classes=["<a>", "$b"], by_step={})
    page = run_page(record(metrics=classes, forecasts=None))
    assert "Which class was named" in page
    assert "&lt;a&gt;" in page
    numbers = kept_of(np.zeros((9, 1)), np.arange(9.0)[:, None])
    assert "Answers by truth" in run_page(record(forecasts=numbers))


def test_a_run_that_broke_off_is_told_as_far_as_it_came():
    page = run_page(record(metrics=None, forecasts=None, notes=["the run failed (no reason is on record)"]))
    assert "no test was made" in page
    assert "the run failed" in page
    assert "Errors beside the baselines" not in page
    assert len(Outline(page).labels) == 1 + 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"test": {"mae": "<b>"}},
        {"test": 3},
        {"baseline": {"ridge": [1]}},
        {"by_step": {"model": {"mae": ["a"]}}},
        {"by_step": {"model": {"mae": 3}}},
        {"confusion": [["a"]]},
        {"confusion": [[1, 2]], "classes": ["a"]},
        {"confusion": [[1]]},
        {"verdict": None},
        {"seconds": 10**400},
        {"about": {"targets": [3]}},
        {"findings": [{"cause": 3}]},
        {"about": []},
        {"about": {"targets": "level"}},
        {"steps": "many"},
    ],
)
def test_figures_that_are_none_are_refused(wrong):
    check_metrics(metrics())
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        check_metrics(metrics(**wrong))


def job(number, cell, activation, seed, mae, **changes):
    settings = {"model.cell": cell, "model.activation": activation, "seed": str(seed)}
    told = None if mae is None else metrics(test={"mae": mae, "r2": 0.5})
    return Job(number, str(number), settings, told, **{"failure": None if told else "it broke", **changes})


def jobs():
    cells, activations = ("rnn", "gru"), ("tanh", "relu")
    arms = [(cell, activation, seed) for cell in cells for activation in activations for seed in (0, 1)]
    return [job(at, *arm, 20.0 + at + 0.1 * (arm[2])) for at, arm in enumerate(arms)]


def test_a_sweep_answers_in_a_sentence_and_a_table():
    page = sweep_page([*jobs(), job(8, MARKUP, "relu", 0, None, failure=MARKUP)], linked=range(8))
    seen = Outline(page)
    assert "model.cell=rnn, model.activation=tanh: MAE 20.55 ± 0.78, healthy." in page
    assert seen.headings[0] == 1
    assert len(seen.names) == len(set(seen.names))
    assert len(seen.labels) == 1
    assert page.count('<table class="map">') == 2
    assert page.count('<a href="') == 8
    assert '<a href="0/report.html">0</a>' in page
    assert MARKUP not in page
    assert "&lt;script&gt;" in page
    assert not OUTSIDE.search(sweep_page(jobs()).replace(SORT, ""))


def test_its_one_script_is_the_only_one_that_it_allows():
    page = sweep_page(jobs())
    seen = Outline(page)
    assert seen.scripts == [{}]
    assert f"<script>{SORT}</script>" in page
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", seen.policy)
    assert seen.policy.startswith("default-src 'none'")


def test_runs_without_pages_have_no_links():
    assert "<a href" not in sweep_page(jobs())
    assert re.findall(r'<a href="([^"]*)"', sweep_page(jobs(), linked={3})) == ["3/report.html"]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ([job(n, "rnn", "tanh", n, 10.0 + n) for n in range(3)], "no other setting to compare it with"),
        ([job(0, "rnn", "tanh", 0, 10.0), job(1, "gru", "tanh", 0, 11.0)], "two seeds at least"),
        ([job(n, "rgn"[n // 3], "tanh", n % 3, 10.0 * (1 + n // 3) + 0.1 * (n % 3)) for n in range(9)], "2 of the 2"),
        ([job(n, "rg"[n // 3], "tanh", n % 3, 10.0 + n % 3 + 0.1 * (n == 5)) for n in range(6)], "0 of the 1 other"),
        (
            [job(0, "rnn", "tanh", 0, 1.0), job(1, "rnn", "tanh", 1, None), job(2, "gru", "tanh", 0, 2.0)],
            "(1 of its 2 jobs are done)",
        ),
    ],
)
def test_its_sentence_says_how_sure_that_is(held, said):
    assert said in sweep_page(held)


@pytest.mark.parametrize("few", [[], [job(0, "rnn", "tanh", 0, 20.0)], [job(0, "rnn", "tanh", 0, None)]])
def test_a_sweep_of_next_to_nothing_has_a_page(few):
    assert "<h1>" in sweep_page(few)


def test_a_map_holds_means_over_seeds_and_a_dash_for_nothing():
    found = [*jobs()[:6], job(6, "gru", "relu", 0, float("nan"))]
    assert axes_of(found, ["seed", "model.activation", "model.cell"]) == ("model.cell", "model.activation")
    drawn = map_of(found, ("model.cell", "model.activation"), ("test", "mae"), "MAE")
    assert (drawn.down, drawn.across, drawn.columns) == ("model.cell", "model.activation", ["tanh", "relu"])
    texts = {row: [text for text, _, _ in cells] for row, cells in drawn.rows}
    assert texts == {"rnn": ["20.55", "22.55"], "gru": ["24.55", "-"]}
    assert axes_of(found, ["model.cell"]) is None


def test_one_setting_that_went_astray_leaves_the_others_apart():
    found = [job(0, "rnn", "tanh", 0, 10.0), job(1, "rnn", "relu", 0, 11.0), job(2, "gru", "tanh", 0, 12.0)]
    drawn = map_of([*found, job(3, "gru", "relu", 0, 1e9)], ("model.cell", "model.activation"), ("test", "mae"), "")
    colours = {text: colour for _, cells in drawn.rows for text, colour, _ in cells}
    assert len({colours[each] for each in ("10", "11", "12")}) == 3


def test_the_longer_axis_of_a_map_stands_down():
    found = [job(n, cell, f"a{n}", 0, 10.0 + n) for n in range(8) for cell in ("rnn", "gru")]
    drawn = map_of(found, ("model.cell", "model.activation"), ("test", "mae"), "MAE")
    assert (len(drawn.rows), len(drawn.columns)) == (8, 2)


def test_what_is_nowhere_is_said_and_not_drawn():
    looks = {f"activation/gru{end}": 0.0 for end in ("_saturated", "_dead", "/reset_shut", "/reset_open")}
    page = run_page(record(entries=[measurement("start", 0, 0, looks)]))
    assert "No gate value stood at a rail" in page
    assert "No unit was saturated or dead" in page
    assert "gate values at their rails" not in page


def test_of_several_targets_it_says_which_one_is_drawn():
    told = metrics(by_step={"model": {"mae": [1.0, 2.0]}})
    told["about"] |= {"targets": ["sales", "visitors"]}
    page = run_page(record(metrics=told))
    assert "Of the first of 2 targets, sales." in page
    assert "MAE, mean over 2 targets" in page


def test_two_figures_share_no_names():
    figure = small()
    figure.subplots().plot([1, 2], [3, 4])
    first, second = (re.findall(r'\sid="([^"]*)"', svg_of(figure, number, "a line")) for number in (1, 2))
    assert first
    assert not set(first) & set(second)
    text = svg_of(figure, 3, 'a "line"')
    assert set(re.findall(r"(?:url\(|href=\")#([^)\"]*)", text)) <= set(re.findall(r'\sid="([^"]*)"', text))
    assert 'aria-label="a &#34;line&#34;"' in text
