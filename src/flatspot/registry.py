"""Names to things: ours, and those that installed packages add; an unknown name is refused with the nearest one."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, final

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
    """A read-only table of named things: ours, then those of installed packages, which are imported when looked up.

    Args:
        kind: what the things are, for messages.
        things: ours, by name. A package cannot replace them.
        extensions: the entry-point group by which another package adds its own.
        of: what an extension must be an instance of.

    >>> cells = Registry("cell", {"gru": 1, "lstm": 2})
    >>> cells["gru"]
    1
    >>> cells["gur"]
    Traceback (most recent call last):
    flatspot.registry.UnknownName: no cell is called 'gur'; did you mean 'gru'? (known: gru, lstm)
    """

    def __init__(self, kind: str, things: Mapping[str, T], *, extensions: str | None = None, of: type = object) -> None:
        self.kind = kind
        self._things = dict(things)
        self._extensions = extensions
        self._of = of

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            self._things[name] = self._load(name)
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._things, *self.added()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._things or name in self.added()

    def added(self) -> Mapping[str, EntryPoint]:
        """What installed packages add, by name, not yet imported.

        Raises:
            BadInput: if two packages add the same name.
        """
        return _added(self.kind, self._extensions) if self._extensions else {}

    def _load(self, name: str) -> T:
        found = self.added().get(name)
        if found is None:
            raise UnknownName(f"no {self.kind} is called {name!r}; {nearest(str(name), list(self))}")
        try:
            thing = found.load()
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise BadInput(f"the {self.kind} {name!r} of {_package(found)} cannot be loaded: {why}") from error
        if not isinstance(thing, self._of):
            raise BadInput(f"the {self.kind} {name!r} of {_package(found)} is no {self._of.__name__}: {thing!r}")
        return thing  # type: ignore[return-value] # held by `of`, as far as it can be


def _added(kind: str, group: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in installed(group):
        if entry.name in found:
            both = f"{_package(found[entry.name])} and {_package(entry)}"
            raise BadInput(f"two packages add the {kind} {entry.name!r}: {both}")
        found[entry.name] = entry
    return found


@cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of a group in all installed packages."""
    return tuple(_of_all_packages().select(group=group))


@cache
def _of_all_packages() -> Any:  # noqa: ANN401 - from Python 3.12 on EntryPoints
    """The files of all packages are read once: a tenth of a second where many are installed."""
    return entry_points()


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else entry.value
