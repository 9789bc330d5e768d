"""A layer in one direction as one step of autograd: its kernels, and the matrix products that are left to torch."""

from typing import Any, Final, Protocol, final, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from flatspot.nn.fused.compiled import BITS, Kernels, kernels
from flatspot.nn.fused.kernels import GROUP, Shape
from flatspot.nn.fused.packing import columns, in_order, packed_backward, packed_forward
from flatspot.nn.fused.room import Room
from flatspot.nn.fused.steps import Steps, Stretch, steps_of, stretches

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
    state: tuple[Float[Tensor, "sample unit"], ...],
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    backwards: bool = False,
    watch: Watch | None = None,
    room: Room | None = None,
) -> tuple[Float[Tensor, "row unit"], tuple[Float[Tensor, "sample unit"], ...]]:
    """All steps of a layer in one direction.

    Args:
        cell, activation: by name. rows: of all sequences, one time step after another, the longest sequences first.
        sizes: sequences at each time step. state: the initial one. weights: as torch.nn has them: of the input, of the
            state, and the biases of both.
        backwards: from the end of each sequence. watch: takes the norms of the gradients.
        room: for what is kept for the way back, from step to step; None: it is made anew.

    Returns:
        the outputs, and the final state.

    Raises:
        TypeError: for numbers that are neither float32 nor float64, or not on a CPU.
        RuntimeError: in a backward pass for second derivatives.
    """
    if rows.dtype not in BITS or rows.device.type != "cpu":
        raise TypeError(f"the fused engine takes float32 and float64 on a CPU, not {rows.dtype} on {rows.device}")
    of_input, of_state, input_bias, state_bias = weights
    made = kernels(cell, activation, rows.shape[1], of_state.shape[1], rows.dtype)
    steps = steps_of(sizes, backwards=backwards)
    tensors = (rows, *state, of_input, of_state, input_bias, state_bias)
    keep = torch.is_grad_enabled() and any(each is not None and each.requires_grad for each in tensors)
    outputs, *final = _Fused.apply(made, steps, watch, room or Room(), keep, *tensors)  # type: ignore[no-untyped-call]
    return outputs, tuple(final)


class _Fused(torch.autograd.Function):
    """See `fused`."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - as autograd hands them over
        made, steps, watch, room, keep, rows, *more = given
        shape: Shape = made.shape
        *state, of_input, of_state, input_bias, state_bias = more
        rows = rows.contiguous()
        states = room.take(rows, steps.rows + steps.samples, shape.wide)
        initial = states[: steps.samples] if _leads(steps) else states[steps.rows :]
        outputs = states[steps.samples :] if _leads(steps) else states[: steps.rows]
        initial.copy_(_wide(state[0], shape))
        cells = _wide(state[1], shape).clone() if shape.gates.cell else initial
        factors = room.take(rows, steps.rows, shape.gates.factors, shape.wide) if keep else initial
        weights = packed_forward(of_input, of_state, input_bias, state_bias, shape)
        held = rows.new_empty(len(made.shares(steps, steps.count)) * GROUP * shape.gates.sums * shape.wide)
        if steps.samples:
            arrays = [rows, weights, outputs, initial, cells, factors, held]
            made.run("forward_and_keep" if keep else "forward", arrays, steps)
        if keep:
            ctx.made, ctx.steps, ctx.watch, ctx.biased = made, steps, watch, input_bias is not None
            ctx.save_for_backward(rows, of_input, of_state, states, factors)
            ctx.set_materialize_grads(False)
        final = [_last(outputs, steps), *([cells] if shape.gates.cell else [])]
        if shape.units == shape.wide:
            return outputs, *final
        return tuple(each[:, : shape.units] for each in (outputs, *final))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Any) -> Any:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise RuntimeError(NO_SECOND)
        made: Kernels = ctx.made
        steps: Steps = ctx.steps
        shape, gates = made.shape, made.shape.gates
        rows, of_input, of_state, states, factors = ctx.saved_tensors
        of_outputs, *of_final = gradients
        carries = [
            rows.new_zeros(steps.samples, shape.wide) if each is None else _wide(each, shape).clone()
            for each in of_final
        ]
        of_rows = torch.empty_like(rows) if ctx.needs_input_grad[5] else None
        outputs = None if of_outputs is None else _wide(of_outputs, shape).contiguous()
        weights = packed_backward(of_state, shape)
        every = stretches(steps.sizes, backwards=steps.backwards, most=_most_rows(rows, shape))
        sums = rows.new_empty(max(_count(each.rows) for each in every), gates.sums * shape.wide)
        totals = rows.new_zeros(len(made.shares(steps, steps.count)), sums.shape[1])
        products = _Products(shape, rows, states, steps, of_rows, of_input)
        for stretch in reversed(every) if steps.samples else ():
            norms = rows.new_zeros(len(totals), _count(stretch.steps), shape.lanes)
            first = stretch.rows[0] * sums.shape[1] * sums.element_size()
            arrays = [weights, outputs if outputs is not None else weights, int(outputs is not None), factors]
            made.run(
                "backward",
                [*arrays, sums.data_ptr() - first, totals, *carries[:1], carries[-1], norms],
                steps,
                stretch.steps,
            )
            products.add(sums[: _count(stretch.rows)], stretch)
            if ctx.watch is not None:
                _tell(ctx.watch, norms, steps, stretch)
        added = totals.sum(dim=0) if ctx.biased else None
        return (
            *(None,) * 5,
            of_rows,
            *(each[:, : shape.units] for each in carries),
            *products.of_weights(),
            *(
                None if added is None else in_order(columns(added, which, shape), which, shape)
                for which in (gates.of_input, gates.of_state)
            ),
        )


@final
class _Products:
    """The products that are left to torch, added up over stretches of steps whose sums are there for a while only."""

    def __init__(
        self, shape: Shape, rows: Tensor, states: Tensor, steps: Steps, of_rows: Tensor | None, of_input: Tensor
    ) -> None:
        self._shape, self._rows, self._states, self._steps, self._of_rows = shape, rows, states, steps, of_rows
        gates = shape.gates
        self._of_state = rows.new_zeros(gates.count * shape.wide, shape.units)
        self._of_input = rows.new_zeros(shape.features, gates.count * shape.wide)
        if of_rows is not None:
            stored = [each for each in gates.order if each in gates.of_input]
            table = of_input.view(gates.count, shape.units, -1)[[gates.of_input.index(each) for each in stored]]
            self._weights = F.pad(table, (0, 0, 0, shape.wide - shape.units)).view(len(stored) * shape.wide, -1)

    def add(self, sums: Float[Tensor, "row sum_unit"], stretch: Stretch) -> None:
        """What the gradients of some rows' sums give."""
        gates = self._shape.gates
        of_state, of_input = (columns(sums, which, self._shape) for which in (gates.of_state, gates.of_input))
        self._of_state.addmm_(of_state.t(), _before(self._states, self._steps, self._shape, stretch.rows))
        rows = self._rows[slice(*stretch.rows)]
        self._of_input.addmm_(rows.t(), of_input)  # the other way round it is ten times slower for few features
        if self._of_rows is not None:
            torch.mm(of_input, self._weights, out=self._of_rows[slice(*stretch.rows)])

    def of_weights(self) -> tuple[Tensor, Tensor]:
        """The gradients of the weights of the input and of the state."""
        gates, shape = self._shape.gates, self._shape
        return (
            in_order(self._of_input.t().contiguous(), gates.of_input, shape),
            in_order(self._of_state, gates.of_state, shape),
        )


def _tell(watch: Watch, norms: Float[Tensor, "thread step lane"], steps: Steps, stretch: Stretch) -> None:
    for step, norm in enumerate(norms.sum(dim=(0, 2)).sqrt_(), start=stretch.steps[0]):
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
