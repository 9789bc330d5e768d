"""No step with a gradient that is NaN or infinite is taken: one is enough to make every weight NaN."""

import logging
import math
from typing import Any, Final, final

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from flatspot.errors import BadInput
from flatspot.probes.gradient import fused_norms
from flatspot.registry import nearest

log = logging.getLogger(__name__)

WAYS: Final = ["stop", "skip", "continue"]

AT_HAND: Final = ("cpu",)
"""Devices of whose numbers the host can ask without waiting for them."""

STEPS: Final = "training/not_finite"
"""Optimizer steps whose gradient was not finite."""

FIRST: Final = "training/first_not_finite"
"""The first of them, counted from 1."""

LEFT_OUT: Final = "training/left_out"
"""The share of the steps since the first of them that were not taken."""

SMALLEST_SCALE: Final = 2.0**-20
"""A loss scale below this was halved 36 times: the gradient is not finite at any scale."""


@final
class FiniteSteps(Callback):
    """Looks at the gradient of each optimizer step before it is taken, after the monitors have measured it.

    Weights that are not finite never become finite again, so the step must be kept from them. On a CPU the gradient is
    looked at in every step, and one that is not finite is taken away: the optimizer passes over it, weight decay and
    momentum included. On an accelerator `stop` waits for nothing: from that step on the weights are put back as they
    were, and the fit stops where the host next looks, within `log_every_n_steps` steps or as the epoch ends; `skip`
    waits in each step.

    Under `16-mixed` the loss is scaled so that some steps are not finite on purpose; the scaler leaves them out, and
    `stop` ends the fit where it has halved the scale until nothing was left of it.

    Args:
        how: `stop`: the fit ends there, with a validation of the weights before that step; `skip`: only this step is
            left out; `continue`: nothing is looked at.

    Raises:
        BadInput: for another word.
    """

    def __init__(self, how: str) -> None:
        if how not in WAYS:
            raise BadInput(f"on_not_finite={how}: {nearest(how, WAYS)}")
        self._how = how
        self._steps, self._first = 0, 0
        self._taken = 0
        self._latch: Tensor | None = None
        self._before: list[tuple[Tensor, Tensor]] = []

    @property
    def steps(self) -> int:
        """How many were left out so far."""
        return self._steps

    def figures(self) -> dict[str, float]:
        """What the doctor is told; nothing where all was well."""
        if not self._steps:
            return {}
        since = max(self._taken - self._first + 1, self._steps)
        left_out = 1.0 if self._how == "stop" else self._steps / since
        return {STEPS: float(self._steps), FIRST: float(self._first), LEFT_OUT: left_out}

    def state_dict(self) -> dict[str, Any]:
        """What was left out before a fit was broken off."""
        return {"steps": self._steps, "first": self._first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._steps, self._first = int(state_dict["steps"]), int(state_dict["first"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing was seen of this fit."""
        self._latch, self._before = None, []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, and let go of the weights."""
        self._taken, self._before = trainer.global_step, []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the weights."""
        self._before = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look at the gradients that this optimizer is about to follow."""
        if self._how == "continue" or _scaler(trainer) is not None:
            return
        moved = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        if not moved:
            return
        gradients = [each.grad for each in moved]
        if self._how == "stop" and gradients[0].device.type not in AT_HAND:
            self._hold(moved, _largest(gradients), trainer.global_step + 1)
        elif not _are_finite(gradients):
            for each in moved:
                each.grad = None
            self._seen(trainer, trainer.global_step + 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Put back what was not to be moved; look now and then at what an accelerator has seen."""
        with torch.no_grad():
            for weights, old in self._before:
                assert self._latch is not None  # noqa: S101 - set with it
                weights.copy_(torch.where(self._latch.to(old.device) > 0, old, weights))
        self._before = []
        every = trainer.log_every_n_steps  # type: ignore[attr-defined] # set, but not declared
        if every > 0 and trainer.global_step % every == 0:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what an accelerator has seen of the epoch's last steps."""
        self._look(trainer)

    def _hold(self, moved: list[Tensor], largest: Tensor, step: int) -> None:
        """Without a word from the host: the first bad step's number, 0 while there is none; no step from it on."""
        if self._latch is None:
            self._latch = torch.zeros((), dtype=torch.int64, device=largest.device)
        begins = ~largest.isfinite() & (self._latch == 0)
        self._latch.masked_fill_(begins, step)
        closed = self._latch > 0
        for each in moved:
            assert each.grad is not None  # noqa: S101 - that is why it is here
            each.grad.masked_fill_(closed.to(each.grad.device), 0.0)
            self._before.append((each, each.detach().clone()))

    def _look(self, trainer: Trainer) -> None:
        if trainer.should_stop:
            return
        scaler = _scaler(trainer)
        if self._latch is not None and (step := int(self._latch.item())):
            self._seen(trainer, step)
        elif self._how == "stop" and scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            self._seen(trainer, trainer.global_step)

    def _seen(self, trainer: Trainer, step: int) -> None:
        self._steps += 1
        self._first = self._first or step
        if self._how == "stop":
            trainer.should_stop = True
            told = "training stops before it is taken (on_not_finite=stop)"
        else:
            told = "it is left out, as any other that follows (on_not_finite=skip)"
        if trainer.is_global_zero and (self._how == "stop" or self._steps == 1):
            log.warning("the gradient of optimizer step %s is NaN or infinite: %s", f"{step:,}", told)


def _scaler(trainer: Trainer) -> Any:
    return getattr(trainer.precision_plugin, "scaler", None)


def _are_finite(gradients: list[Tensor]) -> bool:
    """By their norms, one fused call; where those are not finite, by the largest number: squares overflow earlier."""
    norms = torch.stack([each.to(gradients[0].device) for each in fused_norms(gradients)])
    return math.isfinite(sum(norms.tolist())) or math.isfinite(_largest(gradients).item())


def _largest(gradients: list[Tensor]) -> Tensor:
    return get_total_norm(gradients, math.inf)
