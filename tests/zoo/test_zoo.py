"""A small part of the zoo, on a seed that nothing was tuned on; `scripts/zoo.py` holds the doctor against all of it."""

import pytest
import torch

import flatspot
from zoo.program import programs

SEED = 11
SEEN = programs("seen")


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


@pytest.mark.parametrize(
    "name",
    [
        "pressure_in_pascal",
        "targets_without_an_axis",
        "batch_first_is_missing",
        "reshape_for_a_transpose",
        "state_begun_anew",
        "first_step_read",
        "weights_of_zero",
        "adam_at_one",
    ],
)
def test_sick_and_healed(name):
    assert examined(name).findings[0].cause in SEEN[name].causes
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
