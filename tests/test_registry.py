import pytest

from flatspot.errors import BadInput
from flatspot.registry import Registry, UnknownName, nearest


def test_a_misspelt_name_is_refused_with_the_nearest_one():
    cells = Registry("cell", {"gru": 1, "lstm": 2, "rnn": 3})
    with pytest.raises(UnknownName, match=r"no cell is called 'lstn'; did you mean 'lstm'\? \(known: gru, lstm, rnn\)"):
        cells["lstn"]


def test_an_unknown_name_is_bad_input_and_a_lookup_error():
    assert issubclass(UnknownName, BadInput)
    assert issubclass(UnknownName, LookupError)


def test_a_far_off_name_is_given_the_list_and_no_guess():
    assert nearest("transformer", ["gru", "lstm"]) == "known: gru, lstm"


def test_a_registry_reads_like_a_mapping():
    table = Registry("thing", {"a": 1, "b": 2})
    assert dict(table) == {"a": 1, "b": 2}
    assert len(table) == 2
    assert "a" in table
    assert "c" not in table
