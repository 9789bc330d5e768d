"""What is wrong with a table, all that one look at it finds: said in one message, the first fault in the file first."""

from dataclasses import dataclass
from typing import Final, final

from flatspot.errors import BadInput

LISTED: Final = 8
"""Faults that are told; of more, only how many there are."""


@final
@dataclass
class _Fault:
    row: int
    told: str
    cells: int
    hint: str

    def __str__(self) -> str:
        more = self.cells - 1
        return f"{self.told} ({more:,} more such cell{'s' * (more > 1)} below)" if more > 0 else self.told


@final
class Faults:
    """What was found so far.

    Args:
        name: of the table.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: dict[tuple[str, str], _Fault] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, kind: tuple[str, str], row: int, told: str, *, cells: int = 1, hint: str = "") -> None:
        """Keep a fault; of a kind that was found before, how often it came.

        Args:
            kind: a column and what is wrong there. row: the first that has it, in the table.
            told: in words, from where it is on. hint: what may be behind it, which is told once of many.
        """
        if kind in self._found:
            self._found[kind].cells += cells
        else:
            self._found[kind] = _Fault(row, told, cells, hint)

    def refuse(self) -> None:
        """Say what was found, if anything was.

        Raises:
            BadInput: a line for each fault; one alone in one sentence.
        """
        if not self._found:
            return
        faults = sorted(self._found.values(), key=lambda fault: fault.row)
        shown, more = faults[:LISTED], len(faults) - LISTED
        last = {fault.hint: fault for fault in shown}
        lines = [f"{fault}{fault.hint if last[fault.hint] is fault else ''}" for fault in shown]
        rest = [f"and {more} more"] * (more > 0)
        raise BadInput(f"{self._name}: {lines[0]}", *(f"also {line}" for line in lines[1:]), *rest)
