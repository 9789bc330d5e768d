"""What MkDocs makes of the nav in mkdocs.yml, as a hook: `rules/*.md` stands for the pages of a folder, in order.

So a new rule, experiment or decision has its place on the site without being written into a list.
"""

from pathlib import Path
from typing import Any, Final

PATTERN: Final = "*.md"


def on_config(config: Any) -> Any:  # noqa: ANN401 - MkDocs's
    """MkDocs calls it once it has read its configuration."""
    config["nav"] = expanded(config["nav"], Path(config["docs_dir"]))
    return config


def expanded(nav: list[Any], docs: Path) -> list[Any]:
    """A nav with the pages that its patterns stand for; a page that is named itself is in no pattern.

    Args:
        nav: entries: pages, or sections as {title: entries}. docs: the folder of the pages.
    """
    return _expanded(nav, docs, set(entries(nav)))


def entries(nav: Any) -> list[str]:  # noqa: ANN401 - as YAML has it
    """The pages of a nav, at any depth."""
    if isinstance(nav, str):
        return [nav]
    return [page for each in (nav.values() if isinstance(nav, dict) else nav) for page in entries(each)]


def _expanded(nav: list[Any], docs: Path, named: set[str]) -> list[Any]:
    found: list[Any] = []
    for each in nav:
        if isinstance(each, str) and each.endswith(PATTERN):
            pages = (path.relative_to(docs).as_posix() for path in sorted(docs.glob(each)))
            found += [page for page in pages if page not in named]
        elif isinstance(each, dict):
            found += [
                {title: _expanded(below, docs, named) if isinstance(below, list) else below}
                for title, below in each.items()
            ]
        else:
            found.append(each)
    return found
