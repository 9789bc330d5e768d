"""Steps whose gradient is NaN or infinite: one that is taken is enough to make every weight NaN."""

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

ACTIONS: Final = {
    "stop": "training stops before it is taken (on_not_finite=stop)",
    "skip": "it is left out, as any other that follows (on_not_finite=skip)",
    "continue": "it is taken (on_not_finite=continue)",
}
"""What is done about a step that is not finite, and how it is told."""

AT_HAND: Final = ("cpu",)
"""Devices of whose numbers the host can ask without waiting for them."""

STEPS: Final = "training/not_finite"
"""Optimizer steps whose gradient was not finite."""

FIRST: Final = "training/first_not_finite"
"""The first of them, counted from 1."""

SHARE: Final = "training/not_finite_share"
"""Of the steps from the first of them on."""

LEFT_OUT: Final = "training/left_out"
"""Optimizer steps that were not taken."""

SMALLEST_SCALE: Final = 2.0**-20
"""A loss scale below this was halved 36 times: the gradient is not finite at any scale."""


@final
class FiniteSteps(Callback):
    """Looks at the gradient of each optimizer step before it is taken, after the monitors have measured it.

    Weights that are not finite never become finite again, so the step must be kept from them. On a CPU the gradient is
    looked at in every step, and one that is not finite is taken away: the optimizer passes over it, weight decay and
    momentum included. On an accelerator `stop` waits for nothing: from that step on the weights are put back as they
    were, and the fit stops where the host next looks, within `log_every_n_steps` steps or as the epoch ends; nor does
    `continue`; `skip` waits in each step.

    Under `16-mixed` the loss is scaled so that some steps are not finite on purpose; the scaler leaves them out, and
    `stop` ends the fit where it has halved the scale until nothing was left of it.

    Args:
        action: `stop`: the fit ends there, with a validation of the weights before that step; `skip`: only this step is
            left out; `continue`: it is taken, and counted.

    Raises:
        BadInput: for another word.
    """

    def __init__(self, action: str) -> None:
        if action not in ACTIONS:
            raise BadInput(f"on_not_finite={action}: {nearest(action, ACTIONS)}")
        self._action = action
        self._seen = self._first = self._left_out = 0
        self._steps = 0
        self._stopped = False
        self._afar: Tensor | None = None
        self._before: list[tuple[Tensor, Tensor]] = []

    @property
    def seen(self) -> int:
        """How many steps were not finite so far."""
        return self._seen

    @property
    def taken(self) -> int:
        """Optimizer steps that the run has taken; under `16-mixed` all: what a scaler leaves out is not told."""
        return self._steps - self._left_out

    def figures(self) -> dict[str, float]:
        """What the doctor is told; nothing where all was well."""
        if not self._seen:
            return {}
        since = max(self._steps - self._first + 1, self._seen)
        share = 1.0 if self._action == "stop" else self._seen / since
        found = {STEPS: self._seen, FIRST: self._first, SHARE: share, LEFT_OUT: self._left_out}
        return {name: float(each) for name, each in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """What was seen before a fit was broken off."""
        return {"seen": self._seen, "first": self._first, "left_out": self._left_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self._seen, self._first, self._left_out = (int(state_dict[name]) for name in ("seen", "first", "left_out"))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Nothing was seen of this fit."""
        self._stopped, self._afar, self._before = False, None, []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count, and let go of the weights."""
        self._steps, self._before = trainer.global_step, []

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let go of the weights."""
        self._before = []

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Look at the gradients that this optimizer is about to follow."""
        if _scaler(trainer) is not None:
            return
        moved = [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]
        if not moved:
            return
        gradients = [each.grad for each in moved]
        step = trainer.global_step + 1
        if self._action != "skip" and gradients[0].device.type not in AT_HAND:
            self._note(_largest(gradients), step)
            if self._action == "stop":
                self._hold(moved)
        elif not _are_finite(gradients):
            if self._action != "continue":
                for each in moved:
                    each.grad = None
            self._count(trainer, step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Put back what was not to be moved; look now and then at what an accelerator has seen."""
        with torch.no_grad():
            for weights, old in self._before:
                assert self._afar is not None  # noqa: S101 - set with it
                weights.copy_(torch.where(self._afar[0].to(old.device) > 0, old, weights))
        self._before = []
        every = trainer.log_every_n_steps  # type: ignore[attr-defined] # set, but not declared
        if every > 0 and trainer.global_step % every == 0:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at what an accelerator has seen of the epoch's last steps."""
        self._look(trainer)

    def _note(self, largest: Tensor, step: int) -> None:
        """On the device, without a word from the host: the first bad step's number, 0 while there is none; how many."""
        if self._afar is None:
            self._afar = torch.zeros(2, dtype=torch.int64, device=largest.device)
        first, seen = self._afar.unbind()
        bad = ~largest.isfinite()
        first.masked_fill_(bad & (first == 0), step)
        seen.add_(bad)

    def _hold(self, moved: list[Tensor]) -> None:
        """No step from the first bad one on."""
        assert self._afar is not None  # noqa: S101 - noted before
        closed = self._afar[0] > 0
        for each in moved:
            assert each.grad is not None  # noqa: S101 - that is why it is here
            each.grad.masked_fill_(closed.to(each.grad.device), 0.0)
            self._before.append((each, each.detach().clone()))

    def _look(self, trainer: Trainer) -> None:
        if self._stopped:
            return
        scaler = _scaler(trainer)
        if self._afar is not None:
            first, seen = self._afar.tolist()
            if seen and self._action == "stop":
                self._count(trainer, first, left_out=trainer.global_step - first + 1)
            elif seen:
                self._afar[1] = 0
                self._count(trainer, first, seen)
        elif self._action == "stop" and scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            self._count(trainer, trainer.global_step)

    def _count(self, trainer: Trainer, step: int, seen: int = 1, left_out: int = 1) -> None:
        """As many more were not finite, of which this was the first."""
        told = not self._seen
        self._seen += seen
        self._first = self._first or step
        self._left_out += 0 if self._action == "continue" else left_out
        if self._action == "stop":
            self._stopped = trainer.should_stop = True
        if trainer.is_global_zero and told:
            log.warning("the gradient of optimizer step %s is NaN or infinite: %s", f"{step:,}", ACTIONS[self._action])


def _scaler(trainer: Trainer) -> Any:
    return getattr(trainer.precision_plugin, "scaler", None)


def _are_finite(gradients: list[Tensor]) -> bool:
    """By their norms, one fused call; where those are not finite, by the largest number: squares overflow earlier."""
    norms = torch.stack([each.to(gradients[0].device) for each in fused_norms(gradients)])
    return math.isfinite(sum(norms.tolist())) or math.isfinite(_largest(gradients).item())


def _largest(gradients: list[Tensor]) -> Tensor:
    return get_total_norm(gradients, math.inf)
