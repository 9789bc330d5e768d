"""Write docs/rules/: the page of each rule, from its docstring, and an index.

python scripts/rule_pages.py
"""

from pathlib import Path
from typing import Final

from flatspot.diagnosis import Rule
from flatspot.rules import RULES

PAGES: Final = Path(__file__).resolve().parents[1] / "docs" / "rules"


def pages() -> dict[str, str]:
    """The text of each file by its name."""
    rules = {cause: rule for cause, rule in RULES.items() if isinstance(rule, Rule) and cause not in RULES.added()}
    found = {f"{cause}.md": f"# {cause}\n\n{rule.page.strip()}\n" for cause, rule in rules.items()}
    lines = [f"- [{cause}]({cause}.md): {rule.page.strip().splitlines()[0]}" for cause, rule in rules.items()]
    told = "Why outputs look alike: one page a cause, written from the rules themselves by `scripts/rule_pages.py`."
    return found | {"README.md": "\n".join(["# The causes", "", told, "", *lines, ""])}


def main() -> None:
    """Write them all."""
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
