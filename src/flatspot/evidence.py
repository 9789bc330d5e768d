"""Named measurements of one run, as JSON lines: what rules judge and reports speak of.

A line is one measurement time: `{"when": "epoch", "epoch": 3, "step": 116, "values": {"diversity/ratio_val": 0.71}}`.
Every value is finite or absent, so that no rule ever compares with NaN. What is one number for each time step or
station stands beside them under `curves`. The file is only appended to, and a last line torn by a crash is passed over.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, final

FILE: Final = "evidence.jsonl"


@final
@dataclass(frozen=True)
class Measurement:
    """The numbers taken at one time of a run.

    Args:
        when: `"start"` before the first step, `"step"` during training, `"epoch"` as one ends, `"trained"` after the
            last step, `"end"` for the final examination.
        epoch: epochs finished. step: optimizer steps taken.
        values: finite numbers by name; others are left out.
        curves: several finite numbers by name, in order.
    """

    when: str
    epoch: int
    step: int
    values: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


def measurement(
    when: str,
    epoch: int,
    step: int,
    values: Mapping[str, float | None],
    curves: Mapping[str, Sequence[float]] | None = None,
) -> Measurement:
    """A measurement of the values that are finite numbers, and of the curves that are wholly so.

    >>> measurement("end", 1, 10, {"a": 1.0, "b": float("nan"), "c": None}).values
    {'a': 1.0}
    """
    kept = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    whole = {name: list(curve) for name, curve in (curves or {}).items() if all(map(math.isfinite, curve))}
    return Measurement(when, epoch, step, kept, whole)


def append(folder: Path, entry: Measurement) -> None:
    """Append one measurement to the run folder's evidence."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(_line(entry))


def cut(folder: Path, step: int) -> None:
    """Leave out what was measured after a step, and what was the end: a run that goes on there measures it anew."""
    kept = [entry for entry in read(folder) if entry.step <= step and entry.when not in {"trained", "end"}]
    path = folder / FILE
    if path.exists():
        new = path.with_suffix(".new")
        new.write_text("".join(map(_line, kept)), encoding="utf-8")
        new.replace(path)


def _line(entry: Measurement) -> str:
    held = asdict(entry)
    if not held["curves"]:
        del held["curves"]
    return json.dumps(held, allow_nan=False) + "\n"


def read(folder: Path) -> list[Measurement]:
    """All measurements in a run folder, in the order in which they were taken; none if there is no file."""
    path = folder / FILE
    return list(_parsed(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def latest(entries: Iterable[Measurement]) -> dict[str, float]:
    """The last value of every name."""
    return {name: value for entry in entries for name, value in entry.values.items()}


def _parsed(lines: list[str]) -> Iterable[Measurement]:
    for number, line in enumerate(lines, start=1):
        try:
            yield Measurement(**json.loads(line))
        except ValueError:
            if number < len(lines):
                raise ValueError(f"{FILE}, line {number}: not a measurement: {line[:60]!r}") from None
