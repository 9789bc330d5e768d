"""A small part of the zoo, on a seed that nothing was tuned on; `scripts/zoo.py` holds the doctor against all of it."""

from functools import cache

import pytest
import torch
from pages import taken
from reader import compare

import flatspot
from zoo.program import programs

pytestmark = pytest.mark.long

SEED = 11
SEEN = programs("seen")


@cache
def examined(name):
    case = SEEN[name].build(SEED)
    return flatspot.examine(
        case.model,
        train=case.train,
        val=case.val,
        loss=case.loss,
        optimizer=case.optimizer,
        batch=case.batch,
        make_model=case.make_model,
    )


PROGRAMS = {
    "bad-init": "weights_of_zero",
    "batch-as-time": "batch_first_is_missing",
    "class-imbalance": "worn_bearings_are_rare",
    "dead-units": "every_neuron_inhibited",
    "exploding-gradient": "identity_rnn_without_clipping",
    "flat-target": "the_status_column",
    "frozen-weights": "detached_for_speed",
    "head-ignores-state": "head_held_down",
    "head-range": "relu_behind_the_head",
    "input-never-arrives": "state_begun_anew",
    "learning-rate-too-high": "sonar_with_a_learning_rate_of_one",
    "loss-broadcast": "targets_without_an_axis",
    "misaligned-pairs": "only_inputs_shuffled",
    "no-signal": "the_other_sensor",
    "not-finite": "a_gap_in_the_log",
    "over-regularised": "weight_decay_of_one",
    "padding-dominates": "zeros_behind_short_words",
    "redundant-inputs": "a_ring_buffer_appended_eight_hundred_times",
    "rollout-converges": "wells_forecast_from_their_own_forecasts",
    "samples-mixed": "reshape_for_a_transpose",
    "saturated-units": "minutes_appended_to_every_step",
    "state-leak": "linear_attention_built_for_streams",
    "too-deep": "dilated_stack_hears_bearing_pitch",
    "too-little-data": "gait_of_sixteen_patients",
    "train-eval-mismatch": "each_new_patient_scaled_alone",
    "undertrained": "warm_up_longer_than_the_training",
    "unscaled-inputs": "pressure_in_pascal",
    "unscaled-targets": "kelvins_in_units_of_their_spread",
    "vanishing-gradient": "remembered_cue_with_membrane_time_constant",
    "weights-not-loaded": "another_instance_answers",
    "window-too-short": "one_step_of_a_season",
    "wrong-timestep": "first_step_read",
}
"""One sick program a cause, a quick one."""

CONFUSED = (
    ("unscaled-inputs", "saturated-units"),
    ("unscaled-inputs", "input-never-arrives"),
    ("learning-rate-too-high", "dead-units"),
    ("learning-rate-too-high", "undertrained"),
    ("too-little-data", "no-signal"),
    ("misaligned-pairs", "no-signal"),
    ("unscaled-targets", "undertrained"),
    ("no-signal", "undertrained"),
    ("no-signal", "over-regularised"),
    ("redundant-inputs", "no-signal"),
    ("too-deep", "vanishing-gradient"),
    ("bad-init", "too-deep"),
    ("dead-units", "head-range"),
    ("frozen-weights", "undertrained"),
    ("batch-as-time", "samples-mixed"),
    ("input-never-arrives", "wrong-timestep"),
    ("padding-dominates", "vanishing-gradient"),
    ("loss-broadcast", "no-signal"),
)
"""Causes that look alike."""


@pytest.mark.parametrize("cause", PROGRAMS)
def test_each_cause_is_named_first(cause):
    assert examined(PROGRAMS[cause]).findings[0].cause in SEEN[PROGRAMS[cause]].causes


@pytest.mark.parametrize("pair", [each for pair in CONFUSED for each in (pair, pair[::-1])], ids="-".join)
def test_a_cause_is_surer_than_the_one_that_looks_like_it(pair):
    meant, alike = pair
    assert alike not in SEEN[PROGRAMS[meant]].causes
    sure = {each.cause: each.confidence for each in examined(PROGRAMS[meant]).findings}
    assert sure.get(alike, 0.0) < max(sure[each] for each in SEEN[PROGRAMS[meant]].causes if each in sure)


@pytest.mark.parametrize(
    "name", ["pressure_in_pascal", "targets_without_an_axis", "first_step_read", "weights_of_zero", "adam_at_one"]
)
def test_a_healed_twin_is_met_with_silence(name):
    assert examined(f"{name} (healed)").findings == ()


@pytest.mark.parametrize("name", ["mostly_noise", "stateful_by_design", "words_in_dicts"])
def test_healthy_means_silence(name):
    found = examined(name)
    assert found.verdict == "healthy"
    assert found.findings == ()


@pytest.mark.parametrize("name", ["what_a_fair_coin_does_next", "rain_mostly_none"])
def test_rightly_flat_blames_nobody(name):
    found = examined(name)
    assert found.verdict == "rightly-flat"
    assert [each.cause for each in found.findings] == ["no-signal"]
    assert found.findings[0].confidence < 1


def test_a_seed_gives_the_same_case():
    first, second = (SEEN["adam_at_one"].build(3).model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_each_sick_program_has_its_twin():
    sick = [name for name, each in SEEN.items() if each.kind == "sick"]
    assert [name for name, each in SEEN.items() if each.kind == "healed"] == [f"{name} (healed)" for name in sick]


@pytest.mark.parametrize("text", [block.text for block in taken("examined")], ids=lambda text: text[:30])
def test_a_diagnosis_is_told_as_it_is_shown(text):
    name, story = next((each.name, each.story) for each in SEEN.values() if text.startswith(each.story))
    compare(text.removeprefix(story), str(examined(name)))
