import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from flatspot.probes.classification import class_scores, confusion_counter

CLASSES = 4
NUMBERS = st.integers(0, CLASSES - 1)


@given(pairs=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=30), cut=st.integers(0, 30))
def test_equals_scikit_learn_over_batches(pairs, cut):
    truth, named = (torch.tensor(each) for each in zip(*pairs, strict=True))
    counter = confusion_counter(CLASSES)
    for part in (slice(0, cut), slice(cut, None)):
        counter.update(named[part], truth[part])
    scores = class_scores(counter.compute())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of classes that were named and have no samples
        assert scores.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, named))
    assert scores.accuracy == pytest.approx(accuracy_score(truth, named))
    assert scores.f1 == pytest.approx(f1_score(truth, named, average="macro", zero_division=0))
    np.testing.assert_array_equal(scores.confusion, confusion_matrix(truth, named, labels=range(CLASSES)))


def test_logits_probabilities_and_numbers_count_alike():
    logits, truth = torch.randn(50, CLASSES), torch.randint(CLASSES, (50,))
    counts = []
    for named in (logits, logits.softmax(dim=-1), logits.argmax(dim=-1)):
        counter = confusion_counter(CLASSES)
        counter.update(named, truth)
        counts.append(counter.compute().tolist())
    assert counts[0] == counts[1] == counts[2]


def test_processes_add_up():
    one, other, both = (confusion_counter(2) for _ in range(3))
    one.update(torch.tensor([0, 1]), torch.tensor([1, 1]))
    other.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 0]))
    both.update(torch.tensor([0, 1, 0, 0, 1]), torch.tensor([1, 1, 0, 1, 0]))
    one.merge_state(other)
    assert one.compute().tolist() == both.compute().tolist() == [[1, 1], [2, 1]]


def test_where_there_was_no_sample_there_is_no_score():
    scores = class_scores(torch.zeros(3, 3, dtype=torch.int64))
    assert all(math.isnan(each) for each in (scores.accuracy, scores.balanced_accuracy, scores.f1))
    assert scores.confusion == [[0] * 3] * 3


def test_one_class_alone_can_be_told():
    scores = class_scores(torch.tensor([[7, 0], [0, 0]]))
    assert (scores.accuracy, scores.balanced_accuracy, scores.f1) == (1, 1, 1)


def test_always_naming_the_larger_class_looks_good_in_accuracy_alone():
    scores = class_scores(torch.tensor([[90, 0], [10, 0]]))
    assert (scores.accuracy, scores.balanced_accuracy) == (0.9, 0.5)
    assert scores.f1 < 0.5
