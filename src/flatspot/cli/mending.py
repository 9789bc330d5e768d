"""What is typed after a run's folder: `data.missing=interpolate` and the like, for other rows than the run's."""

from collections.abc import Sequence

from flatspot.errors import BadInput
from flatspot.run import MENDS, Mends

KEYS = ", ".join(f"data.{key}=" for key in MENDS)


def mending_of(typed: Sequence[str]) -> Mends:
    """The keys and their values.

    Raises:
        BadInput: repeating what cannot be said of other rows.

    >>> mending_of(["data.missing=interpolate", "data.max_gap=2"])
    {'missing': 'interpolate', 'max_gap': 2}
    """
    found: Mends = {}
    for text in typed:
        name, _, value = text.partition("=")
        key = name.removeprefix("data.")
        if key not in MENDS or not name.startswith("data."):
            raise BadInput(f"{text}: cannot be said of other rows, which are read as those of the run; known: {KEYS}")
        found |= {"max_gap": _whole(text, value)} if key == "max_gap" else {key: value}  # type: ignore[misc] # a known one
    return found


def _whole(text: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadInput(f"{text}: must be a whole number") from None
