"""All rules are of one form; each finds its own specimen sick, and the other one well."""

import importlib
import inspect
import math
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import flatspot.rules
from flatspot.diagnosis import Diagnosis, Finding, Rule, consult
from flatspot.report.diagnosis import told
from flatspot.rules import RULES

ROOT = Path(__file__).parents[2]
MODULES = [
    importlib.import_module(f"flatspot.rules.{each.name}") for each in pkgutil.iter_modules(flatspot.rules.__path__)
]
SECTIONS = ["## What it is", "## Why the outputs look alike", "## How we know", "## What to try"]
CAUSES = [
    "not-finite", "flat-target", "no-signal", "redundant-inputs", "unscaled-inputs", "unscaled-targets",
    "class-imbalance", "too-little-data", "misaligned-pairs", "train-eval-mismatch", "padding-dominates",
    "window-too-short", "loss-broadcast", "batch-as-time", "samples-mixed", "state-leak", "input-never-arrives",
    "wrong-timestep", "frozen-weights", "head-range", "bad-init", "too-deep", "saturated-units", "dead-units",
    "vanishing-gradient", "exploding-gradient", "learning-rate-too-high", "undertrained", "over-regularised",
    "rollout-converges", "weights-not-loaded", "head-ignores-state",
]  # fmt: skip


def cause_of(module):
    return module.__name__.rpartition(".")[2].replace("_", "-")


@pytest.fixture(params=MODULES, ids=cause_of)
def rule(request):
    return request.param


def test_there_is_a_rule_for_each_cause():
    assert sorted(map(cause_of, MODULES)) == sorted(CAUSES)
    assert set(CAUSES) <= set(RULES)


def test_it_finds_the_sick_specimen_and_not_the_well_one(rule):
    found = rule.judge(**rule.SICK)
    assert isinstance(found, Finding)
    assert found.cause == cause_of(rule)
    assert 0 < found.confidence < 1
    assert rule.judge(**rule.WELL) is None


def test_a_finding_says_what_was_seen_what_it_means_and_what_to_try(rule):
    found = rule.judge(**rule.SICK)
    for text in (found.seen, found.means, found.try_first):
        assert text
        assert text == text.strip()
        assert not text.endswith(".")
    if found.cause != "input-never-arrives":
        assert any(letter.isdigit() for letter in found.seen) or found.cause in {
            "batch-as-time",
            "samples-mixed",
            "state-leak",
        }, found.seen


THEIRS = re.compile(r"\b(?:model|self)\.(\w+)")
"""What is asked of a model in a line to paste."""

TORCH = {"parameters", "named_parameters", "modules", "load_state_dict", "requires_grad_", "training"}


def test_what_is_suggested_invents_no_name(rule):
    assert set(THEIRS.findall(rule.judge(**rule.SICK).try_first)) <= TORCH


NAMES = {"head_name": "out", "recurrent_name": "tower.0.rnn"}


@pytest.mark.parametrize(
    ("cause", "changes", "said"),
    [
        ("head-ignores-state", {}, "model.out.parameters()"),
        (
            "head-ignores-state",
            {"head_weight_share": 0.1, "trial_again_skill": 0.8, "skill_possible": 0.8},
            "print(model.out.weight.norm())",
        ),
        ("head-range", {}, "return self.out(h)"),
        ("rollout-converges", {}, "self.out = nn.Linear(hidden, horizon)"),
        ("state-leak", {}, "output, _ = self.tower[0].rnn(x)"),
        ("vanishing-gradient", {}, "nn.init.orthogonal_(model.tower[0].rnn.weight_hh_l0)"),
        (
            "exploding-gradient",
            {"trial_clipped_closes": 0.0, "reach_fresh_early": 90.0, "reach_now_early": 90.0},
            "nn.init.orthogonal_(model.tower[0].rnn.weight_hh_l0)",
        ),
        (
            "saturated-units",
            {"units_now_shut": 1.0, "units_standard_shut": 1.0},
            "nn.init.zeros_(model.tower[0].rnn.bias_ih_l0)",
        ),
    ],
)
def test_what_is_suggested_says_the_users_own_names_where_they_are_known(cause, changes, said):
    judge_of = importlib.import_module(f"flatspot.rules.{cause.replace('-', '_')}")
    evidence = {**judge_of.SICK, **changes}
    names = {name.replace("_", "/"): each for name, each in NAMES.items()}
    (found,), _ = consult({cause: RULES[cause]}, evidence, None, names)
    assert said in found.try_first
    (unnamed,), _ = consult({cause: RULES[cause]}, evidence)
    assert not set(THEIRS.findall(unnamed.try_first)) - TORCH


@pytest.mark.parametrize(
    ("changes", "override"),
    [
        ({}, "trainer.max_epochs=200"),
        ({"settings_shrinks": 0.5}, "optimizer.weight_decay=0"),
        (
            {"head_weight_share": 0.1, "trial_again_skill": 0.8, "skill_possible": 0.8},
            "optimizer.weight_decay=0",
        ),
    ],
)
def test_in_a_run_a_head_that_ignores_the_state_is_mended_by_a_setting(changes, override):
    found = RULES["head-ignores-state"](**{"head_refit_skill": 0.8, "skill_val": 0.0, "skill_missing": 1.0, **changes})
    assert found.override == override
    assert override in told(Diagnosis("flat", (found,)), {}, run=True)


def test_its_page_has_the_sections(rule):
    assert [line for line in rule.__doc__.splitlines() if line.startswith("#")] == SECTIONS
    assert rule.__doc__.splitlines()[0].endswith(".")


def test_what_it_explains_are_causes(rule):
    assert set(rule.EXPLAINS) <= set(CAUSES) - {cause_of(rule)}


def test_its_needs_are_numbers_by_name(rule):
    parameters = inspect.signature(rule.judge).parameters
    assert set(rule.SICK) <= set(parameters)
    assert all(math.isfinite(each) for each in rule.SICK.values())
    needed = {name for name, each in parameters.items() if each.default is each.empty}
    assert needed <= set(rule.SICK)


def test_what_a_run_may_paste_is_in_the_schema(rule):
    found = rule.judge(**rule.SICK)
    if found.override is None or "OTHER" in found.override:
        return
    overrides = found.override.split()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=overrides)  # a key that is not there is refused
    key, _, value = overrides[-1].partition("=")
    if "." in key:
        assert str(OmegaConf.select(config, key)).lower() == value.lower()


def test_pages_are_those_of_the_rules():
    pages = runpy.run_path(str(ROOT / "scripts" / "rule_pages.py"))["pages"]()
    assert {path.name for path in (ROOT / "docs" / "rules").iterdir()} == set(pages)
    for name, text in pages.items():
        assert (ROOT / "docs" / "rules" / name).read_text(encoding="utf-8") == text, "run scripts/rule_pages.py"


def test_rules_need_nothing_but_the_standard_library():
    code = (
        "import sys, flatspot.rules; print([each for each in ('torch', 'numpy', 'lightning') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_what_was_not_measured_leaves_a_rule_unasked_with_the_reason():
    rules = {"slow": Rule("slow", lambda trial_on_closes: None)}
    assert consult(rules, {"trial_on/closes": math.nan}, {"trial_on": "no optimizer was given"}) == (
        (),
        {"slow": "no optimizer was given"},
    )


def test_what_is_missing_is_said_in_words_for_every_number_that_a_rule_needs():
    for cause in CAUSES:
        for number in RULES[cause].needs()[0]:
            known = {each: 0.0 for each in RULES[cause].needs()[0] if each != number}
            _, told = consult({cause: RULES[cause]}, known)
            assert told[cause].endswith("could not be told from these samples")
            assert "_" not in told[cause]


def test_a_cause_stands_before_its_symptoms_and_these_stay():
    def finds(cause, confidence):
        return lambda: Finding(cause, "1", "2", "3", confidence)

    rules = {
        "symptom": Rule("symptom", finds("symptom", 0.8), explains=("cause",)),
        "cause": Rule("cause", finds("cause", 0.9), explains=("symptom",)),
    }
    found, _ = consult(rules, {})
    assert [each.cause for each in found] == ["cause", "symptom"]
    assert found[1].confidence == pytest.approx(0.24)


def test_a_finding_that_is_hardly_sure_explains_nothing_away():
    def finds(cause, confidence):
        return lambda: Finding(cause, "1", "2", "3", confidence)

    rules = {
        "symptom": Rule("symptom", finds("symptom", 0.6)),
        "cause": Rule("cause", finds("cause", 0.4), explains=("symptom",)),
    }
    assert [each.cause for each in consult(rules, {})[0]] == ["symptom", "cause"]


def test_a_rule_that_raises_or_gives_no_finding_is_told():
    rules = {"raises": Rule("raises", lambda: 1 / 0), "odd": Rule("odd", lambda: 3)}
    _, told = consult(rules, {})
    assert told["raises"] == "the check failed: ZeroDivisionError: division by zero"
    assert told["odd"].startswith("the check failed: TypeError: it gave 3")
