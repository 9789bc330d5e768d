"""Series that are too short for one window: named, or left out on request."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.counted import listed
from flatspot.data.panel import Labels, Original, Panel
from flatspot.errors import BadInput
from flatspot.registry import nearest

CHOICES: Final = ("error", "skip")


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
    names = listed([panel.series[each] for each in np.flatnonzero(short)])
    told = f"{short.sum():,} of {len(short):,} series have fewer than {needed} rows ({names})"
    if choice == "error":
        raise BadInput(f"{panel.name}: {told}; one window needs so many ({why}); data.short=skip leaves them out")
    if short.all():
        raise BadInput(f"{panel.name}: every series has fewer than {needed} rows, and one window needs so many ({why})")
    return _kept(panel, ~short, f"{told}: left out (data.short=skip)")


def _kept(panel: Panel, kept: NDArray[np.bool_], note: str) -> Panel:
    rows = np.repeat(kept, panel.lengths)
    moved = np.append(rows.cumsum(), rows.sum()) - np.append(rows, False)  # where each row goes
    breaks = panel.breaks[rows[panel.breaks]] if len(panel.breaks) else panel.breaks
    return replace(
        panel,
        blocks=[panel.values[rows]],
        base=None,
        lengths=panel.lengths[kept],
        series=tuple(name for name, stays in zip(panel.series, kept, strict=True) if stays),
        times=None if panel.times is None else panel.times[:][rows],
        breaks=moved[breaks],
        labels=None
        if panel.labels is None
        else _of_labels(panel.labels, kept if panel.labels.per == "series" else rows),
        original=None if panel.original is None else _of_original(panel.original, kept),
        notes=(*panel.notes, note),
    )


def _of_labels(labels: Labels, kept: NDArray[np.bool_]) -> Labels:
    return replace(labels, values=labels.values[kept], rows=None if labels.rows is None else labels.rows[kept])


def _of_original(original: Original, kept: NDArray[np.bool_]) -> Original:
    rows = np.repeat(kept, original.lengths)
    times = None if original.times is None else original.times[rows]
    return Original(original.lengths[kept], times, original.kept[rows])
