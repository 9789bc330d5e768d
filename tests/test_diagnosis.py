import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatspot.diagnosis import EXPLAINED, Diagnosis, judge

numbers = st.floats(min_value=-5, max_value=5, allow_nan=False)


@pytest.mark.parametrize(
    ("diversity", "skill", "achievable", "verdict"),
    [
        (0.85, 0.70, 0.72, "healthy"),
        (0.02, 0.00, 0.80, "flat"),
        (0.20, 0.10, 0.80, "shrunken"),
        (0.90, -0.5, 0.80, "varied-but-wrong"),
        (0.01, 0.00, -0.2, "rightly-flat"),
        (0.20, 0.04, 0.04, "healthy"),  # D² = R²: all the spread that the inputs allow
        (0.90, -0.8, 0.00, "varied-but-wrong"),  # made-up variety where there is nothing to say
        (0.03, 0.00, 0.04, "shrunken"),
    ],
)
def test_verdicts(diversity, skill, achievable, verdict):
    assert judge(diversity, skill, achievable) == verdict


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("number", [None, math.nan, math.inf])
def test_a_number_that_was_not_measured_gives_no_verdict(place, number):
    given_numbers = [0.5, 0.5, 0.5]
    given_numbers[place] = number
    assert judge(*given_numbers) == "unknown"


@given(diversity=st.floats(0, 2), skill=numbers, achievable=numbers)
def test_a_model_better_than_the_references_raises_what_is_achievable(diversity, skill, achievable):
    assert judge(diversity, skill, achievable) == judge(diversity, skill, max(achievable, skill))


@given(skill=numbers, achievable=numbers)
def test_an_exactly_constant_answer_is_never_called_healthy(skill, achievable):
    assert judge(0.0, min(skill, 0.0), achievable) in {"flat", "rightly-flat"}


def test_every_verdict_is_explained():
    assert Diagnosis("flat").explained == EXPLAINED["flat"]
    assert set(EXPLAINED) == {"healthy", "shrunken", "flat", "varied-but-wrong", "rightly-flat", "unknown"}
