"""What is typed after a run's folder: `data.missing=interpolate` and the like, for other rows than the run's."""

from collections.abc import Sequence

from flatspot.errors import BadInput
from flatspot.registry import nearest
from flatspot.run import MENDS, Mends


def mending_of(typed: Sequence[str]) -> Mends:
    """The keys and their values.

    Raises:
        BadInput: repeating what cannot be said of other rows.

    >>> mending_of(["data.missing=interpolate", "data.max_gap=2"])
    {'missing': 'interpolate', 'max_gap': 2}
    """
    found: Mends = {}
    for text in typed:
        name, sign, value = text.partition("=")
        key = name.removeprefix("data.")
        if not sign or name == "data.path":
            raise BadInput(f"{text}: name other rows by --data {value or name}")
        if key not in MENDS or key == name:
            told = nearest(key, [f"data.{each}" for each in MENDS] if key == name else list(MENDS))
            raise BadInput(f"{text}: other rows are read as those of the run, but for some data keys; {told}")
        found |= {"max_gap": _whole(text, value)} if key == "max_gap" else {key: value}  # type: ignore[misc] # a known one
    return found


def _whole(text: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise BadInput(f"{text}: must be a whole number") from None
