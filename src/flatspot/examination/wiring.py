"""How the program is wired: found by swapping real samples and steps, not by reading code."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flatspot.examination.patient import NO_LOSS, NotGiven, Patient, strays, value
from flatspot.examination.samples import leaves, mapped, sample_axis, series_among, take
from flatspot.examination.trials import reset
from flatspot.probes.undisturbed import random_states_kept, undisturbed

Figures = dict[str, float]

ROUNDING: Final = 16.0
"""Outputs that differ by fewer roundings of the largest are the same."""

SUMMED: Final = 8.0
"""How many times as much rounding is allowed where sums are taken in another order."""

ATTENDS: Final = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
"""Layers of torch.nn that attend along an axis, which is the first one unless they are told otherwise."""

RESOLVED: Final = 100.0
"""Roundings by which answers differ, from which on what moves them can be told."""

SMALL: Final = 12
"""Samples of the batch in which they are swapped, at most."""

PERMUTATIONS: Final = 4

NUDGE: Final = 1.0
"""What is added to weights whose gradient is zero: a step of a staircase."""

MOST_OF_IT: Final = 0.3
"""Share of the weights with a gradient of zero, beyond which it is asked whether outputs follow them."""

MOST_CHANNELS: Final = 8
"""Channels that are tried one by one."""

WHOLE: Final = frozenset({"long", "int", "short", "to", "type", "round", "floor", "ceil", "trunc", "bucketize"})
"""What makes whole numbers."""

LEAST: Final = 0.01
"""Of the mean size of random predictions, what keeps them away from zero where they must lie above it."""

LARGE: Final = 1e4
"""Inputs of this standard deviation reach what any threshold leaves to be reached."""


def loss_shape(patient: Patient) -> Figures:
    """How far the loss of random predictions follows which target belongs to which: 0 where it does not.

    The loss of predictions, less its mean over re-paired targets, moves by as much as a loss that pairs moves; a
    broadcast loss takes each prediction beside each target and stays exactly the same.
    """
    if patient.loss is None:
        raise NotGiven(NO_LOSS)
    x, y = patient.train.batches[0]
    if len(y) < 3:
        raise NotGiven(
            "a batch of fewer than three samples does not show which target the loss holds against which output"
        )
    generator = torch.Generator().manual_seed(patient.seed)
    with undisturbed(patient.model), torch.no_grad():
        said = patient.ask(x).detach()
    if not said.is_floating_point():
        raise NotGiven("the predictions are no floating numbers")
    random = _in_range(patient, torch.randn(said.shape, generator=generator).to(said), said, y)
    with random_states_kept(), torch.no_grad():
        paired = float(value(patient.loss, random, y))
        orders = [torch.randperm(len(y), generator=generator) for _ in range(PERMUTATIONS)]
        others = [float(value(patient.loss, random, y[order.to(y.device)])) for order in orders]
    same = [abs(other - paired) <= 1e-5 * max(abs(paired), 1e-12) for other in others]
    different = len(torch.unique(y.reshape(len(y), -1), dim=0)) > 1
    stretched = _stretched(patient, random, y)
    return {
        "loss/blind_to_pairs": float((all(same) and different) or stretched),
        "loss/stretched": float(stretched),
        "loss/targets_axes": float(y.dim()),
        "loss/outputs_axes": float(said.dim()),
    }


def _in_range(patient: Patient, random: Tensor, said: Tensor, y: Tensor) -> Tensor:
    """Random predictions such as the loss takes: of the targets' spread, chances, or (of a logarithm) above zero."""
    if patient.fit.kind == "numbers" and y.isfinite().all():
        random = random * y.std().clamp(min=1e-30) + y.mean()
        random = random.clamp(0, 1) if _lies_between(said) and _lies_between(y) else random
    elif patient.fit.chances or _lies_between(said):
        random = random.sigmoid()
    with random_states_kept(), torch.no_grad():
        finite = bool(value(patient.loss or _none, random, y).isfinite())
    return random if finite else random.abs() + LEAST * random.abs().mean()


def _stretched(patient: Patient, random: Tensor, y: Tensor) -> bool:
    """Whether predictions, in their shape, cost something else than pair by pair, and in the targets' shape do not."""
    if patient.loss is None or random.numel() != y.numel() or random.shape == y.shape or not y.is_floating_point():
        return False
    try:
        with random_states_kept(), torch.no_grad():
            own, alike = (float(value(patient.loss, each, y)) for each in (random, random.reshape(y.shape)))
            pairs = zip(random.split(1), y.split(1), strict=True)  # type: ignore[no-untyped-call]
            apart = sum(float(value(patient.loss, said, true)) for said, true in pairs) / len(y)
    except Exception:  # noqa: BLE001 - it takes one of the two shapes alone
        return False
    near = 1e-4 * max(abs(own), abs(alike))
    return abs(own - alike) > near and abs(alike - apart) < abs(own - apart)


def _lies_between(said: Tensor) -> bool:
    return bool(((said >= 0) & (said <= 1)).all())


def neighbours(patient: Patient) -> Figures:
    """Whether an output follows other samples of its batch: those before it, those behind it; and its own.

    Where it does, whether their order matters: a mean, a softmax, an attention over the batch is the same in any order.
    """
    x, count = _small(patient)
    figures: Figures = {}
    any_order = 0.0
    for name, asked in _models(patient):
        own = _answers(patient, asked, x)
        if not own.isfinite().all():
            continue
        if _differ(own, _answers(patient, asked, x)).any():
            continue  # nothing can be told of answers that do not repeat
        before = behind = alone = 0
        for place, other in ((count - 1, 0), (0, count - 1), (count // 2, 0)):
            order = torch.arange(count)
            order[place] = other
            moved = _differ(own, _answers(patient, asked, take(x, order, count)))
            behind |= int(moved[place + 1 :].any())
            before |= int(moved[:place].any())
            alone |= int(moved[place])
        if before and behind:
            any_order = max(any_order, _in_any_order(patient, asked, x, own))
        figures |= {
            f"neighbours/{name}_forward": float(behind),
            f"neighbours/{name}_backward": float(before),
            f"neighbours/{name}_own": float(alone),
        }
    if not figures:
        raise NotGiven(f"{type(patient.model).__name__} gave no finite answer")
    return (
        figures
        | {
            "neighbours/along": float(_runs_along_samples(patient, x, count, (nn.RNNBase,))),
            "neighbours/attends": float(_runs_along_samples(patient, x, count, ATTENDS)),
            "neighbours/statistics": float(_takes_own_statistics(patient, x)),
            "neighbours/any_order": any_order,
        }
        | {
            f"neighbours/{way}": max(each for name, each in figures.items() if name.endswith(f"_{way}"))
            for way in ("forward", "backward", "own")
        }
    )


def _in_any_order(patient: Patient, model: nn.Module, x: Any, own: Tensor) -> float:
    """Whether samples in another order have the same outputs, in that order."""
    order = torch.randperm(len(own), generator=torch.Generator().manual_seed(0))
    said = _answers(patient, model, take(x, order, len(own)))
    return float(not _differ(own[order.to(own.device)], said, SUMMED * ROUNDING).any())


def _takes_own_statistics(patient: Patient, x: Any) -> bool:
    """Whether a layer that is asked normalises by each batch's own mean and spread in evaluation mode too."""
    heard: list[bool] = []
    norms = [each for each in patient.model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    owning = [each for each in norms if each.running_mean is None]
    handles = [each.register_forward_hook(lambda *_: heard.append(True)) for each in owning]
    try:
        _answers(patient, patient.model, x)
    finally:
        for handle in handles:
            handle.remove()
    return any(heard)


def _runs_along_samples(patient: Patient, x: Any, count: int, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Whether a layer of torch.nn of these kinds is given the samples where it takes time steps."""
    found: list[bool] = []

    def note(layer: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        series = next(leaves((given, dict(named))), None)
        first = getattr(layer, "self_attn", layer).batch_first
        if series is not None and series.dim() > 2:
            found.append(series.shape[1 if first else 0] == count != series.shape[0 if first else 1])

    layers = [each for each in patient.model.modules() if isinstance(each, kinds)]
    handles = [each.register_forward_pre_hook(note, with_kwargs=True) for each in layers]
    try:
        _answers(patient, patient.model, x)
    finally:
        for handle in handles:
            handle.remove()
    return any(found)


def _models(patient: Patient) -> list[tuple[str, nn.Module]]:
    """As it is, and a fresh copy where there can be one: a network that says one thing for all hides its wiring."""
    try:
        return [("now", patient.model), ("fresh", patient.fresh())]
    except NotGiven:
        return [("now", patient.model)]


def _small(patient: Patient) -> tuple[Any, int]:
    """A batch of as many samples as no other axis is long; of a fixed batch size, that."""
    x, y = patient.train.batches[0]
    if len(y) < SMALL:
        x, y = patient.train.joined()
    if len(y) < 2:
        raise NotGiven("there is but one training sample")
    lengths = {size for each in leaves(x) for size in each.shape if size != len(y)}
    count = next((size for size in range(min(SMALL, len(y)), 2, -1) if size not in lengths), len(y))
    small = take(x, torch.arange(count), len(y))
    try:
        with undisturbed(patient.model), torch.no_grad():
            patient.ask(small)
    except Exception:  # noqa: BLE001 - it wants batches of the loader's size
        x, y = patient.train.batches[0]
        return x, len(y)
    return small, count


def _answers(patient: Patient, model: nn.Module, x: Any) -> Tensor:
    with undisturbed(model), random_states_kept(model), torch.no_grad():
        torch.manual_seed(0)
        return patient.ask(x, model).detach().clone()


def _differ(first: Tensor, second: Tensor, roundings: float = ROUNDING) -> Tensor:
    """Which samples have another output."""
    a, b = (each.reshape(len(each), -1).double() for each in (first, second))
    eps = torch.finfo(first.dtype if first.is_floating_point() else torch.float32).eps
    return ((a - b).abs() > roundings * eps * a.abs().amax(dim=0)).any(dim=1)


def memory(patient: Patient) -> Figures:
    """Whether the answer to a batch depends on the batches before: a state that is carried along."""
    first, second = patient.train.batches[0], patient.train.batches[min(1, len(patient.train.batches) - 1)]
    x, other = first[0], second[0]
    if len(second[1]) != len(first[1]):
        other = x
    with undisturbed(patient.model), torch.no_grad():
        ask = partial(_seeded, patient)
        alone = ask(x)
        again = ask(x)
        ask(other)
        after = ask(x)
    moved = (alone - after).double().abs().max() / alone.double().std().clamp(min=1e-30)
    return {
        "memory/moved": float(_differ(alone, again).any() or _differ(alone, after).any()),
        "memory/size": moved.item() if moved.isfinite() else 0.0,
    }


def _seeded(patient: Patient, x: Any) -> Tensor:
    with random_states_kept(patient.model):
        torch.manual_seed(0)
        return patient.ask(x).detach().clone()


def arrival(patient: Patient) -> Figures:
    """Whether outputs move when the inputs do: real samples swapped, and numbers of mean 0 and standard deviation 1.

    Where neither moves them, whether numbers 10,000 times as large do: then there is a way, and something on it that
    lets nothing of the usual size through.
    """
    x, count = _small(patient)
    figures: Figures = {}
    for name, asked in _models(patient):
        own = _answers(patient, asked, x)
        swapped = _answers(patient, asked, take(x, torch.arange(count).roll(1), count))
        figures[f"arrival/{name}_real"] = float(not torch.equal(own, swapped))
        figures["arrival/all"] = max(figures.get("arrival/all", 0.0), figures[f"arrival/{name}_real"])
        figures["arrival/series"] = max(
            figures.get("arrival/series", 0.0), _series_moves(patient, asked, x, count, own)
        )
        figures["arrival/channels"] = max(figures.get("arrival/channels", 0.0), _channels(patient, asked, x, own))
        figures |= _unless_refused(patient, asked, x, name)
        moved = max(figures[f"arrival/{name}_real"], figures.get(f"arrival/{name}_normal", 0.0))
        figures |= {"arrival/moves": max(moved, figures.get("arrival/moves", 0.0))}
    figures["arrival/cast"] = _cast_alike(patient, _models(patient)[-1][1])
    if not figures["arrival/moves"] and "arrival/refused" not in figures:
        large = (_normal(patient, each, x, name, LARGE) for name, each in _models(patient))
        figures["arrival/large"] = max(float(max(each.values(), default=0.0) > 0) for each in large)
        figures |= _arrives_with_other_weights(patient, x)
    return figures | {"arrival/is_fresh": float(patient.make_model is not None)}


def _unless_refused(patient: Patient, model: nn.Module, x: Any, name: str) -> Figures:
    """What normal numbers do; of a program that refuses them (as numbers of words, say), that it does."""
    try:
        return _normal(patient, model, x, name)
    except Exception:  # noqa: BLE001 - it is a stranger's program
        return {"arrival/refused": 1.0}


@final
class _Casts(TorchFunctionMode):
    """Hears where floating numbers that differ between samples become whole ones that do not.

    Only what hangs on no weight counts: inputs, and what is made of them by themselves.
    """

    def __init__(self) -> None:
        self.alike = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        given = args[0] if args else None
        if getattr(func, "__name__", "") in WHOLE and isinstance(given, Tensor) and isinstance(found, Tensor):
            counted = given.is_floating_point() and not given.requires_grad and found.shape == given.shape
            if counted and found.dim() and found.dtype is not torch.bool and bool((given != given[:1]).any()):
                self.alike |= bool((found == found[:1]).all())
        return found


def _cast_alike(patient: Patient, model: nn.Module) -> float:
    """Whether samples become alike where inputs are made whole numbers: numbers of words, of bins, of hours."""
    x, _ = patient.train.batches[0]
    with undisturbed(model), random_states_kept(model), _Casts() as heard:
        patient.ask(x, model)
    return float(heard.alike)


def _arrives_with_other_weights(patient: Patient, x: Any) -> Figures:
    """Whether outputs move once a fresh copy has torch's own starting weights: then the wiring is not at fault."""
    if patient.make_model is None:
        return {}
    other = patient.fresh()
    with random_states_kept(patient.model):
        torch.manual_seed(patient.seed)
        reset(other)
    return {"arrival/reset": max(_normal(patient, other, x, "reset").get("arrival/reset_normal", 0.0), 0.0)}


def _series_moves(patient: Patient, model: nn.Module, x: Any, count: int, own: Tensor) -> float:
    """Whether outputs follow the series where all other inputs (lengths, say) stay with their sample."""
    series = series_among(x, count)
    axis = sample_axis(series, count) or 0
    other = series.roll(1, dims=axis)
    if torch.equal(other, series):
        return 1.0  # nothing was swapped
    return float(not torch.equal(own, _answers(patient, model, _with(x, series, other))))


def _channels(patient: Patient, model: nn.Module, x: Any, own: Tensor) -> float:
    """The share of channels that outputs follow where they hold something, of those that they follow anywhere.

    Each is multiplied by noise, which leaves fillers of zero as they are, and noise is added, which does not: a mask
    that keeps out what it should let in is so told from a channel that nobody reads. 1 where there are none.
    """
    series = series_among(x, len(own))
    if not series.is_floating_point() or series.dim() != 3:
        return 1.0
    used = [each for each in range(series.shape[2]) if bool(series[..., each].any())]
    if patient.numbered is not None and len(patient.numbered) == series.shape[2]:
        used = [each for each in used if not patient.numbered[each]]  # there noise is refused
    asked = [used[int(at)] for at in torch.linspace(0, len(used) - 1, min(len(used), MOST_CHANNELS))]
    noise = 1 + 0.5 * torch.rand(series.shape[:2], generator=torch.Generator().manual_seed(0)).to(series)
    moved = anywhere = 0
    for channel in asked:
        times, plus = series.clone(), series.clone()
        times[..., channel] *= noise
        plus[..., channel] += noise
        follows = [not torch.equal(own, _answers(patient, model, _with(x, series, each))) for each in (times, plus)]
        moved, anywhere = moved + follows[0], anywhere + any(follows)
    return moved / anywhere if anywhere else 1.0


def _normal(patient: Patient, model: nn.Module, x: Any, name: str, std: float = 1.0) -> Figures:
    """The same of normal numbers in the place of the floating inputs: their outputs' spread beside their size."""
    if not any(each.is_floating_point() and each.dim() > 1 for each in leaves(x)):
        series = series_among(x, len(x) if isinstance(x, Tensor) else len(_answers(patient, model, x)))
        other = _answers(patient, model, _with(x, series, _drawn_from(patient, series)))
        return {f"arrival/{name}_normal": float(not torch.equal(other, _answers(patient, model, x)))}
    drawn = [_answers(patient, model, _drawn(patient, x, seed, std)) for seed in (0, 1)]
    spread = drawn[0].double().reshape(len(drawn[0]), -1)
    moved = (drawn[0] - drawn[1]).double().abs().max().item()
    return {
        f"arrival/{name}_normal": float(not torch.equal(*drawn)),
        f"arrival/{name}_normal_moved": moved / max(spread.abs().max().item(), 1e-30),
    }


def _drawn(patient: Patient, x: Any, seed: int, std: float = 1.0) -> Any:
    """Normal numbers in the place of floating inputs; of those that are looked up, others of them."""
    generator = torch.Generator().manual_seed(seed)

    def draw(each: Tensor) -> Tensor:
        if not each.is_floating_point() or each.dim() < 2:
            return each
        normal = (std * torch.randn(each.shape, generator=generator)).to(each)
        kept = patient.numbered
        if kept is None or len(kept) != each.shape[-1]:
            return normal
        return torch.where(kept, each[torch.randperm(len(each), generator=generator)], normal)

    return mapped(x, draw)


def steps_read(patient: Patient) -> Figures:
    """Up to which step of the window the outputs follow the inputs: real steps of other samples are put in.

    `steps/last_read`: the last step whose swap moves an output, as a share of the window (1: the last one);
    `steps/first_read` the first; `steps/missed`: how much more of it some place inside the model has seen. Of a fresh
    copy where there can be one, since a trained one may have gone flat.
    """
    x, count = _small(patient)
    model, x = _in_double(patient, _models(patient)[-1][1], x)
    slot = _slot(x, count)
    if slot is None:
        raise NotGiven("the inputs have no time axis")
    series, steps = slot
    own = _answers(patient, model, x)
    others = [_swapped(series, len(own), step) for step in range(steps)]
    told = [step for step in range(steps) if not torch.equal(series, others[step])]
    read = [place for place, step in enumerate(told) if _moves_with(patient, model, x, own, series, others[step])]
    if not read:  # the step that is read may hold the same for all samples
        told, drawn = list(range(steps)), _drawn_from(patient, series)
        others = [_with_step_of(series, drawn, len(own), step) for step in told]
        read = [step for step in told if _moves_with(patient, model, x, own, series, others[step])]
    if not read:
        return {"steps/read": 0.0}
    count = len(told)  # where all samples are the same, as in their filler, nothing can be put in
    return {
        "steps/read": len(read) / count,
        "steps/last_read": (read[-1] + 1) / count,
        "steps/first_read": (read[0] + 1) / count,
        "steps/missed": _missed(patient, model, x, series, told, read),
    }


def _in_double(patient: Patient, model: nn.Module, x: Any) -> tuple[nn.Module, Any]:
    """Both in float64, where that can be: what an early step adds to an output of 9000 is rounded away in float32."""
    try:
        wide = copy.deepcopy(model).double()
        given = mapped(x, lambda each: each.double() if each.is_floating_point() else each)
        fits = _answers(patient, wide, given).dtype is torch.float64
    except Exception:  # noqa: BLE001 - it makes float32 numbers of its own, or the device has no others
        return model, x
    return (wide, given) if fits else (model, x)


def _missed(patient: Patient, model: nn.Module, x: Any, series: Tensor, told: list[int], read: list[int]) -> float:
    """Of a few steps along the window, the share that the outputs do not follow, and one place inside the model does.

    Of all modules, calls and units of their outputs it is the one that has seen most.
    """
    looked = sorted({round(share * (len(told) - 1)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)})
    if all(place in read for place in looked):
        return 0.0
    if not _resolved(_answers(patient, model, x)):
        return 0.0
    own = _said_inside(patient, model, x)
    seen = [torch.zeros(each[0].numel()) for each in own]
    for place in looked:
        other = _swapped(series, len(own[0]) if own else 0, told[place])
        said = _said_inside(patient, model, _with(x, series, other))
        if [each.shape for each in said] != [each.shape for each in own]:
            return 0.0
        seen = [count + _moved_units(*each) for count, each in zip(seen, zip(own, said, strict=True), strict=True)]
    most = max((float(each.max()) for each in seen), default=0.0)
    return max(most - sum(place in read for place in looked), 0.0) / len(looked)


def _resolved(said: Tensor) -> bool:
    """Whether answers differ by far more than they are rounded."""
    wide, eps = said.reshape(len(said), -1).double(), torch.finfo(said.dtype).eps
    return bool((wide.std(dim=0) > RESOLVED * ROUNDING * eps * wide.abs().amax(dim=0)).any())


def _said_inside(patient: Patient, model: nn.Module, x: Any) -> list[Tensor]:
    """What the parts of a model return, call by call, samples first."""
    count, said = len(_answers(patient, model, x)), []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        for each in leaves(output):
            axis = sample_axis(each, count) if each.is_floating_point() and each.numel() else None
            if axis is not None:
                said.append(each.detach().clone() if axis == 0 else each.detach().transpose(0, 1).clone())

    parts = [each for each in model.modules() if each is not model and not isinstance(each, torch.jit.ScriptModule)]
    handles = [part.register_forward_hook(note) for part in parts]
    try:
        _answers(patient, model, x)
    finally:
        for handle in handles:
            handle.remove()
    return said


def _moved_units(own: Tensor, other: Tensor) -> Tensor:
    """Which numbers of an output, at each step, differ for any sample."""
    a, b = (each.reshape(len(each), -1).double() for each in (own, other))
    return ((a - b).abs() > ROUNDING * torch.finfo(own.dtype).eps * a.abs().max()).any(dim=0).cpu()


def _slot(x: Any, count: int) -> tuple[Tensor, int] | None:
    """The series among the inputs, and how many steps it has."""
    series = series_among(x, count)
    return None if series.dim() < 2 else (series, series.shape[1 - (sample_axis(series, count) or 0)])


def _moves_with(patient: Patient, model: nn.Module, x: Any, own: Tensor, series: Tensor, other: Tensor) -> bool:
    """Whether outputs move with another series in the place of the one."""
    return bool(_differ(own, _answers(patient, model, _with(x, series, other))).any())


def _drawn_from(patient: Patient, series: Tensor) -> Tensor:
    """The same numbers, each anywhere in the batch and its windows."""
    generator = torch.Generator().manual_seed(0)
    if patient.numbered is not None:  # each number only where its like stands
        rows = series.reshape(-1, series.shape[-1])
        return rows[torch.randperm(len(rows), generator=generator).to(series.device)].reshape(series.shape)
    order = torch.randperm(series.numel(), generator=generator).to(series.device)
    return series.flatten()[order].reshape(series.shape)


def _swapped(series: Tensor, count: int, step: int) -> Tensor:
    """A series of so many samples with one step of each taken from another sample."""
    return _with_step_of(series, series.roll(1, dims=sample_axis(series, count) or 0), count, step)


def _with_step_of(series: Tensor, donor: Tensor, count: int, step: int) -> Tensor:
    """A series of so many samples with one step from another series of its shape."""
    axis = 1 - (sample_axis(series, count) or 0)
    other = series.clone()
    other.select(axis, step).copy_(donor.select(axis, step))
    return other


def _with(x: Any, old: Tensor, new: Tensor) -> Any:
    return mapped(x, lambda each: new if each is old else each)


def gradients(patient: Patient) -> Figures:
    """Which weights get no gradient though the outputs follow them, and which the optimizer does not hold."""
    if patient.loss is None:
        raise NotGiven(NO_LOSS)
    named = dict(patient.model.named_parameters())
    beside = strays(patient, patient.model)
    if not named and not beside:
        raise NotGiven("the model has no weights")
    found = _gradients(patient)
    size = {name: each.numel() for name, each in named.items()}
    whole = sum(size.values())
    held = None if patient.optimizer is None else _held(patient)
    none = {name for name in named if found[name] is None}
    zero = {name for name in named if found[name] is not None and not bool(found[name].any())}  # type: ignore[union-attr]
    fixed = {name for name, each in named.items() if not each.requires_grad}
    away = set() if held is None else {name for name, each in named.items() if id(each) not in held}

    def share(names: set[str]) -> float:
        return sum(size[name] for name in names) / max(whole, 1)

    outside = sum(each.numel() for each in beside if id(each) not in (held or set()))
    figures = {
        "gradients/stray_share": outside / max(outside + whole, 1),
        "gradients/none_share": share(none - fixed),
        "gradients/zero_share": share(zero),
        "gradients/fixed_share": share(fixed),
        "gradients/fixed_away_share": share(fixed & away),
        "gradients/away_share": share(away - fixed),
        "gradients/all_away": float(held is not None and 0 < len(named) == len(away)),
        "gradients/left_share": share(set(patient.left) & set(named)),
    }
    cut = _cut_off(patient, found)
    # Dead and saturated units have gradients of zero too, but not from the start; or outputs stay.
    still = _never(patient, zero) if share(zero) > MOST_OF_IT else set()
    still = {name for name in still if _moves(patient, named[name], NUDGE)}
    return figures | {
        "gradients/cut_share": share(cut),
        "gradients/zero_cut_share": share(still),
        **_norms(found),
    }


def cut_off(patient: Patient) -> set[str]:
    """The weights that get no gradient though the outputs follow them, by name.

    Raises:
        NotGiven: there is no loss.
    """
    return _cut_off(patient, _gradients(patient))


def _cut_off(patient: Patient, found: dict[str, Tensor | None]) -> set[str]:
    named = patient.model.named_parameters()
    return {name for name, each in named if each.requires_grad and found[name] is None and _moves(patient, each)}


def _never(patient: Patient, zero: set[str]) -> set[str]:
    """Those of weights whose gradient is zero in a fresh copy too, where there can be one."""
    if patient.make_model is None:
        return zero
    found = _gradients(replace(patient, model=patient.fresh()))
    return {name for name in zero if found.get(name) is not None and not bool(found[name].any())}  # type: ignore[union-attr]


def _held(patient: Patient) -> set[int]:
    assert patient.optimizer is not None  # noqa: S101
    return {id(each) for group in patient.optimizer.param_groups for each in group["params"]}


def _gradients(patient: Patient) -> dict[str, Tensor | None]:
    """Of the loss of a few batches, in training mode, as training meets them."""
    named = dict(patient.model.named_parameters())
    with undisturbed(patient.model, training=True), random_states_kept(patient.model):
        for x, y in patient.train.batches[:3]:
            found = value(patient.loss or _none, patient.ask(x), y)
            if found.requires_grad:
                found.backward()  # type: ignore[no-untyped-call]
        return {name: None if each.grad is None else each.grad.clone() for name, each in named.items()}


def _none(*_: Any) -> Tensor:
    raise NotGiven(NO_LOSS)


def _moves(patient: Patient, weight: nn.Parameter, nudge: float = 0.1) -> bool:
    """Whether the outputs move when a weight does."""
    x, _ = _small(patient)
    own = _answers(patient, patient.model, x)
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.data.add_(nudge * (1 + kept.abs().mean()))
        return bool(_differ(own, _answers(patient, patient.model, x)).any())
    finally:
        weight.data.copy_(kept)


def _norms(found: dict[str, Tensor | None]) -> Figures:
    norms = [each.double().norm() for each in found.values() if each is not None]
    return {"gradients/total": torch.stack(norms).norm().item()} if norms else {}
