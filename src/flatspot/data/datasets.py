"""Data sets by name: what `data=` may say. A data set is a function that returns a `Series`.

Its parameters are its `data.` keys; a new one is a function here (or one that an installed package adds under
`flatspot.datasets`) and a YAML of a few lines that names it.
"""

from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from typing import Final, Literal

from flatspot.data.generate import delay, sines
from flatspot.data.read import Series, read_csv
from flatspot.errors import BadInput
from flatspot.registry import Registry


def sunspots() -> Series:
    """Monthly mean sunspot numbers, 1749-1983: 2,820 months, cycles of about 11 years, 0 to 254.

    R's `sunspots`; facts in the public domain, bundled with the package.
    """
    with as_file(files("flatspot.data") / "bundled" / "sunspots_monthly.csv") as file:
        series = read_csv(file, target="sunspots", time="month")
    return Series("sunspots", series.columns, series.num_targets, series.values, series.times)


def csv(
    path: str | None = None,
    target: str | None = None,
    features: Sequence[object] | Literal["all"] | None = (),
    time: str | None = None,
) -> Series:
    """Anybody's CSV file: a column of dates (or none) and columns of numbers."""
    if path is None:
        raise BadInput("data=csv needs a file: data=csv data.path=my.csv data.target=column")
    return read_csv(path, target, features, time)


DATASETS: Final[Registry[Callable[..., Series]]] = Registry(
    "data set",
    {"sunspots": sunspots, "csv": csv, "sines": sines, "delay": delay},
    extensions="flatspot.datasets",
    of=Callable,  # type: ignore[arg-type] # isinstance takes it
)
