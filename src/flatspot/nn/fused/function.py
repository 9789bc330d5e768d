"""A layer in one direction as one step of autograd: its kernels, and the matrix products that are left to torch."""

from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from flatspot.nn.fused.compiled import BITS, Kernels, kernels, shares
from flatspot.nn.fused.kernels import BLOCK, Shape, blocks
from flatspot.nn.fused.steps import Steps, steps_of

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
) -> tuple[Float[Tensor, "row unit"], tuple[Float[Tensor, "sample unit"], ...]]:
    """All steps of a layer in one direction.

    Args:
        cell, activation: by name. rows: of all sequences, one time step after another, the longest sequences first.
        sizes: sequences at each time step. state: the initial one. weights: as torch.nn has them: of the input, of the
            state, and the biases of both.
        backwards: from the end of each sequence. watch: takes the norms of the gradients.

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
    outputs, *final = _Fused.apply(made, steps, watch, keep, *tensors)  # type: ignore[no-untyped-call]
    return outputs, tuple(final)


class _Fused(torch.autograd.Function):
    """See `fused`."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401 - as autograd hands them over
        made, steps, watch, keep, rows, *more = given
        shape: Shape = made.shape
        *state, of_input, of_state, input_bias, state_bias = more
        rows = rows.contiguous()
        states = rows.new_empty(steps.rows + steps.samples, shape.wide)
        initial = states[: steps.samples] if _leads(steps) else states[steps.rows :]
        outputs = states[steps.samples :] if _leads(steps) else states[: steps.rows]
        initial.copy_(_wide(state[0], shape))
        cells = _wide(state[1], shape).clone() if shape.gates.cell else initial
        factors = rows.new_empty(steps.rows, shape.gates.factors, shape.wide) if keep else initial
        packed = [pack_forward(each, shape) for each in (of_input, of_state)]
        bias = _bias(input_bias, state_bias, rows, shape)
        arrays = [rows, *packed, bias, outputs, initial, cells, factors]
        if steps.samples:
            made.run("forward_and_keep" if keep else "forward", arrays, steps)
        ctx.made, ctx.steps, ctx.watch, ctx.biased = made, steps, watch, input_bias is not None
        if keep:
            ctx.save_for_backward(rows, of_input, of_state, states, factors)
        ctx.set_materialize_grads(False)
        units = shape.units
        final = [_last(outputs, steps), *([cells] if shape.gates.cell else [])]
        return outputs[:, :units], *(each[:, :units] if shape.units < shape.wide else each for each in final)

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
        sums = rows.new_empty(steps.rows, gates.sums * shape.wide)
        threads = len(shares(steps.samples, steps.count * shape.wide * shape.depth)) if steps.samples else 0
        norms = rows.new_zeros(threads, steps.count, made.shape.lanes)
        outputs = sums if of_outputs is None else _wide(of_outputs, shape).contiguous()
        weights = pack_backward(of_state, shape)
        arrays = [weights, outputs, int(of_outputs is not None), factors, sums, carries[0], carries[-1], norms]
        if steps.samples:
            made.run("backward", arrays, steps)
        if ctx.watch is not None:
            for step, norm in enumerate(norms.sum(dim=(0, 2)).sqrt_()):
                ctx.watch.found(steps.count - 1 - step if steps.backwards else step, norm)
        of_state_sums, of_input_sums = (_columns(sums, which, shape) for which in (gates.of_state, gates.of_input))
        totals = sums.sum(dim=0) if ctx.biased else None
        found = [
            _of_rows(of_input_sums, of_input, shape) if ctx.needs_input_grad[4] else None,
            *(each[:, : shape.units] for each in carries),
            _of_weights(of_input_sums, rows, gates.of_input, shape),
            _of_weights(of_state_sums, _before(states, steps, shape), gates.of_state, shape),
            *(
                None if totals is None else _in_order(_columns(totals, which, shape), which, shape)
                for which in (gates.of_input, gates.of_state)
            ),
        ]
        return None, None, None, None, *found


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


def _before(states: Tensor, steps: Steps, shape: Shape) -> Tensor:
    """The state before each row, `[row, unit]`."""
    if steps.before is None:
        shift = steps.samples if steps.backwards else 0
        return states[shift : shift + steps.rows, : shape.units]
    place = steps.before if steps.backwards else (steps.before + steps.samples) % len(states)
    return states.index_select(0, place)[:, : shape.units]


def pack_forward(weights: Float[Tensor, "gate_unit depth"], shape: Shape) -> Tensor:
    """Block after block of units: for each number that they are multiplied with the weights of all gates."""
    count, lanes = shape.gates.count, shape.lanes
    table = F.pad(weights.view(count, shape.units, -1), (0, 0, 0, shape.wide - shape.units))
    parts, done = [], 0
    for size, many in blocks(shape.vectors, shape.forward_block):
        some = table[:, done : done + many * size * lanes].reshape(count, many, size * lanes, -1)
        parts.append(some.permute(1, 3, 0, 2).reshape(-1))
        done += many * size * lanes
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def pack_backward(weights: Float[Tensor, "gate_unit unit"], shape: Shape) -> Tensor:
    """Block after block of units that a gradient goes to: for each unit of each gate the weights from it."""
    count, spare = shape.gates.count, shape.wide - shape.units
    table = F.pad(weights.view(count, shape.units, shape.units), (0, spare, 0, spare)).view(count * shape.wide, -1)
    parts, done = [], 0
    for size, many in blocks(shape.vectors, BLOCK):
        width = size * shape.lanes
        some = table[:, done : done + many * width].reshape(len(table), many, width)
        parts.append(some.transpose(0, 1).reshape(-1))
        done += many * width
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _bias(of_input: Tensor | None, of_state: Tensor | None, like: Tensor, shape: Shape) -> Tensor:
    """What each sum begins with, block after block of units: `[block, sum, unit]`."""
    gates = shape.gates
    sums = like.new_zeros(gates.sums, shape.wide)
    for bias, which in ((of_input, gates.of_input), (of_state, gates.of_state)):
        if bias is not None:
            sums[list(which), : shape.units] += bias.view(gates.count, shape.units)
    parts, done = [], 0
    for size, many in blocks(shape.vectors, shape.forward_block):
        width = size * shape.lanes
        some = sums[:, done : done + many * width].reshape(gates.sums, many, width)
        parts.append(some.transpose(0, 1).reshape(-1))
        done += many * width
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _columns(sums: Tensor, which: tuple[int, ...], shape: Shape) -> Tensor:
    """Those of some sums, which stand together."""
    places = [shape.gates.order.index(each) for each in which]
    return sums[..., min(places) * shape.wide : (max(places) + 1) * shape.wide]


def _in_order(stored: Tensor, which: tuple[int, ...], shape: Shape) -> Tensor:
    """Gates as the weights have them, without what is beyond the units: `[gates*unit, ...]`."""
    places = [shape.gates.order.index(each) for each in which]
    table = stored.view(len(which), shape.wide, *stored.shape[1:])[:, : shape.units]
    order = [place - min(places) for place in places]
    table = table if order == sorted(order) else table[order]
    return table.reshape(-1, *stored.shape[1:])


def _of_weights(sums: Tensor, factors: Tensor, which: tuple[int, ...], shape: Shape) -> Tensor:
    """The gradient of weights: one product over all rows."""
    return _in_order(sums.t() @ factors, which, shape)


def _of_rows(sums: Tensor, weights: Tensor, shape: Shape) -> Tensor:
    """The gradient of the input, `[row, feature]`."""
    gates = shape.gates
    stored = [each for each in gates.order if each in gates.of_input]
    order = [gates.of_input.index(each) for each in stored]
    table = weights.view(gates.count, shape.units, -1)[order]
    return sums @ F.pad(table, (0, 0, 0, shape.wide - shape.units)).view(len(order) * shape.wide, -1)
