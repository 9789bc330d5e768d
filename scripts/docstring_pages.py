"""What the site's reference makes of a docstring: an extension of griffe, named in mkdocs.yml.

Our docstrings put short arguments on one line and end in doctests. Markdown would run the first together, and take the
marks of the second for quotations.
"""

import re
from textwrap import indent
from typing import Any, Final, final

import griffe

SHARED: Final = re.compile(r"(?<=\. )((?:\w+, )*\w+): (?=\S)")
"""Further arguments in the text of one: where a sentence ends, names and a colon."""

DOCTEST: Final = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)

SECTION: Final = re.compile(r"^Args:\n(?:[ ]+\S.*\n?)+", re.MULTILINE)


def readable(text: str, names: set[str]) -> str:
    """A docstring with an argument a line, and doctests as blocks of code.

    Args:
        text: the docstring. names: of the arguments.
    """
    text = SECTION.sub(lambda section: _one_a_line(section.group(), names), text)
    return DOCTEST.sub(lambda block: f"```pycon\n{block.group()}\n```", text)


def _one_a_line(section: str, names: set[str]) -> str:
    def parted(found: re.Match[str]) -> str:
        return f"\n{indent(found.group(), ' ' * 4)}" if set(found.group(1).split(", ")) <= names else found.group()

    return "\n".join(line.rstrip() for line in SHARED.sub(parted, section).split("\n"))


@final
class Readable(griffe.Extension):  # type: ignore[misc] # the extra docs brings it, and mypy need not have it
    """Makes the docstrings of a package readable as they are loaded."""

    def on_object(self, *, obj: Any, **_: Any) -> None:  # noqa: ANN401 - griffe's
        """Of a module, class, function or attribute."""
        if obj.docstring:
            obj.docstring.value = readable(obj.docstring.value, _names(obj))


def _names(obj: Any) -> set[str]:  # noqa: ANN401
    """What its Args may be about: parameters, and of a class what it holds."""
    if obj.is_function:
        return {each.name for each in obj.parameters}
    return {*obj.members, *(each.name for each in obj.parameters)} if obj.is_class else set()
