"""What happens between input and output: where samples become alike, which units are stuck, what the head could say."""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

from flatspot.examination.data import rate_of, settings
from flatspot.examination.graph import multiplied_by
from flatspot.examination.outputs import scoring, straight_line
from flatspot.examination.patient import NO_LOSS, NO_OPTIMIZER, NotGiven, Patient, counterparts, value
from flatspot.examination.samples import leaves, mapped, sample_axis, series_among, take
from flatspot.probes.activations import unit_reports
from flatspot.probes.gates import GateReport, at_rail
from flatspot.probes.moments import moments, widest
from flatspot.probes.stations import relative_spread, state_names, station_values
from flatspot.probes.undisturbed import random_states_kept, undisturbed

Figures = dict[str, float]

MANY: Final = 64
"""Samples that are followed."""

BOUNDED: Final = {"tanh": (-1.0, 1.0), "sigmoid": (0.0, 1.0), "hardtanh": (-1.0, 1.0)}
HALF_LINES: Final = frozenset(
    {"relu", "relu_", "relu6", "_threshold", "threshold_", "softshrink", "hardshrink"}
    | {"clamp", "clamp_min", "clamp_max"}
)

EMPTY: Final = 0.01
"""The size of a weight matrix by that of a fresh copy's, below which nothing comes through."""

SHRUNK: Final = 0.2
"""The size of a weight matrix by that of a fresh copy's, below which something has pulled it to zero."""

SPREAD: Final = 2.0
"""The standard deviation of free numbers in the place of the head's output, which reach all ranges of activations."""

FREE_STEPS: Final = 30
"""Steps in which free inputs of the head are fitted."""


def looked_at(patient: Patient) -> tuple[Any, int]:
    """A batch of up to 64 training samples, spread over them; of a network with a fixed batch size, its own batch."""
    x, y = patient.train.joined()
    lengths = {size for each in leaves(x) for size in each.shape if size != len(y)}
    count = next((size for size in range(min(MANY, len(y)), 2, -1) if size not in lengths), len(y))
    few = take(x, torch.linspace(0, len(y) - 1, count).round().long(), len(y))
    try:
        with undisturbed(patient.model), torch.no_grad():
            patient.ask(few)
    except Exception:  # noqa: BLE001 - it wants batches of the loader's size
        x, y = patient.train.batches[0]
        return x, len(y)
    return few, count


def series_and_ask(patient: Patient, model: nn.Module, x: Any, count: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The series among inputs, samples first, and how the model is asked with another one in its place."""
    slot = series_among(x, count)
    turned = sample_axis(slot, count) == 1

    def ask(series: Tensor) -> Tensor:
        given = series.transpose(0, 1) if turned else series
        whole = mapped(x, lambda each: given if each is slot else _cut(each, count, len(series)))
        return patient.ask(whole, model)

    return slot.transpose(0, 1) if turned else slot, ask


def _cut(each: Tensor, count: int, wanted: int) -> Tensor:
    axis = sample_axis(each, count)
    return each if axis is None or wanted == count else each.narrow(axis, 0, wanted)


def standard(x: Tensor, kept: Tensor | None = None) -> Tensor:
    """The series with each channel at mean 0 and standard deviation 1.

    Args:
        kept: which channels stay as they are; None: none.
    """
    if not x.is_floating_point():
        return x
    rows = widest(x).reshape(-1, x.shape[-1]) if x.dim() > 2 else widest(x).reshape(-1, 1)
    found = moments(rows)
    scaled = ((widest(x) - found.mean) / found.std.where(found.std > 0, 1.0)).to(x)
    return scaled if kept is None else torch.where(kept, x, scaled)


def _place() -> object:
    """Where an activation is called: which module it is, or which line of the author's."""
    frame = sys._getframe(2)
    while frame.f_back is not None and "/torch/" in frame.f_code.co_filename.replace("\\", "/"):
        if isinstance(frame.f_locals.get("self"), nn.Module):
            return id(frame.f_locals["self"])
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


@final
class _Activations(TorchFunctionMode):
    """Notes what activations that are called as functions return: tanh and sigmoid at their rails, relu at zero."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, int, object], list[Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        fed = name in BOUNDED or (name in HALF_LINES and _varies(args[0]))
        if fed and isinstance(found, Tensor) and found.dim() > 1:
            self.values.setdefault((name, found.shape[-1], _place()), []).append(found.detach().clone())
        return found


def _varies(given: object) -> bool:
    """Whether what a threshold is given differs at all: of a constant nothing can be told about the threshold."""
    return not isinstance(given, Tensor) or bool((given != given[:1]).any())


def units(patient: Patient) -> Figures:
    """Saturated and dead units, as they are; and of a fresh copy with the inputs as they are and standardised."""
    x, count = looked_at(patient)
    figures = _units(patient, patient.model, x, count, "now")
    if patient.make_model is not None:
        fresh = patient.fresh()
        figures |= _units(patient, fresh, x, count, "fresh")
        figures |= _units(patient, fresh, _standardised(patient, x, count), count, "standard")
    return figures


def _standardised(patient: Patient, x: Any, count: int) -> Any:
    slot = series_among(x, count)

    def change(each: Tensor) -> Tensor:
        series = each.is_floating_point() and each.dim() > 1 and sample_axis(each, count) is not None
        return standard(each, patient.numbered if each is slot else None) if series else each

    return mapped(x, change)


def _units(patient: Patient, model: nn.Module, x: Any, count: int, name: str) -> Figures:
    series, ask = series_and_ask(patient, model, x, count)
    with _Activations() as noted, undisturbed(model), random_states_kept(model), torch.no_grad():
        ask(series)
    reports = unit_reports(model, series, ask=ask)
    rails = [each.saturated for each in reports.values()]
    shut = [_lets_nothing_in(each.report) for each in reports.values() if each.report is not None]
    dead = [each.dead for layer, each in reports.items() if _is_open(model, layer)]  # others are noted below
    for (function, *_), values in noted.values.items():
        together = torch.cat([each.reshape(-1, each.shape[-1]) for each in values])
        if function in BOUNDED:
            rails.append(at_rail(together, *BOUNDED[function]))
        else:
            dead.append((together == together[:1]).all(dim=0).double().mean().item())
    return {
        f"units/{name}_saturated": max((each for each in rails if math.isfinite(each)), default=0.0),
        f"units/{name}_dead": max((each for each in dead if math.isfinite(each)), default=0.0),
        f"units/{name}_shut": max((each for each in shut if math.isfinite(each)), default=0.0),
    }


def _lets_nothing_in(report: GateReport) -> float:
    """The share of steps at which a gate on the input's way is shut.

    An LSTM's input and output gate; and a GRU's update gate, where it keeps all that was there.
    """
    ways = [report.shut[each] for each in ("input", "output") if each in report.shut]
    return max([*ways, *(report.open[each] for each in ("update",) if each in report.open)], default=math.nan)


def _is_open(model: nn.Module, layer: str) -> bool:
    """Whether units of a layer can be dead as a relu's are: not those of tanh, which saturate."""
    part = dict(model.named_modules()).get(layer)
    if isinstance(part, nn.RNNBase):
        return part.mode == "RNN_RELU" or str(getattr(part, "activation", "")) in {"relu", "leaky_relu"}
    return False


def stages(patient: Patient) -> Figures:
    """How different samples are from station to station, as it is and in a fresh copy with standardised inputs."""
    x, count = looked_at(patient)
    figures = _stages(patient, patient.model, x, count, "now")
    if patient.make_model is not None:
        figures |= _stages(patient, patient.fresh(), _standardised(patient, x, count), count, "fresh")
    return figures


def _stages(patient: Patient, model: nn.Module, x: Any, count: int, name: str) -> Figures:
    series, ask = series_and_ask(patient, model, x, count)
    values = station_values(model, series, ask=ask)
    every = [each for each in values if each not in {"input", "output"} and values[each].is_floating_point()]
    states = state_names(model, values) or every
    told = [each for each in map(relative_spread, (values[each] for each in states)) if math.isfinite(each)]
    layers = [each for each in map(relative_spread, (values[each] for each in every[:-1])) if math.isfinite(each)]
    if not told:
        return {}
    last = widest(values[states[-1]]).reshape(len(values[states[-1]]), -1)
    return {
        f"stages/{name}_first": told[0],
        f"stages/{name}_last": told[-1],
        f"stages/{name}_least": min(told),
        f"stages/{name}_count": float(len(told)),
        f"stages/{name}_layers": float(len(layers)),
        f"stages/{name}_bottom": layers[0] if layers else math.nan,
        f"stages/{name}_top": layers[-1] if layers else math.nan,
        f"stages/{name}_output": relative_spread(values["output"]) if "output" in values else math.nan,
        f"stages/{name}_copies": _copies(last),
    }


def _copies(states: Tensor) -> float:
    """The share of units that do what another one does."""
    columns = states.T
    if columns.shape[0] < 2 or not columns.isfinite().all():
        return math.nan
    rounded = (columns / columns.abs().max().clamp(min=1e-30)).float().mul(2**18).round()
    return 1 - len(torch.unique(rounded, dim=0)) / len(rounded)


def weights(patient: Patient) -> Figures:
    """How the weights are distributed: constant, of an absurd size, or just as a fresh copy's are."""
    model = patient.fresh() if patient.make_model is not None else patient.model
    matrices = _matrices(patient, model)
    if not matrices:
        raise NotGiven("the model has no weight matrix")
    scales = [_scale(each) for each in matrices]
    figures = {
        "weights/constant_share": sum(float((each == each.flatten()[0]).all()) for each in matrices) / len(matrices),
        "weights/largest_scale": max(scales),
        "weights/smallest_scale": min(scales),
        "weights/largest_bias": max(
            (each.detach().abs().max().item() for each in model.parameters() if each.dim() == 1 and each.numel()),
            default=0.0,
        ),
    }
    if patient.make_model is None:
        return figures
    return figures | _likeness(patient) | _shrunk(patient, model) | _emptied(patient, model)


def _matrices(patient: Patient, model: nn.Module) -> list[Tensor]:
    """The weight matrices, but for a head of zeros: that has a gradient, and is a usual beginning."""
    named = {name: each.detach() for name, each in model.named_parameters() if each.dim() > 1 and each.numel() > 3}
    head = _head_name(patient)
    blank = head in named and len(named) > 1 and not bool(named[head].any())
    return [each for name, each in named.items() if not (blank and name == head)]


def _shrunk(patient: Patient, fresh: nn.Module) -> Figures:
    """The share of weights in matrices that are a fifth of a fresh copy's or less: something pulled them to zero."""
    begun = counterparts(patient.model, fresh)
    pairs = [(each, begun.get(name)) for name, each in patient.model.named_parameters() if each.dim() > 1]
    sizes = [
        (each.numel(), bool(each.detach().norm() < SHRUNK * other.detach().norm()))
        for each, other in pairs
        if other is not None and other.shape == each.shape and bool(other.any())
    ]
    whole = sum(count for count, _ in sizes)
    return {"weights/shrunk_share": sum(count for count, small in sizes if small) / whole} if whole else {}


def _emptied(patient: Patient, fresh: nn.Module) -> Figures:
    """The share of matrices, but for the head's, that are a hundredth of a fresh copy's or less."""
    head = _head_name(patient)
    named = counterparts(patient.model, fresh).items()
    begun = {name: each.detach() for name, each in named if each.dim() > 1 and bool(each.any())}
    pairs = [
        (each.detach(), begun[name])
        for name, each in patient.model.named_parameters()
        if name in begun and name != head and begun[name].shape == each.shape
    ]
    small = [bool(each.norm() < EMPTY * other.norm()) for each, other in pairs]
    return {"weights/emptied": sum(small) / len(small)} if small else {}


def _head_name(patient: Patient) -> str:
    """The name of the head's weights; empty where there is no such head."""
    try:
        return f"{head_of(patient)}.weight"
    except Exception:  # noqa: BLE001 - it has none, or does not answer
        return ""


def _scale(weight: Tensor) -> float:
    """The root mean square of its entries, by that of a matrix that keeps sizes, 1 / √(inputs)."""
    return (weight.double().square().mean().sqrt() * math.sqrt(weight[0].numel())).item()


def _likeness(patient: Patient) -> Figures:
    """Whether the weights at hand look as fresh ones: of the same spread, none beyond a fresh one's range."""
    fresh = [counterparts(patient.model, patient.fresh(number)) for number in (1, 2, 3)]
    alike = total = 0
    for name, each in patient.model.named_parameters():
        others = [copy[name].detach() for copy in fresh if name in copy and copy[name].shape == each.shape]
        if not others or each.numel() < 2:
            continue
        largest = max(other.abs().max().item() for other in others)
        spread = each.detach().std().item() / max(sum(other.std().item() for other in others) / len(others), 1e-12)
        same = torch.equal(others[0], others[1])
        as_fresh = torch.equal(each.detach(), others[0]) if same else _as_one(each.detach(), largest, spread)
        alike += each.numel() * as_fresh
        total += each.numel()
    return {"weights/as_fresh": alike / total} if total else {}


def moved(patient: Patient) -> Figures:
    """How far the steps that the optimizer took should have moved the weights, by the weights' own size.

    An adaptive optimizer moves each weight by about its rate a step; another one by rate times gradient, which is that
    of the model at hand.
    """
    if patient.optimizer is None:
        raise NotGiven(NO_OPTIMIZER)
    seen = settings(patient)
    steps, rate = seen.get("settings/steps", math.nan), seen.get("settings/rate", math.nan)
    size = torch.cat([each.detach().abs().flatten() for each in patient.model.parameters()]).double().mean().item()
    adaptive = any(name in patient.optimizer.defaults for name in ("betas", "alpha", "rho", "lr_decay"))
    return {"moved/expected": rate * steps / max(size, 1e-30)} if adaptive else {}


def _as_one(weight: Tensor, largest: float, spread: float) -> bool:
    slack = 1 + 3 / math.sqrt(weight.numel())
    return weight.abs().max().item() <= largest * slack and 1 / slack <= spread <= slack


def head(patient: Patient) -> Figures:
    """What ridge finds in what the head reads, beside what the head says of it; else in what the model says."""
    try:
        name = head_of(patient)
    except NotGiven:
        train, val = (each.raw.reshape(len(each.raw), 1, -1) for each in (patient.on_train, patient.on_val))
        said = straight_line(train, patient.on_train.targets, val)
        return {"head/refit_skill": scoring(patient).of(said, patient.on_val.targets)}
    train, val = (_read(patient, name, samples) for samples in (patient.train, patient.val))
    y, vy = patient.on_train.targets, patient.on_val.targets
    if not train.isfinite().all() or len(y) < 20:
        raise NotGiven("what the last linear layer reads is not finite, or of fewer than 20 samples")
    said = straight_line(train.unsqueeze(1), y, val.unsqueeze(1))
    part = dict(patient.model.named_modules())[name]
    size = (
        part.weight.detach().double().norm().item() if isinstance(getattr(part, "weight", None), Tensor) else math.nan
    )
    return {
        "head/refit_skill": scoring(patient).of(said, vy),
        "head/state_spread": relative_spread(train),
        "head/weight_norm": size,
        "head/rate_share": _rate_share(patient, part),
        "head/weight_share": _weight_share(patient, name),
    }


def _weight_share(patient: Patient, name: str) -> float:
    """The size of a part's weights by that of a fresh copy's; NaN where there is none, or it begins at zero."""
    if patient.make_model is None:
        return math.nan
    fresh = patient.fresh()
    part, other = (dict(model.named_modules()).get(name) for model in (patient.model, fresh))
    if part is not None and other is not None and is_parametrized(part):
        own, begun = part.weight, other.weight  # as the layer reads it, not what it is made from
    else:
        own, begun = (each.get(f"{name}.weight") for each in (_named(patient), counterparts(patient.model, fresh)))
    if not (isinstance(own, Tensor) and isinstance(begun, Tensor)) or begun.shape != own.shape or not begun.any():
        return math.nan
    return float(own.detach().norm() / begun.detach().norm())


def _named(patient: Patient) -> dict[str, Tensor]:
    return {name: each.detach() for name, each in patient.model.named_parameters()}


def _rate_share(patient: Patient, part: nn.Module) -> float:
    """The learning rate of the head's weights by the largest of any weights; 1 where they are not told apart."""
    if patient.optimizer is None:
        return 1.0
    own = {id(each) for each in part.parameters()}
    rates = [(rate_of(patient.optimizer, group), group["params"]) for group in patient.optimizer.param_groups]
    theirs = [rate for rate, held in rates if any(id(each) in own for each in held)]
    largest = max(rate for rate, _ in rates)
    return max(theirs) / largest if theirs and largest > 0 else 1.0


def head_of(patient: Patient) -> str:
    """The last linear module on the way to the prediction, by its name: of several answers each may have its own.

    Raises:
        NotGiven: no module of the model is a linear head.
    """
    x, _ = patient.train.batches[0]
    names = list(dict.fromkeys(reversed(_linear_calls(patient))))
    with undisturbed(patient.model), torch.no_grad():
        own = patient.ask(x).clone()

    return next((name for name in names if _turns(patient, x, own, name)), names[0])


def _turns(patient: Patient, x: Any, own: Tensor, name: str) -> bool:
    """Whether the prediction follows what a module says: of a softmax over one number it follows none."""

    def other(each: str, _: Any, output: Any) -> Any:
        return torch.randn_like(output) if each == name else None

    with _hooked(patient.model, other), undisturbed(patient.model), torch.no_grad():
        return not torch.equal(patient.ask(x), own)


def head_answers(patient: Patient) -> list[Tensor]:
    """What that module says at each of its calls for one answer, `[sample, number]`.

    Raises:
        NotGiven: no module of the model is a linear head, or its answers have no entry for each sample.
    """
    name, said = head_of(patient), []
    x, y = patient.train.joined()
    rows = torch.linspace(0, len(y) - 1, min(MANY, len(y))).round().long()

    def note(each: str, _: Any, output: Any) -> None:
        if each == name:
            said.append(output.detach())

    with _hooked(patient.model, note), undisturbed(patient.model), torch.no_grad():
        patient.ask(take(x, rows, len(y)))
    if any(len(each) != len(rows) for each in said):
        raise NotGiven("what the last linear layer says has no row for each sample")
    return [widest(each).reshape(len(rows), -1) for each in said]


def _linear_calls(patient: Patient) -> list[str]:
    """The linear modules in the order of their calls.

    Raises:
        NotGiven: there are none.
    """
    called: list[str] = []
    x, _ = patient.train.batches[0]
    with _hooked(patient.model, lambda name, *_: called.append(name)), undisturbed(patient.model), torch.no_grad():
        patient.ask(x)
    named = dict(patient.model.named_modules())
    heads = [each for each in called if isinstance(named[each], (nn.Linear, nn.Conv1d, nn.Bilinear))]
    if not heads:
        raise NotGiven("the model ends in no linear layer of torch.nn, so there is no head to look at")
    return heads


@contextmanager
def _hooked(model: nn.Module, note: Callable[..., Any]) -> Iterator[None]:
    """Inside, `note(name, inputs, output)` hears the modules without children; what it returns takes the place."""
    handles = []
    for name, part in model.named_modules():
        children = [] if is_parametrized(part) else list(part.children())  # its weight is its own, however it is made
        if not children and (is_parametrized(part) or any(True for _ in part.parameters(recurse=False))):
            hook = lambda _, given, output, name=name: note(name, given, output)  # noqa: E731
            handles.append(part.register_forward_hook(hook))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _read(patient: Patient, name: str, samples: Any) -> Tensor:
    """What the head is given for each sample, `[sample, feature]`, float64."""
    parts: list[Tensor] = []

    def note(each: str, given: Any, _: Any) -> None:
        if each == name:
            parts.append(given[0].detach())

    with _hooked(patient.model, note), undisturbed(patient.model), torch.no_grad():
        rows = []
        for x, y in samples.batches:
            parts.clear()
            patient.call(x)
            rows.append(_by_sample(parts, len(y)))
    return widest(torch.cat(rows))


def _by_sample(parts: list[Tensor], count: int) -> Tensor:
    whole = parts[-1]
    axis = sample_axis(whole, count)
    if axis is None:
        raise NotGiven("what the last linear layer reads has no row for each sample")
    rows = whole if axis == 0 else whole.transpose(0, 1)
    return rows.reshape(count, -1)[:, -512:]


def ceiling(patient: Patient) -> Figures:
    """The best loss that free inputs of the output's activation could have, beside the best constant's.

    What stands between the last weights and the output is asked about any numbers in the place of those weights'
    output: one set for each sample, or one for all. Where nothing stands there, the ceiling is 1.
    """
    if patient.loss is None:
        raise NotGiven(NO_LOSS)
    name = head_of(patient)
    said, own = _said_by(patient, name)
    if own.numel() == said.numel() and torch.equal(own.reshape(-1), said.reshape(-1)):
        return {"ceiling/skill": 1.0, "ceiling/bounded": 0.0}
    axis = sample_axis(own, len(said))
    if axis is None:
        raise NotGiven("what the last linear layer says has no row for each sample")
    if _weighed_behind(patient, name, own):
        raise NotGiven("weights stand behind the last linear layer, so it is no head")
    if _is_staircase(patient, name, own):
        return {"ceiling/bounded": 0.0, "ceiling/staircase": 1.0}
    one = [1 if at == axis else size for at, size in enumerate(own.shape)]
    free, shared = (_fitted(patient, name, own, each) for each in (own.shape, one))
    stuck = bool((said == said[:1]).all()) and bool((own != own[:1]).any())
    figures = {"ceiling/bounded": 1.0, "ceiling/stuck": float(stuck)}
    return figures | ({"ceiling/skill": 1 - free / shared} if shared > 0 and math.isfinite(free) else {})


def _said_by(patient: Patient, name: str) -> tuple[Tensor, Tensor]:
    """The answers to a batch, and what a module says on the way to them.

    Raises:
        NotGiven: it is asked more than once.
    """
    x, _ = patient.train.batches[0]
    taken: list[Tensor] = []

    def note(each: str, _: Any, output: Any) -> None:
        if each == name:
            taken.append(output.detach().clone())

    with _hooked(patient.model, note), undisturbed(patient.model), torch.no_grad():
        said = patient.ask(x)
    if len(taken) > 1:
        raise NotGiven("the last linear layer is called several times for one answer")
    return said, taken[-1]


def _is_staircase(patient: Patient, name: str, own: Tensor) -> bool:
    """Whether the answers follow what the last weights say, and no gradient comes back, wherever one asks.

    So it is of rounding, of thresholds and of numbers that left the graph; of an activation only beyond its range.
    """
    x, _ = patient.train.batches[0]
    said, free = [], []
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        free.append((SPREAD * torch.randn(own.shape, generator=generator)).to(own).requires_grad_())
        with _hooked(patient.model, lambda each, *_: free[-1] if each == name else None), undisturbed(patient.model):
            said.append(patient.ask(x))
    if torch.equal(*said):
        return False
    weighed = [(each * torch.randn(each.shape, generator=generator).to(each)).sum() for each in said]
    total = weighed[0] + weighed[1]
    if not total.requires_grad:
        return True
    found = torch.autograd.grad(total, free, allow_unused=True)
    return not any(each is not None and bool(each.any()) for each in found)


def _weighed_behind(patient: Patient, name: str, own: Tensor) -> bool:
    """Whether a matrix stands between what a module says and the output: then it is no head."""
    free = own.clone().requires_grad_()
    x, _ = patient.train.batches[0]
    with _hooked(patient.model, lambda each, *_: free if each == name else None), undisturbed(patient.model):
        said = patient.ask(x)
    return any(each.dim() > 1 for each in multiplied_by(said, free))


def _fitted(patient: Patient, name: str, own: Tensor, shape: Any) -> float:
    """The least loss of a batch with free numbers in the place of the head's output.

    By L-BFGS with a line search (Liu & Nocedal 1989), since targets may be of any size.
    """
    x, y = patient.train.batches[0]
    found: list[float] = []
    for start in (1.0, -1.0):
        free = (start + 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(own).requires_grad_()
        optimizer = torch.optim.LBFGS([free], max_iter=FREE_STEPS, line_search_fn="strong_wolfe")

        def put(each: str, _: Any, __: Any, free: Tensor = free) -> Tensor | None:
            return free.expand_as(own) if each == name else None

        def cost(free: Tensor = free) -> Tensor:
            free.grad = None
            with undisturbed(patient.model):  # each time anew: a state that a call leaves would change the question
                loss = value(patient.loss or math.nan, patient.ask(x), y)  # type: ignore[arg-type]
                if loss.requires_grad:
                    loss.backward()  # type: ignore[no-untyped-call]
            found.append(loss.item())
            return loss

        with _hooked(patient.model, put):
            optimizer.step(cost)  # type: ignore[no-untyped-call]
    return min((each for each in found if math.isfinite(each)), default=math.inf)
