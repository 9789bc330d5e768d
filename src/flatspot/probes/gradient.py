"""Gradient norms, total and by block, without asking the device to wait."""

import re
from collections.abc import Container, Mapping, Sequence
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

RECURRENT: Final = re.compile(r"_l\d+(_reverse)?$")
"""How torch.nn names the parameters of a recurrent layer, and whoever follows it."""

OURS: Final = frozenset({"total", "total_max", "not_finite", "norm", "own"})
"""Names that stand for something else than a child beside the blocks' own: all of them, the largest, those left out."""


def parameter_blocks(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """A module's parameters by block: its children, and each layer of a stacked recurrent child.

    A module that only wraps another one is looked through. Parameters of the module's own are the block `own`. A child
    whose name is one of ours (`total`, `total_max`, `not_finite`, `norm`, `own`), or another block's, has a `_` behind
    it.

    >>> blocks = parameter_blocks(nn.ModuleDict({"rnn": nn.GRU(1, 4, num_layers=2), "norm": nn.LayerNorm(4)}))
    >>> sorted(blocks)
    ['norm_', 'rnn_l0', 'rnn_l1']
    """
    inside = _unwrapped(module)
    held: dict[tuple[str, str], list[nn.Parameter]] = {}
    for name, parameter in inside.named_parameters():
        held.setdefault(_place(inside, name), []).append(parameter)
    blocks: dict[str, list[nn.Parameter]] = {}
    for (child, layer), parameters in held.items():
        blocks[_free_name(child, layer, blocks)] = parameters
    return blocks


def _unwrapped(module: nn.Module) -> nn.Module:
    own = any(True for _ in module.parameters(recurse=False))
    holders = [child for child in module.children() if any(True for _ in child.parameters())]
    return _unwrapped(holders[0]) if len(holders) == 1 and not own else module


def _place(module: nn.Module, name: str) -> tuple[str, str]:
    """The child (none: the module itself) that a parameter belongs to, and the layer of a stacked recurrent one."""
    child, _, rest = name.partition(".")
    if not rest:
        return "", _layer_of(name) if RECURRENT.search(name) else ""
    stacked = RECURRENT.search(rest) and getattr(getattr(module, child), "num_layers", 1) > 1
    return child, _layer_of(rest) if stacked else ""


def _layer_of(parameter: str) -> str:
    """The layer that torch.nn writes into a recurrent parameter's name: `weight_hh_l1_reverse` is of layer 1."""
    return f"_l{parameter.rpartition('_l')[2].partition('_')[0]}"


def _free_name(child: str, layer: str, taken: Container[str]) -> str:
    """What the block is called: as the child, where nothing else is."""
    name = f"{child or 'own'}{layer}"
    while name in taken or (child and name in OURS):
        name += "_"
    return name


def gradient_norms(blocks: Mapping[str, Sequence[nn.Parameter]]) -> dict[str, Float[Tensor, ""]]:
    """The 2-norm of each block's gradient, and of all together as `total`.

    A parameter without a gradient counts as zero. One fused norm; nothing is copied to the host.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> gradient_norms({"head": [weight]})
    {'total': tensor(5.), 'head': tensor(5.)}
    """
    found = [(name, parameter.grad) for name, block in blocks.items() for parameter in block]
    names = [name for name, gradient in found if gradient is not None]
    norms = fused_norms([gradient for _, gradient in found if gradient is not None])
    present = by_block([norms], names) if norms else {}
    missing = {name: torch.zeros(1) for name in ("total", *blocks) if name not in present}
    return {name: norm.squeeze(0) for name, norm in (present | missing).items()}


def fused_norms(tensors: Sequence[Tensor]) -> list[Float[Tensor, ""]]:
    """The 2-norm of each tensor, dense or sparse, by one fused call a device: what a training step can afford.

    Half-precision tensors give norms in float32, where a norm beyond 65,504 is still a number. A complex number counts
    as its two parts.
    """
    dense = [_real(tensor.coalesce().values() if tensor.is_sparse else tensor) for tensor in tensors]
    wide = torch.float64 if any(tensor.dtype == torch.float64 for tensor in dense) else torch.float32
    return list(torch._foreach_norm(dense, 2, dtype=wide)) if dense else []


def _real(tensor: Tensor) -> Tensor:
    """A complex tensor as its real and imaginary parts, as torch.optim takes it; there are no fused norms of one."""
    return torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor


def by_block(steps: Sequence[Sequence[Float[Tensor, ""]]], names: Sequence[str]) -> dict[str, Float[Tensor, " step"]]:
    """From the norms of single tensors, `[step][tensor]`, to those of blocks and of all as `total`, by step.

    Args:
        steps: for every step, the norms in the same order.
        names: the block of each tensor.
    """
    device = steps[0][0].device  # a model may be spread over several
    squares = torch.stack([torch.stack([norm.to(device) for norm in step]) for step in steps]).square()
    blocks = {name: [index for index, each in enumerate(names) if each == name] for name in dict.fromkeys(names)}
    return {
        "total": squares.sum(dim=1).sqrt(),
        **{name: squares[:, indices].sum(dim=1).sqrt() for name, indices in blocks.items()},
    }


def update_ratios(
    before: Mapping[str, Sequence[Tensor]], after: Mapping[str, Sequence[Tensor]]
) -> dict[str, Float[Tensor, ""]]:
    """mean|Δw| / mean|w| of each block's weights, and of all together as `total`. Nothing is copied to the host.

    About 0.001 is usual; 0.1 throws the weights about, 1e-6 leaves them where they are. 0 where nothing moved; of
    weights that were all zero it is not finite. A complex weight counts as two: its real and its imaginary part.

    Args:
        before, after: each block's weights at two times, in the same order.

    Source: A. Karpathy, "A Recipe for Training Neural Networks" and CS231n's notes, "Ratio of weights:updates".

    >>> update_ratios({"head": [torch.tensor([1.0, -3.0])]}, {"head": [torch.tensor([1.1, -3.1])]})["head"]
    tensor(0.0500)
    """
    names = [name for name, block in before.items() for _ in block]
    old = [_real(each.detach()) for block in before.values() for each in block]
    new = [_real(each.detach()) for name in before for each in after[name]]
    if not old:
        return {}
    wide = torch.float64 if any(each.dtype == torch.float64 for each in old) else torch.float32
    device = old[0].device  # a model may be spread over several
    moved = torch._foreach_norm(torch._foreach_sub(new, old), 1, dtype=wide)
    size = torch._foreach_norm(old, 1, dtype=wide)
    sums = torch.stack([torch.stack([each.to(device) for each in norms]) for norms in (moved, size)])
    blocks = {"total": list(range(len(names)))}
    for index, name in enumerate(names):
        blocks.setdefault(name, []).append(index)
    # As many weights in both means: their ratio is that of the sums.
    totals = {name: sums[:, indices].sum(dim=1) for name, indices in blocks.items()}
    return {name: each[0] / each[1] for name, each in totals.items()}
