"""How much flatter outputs are than the inputs allow, and what a squared error is made of."""

import math
from typing import NamedTuple, final

from jaxtyping import Float
from torch import Tensor

from flatspot.probes.moments import Moments, moments, widest


@final
class Murphy(NamedTuple):
    """The parts of a mean squared error, each the mean over outputs; they sum to it. NaN where there is no figure.

    Args:
        bias2: (mean ŷ - mean y)²: a level that is off.
        spread2: (σ_ŷ - σ_y)²: outputs that vary less, or more, than the targets.
        mismatch: 2 σ_ŷ σ_y (1 - r): outputs that vary at other times than the targets, r being the correlation.
    """

    bias2: float
    spread2: float
    mismatch: float


def murphy(predictions: Float[Tensor, "sample *output"], targets: Float[Tensor, "sample *output"]) -> Murphy:
    """What the squared error of predictions is made of, per output over the samples: MSE = bias² + spread² + mismatch.

    Flat outputs at the right level have it all in `spread2`. A forecast that is as flat as its skill makes it has some
    there, too: the best one has σ_ŷ = r σ_y.

    Source: Murphy 1988, Skill Scores Based on the Mean Square Error and Their Relationships to the Correlation
    Coefficient.

    >>> import torch
    >>> y = torch.tensor([[0.0], [2.0]])
    >>> murphy(y + 3, y), murphy(y * 0 + 1, y)
    (Murphy(bias2=9.0, spread2=0.0, mismatch=0.0), Murphy(bias2=0.0, spread2=1.0, mismatch=0.0))
    """
    if not predictions.numel():
        return Murphy(math.nan, math.nan, math.nan)
    ours, theirs = moments(predictions), moments(targets)
    ours_off, theirs_off = _deviation(predictions, ours), _deviation(targets, theirs)
    together = (ours_off * theirs_off).mean(dim=0)
    return Murphy(
        bias2=(ours.mean - theirs.mean).square().mean().item(),
        spread2=(ours.std - theirs.std).square().mean().item(),
        mismatch=2 * (ours.std * theirs.std - together).mean().item(),
    )


def _deviation(values: Tensor, of: Moments) -> Float[Tensor, "sample output"]:
    return widest(values.detach()).reshape(len(values), -1) - of.mean


def excess_flatness(achievable_r2: float, ratio: float) -> float:
    """E = R²_achievable - D²: how much flatter outputs are than the best forecast would be, for squared loss.

    The best forecast under squared loss is the mean given the inputs: its variance is R² of the target's, so its
    diversity ratio D is √R². Above 0: flatter than that; below: more varied than the inputs allow. The R² is a lower
    bound, so E is one, too.

    Args:
        achievable_r2: of references, held out. ratio: the diversity ratio D of the outputs.

    >>> excess_flatness(0.25, 0.5), excess_flatness(0.81, 0.0)
    (0.0, 0.81)
    """
    return achievable_r2 - ratio**2
