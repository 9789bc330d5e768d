"""What may be done to rows that cannot be used as they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

from flatspot.data.counted import refuse_huge
from flatspot.errors import BadInput
from flatspot.registry import nearest

Missing = Literal["error", "drop", "interpolate", "forward_fill"]
Duplicates = Literal["error", "first", "last", "mean"]
Unsorted = Literal["error", "sort"]


@final
@dataclass(frozen=True)
class Mending:
    """What may be done to rows that cannot be used as they stand.

    Args:
        missing: `error`, `drop` (leave out rows with a missing value), `interpolate` or `forward_fill`.
        max_gap: missing rows in a row that may be filled, or dropped with a window going on across them.
        duplicates: of a stamp in one series: `error`, or keep the `first`, `last` or `mean` value that there is.
        unsorted: `error`, or `sort` the rows of each series by time.
        frequency: between rows, as in `1h`; None: inferred; `none`: windows by row order.
        trained: for a network that is trained already: columns and frequency are settled, and no advice is given to
            choose others. inferred: the frequency that its run inferred; other rows may miss some, and no more.
    """

    missing: str = "error"
    max_gap: int = 3
    duplicates: str = "error"
    unsorted: str = "error"
    frequency: str | None = None
    trained: bool = False
    inferred: str | None = None

    def __post_init__(self) -> None:
        choices = {"missing": Missing, "duplicates": Duplicates, "unsorted": Unsorted}
        for name, kinds in choices.items():
            value, known = getattr(self, name), list(get_args(kinds))
            if value not in known:
                raise BadInput(f"data.{name}={value}: {nearest(str(value), known)}")
        if self.max_gap < 0:
            raise BadInput(f"data.max_gap={self.max_gap}: must be at least 0")
        refuse_huge(self.max_gap, "data.max_gap")

    @property
    def or_by_order(self) -> str:
        """What else may be done with stamps that keep no frequency."""
        return "" if self.trained else "; data.frequency=none takes windows by row order"


def several(names: Sequence[str], mending: Mending) -> str:
    """What may be wrong as well, where nothing tells series apart."""
    if len(names) > 1 or mending.trained:
        return ""
    return "; if the file holds several series, data.group= names their column"
