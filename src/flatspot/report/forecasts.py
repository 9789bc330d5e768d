"""Forecasts that a run keeps for its report: some of the test split's, beside what came true. Numbers alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from flatspot.errors import BadInput

FILE: Final = "forecasts.npz"

KEPT: Final = 300
"""Windows of the test split, evenly spread: enough to see a fan or a single line."""

EXAMPLES: Final = 4
"""Windows shown in full."""

MOST_BYTES: Final = 2**26
"""A file beyond this size is none that a run has written."""


@final
@dataclass(frozen=True)
class Forecasts:
    """Forecasts of evenly spread windows of a split, in original units.

    Args:
        predictions, targets: `[window, horizon]`. pasts: `[example, step]`, what the examples' windows held; None:
            not known. examples: which of the kept windows are shown in full, `[example]`.
        numbers: of the kept windows in their split. total: windows of the split.
    """

    predictions: NDArray[np.float64]
    targets: NDArray[np.float64]
    examples: NDArray[np.int64]
    numbers: NDArray[np.int64]
    total: int
    pasts: NDArray[np.float64] | None = None


def examples_of(windows: int, most: int = KEPT) -> NDArray[np.int64]:
    """The numbers of the windows that are shown in full, evenly spread over those that are kept."""
    kept = _spread(windows, most)
    return kept[_spread(len(kept), EXAMPLES)]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.int64))


def kept_of(
    predictions: NDArray[np.float64],
    targets: NDArray[np.float64],
    pasts: NDArray[np.float64] | None = None,
    most: int = KEPT,
) -> Forecasts:
    """Some of a split's forecasts.

    Args:
        predictions, targets: `[window, horizon]`, one for every window of the split, in time order. pasts: `[example,
            step]`, of the windows that `examples_of` names. most: windows that are kept, the examples among them.
    """
    total = len(predictions)
    numbers = _spread(total, most)
    return Forecasts(predictions[numbers], targets[numbers], _spread(len(numbers), EXAMPLES), numbers, total, pasts)


def write_forecasts(folder: Path, kept: Forecasts) -> None:
    """Keep them in a run folder."""
    half = folder / f".{FILE}"
    arrays = {
        "predictions": kept.predictions.astype(np.float32),
        "targets": kept.targets.astype(np.float32),
        "examples": kept.examples,
        "numbers": kept.numbers,
        "total": np.asarray(kept.total),
    }
    if kept.pasts is not None:
        arrays["pasts"] = kept.pasts.astype(np.float32)
    with half.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # numpy's own arguments have other types
    half.replace(folder / FILE)


def read_forecasts(folder: Path) -> Forecasts | None:
    """The forecasts of a run folder; None where none were kept.

    Raises:
        BadInput: the file is there and cannot be read as such.
    """
    path = folder / FILE
    if not path.exists():
        return None
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{path}: is larger than the forecasts of any run")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return _checked({name: held[name] for name in held.files})
    except (OSError, EOFError, BadZipFile, ValueError, KeyError, TypeError, IndexError, MemoryError) as error:
        raise BadInput(f"{path}: cannot be read as the run's forecasts: {error}") from error


def _checked(held: dict[str, NDArray[np.float64]]) -> Forecasts:
    predictions, targets = (held[name].astype(np.float64) for name in ("predictions", "targets"))
    examples, numbers = (held[name].astype(np.int64) for name in ("examples", "numbers"))
    pasts = held["pasts"].astype(np.float64) if "pasts" in held else None
    if predictions.ndim != 2 or predictions.shape != targets.shape or len(numbers) != len(predictions):
        raise ValueError("its arrays do not belong together")
    if examples.ndim != 1 or (pasts is not None and (pasts.ndim != 2 or len(pasts) != len(examples))):
        raise ValueError("its examples do not belong together")
    predictions[examples]  # refuses an example that is not there
    return Forecasts(predictions, targets, examples, numbers, int(held["total"]), pasts)
