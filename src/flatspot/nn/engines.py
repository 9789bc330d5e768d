"""What runs a recurrent layer: torch.nn's own code, machine code of ours, or plain torch one step after another."""

import logging
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, final, get_args

import torch

from flatspot.nn.fused import team  # noqa: F401 - so that a process that is forked from here on knows it
from flatspot.registry import nearest

Engine = Literal["auto", "native", "fused", "scan"]

FEW: Final = 8
"""Time steps from which on machine code is worth what surrounds it."""

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Choice:
    """The engine that runs a layer, and why it does."""

    engine: str
    reason: str

    def __str__(self) -> str:
        return f"{self.engine}: {self.reason}"


@final
@dataclass(frozen=True)
class Asked:
    """What a layer is to do.

    Args:
        cell: by name. activation: by name in the table; None: a function that it does not have.
        native: whether torch.nn has a layer that does the same. dtype, device: of the input.
        norms: whether the gradients by time step are wanted. few: whether there are few time steps.
        plain: whether all is memory that can be looked at.
    """

    cell: str
    activation: str | None
    native: bool
    dtype: torch.dtype
    device: str
    norms: bool
    few: bool = False
    plain: bool = True


def known_engine(name: str) -> str:
    """The name, if it is that of an engine.

    Raises:
        ValueError: if it is not.
    """
    names = list(get_args(Engine))
    if name not in names:
        raise ValueError(f"engine={name}: {nearest(str(name), names)}")
    return name


def choose(engine: str, asked: Asked) -> Choice:
    """The engine that runs what is asked.

    Raises:
        ValueError: if the one that is named cannot.
    """
    if engine == "scan":
        return Choice("scan", "asked for")
    hindrances = {"native": _against_native(asked), "fused": _against_fused(asked)}
    if engine != "auto":
        if hindrances[engine] is not None:
            raise ValueError(f"engine={engine}: {hindrances[engine]}; engine=auto finds one that can")
        return Choice(engine, "asked for")
    if hindrances["native"] is None and asked.few:
        return Choice("native", f"torch.nn's own, which is sooner done with fewer than {FEW} time steps")
    if hindrances["fused"] is None:
        return Choice("fused", f"machine code for a {asked.cell} with {asked.activation} on this processor")
    if hindrances["native"] is None:
        return Choice("native", f"torch.nn's own; the fused engine is out: {hindrances['fused']}")
    return Choice("scan", f"plain torch; fused is out: {hindrances['fused']}; native is out: {hindrances['native']}")


def _against_native(asked: Asked) -> str | None:
    if not asked.native:
        return f"torch.nn has no {asked.cell} with {asked.activation or 'this activation'}"
    return "torch.nn does not tell gradients by time step" if asked.norms else None


def _against_fused(asked: Asked) -> str | None:
    if asked.device != "cpu":
        return f"it runs on a CPU, not on {asked.device}"
    if asked.dtype not in {torch.float32, torch.float64}:
        return f"it takes float32 and float64, not {asked.dtype}"
    if not asked.plain:
        return "it takes plain tensors, not what torch.func, a trace or another kind of tensor makes of them"
    if asked.activation is None or not _has_formula(asked.activation):
        return "it has no formula for this activation"
    return _why_no_fused()


def _has_formula(activation: str) -> bool:
    if _why_no_fused() is not None:
        return True
    from flatspot.nn.fused.formulas import FORMULAS  # noqa: PLC0415 - LLVM is loaded where it is wanted

    return activation in FORMULAS


@cache
def _why_no_fused() -> str | None:
    """Why there is no fused engine here; None: there is one. Said once in the log."""
    try:
        from flatspot.nn.fused.compiled import try_it  # noqa: PLC0415

        try_it()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being compiled, plain torch serves
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        log.warning("flatspot.nn: no fused engine here (%s); plain torch serves", told)
        return f"it cannot be compiled here ({told})"
    return None
