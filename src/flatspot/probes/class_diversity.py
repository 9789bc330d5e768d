"""Whether a classifier says different things: the spread of its probabilities, and the classes that it names."""

import math
from typing import Final, Literal, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from flatspot.probes.moments import moments, widest

ROUNDING: Final = 0.01
"""So far outside [0, 1] may a probability lie that went through bfloat16."""

WHOLE: Final = 1e-3
"""So far from 1 may a row's sum lie that was clamped or smoothed; in half precision four roundings."""

Kind = Literal["logits", "probabilities"]


@final
class ClassDiversity(NamedTuple):
    """How much a classifier's answers differ between samples; NaN for fewer than two samples or any NaN.

    Args:
        spread: the standard deviation of the class probabilities over the samples, root mean square over the classes.
            0: one answer for every input; at most 0.5, for two classes that are each named with certainty half the
            time.
        entropy: of the shares in which the classes are named, in nats. 0: one class is said for all; log(classes): all
            are said equally often. Probabilities may differ while one class is said for all.
    """

    spread: float
    entropy: float


def class_diversity(probabilities: Float[Tensor, "sample class"]) -> ClassDiversity:
    """The diversity of predicted probabilities. Cost: four passes over the tensor.

    spread = √(mean_c Var_i(p_ic)), with the population variance over the samples i; entropy = -Σ_c s_c log s_c, where
    s_c is the share of samples whose largest probability is c's (of equal ones, the first).

    Raises:
        ValueError: for one column (the probability of the second class is wanted as [1 - p, p]), or values that are
            no probabilities (logits).

    >>> class_diversity(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    ClassDiversity(spread=0.5, entropy=0.6931471805599453)

    Source: Shannon 1948 for the entropy.
    """
    if probabilities.shape[1] < 2:
        raise ValueError(f"probabilities of shape {tuple(probabilities.shape)}: each class wants a column, [1 - p, p]")
    if len(probabilities) < 2 or probabilities.isnan().any():
        return ClassDiversity(math.nan, math.nan)
    if probabilities.min() < -ROUNDING or probabilities.max() > 1 + ROUNDING:
        raise ValueError(
            f"probabilities from {probabilities.min().item():g} to {probabilities.max().item():g}: softmax them first"
        )
    return ClassDiversity(moments(probabilities).variance.mean().sqrt().item(), _entropy(probabilities))


def _entropy(probabilities: Tensor) -> float:
    counts = torch.bincount(probabilities.argmax(dim=1), minlength=probabilities.shape[1])
    shares = counts[counts > 0].to("cpu", torch.float64) / len(probabilities)
    return float(torch.special.entr(shares).sum()) + 0.0  # of one class it is -0.0


def class_probabilities(
    outputs: Float[Tensor, "sample *output"], classes: int, *, kind: Kind | None = None
) -> Float[Tensor, "sample class"]:
    """Class probabilities from what a classifier returns. Cost: a few passes over the tensor.

    `[sample, class]`: where no number is negative and every row's sum is 1, they are probabilities; else logits or log
    probabilities, and the softmax is taken. `[sample]` or `[sample, 1]` of two classes: where all numbers are in
    [0, 1], they are the second class's probabilities p; else its logits, and p is their sigmoid; told is [1 - p, p].

    A classifier whose every logit lies in [0, 1], as a flat one's may, is taken for one that says probabilities: who
    knows better says so. A sigmoid for each of several classes gives rows of other sums, which are taken for logits.

    Args:
        outputs: of a whole sample: a few rows may look like probabilities by chance.
        classes: how many there are.
        kind: what the outputs are; None: looked at.

    Returns:
        `[sample, class]`, in float64 where the device has it.

    Raises:
        ValueError: for a shape that fits so many classes in neither way.

    >>> class_probabilities(torch.tensor([[0.0, 0.0], [-9.0, 9.0]]), 2).round(decimals=3)
    tensor([[0.5000, 0.5000],
            [0.0000, 1.0000]], dtype=torch.float64)
    >>> class_probabilities(torch.tensor([0.25, 1.0]), 2)
    tensor([[0.7500, 0.2500],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    shape = tuple(outputs.shape[1:])
    x = widest(outputs.detach())
    if classes > 1 and shape == (classes,):
        return x if (kind or _kind_of_rows(outputs)) == "probabilities" else x.softmax(dim=1)
    if classes == 2 and shape in {(), (1,)}:
        p = x.reshape(-1, 1)
        p = p if (kind or _kind_of_one(p)) == "probabilities" else p.sigmoid()
        return torch.cat([1 - p, p], dim=1)
    raise ValueError(f"outputs of shape {tuple(outputs.shape)} for classes={classes}: [sample, class] is wanted")


def _kind_of_rows(outputs: Tensor) -> Kind:
    amiss = (widest(outputs).sum(dim=1) - 1).abs()
    sums_to_one = amiss <= max(WHOLE, 4 * torch.finfo(outputs.dtype).eps)
    return "probabilities" if sums_to_one.all() and (outputs >= 0).all() else "logits"


def _kind_of_one(p: Tensor) -> Kind:
    return "probabilities" if ((p >= 0) & (p <= 1)).all() else "logits"
