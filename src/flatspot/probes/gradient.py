"""Gradient norms, total and by block, without asking the device to wait."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


def parameter_blocks(module: nn.Module) -> dict[str, list[nn.Parameter]]:
    """A module's trainable parameters by block: its children, and each layer of a stacked recurrent child.

    A module that only wraps another one is looked through. Parameters of the module's own are the block `own`.

    >>> blocks = parameter_blocks(nn.ModuleDict({"rnn": nn.GRU(1, 4, num_layers=2), "head": nn.Linear(4, 1)}))
    >>> sorted(blocks)
    ['head', 'rnn_l0', 'rnn_l1']
    """
    blocks: dict[str, list[nn.Parameter]] = {}
    for name, parameter in _unwrapped(module).named_parameters():
        if parameter.requires_grad:
            blocks.setdefault(_block_name(_unwrapped(module), name), []).append(parameter)
    return blocks


def _unwrapped(module: nn.Module) -> nn.Module:
    own = any(True for _ in module.parameters(recurse=False))
    holders = [child for child in module.children() if any(True for _ in child.parameters())]
    return _unwrapped(holders[0]) if len(holders) == 1 and not own else module


def _block_name(module: nn.Module, name: str) -> str:
    child, _, rest = name.partition(".")
    if not rest:
        return _layer_name("own", name) if isinstance(module, nn.RNNBase) else "own"
    layer = getattr(module, child)
    return _layer_name(child, rest) if isinstance(layer, nn.RNNBase) and layer.num_layers > 1 else child


def _layer_name(child: str, parameter: str) -> str:
    """The layer that torch.nn writes into a recurrent parameter's name: `weight_hh_l1_reverse` is of layer 1."""
    return f"{child}_l{parameter.split('_l')[1].split('_', maxsplit=1)[0]}"


def gradient_norms(blocks: Mapping[str, Iterable[nn.Parameter]]) -> dict[str, Float[Tensor, ""]]:
    """The 2-norm of each block's gradient, and of all together as `total`.

    A parameter without a gradient counts as zero. One fused norm a block; nothing is copied to the host.
    """
    norms = {name: get_total_norm([p.grad for p in block if p.grad is not None]) for name, block in blocks.items()}
    if not norms:
        return {"total": torch.zeros(())}
    total = torch.linalg.vector_norm(torch.stack(list(norms.values())))
    return {"total": total, **norms}
