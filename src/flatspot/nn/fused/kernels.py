"""The two kernels of a layer in one direction: all time steps forward, and all of them back.

Each works through some of the samples, step after step, so that threads share a batch without waiting for each other.
A step is, for a few units of a few samples at a time, the matrix product in registers and what the gates do with it.
Arrays are by rows, of all sequences one time step after another; rows are as wide as whole vectors ("wide").
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, final

from llvmlite import ir

from flatspot.nn.fused.formulas import Formula, identity
from flatspot.nn.fused.gates import Gates
from flatspot.nn.fused.vectors import Argument, Bits, Code, Variable, Vector

BLOCK: Final = 3
"""Vectors whose sums are held at a time, of so many samples:"""

SAMPLES: Final = 4
"""Twelve sums then fill the sixteen registers, beside their factors, and each factor is used more than once."""

ABREAST: Final = 2
"""Vectors that go through the gates at a time: each waits for its own exponentials, not for the other's."""

GROUP: Final = 32
"""Samples that a step is done for at a time, so that what it works on stays in the cache that is next to a core."""

STEPS: Final[Mapping[str, Argument]] = {
    "first_row": "address",
    "size": "address",
    "before": "address",
    "has_before": "address",
    "steps": "number",
}
"""Whole numbers for each step in the order they are taken: its first row, its samples, the first row of the step before
it, and how many of its samples have one there; of the others it is the initial state. Then the number of steps."""

FORWARD: Final[Mapping[str, Argument]] = {
    "input": "address",  # [row, features]
    "weights": "address",  # of the input, of the state, and biases `[2, sum, wide]`: see `packing.py`
    "states": "address",  # [row, wide]: outputs, and among them or after them the initial ones
    "initial": "address",  # [sample, wide]: the initial ones
    "cells": "address",  # [sample, wide]: initial cell states, final ones in the end
    "factors": "address",  # [row, factor, wide]
    "held": "address",  # [share, sample of a group, sum, wide]: the sums of a step
    **STEPS,
}

BACKWARD: Final[Mapping[str, Argument]] = {
    "weights": "address",  # [block, gate and unit, unit before]: see `packing.py`
    "outputs": "address",  # [row, wide]: gradients of the outputs; 0 where only the last ones have some
    "factors": "address",
    "sums": "address",  # [row, sum, wide]: gradients of the pre-activations
    "totals": "address",  # [share, sum, wide]: these gradients, added up over rows
    "carry": "address",  # [sample, wide]: of the final state's gradient to the initial one's
    "cell_carry": "address",
    "norms": "address",  # [share, step, lane]: sums of squared gradients of the outputs
    "norm_steps": "number",  # of all stretches together; 0 where norms are not wanted, and there is room for one step's
    **STEPS,
}


@final
@dataclass(frozen=True)
class Shape:
    """What a kernel is made for.

    Args:
        gates: of the cell. features, units: of the layer. activation: by formula.
        bits: of a number. lanes: numbers in a vector. x86: whether the processor is one.
    """

    gates: Gates
    features: int
    units: int
    activation: Formula
    bits: Bits
    lanes: int
    x86: bool

    @property
    def vectors(self) -> int:
        """That hold all units."""
        return -(-self.units // self.lanes)

    @property
    def wide(self) -> int:
        """Numbers in these vectors."""
        return self.vectors * self.lanes

    @property
    def depth(self) -> int:
        """Multiplications for each unit at each step."""
        return self.gates.count * (self.features + self.units)

    @property
    def forward_block(self) -> int:
        """Vectors of units whose weights, of all gates, stand together."""
        return 1 if self.gates.count == BLOCK else BLOCK

    @property
    def packed(self) -> tuple[int, int, int]:
        """Numbers in the packed weights of the input and of the state, and in one of the two biases."""
        each = self.gates.count * self.wide
        return each * self.features, each * self.units, self.gates.sums * self.wide


def blocks(vectors: int, most: int) -> list[tuple[int, int]]:
    """Blocks of that many vectors, and a smaller one of what is left: the size of each kind and how many there are.

    >>> blocks(8, 3), blocks(2, 3), blocks(6, 3)
    ([(3, 2), (2, 1)], [(2, 1)], [(3, 2)])
    """
    whole, rest = divmod(vectors, most)
    return [(most, whole)] * bool(whole) + [(rest, 1)] * bool(rest)


def tiles(size: int, gates: int) -> list[list[tuple[int, int]]]:
    """The gates and vectors of a block that are multiplied at a time: of one gate, or where each has one, of some.

    >>> tiles(1, 4), tiles(2, 2)
    ([[(0, 0), (1, 0), (2, 0)], [(3, 0)]], [[(0, 0), (0, 1)], [(1, 0), (1, 1)]])
    """
    pairs = [(gate, vector) for gate in range(gates) for vector in range(size)]
    most = size if size > 1 else BLOCK
    return [pairs[start : start + most] for start in range(0, len(pairs), most)]


def write_elementwise(module: ir.Module, name: str, activation: Formula, *, bits: Bits, lanes: int) -> None:
    """Write a kernel that applies an activation to numbers, so many that they fill vectors."""
    arguments: dict[str, Argument] = {"given": "address", "values": "address", "slopes": "address", "count": "number"}
    code = Code(module, name, arguments, bits=bits, lanes=lanes)
    given = code.arguments
    with code.loop(0, given["count"], lanes) as place:
        both = activation(code.load(code.at(given["given"], place)))
        for vector, target in zip(both, ("values", "slopes"), strict=True):
            code.store(vector, code.at(given[target], place))
    code.end()


class _Kernel:
    """What both ways share."""

    def __init__(self, code: Code, shape: Shape) -> None:
        self.code, self.shape, self.gates = code, shape, shape.gates
        self.given = code.arguments

    def write(self) -> None:
        code = self.code
        flush = code.set_flush(x86=self.shape.x86)
        with code.shares() as (self.share, self.start, self.stop):
            self.begin()
            with code.loop(0, self.given["steps"]) as number:
                self.step(number)
        code.restore_flush(flush)
        code.end()

    def begin(self) -> None:
        """Before the steps of a share."""
        raise NotImplementedError

    def step(self, number: Any) -> None:  # noqa: ANN401 - llvmlite has no types
        raise NotImplementedError

    def of_step(self, name: str, step: Any) -> Any:  # noqa: ANN401
        return self.code.load_number(self.given[name], step)

    def row(self, name: str, row: Any, wide: int = 1) -> Any:  # noqa: ANN401
        """The address of a row of an array whose rows are so many times as wide as all units."""
        return self.code.at(self.given[name], self.code.times(row, wide * self.shape.wide))

    @contextmanager
    def groups(self, stop: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401
        """What is written inside is done for some samples at a time: the first one, and the one after the last."""
        with self.code.loop(self.start, stop, GROUP) as start:
            yield start, self.code.smaller(self.code.sum(start, GROUP), stop)

    def by_samples(self, start: Any, stop: Any, write: Callable[[Any, int], None]) -> None:  # noqa: ANN401
        """Write what is done with some samples at a time: so many, and for those that are left two, or one."""
        code = self.code
        for some in (SAMPLES, 2, 1):
            there = code.build.sdiv(code.build.sub(stop, start), code.number(some))  # none below zero
            whole = code.sum(start, code.times(there, some))
            with code.loop(start, whole, some) as sample:
                write(sample, some)
            start = code.build.select(code.build.icmp_signed(">", whole, start), whole, start)

    def add_product(
        self,
        sums: Sequence[Sequence[Variable]],
        sources: Sequence[Any],
        weights: Any,  # noqa: ANN401
        depth: int,
    ) -> None:
        """Add a matrix product to sums `[sample][vector]`.

        Args:
            sources: for each sample the address of its numbers, so many as `depth`.
            weights: the address of the weights `[depth, vector, lane]`.
        """
        code, vectors = self.code, len(sums[0])
        with code.loop(0, depth) as place:
            row = code.at(weights, code.times(place, vectors * code.lanes))
            factors = [code.load(code.at(row, vector * code.lanes)) for vector in range(vectors)]
            for of_sample, source in zip(sums, sources, strict=True):
                number = code.load_everywhere(code.at(source, place))
                for total, factor in zip(of_sample, factors, strict=True):
                    total.set(number.times_plus(factor, total.get()))


@final
class _Forward(_Kernel):
    def __init__(self, code: Code, shape: Shape, *, keep: bool) -> None:
        super().__init__(code, shape)
        self.keep = keep

    def begin(self) -> None:
        code, shape = self.code, self.shape
        of_group = GROUP * self.gates.sums * shape.wide
        self.held = code.at(self.given["held"], code.times(self.share, of_group))
        of_input, of_state, self.of_bias = shape.packed
        self.of_state = code.at(self.given["weights"], of_input)
        self.bias = code.at(self.given["weights"], of_input + of_state)

    def step(self, number: Any) -> None:  # noqa: ANN401
        first, before, has_before = (self.of_step(each, number) for each in ("first_row", "before", "has_before"))
        whole = self.code.smaller(self.of_step("size", number), self.stop)
        lanes = self.code.lanes
        with self.groups(whole) as (start, stop):
            done = 0
            for size, count in blocks(self.shape.vectors, self.shape.forward_block):
                with self.code.loop(0, count) as block:
                    unit = self.code.sum(self.code.times(block, size * lanes), done)
                    for first_gate, gates, tile in self.tiles(size):
                        with self.code.loop(first_gate, first_gate + gates) as gate:
                            write = partial(self.tile, tile, size, gate, unit, start, first, before, has_before)
                            self.by_samples(start, stop, write)
                done += size * count * lanes
            with self.code.loop(start, stop) as sample:
                place = self.code.build.sub(sample, start)
                done = 0
                for size, count in blocks(self.shape.vectors, ABREAST):
                    width = size * lanes
                    with self.code.wider(size), self.code.loop(done, done + count * width, width) as unit:
                        self.gate(sample, place, unit, first, before, has_before)
                    done += count * width

    def tiles(self, size: int) -> list[tuple[int, int, list[tuple[int, int]]]]:
        """Tiles that are alike, once: the first gate, how many there are, and the gates and vectors from there on."""
        every = tiles(size, self.gates.count)
        if size > 1:  # one gate each
            return [(0, len(every), every[0])]
        return [(tile[0][0], 1, [(gate - tile[0][0], vector) for gate, vector in tile]) for tile in every]

    def tile(
        self,
        tile: list[tuple[int, int]],
        size: int,
        gate: Any,  # noqa: ANN401
        unit: Any,  # noqa: ANN401
        start: Any,  # noqa: ANN401
        first: Any,  # noqa: ANN401
        before: Any,  # noqa: ANN401
        has_before: Any,  # noqa: ANN401
        sample: Any,  # noqa: ANN401
        some: int,
    ) -> None:
        """The sums of some gates, from `gate` on, and vectors of units, from `unit` on, of some samples."""
        code, gates, shape = self.code, self.gates, self.shape
        samples = [code.sum(sample, each) for each in range(some)]
        inputs = [code.at(self.given["input"], code.times(code.sum(first, each), shape.features)) for each in samples]
        states = [self.state_before(each, before, has_before) for each in samples]
        wanted = sorted({(which[each], vector) for which in (gates.of_input, gates.of_state) for each, vector in tile})
        base = code.sum(unit, code.times(gate, shape.wide))
        places = {(each, vector): code.sum(base, each * shape.wide + vector * code.lanes) for each, vector in wanted}
        biases = {each: self.biased(place) for each, place in places.items()}
        sums = [{each: code.variable(bias) for each, bias in biases.items()} for _ in samples]
        for sources, weights, depth, which in (
            (inputs, self.given["weights"], shape.features, gates.of_input),
            (states, self.of_state, shape.units, gates.of_state),
        ):
            skipped = code.times(gate, size * code.lanes * depth)
            panel = code.at(weights, code.times(unit, gates.count * depth), skipped)
            chosen = [[of_sample[which[each], vector] for each, vector in tile] for of_sample in sums]
            self.add_product(chosen, sources, panel, depth)
        for of_sample, one in zip(sums, samples, strict=True):
            row = code.times(code.build.sub(one, start), gates.sums * shape.wide)
            for each, total in of_sample.items():
                code.store(total.get(), code.at(self.held, row, places[each]))

    def biased(self, place: Any) -> Vector:  # noqa: ANN401
        """What a sum begins with."""
        one, other = (self.code.load(self.code.at(self.bias, place, each)) for each in (0, self.of_bias))
        return one + other

    def gate(
        self,
        sample: Any,  # noqa: ANN401
        place: Any,  # noqa: ANN401
        unit: Any,  # noqa: ANN401
        first: Any,  # noqa: ANN401
        before: Any,  # noqa: ANN401
        has_before: Any,  # noqa: ANN401
    ) -> None:
        """What the gates do with a vector of units of one sample, whose place in the group this is."""
        code, gates, wide = self.code, self.gates, self.shape.wide
        row, held = code.sum(first, sample), code.times(place, gates.sums * wide)
        sums = [code.load(code.at(self.held, held, unit, each * wide)) for each in range(gates.sums)]
        state = code.load(code.at(self.state_before(sample, before, has_before), unit))
        at_cell = code.at(self.row("cells", sample), unit)
        cell = code.load(at_cell) if gates.cell else None
        after = gates.forward(sums, state, cell, self.shape.activation)
        code.store(after.output, code.at(self.row("states", row), unit))
        if after.cell is not None:
            code.store(after.cell, at_cell)
        for number, factor in enumerate(after.factors if self.keep else ()):
            code.store(factor, code.at(self.row("factors", row, gates.factors), unit, number * wide))

    def state_before(self, sample: Any, before: Any, has_before: Any) -> Any:  # noqa: ANN401
        """The address of a sample's state: of the step before, or the initial one."""
        return self.code.build.select(
            self.code.build.icmp_signed("<", sample, has_before),
            self.row("states", self.code.sum(before, sample)),
            self.row("initial", sample),
        )


@final
class _Backward(_Kernel):
    def begin(self) -> None:
        of_share = self.gates.sums * self.shape.wide
        self.totals = self.code.at(self.given["totals"], self.code.times(self.share, of_share))

    def step(self, number: Any) -> None:  # noqa: ANN401
        code = self.code
        step = code.build.sub(code.sum(self.given["steps"], -1), number)
        first = self.of_step("first_row", step)
        whole = code.smaller(self.of_step("size", step), self.stop)
        norm = code.variable(code.constant(0.0))
        with self.groups(whole) as (start, stop):
            with code.loop(start, stop) as sample, code.loop(0, self.shape.wide, code.lanes) as unit:
                self.gate(sample, code.sum(first, sample), unit, norm)
            done = 0
            for size, count in blocks(self.shape.vectors, BLOCK):
                with code.loop(0, count) as block:
                    unit = code.sum(code.times(block, size * code.lanes), done)
                    self.by_samples(start, stop, partial(self.block, size, unit, first))
                done += size * count * code.lanes
        every = self.given["norm_steps"]
        wanted = code.build.icmp_signed("!=", every, code.number(0))
        place = code.build.select(wanted, code.sum(code.build.mul(self.share, every), step), code.number(0))
        code.store(norm.get(), code.at(self.given["norms"], code.times(place, code.lanes)))

    def gate(self, sample: Any, row: Any, unit: Any, norm: Variable) -> None:  # noqa: ANN401
        """Through the gates, for a vector of units of one sample."""
        code, gates, wide = self.code, self.gates, self.shape.wide
        at_output = code.at(self.row("carry", sample), unit)
        at_cell = code.at(self.row("cell_carry", sample), unit)
        arrived = code.variable(code.load(at_output))
        with code.build.if_then(code.there(self.given["outputs"])):
            arrived.set(arrived.get() + code.load(code.at(self.row("outputs", row), unit)))
        output = arrived.get()
        norm.set(output.times_plus(output, norm.get()))
        kept = [
            code.load(code.at(self.row("factors", row, gates.factors), unit, place * wide))
            for place in range(gates.factors)
        ]
        before = gates.backward(output, code.load(at_cell) if gates.cell else None, kept)
        for place, each in enumerate(gates.order):
            code.store(before.sums[each], code.at(self.row("sums", row, gates.sums), unit, place * wide))
            at_total = code.at(self.totals, unit, place * wide)
            code.store(code.load(at_total) + before.sums[each], at_total)
        code.store(before.output if before.output is not None else code.constant(0.0), at_output)
        if before.cell is not None:
            code.store(before.cell, at_cell)

    def block(self, size: int, unit: Any, first: Any, sample: Any, some: int) -> None:  # noqa: ANN401
        """Back through the weights, to so many vectors of units of some samples."""
        code, gates, wide = self.code, self.gates, self.shape.wide
        samples = [code.sum(sample, each) for each in range(some)]
        skipped = wide * gates.order.index(gates.of_state[0]) if gates.sums > gates.count else 0
        sources = [code.at(self.row("sums", code.sum(first, each), gates.sums), skipped) for each in samples]
        targets = [code.at(self.row("carry", each), unit) for each in samples]
        sums = [
            [code.variable(code.load(code.at(target, vector * code.lanes))) for vector in range(size)]
            for target in targets
        ]
        weights = code.at(self.given["weights"], code.times(unit, gates.count * wide))
        self.add_product(sums, sources, weights, gates.count * wide)
        for of_sample, target in zip(sums, targets, strict=True):
            for vector, total in enumerate(of_sample):
                code.store(total.get(), code.at(target, vector * code.lanes))


def _write_forward(module: ir.Module, name: str, shape: Shape) -> None:
    _Forward(Code(module, name, FORWARD, bits=shape.bits, lanes=shape.lanes), shape, keep=False).write()


def _write_forward_and_keep(module: ir.Module, name: str, shape: Shape) -> None:
    _Forward(Code(module, name, FORWARD, bits=shape.bits, lanes=shape.lanes), shape, keep=True).write()


def _write_backward(module: ir.Module, name: str, shape: Shape) -> None:
    _Backward(Code(module, name, BACKWARD, bits=shape.bits, lanes=shape.lanes), shape).write()


KERNELS: Final[Mapping[str, tuple[Callable[[ir.Module, str, Shape], None], Mapping[str, Argument]]]] = {
    "forward": (_write_forward, FORWARD),
    "forward_and_keep": (_write_forward_and_keep, FORWARD),
    "backward": (_write_backward, BACKWARD),
}
"""What writes each kernel, and its arguments: forward, forward with the factors for the way back kept, and back."""


def asked_of(name: str, shape: Shape) -> Shape:
    """As much of a shape as a kernel asks for.

    One way back serves all activations, whose slopes are among the factors, all numbers of features, and all numbers of
    units that fill as many vectors.
    """
    if name != "backward":
        return shape
    return replace(shape, features=0, units=shape.wide, activation=identity)
