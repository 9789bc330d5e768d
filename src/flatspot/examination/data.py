"""What the data themselves say: whether they are finite, how large, how different, how they end."""

import math
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatspot.examination.patient import Patient
from flatspot.examination.samples import any_packed
from flatspot.probes.moments import Moments, moments, widest

Figures = dict[str, float]

RESOLUTION: Final = 1e-4
"""Values of an output that differ by less than this share of their size are the same."""

CHANCE: Final = 3.0
"""Standard errors that are allowed for."""

NOT_ONE_STEP: Final = 0.8
"""The largest weight of a tensor by the learning rate, below which no step at that rate was taken."""

GROWN: Final = 3.0
"""The size of weights by one that keeps sizes, beyond which steps have made it."""

MANY: Final = 16
"""Weights of a tensor, from which on not all of them come back to where they were by chance."""

ALL: Final = 0.98
"""Share of the samples with one answer, beyond which it is every sample's and not that of their filler."""

IQR_OF_NORMAL: Final = 1.349
"""The interquartile range of a normal distribution of standard deviation 1."""

TAILS: Final = 3.0
"""The standard deviation by that of the bulk, from which on a few far values make it."""

MOST_ROWS: Final = 20_000
"""Values of a channel whose quantiles are taken."""

LEAST_STEPS: Final = 200
MANY_STEPS: Final = 10_000
"""Steps of a training that are reckoned with at least, and where nobody knows how many there were."""

HALF: Final = 2
"""A step counts as padding where it equals the last one and that is so for two or more at the end."""

FEWEST: Final = 50
"""Samples of a stretch, below which its spread is too uncertain to be held against another one's."""


def finite(patient: Patient) -> Figures:
    """How many numbers are NaN or infinite, and which sample has the first."""
    _, y = patient.train.joined()
    _, vy = patient.val.joined()
    weights = [*patient.model.parameters(), *(_without_mask(*each) for each in patient.model.named_buffers())]
    return {
        "finite/bad_inputs": _bad(patient.train.series()) + _bad(patient.val.series()),
        "finite/bad_targets": _bad(y) + _bad(vy),
        "finite/bad_weights": float(sum(_bad(each) for each in weights)),
        "finite/first_bad_sample": _first_bad(patient.train.series(), y),
    }


def _without_mask(name: str, buffer: Tensor) -> Tensor:
    """A buffer without the minus infinities that a mask of attention holds on purpose, and no running figure does."""
    return (
        buffer if "running_" in name or not buffer.is_floating_point() else buffer.masked_fill(buffer == -math.inf, 0)
    )


def _bad(values: Tensor) -> float:
    return float((~values.isfinite()).sum()) if values.is_floating_point() else 0.0


def _first_bad(x: Tensor, y: Tensor) -> float:
    """The number of the first training sample with a number that is not finite; NaN: there is none."""
    rows = torch.zeros(len(y), dtype=torch.bool)
    for each in (x, y):
        if each.is_floating_point():
            rows |= (~each.isfinite()).reshape(len(y), -1).any(dim=1).cpu()
    found = rows.nonzero().flatten()
    return float(found[0]) if len(found) else float("nan")


def sizes(patient: Patient) -> Figures:
    """Samples, steps, channels and outputs."""
    x = patient.train.series()
    total = patient.train.total
    return {
        "sizes/train": float(len(patient.train) if total is None else total),
        "sizes/val": float(len(patient.val) if patient.val.total is None else patient.val.total),
        "sizes/steps": float(x.shape[1]) if x.dim() > 1 else 1.0,
        "sizes/channels": float(x.shape[2:].numel()),
        "sizes/weights": float(sum(each.numel() for each in patient.model.parameters())),
        "sizes/batch": float(patient.train.batch_size),
    }


def targets(patient: Patient) -> Figures:
    """The targets' spread beside their size, and how often each class is the right one."""
    answers = patient.on_train
    found = moments(answers.targets)
    largest = answers.targets.abs().amax(dim=0).double().clamp(min=torch.finfo(torch.float64).tiny)
    figures = {
        "targets/constant_share": (found.std <= RESOLUTION * largest).double().mean().item(),
        "targets/mean": found.mean.abs().median().item(),
        "targets/std": found.std.median().item(),
    }
    if patient.fit.kind == "numbers":
        spread = found.std.clamp(min=torch.finfo(torch.float64).tiny)
        figures["targets/offset"] = (found.mean.abs() / spread).median().item()
        figures |= _commonest(answers.y)
        return figures
    return figures | _classes(patient, answers.targets)


def _commonest(y: Tensor) -> Figures:
    """The share of the commonest number; of the others, the share of the rarer side of it, and of different ones.

    Where nothing falls, or nobody buys, zero stands at an end; and what goes up and down in steps has few numbers.
    """
    mode = y.flatten().mode().values
    above, below = y[y > mode], y[y < mode]
    others = torch.cat([above, below])
    return {
        "targets/zero_share": (y == mode).double().mean().item(),
        "targets/rarer_side": min(len(above), len(below)) / max(len(others), 1),
        "targets/others_differ": len(torch.unique(others)) / max(len(others), 1),
    }


def _classes(patient: Patient, ones: Tensor) -> Figures:
    """Shares of the classes, and how many of them the model names."""
    said = patient.on_val.outputs
    if patient.fit.kind == "labels":
        share = ones.double().mean(dim=0)
        majority = torch.maximum(share, 1 - share).median().item()
        return {"targets/majority": majority, "targets/seen": 1.0 + (majority < 1), "targets/named": _named(said > 0.5)}
    classes = patient.on_val.raw.shape[patient.fit.axis]
    counts = ones.reshape(-1, classes).sum(dim=0).double()
    named = said.reshape(-1, classes).argmax(dim=1).unique().numel()  # type: ignore[no-untyped-call]
    return {
        "targets/majority": (counts.max() / counts.sum()).item(),
        "targets/seen": float((counts > 0).sum()),
        "targets/named": float(named),
    }


def _named(yes: Tensor) -> float:
    return float(yes.any()) + float((~yes).any())


def inputs(patient: Patient) -> Figures:
    """How far the channels are from mean 0 and standard deviation 1, and from each other."""
    x = patient.train.series()
    if not x.is_floating_point():
        return {"inputs/whole_numbers": 1.0, "inputs/val_words_gap": _words_gap(x, patient.val.series())}
    channels = widest(patient.train.steps())
    found = moments(channels)
    varied = found.std > RESOLUTION * found.mean.abs()
    figures = {"inputs/whole_numbers": 0.0, "inputs/constant_channels": float((~varied).sum())}
    if varied.any():
        std, mean = found.std[varied], found.mean[varied].abs()
        figures |= {
            "inputs/largest_mean": mean.max().item(),
            "inputs/largest_offset": (mean / std).max().item(),
            "inputs/largest_std": std.max().item(),
            "inputs/smallest_std": std.min().item(),
            "inputs/smallest_bulk": bulk(channels)[1][varied].min().item(),
        }
    return figures | _shifted(found, varied, patient.val.series(), x, patient.val.every / patient.train.every)


def bulk(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and unit of each column's bulk, where a few far values (fillers, faults) make its spread.

    The median and the interquartile range by that of a normal distribution, where this is less than a third of the
    standard deviation and not zero; else mean and standard deviation.
    """
    found = moments(rows)
    few = widest(rows[torch.linspace(0, len(rows) - 1, min(len(rows), MOST_ROWS)).round().long().to(rows.device)])
    low, middle, high = torch.quantile(few, torch.tensor([0.25, 0.5, 0.75]).to(few), dim=0)
    unit = (high - low) / IQR_OF_NORMAL
    far = (unit > 0) & (unit < found.std / TAILS)
    return torch.where(far, middle, found.mean), torch.where(far, unit, found.std)


def _words_gap(x: Tensor, val: Tensor) -> float:
    """How much farther whole numbers' frequencies are from training to held out than within training, from 0 to 1.

    The total variation distance; of few samples the two halves of the training samples are far from each other too.
    """
    half = len(x) // 2
    return max(_distance(x, val) - _distance(x[:half], x[half:]), 0.0) if half else 0.0


def _distance(first: Tensor, second: Tensor) -> float:
    every, places = torch.unique(torch.cat([first.flatten(), second.flatten()]), return_inverse=True)
    parts = places[: first.numel()], places[first.numel() :]
    shares = [torch.bincount(part, minlength=len(every)).double() / len(part) for part in parts]
    return (0.5 * (shares[0] - shares[1]).abs().sum()).item()


def _shifted(train: Moments, varied: Tensor, val: Tensor, x: Tensor, pace: float) -> Figures:
    """How far the held-out inputs are from the training inputs, in units of these.

    Spreads are held against those of training stretches that are as long, and the nearest counts: what a series has
    done before, in some season, it may do again.

    Args:
        pace: how many training samples stand for one held-out sample's stretch of time.
    """
    if not varied.any():
        return {}
    found = _of_channels(val)
    gap = (torch.minimum((found.mean - train.mean).abs(), _jump(x, val)) / train.std)[varied]
    stretches = [x, *_stretches(x, round(len(val) * pace))]
    ratio = torch.stack([_apart(found.std, _of_channels(each).std)[varied] for each in stretches]).amin(dim=0)
    few = CHANCE / min(len(x), len(val)) ** 0.5  # of a handful of samples each mean and spread is uncertain
    return {
        "inputs/val_mean_gap": max(gap.max().item() - few, 0.0),
        "inputs/val_std_ratio": max(ratio.max().item() / math.exp(few / math.sqrt(2)), 1.0),
        "inputs/val_level_ratio": max(_levels(stretches, val) / math.exp(few / math.sqrt(2)), 1.0),
    }


def _of_channels(series: Tensor) -> Moments:
    return moments(widest(series).reshape(-1, series.shape[-1] if series.dim() > 2 else 1))


def _stretches(x: Tensor, count: int) -> list[Tensor]:
    """Some stretches of so many samples, one half beyond another; none where there is no room for two."""
    if count < FEWEST or 2 * count > len(x):
        return []
    return [x[at : at + count] for at in range(0, len(x) - count + 1, count // 2)]


def _apart(first: Tensor, second: Tensor) -> Tensor:
    return (first / second.clamp(min=1e-24)).clamp(min=1e-12).log().abs().exp()


def _jump(x: Tensor, val: Tensor) -> Tensor:
    """How far the first held-out samples are from the last training samples: a trend goes on, a scale jumps."""
    ends = [widest(each) for each in (x[-max(len(x) // 10, 8) :], val[: max(len(val) // 10, 8)])]
    rows = [each.reshape(-1, x.shape[-1]) if x.dim() > 2 else each.reshape(-1, 1) for each in ends]
    return (rows[0].mean(dim=0) - rows[1].mean(dim=0)).abs()


def _levels(stretches: list[Tensor], val: Tensor) -> float:
    """How much more, or less, the windows' own means differ in training than held out, beside what their noise allows.

    A scaler that is fitted again for each window takes away its level, which single values do not show.
    """
    if val.dim() < 2 or val.shape[1] < HALF:
        return 1.0
    own = _level_spread(val)
    return torch.stack([_apart(own, _level_spread(each)) for each in stretches]).amin(dim=0).max().item()


def _level_spread(series: Tensor) -> Tensor:
    wide = widest(series)
    noise = wide.std(dim=1).square().mean(dim=0) / wide.shape[1]
    return (wide.mean(dim=1).var(dim=0) + 0.1 * noise).clamp(min=1e-24).sqrt()


def variety(patient: Patient) -> Figures:
    """How different the samples are from one another, and how many are the same."""
    x = patient.train.series()
    flat = widest(x).reshape(len(x), -1)
    found = moments(flat)
    whole = flat.std(correction=0)
    different = torch.unique(flat, dim=0)
    figures = {"variety/duplicates": 1 - len(different) / len(flat)}
    if whole > 0:
        figures["variety/between"] = (found.variance.mean().sqrt() / whole).item()
    size = flat.abs().mean()
    if size > 0:
        figures["variety/relative"] = (found.variance.mean().sqrt() / size).item()
    return figures


def padding(patient: Patient) -> Figures:
    """How long the samples' last steps are one repeated value, which padding is."""
    x = patient.train.series()
    if x.dim() < 2 or x.shape[1] < 2 * HALF or any_packed(patient.train.batches[0][0]):
        return {"padding/share": 0.0}
    tail = _tail(x)
    padded = tail >= HALF
    ahead = _tail(x.flip(1)) >= HALF
    return {
        "padding/front": ahead.double().mean().item() * _one_value(x.flip(1), ahead),
        "padding/share": padded.double().mean().item(),
        "padding/median": tail.double().median().item() / x.shape[1],
        "padding/same": _one_value(x, padded),
        "padding/same_answers": _same_answers(patient, padded),
    }


def _same_answers(patient: Patient, padded: Tensor) -> float:
    """The share of padded samples whose answer is bitwise the commonest one, less that share of the others.

    0 where nearly all samples have it, or all are padded.
    """
    said = patient.on_train.outputs
    _, which, counts = torch.unique(said, dim=0, return_inverse=True, return_counts=True)
    common = which == counts.argmax()
    padded = padded.to(common.device)
    if not padded.any() or padded.all() or common.double().mean() > ALL:
        return 0.0
    return float(common[padded].double().mean() - common[~padded].double().mean())


def _tail(x: Tensor) -> Tensor:
    """How many steps before the last are equal to it, `[sample]`."""
    same = (x == x[:, -1:]).reshape(*x.shape[:2], -1).all(dim=2)
    return same.flip(1).long().cumprod(dim=1).sum(dim=1) - 1


def _one_value(x: Tensor, padded: Tensor) -> float:
    """Of padded samples, the share of the commonest last value: all of them end in it where it is a filler."""
    if not padded.any():
        return 0.0
    last = x[padded][:, -1].reshape(int(padded.sum()), -1)
    _, counts = torch.unique(last, dim=0, return_counts=True)
    return float(counts.max()) / len(last)


def settings(patient: Patient) -> Figures:
    """Weight decay and dropout, as they are set."""
    figures = {"settings/dropout": max((_dropout(each) for each in patient.model.modules()), default=0.0)}
    if patient.optimizer is not None:
        groups = patient.optimizer.param_groups
        figures["settings/weight_decay"] = max(
            (float(each.get("weight_decay", 0) or 0) for each in groups), default=0.0
        )
        figures["settings/rate_now"] = max(float(each["lr"]) for each in groups)
        figures["settings/rate"] = max(rate_of(patient.optimizer, each) for each in groups)
        figures["settings/peak"] = max(peak_of(each) for each in groups)
        figures["settings/steps"] = _steps(patient)
        figures |= _shrinks(groups, figures)
    return figures


def _shrinks(groups: list[dict[str, Any]], seen: Figures) -> Figures:
    """The share of its size that a weight loses to its decay, where no gradient is weighed against that, as AdamW's."""
    if not any(each.get("decoupled_weight_decay") for each in groups):
        return {}
    steps = max(seen["settings/steps"], LEAST_STEPS) if seen["settings/steps"] > 0 else MANY_STEPS
    return {
        "settings/shrinks": max(seen["settings/rate"], seen["settings/peak"]) * seen["settings/weight_decay"] * steps
    }


def rate_of(optimizer: Optimizer, group: dict[str, Any]) -> float:
    """The learning rate that a group began with.

    Schedules note it, but for those that lower it by what they see: then, where all groups have one rate, it is what
    the optimizer was made with. Where a schedule multiplies a rate that is never taken (1, and a long warm-up), it is
    the one at hand.
    """
    now = float(group["lr"])
    if "initial_lr" in group:
        begun = float(group["initial_lr"])
        return _rate_by_size(group, now) if 0 < now < begun and _never_at(optimizer, group, begun) else begun
    one = len({float(each["lr"]) for each in optimizer.param_groups}) == 1
    return max(now, float(optimizer.defaults.get("lr", now))) if one else now


def peak_of(group: dict[str, Any]) -> float:
    """The highest learning rate of a group that its schedule notes, or the one at hand, which may have grown."""
    return max(float(group.get("max_lr", 0.0)), float(group["lr"]))


def _rate_by_size(group: dict[str, Any], now: float) -> float:
    """The rate that a schedule began with, as the weights tell it: where they are large, steps of about their size."""
    matrices = [each.detach() for each in group["params"] if each.dim() > 1]
    scales = [each.square().mean().sqrt() * each[0].numel() ** 0.5 for each in matrices]
    if not scales or bool(torch.stack(scales).median() < GROWN):
        return now
    return max(torch.stack([each.abs().median() for each in matrices]).median().item(), now)


def _never_at(optimizer: Optimizer, group: dict[str, Any], rate: float) -> bool:
    """Whether no step of this size can have been taken: the first ones of an adaptive optimizer move weights by it."""
    if "betas" not in group:
        return False
    held = [each for each in group["params"] if each.numel() >= MANY and each in optimizer.state]
    moved = [each.detach().abs().max().item() for each in held if bool(optimizer.state[each]["exp_avg_sq"].all())]
    return bool(moved) and min(moved) < NOT_ONE_STEP * rate


def _dropout(part: nn.Module) -> float:
    if isinstance(part, (nn.modules.dropout._DropoutNd, nn.AlphaDropout)):
        return float(part.p)
    between = getattr(part, "dropout", 0.0)
    return float(between) if isinstance(between, float) and getattr(part, "num_layers", 1) > 1 else 0.0


def _steps(patient: Patient) -> float:
    """Steps that the optimizer counts; NaN where it keeps no count."""
    assert patient.optimizer is not None  # noqa: S101
    counts: list[float] = [float(each["step"]) for each in patient.optimizer.state.values() if "step" in each]
    if counts:
        return max(counts)
    return float("nan") if patient.optimizer.state or _countless(patient) else 0.0


def _countless(patient: Patient) -> bool:
    """Whether the optimizer would keep nothing of the steps that it took (SGD without momentum)."""
    groups = [] if patient.optimizer is None else patient.optimizer.param_groups
    return not any(group.get("momentum") or "betas" in group for group in groups)
