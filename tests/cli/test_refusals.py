"""Each refusal of the table is said word for word, with exit code 2 and nothing trained."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


TABLE = loaded(ROOT / "tests" / "data" / "refusals.py")


@pytest.mark.parametrize("refusal", TABLE.REFUSALS, ids=lambda refusal: f"{refusal.area}: {refusal.wrong}")
def test_it_is_said_in_one_sentence(refusal, train, tmp_path, monkeypatch):
    if refusal is TABLE.NO_PERMISSION and os.geteuid() == 0:
        pytest.skip("root may read any file")
    if refusal.memory is not None:
        monkeypatch.setattr("flatspot.data.memory.memory", lambda: refusal.memory)
    refusal.write(tmp_path)
    assert_refused(train(*refusal.typed), refusal.said)


def assert_refused(outcome, said):
    assert (outcome.code, outcome.err, outcome.out) == (2, f"error: {said}\n", "")
    assert "metrics.json" not in outcome.files()


@pytest.mark.parametrize("step", ["exists", "open"])
def test_no_permission_is_said_to_root_too(step, train, tmp_path, monkeypatch):
    """As in a folder that may not be looked into, or of a file that may not be opened."""
    (tmp_path / "my.csv").write_text(TABLE.DAYS)
    plainly = getattr(Path, step)

    def refuse(path, *arguments, **options):
        if path.name == "my.csv":
            raise PermissionError(13, "Permission denied")
        return plainly(path, *arguments, **options)

    monkeypatch.setattr(Path, step, refuse)
    assert_refused(train(*TABLE.NO_PERMISSION.typed), TABLE.NO_PERMISSION.said)


def test_the_areas_are_ten_and_none_is_said_twice():
    assert len({refusal.area for refusal in TABLE.REFUSALS}) == 10
    for texts in ([refusal.wrong for refusal in TABLE.REFUSALS], [refusal.said for refusal in TABLE.REFUSALS]):
        assert sorted(set(texts)) == sorted(texts)


def test_the_page_is_fresh(python, tmp_path):
    page = tmp_path / "refusals.md"
    done = python.run(ROOT / "scripts" / "write_refusals_page.py", "--page", page, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert page.read_text() == (ROOT / "docs" / "refusals.md").read_text()
