"""Series that are too short for one window: named, or left out on request."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.panel import Panel
from flatspot.errors import BadInput
from flatspot.registry import nearest

CHOICES: Final = ("error", "skip")

NAMED: Final = 3
"""Series that a message names."""


def without_short(panel: Panel, needed: int, choice: str, why: str) -> Panel:
    """The panel without series of fewer rows than a window needs, if the user asks for it.

    Args:
        needed: rows of one window. choice: `error` or `skip`. why: what makes it so many.

    Raises:
        BadInput: naming the short series.
    """
    if choice not in CHOICES:
        raise BadInput(f"data.short={choice}: {nearest(str(choice), list(CHOICES))}")
    short = panel.lengths < needed
    if not short.any() or len(short) == 1:
        return panel
    names = ", ".join(repr(panel.series[each]) for each in np.flatnonzero(short)[:NAMED])
    more = ", ..." if short.sum() > NAMED else ""
    told = f"{short.sum():,} of {len(short):,} series have fewer than {needed} rows ({names}{more})"
    if choice == "error":
        raise BadInput(f"{panel.name}: {told}; one window needs so many ({why}); data.short=skip leaves them out")
    if short.all():
        raise BadInput(f"{panel.name}: every series has fewer than {needed} rows, and one window needs so many ({why})")
    return _kept(panel, ~short, f"{told}: left out (data.short=skip)")


def _kept(panel: Panel, kept: NDArray[np.bool_], note: str) -> Panel:
    rows = np.repeat(kept, panel.lengths)
    moved = np.append(rows.cumsum(), rows.sum()) - np.append(rows, False)  # where each row goes
    breaks = panel.breaks[rows[panel.breaks]] if len(panel.breaks) else panel.breaks
    labels = panel.labels
    if labels is not None:
        labels = replace(labels, values=labels.values[kept if labels.per == "series" else rows])
    return replace(
        panel,
        blocks=[panel.values[rows]],
        base=None,
        lengths=panel.lengths[kept],
        series=tuple(name for name, stays in zip(panel.series, kept, strict=True) if stays),
        times=None if panel.times is None else panel.times[:][rows],
        breaks=moved[breaks],
        labels=labels,
        notes=(*panel.notes, note),
    )
