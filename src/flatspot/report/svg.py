"""Figures as SVG within a page: text stays text, nothing is fetched, and no two figures share a name."""

import io
import re
from typing import Final

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))

NAMED: Final = re.compile(r'(\sid="|url\(#|xlink:href="#)')
"""Where a name is given or referred to, within tags: in text `"` stands escaped nowhere, but no tag begins there."""

TAG: Final = re.compile(r"<[^<>]*>")

RASTER_DPI: Final = 110


def svg_of(figure: Figure, number: int, label: str) -> Markup:
    """The figure as an `<svg>` element, drawn the same each time.

    Args:
        number: of the figure in its page, from which its parts have their names. label: what it shows, for those who
            do not see it.
    """
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "flatspot"}):
        figure.savefig(text, format="svg", transparent=True, metadata=NO_METADATA, dpi=RASTER_DPI)
    drawn = text.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = TAG.sub(lambda tag: NAMED.sub(rf"\1f{number}-", tag[0]), drawn)
    drawn = re.sub(r'^<svg ([^>]*?)width="[^"]*" ?', r"<svg \1", drawn, count=1)
    drawn = re.sub(r'^<svg ([^>]*?)height="[^"]*" ?', r"<svg \1", drawn, count=1)
    return Markup(drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))  # noqa: S704 - drawn here


def plain(name: str) -> str:
    """A name from data, in which a figure is to see no formula."""
    return name.replace("$", r"\$")
