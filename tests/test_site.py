"""The documentation as a site: every page is in its nav, and none loads anything from outside."""

import pkgutil
import re
import runpy
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LOADS = re.compile(
    r"!\[[^\]]*\]\(\s*<?(?:https?:)?//"  # a picture
    r"|<(?:script|img|link|iframe|source|video|audio|embed|object)\b[^>]*(?:https?:)?//"
    r"|@import|url\(\s*[\"']?(?:https?:)?//",
    re.IGNORECASE,
)


class AnyTag(yaml.SafeLoader):
    """Reads plain YAML, and builds nothing that a tag of MkDocs's names."""


AnyTag.add_multi_constructor("", lambda loader, suffix, node: None)

NAV = runpy.run_path(str(ROOT / "scripts" / "site_nav.py"))
SITE = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), AnyTag)  # noqa: S506 - a SafeLoader


def without_code(text):
    return re.sub(r"^( *)```.*?^\1```|`[^`\n]*`", "", text, flags=re.DOTALL | re.MULTILINE)


def test_every_page_is_in_the_nav_once_and_every_entry_is_a_page():
    named = NAV["entries"](NAV["expanded"](SITE["nav"], DOCS))
    assert sorted(named) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def test_a_pattern_stands_for_the_pages_of_a_folder_that_are_not_named(tmp_path):
    for page in ("a.md", "b/1.md", "b/2.md", "b/README.md"):
        (tmp_path / page).parent.mkdir(exist_ok=True)
        (tmp_path / page).touch()
    nav = ["a.md", {"B": ["b/README.md", {"Pages": ["b/*.md"]}]}, {"C": "a.md"}]
    expected = ["a.md", {"B": ["b/README.md", {"Pages": ["b/1.md", "b/2.md"]}]}, {"C": "a.md"}]
    assert NAV["expanded"](nav, tmp_path) == expected


def test_the_site_loads_nothing_from_outside():
    assert SITE["theme"]["font"] is False
    assert "analytics" not in SITE["extra"]
    assert not [each for key in ("extra_css", "extra_javascript") for each in SITE.get(key, []) if "//" in each]


@pytest.mark.parametrize("page", [*PAGES, *sorted(DOCS.rglob("*.css"))], ids=lambda page: page.stem)
def test_no_page_loads_anything_from_outside(page):
    assert not LOADS.search(without_code(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ("![a picture](https://example.org/a.png)", True),
        ("<script src='//example.org/a.js'></script>", True),
        ('<img alt="" src="https://example.org/a.png">', True),
        ("[a link](https://example.org)", False),
        ("![ours](pictures/a.png)", False),
        ("```html\n<script src='https://example.org/a.js'></script>\n```\n", False),
        ("`<img src=https://example.org>`", False),
    ],
)
def test_what_counts_as_loading(text, loads):
    assert bool(LOADS.search(without_code(text))) is loads


@pytest.mark.parametrize("page", sorted((DOCS / "reference").glob("*.md")), ids=lambda page: page.stem)
def test_what_the_reference_names_is_there(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE):
        pkgutil.resolve_name(name)
    for path in re.findall(r'^--8<-- "(.+)"$', text, re.MULTILINE):
        assert (ROOT / "conf" / path).is_file()


def test_docstrings_are_told_with_an_argument_a_line_and_doctests_as_code():
    pytest.importorskip("griffe", reason="the extra docs is not installed")
    readable = runpy.run_path(str(ROOT / "scripts" / "docstring_pages.py"))["readable"]
    text = "Add.\n\nArgs:\n    a: one. b, c: two: so many\n        of them. Note: late.\n\n>>> add(1)\n1\n\nEnd."
    assert readable(text, {"a", "b", "c"}) == (
        "Add.\n\nArgs:\n    a: one.\n    b, c: two: so many\n        of them. Note: late.\n\n"
        "```pycon\n>>> add(1)\n1\n```\n\nEnd."
    )
