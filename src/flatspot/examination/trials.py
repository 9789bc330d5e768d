"""Short experiments on copies: the same training with one thing changed, and what becomes of skill and diversity."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from inspect import Parameter, signature
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flatspot.examination.data import bulk, peak_of, rate_of
from flatspot.examination.outputs import balanced_accuracy, scoring
from flatspot.examination.patient import NO_LOSS, NO_OPTIMIZER, Answers, LossOf, NotGiven, Patient, strays, value
from flatspot.examination.samples import Samples, any_packed, mapped, sample_axis, series_among
from flatspot.probes.diversity import output_diversity
from flatspot.probes.moments import moments, widest
from flatspot.probes.undisturbed import forgetful, random_states_kept

Figures = dict[str, float]

MOST_STEPS: Final = 200
FEWEST_STEPS: Final = 20
WORK: Final = 5e10
"""Multiplications that a trial may take, roughly: a larger network makes fewer steps."""

A_STEP: Final = 2.5e6
"""As many multiplications take as long as one step of a small recurrent layer, there and back: for a network that goes
through its window many times in one call (a rollout, say) these count and not its size."""

FARTHEST: Final = 20.0
"""Units from the centre, at most, of inputs that a trial standardises: beyond them stand fillers and faults."""

LOW: Final = 0.05
HIGH: Final = 4.0
"""The size of a matrix by one that keeps sizes, outside of which it is drawn anew where weights are reset."""

LOOK: Final = 20
"""Steps from look to look at whether the loss is finite."""


@final
@dataclass(frozen=True)
class Change:
    """What is done differently.

    Args:
        fresh: begin with fresh weights, not with those at hand. rate: the learning rates' factor.
        inputs, targets: standardise them. free: without weight decay and dropout. clip: gradients to this norm.
        all_weights: train those too that are fixed or that the optimizer does not hold. balanced: draw each
            class as often. ending: move what was filled in at one end of a window to its other end. reset: begin with
            torch's own starting weights. alone: each call begins with the state that a fresh copy has.
            peak: at the highest rate of the schedule, where the optimizer says so. times: so many times as many steps.
    """

    fresh: bool = True
    rate: float = 1.0
    inputs: bool = False
    targets: bool = False
    free: bool = False
    clip: float | None = None
    all_weights: bool = False
    balanced: bool = False
    ending: bool = False
    reset: bool = False
    alone: bool = False
    peak: bool = False
    times: int = 1


@final
@dataclass(frozen=True)
class Outcome:
    """What became of it.

    Args:
        skill, train_skill: held out, and of the training samples. diversity: D, held out.
        finite: whether no loss on the way was NaN or infinite. first, last: the mean loss of the first and last tenth
            of the steps.
        norm_tail: the largest gradient norm by the median one.
    """

    skill: float
    train_skill: float
    diversity: float
    finite: bool
    first: float
    last: float
    norm_tail: float
    largest_norm: float
    balanced_accuracy: float = math.nan


def steps_of(patient: Patient) -> int:
    """Steps of a trial: as many as are affordable for a network of this size."""
    x = patient.train.series()
    weights = sum(each.numel() for each in patient.model.parameters()) or 1
    steps = x.shape[1] if x.dim() > 1 else 1
    work = max(6.0 * weights * patient.train.batch_size * steps, A_STEP * patient.steps_taken)
    return int(max(FEWEST_STEPS, min(MOST_STEPS, WORK / work)))


def trial(patient: Patient, change: Change, steps: int | None = None) -> Outcome:
    """Train a copy for a few steps with one thing changed, and score it. Nobody's random state moves.

    Raises:
        NotGiven: there is no loss, no optimizer, or no fresh copy where one is wanted.
    """
    if patient.loss is None or patient.optimizer is None:
        raise NotGiven(NO_LOSS if patient.loss is None else NO_OPTIMIZER)
    with random_states_kept(patient.model), torch.inference_mode(mode=False), torch.enable_grad():
        torch.manual_seed(patient.seed)
        model = patient.fresh() if change.fresh else patient.copied()
        _fix_the_same(patient.model, model)
        if change.reset:
            reset(model)
        if change.alone:
            forgetful(model)
        if change.balanced:
            many = _labels_many(patient)  # then no draw of samples evens out its labels
            loss = _unweighted(patient.loss)
            patient = replace(patient, loss=_by_class(patient, loss) if many else loss)
            change = replace(change, balanced=not many)
        optimizer = _optimizer(patient, model, change)
        data = _data(patient, change)
        losses, norms = _train(patient, model, optimizer, data, change, steps or steps_of(patient))
        return _scored(patient, model, data, losses, norms)


@final
@dataclass(frozen=True)
class _Data:
    """Samples as a trial reads them, and how its answers are reckoned back."""

    train: Samples
    val: Samples
    centre: Tensor | float = 0.0
    unit: Tensor | float = 1.0


def _data(patient: Patient, change: Change) -> _Data:
    train, val = patient.train, patient.val
    if change.inputs:
        train, val = _standardised(patient, train), _standardised(patient, val)
    if change.ending:
        train, val = _filler_moved(train), _filler_moved(val)
    if not change.targets:
        return _Data(train, val)
    y = torch.cat([y for _, y in train.batches])
    found = moments(y)
    unit = found.std.where(found.std > 0, 1.0).to(y).reshape(y.shape[1:])
    centre = found.mean.to(y).reshape(y.shape[1:])
    scaled = [(x, (each - centre) / unit) for x, each in train.batches]
    return _Data(replace(train, batches=scaled, _joined=[]), val, centre, unit)


def _standardised(patient: Patient, samples: Samples) -> Samples:
    """Each channel of the floating inputs by centre and unit of its bulk over training samples and steps."""
    series = patient.train.series()
    if not series.is_floating_point():
        raise NotGiven("the inputs are whole numbers, which are not scaled")
    centre, unit = bulk(widest(patient.train.steps()))
    mean, std = centre.to(series), unit.where(unit > 0, 1.0).to(series)
    if patient.numbered is not None:
        mean, std = torch.where(patient.numbered, 0.0, mean), torch.where(patient.numbered, 1.0, std)
    batches = []
    for x, y in samples.batches:
        slot = series_among(x, len(y))
        batches.append((mapped(x, partial(_scaled, slot=slot, mean=mean, std=std)), y))
    return replace(samples, batches=batches, _joined=[])


def _scaled(each: Tensor, slot: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    same = (mean == 0) & (std == 1)  # numbers that are looked up among them
    return torch.where(same, each, ((each - mean) / std).clamp(-FARTHEST, FARTHEST)) if each is slot else each


def _filler_moved(samples: Samples) -> Samples:
    """What repeats at the end of a sample stands at its beginning; what repeats at its beginning, at its end."""
    if any_packed(samples.batches[0][0]):
        raise NotGiven("the sequences are packed, so there is no filler")
    batches = [(mapped(x, partial(_turned, count=len(y))), y) for x, y in samples.batches]
    return replace(samples, batches=batches, _joined=[])


def _turned(each: Tensor, count: int) -> Tensor:
    axis = sample_axis(each, count)
    if axis is None or each.dim() < 2 or each.shape[1 - axis] < 2:
        return each
    series = each if axis == 0 else each.transpose(0, 1)
    tail, head = _repeats(series), _repeats(series.flip(1))
    shifts = tail if bool(tail.sum() >= head.sum()) else -head
    rows = [row.roll(int(shift), dims=0) for row, shift in zip(series, shifts, strict=True)]
    whole = torch.stack(rows)
    return whole if axis == 0 else whole.transpose(0, 1)


def _repeats(series: Tensor) -> Tensor:
    """How many steps before the last are equal to it, `[sample]`."""
    same = (series == series[:, -1:]).reshape(*series.shape[:2], -1).all(dim=2)
    return same.flip(1).long().cumprod(dim=1).sum(dim=1) - 1


def reset(model: nn.Module) -> None:
    """Torch's own starting weights; of linear layers and convolutions such as keep sizes (LeCun et al. 1998).

    Matrices of an author's own layers have no start of torch's: those that begin constant, or far from a usual scale,
    are drawn by Glorot & Bengio (2010), which asks not on which side the inputs are.
    """
    for part in model.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
        if not type(part).__module__.startswith("torch."):
            _redraw([each for each in part.parameters(recurse=False) if each.dim() > 1])
        if isinstance(part, (nn.Linear, nn.modules.conv._ConvNd)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="linear")


def _redraw(matrices: list[nn.Parameter]) -> None:
    for each in matrices:
        size = each.detach().square().mean().sqrt().item() * math.sqrt(0.5 * (each[0].numel() + len(each)))
        if min(each.shape) > 1 and (not LOW < size < HIGH or bool((each == each.flatten()[0]).all())):
            nn.init.xavier_normal_(each)


def _fix_the_same(theirs: nn.Module, model: nn.Module) -> None:
    """What was fixed in the user's model after it was made is fixed in a fresh copy too: the same training again."""
    fixed = {name for name, each in theirs.named_parameters() if not each.requires_grad}
    for name, each in model.named_parameters():
        if name in fixed:
            each.requires_grad_(False)


def _optimizer(patient: Patient, model: nn.Module, change: Change) -> Optimizer:
    """One like the user's, over the same weights of the copy, with nothing remembered."""
    theirs = patient.optimizer
    assert theirs is not None  # noqa: S101
    place = {id(each): name for name, each in patient.model.named_parameters()}
    named = dict(model.named_parameters())
    groups = []
    for group in theirs.param_groups:
        names = [place[id(each)] for each in group["params"] if id(each) in place]
        options = {name: each for name, each in group.items() if name not in {"params", "initial_lr"}}
        options["lr"] = (peak_of(group) if change.peak else rate_of(theirs, group)) * change.rate
        if change.free and "weight_decay" in options:
            options["weight_decay"] = 0.0
        groups.append({**options, "params": [named[name] for name in names if name in named]})
    if change.all_weights or not any(each["params"] for each in groups):  # of another model's weights: its settings
        held = {id(each) for group in groups for each in group["params"]}
        groups[0]["params"] += [each.requires_grad_() for each in named.values() if id(each) not in held]
        for each in named.values():
            each.requires_grad_()
        groups[0]["params"] += _strays_of_its_own(patient, model) if change.all_weights else []
    groups = [each for each in groups if each["params"]]
    if not groups:
        raise NotGiven("the optimizer holds none of the model's weights")
    taken = signature(type(theirs)).parameters
    defaults = {name: each for name, each in theirs.defaults.items() if name in taken}
    try:
        return type(theirs)(groups, **defaults)
    except Exception as error:
        raise NotGiven(f"an optimizer like {type(theirs).__name__} cannot be made: {error}") from error


def _strays_of_its_own(patient: Patient, model: nn.Module) -> list[Tensor]:
    """Those of a copy: what it shares with the user's model stays as it is."""
    theirs = {id(each) for each in strays(patient, patient.model)}
    return [each for each in strays(patient, model) if id(each) not in theirs]


def _unweighted(loss: LossOf) -> LossOf:
    """The loss with all its weights of classes at 1: they may be what is wrong, and undo that each is drawn as often.

    Of a loss that is a module; of any other nothing is known.
    """
    weighs = [name for name in ("weight", "pos_weight") if isinstance(getattr(loss, name, None), Tensor)]
    if not isinstance(loss, nn.Module) or not weighs:
        return loss
    free = copy.deepcopy(loss)
    for name in weighs:
        setattr(free, name, torch.ones_like(getattr(free, name)))
    return free


def _by_class(patient: Patient, loss: LossOf) -> LossOf:
    """The mean over the classes of the loss of their own labels."""
    axis = patient.fit.axis

    def by_class(predictions: Tensor, targets: Tensor) -> Tensor:
        if patient.fit.kind == "labels":
            said, true = predictions.flatten(), targets.flatten()
            classes = (true > 0.5).long()
        else:
            said = predictions.movedim(axis, -1).flatten(0, -2)
            one_hot = targets.shape == predictions.shape
            true = targets.movedim(axis, -1).flatten(0, -2) if one_hot else targets.flatten()
            classes = true.argmax(dim=1) if one_hot else true
        named = [classes == each for each in torch.unique(classes)]
        return torch.stack([value(loss, said[each], true[each]) for each in named]).mean()

    return by_class


def _labels_many(patient: Patient) -> bool:
    """Whether a sample has several labels: one a step, say."""
    answers = patient.on_train
    classes = answers.raw.shape[patient.fit.axis] if patient.fit.kind == "classes" else 1
    return patient.fit.kind != "numbers" and answers.targets.shape[1] > classes


def _without_dropout(model: nn.Module) -> None:
    for part in model.modules():
        if isinstance(part, (nn.modules.dropout._DropoutNd, nn.AlphaDropout)):
            part.p = 0.0
        elif isinstance(getattr(part, "dropout", None), float):
            part.dropout = 0.0  # type: ignore[assignment]


def _train(
    patient: Patient, model: nn.Module, optimizer: Optimizer, data: _Data, change: Change, steps: int
) -> tuple[list[float], list[float]]:
    model.train()
    if change.free:
        _without_dropout(model)
    generator = torch.Generator().manual_seed(patient.seed)
    weights = [each for group in optimizer.param_groups for each in group["params"]]
    losses: list[Tensor] = []
    norms: list[Tensor] = []
    draw = _drawer(data.train, change, generator)
    closes = signature(optimizer.step).parameters["closure"].default is Parameter.empty  # as L-BFGS's
    for _ in range(steps):
        x, y = draw()
        optimizer.zero_grad()
        loss = value(patient.loss or _no_loss, patient.ask(x, model), y)
        if not loss.requires_grad:
            raise NotGiven("the loss has no gradient")
        loss.backward()  # type: ignore[no-untyped-call]
        found = [each.grad for each in weights if each.grad is not None]
        norms.append(torch.stack(torch._foreach_norm(found)).norm() if found else loss.new_zeros(()))
        if change.clip is not None:
            nn.utils.clip_grad_norm_(weights, change.clip)
        optimizer.step(partial(_closure, patient, model, optimizer, x, y) if closes else None)  # type: ignore[arg-type]
        losses.append(loss.detach())
        if len(losses) % LOOK == 0 and not math.isfinite(losses[-1].item()):
            break  # what is not finite stays so
    return torch.stack(losses).tolist(), torch.stack(norms).tolist()


def _closure(patient: Patient, model: nn.Module, optimizer: Optimizer, x: Any, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = value(patient.loss or _no_loss, patient.ask(x, model), y)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def _no_loss(*_: Any) -> Tensor:
    raise NotGiven(NO_LOSS)


def _drawer(samples: Samples, change: Change, generator: torch.Generator) -> Callable[[], tuple[Any, Tensor]]:
    """Draws batches of the loader's size; each class as often where that is asked for."""
    size, count = samples.batch_size, len(samples)
    chances = torch.ones(count, dtype=torch.float64)
    if change.balanced:
        _, y = samples.joined()
        labels = y.reshape(len(y), -1)[:, 0].cpu()
        _, inverse, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        chances = 1.0 / counts[inverse].double()

    def draw() -> tuple[Any, Tensor]:
        replacement = change.balanced or size > count
        return samples.rows(torch.multinomial(chances, size, replacement=replacement, generator=generator))

    return draw


def _scored(patient: Patient, model: nn.Module, data: _Data, losses: list[float], norms: list[float]) -> Outcome:
    finite = all(map(math.isfinite, losses))
    tenth = max(len(losses) // 10, 1)
    first, last = (sum(part) / tenth for part in (losses[:tenth], losses[-tenth:]))
    ordered = sorted(norms)
    tail = ordered[-1] / max(ordered[len(ordered) // 2], 1e-30)
    if not finite:
        return Outcome(math.nan, math.nan, math.nan, False, first, last, tail, ordered[-1])
    judged = scoring(patient)
    found = [_back(patient, patient.answers(each, model), data, known) for each, known in _parts(patient, data)]
    diversity = output_diversity(found[0].outputs, found[0].targets).ratio
    skills = judged.skill(found[0]), judged.skill(found[1])
    return Outcome(*skills, diversity, True, first, last, tail, ordered[-1], balanced_accuracy(patient, found[0]))


def _parts(patient: Patient, data: _Data) -> list[tuple[Samples, Answers]]:
    return [(data.val, patient.on_val), (data.train, patient.on_train)]


def _back(patient: Patient, answers: Answers, data: _Data, known: Answers) -> Answers:
    """The copy's answers in the targets' own unit, beside the targets as they are."""
    if isinstance(data.unit, Tensor):
        said = answers.raw[:1]
        unit, centre = (
            patient.beside(said, torch.as_tensor(each).reshape(1, *data.unit.shape)).reshape(1, -1)
            for each in (data.unit, data.centre)
        )
        outputs = answers.outputs * unit + centre if answers.outputs.shape[1] == unit.shape[1] else answers.outputs
        return replace(answers, outputs=outputs, targets=known.targets)
    return replace(answers, targets=known.targets)
