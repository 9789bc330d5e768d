"""Output diversity: how different a model's outputs are between samples, beside how different the targets are."""

import math
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from flatspot.probes.moments import Moments, merge, moments, widest

FLAT_OUTPUT: Final = 0.1
"""An output with less than this share of its target's spread counts as flat."""

SAME: Final = 1e-5
"""Outputs closer than this many of the target's standard deviations are duplicates."""


@final
class Diversity(NamedTuple):
    """How much outputs differ between samples.

    Args:
        ratio: D, the median over outputs of std(prediction) / std(target). 0: one answer for every input.
        minimum: the smallest of those ratios.
        flat_share: the share of outputs whose ratio is below 0.1; a median hides eleven flat of twenty-four.
        clock_share: the variance of the mean curve over the outputs, as a share of all variance. Near 1 with D
            near 0: one curve for every sample. NaN for one output.

    Outputs whose target is constant have no ratio and are left out; where all are, or a prediction is not finite, the
    figures are NaN.
    """

    ratio: float
    minimum: float
    flat_share: float
    clock_share: float


def output_diversity(
    predictions: Float[Tensor, "sample *output"], targets: Float[Tensor, "sample *output"]
) -> Diversity:
    """The diversity of predictions over a whole evaluation sample. Cost: four passes over the tensors.

    D_k = std_i(ŷ_ik) / std_i(y_ik), with the population standard deviation over the samples i.

    >>> y = torch.tensor([[0.0], [1.0], [2.0]])
    >>> output_diversity(0.5 * y, y).ratio
    0.5
    """
    return diversity_of(moments(predictions), moments(targets))


def diversity_within(
    predictions: Float[Tensor, "sample *output"],
    targets: Float[Tensor, "sample *output"],
    groups: Int[Tensor, " sample"],
) -> Diversity:
    """The diversity within groups (series), pooled: each output less its group's mean.

    One constant a series is varied over all (D = 0.985 where levels differ much) and flat within each.

    >>> y, series = torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1])
    >>> output_diversity(y.round(decimals=-1), y).ratio > 0.98
    True
    >>> diversity_within(y.round(decimals=-1), y, series).ratio
    0.0
    """
    return output_diversity(_less_means(predictions, groups), _less_means(targets, groups))


def _less_means(x: Tensor, groups: Tensor) -> Tensor:
    flat = widest(x).flatten(1)
    count = torch.bincount(groups).clamp(min=1).to(flat).unsqueeze(1)
    sums = flat.new_zeros(len(count), flat.shape[1]).index_add_(0, groups, flat)
    return flat - (sums / count)[groups]


def diversity_of(predictions: Moments, targets: Moments) -> Diversity:
    """The same from moments, so that batches and processes can be merged first."""
    ratios = (predictions.std / targets.std)[targets.m2 > 0]
    if not ratios.numel() or not ratios.isfinite().all():
        return Diversity(float("nan"), float("nan"), float("nan"), clock_share(predictions))
    return Diversity(
        # `quantile` takes the mean of the middle two, where `median` takes the lower.
        ratio=ratios.quantile(0.5).item(),
        minimum=ratios.min().item(),
        flat_share=(ratios < FLAT_OUTPUT).double().mean().item(),
        clock_share=clock_share(predictions),
    )


def clock_share(predictions: Moments) -> float:
    """C = Var_t(mean_i ŷ_it) / (Var_t(mean_i ŷ_it) + mean_t Var_i(ŷ_it)); NaN for one output or no variance."""
    if predictions.mean.numel() < 2:
        return float("nan")
    by_clock = predictions.mean.var(correction=0)
    by_sample = predictions.variance.mean()
    return (by_clock / (by_clock + by_sample)).item()


def distance_from_centre(
    predictions: Float[Tensor, "sample *output"], unit: Float[Tensor, " output"]
) -> Float[Tensor, " sample"]:
    """The root mean square distance of each output from the centre of all, in units of the target's spread."""
    scaled = _scaled(predictions, unit)
    return (scaled - scaled.mean(dim=0)).square().mean(dim=1).sqrt()


def distance_to_nearest(
    predictions: Float[Tensor, "sample *output"], unit: Float[Tensor, " output"]
) -> Float[Tensor, " sample"]:
    """The root mean square distance of each output from its nearest neighbour. Cost: n² distances."""
    return _nearest(_scaled(predictions, unit))


def duplicate_share(predictions: Float[Tensor, "sample *output"], unit: Float[Tensor, " output"]) -> float:
    """The share of samples whose output is that of another sample, to 1e-5 of the target's spread.

    NaN for fewer than two samples. Cost: one matrix product of n² distances, which cannot tell 1e-5 from 1e-3 but
    leaves few to be looked at exactly, unless the outputs are flat.
    """
    if len(predictions) < 2 or not predictions.isfinite().all():
        return float("nan")
    scaled = _scaled(predictions, unit)
    rows = scaled - scaled.mean(dim=0)
    near = torch.cdist(rows, rows, compute_mode="use_mm_for_euclid_dist").fill_diagonal_(float("inf")).amin(dim=1)
    # A product's rounding, of the size of the largest squares, is the root of it in a distance.
    rounding = (16 * rows.shape[1] * torch.finfo(rows.dtype).eps) ** 0.5 * rows.norm(dim=1).amax()
    suspects = rows[near < SAME * math.sqrt(rows.shape[1]) + rounding]
    same = (_nearest(suspects) < SAME).sum().item() if len(suspects) > 1 else 0
    return same / len(rows)


def _scaled(predictions: Tensor, unit: Tensor) -> Tensor:
    """Outputs in units of the target's spread; no distance is told of half precision."""
    wide = predictions.flatten(1)
    return (wide.float() if wide.element_size() < 4 else wide) / unit


def _nearest(scaled: Tensor) -> Tensor:
    # The faster way, by matrix product, cannot tell a distance of 1e-5 from none.
    between = torch.cdist(scaled, scaled, compute_mode="donot_use_mm_for_euclid_dist")
    between.fill_diagonal_(float("inf"))
    nearest: Tensor = between.amin(dim=1)
    return nearest / math.sqrt(scaled.shape[1])


@final
class DiversityReport(NamedTuple):
    """The diversity over all samples, and what a bounded sample of outputs says beyond it.

    Args:
        diversity: over every sample seen.
        duplicates: the share of the kept outputs that are (nearly) those of another sample.
        distances: of each kept output from their centre, in units of the target's spread.
    """

    diversity: Diversity
    duplicates: float
    distances: Float[Tensor, " sample"]


@final
class OutputDiversity(Metric):
    """Accumulates moments and a bounded sample of outputs over batches and processes.

    The sample is drawn without favour: each output gets a random key and the smallest keys stay (Vitter 1985,
    in the form that merges: Efraimidis & Spirakis 2006 with equal weights). The keys come from a generator of
    its own, so nobody else's draws move.

    Args:
        sample_size: outputs kept for distances and duplicates.
        seed: of the keys; processes that share an epoch should differ in it.
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False

    prediction_moments: Tensor
    target_moments: Tensor
    kept: list[Tensor]
    keys: list[Tensor]

    def __init__(self, sample_size: int = 256, seed: int = 0) -> None:
        super().__init__()
        self.sample_size = sample_size
        self._seed = seed
        self._generator = torch.Generator().manual_seed(seed)
        for name in ("prediction_moments", "target_moments"):
            self.add_state(name, default=torch.empty(0), dist_reduce_fx=None)
        for name in ("kept", "keys"):
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take a batch: predictions and targets `[sample, *output]`, of one shape."""
        self.prediction_moments = _merged(self.prediction_moments, moments(predictions))
        self.target_moments = _merged(self.target_moments, moments(targets))
        self._sample(predictions.detach().reshape(len(predictions), -1).float())

    def compute(self) -> DiversityReport:
        """What all batches of all processes say together."""
        targets = _over_processes(self.target_moments)
        kept, _ = _smallest(dim_zero_cat(self.kept), dim_zero_cat(self.keys), self.sample_size)
        unit = torch.where(targets.std > 0, targets.std, torch.ones_like(targets.std)).to(kept)
        return DiversityReport(
            diversity_of(_over_processes(self.prediction_moments), targets),
            duplicate_share(kept, unit),
            distance_from_centre(kept, unit),
        )

    def reset(self) -> None:
        """Forget all batches; the next ones are sampled with the same keys."""
        super().reset()
        self._generator.manual_seed(self._seed)

    def _sample(self, outputs: Tensor) -> None:
        keys = torch.rand(len(outputs), generator=self._generator).to(outputs.device)
        kept, all_keys = torch.cat([*self.kept, outputs]), torch.cat([*self.keys, keys])
        kept, all_keys = _smallest(kept, all_keys, self.sample_size)
        self.kept, self.keys = [kept], [all_keys]


def _smallest(outputs: Tensor, keys: Tensor, most: int) -> tuple[Tensor, Tensor]:
    order = keys.argsort()[:most]
    return outputs[order], keys[order]


def _merged(before: Tensor, batch: Moments) -> Tensor:
    """State and batch as one stacked tensor `[3, output]`: what torchmetrics can gather."""
    both = batch if not before.numel() else merge(_unstacked(before), batch)
    return torch.stack([both.size.expand_as(both.mean), both.mean, both.m2])


def _unstacked(state: Tensor) -> Moments:
    return Moments(state[0, 0], state[1], state[2])


def _over_processes(state: Tensor) -> Moments:
    """One set of moments from this process's `[3, output]` or from all processes' `[process, 3, output]`."""
    if state.dim() == 2:
        return _unstacked(state)
    total = _unstacked(state[0])
    for other in state[1:]:
        total = merge(total, _unstacked(other))
    return total
