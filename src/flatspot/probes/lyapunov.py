"""How fast a recurrent layer forgets: its largest Lyapunov exponent under real inputs."""

import copy
import math
from collections import OrderedDict
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.probes.undisturbed import undisturbed

NUDGE: Final = 1e-7
"""The perturbation's size beside the state's (at least 1), in float64: curvature and rounding both stay near 1e-7."""


@final
class Lyapunov(NamedTuple):
    """How a small difference in the state grows.

    Args:
        exponent: λ, the mean log growth per step. Negative: the state forgets where it came from, as every working
            layer does; positive: chaos. Of the samples whose difference lives to the end; -inf where none does. NaN
            for fewer than three steps, no sample or inputs that are not finite.
        memory_steps: -1/λ, the steps after which 1/e of a difference is left; NaN where λ >= 0. It matters only beside
            the lag that the target needs.
        lost: the share of samples whose difference vanished, to float64's precision: at some step the state says
            nothing of what was before (dead units, or gates that are shut).
    """

    exponent: float
    memory_steps: float
    lost: float


def lyapunov(layer: nn.Module, x: Float[Tensor, "first second channel"], *, seed: int = 0) -> Lyapunov:
    """The largest Lyapunov exponent by Benettin's method, a step at a time.

    λ = mean over samples i and steps t of log(‖δ_it‖ / ‖δ_i,t-1‖), where δ is the difference between the state's course
    under x and that of a copy started close by; its length is put back after each step. States are
    taken together: h of all stacked layers, and c. The first half of the steps only turns the
    difference into the direction that grows most, and is not counted.

    A copy of the layer works, in float64, on the CPU and in evaluation mode, without hooks (a weight that a hook makes
    stays as the last call made it): in float32 rounding would be as large as the difference. Cost: two calls of one
    step for each step of x.

    Args:
        layer: from (`x_t`, state) to (output, state), with x_t of one step: torch.nn's RNN, GRU and LSTM, what inherits
            from them or is called like them. A state is a tensor `[..., sample, unit]` or a tuple of such. The
            state at the first step is the layer's own.
        x: `[sample, time, channel]`, or `[time, sample, channel]` where `layer.batch_first` is False.
        seed: of the direction that is perturbed first.

    Raises:
        ValueError: for a bidirectional layer, whose state does not go one way.

    >>> layer = nn.RNN(1, 2, batch_first=True)
    >>> _ = layer.weight_hh_l0.data.copy_(0.5 * torch.eye(2))
    >>> measured = lyapunov(layer, torch.zeros(1, 20, 1))
    >>> measured.exponent < math.log(0.5) + 1e-6
    True

    Source: Benettin, Galgani, Giorgilli & Strelcyn 1980; for recurrent networks Engelken, Wolf & Abbott (arXiv
    2006.02427) and Vogt et al. (arXiv 2006.14123).
    """
    if getattr(layer, "bidirectional", False) or len(getattr(layer, "directions", ())) > 1:
        raise ValueError("bidirectional=True: a state that goes both ways through time has no exponent")
    steps = x.detach().to("cpu", torch.float64)
    steps = steps.transpose(0, 1) if getattr(layer, "batch_first", True) else steps
    if len(steps) < 3 or not steps.numel():
        return Lyapunov(math.nan, math.nan, math.nan)
    with undisturbed(layer), torch.no_grad():
        growth = _growth(_Stepper(layer), steps, torch.Generator().manual_seed(seed))
    return _report(growth[len(growth) // 2 :].mean(dim=0))


def _report(exponents: Tensor) -> Lyapunov:
    """Of the samples' exponents."""
    if exponents.isnan().any():
        return Lyapunov(math.nan, math.nan, math.nan)
    lost = exponents == -math.inf
    exponent = -math.inf if lost.all() else exponents[~lost].mean().item()
    return Lyapunov(exponent, -1 / exponent if exponent < 0 else math.nan, lost.double().mean().item())


def _growth(step: "_Stepper", x: Tensor, generator: torch.Generator) -> Tensor:
    """The log growth `[time - 1, sample]`, from the second step on."""
    state = step(x[0], None)
    nudge = tuple(torch.randn(each.shape, generator=generator, dtype=each.dtype) for each in state)
    nudge = _scaled(nudge, _size(state) / _length(nudge))
    growth = []
    for x_t in x[1:]:
        after = step(x_t, state)
        near = step(x_t, tuple(map(torch.add, state, nudge)))
        difference = tuple(map(torch.sub, near, after))
        length = _length(difference)
        growth.append(torch.where(length == 0, -math.inf, (length / _length(nudge)).log()))
        state, nudge = after, _scaled(difference, torch.where(length == 0, 0, _size(after) / length))
    return torch.stack(growth)


def _size(state: tuple[Tensor, ...]) -> Tensor:
    return _length(state).clamp(min=1) * NUDGE


def _length(state: tuple[Tensor, ...]) -> Tensor:
    """Over everything but the samples, `[sample]`."""
    squares = [each.square().sum(dim=-1) for each in state]
    return torch.stack([each.reshape(-1, each.shape[-1]).sum(dim=0) for each in squares]).sum(dim=0).sqrt()


def _scaled(state: tuple[Tensor, ...], factor: Tensor) -> tuple[Tensor, ...]:
    return tuple(each * factor.unsqueeze(-1) for each in state)


@final
class _Stepper:
    """A copy of a layer, that takes one step; its state is a tuple, whatever the layer's is."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = _float64_copy(layer)
        self.time = 1 if getattr(layer, "batch_first", True) else 0
        self.single = True

    def __call__(self, x_t: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, ...]:
        given: Any = state[0] if state and self.single else state
        _, after = (
            self.layer(x_t.unsqueeze(self.time)) if given is None else self.layer(x_t.unsqueeze(self.time), given)
        )
        self.single = isinstance(after, Tensor)
        return (after,) if isinstance(after, Tensor) else tuple(after)


def _float64_copy(layer: nn.Module) -> nn.Module:
    """Without the hooks: they may hold a whole trainer, and what they record is not about the copy."""
    held = [(name, each) for part in layer.modules() for name, each in part.__dict__.items()]
    memo: dict[int, Any] = {id(each): OrderedDict() for name, each in held if name.endswith("_hooks")}
    # A tensor that was computed cannot be copied with what it was computed from, nor does `to` know of attributes.
    memo |= {id(each): _float64(each) for _, each in held if isinstance(each, Tensor)}
    return copy.deepcopy(layer, memo).to("cpu", torch.float64)


def _float64(held: Tensor) -> Tensor:
    return held.detach().to("cpu", torch.float64 if held.is_floating_point() else held.dtype, copy=True)
