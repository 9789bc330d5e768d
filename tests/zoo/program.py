"""What the zoo holds: programs that strangers might have written, trained, and now ask about.

A program is a function from a seed to a `Case`. A sick one takes `healed` too: the same program with its one fault
mended, and nothing else. `programs(half)` finds all that the modules of a half define.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

Kind = Literal["sick", "healed", "healthy", "rightly-flat"]


@dataclass(frozen=True)
class Case:
    """What its author hands to the doctor: `flatspot.examine(model, train=, val=, loss=, optimizer=, ...)`.

    Args:
        model: as training left it. train, val: loaders. loss: of (predictions, targets). optimizer: as it was used.
        make_model: gives fresh copies, as the author begins. batch: from a loader's batch to (inputs, targets).
    """

    model: nn.Module
    train: Iterable[Any]
    val: Iterable[Any]
    loss: Callable[..., Any] | None = None
    optimizer: Optimizer | None = None
    make_model: Callable[[], nn.Module] | None = None
    batch: Callable[[Any], tuple[Any, Any]] | None = None


@dataclass(frozen=True)
class Program:
    """One inhabitant.

    Args:
        name: of its function, with ` (healed)` behind it for a twin. causes: what is wrong; the first is meant, others
            are as true. story: its docstring. build: from a seed.
    """

    name: str
    kind: Kind
    causes: tuple[str, ...]
    story: str
    build: Callable[[int], Case]


class Sick:
    """A sick program and its healed twin; called, it builds the sick one or, with `healed`, the other."""

    def __init__(self, causes: tuple[str, ...], build: Callable[..., Case]) -> None:
        self.build = build
        name, story = build.__name__, (build.__doc__ or "").strip()
        self.programs = (
            Program(name, "sick", causes, story, partial(build, healed=False)),
            Program(f"{name} (healed)", "healed", (), story, partial(build, healed=True)),
        )


def sick(*causes: str) -> Callable[[Callable[..., Case]], Sick]:
    """A program with one fault, which goes by the name of a cause, and with a healed twin."""
    return partial(Sick, causes)


def healthy(build: Callable[[int], Case]) -> Program:
    """A program with which nothing is wrong, though it may look so."""
    return Program(build.__name__, "healthy", (), (build.__doc__ or "").strip(), build)


def rightly_flat(build: Callable[[int], Case]) -> Program:
    """A program whose (nearly) constant answer is the best that can be said."""
    return Program(build.__name__, "rightly-flat", (), (build.__doc__ or "").strip(), build)


def programs(half: str) -> dict[str, Program]:
    """All programs of a half, `seen` or `unseen`, by name.

    Raises:
        ValueError: two go by one name.
    """
    package = importlib.import_module(f"zoo.{half}")
    found: dict[str, Program] = {}
    for each in pkgutil.iter_modules(package.__path__):
        held = vars(importlib.import_module(f"zoo.{half}.{each.name}")).values()
        for thing in held:
            for program in thing.programs if isinstance(thing, Sick) else (thing,) * isinstance(thing, Program):
                if program.name in found:
                    raise ValueError(f"two programs are called {program.name}")
                found[program.name] = program
    return found
