"""The tutorials, and other pages that can be, are followed to the letter and say what their programs say."""

import logging
import re
from itertools import pairwise

import pytest
from pages import ROOT, Block, blocks_of, taken
from reader import CAUSE, VERDICT, Reader, compare

from flatspot.rules import RULES

pytestmark = pytest.mark.long

TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
FOLLOWED = sorted({block.page for block in taken("followed")})


@pytest.fixture
def quiet():
    """Handlers that a page's programs add are taken away again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_there_are_five():
    assert len(TUTORIALS) == 5


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed_and_prints_what_it_shows(page, python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader, printed, compared = Reader(python, tmp_path), "", 0
    for block, after in pairwise([*taken("followed", page), Block(page, "", "")]):
        if block.kind in ("python", "console"):
            printed = reader.follow(block, foreseen(block, after))
        else:
            assert block.kind == "text"
            compare(block.text, printed)
            compared += 1
    assert compared >= (4 if "tutorials" in page else 1)


def foreseen(block, after):
    """The exit code, by what is shown behind a command: what is refused ends with 2, a doctor's cause with 1."""
    if after.kind != "text":
        return 0
    if after.text.startswith("error:"):
        return 2
    return int("flatspot doctor" in block.text and bool(CAUSE.search(after.text)))


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_cause_that_is_named_is_one(page):
    causes = [cause for block in blocks_of(page) if block.kind == "text" for cause in CAUSE.findall(block.text)]
    assert set(causes) <= set(RULES)


def test_the_three_causes_that_people_ask_about_are_found_and_mended():
    page = (ROOT / "docs" / "tutorials" / "why-is-my-rnn-flat.md").read_text()
    reports = re.findall(r"^```text\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    first = [(VERDICT.findall(report)[0], *CAUSE.findall(report)[:1]) for report in reports]
    well = ("healthy",)
    assert first == [
        well,
        ("flat", "input-never-arrives"),
        well,
        ("varied-but-wrong", "state-leak"),
        well,
        ("flat", "head-range"),
        well,
        ("flat", "vanishing-gradient"),
        well,
        ("flat", "unscaled-inputs"),
        well,
        ("flat", "redundant-inputs"),
        well,
    ]
