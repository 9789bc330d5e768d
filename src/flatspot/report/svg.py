"""Figures as SVG within a page: text stays text, nothing is fetched, and no two figures share a name."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))

NAMED: Final = re.compile(r'(\sid="|url\(#|xlink:href="#)')
"""Where a name is given or referred to, within tags: in text `"` stands escaped nowhere, but no tag begins there."""

TAG: Final = re.compile(r"<[^<>]*>")

RASTER_DPI: Final = 110

LONGEST: Final = 32
"""Characters of a name in a chart."""


def svg_of(figure: Figure, number: int, label: str) -> Markup:
    """The figure as an `<svg>` element, drawn the same each time.

    Args:
        number: of the figure in its page, from which its parts have their names. label: what it shows, for those who
            do not see it.
    """
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flatspot"}), silently():
        laid_out(figure)
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA, dpi=RASTER_DPI)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = TAG.sub(lambda tag: NAMED.sub(rf"\1f{number}-", tag[0]), drawn)
    drawn = re.sub(r'^<svg ([^>]*?)width="[^"]*" ?', r"<svg \1", drawn, count=1)
    drawn = re.sub(r'^<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", drawn, count=1)
    return Markup(drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))  # noqa: S704 - drawn here


def laid_out(figure: Figure) -> None:
    """Lay a figure out now: to save it would draw it twice, once for its layout."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


@contextmanager
def silently() -> Iterator[None]:
    """Inside, what matplotlib says of names that its font cannot write, or that leave a chart no room, is not heard.

    A page has names as text, which the reader's own fonts write.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from")
        warnings.filterwarnings("ignore", r"constrained_layout not applied")
        yield


def plain(name: str) -> str:
    r"""A name from data, in which a figure is to see no formula, shortened in its middle where it is long.

    >>> plain("$x"), plain("a" * 40 + "b")
    ('\\$x', 'aaaaaaaaaaaaaaa…aaaaaaaaaaaaaaab')
    """
    half = (LONGEST - 1) // 2
    short = name if len(name) <= LONGEST else f"{name[:half]}…{name[-half - 1 :]}"
    return short.replace("$", r"\$")
