"""What a rule says beside its look-alikes, by numbers alone."""

import pytest

from flatspot.diagnosis import consult
from flatspot.examination.gathering import derived
from flatspot.rules import (
    RULES,
    class_imbalance,
    diagnose,
    flat_target,
    head_ignores_state,
    misaligned_pairs,
    rollout_converges,
    too_little_data,
)
from flatspot.rules import exploding_gradient as exploding
from flatspot.rules import input_never_arrives as arrives

LEARNS_SLOWLY = {
    "trial_slower/closes": 0.9,
    "trial_clipped/closes": 0.9,
    "trial_again/norm_tail": 2.0,
    "settings/rate": 0.02,
    "skill/missing": 1.0,
}


def first(evidence):
    return consult(RULES, evidence)[0][0].cause


def test_single_gradients_that_are_far_larger_are_seen_at_a_slower_rate_too():
    assert first({**LEARNS_SLOWLY, "trial_slower/norm_tail": 140.0}) == "exploding-gradient"
    assert first({**LEARNS_SLOWLY, "trial_slower/norm_tail": 8.0}) == "learning-rate-too-high"


def test_units_at_their_rails_from_the_start_are_not_the_rates_fault():
    stuck = {**LEARNS_SLOWLY, "trial_clipped/closes": 0.0, "units/now_saturated": 0.95}
    assert first({**stuck, "units/standard_saturated": 0.85}) == "saturated-units"
    assert first({**stuck, "units/standard_saturated": 0.1}) == "learning-rate-too-high"


FORGETS = {
    "inputs/largest_offset": 0.3,
    "inputs/largest_std": 0.4,
    "inputs/smallest_std": 0.2,
    "skill/missing": 1.0,
    "trial_inputs/closes": 0.95,
    "reach/now_early": 1e-5,
    "reach/fresh_early": 1e-5,
    "lag/needs_early": 1.0,
}


def test_what_is_forgotten_is_not_the_fault_of_scales_that_are_hardly_odd():
    assert first(FORGETS) == "vanishing-gradient"
    assert first({**FORGETS, "inputs/largest_offset": 400.0}) == "unscaled-inputs"
    assert first({**FORGETS, "lag/needs_early": 0.0}) == "unscaled-inputs"


def test_a_head_at_a_crawl_is_not_the_fault_of_how_it_began():
    begun = {
        "weights/constant_share": 0.0,
        "weights/largest_scale": 5.0,
        "weights/smallest_scale": 0.02,
        "skill/missing": 0.9,
        "skill/val": 0.1,
        "skill/possible": 0.96,
        "trial_reset/closes": 1.0,
        "head/refit_skill": 0.95,
    }
    assert first({**begun, "head/rate_share": 0.001}) == "head-ignores-state"
    assert first({**begun, "head/rate_share": 1.0}) == "bad-init"


def test_a_head_is_held_down_where_the_rest_is_not_and_training_alone_would_not_do_it():
    held = {
        "head_refit_skill": 0.4,
        "skill_val": 0.0,
        "skill_missing": 1.0,
        "head_weight_share": 0.05,
        "trial_again_skill": 0.9,
    }
    assert "held" not in str(head_ignores_state.judge(**{**held, "head_weight_share": 0.6}))
    assert "holds the head down" in head_ignores_state.judge(**held).means
    for other in ({"weights_shrunk_share": 0.9}, {"trial_again_skill": 0.1}):
        found = head_ignores_state.judge(**held | other)
        assert found is None or "holds the head down" not in found.means


@pytest.mark.parametrize(
    "other",
    [{"targets_rarer_side": 0.0}, {"targets_others_differ": 0.1}, {"skill_possible": 0.5}, {"targets_zero_share": 0.8}],
)
def test_targets_of_one_number_are_so_by_mistake_only_in_the_midst_of_others(other):
    mistaken = {
        "targets_constant_share": 0.0,
        "targets_zero_share": 0.93,
        "targets_rarer_side": 0.5,
        "targets_others_differ": 1.0,
        "skill_possible": 0.0,
    }
    assert flat_target.judge(**mistaken).cause == "flat-target"
    assert flat_target.judge(**mistaken | other) is None


def test_a_slip_is_told_from_a_shift():
    slips = {"skill_val": 0.0, "pairs_straight": 0.02, "pairs_drifting": 0.4, "pairs_drift_skill": 0.5}
    assert "little by little" in misaligned_pairs.judge(**slips).seen
    shifted = misaligned_pairs.judge(**slips, pairs_best_shifted=0.45, pairs_best_shift=1.0)
    assert "+1 samples away" in shifted.seen
    assert misaligned_pairs.judge(**{**slips, "pairs_straight": 0.45}) is None


def test_outputs_that_follow_no_filler_do_not_explode():
    grown = {
        "trial_clipped_closes": 0.0,
        "trial_again_norm_tail": 2.0,
        "skill_missing": 1.0,
        "reach_fresh_early": 1e9,
        "reach_now_early": 1e9,
    }
    assert exploding.judge(**grown).cause == "exploding-gradient"
    assert exploding.judge(**grown, padding_share=0.9) is None


def test_inputs_that_become_whole_numbers():
    lost = {"arrival_moves": 1.0, "arrival_is_fresh": 1.0, "arrival_cast": 1.0, "skill_missing": 0.9}
    assert arrives.judge(**lost, arrival_all=0.0).confidence > arrives.judge(**lost, arrival_all=1.0).confidence
    assert arrives.judge(**{**lost, "skill_missing": 0.1}) is None
    refused = {"arrival_moves": 0.0, "arrival_is_fresh": 1.0, "arrival_refused": 1.0}
    assert arrives.judge(**refused) is None  # nobody knows whether other inputs would have moved them


def test_a_rollout_of_small_steps_is_told_by_a_copy_that_is_trained_on_all_of_them():
    fades = {
        "horizon_first_ratio": 0.0,
        "horizon_calls": 36.0,
        "horizon_call_first": 0.15,
        "horizon_call_last": 0.001,
        "skill_missing": 0.9,
        "skill_possible": 0.8,
    }
    assert rollout_converges.judge(**fades, trial_again_skill=0.5).cause == "rollout-converges"
    assert rollout_converges.judge(**fades, trial_again_skill=0.1) is None
    assert rollout_converges.judge(**{**fades, "horizon_call_last": 0.14}, trial_again_skill=0.5) is None


def test_what_a_network_lacks_on_the_validation_samples_alone_is_no_fault_of_it():
    """The test split is as good as can be: a quiet season for validation, say."""
    there = {"skill/val": 0.0, "skill/train": 0.3, "skill/missing": 1.0, "head/refit_skill": 0.7, "skill/possible": 0.7}
    assert "head-ignores-state" in [each.cause for each in diagnose(there).findings]
    tested = {"skill/model_test": 0.68, "skill/ridge_test": 0.7, "diversity/ratio_test": 0.8}
    assert not diagnose(there | tested).findings
    assert diagnose(there | tested).verdict == "healthy"
    as_poor = {**tested, "skill/model_test": 0.01}
    assert "head-ignores-state" in [each.cause for each in diagnose(there | as_poor).findings]


def test_errors_that_are_as_large_in_training_are_not_known_by_heart():
    apart = {"skill_train": 0.9, "skill_val": 0.1, "sizes_train": 500.0}
    assert too_little_data.judge(**apart).cause == "too-little-data"
    assert too_little_data.judge(**apart, skill_train_in_val=0.2) is None


@pytest.mark.parametrize(
    ("majority", "accuracy", "missing", "found"),
    [
        (0.82, 0.72, 0.0, False),  # chances below one half, and nothing to gain by the loss
        (0.82, 0.72, 0.8, True),  # the network lacks what the loss asks for, too
        (0.82, 0.80, 0.0, True),
        (0.95, 0.72, 0.0, True),  # rarer than one in ten
        (0.95, 0.62, 0.0, False),
    ],
)
def test_of_a_rare_class_chances_below_one_half_may_be_all_that_is_known(majority, accuracy, missing, found):
    said = class_imbalance.judge(
        balance_gain=accuracy - 0.5,
        targets_majority=majority,
        targets_named=1.0,
        skill_missing=missing,
        trial_balanced_balanced_accuracy=accuracy,
    )
    assert (said is not None) == (found and accuracy - 0.5 >= class_imbalance.GAIN)


def test_who_draws_rare_classes_as_often_lacks_nothing_of_their_decisions():
    """By the data's own shares such chances are poor, and they are meant to be."""
    poor = {
        "skill/val": -0.9,
        "references/best": 0.3,
        "targets/majority": 0.95,
        "targets/seen": 2.0,
        "skill/balanced_accuracy": 0.8,
        "trial_balanced/balanced_accuracy": 0.82,
    }
    assert derived(poor)["skill/missing"] < 0.1
    assert derived({**poor, "skill/balanced_accuracy": 0.5})["skill/missing"] == 1.0
    assert derived({**poor, "targets/majority": 0.6})["skill/missing"] == 1.0
