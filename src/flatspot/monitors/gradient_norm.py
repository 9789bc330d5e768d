"""Log gradient norms before clipping, in total and by block."""

from typing import final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from flatspot.probes.gradient import gradient_norms, parameter_blocks


@final
class GradientNormMonitor(Callback):
    """Logs gradient norms, after unscaling and before clipping, for any LightningModule and Trainer.

    `gradient/total` and `gradient/<block>` are means over the optimizer steps since the last point, and
    `gradient/total_max` is the largest of them, so no spike between two points is lost. A point is set every
    `log_every_n_steps` optimizer steps and at the end of every epoch. Blocks are the module's children, and the
    layers of a stacked recurrent child. Accumulating batches do not step and are not counted by themselves.

    Between points the sums stay on the device.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}
        self._largest: Tensor | None = None
        self._blocks: dict[str, list[nn.Parameter]] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sort the parameters into blocks."""
        self._blocks = parameter_blocks(pl_module)
        self._forget()

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        optimizer: Optimizer,
    ) -> None:
        """Take the norms of this optimizer's parameters."""
        norms = gradient_norms(self._of(optimizer))
        for name, norm in norms.items():
            self._sums[name] = self._sums[name] + norm if name in self._sums else norm
            self._steps[name] = self._steps.get(name, 0) + 1
        total = norms["total"]
        self._largest = total if self._largest is None else torch.maximum(self._largest, total)
        if self._steps["total"] >= trainer.log_every_n_steps > 0:  # type: ignore[attr-defined] # set, undeclared
            for logger in trainer.loggers:
                logger.log_metrics(self._figures(), step=trainer.global_step)
            self._forget()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is left of the epoch."""
        if self._steps:
            pl_module.log_dict(self._figures(), sync_dist=True)
            self._forget()

    def _of(self, optimizer: Optimizer) -> dict[str, list[nn.Parameter]]:
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        blocks = {name: [p for p in block if id(p) in held] for name, block in self._blocks.items()}
        return {name: block for name, block in blocks.items() if block}

    def _figures(self) -> dict[str, float]:
        assert self._largest is not None  # noqa: S101 - a step was taken
        names = list(self._sums)
        sums = torch.stack([*self._sums.values(), self._largest]).tolist()
        means = {f"gradient/{name}": total / self._steps[name] for name, total in zip(names, sums, strict=False)}
        return {**means, "gradient/total_max": sums[-1]}

    def _forget(self) -> None:
        self._sums, self._steps, self._largest = {}, {}, None
