"""Weights in the order in which kernels read them, and gradients of weights in the order in which torch has them."""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from flatspot.nn.fused.kernels import BLOCK, Shape, blocks, tiles


@final
@dataclass(frozen=True)
class Orders:
    """Where each packed number is found.

    Args:
        forward: among the weights of the input, those of the state, a zero and both biases. unbiased: without biases.
        backward: among the weights of the state and a zero. zero: whether the zero is needed.
        of_input, of_state: where each unit of each gate is among the sums that its part of the input, and of the state,
            goes to.
        input_columns, state_columns: these sums among all of them, which stand together, `[start, stop)`.
    """

    forward: Int64[Tensor, " number"]
    unbiased: Int64[Tensor, " number"]
    backward: Int64[Tensor, " weight"]
    zero: bool
    of_input: Int64[Tensor, " gate_unit"]
    of_state: Int64[Tensor, " gate_unit"]
    input_columns: tuple[int, int]
    state_columns: tuple[int, int]


def packed_forward(
    of_input: Float[Tensor, "gate_unit feature"],
    of_state: Float[Tensor, "gate_unit unit"],
    input_bias: Tensor | None,
    state_bias: Tensor | None,
    orders: Orders,
) -> Float[Tensor, " number"]:
    """The weights of the input, those of the state, and what each sum begins with, one after another.

    Both kinds of weights: block after block of units, tile after tile of gates and units, number after number that they
    are multiplied with. The biases `[2, sum, wide]` are to be added.
    """
    parts = [of_input.reshape(-1), of_state.reshape(-1), of_input.new_zeros(1)]
    if input_bias is None or state_bias is None:
        return torch.cat(parts).index_select(0, orders.unbiased)
    return torch.cat([*parts, input_bias, state_bias]).index_select(0, orders.forward)


def packed_backward(of_state: Float[Tensor, "gate_unit unit"], orders: Orders) -> Float[Tensor, " number"]:
    """Block after block of units that a gradient goes to: for each unit of each gate the weights from it."""
    flat = of_state.reshape(-1)
    return (F.pad(flat, (0, 1)) if orders.zero else flat).index_select(0, orders.backward)


def orders_of(shape: Shape) -> Orders:
    """The orders of a shape's weights."""
    return Orders(
        _forward_order(shape, biased=True),
        _forward_order(shape, biased=False),
        _backward_order(shape),
        shape.wide > shape.units,
        _gates_order(shape.gates.of_input, shape),
        _gates_order(shape.gates.of_state, shape),
        _columns(shape.gates.of_input, shape),
        _columns(shape.gates.of_state, shape),
    )


def _forward_order(shape: Shape, *, biased: bool) -> Int64[Tensor, " number"]:
    gates, rows = shape.gates, shape.gates.count * shape.units
    zero = rows * (shape.features + shape.units)
    of_input, of_state = np.split(np.arange(zero), [rows * shape.features])
    packed = [_tiled(each.reshape(gates.count, shape.units, -1), shape, zero) for each in (of_input, of_state)]
    biases = np.full((2, gates.sums, shape.wide), zero)
    if biased:
        of_gates = np.arange(zero + 1, zero + 1 + 2 * rows).reshape(2, gates.count, shape.units)
        for place, which in enumerate((gates.of_input, gates.of_state)):
            biases[place, list(which), : shape.units] = of_gates[place]
    return torch.from_numpy(np.concatenate([*packed, biases.ravel()]))


def _tiled(table: np.ndarray, shape: Shape, zero: int) -> np.ndarray:
    """Places `[gate, unit, depth]`, block after block and tile after tile."""
    wide = np.pad(table, ((0, 0), (0, shape.wide - shape.units), (0, 0)), constant_values=zero)
    wide = wide.reshape(shape.gates.count, shape.vectors, shape.lanes, -1)
    parts, done = [np.zeros(0, np.int64)], 0
    for size, count in blocks(shape.vectors, shape.forward_block):
        for start in range(done, done + count * size, size):
            for tile in tiles(size, shape.gates.count):
                chosen = np.stack([wide[gate, start + vector] for gate, vector in tile])
                parts.append(chosen.transpose(2, 0, 1).ravel())
        done += count * size
    return np.concatenate(parts)


def _backward_order(shape: Shape) -> Int64[Tensor, " number"]:
    gates, spare = shape.gates.count, shape.wide - shape.units
    count = gates * shape.units**2
    table = np.arange(count).reshape(gates, shape.units, -1)
    table = np.pad(table, ((0, 0), (0, spare), (0, spare)), constant_values=count)
    table = table.reshape(gates * shape.wide, shape.vectors, shape.lanes)
    parts, done = [], 0
    for size, many in blocks(shape.vectors, BLOCK):
        some = table[:, done : done + many * size].reshape(len(table), many, -1)
        parts.append(some.transpose(1, 0, 2).ravel())
        done += many * size
    return torch.from_numpy(np.concatenate(parts))


def _columns(which: tuple[int, ...], shape: Shape) -> tuple[int, int]:
    places = [shape.gates.order.index(each) for each in which]
    return min(places) * shape.wide, (max(places) + 1) * shape.wide


def _gates_order(which: tuple[int, ...], shape: Shape) -> Int64[Tensor, " gate_unit"]:
    places = np.array([shape.gates.order.index(each) for each in which])
    firsts = (places - places.min()) * shape.wide
    return torch.from_numpy((firsts[:, None] + np.arange(shape.units)).ravel())
