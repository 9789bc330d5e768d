"""Log gradient norms before clipping, in total and by block."""

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from flatspot.monitors.publishing import last_step, log_figures, log_layout, tell_callbacks
from flatspot.probes.gradient import by_block, fused_norms, parameter_blocks, update_ratios

Blocks = tuple[tuple[str, ...], tuple[str, ...]]
"""The block of each gradient of a step, and the blocks that the optimizer holds and that got none."""

UNHEARD: Final = (
    "GradientNormMonitor heard of no optimizer step in an epoch: step Lightning's own, self.optimizers(), rather than "
    "torch's inside them."
)

log = logging.getLogger(__name__)

MOST_WEIGHTS: Final = 2**16
"""Weights of a parameter that are compared before and after a step."""


MOST_WAITING: Final = 1024
"""Steps whose norms wait for a point, where none is asked for (`log_every_n_steps=0`)."""


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

    def add(self, norms: dict[str, Tensor], silent: Sequence[str] = ()) -> None:
        """Norms by block, `[step]` each; and the blocks that got no gradient in these steps, whose norm is 0."""
        finite = norms["total"].isfinite()
        taken = int(finite.sum())
        self.not_finite += len(finite) - taken
        if taken:
            largest = norms["total"][finite].max().item()
            self.largest = largest if math.isnan(self.largest) else max(self.largest, largest)
        for name, by_step in norms.items():
            self.sums[name] += by_step[finite].sum().item()
            self.steps[name] += taken
        for name in silent:
            self.steps[name] += taken

    def figures(self, followed_by_none: Iterable[str]) -> dict[str, float]:
        """Means by tag; 0 of blocks that no optimizer holds."""
        means = {name: self.sums[name] / count if count else float("nan") for name, count in self.steps.items()}
        named = {f"gradient/{name}": mean for name, mean in (dict.fromkeys(followed_by_none, 0.0) | means).items()}
        return {**named, "gradient/total_max": self.largest, "gradient/not_finite": float(self.not_finite)}


@final
class GradientNormMonitor(Callback):
    """Logs gradient norms, after unscaling and before clipping, for any LightningModule and Trainer.

    Loggers get `gradient/total` and `gradient/<block>` as means over the optimizer steps since the last point, and
    `gradient/total_max`, the largest of them, so that no spike between two points is lost. A point is set every
    `log_every_n_steps` optimizer steps and at the end of every epoch. In `trainer.callback_metrics` the same names
    stand for the whole epoch. Steps whose norm is not finite are left out and counted: `gradient/not_finite`.

    With each point comes `update_ratio/<block>` and `update_ratio/total`, mean|Δw| / mean|w| of the first batch since
    the point before that moved the weights in question: about 0.001 is usual, 0.1 throws weights about, 1e-6 leaves
    them where they are, 0 is no move. Of a large parameter up to 65,536 weights are looked at, evenly spread. A block
    whose weights were all zero has none, nor has one that no optimizer holds.

    Blocks are the module's children, and the layers of a stacked recurrent child; weights of the module's own are
    `own`. A child that is called `total`, `total_max`, `not_finite`, `norm` or `own`, or as another block is, has a `_`
    behind its name. A block that gets no gradient has the norm 0, and so has one that no optimizer holds.

    A batch that only accumulates takes no step and is not counted. With several optimizers, each step counts for the
    blocks that its optimizer holds. Under manual optimisation norms are those that the optimizer meets: after a
    clipping in the step.

    A step costs one fused norm, and nothing is copied to the host between points.
    """

    def __init__(self) -> None:
        self._block_of: dict[int, str] = {}
        self._waiting: defaultdict[Blocks, list[list[Tensor]]] = defaultdict(list)
        self._epoch = _Norms()
        self._before: dict[int, tuple[nn.Parameter, Tensor]] = {}
        self._moves: dict[int, tuple[Tensor, Tensor]] = {}
        self._heard = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sort the parameters into blocks."""
        self._forget()
        blocks = parameter_blocks(pl_module)
        self._block_of = {id(parameter): name for name, block in blocks.items() for parameter in block}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lay out what TensorBoard shows side by side."""
        log_layout(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Take the norms of the gradients that this optimizer is about to follow."""
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        moved = [parameter for parameter in held if parameter.grad is not None]
        if not moved:
            return
        blocks = tuple(self._block_of.get(id(parameter), "own") for parameter in moved)
        theirs = dict.fromkeys(self._block_of.get(id(parameter), "own") for parameter in held)
        norms = fused_norms([parameter.grad for parameter in moved])
        silent = tuple(name for name in theirs if name not in blocks)
        self._waiting[blocks, silent].append(_unscaled(norms, trainer, optimizer))
        self._remember(moved)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """See how far the weights went, and set a point where it is due."""
        for key, (parameter, old) in self._before.items():
            self._moves[key] = old, _some(parameter).clone()
        self._before = {}
        waiting = sum(map(len, self._waiting.values()))
        if waiting >= trainer.log_every_n_steps > 0:  # type: ignore[attr-defined] # set, but not declared
            self._set_point(trainer)
        elif waiting >= MOST_WAITING:
            self._gather(_Norms())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is left of the epoch, and tell the other callbacks of all of it."""
        if self._waiting:
            self._set_point(trainer)
        if self._epoch.steps:
            tell_callbacks(trainer, self._epoch.figures(self._unheld(trainer)))
        elif not self._heard:
            log.warning(UNHEARD)
        self._heard = True
        self._epoch = _Norms()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the module's weights and gradients."""
        self._forget()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let go of the module's weights and gradients."""
        self._forget()

    def _forget(self) -> None:
        self._block_of, self._before, self._moves, self._heard = {}, {}, {}, False
        self._waiting.clear()
        self._epoch = _Norms()

    def _remember(self, parameters: Sequence[nn.Parameter]) -> None:
        """Copy what is about to be moved, once between two points."""
        for each in parameters:
            if id(each) not in self._moves and id(each) not in self._before:
                self._before[id(each)] = (each, _some(each).clone())

    def _moved(self) -> dict[str, Tensor]:
        before: defaultdict[str, list[Tensor]] = defaultdict(list)
        after: defaultdict[str, list[Tensor]] = defaultdict(list)
        for key, (old, new) in self._moves.items():
            before[self._block_of.get(key, "own")].append(old)
            after[self._block_of.get(key, "own")].append(new)
        return update_ratios(before, after)

    def _unheld(self, trainer: Trainer) -> set[str]:
        """The blocks that no optimizer holds; none, where a strategy gave the optimizers other tensors than these."""
        groups = (group for optimizer in trainer.optimizers for group in optimizer.param_groups)
        held = {self._block_of.get(id(each)) for group in groups for each in group["params"]}
        blocks = set(self._block_of.values())
        return blocks - held if blocks & held else set()

    def _gather(self, point: _Norms) -> None:
        """Add what has waited to a point and to the epoch."""
        for (blocks, silent), steps in self._waiting.items():
            norms = by_block(steps, blocks)
            point.add(norms, silent)
            self._epoch.add(norms, silent)
        self._waiting.clear()

    def _set_point(self, trainer: Trainer) -> None:
        point = _Norms()
        self._gather(point)
        still = dict.fromkeys(point.steps, 0.0)  # an optimizer leaves what has no gradient where it is
        moved = still | {name: ratio.item() for name, ratio in self._moved().items()}
        ratios = {f"update_ratio/{name}": each if math.isfinite(each) else None for name, each in moved.items()}
        self._moves = {}
        log_figures(trainer, point.figures(self._unheld(trainer)) | ratios, last_step(trainer))
        tell_callbacks(trainer, ratios)


def _some(parameter: Tensor) -> Tensor:
    """The weights, or of many some, evenly spread: a view."""
    flat = parameter.detach().reshape(-1)
    return flat[:: -(-len(flat) // MOST_WEIGHTS)] if len(flat) > MOST_WEIGHTS else flat


def _unscaled(norms: list[Tensor], trainer: Trainer, optimizer: Optimizer) -> list[Tensor]:
    """Under 16-bit precision a fused optimizer unscales its gradients by itself, later: do it here."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    if scaler is None or not getattr(optimizer, "_step_supports_amp_scaling", False):
        return norms
    scale = scaler._get_scale_async()  # the public way waits for the device
    return norms if scale is None else list(torch._foreach_div(norms, scale))
