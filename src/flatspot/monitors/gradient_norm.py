"""Log gradient norms before clipping, in total and by block."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import final

from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from flatspot.monitors.publishing import last_step, log_figures, tell_callbacks
from flatspot.probes.gradient import by_block, fused_norms, parameter_blocks

Blocks = tuple[str, ...]


@final
@dataclass
class _Norms:
    """Sum, number and largest of each block's norms over some optimizer steps.

    A step that is not finite is only counted: under 16-bit precision the scaler makes some on purpose, and skips them.
    """

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    steps: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    largest: float = float("nan")
    not_finite: int = 0

    def add(self, norms: dict[str, Tensor]) -> None:
        finite = norms["total"].isfinite()
        taken = int(finite.sum())
        self.not_finite += len(finite) - taken
        if taken:
            largest = norms["total"][finite].max().item()
            self.largest = largest if math.isnan(self.largest) else max(self.largest, largest)
        for name, by_step in norms.items():
            self.sums[name] += by_step[finite].sum().item()
            self.steps[name] += taken

    def figures(self) -> dict[str, float]:
        means = {name: self.sums[name] / count if count else float("nan") for name, count in self.steps.items()}
        named = {f"gradient/{name}": mean for name, mean in means.items()}
        return {**named, "gradient/total_max": self.largest, "gradient/not_finite": float(self.not_finite)}


@final
class GradientNormMonitor(Callback):
    """Logs gradient norms, after unscaling and before clipping, for any LightningModule and Trainer.

    Loggers get `gradient/total` and `gradient/<block>` as means over the optimizer steps since the last point, and
    `gradient/total_max`, the largest of them, so that no spike between two points is lost. A point is set every
    `log_every_n_steps` optimizer steps and at the end of every epoch. In `trainer.callback_metrics` the same names
    stand for the whole epoch. Steps whose norm is not finite are left out and counted: `gradient/not_finite`.

    Blocks are the module's children, and the layers of a stacked recurrent child. A batch that only accumulates takes
    no step and is not counted. With several optimizers, each step counts for the blocks that it moves.

    A step costs one fused norm, and nothing is copied to the host between points.
    """

    def __init__(self) -> None:
        self._block_of: dict[int, str] = {}
        self._waiting: defaultdict[Blocks, list[list[Tensor]]] = defaultdict(list)
        self._epoch = _Norms()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sort the parameters into blocks."""
        blocks = parameter_blocks(pl_module)
        self._block_of = {id(parameter): name for name, block in blocks.items() for parameter in block}
        self._waiting.clear()
        self._epoch = _Norms()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take the norms of the gradients that this optimizer is about to follow."""
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moved = [parameter for parameter in held if parameter.grad is not None]
        if not moved:
            return
        blocks = tuple(self._block_of.get(id(parameter), "own") for parameter in moved)
        self._waiting[blocks].append(fused_norms([parameter.grad for parameter in moved]))
        waiting = sum(len(steps) for steps in self._waiting.values())
        if waiting >= trainer.log_every_n_steps > 0:  # type: ignore[attr-defined] # set, but not declared
            self._set_point(trainer, trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is left of the epoch, and tell the other callbacks of all of it."""
        if self._waiting:
            self._set_point(trainer, last_step(trainer))
        if self._epoch.steps:
            tell_callbacks(trainer, self._epoch.figures())
        self._epoch = _Norms()

    def _set_point(self, trainer: Trainer, step: int) -> None:
        point = _Norms()
        for blocks, steps in self._waiting.items():
            norms = by_block(steps, blocks)
            point.add(norms)
            self._epoch.add(norms)
        self._waiting.clear()
        log_figures(trainer, point.figures(), step)
