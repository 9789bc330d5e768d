"""Vector code, written in Python: numbers that go through the processor several at a time.

A kernel is a Python function that calls these; what it calls is written down as LLVM's intermediate language and
compiled once (`compiled.py`). The classes know nothing of recurrent layers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, final

from llvmlite import ir

Argument = Literal["address", "number"]
"""Each takes 64 bits."""

Bits = Literal[32, 64]

I32: Final = ir.IntType(32)
I64: Final = ir.IntType(64)
ADDRESS: Final = ir.PointerType()

ROUNDING: Final[Mapping[int, float]] = {32: 1.5 * 2.0**23, 64: 1.5 * 2.0**52}
"""What, added to a number, leaves its nearest whole number in the lowest bits."""

EXPONENT: Final[Mapping[int, tuple[int, int]]] = {32: (23, 127), 64: (52, 1023)}
"""Where a number's exponent begins, and what stands there for 2 to the power of 0."""


@final
class Code:
    """One function of a module while it is written.

    It is called with one address, from which on its arguments stand, and the shares of the threads that run it at once.

    Args:
        module: what it is part of. name: its name there. arguments: their kinds by name.
        bits: of a number. lanes: numbers in a vector.
    """

    def __init__(
        self, module: ir.Module, name: str, arguments: Mapping[str, Argument], *, bits: Bits, lanes: int
    ) -> None:
        self.bits = bits
        self.real = ir.FloatType() if bits == 32 else ir.DoubleType()
        self._of_lanes(lanes)
        self._module = module
        self._function = ir.Function(module, ir.FunctionType(ir.VoidType(), [ADDRESS]), name)
        self._entry = self._function.append_basic_block("entry")
        self._start = self._function.append_basic_block("start")
        self.build = ir.IRBuilder(self._start)
        held = self._function.args[0]
        self.arguments = {each: self.load_number(held, self.number(place)) for place, each in enumerate(arguments)}
        for each, kind in arguments.items():
            if kind == "address":
                self.arguments[each] = self.build.inttoptr(self.arguments[each], ADDRESS)
        self._shares = self.build.gep(held, [self.number(len(arguments))], source_etype=I64)

    def end(self) -> None:
        """The function is written."""
        self.build.ret_void()
        ir.IRBuilder(self._entry).branch(self._start)

    def _of_lanes(self, lanes: int) -> None:
        self.lanes = lanes
        self.vector = ir.VectorType(self.real, lanes)
        self.whole = ir.VectorType(ir.IntType(self.bits), lanes)

    @contextmanager
    def wider(self, times: int) -> Iterator[None]:
        """Vectors of so many more lanes: more than one of the processor's, whose work it then does side by side."""
        lanes = self.lanes
        self._of_lanes(lanes * times)
        yield
        self._of_lanes(lanes)

    def constant(self, value: float) -> "Vector":
        """The same number in all lanes."""
        return Vector(self, ir.Constant(self.vector, [ir.Constant(self.real, float(value))] * self.lanes))

    def number(self, value: int) -> Any:  # noqa: ANN401 - llvmlite has no types
        """A whole number."""
        return ir.Constant(I64, value)

    def sum(self, *numbers: Any) -> Any:  # noqa: ANN401
        """Of whole numbers."""
        total, *rest = (self.number(each) if isinstance(each, int) else each for each in numbers)
        for each in rest:
            total = self.build.add(total, each)
        return total

    def times(self, number: Any, factor: int) -> Any:  # noqa: ANN401
        """Of whole numbers."""
        return self.build.mul(number, self.number(factor))

    def smaller(self, one: Any, other: Any) -> Any:  # noqa: ANN401
        """Of two whole numbers."""
        return self.build.select(self.build.icmp_signed("<", one, other), one, other)

    def there(self, address: Any) -> Any:  # noqa: ANN401
        """Whether an address is not 0."""
        return self.build.icmp_unsigned("!=", self.build.ptrtoint(address, I64), self.number(0))

    def at(self, base: Any, *places: Any) -> Any:  # noqa: ANN401
        """The address of a real number, so many after another."""
        return self.build.gep(base, [self.sum(*places)], source_etype=self.real)

    def load(self, address: Any) -> "Vector":  # noqa: ANN401
        """The numbers from an address on."""
        return Vector(self, self.build.load(address, typ=self.vector, align=self.bits // 8))

    def load_everywhere(self, address: Any) -> "Vector":  # noqa: ANN401
        """One number, in all lanes."""
        one = self.build.load(address, typ=self.real, align=self.bits // 8)
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.build.insert_element(nothing, one, ir.Constant(I32, 0))
        return Vector(
            self, self.build.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, self.lanes), None))
        )

    def load_number(self, base: Any, place: Any) -> Any:  # noqa: ANN401
        """A whole number of 64 bits."""
        return self.build.load(self.build.gep(base, [place], source_etype=I64), typ=I64)

    def store(self, vector: "Vector", address: Any) -> None:  # noqa: ANN401
        """Numbers, from an address on."""
        self.build.store(vector.held, address, align=self.bits // 8)

    def variable(self, first: "Vector") -> "Variable":
        """A vector that changes, as a sum does in a loop."""
        place = ir.IRBuilder(self._entry).alloca(self.vector)
        held = Variable(self, place)
        held.set(first)
        return held

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:  # noqa: ANN401
        """What is written inside is done for each whole number from `start` up to `stop`."""
        place = ir.IRBuilder(self._entry).alloca(I64)
        head, body, after = (self._function.append_basic_block(name) for name in ("head", "body", "after"))
        self.build.store(self.sum(start), place)
        self.build.branch(head)
        self.build.position_at_end(head)
        number = self.build.load(place, typ=I64)
        self.build.cbranch(self.build.icmp_signed("<", number, self.sum(stop)), body, after)
        self.build.position_at_end(body)
        yield number
        self.build.store(self.sum(number, step), place)
        self.build.branch(head)
        self.build.position_at_end(after)

    @contextmanager
    def shares(self) -> Iterator[tuple[Any, Any, Any]]:
        """What is written inside is done by whichever thread comes first, for each share: its number, start and stop.

        Behind the arguments stand how many are taken (0), how many there are, and where each starts and stops.
        """
        head, body, after = (self._function.append_basic_block(name) for name in ("share", "shared", "all"))
        self.build.branch(head)
        self.build.position_at_end(head)
        taken = self.build.atomic_rmw("add", self._shares, self.number(1), "monotonic")
        count = self.load_number(self._shares, self.number(1))
        self.build.cbranch(self.build.icmp_signed("<", taken, count), body, after)
        self.build.position_at_end(body)
        place = self.sum(self.times(taken, 2), 2)
        yield taken, self.load_number(self._shares, place), self.load_number(self._shares, self.sum(place, 1))
        self.build.branch(head)
        self.build.position_at_end(after)

    def call(self, name: str, result: Any, *values: Any) -> Any:  # noqa: ANN401
        """A function that LLVM knows."""
        known = self._module.globals.get(name)
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.build.call(known or ir.Function(self._module, kind, name), values)

    def elementwise(self, name: str, *values: "Vector") -> "Vector":
        """A function of vectors that LLVM knows, of each lane by itself."""
        full = f"llvm.{name}.v{self.lanes}f{self.bits}"
        return Vector(self, self.call(full, self.vector, *(value.held for value in values)))

    def set_flush(self, *, x86: bool) -> Any:  # noqa: ANN401
        """Take denormal numbers for zeros from here on, if the processor is known; what was before is handed back."""
        if not x86:
            return None
        before, now = (ir.IRBuilder(self._entry).alloca(I32) for _ in range(2))
        self.call("llvm.x86.sse.stmxcsr", ir.VoidType(), before)
        asked = self.build.or_(self.build.load(before, typ=I32), ir.Constant(I32, 0x8040))
        self.build.store(asked, now)
        self.call("llvm.x86.sse.ldmxcsr", ir.VoidType(), now)
        return before

    def restore_flush(self, before: Any) -> None:  # noqa: ANN401
        """As it was before."""
        if before is not None:
            self.call("llvm.x86.sse.ldmxcsr", ir.VoidType(), before)


@final
class Variable:
    """A vector that changes; LLVM keeps it in a register."""

    def __init__(self, code: Code, place: Any) -> None:  # noqa: ANN401
        self._code, self._place = code, place

    def get(self) -> "Vector":
        """What it is now."""
        return Vector(self._code, self._code.build.load(self._place, typ=self._code.vector))

    def set(self, vector: "Vector") -> None:
        """What it is from now on."""
        self._code.build.store(vector.held, self._place)


@final
class Vector:
    """Some numbers, each in its lane. Arithmetic is lane by lane, with numbers too."""

    def __init__(self, code: Code, held: Any) -> None:  # noqa: ANN401
        self.code, self.held = code, held

    def __add__(self, other: "Vector | float") -> "Vector":
        return self._with("fadd", self, other)

    def __radd__(self, other: float) -> "Vector":
        return self._with("fadd", other, self)

    def __sub__(self, other: "Vector | float") -> "Vector":
        return self._with("fsub", self, other)

    def __rsub__(self, other: float) -> "Vector":
        return self._with("fsub", other, self)

    def __mul__(self, other: "Vector | float") -> "Vector":
        return self._with("fmul", self, other)

    def __rmul__(self, other: float) -> "Vector":
        return self._with("fmul", other, self)

    def __truediv__(self, other: "Vector | float") -> "Vector":
        return self._with("fdiv", self, other)

    def __rtruediv__(self, other: float) -> "Vector":
        return self._with("fdiv", other, self)

    def __neg__(self) -> "Vector":
        return Vector(self.code, self.code.build.fneg(self.held))

    def times_plus(self, factor: "Vector | float", summand: "Vector | float") -> "Vector":
        """The product and the sum, rounded once."""
        return self.code.elementwise("fma", self, self._vector(factor), self._vector(summand))

    def magnitude(self) -> "Vector":
        """Without the sign."""
        return self.code.elementwise("fabs", self)

    def at_least(self, least: float) -> "Vector":
        """The larger one; not a number stays so."""
        return self.below(least, least, self)

    def at_most(self, most: float) -> "Vector":
        """The smaller one; not a number stays so."""
        return self.above(most, most, self)

    def above(self, line: float, there: "Vector | float", elsewhere: "Vector | float") -> "Vector":
        """One vector where this is above a line, the other elsewhere."""
        return self._choose(">", line, there, elsewhere)

    def below(self, line: float, there: "Vector | float", elsewhere: "Vector | float") -> "Vector":
        """One vector where this is below a line, the other elsewhere."""
        return self._choose("<", line, there, elsewhere)

    def nearest(self) -> tuple["Vector", Any]:
        """The nearest whole numbers, and their lowest bits."""
        shifted = self + ROUNDING[self.code.bits]
        bits = self.code.build.bitcast(shifted.held, self.code.whole)
        return shifted - ROUNDING[self.code.bits], bits

    def two_to(self, bits: Any) -> "Vector":  # noqa: ANN401
        """Two to the power of whole numbers, from their lowest bits."""
        place, bias = EXPONENT[self.code.bits]
        build = self.code.build
        exponent = build.shl(build.add(bits, self._whole(bias)), self._whole(place))
        return Vector(self.code, build.bitcast(exponent, self.code.vector))

    def negated_if_odd(self, bits: Any) -> "Vector":  # noqa: ANN401
        """With the other sign where a whole number, of which these are the lowest bits, is odd."""
        build = self.code.build
        sign = build.shl(bits, self._whole(self.code.bits - 1))
        held = build.xor(build.bitcast(self.held, self.code.whole), sign)
        return Vector(self.code, build.bitcast(held, self.code.vector))

    def polynomial(self, coefficients: Sequence[float]) -> "Vector":
        """By Horner's rule, the highest power first."""
        total = self.code.constant(coefficients[0])
        for each in coefficients[1:]:
            total = total.times_plus(self, each)
        return total

    def _choose(self, sign: str, line: float, there: "Vector | float", elsewhere: "Vector | float") -> "Vector":
        build = self.code.build
        mask = build.fcmp_ordered(sign, self.held, self._vector(line).held)
        return Vector(self.code, build.select(mask, self._vector(there).held, self._vector(elsewhere).held))

    def _with(self, operation: str, one: "Vector | float", other: "Vector | float") -> "Vector":
        act = getattr(self.code.build, operation)
        return Vector(self.code, act(self._vector(one).held, self._vector(other).held, flags=("contract",)))

    def _vector(self, value: "Vector | float") -> "Vector":
        return value if isinstance(value, Vector) else self.code.constant(value)

    def _whole(self, value: int) -> Any:  # noqa: ANN401
        return ir.Constant(self.code.whole, [ir.Constant(self.code.whole.element, value)] * self.code.lanes)
