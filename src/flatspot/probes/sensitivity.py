"""By time step: how much the outputs follow the inputs there, and how much of the loss's gradient arrives there."""

import math
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from flatspot.probes.asked import one_each
from flatspot.probes.moments import moments, widest
from flatspot.probes.undisturbed import Ask, answer, undisturbed


def sensitivity(
    module: nn.Module, x: Shaped[Tensor, "sample *input"], *, ask: Ask | None = None, draws: int = 4, seed: int = 0
) -> Float[Tensor, " time"]:
    """How far an output moves when one time step of the input moves by its standard deviation, by time step.

    s_t = mean_i ‖∂(v·ŷ_i)/∂x_it ∘ std(x_t)‖ over samples i and random v, whose k entries are ±1/√k for the k outputs of
    a sample: the root mean square over v is that over the outputs, however many there are. std is over the samples, of
    each channel by itself, so that units do not matter. Of the outputs, not of the loss, whose gradient vanishes where
    the fit is good. Where samples are mixed, what reaches other samples is in it. NaN of fewer than two samples.

    Zeros are exact: inputs that never differ, steps that are not read, a path that carries no gradient (`detach`), or
    what is too small for the model's own numbers (1e-45 in float32 and bfloat16, 6e-8 in float16).

    Cost: one forward pass and `draws` backward passes; one for a single output, where all v give the same. For the same
    cost, many samples with one draw each tell more than few with several.

    Args:
        module: asked in evaluation mode, and left as it was.
        x: inputs `[sample, time, channel]` of floating type. ask: how the module is asked; None: by its forward.
        draws: random directions for each sample. seed: of the directions.

    Raises:
        ValueError: for inputs that are no sequences, or whole numbers; no draws; not one prediction for each input.

    Source: Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063), gradients through time; Hutchinson 1990, random signs.

    >>> class Last(nn.Module):
    ...     def forward(self, x):
    ...         return 3 * x[:, -1]
    >>> sensitivity(Last(), torch.tensor([[[1.0], [1.0]], [[-1.0], [-1.0]]]))
    tensor([0., 3.], dtype=torch.float64)
    """
    _check(x, draws)
    if len(x) < 2 or not x.numel():
        return widest(x.new_full((x.shape[1],), math.nan))
    with undisturbed(module):
        gradients = _gradients(ask or answer(module), x.detach().clone().requires_grad_(), draws, seed)
    return torch.stack([_by_time(each, x) for each in gradients]).mean(dim=0)


def loss_gradient(
    module: nn.Module,
    x: Shaped[Tensor, "sample *input"],
    loss: Callable[[Tensor], Shaped[Tensor, " sample"]],
    *,
    ask: Ask | None = None,
) -> Float[Tensor, " time"]:
    """How much of the loss's gradient comes back to each time step of the input, by time step.

    g_t = mean_i ‖∂L_i/∂x_it ∘ std(x_t)‖ over samples i, in units of the loss: how much a sample's loss moves if the
    input at that step moves by its standard deviation. Where early steps get a millionth of what the last one gets,
    nothing is learned from them. All of it shrinks as the fit gets better, so its shape tells, and not its size; for
    the outputs alone, which do not shrink, see `sensitivity`. NaN of fewer than two samples.

    Args:
        module: asked in evaluation mode, and left as it was. x: inputs `[sample, time, channel]` of floating type.
        loss: from predictions to the loss of each sample, `[sample]`. ask: how the module is asked; None: its forward.

    Raises:
        ValueError: for inputs that are no sequences, or whole numbers; not one prediction for each input.

    Source: Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063).

    >>> class Sum(nn.Module):
    ...     def forward(self, x):
    ...         return x[:, 0] + 3 * x[:, 1]
    >>> x = torch.tensor([[[1.0], [1.0]], [[-1.0], [-1.0]]])
    >>> loss_gradient(Sum(), x, lambda y: y.square().sum(dim=1))
    tensor([ 8., 24.], dtype=torch.float64)
    """
    _check(x, 1)
    if len(x) < 2 or not x.numel():
        return widest(x.new_full((x.shape[1],), math.nan))
    leaf = x.detach().clone().requires_grad_()
    with undisturbed(module):
        total = loss(one_each((ask or answer(module))(leaf), leaf)).sum()
        found = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
    return _by_time(torch.zeros_like(x) if found is None else found, x)


def _check(x: Tensor, draws: int) -> None:
    if x.dim() < 2:
        raise ValueError(f"x: has the shape {tuple(x.shape)}, and sequences are [sample, time, channel]")
    if not x.is_floating_point():
        raise ValueError(f"x: is of the type {x.dtype}, and whole numbers cannot be differentiated")
    if draws < 1:
        raise ValueError(f"draws={draws}: at least one direction is needed")


def _by_time(gradient: Tensor, x: Tensor) -> Float[Tensor, " time"]:
    """The mean over the samples of each step's norm, in steps of the inputs' spread."""
    moved = widest(gradient) * _spread(x)  # in float32 the square of 1e-23 is 0, and early steps are often smaller
    norms: Tensor = moved.reshape(*x.shape[:2], -1).norm(dim=2)
    return norms.mean(dim=0)


def _spread(x: Tensor) -> Tensor:
    """Over the samples, `[time, *channel]`; 0 where they differ by rounding alone."""
    over = moments(x)
    return torch.where(over.std > 1e-12 * over.mean.abs(), over.std, 0 * over.std).view(x.shape[1:])


def _gradients(ask: Ask, leaf: Tensor, draws: int, seed: int) -> list[Tensor]:
    """Of random sums of each sample's outputs; zeros where there is no way back."""
    outputs = one_each(ask(leaf), leaf)
    flat = outputs.reshape(len(outputs), -1)
    if not flat.requires_grad or not flat.numel():
        return [torch.zeros_like(leaf)]
    generator = torch.Generator().manual_seed(seed)
    gradients = []
    for draw in range(draws := 1 if flat.shape[1] == 1 else draws):
        signs = 2 * torch.randint(2, flat.shape, generator=generator).to(flat) - 1
        last = draw == draws - 1
        (found,) = torch.autograd.grad(flat, leaf, signs, retain_graph=not last, allow_unused=True)
        gradients.append(torch.zeros_like(leaf) if found is None else found / math.sqrt(flat.shape[1]))
    return gradients


@final
class SensitivityShape(NamedTuple):
    """How sensitivity goes back in time.

    Args:
        slope: of its logarithm, per step towards the end; positive where the past is forgotten. Steps without any
            sensitivity, and steps where it is not finite, have no logarithm and are left out: of a decay into exact
            zeros it is the slope before them.
        ratio: the first step's by the last step's; 0 where nothing of the first step arrives, NaN where the last step
            has none.
        half_life: steps back in which it halves, ln 2 / slope; NaN where it does not fall.
    """

    slope: float
    ratio: float
    half_life: float


def sensitivity_shape(curve: Float[Tensor, " time"]) -> SensitivityShape:
    """The slope, ratio and half-life of a sensitivity by time step; NaN where two steps do not tell it.

    >>> shape = sensitivity_shape(torch.tensor([1.0, 2.0, 4.0]))
    >>> shape.ratio, round(shape.half_life, 6)
    (0.25, 1.0)
    """
    values = curve.to("cpu", torch.float64)
    if len(values) < 2:
        return SensitivityShape(math.nan, math.nan, math.nan)
    ratio = (values[0] / values[-1]).item()
    slope = _slope(values)
    return SensitivityShape(
        slope, ratio if math.isfinite(ratio) else math.nan, math.log(2) / slope if slope > 0 else math.nan
    )


def _slope(values: Tensor) -> float:
    """Least squares through the logarithms."""
    told = (values > 0) & values.isfinite()
    if told.sum() < 2:
        return math.nan
    times, logs = torch.arange(len(values), dtype=torch.float64)[told], values[told].log()
    times = times - times.mean()
    return ((times * logs).sum() / times.square().sum()).item()
