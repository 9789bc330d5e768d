import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.probes.class_diversity import class_diversity, class_probabilities

seeds = st.integers(0, 2**31)


def some(seed, samples=12, classes=3, dtype=torch.float64):
    logits = torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return logits.softmax(dim=1).to(dtype)


def slow(p):
    """The obvious twin: each class and each sample in turn."""
    rows = p.double().tolist()
    columns = list(zip(*rows, strict=True))
    variances = [np.mean([(value - np.mean(column)) ** 2 for value in column]) for column in columns]
    named = [max(range(len(row)), key=row.__getitem__) for row in rows]
    shares = [named.count(each) / len(rows) for each in set(named)]
    return math.sqrt(np.mean(variances)), -sum(share * math.log(share) for share in shares)


@settings(max_examples=30)
@given(seed=seeds, samples=st.integers(2, 20), classes=st.integers(2, 5))
def test_equals_its_slow_twin(seed, samples, classes):
    p = some(seed, samples, classes)
    assert tuple(class_diversity(p)) == pytest.approx(slow(p), abs=1e-12)


@settings(max_examples=20)
@given(seed=seeds)
def test_the_order_of_samples_and_classes_and_copies_of_all_do_not_matter(seed):
    p = some(seed)
    before = tuple(class_diversity(p))
    order = torch.randperm(len(p), generator=torch.Generator().manual_seed(seed))
    for same in (p[order], p.flip(dims=[1]), torch.cat([p, p])):
        assert tuple(class_diversity(same)) == pytest.approx(before, abs=1e-12)


def test_probabilities_may_differ_while_one_class_is_said_for_all():
    p = torch.tensor([[0.51, 0.49], [0.99, 0.01]])
    measured = class_diversity(p)
    assert measured.spread == pytest.approx(0.24)
    assert measured.entropy == 0


def test_one_answer_has_no_spread_and_no_entropy():
    assert tuple(class_diversity(torch.tensor([[0.2, 0.8]]).expand(5, 2))) == (0, 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_any_float_type_is_measured(dtype):
    p = some(0, dtype=dtype)
    measured = class_diversity(p)
    assert tuple(measured) == pytest.approx(slow(p), rel=1e-9)


@pytest.mark.parametrize("p", [torch.empty(0, 3), torch.tensor([[0.5, 0.5]]), torch.full((3, 2), torch.nan)])
def test_nothing_to_measure_is_nan(p):
    assert all(math.isnan(figure) for figure in class_diversity(p))


def test_what_is_no_probability_is_refused():
    with pytest.raises(ValueError, match="from -2 to 3: softmax"):
        class_diversity(torch.tensor([[-2.0, 3.0], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"shape \(4, 1\)"):
        class_diversity(torch.rand(4, 1))


def by_hand(logits):
    """The slow, obvious twin of a softmax."""
    rows = [[math.exp(each - max(row)) for each in row] for row in logits.double().tolist()]
    return torch.tensor([[each / sum(row) for each in row] for row in rows], dtype=torch.float64)


@settings(max_examples=20)
@given(seed=seeds, classes=st.integers(2, 5), shift=st.sampled_from([0.0, 3.0, 1e6]))
def test_logits_probabilities_and_their_logarithms_say_the_same(seed, classes, shift):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(8, classes, generator=generator, dtype=torch.float64)
    logits[0, 0] = -1 - logits[0, 1:].sum()  # this row is none of probabilities
    expected = by_hand(logits)
    for outputs in (logits, expected, expected.log(), logits + shift):
        torch.testing.assert_close(class_probabilities(outputs, classes), expected, rtol=1e-6, atol=1e-8)


@settings(max_examples=10)
@given(seed=seeds)
def test_one_figure_of_two_classes_is_the_seconds(seed):
    logit = torch.randn(9, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logit[0] = -1.0
    expected = by_hand(torch.cat([torch.zeros_like(logit), logit], dim=1))
    for outputs in (logit, logit.squeeze(1), logit.sigmoid(), logit.sigmoid().squeeze(1)):
        torch.testing.assert_close(class_probabilities(outputs, 2), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_probabilities_of_any_float_type_are_known_as_such(dtype):
    p = some(0, samples=200, classes=7, dtype=dtype)
    assert torch.equal(class_probabilities(p, 7), p.double())
    assert class_probabilities(20 * p, 7).amax() > 0.99


def test_who_knows_what_the_outputs_are_says_so():
    flat = torch.full((5, 1), 0.3)
    assert class_probabilities(flat, 2)[0, 1].item() == pytest.approx(0.3)
    assert class_probabilities(flat, 2, kind="logits")[0, 1].item() == pytest.approx(1 / (1 + math.exp(-0.3)))
    assert class_probabilities(-flat, 2, kind="probabilities")[0, 1].item() == pytest.approx(-0.3)
    rows = torch.tensor([[0.3, 0.7]])
    assert class_probabilities(rows, 2, kind="logits")[0, 1].item() == pytest.approx(1 / (1 + math.exp(-0.4)))


def test_outputs_that_are_not_finite_or_not_there():
    assert class_probabilities(torch.empty(0, 3), 3).shape == (0, 3)
    assert class_probabilities(torch.empty(0), 2).shape == (0, 2)
    assert class_probabilities(torch.full((2, 3), torch.nan), 3).isnan().all()
    assert all(map(math.isnan, class_diversity(class_probabilities(torch.full((4, 1), torch.nan), 2))))


@pytest.mark.parametrize(("shape", "classes"), [((4, 3), 2), ((4, 1), 3), ((4, 1), 1), ((4, 2, 1), 2), ((4,), 3)])
def test_outputs_of_other_shapes_are_refused(shape, classes):
    with pytest.raises(ValueError, match=f"classes={classes}"):
        class_probabilities(torch.zeros(shape), classes)
