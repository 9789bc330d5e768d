"""Names to things: an unknown name is refused with the nearest known one."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Generic, TypeVar, final

from flatspot.errors import BadInput

T = TypeVar("T")


class UnknownName(BadInput, LookupError):  # noqa: N818 - see BadInput
    """A name that nothing is registered under."""


def nearest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """A hint for a misspelt name: the nearest known one, then all of them.

    >>> nearest("gur", ["gru", "lstm", "rnn"])
    "did you mean 'gru'? (known: gru, lstm, rnn)"
    >>> nearest("transformer", ["gru", "lstm"])
    'known: gru, lstm'
    """
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    listed = f"known: {', '.join(names)}"
    return f"did you mean '{close[0]}'? ({listed})" if close else listed


@final
class Registry(Generic[T], Mapping[str, T]):
    """A read-only table of named things.

    >>> cells = Registry("cell", {"gru": 1, "lstm": 2})
    >>> cells["gru"]
    1
    >>> cells["gur"]
    Traceback (most recent call last):
    flatspot.registry.UnknownName: no cell is called 'gur'; did you mean 'gru'? (known: gru, lstm)
    """

    def __init__(self, kind: str, things: Mapping[str, T]) -> None:
        self.kind = kind
        self._things = dict(things)

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            raise UnknownName(f"no {self.kind} is called {name!r}; {nearest(str(name), list(self))}")
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things
