"""Data sets by name: what `data=` may say. A data set is a function that returns a `Series` or a `Panel`.

Its parameters are its `data.` keys; a new one is a function here (or one that an installed package adds under
`flatspot.datasets`) and a YAML of a few lines that names it.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from typing import Final

from flatspot.data.generate import (
    adding,
    alike,
    ar,
    delay,
    frequency_classes,
    random_walk,
    regimes,
    sines,
    white_noise,
)
from flatspot.data.panel import Panel, Series
from flatspot.data.tables import csv, read_table
from flatspot.registry import Registry


def sunspots() -> Panel:
    """Monthly mean sunspot numbers, 1749-1983: 2,820 months, cycles of about 11 years, 0 to 254.

    R's `sunspots`; facts in the public domain, bundled with the package.
    """
    with as_file(files("flatspot.data") / "bundled" / "sunspots_monthly.csv") as file:
        read = read_table(file, target="sunspots", time="month")
    return replace(read, name="sunspots", series=("sunspots",))


DATASETS: Final[Registry[Callable[..., Series | Panel]]] = Registry(
    "data set",
    {
        "sunspots": sunspots,
        "csv": csv,
        "sines": sines,
        "delay": delay,
        "ar": ar,
        "regimes": regimes,
        "random_walk": random_walk,
        "white_noise": white_noise,
        "alike": alike,
        "adding": adding,
        "frequency_classes": frequency_classes,
    },
    extensions="flatspot.datasets",
    of=Callable,  # type: ignore[arg-type] # isinstance takes it
)
