"""Forecasts that a run keeps for its report: some of the test split's, beside what came true. Numbers alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from flatspot.errors import BadInput
from flatspot.kept import refuse_inflated, write_whole

FILE: Final = "forecasts.npz"

KEPT: Final = 300
"""Windows of the test split, evenly spread: enough to see a fan or a single line."""

EXAMPLES: Final = 4
"""Windows shown in full."""

BESIDE: Final = 75
"""Windows of an example's own series, where there are several series."""

MOST_BYTES: Final = 2**26
"""A file that unpacks to more than this is none that a run has written."""


@final
@dataclass(frozen=True)
class Forecasts:
    """Forecasts of evenly spread windows of a split, in original units.

    Args:
        predictions, targets: `[window, horizon]`. pasts: `[example, step]`, what the examples' windows held; None:
            not known. examples: which of the kept windows are shown in full, `[example]`.
        numbers: of the kept windows in their split. total: windows of the split.
        series: the number of each kept window's series, `[window]`. names: of the examples' series, one each; empty
            where there is but one series.
    """

    predictions: NDArray[np.float64]
    targets: NDArray[np.float64]
    examples: NDArray[np.int64]
    numbers: NDArray[np.int64]
    total: int
    series: NDArray[np.int64]
    pasts: NDArray[np.float64] | None = None
    names: tuple[str, ...] = ()

    def beside(self, example: int) -> NDArray[np.int64]:
        """The kept windows of an example's series: other series may live on another level."""
        return np.flatnonzero(self.series == self.series[self.examples[example]])


@final
class Chosen(NamedTuple):
    """The windows of a split that are kept.

    Args:
        numbers: of the windows, `[window]`. examples: which of these are shown in full, `[example]`.
    """

    numbers: NDArray[np.int64]
    examples: NDArray[np.int64]


def choose(series: NDArray[np.int64], most: int = KEPT) -> Chosen:
    """Evenly spread windows; of several series each example's own, too, so that it has company.

    Args:
        series: the number of each window's series, `[window]`. most: windows that are kept, but for this company.

    >>> choose(np.zeros(5, np.int64), 3).numbers.tolist()
    [0, 2, 4]
    """
    numbers = _spread(len(series), most)
    there = np.unique(series)
    if len(there) == 1:
        return Chosen(numbers, _spread(len(numbers), EXAMPLES))
    shown: list[NDArray[np.int64]] = []
    for each, examples in zip(*np.unique(there[_even(len(there), EXAMPLES)], return_counts=True), strict=True):
        own = np.flatnonzero(series == each)
        shown.append(own[np.unique(_even(len(own) + 2, examples + 2)[1:-1] - 1)])
        numbers = np.union1d(numbers, np.union1d(shown[-1], own[_spread(len(own), BESIDE)]))
    return Chosen(numbers, np.searchsorted(numbers, np.concatenate(shown)))


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(_even(count, most))


def _even(count: int, most: int) -> NDArray[np.int64]:
    """Places among so many, evenly spread from the first to the last, the same ones twice where there are too few."""
    return np.linspace(0, count - 1, most).round().astype(np.int64)


def kept_of(
    predictions: NDArray[np.float64],
    targets: NDArray[np.float64],
    pasts: NDArray[np.float64] | None = None,
    *,
    series: NDArray[np.int64] | None = None,
    names: Sequence[str] = (),
    most: int = KEPT,
) -> Forecasts:
    """Some of a split's forecasts.

    Args:
        predictions, targets: `[window, horizon]`, one for every window of the split, in order. pasts: `[example,
            step]`, of the examples of `choose`. series: the number of each window's series, `[window]`; None: one.
        names: of all series by their numbers; needed where there are several. most: windows that are kept.
    """
    series = np.zeros(len(predictions), np.int64) if series is None else series
    numbers, examples = choose(series, most)
    several = len(np.unique(series)) > 1
    named = tuple(names[each] for each in series[numbers[examples]]) if several else ()
    return Forecasts(
        predictions[numbers], targets[numbers], examples, numbers, len(predictions), series[numbers], pasts, named
    )


def write_forecasts(folder: Path, kept: Forecasts) -> None:
    """Keep them in a run folder."""
    arrays = {
        "predictions": kept.predictions.astype(np.float32),
        "targets": kept.targets.astype(np.float32),
        "examples": kept.examples,
        "numbers": kept.numbers,
        "total": np.asarray(kept.total),
        "series": kept.series,
        "names": np.asarray(kept.names, dtype=np.str_),
    }
    if kept.pasts is not None:
        arrays["pasts"] = kept.pasts.astype(np.float32)

    def write(half: Path) -> None:
        with half.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # numpy's own arguments have other types

    write_whole(folder / FILE, write)


def read_forecasts(folder: Path) -> Forecasts | None:
    """The forecasts of a run folder; None where none were kept.

    Raises:
        BadInput: the file is there and cannot be read as such.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        refuse_inflated(path, MOST_BYTES)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _checked({name: held[name] for name in held.files})
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError, IndexError, MemoryError) as error:
        raise BadInput(f"{path}: cannot be read as the run's forecasts: {error}") from error


def _checked(held: dict[str, NDArray[Any]]) -> Forecasts:
    predictions, targets = (held[name].astype(np.float64) for name in ("predictions", "targets"))
    examples, numbers = (held[name].astype(np.int64) for name in ("examples", "numbers"))
    pasts = held["pasts"].astype(np.float64) if "pasts" in held else None
    series = held["series"].astype(np.int64) if "series" in held else np.zeros(len(predictions), np.int64)
    names = tuple(str(each) for each in held["names"]) if "names" in held else ()
    if (
        predictions.ndim != 2
        or 0 in predictions.shape
        or predictions.shape != targets.shape
        or len(numbers) != len(predictions)
    ):
        raise ValueError("its arrays do not belong together")
    if series.shape != numbers.shape or (names and len(names) != len(examples)):
        raise ValueError("its series do not belong together")
    if (
        examples.ndim != 1
        or len(examples) > EXAMPLES
        or (pasts is not None and (pasts.ndim != 2 or len(pasts) != len(examples)))
    ):
        raise ValueError("its examples do not belong together")
    predictions[examples]  # refuses an example that is not there
    return Forecasts(predictions, targets, examples, numbers, int(held["total"]), series, pasts, names)
