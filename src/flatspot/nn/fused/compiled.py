"""Kernels compiled for this processor, once for each shape of layer, and run by as many threads as torch has."""

from array import array
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from itertools import chain, pairwise
from typing import Any, Final, final

import numpy as np
import torch
from llvmlite import binding, ir
from torch import Tensor

from flatspot.nn.fused.formulas import FORMULAS
from flatspot.nn.fused.gates import GATES
from flatspot.nn.fused.kernels import KERNELS, SAMPLES, Shape, asked_of, write_elementwise
from flatspot.nn.fused.packing import Orders, orders_of
from flatspot.nn.fused.steps import Steps
from flatspot.nn.fused.team import together
from flatspot.nn.fused.vectors import Bits

BITS: Final[dict[torch.dtype, Bits]] = {torch.float32: 32, torch.float64: 64}
"""The numbers that kernels are made for."""

LEAST_WORK: Final = 2_000_000
"""Multiplications for which another thread is worth waking."""

TOGETHER: Final = SAMPLES
"""Samples that a thread's share is a multiple of."""


@final
class Kernels:
    """The kernels of a layer in one direction, each compiled when it is first run: a third of a second for two.

    What is the same in several layers is compiled once.

    Args:
        shape: what they are made for.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._functions: dict[str, Function] = {}

    @cached_property
    def orders(self) -> Orders:
        """In which weights are packed."""
        return orders_of(self.shape)

    def _function(self, name: str) -> "Function":
        if name not in self._functions:
            self._functions[name] = _function(name, asked_of(name, self.shape))
        return self._functions[name]

    def run(self, name: str, arrays: Sequence[Tensor | int], steps: Steps, span: tuple[int, int] | None = None) -> None:
        """Run a kernel over all samples, shared among threads.

        Args:
            name: `forward`, `forward_and_keep` or `backward`. arrays: as the kernel's arguments have them, tensors or
                addresses.
            steps: how they follow one another. span: those that are taken, `[start, stop)`; None: all.
        """
        start, stop = span or (0, steps.count)
        given = [each if isinstance(each, int) else each.data_ptr() for each in arrays]
        given += [address + 8 * start for address in steps.addresses]
        spans = self.shares(steps, stop - start)
        self._function(name)([*given, stop - start], spans)

    def shares(self, steps: Steps, count: int) -> tuple[tuple[int, int], ...]:
        """The samples of each thread, for so many steps."""
        return shares(steps.samples, count * self.shape.wide * self.shape.depth)


@lru_cache(maxsize=512)
def _function(name: str, shape: Shape) -> "Function":
    module = ir.Module("flatspot")
    write, _ = KERNELS[name]
    write(module, name, shape)
    return Function(module, name)


@lru_cache(maxsize=512)
def kernels(cell: str, activation: str, features: int, units: int, dtype: torch.dtype) -> Kernels:
    """The kernels of a layer, compiled when they are first asked for."""
    bits = BITS[dtype]
    lanes = _vector_bytes() * 8 // bits
    x86 = _target().triple.startswith(("x86_64", "i686"))
    return Kernels(Shape(GATES[cell], features, units, FORMULAS[activation], bits, lanes, x86))


def apply_formula(activation: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """An activation's values and slopes by its formula, of the same shape as z: for those who would check them."""
    lanes = _vector_bytes() * 8 // BITS[z.dtype]
    flat = torch.nn.functional.pad(z.flatten(), (0, -z.numel() % lanes)).contiguous()
    values, slopes = torch.empty_like(flat), torch.empty_like(flat)
    module = ir.Module("flatspot")
    write_elementwise(module, "elementwise", FORMULAS[activation], bits=BITS[z.dtype], lanes=lanes)
    Function(module, "elementwise")([flat.data_ptr(), values.data_ptr(), slopes.data_ptr(), len(flat)])
    return values[: z.numel()].view_as(z), slopes[: z.numel()].view_as(z)


def try_it() -> None:
    """Compile and run something small, in memory that torch has no part in.

    Raises:
        RuntimeError: if it is not what it should be.
    """
    module = ir.Module("flatspot")
    lanes = _vector_bytes() // 4
    write_elementwise(module, "elementwise", FORMULAS["identity"], bits=32, lanes=lanes)
    given, values, slopes = np.arange(lanes, dtype=np.float32), *np.zeros((2, lanes), np.float32)
    Function(module, "elementwise")([*(each.ctypes.data for each in (given, values, slopes)), lanes])
    if not ((values == given).all() and (slopes == 1).all()):
        raise RuntimeError("machine code computes something else than was written")


@cache
def _target() -> Any:  # noqa: ANN401 - llvmlite has no types
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.Target.from_default_triple()


@cache
def _vector_bytes() -> int:
    return 64 if binding.get_host_cpu_features().get("avx512f") else 32


def _compile(module: ir.Module) -> Any:  # noqa: ANN401
    features = binding.get_host_cpu_features().flatten()
    machine = _target().create_target_machine(cpu=binding.get_host_cpu_name(), features=features, opt=3)
    module.triple = _target().triple
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    engine = binding.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine


@final
class Function:
    """A compiled function, called without the lock that lets one thread at a time run Python.

    Args:
        module: what it is written in. name: its name there.
    """

    def __init__(self, module: ir.Module, name: str) -> None:
        self._code = _compile(module)  # lives as long as what calls it
        self._address = self._code.get_function_address(name)

    def __call__(self, arguments: list[int], spans: Sequence[tuple[int, int]] = ((0, 0),)) -> None:
        """Call it in as many threads as there are spans of samples.

        Args:
            arguments: numbers and addresses. spans: `[start, stop)`.
        """
        held = array("q", [*arguments, 0, len(spans), *chain.from_iterable(spans)])
        together(self._address, held.buffer_info()[0], len(spans))


def shares(samples: int, work: int) -> tuple[tuple[int, int], ...]:
    """Some samples for each thread, `[start, stop)`.

    Args:
        work: multiplications for each sample.
    """
    return _shares(samples, max(min(torch.get_num_threads(), samples, work * samples // LEAST_WORK), 1))


@lru_cache(maxsize=256)
def _shares(samples: int, threads: int) -> tuple[tuple[int, int], ...]:
    size = max(-(-samples // threads), 1)
    size = -(-size // TOGETHER) * TOGETHER if size >= TOGETHER else size
    return tuple(pairwise([*range(0, samples, size), samples]))
