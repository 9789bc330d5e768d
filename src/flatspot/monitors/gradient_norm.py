"""Log gradient norms before clipping, in total and by block."""

from collections import defaultdict
from typing import final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from flatspot.monitors.publishing import publish
from flatspot.probes.gradient import by_block, fused_norms, parameter_blocks

Blocks = tuple[str, ...]


@final
class GradientNormMonitor(Callback):
    """Logs gradient norms, after unscaling and before clipping, for any LightningModule and Trainer.

    `gradient/total` and `gradient/<block>` are means over the optimizer steps since the last point, and
    `gradient/total_max` is the largest of them, so no spike between two points is lost. A point is set every
    `log_every_n_steps` optimizer steps and at the end of every epoch. Blocks are the module's children, and the
    layers of a stacked recurrent child. A batch that only accumulates takes no step and is not counted. With
    several optimizers, each step counts for the blocks that it moves.

    A step costs one fused norm, and nothing is copied to the host between points.
    """

    def __init__(self) -> None:
        self._block_of: dict[int, str] = {}
        self._steps: defaultdict[Blocks, list[list[Tensor]]] = defaultdict(list)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sort the parameters into blocks."""
        blocks = parameter_blocks(pl_module)
        self._block_of = {id(parameter): name for name, block in blocks.items() for parameter in block}
        self._steps.clear()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take the norms of the gradients that this optimizer is about to follow."""
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moved = [parameter for parameter in held if parameter.grad is not None]
        if not moved:
            return
        blocks = tuple(self._block_of.get(id(parameter), "own") for parameter in moved)
        self._steps[blocks].append(fused_norms([parameter.grad for parameter in moved]))
        waiting = sum(len(steps) for steps in self._steps.values())
        if waiting >= trainer.log_every_n_steps > 0:  # type: ignore[attr-defined] # set, but not declared
            publish(trainer, self._take(), trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is left of the epoch."""
        if self._steps:
            publish(trainer, self._take())

    def _take(self) -> dict[str, float]:
        """The figures of the steps since the last point."""
        norms: defaultdict[str, list[Tensor]] = defaultdict(list)
        for blocks, steps in self._steps.items():
            for name, by_step in by_block(steps, blocks).items():
                norms[name].append(by_step)
        self._steps.clear()
        means = {f"gradient/{name}": torch.cat(parts).mean().item() for name, parts in norms.items()}
        return {**means, "gradient/total_max": torch.cat(norms["total"]).max().item()}
