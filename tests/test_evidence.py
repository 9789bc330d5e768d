import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatspot import evidence
from flatspot.errors import BadInput


def test_what_is_appended_is_read_back_in_order(tmp_path):
    entries = [evidence.measurement("epoch", e, 10 * e, {"loss/val": 1 / e}) for e in (1, 2)]
    for entry in entries:
        evidence.append(tmp_path, entry)
    assert evidence.read(tmp_path) == entries
    assert evidence.latest(entries) == {"loss/val": 0.5}


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.floats())))
def test_every_value_is_finite_or_absent(values):
    kept = evidence.measurement("end", 1, 1, values).values
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert set(kept) <= set(values)


def test_no_file_is_no_evidence(tmp_path):
    assert evidence.read(tmp_path) == []


def test_a_last_line_torn_by_a_crash_is_passed_over(tmp_path):
    evidence.append(tmp_path, evidence.measurement("epoch", 1, 10, {"a": 1.0}))
    with (tmp_path / evidence.FILE).open("a") as file:
        file.write('{"when": "epo')
    assert len(evidence.read(tmp_path)) == 1


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    (tmp_path / evidence.FILE).write_text("nonsense\n" * 2)
    with pytest.raises(BadInput, match=r"evidence.jsonl, line 1"):
        evidence.read(tmp_path)


def test_curves_stand_beside_the_values_and_only_whole_ones(tmp_path):
    entry = evidence.measurement("start", 0, 0, {"a": 1.0}, {"whole": [1.0, 2.0], "broken": [1.0, float("inf")]})
    evidence.append(tmp_path, entry)
    (back,) = evidence.read(tmp_path)
    assert back.curves == {"whole": [1.0, 2.0]}


def test_what_was_measured_after_a_step_is_cut(tmp_path):
    for step in (0, 10, 20):
        evidence.append(tmp_path, evidence.measurement("step", 0, step, {"a": step}))
    with (tmp_path / evidence.FILE).open("a") as file:
        file.write('{"when": "st')  # torn by a crash
    evidence.cut(tmp_path, 10)
    assert [entry.step for entry in evidence.read(tmp_path)] == [0, 10]
    assert [path.name for path in tmp_path.iterdir()] == [evidence.FILE]
    evidence.cut(tmp_path / "none", 10)


def test_why_numbers_are_missing_is_kept_beside_them(tmp_path):
    entry = evidence.measurement("examined", 1, 10, {"skill/val": 0.5}, None, {"lag": "no optimizer"})
    evidence.append(tmp_path, entry)
    (back,) = evidence.read(tmp_path)
    assert back.unmeasured == {"lag": "no optimizer"}


def test_what_a_later_version_adds_is_passed_over(tmp_path):
    line = {"when": "epoch", "epoch": 1, "step": 10, "values": {"a": 1}, "colours": {"a": "red"}}
    (tmp_path / evidence.FILE).write_text(json.dumps(line) + "\n")
    (back,) = evidence.read(tmp_path)
    assert back.values == {"a": 1.0}


@pytest.mark.parametrize(
    "line", ["[]", "3", '{"when": "epoch"}', '{"when":"e","epoch":1,"step":1,"values":{"a":"x"}}', "[" * 5000, "\x00"]
)
def test_a_line_that_is_no_measurement_is_named(tmp_path, line):
    whole = json.dumps({"when": "epoch", "epoch": 1, "step": 10, "values": {}})
    (tmp_path / evidence.FILE).write_text(f"{whole}\n{line}\n{whole}\n")
    with pytest.raises(BadInput, match=r"evidence.jsonl, line 2: not a measurement"):
        evidence.read(tmp_path)


def test_names_are_kept_and_nothing_else_is_taken_for_one(tmp_path):
    """They are put into lines that people paste."""
    names = {"head/name": "out", "cut/parts": "tower.0, embed", "odd/name": "x(); import os", "more": "a" * 1000}
    evidence.append(tmp_path, evidence.measurement("examined", 1, 1, {}, None, None, names))
    (found,) = evidence.read(tmp_path)
    assert found.names == {"head/name": "out", "cut/parts": "tower.0, embed"}
    path = tmp_path / evidence.FILE
    path.write_text(path.read_text().replace('"out"', '"out; print(1)"'))
    assert evidence.read(tmp_path)[0].names == {"cut/parts": "tower.0, embed"}
