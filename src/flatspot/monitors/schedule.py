"""When to look thoroughly: at step 0, and then ever more rarely, so that what it costs becomes nothing."""

from typing import final

from flatspot.errors import BadInput


@final
class Doubling:
    """Due at the optimizer steps first, 2·first, 4·first, ...; it hangs on the step alone, so a resumed fit keeps it.

    >>> due = Doubling(first=100)
    >>> [step for step in range(1000) if due(step)]
    [100, 200, 400, 800]

    Args:
        first: the first such step.

    Raises:
        BadInput: for one below 1.
    """

    def __init__(self, first: int) -> None:
        if first < 1:
            raise BadInput(f"first={first}: the first steps between two measurements must be at least 1")
        self._first = first
        self._next: int | None = None

    def __call__(self, step: int) -> bool:
        """Whether a mark was reached since the last call; the first call sets where the count begins."""
        if self._next is None:
            self._next = self._after(step - 1)
        if step < self._next:
            return False
        self._next = self._after(step)
        return True

    def restart(self) -> None:
        """Forget which marks were passed."""
        self._next = None

    def _after(self, step: int) -> int:
        """The first mark beyond a step."""
        mark = self._first
        while mark <= step:
            mark *= 2
        return mark
