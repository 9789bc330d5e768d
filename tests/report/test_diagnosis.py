"""The diagnosis in plain text, from what was measured alone."""

from dataclasses import asdict

import pytest

from flatspot.diagnosis import Diagnosis, Finding, consult
from flatspot.examination.gathering import EXPERIMENTS
from flatspot.report.diagnosis import TRIED, WIDTH, told
from flatspot.report.page import page
from flatspot.report.text import summary
from flatspot.rules import RULES

TRIALS = {
    f"trial_{name}/skill": skill for name, skill in (("again", 0.02), ("slower", 0.31), ("on", 0.11), ("free", 0.0))
}


def test_where_no_cause_is_found_it_says_what_came_farthest():
    text = told(Diagnosis("flat"), TRIALS)
    assert "no cause was found" in text
    line = text.replace("\n", " ")
    assert line.index("a tenth of the learning rate (skill 0.31)") < line.index("more steps (skill 0.11)")
    assert "weight decay" not in line  # the three best
    assert max(map(len, text.splitlines())) <= WIDTH


def test_it_says_nothing_of_trials_where_there_is_a_cause_or_nothing_wrong():
    found = Finding(cause="dead-units", seen="a", means="b", try_first="c", confidence=0.8)
    for each in (Diagnosis("flat", (found,)), Diagnosis("healthy"), Diagnosis("rightly-flat")):
        assert "no cause was found" not in told(each, TRIALS)
    assert "no cause was found" not in told(Diagnosis("flat"), {})


def finding(cause, *together, confidence=0.8):
    return Finding(cause=cause, seen="1", means="b", try_first="c", confidence=confidence, together=together)


def test_causes_that_only_help_together_are_said_to():
    pair = finding("unscaled-inputs", "unscaled-targets"), finding("unscaled-targets", "unscaled-inputs")
    for found, said in (
        (pair, "do 1 and 2 together: neither is enough alone"),
        ((finding("dead-units"), *pair), "do 2 and 3 together: neither is enough alone"),
    ):
        diagnosis = Diagnosis("flat", found)
        assert said in told(diagnosis, {}).splitlines()
        assert said.capitalize() in page(diagnosis, {})
        as_metrics = [asdict(each) for each in found]
        assert "unscaled-inputs and unscaled-targets at once: neither" in summarised(as_metrics)


def test_nothing_is_said_of_doing_together_what_is_not_there_or_not_sure():
    alone = (finding("unscaled-inputs", "unscaled-targets"),)
    unsure = (*alone, finding("unscaled-targets", "unscaled-inputs", confidence=0.3))
    one_sided = (*alone, finding("unscaled-targets"))
    for found in (alone, unsure, one_sided):
        assert "together" not in told(Diagnosis("flat", found), {})
        assert "at once" not in summarised([asdict(each) for each in found])


@pytest.mark.parametrize(
    ("inputs", "targets", "both", "said"),
    [(0.0, 0.05, 0.9, True), (0.1, 0.5, 0.95, True), (0.0, 0.9, 0.95, False), (0.8, 0.7, 0.9, False)],
)
def test_inputs_and_targets_are_mended_together_only_where_an_experiment_says_so(inputs, targets, both, said):
    evidence = {
        **{f"inputs/{name}": 400.0 for name in ("largest_offset", "largest_std", "smallest_std")},
        "targets/mean": 9000.0,
        "targets/std": 20.0,
        "skill/missing": 1.0,
        "trial_inputs/closes": inputs,
        "trial_targets/closes": targets,
        "trial_both/closes": both,
    }
    asked = {cause: RULES[cause] for cause in ("unscaled-inputs", "unscaled-targets")}
    found, _ = consult(asked, evidence)
    assert ("do 1 and 2 together" in told(Diagnosis("flat", found), {})) is said


def summarised(findings):
    """The end of a run."""
    row = {"mae": 1.0, "rmse": 1.0, "mase": 1.0, "r2": 0.0}
    metrics = {
        "test": row,
        "baseline": {},
        "findings": findings,
        "verdict": "flat",
        "explained": "all the same",
        "diversity": {"ratio": 0.0, "minimum": 0.0, "flat_share": 1.0},
        "not_examined": {},
    }
    return " ".join(summary(metrics, model="lstm", target="sales", run="outputs").split())


def test_each_experiment_has_words():
    assert {name for name, *_ in EXPERIMENTS} == set(TRIED)


def test_healthy_says_that_a_reference_reaches_more():
    seen = {"diversity/ratio_val": 0.8, "skill/val": 0.4, "references/ridge": 0.3, "references/trees": 0.5}
    known = seen | {"references/best": 0.5}
    said = " ".join(told(Diagnosis("healthy"), known).split())
    assert "on held-out samples its skill is 0.4, that of small boosted trees 0.5" in said
    silent = [
        (Diagnosis("healthy"), known | {"skill/val": 0.49}),
        (Diagnosis("healthy"), known | {"skill/val": 0.6}),
        (Diagnosis("healthy"), {name: each for name, each in known.items() if name != "references/trees"}),
        (Diagnosis("healthy"), known | {"skill/model_test": 0.4}),
        (Diagnosis("varied-but-wrong"), known),
        (Diagnosis("healthy"), known | {"skill/val": 0.976, "references/trees": 1.0}),
    ]
    assert all("held-out" not in told(*each) for each in silent)
