"""A layer in one direction as one step of autograd: its kernels, and the matrix products that are left to torch."""

from contextlib import nullcontext
from typing import Any, Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from flatspot.nn.fused.compiled import BITS, Kernels, kernels
from flatspot.nn.fused.gates import GATES
from flatspot.nn.fused.kernels import GROUP, Shape
from flatspot.nn.fused.packing import packed_backward, packed_forward
from flatspot.nn.fused.room import Room
from flatspot.nn.fused.steps import Steps, Stretch, steps_of, stretches

HALF: Final = frozenset({torch.float16, torch.bfloat16})

CACHE: Final = 1 << 22
"""Bytes of gradients of pre-activations that are there at a time."""

NO_SECOND: Final = (
    "flatspot.nn: the fused engine has no second derivatives (create_graph=True); build the layer with engine='scan', "
    "which has"
)


@runtime_checkable
class Watch(Protocol):
    """Takes the norms of the gradients of outputs."""

    def found(self, time: int, norm: Tensor) -> None:
        """‖∂L/∂h_t‖ over samples and units at a time step."""


def fused(
    cell: str,
    activation: str,
    rows: Float[Tensor, "row feature"],
    sizes: tuple[int, ...],
    state: tuple[Float[Tensor, "sample unit"] | None, ...],
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    backwards: bool = False,
    watch: Watch | None = None,
    room: Room | None = None,
) -> tuple[Float[Tensor, "row unit"], tuple[Float[Tensor, "sample unit"], ...]]:
    """All steps of a layer in one direction.

    Args:
        cell, activation: by name. rows: of all sequences, one time step after another, the longest sequences first.
        sizes: sequences at each time step. state: the initial one; None: zeros. weights: as torch.nn has them:
            of the input, of the state, and the biases of both.
        backwards: from the end of each sequence. watch: takes the norms of the gradients.
        room: for what is kept for the way back, from step to step; None: it is made anew.

    Returns:
        the outputs, and the final state.

    Raises:
        TypeError: for numbers that are neither float32 nor float64, or not on a CPU.
        ValueError: for a state or weights of another kind of number or of other shapes.
        RuntimeError: in a backward pass for second derivatives.
    """
    tensors = (rows, *state, *weights)
    if torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            tensors = tuple(each.float() if each is not None and each.dtype in HALF else each for each in tensors)
            rows, state, weights = tensors[0], tensors[1:-4], tensors[-4:]  # type: ignore[assignment]
            return fused(cell, activation, rows, sizes, state, weights, backwards=backwards, watch=watch, room=room)
    _check(tensors, GATES[cell].count)
    made = kernels(cell, activation, rows.shape[1], weights[1].shape[1], rows.dtype)
    steps = steps_of(sizes, backwards=backwards)
    keep = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)
    outputs, *final = _Fused.apply(made, steps, watch, room or Room(), keep, *tensors)  # type: ignore[no-untyped-call]
    return outputs, tuple(final)


def _check(tensors: tuple[Tensor | None, ...], gates: int) -> None:
    """Kernels look at memory alone: what they are given must be what they were made for."""
    rows, of_input, of_state = tensors[0], tensors[-4], tensors[-3]
    assert rows is not None and of_input is not None and of_state is not None  # noqa: S101, PT018
    if rows.dtype not in BITS or rows.device.type != "cpu":
        raise TypeError(f"the fused engine takes float32 and float64 on a CPU, not {rows.dtype} on {rows.device}")
    for each in tensors:
        if each is not None and (each.dtype != rows.dtype or each.device != rows.device):
            both = f"{rows.dtype} on {rows.device} and {each.dtype} on {each.device}"
            raise ValueError(f"input, state and weights must be alike: {both}")
    units = of_state.shape[1]
    shapes = [(gates * units, rows.shape[1]), (gates * units, units), (gates * units,), (gates * units,)]
    for each, shape in zip(tensors[-4:], shapes, strict=True):
        if each is not None and each.shape != shape:
            raise ValueError(f"a weight of the shape {[*each.shape]} does not fit: {[*shape]} is wanted")


class _Fused(torch.autograd.Function):
    """See `fused`."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - as autograd hands them over
        made, steps, watch, room, keep, rows, *state, of_input, of_state, input_bias, state_bias = given
        shape: Shape = made.shape
        rows = rows.resolve_neg().contiguous()
        held = steps.rows + steps.samples
        states = room.take(rows, held, shape.wide) if keep else rows.new_empty(held, shape.wide)
        initial = states[: steps.samples] if _leads(steps) else states[steps.rows :]
        outputs = states[steps.samples :] if _leads(steps) else states[: steps.rows]
        if state[0] is None:
            initial.zero_()
        else:
            initial.copy_(_wide(state[0], shape))
        cells = _changing(state[1], rows, steps, shape) if shape.gates.cell else initial
        factors = room.take(rows, steps.rows, shape.gates.factors, shape.wide) if keep else initial
        weights = packed_forward(of_input, of_state, input_bias, state_bias, made.orders)
        sums = rows.new_empty(len(made.shares(steps, steps.count)) * GROUP * shape.gates.sums * shape.wide)
        if steps.samples:
            arrays = [rows, weights, outputs, initial, cells, factors, sums]
            made.run("forward_and_keep" if keep else "forward", arrays, steps)
        if keep:
            ctx.made, ctx.steps, ctx.watch, ctx.room = made, steps, watch, room
            ctx.save_for_backward(rows, of_input, of_state, states, factors)
            ctx.set_materialize_grads(False)
        final = [_last(outputs, steps), *([cells] if shape.gates.cell else [])]
        if shape.units == shape.wide:
            return outputs, *final
        return tuple(each[:, : shape.units].contiguous() for each in (outputs, *final))

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND)
        with torch.autocast("cpu", enabled=False) if torch.is_autocast_enabled("cpu") else nullcontext():
            return _backward(ctx, *gradients)


def _backward(ctx: Any, of_outputs: Tensor | None, *of_final: Tensor | None) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    """The gradients of what `_Fused` is given."""
    made: Kernels = ctx.made
    steps: Steps = ctx.steps
    shape, gates = made.shape, made.shape.gates
    rows, of_input, of_state, states, factors = ctx.saved_tensors
    *wanted, of_weights, of_recurrent, of_bias, of_other_bias = ctx.needs_input_grad[5:]
    carries = [_changing(each, rows, steps, shape) for each in of_final]
    every = stretches(steps.sizes, backwards=steps.backwards, most=_most_rows(rows, shape))
    threads = len(made.shares(steps, steps.count))
    sums = ctx.room.take(rows, max(_count(each.rows) for each in every), gates.sums * shape.wide)
    totals = rows.new_zeros(threads, sums.shape[1])
    watched = 0 if ctx.watch is None else steps.count
    norms = rows.new_zeros(threads, max(watched, 1), shape.lanes)
    orders = made.orders
    products = _Products(made, rows, states, steps, of_input if wanted[0] else None, (of_weights, of_recurrent))
    arrays = [
        packed_backward(of_state, orders),
        0 if of_outputs is None else _wide(of_outputs.resolve_neg(), shape).contiguous(),
    ]
    for stretch in reversed(every) if steps.samples else ():
        first = stretch.rows[0] * sums.shape[1] * sums.element_size()
        changed = [factors, sums.data_ptr() - first, totals, carries[0], carries[-1]]
        of_stretch = [norms.data_ptr() + bool(watched) * stretch.steps[0] * shape.lanes * norms.element_size(), watched]
        made.run("backward", [*arrays, *changed, *of_stretch], steps, stretch.steps)
        products.add(sums[: _count(stretch.rows)], stretch)
        if ctx.watch is not None:
            _tell(ctx.watch, norms, steps, stretch)
    added = totals[0] if threads == 1 else totals.sum(dim=0)
    return (
        *(None,) * 5,
        products.of_rows,
        *(each[:, : shape.units] if want else None for each, want in zip(carries, wanted[1:], strict=True)),
        *products.of_weights(),
        added[slice(*orders.input_columns)].index_select(0, orders.of_input) if of_bias else None,
        added[slice(*orders.state_columns)].index_select(0, orders.of_state) if of_other_bias else None,
    )


@final
class _Products:
    """The products that are left to torch, added up over stretches of steps whose sums are there for a while only."""

    def __init__(
        self,
        made: Kernels,
        rows: Tensor,
        states: Tensor,
        steps: Steps,
        of_input: Tensor | None,
        wanted: tuple[bool, bool],
    ) -> None:
        self._shape, self._orders, self._rows, self._states, self._steps = made.shape, made.orders, rows, states, steps
        self._found: list[Tensor | None] = [None, None]
        self._wanted = wanted
        self.of_rows: Tensor | None = None
        if of_input is not None:
            shape = made.shape
            stored = [gate for gate in shape.gates.order if gate in shape.gates.of_input]
            table = of_input.view(shape.gates.count, shape.units, -1)
            table = table[[shape.gates.of_input.index(gate) for gate in stored]]
            self._weights = F.pad(table, (0, 0, 0, shape.wide - shape.units)).view(len(stored) * shape.wide, -1)
            self.of_rows = torch.empty_like(rows)

    def add(self, sums: Float[Tensor, "row sum_unit"], stretch: Stretch) -> None:
        """What the gradients of some rows' sums give."""
        of_input = sums[:, slice(*self._orders.input_columns)]
        of_state = sums[:, slice(*self._orders.state_columns)]
        factors = (
            (self._rows[slice(*stretch.rows)].t(), of_input),  # the other way round: ten times slower if it is narrow
            (of_state.t(), _before(self._states, self._steps, self._shape, stretch.rows)),
        )
        for place, (both, wanted) in enumerate(zip(factors, self._wanted, strict=True)):
            total = self._found[place]
            if wanted:
                self._found[place] = torch.mm(*both) if total is None else total.addmm_(*both)
        if self.of_rows is not None:
            torch.mm(of_input, self._weights, out=self.of_rows[slice(*stretch.rows)])

    def of_weights(self) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of the weights of the input and of the state; None: zeros, or not wanted."""
        of_input, of_state = self._found
        return (
            None if of_input is None else of_input.t().index_select(0, self._orders.of_input),
            None if of_state is None else of_state.index_select(0, self._orders.of_state),
        )


def _changing(table: Tensor | None, rows: Tensor, steps: Steps, shape: Shape) -> Float[Tensor, "sample wide"]:
    """A copy that is as wide as vectors; None: zeros."""
    if table is None:
        return rows.new_zeros(steps.samples, shape.wide)
    table = table.resolve_neg()
    return _wide(table, shape) if shape.wide > shape.units else table.clone(memory_format=torch.contiguous_format)


def _tell(watch: Watch, norms: Float[Tensor, "thread step lane"], steps: Steps, stretch: Stretch) -> None:
    span = slice(*stretch.steps)
    for step, norm in enumerate(norms[:, span].sum(dim=(0, 2)).sqrt_(), start=span.start):
        watch.found(steps.count - 1 - step if steps.backwards else step, norm)


def _most_rows(rows: Tensor, shape: Shape) -> int:
    """Rows whose sums fill so much memory as is looked at while it is in the cache."""
    return CACHE // (shape.gates.sums * shape.wide * rows.element_size())


def _count(span: tuple[int, int]) -> int:
    return span[1] - span[0]


def _leads(steps: Steps) -> bool:
    """Whether the initial state stands before the outputs: the state before each row of a batch is a shift away."""
    return not steps.backwards


def _wide(table: Tensor, shape: Shape) -> Tensor:
    """With zeros after the last unit, up to a whole number of vectors."""
    return F.pad(table, (0, shape.wide - shape.units)) if shape.wide > shape.units else table


def _last(outputs: Tensor, steps: Steps) -> Tensor:
    """The outputs of the last step taken of each sequence."""
    if steps.last is not None:
        return outputs.index_select(0, steps.last)
    place = slice(0, steps.samples) if steps.backwards else slice(steps.rows - steps.samples, steps.rows)
    return outputs[place].clone()


def _before(states: Tensor, steps: Steps, shape: Shape, span: tuple[int, int]) -> Tensor:
    """The state before each of some rows, `[row, unit]`."""
    start, stop = span
    if steps.before is None:
        shift = steps.samples if steps.backwards else 0
        found = states[shift + start : shift + stop]
    else:
        before = steps.before[start:stop]
        found = states.index_select(0, before if steps.backwards else (before + steps.samples) % len(states))
    return found if shape.units == shape.wide else found[:, : shape.units]
