"""Named measurements of one run, as JSON lines: what rules judge and reports speak of.

A line is one measurement time: `{"when": "epoch", "epoch": 3, "step": 116, "values": {"diversity/ratio_val": 0.71}}`.
Every value is finite or absent, so that no rule ever compares with NaN. What is one number for each time step or
station stands beside them under `curves`, why a group of numbers could not be taken under `unmeasured`, and what parts
of the model are called under `names`. The file is only appended to, and a last line torn by a crash is passed over. So
is what a later version adds to a line.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, final

from flatspot.errors import BadInput, CannotWrite
from flatspot.kept import write_whole

FILE: Final = "evidence.jsonl"

LONGEST: Final = 300
"""Characters of names beyond which they are left out."""


@final
@dataclass(frozen=True)
class Measurement:
    """The numbers taken at one time of a run.

    Args:
        when: `"start"` before the first step, `"step"` during training, `"epoch"` as one ends, `"trained"` after the
            last step, `"examined"` for what looks for a cause, `"end"` for the test.
        epoch: epochs finished. step: optimizer steps taken.
        values: finite numbers by name; others are left out.
        curves: several finite numbers by name, in order.
        unmeasured: why numbers are missing, by what stands before the `/` of their names.
        names: what parts of the model are called, dotted, by what they are (`head/name`).
    """

    when: str
    epoch: int
    step: int
    values: Mapping[str, float]
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


def measurement(
    when: str,
    epoch: int,
    step: int,
    values: Mapping[str, float | None],
    curves: Mapping[str, Sequence[float]] | None = None,
    unmeasured: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Measurement:
    """A measurement of the values that are finite numbers, of the curves that are wholly so, and of names that are.

    >>> measurement("end", 1, 10, {"a": 1.0, "b": float("nan"), "c": None}).values
    {'a': 1.0}
    """
    kept = {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
    whole = {name: list(curve) for name, curve in (curves or {}).items() if all(map(math.isfinite, curve))}
    called = {what: name for what, name in (names or {}).items() if are_names(name)}
    return Measurement(when, epoch, step, kept, whole, dict(unmeasured or {}), called)


def are_names(text: str) -> bool:
    """Whether this is a dotted name of a part of a model, or several with a comma between.

    Rules put it into lines that people paste, so nothing else may be in it, whoever wrote the file.

    >>> are_names("encoder.layers.0, head"), are_names("head); print(1")
    (True, False)
    """
    parts = [part for name in text.split(", ") for part in name.split(".")]
    return len(text) <= LONGEST and all(part.isidentifier() or (part.isascii() and part.isdigit()) for part in parts)


def append(folder: Path, entry: Measurement) -> None:
    """Append one measurement to the run folder's evidence.

    Raises:
        CannotWrite: naming the file.
    """
    try:
        with (folder / FILE).open("a", encoding="utf-8") as file:
            file.write(_line(entry))
    except OSError as error:
        raise CannotWrite.of(folder / FILE, error) or error from error


def cut(folder: Path, step: int) -> None:
    """Leave out what was measured after a step, and what was the end: a run that goes on there measures it anew."""
    kept = [each for each in read(folder) if each.step <= step and each.when not in {"trained", "examined", "end"}]
    path = folder / FILE
    if path.exists():
        write_whole(path, lambda half: half.write_text("".join(map(_line, kept)), encoding="utf-8"))


def _line(entry: Measurement) -> str:
    held = asdict(entry)
    for name in ("curves", "unmeasured", "names"):
        if not held[name]:
            del held[name]
    return json.dumps(held, allow_nan=False) + "\n"


def read(folder: Path) -> list[Measurement]:
    """All measurements in a run folder, in the order in which they were taken; none if there is no file.

    Raises:
        BadInput: naming the file and the line that is no measurement; a torn last line is none of a crash's fault.
    """
    path = folder / FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return list(_parsed(path, lines))


def latest(entries: Iterable[Measurement]) -> dict[str, float]:
    """The last value of every name."""
    return {name: value for entry in entries for name, value in entry.values.items()}


def _parsed(path: Path, lines: list[str]) -> Iterable[Measurement]:
    for number, line in enumerate(lines, start=1):
        try:
            yield _measured(line)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            if number < len(lines):
                raise BadInput(f"{path}, line {number}: not a measurement: {line[:60]!r}") from None


def _measured(line: str) -> Measurement:
    """What a line says, whatever else a later version has put into it."""
    held = json.loads(line)
    values = {str(name): float(value) for name, value in held["values"].items()}
    curves = {str(name): [float(each) for each in curve] for name, curve in held.get("curves", {}).items()}
    reasons = {str(name): str(why) for name, why in held.get("unmeasured", {}).items()}
    names = {str(what): str(name) for what, name in held.get("names", {}).items()}
    return measurement(str(held["when"]), int(held["epoch"]), int(held["step"]), values, curves, reasons, names)
