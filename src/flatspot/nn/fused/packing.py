"""Weights in the order in which kernels read them, and gradients of weights in the order in which torch has them."""

from functools import lru_cache
from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from flatspot.nn.fused.kernels import BLOCK, Shape, blocks, tiles

CACHED: Final = 512
"""Shapes of layers whose orders are kept."""


def packed_forward(
    of_input: Float[Tensor, "gate_unit feature"],
    of_state: Float[Tensor, "gate_unit unit"],
    input_bias: Tensor | None,
    state_bias: Tensor | None,
    shape: Shape,
) -> Float[Tensor, " number"]:
    """The weights of the input, those of the state, and what each sum begins with, one after another.

    Both kinds of weights: block after block of units, tile after tile of gates and units, number after number that they
    are multiplied with. The biases `[sum, wide]`.
    """
    parts = [of_input.reshape(-1), of_state.reshape(-1), of_input.new_zeros(1)]
    if input_bias is None or state_bias is None:
        return torch.cat(parts).index_select(0, _forward_order(shape, biased=False)[0])
    order, other = _forward_order(shape, biased=True)
    every = torch.cat([input_bias, state_bias, *parts])
    packed = every.index_select(0, order)
    packed[-len(other) :] += every.index_select(0, other)
    return packed


def packed_backward(of_state: Float[Tensor, "gate_unit unit"], shape: Shape) -> Float[Tensor, " number"]:
    """Block after block of units that a gradient goes to: for each unit of each gate the weights from it."""
    flat = of_state.reshape(-1)
    return (F.pad(flat, (0, 1)) if shape.wide > shape.units else flat).index_select(0, _backward_order(shape))


def columns(sums: Tensor, which: tuple[int, ...], shape: Shape) -> Tensor:
    """Those of some sums `[..., sum_unit]`, which stand together."""
    places = [shape.gates.order.index(each) for each in which]
    return sums[..., min(places) * shape.wide : (max(places) + 1) * shape.wide]


def in_order(stored: Float[Tensor, "sum_unit ..."], which: tuple[int, ...], shape: Shape) -> Tensor:
    """Gates as the weights have them, without what is beyond the units: `[gate_unit, ...]`."""
    places = [shape.gates.order.index(each) for each in which]
    order = [place - min(places) for place in places]
    if shape.units == shape.wide and order == sorted(order):
        return stored
    table = stored.view(len(which), shape.wide, *stored.shape[1:])[:, : shape.units]
    if order != sorted(order):
        table = torch.stack([table[place] for place in order])
    return table.reshape(-1, *stored.shape[1:])


@lru_cache(maxsize=CACHED)
def _forward_order(shape: Shape, *, biased: bool) -> tuple[Int64[Tensor, " number"], Int64[Tensor, " bias"]]:
    """Where each number is among both biases, the weights of the input, those of the state and a zero.

    And where the second summand of each bias is.
    """
    gates, rows = shape.gates, shape.gates.count * shape.units
    of_biases = 2 * rows if biased else 0
    count = of_biases + rows * (shape.features + shape.units)
    places = torch.arange(of_biases, count)
    of_input, of_state = places[: rows * shape.features], places[rows * shape.features :]
    packed = [_tiled(each.view(gates.count, shape.units, -1), shape, count) for each in (of_input, of_state)]
    both = torch.full((2, gates.sums, shape.wide), count)
    if biased:
        of_gates = torch.arange(of_biases).view(2, gates.count, shape.units)
        for place, which in enumerate((gates.of_input, gates.of_state)):
            both[place, list(which), : shape.units] = of_gates[place]
    return torch.cat([*packed, both[0].flatten()]), both[1].flatten()


def _tiled(table: Int64[Tensor, "gate unit depth"], shape: Shape, zero: int) -> Int64[Tensor, " number"]:
    wide = F.pad(table, (0, 0, 0, shape.wide - shape.units), value=zero)
    wide = wide.view(shape.gates.count, shape.vectors, shape.lanes, -1)
    parts, done = [], 0
    for size, count in blocks(shape.vectors, shape.forward_block):
        for start in range(done, done + count * size, size):
            for tile in tiles(size, shape.gates.count):
                chosen = torch.stack([wide[gate, start + vector] for gate, vector in tile])
                parts.append(chosen.permute(2, 0, 1).flatten())
        done += count * size
    return torch.cat(parts)


@lru_cache(maxsize=CACHED)
def _backward_order(shape: Shape) -> Int64[Tensor, " number"]:
    gates, spare = shape.gates.count, shape.wide - shape.units
    count = gates * shape.units**2
    table = F.pad(torch.arange(count).view(gates, shape.units, -1), (0, spare, 0, spare), value=count)
    table = table.view(gates * shape.wide, shape.vectors, shape.lanes)
    parts, done = [], 0
    for size, many in blocks(shape.vectors, BLOCK):
        some = table[:, done : done + many * size].reshape(len(table), many, -1)
        parts.append(some.transpose(0, 1).flatten())
        done += many * size
    return torch.cat(parts)
