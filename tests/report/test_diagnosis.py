"""The diagnosis in plain text, from what was measured alone."""

from flatspot.diagnosis import Diagnosis, Finding
from flatspot.examination.gathering import EXPERIMENTS
from flatspot.report.diagnosis import TRIED, WIDTH, told

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


def test_each_experiment_has_words():
    assert {name for name, *_ in EXPERIMENTS} == set(TRIED)
