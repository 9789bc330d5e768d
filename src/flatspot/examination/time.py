"""What of the window matters: to the targets by references, to the model by gradients; and what lies beyond it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from flatspot.examination.outputs import columns, fitted_on, scoring, straight_line
from flatspot.examination.patient import NotGiven, Patient
from flatspot.examination.states import head_answers, looked_at, series_and_ask, standard
from flatspot.probes.moments import widest
from flatspot.probes.sensitivity import sensitivity
from flatspot.probes.undisturbed import undisturbed

Figures = dict[str, float]

FEWEST_STEPS: Final = 4
"""Steps of a window from which on some are early and some late."""

NEARLY: Final = 0.8
"""Share of the whole window's skill from which on a shorter one is enough."""

FARTHEST: Final = 32
"""Samples that targets are shifted by, at most."""

LONGEST: Final = 768
"""Numbers of a lengthened window, at most: the cost of a ridge regression grows with their cube."""

TRIED: Final = 12.0
"""Divided by the held-out samples: an R² that the best of so many shifts of noise rarely has. One by chance has
2·√(r/n) - r at a standard error, the best of seventy 2.4 of them: 5.8/n at most; and twice that for sure."""

GIVEN: Final = 0.95
"""R² of an earlier target by a window that slid on, from which on it is taken to stand in there."""

FEW_CALLS: Final = 4
"""Calls of the last weights for one answer, from which on they may be the steps of a rollout."""

PROMISING: Final = 4
"""Shifts that are looked at by themselves."""

MOST_OUTPUTS: Final = 4
"""Outputs whose shifts are looked at."""


def ridge_skill(patient: Patient, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> float:
    """Held-out skill of ridge from windows to targets `[sample, output]`, under the user's loss where that can be."""
    (x, y), (vx, vy) = train, val
    if len(x) < 20 or len(vx) < 10:
        raise NotGiven("there are too few samples for a reference")
    return scoring(patient).of(straight_line(x, y, vx), vy)


def _windows(patient: Patient, last: int | None = None) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return fitted_on(patient, last), (columns(patient.val, patient.train, last), patient.on_val.targets)


def lag(patient: Patient) -> Figures:
    """How many of the last steps a straight line needs, and the skill of one that reads the first steps alone."""
    (x, y), (vx, vy) = _windows(patient)
    series = patient.train.series()
    counted = x.shape[1] == 1 and series.dim() > 1  # of words: how often each occurs
    steps = series.shape[1] if counted else x.shape[1]
    whole = ridge_skill(patient, (x, y), (vx, vy))
    if not whole > 0 or steps < 4:
        raise NotGiven("a straight line finds nothing in the window, so which steps are needed is not known")
    figures = {"lag/whole": whole, "lag/steps": float(steps)}
    for size in sorted({max(1, steps // part) for part in (8, 4, 2)}):
        part = _windows(patient, size) if counted else ((x[:, -size:], y), (vx[:, -size:], vy))
        if ridge_skill(patient, *part) >= NEARLY * whole:
            return figures | {"lag/needed": float(size), "lag/needs_early": 0.0}
    return figures | {"lag/needed": float(steps), "lag/needs_early": 1.0}


def reach(patient: Patient) -> Figures:
    """How the model's outputs follow each step: of the model as it is, and of a fresh copy with standardised inputs.

    By gradients; where inputs are whole numbers, or where no gradient comes back, by swapping steps of real samples.
    """
    x, count = looked_at(patient)
    series, ask = series_and_ask(patient, patient.model, x, count)
    if series.dim() < 2:
        raise NotGiven("the inputs have no time axis")
    if series.shape[1] < FEWEST_STEPS:
        raise NotGiven(f"the window has fewer than {FEWEST_STEPS} steps, so none of them is early")
    figures = _reach(patient.model, series, ask, "now")
    if patient.make_model is not None:
        fresh = patient.fresh()
        _, ask = series_and_ask(patient, fresh, x, count)
        figures |= _reach(fresh, standard(series, patient.numbered), ask, "fresh")
    return figures


def _reach(model: nn.Module, series: Tensor, ask: Callable[[Tensor], Tensor], name: str) -> Figures:
    curve = sensitivity(model, series, ask=ask) if series.is_floating_point() else None
    if curve is None or not curve.max() > 0:
        curve = _by_swaps(model, series, ask)
    return _curve(curve, name)


def _by_swaps(model: nn.Module, series: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
    """How far outputs move as each step is taken from another sample: root mean square, `[time]`."""
    moves = []
    with undisturbed(model), torch.no_grad():
        own = ask(series).detach().clone()
        for step in range(series.shape[1]):
            other = series.clone()
            other[:, step] = series[:, step].roll(1, dims=0)
            moves.append((ask(other) - own).double().square().mean().sqrt())
    return torch.stack(moves)


def _curve(curve: Tensor, name: str) -> Figures:
    steps = len(curve)
    largest = curve.max().item()
    if not largest > 0:  # nothing moves it, early or late
        return {f"reach/{name}_largest": largest, f"reach/{name}_early": 1.0}
    quarter = max(steps // 4, 1)
    early, late = curve[:quarter].median().item(), curve[-quarter:].mean().item()  # one step may hold the length
    return {f"reach/{name}_largest": largest, f"reach/{name}_early": early / max(late, 1e-300)}


def beyond(patient: Patient) -> Figures:
    """What a straight line finds in a longer window, put together from the samples before; and in one step alone."""
    patient = patient.in_order
    (x, y), (vx, vy) = _windows(patient)
    apart = _apart(x)
    whole = ridge_skill(patient, (x, y), (vx, vy))
    longer = ridge_skill(patient, _lengthened(x, y, apart), _lengthened(vx, vy, apart))
    steps = float(_lengthened(vx, vy, apart)[0].shape[1])
    return {"beyond/gain": longer - max(whole, 0.0), "beyond/longer": longer, "beyond/steps": steps}


def _apart(x: Tensor) -> int:
    """Samples between two windows that follow one another without a gap; 1 where windows do not overlap."""
    steps = x.shape[1]
    for shift in range(1, min(steps, 8)):
        if torch.equal(x[1, : steps - shift], x[0, shift:]):
            return max(steps // shift, 1)
    return 1


def _lengthened(x: Tensor, y: Tensor, apart: int) -> tuple[Tensor, Tensor]:
    """Each window behind the ones before it: three, or of short ones as many as have 16 steps."""
    times = min(max(3, math.ceil(16 / x.shape[1])), max(LONGEST // x[0].numel(), 1))
    first = apart * times
    if len(x) <= first + 20:
        raise NotGiven("there are too few samples for longer windows")
    parts = [x[first - apart * back : len(x) - apart * back] for back in range(times, -1, -1)]
    return torch.cat(parts, dim=1), y[first:]


def _usable(x: Tensor, moved: Tensor, said: Tensor, held_out: Tensor, shifts: list[int]) -> dict[int, float]:
    """R² by shift, of targets that are no plain copy of a number of the window."""
    width = moved.shape[1] // (len(shifts) + 1)
    usable: dict[int, float] = {}
    for at, shift in enumerate(shifts, start=1):
        own = slice(at * width, (at + 1) * width)
        free = ~_copied(x, moved[:, own])
        if free.any():
            usable[shift] = _r2(said[:, own][:, free], held_out[:, own][:, free])
    return usable


def pairs(patient: Patient) -> Figures:
    """Whether targets fit other samples better than their own: some samples later or earlier.

    One ridge regression has the targets of all shifts for its outputs. Earlier targets often stand in the window itself
    (a series that is forecast), so where the target is a plain copy of a number of the window it does not count.
    """
    patient = patient.in_order
    (x, y), (vx, vy) = _windows(patient)
    x_all, vx_all = x, vx
    y, vy = y[:, :MOST_OUTPUTS], vy[:, :MOST_OUTPUTS]
    farthest = max(min(FARTHEST, len(x) // 8, len(vx) // 8), 0)
    shifts = [shift for shift in range(-farthest, farthest + 1) if shift]
    if not shifts:
        raise NotGiven("there are too few samples")
    inner, held = slice(farthest, len(x) - farthest), slice(farthest, len(vx) - farthest)
    moved, held_out = (torch.cat([each.roll(-shift, 0) for shift in [0, *shifts]], dim=1) for each in (y, vy))
    x, moved, vx, held_out = x[inner], moved[inner], vx[held], held_out[held]
    said = straight_line(x, moved, vx)
    width = y.shape[1]
    skills = [_r2(said[:, at : at + width], held_out[:, at : at + width]) for at in range(0, held_out.shape[1], width)]
    usable = _usable(x, moved, said, held_out, shifts)
    promising = sorted(usable, key=lambda shift: -usable[shift])[:PROMISING]
    alone = {each: _shifted_alone((x, moved), (vx, held_out), shifts.index(each) + 1, width) for each in promising}
    moved_on = slides(patient.train.series())
    if moved_on:  # what an earlier window was asked for stands in this one, perhaps as a difference of two numbers
        alone = {each: skill for each, skill in alone.items() if each > 0 or skill < GIVEN}
    sliding = moved_on or continues(patient.train.series())  # then neighbours share steps, and so do batches' means
    highest = max(alone.values(), default=0.0)
    # Of a season, shifts to both sides fit: the one that needs what was before is the plainer.
    best = next((shift for shift in sorted(alone, reverse=True) if alone[shift] >= NEARLY * highest), 0)
    return {
        "pairs/straight": skills[0],
        "pairs/best_shifted": alone.get(best, 0.0),
        "pairs/best_shift": float(best),
        "pairs/chance": TRIED / len(vx),
        "pairs/sliding": float(sliding),
        "pairs/reordered": _reordered((x_all, y), (vx_all, vy)),
    }


def in_batches(patient: Patient) -> Figures:
    """How much more a straight line finds between the batches' means than between samples; 0: not for sure.

    Targets that a collate function puts into another order within each batch still have the right mean. Batches are of
    samples drawn anew: neighbours may have a level in common. R² of each by the others; for sure is what no order of
    the batches' targets comes near.
    """
    if patient.train.mixed is None:
        return {"pairs/in_batches": 0.0}
    patient = replace(patient, train=patient.train.mixed())
    sizes = [len(y) for _, y in patient.train.batches]
    if len(sizes) < FEWEST_BATCHES or min(sizes[:-1]) < FEWEST_IN_BATCH:
        return {"pairs/in_batches": 0.0}
    x, y = columns(patient.train, patient.val).double().mean(dim=1), patient.on_train.targets[:, :MOST_OUTPUTS].double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise NotGiven("inputs or targets are not finite")
    x = x - x.mean(dim=0)
    axes = torch.linalg.svd(x, full_matrices=False).Vh[: max(min(len(sizes) // 10, MOST_AXES), 1)]
    bx, by = (torch.stack([part.mean(dim=0) for part in held.split(sizes)]) for held in (x @ axes.T, y))
    generator = torch.Generator().manual_seed(patient.seed)
    orders = [torch.randperm(len(sizes), generator=generator).to(y.device) for _ in range(ORDERS_TRIED)]
    found, *chance = _left_out(bx, [by, *(by[order] for order in orders)])
    beside = max(_left_out(x @ axes.T, [y])[0], 0.0)
    return {"pairs/in_batches": max(found - beside, 0.0) if found > max(chance) else 0.0}


def _left_out(x: Tensor, several: list[Tensor]) -> list[float]:
    """R² of least squares for several targets, each row answered by the others: exactly, by the rows' leverages."""
    whole = torch.cat([torch.ones(len(x), 1).to(x), x], dim=1)
    basis, sizes, _ = torch.linalg.svd(whole, full_matrices=False)
    basis = basis[:, sizes > NOTHING * sizes.max()]
    spare = (1 - basis.square().sum(dim=1)).clamp(min=1e-9).unsqueeze(1)
    left = [((y - basis @ (basis.T @ y)) / spare).square().sum() for y in several]
    return [_share_of(each, (y - y.mean(dim=0)).square().sum()) for each, y in zip(left, several, strict=True)]


def _share_of(left: Tensor, total: Tensor) -> float:
    return (1 - left / total).item() if total > 0 else math.nan


def _shifted_alone(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor], at: int, width: int) -> float:
    """R² of one shift by itself: among many that find nothing the common penalty is too strong."""
    own = slice(at * width, (at + 1) * width)
    (x, y), (vx, vy) = train, val
    free = ~_copied(x, y[:, own])
    return _line_skill(x, y[:, own][:, free], vx, vy[:, own][:, free]) if free.any() else 0.0


def slides(x: Tensor) -> bool:
    """Whether a window is the one before, moved on by a step or a few."""
    steps = x.shape[1]
    rows = range(min(len(x) - 1, 8))
    return any(
        all(torch.equal(x[row + 1, : steps - shift], x[row, shift:]) for row in rows) for shift in range(1, steps)
    )


def continues(x: Tensor) -> bool:
    """Whether a window begins near where the one before ends, beside where others begin."""
    if not x.is_floating_point():
        return False
    wide = widest(x)
    step = (wide[1:, 0] - wide[:-1, -1]).abs().mean()
    return bool(step < NEAR * (wide[1:, 0] - wide[:-1, -1].roll(len(x) // 3, 0)).abs().mean())


def _strided(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> float:
    """The best R² where only windows, or only targets, were taken with a stride; less what so few find by chance."""
    (x, y), (vx, vy) = train, val
    best = 0.0
    for stride in STRIDES:
        few, held = len(x) // stride, len(vx) // stride
        if held < FEWEST_HELD:
            break
        ahead = _line_skill(x[:few], y[: few * stride : stride], vx[:held], vy[: held * stride : stride])
        behind = _line_skill(x[: few * stride : stride], y[:few], vx[: held * stride : stride], vy[:held])
        best = max(best, *(each - TRIED / held for each in (ahead, behind)))
    return best


def _reordered(train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> float:
    """The best R² with targets in an order that they come in by mistake: backwards, or as text sorts their numbers."""
    (x, y), (vx, vy) = train, val
    found = []
    for ordered in ORDERS:
        order, held = ordered(len(y)), ordered(len(vy))
        for back in (False, True):
            first, second = (each.argsort() if back else each for each in (order, held))
            found.append(_line_skill(x, y[first], vx, vy[second]))
    return max([_strided(train, val), *(each for each in found if math.isfinite(each))])


def _as_text(count: int) -> Tensor:
    return torch.tensor(sorted(range(count), key=str))


FEWEST_BATCHES: Final = 12
FEWEST_IN_BATCH: Final = 4
"""Batches, and samples in each, below which their means say nothing."""

ORDERS_TRIED: Final = 200

NOTHING: Final = 1e-9
"""Directions of less than this share of the largest are those of rounding."""

MOST_AXES: Final = 8
"""Directions of the inputs' means that are looked at."""

STRIDES: Final = (2, 3, 4, 5, 6, 8, 10, 12)

FEWEST_HELD: Final = 16
"""Held-out samples of a stride, below which it is not asked."""

NEAR: Final = 0.7
"""Of a series that goes on, the step from window to window by that between windows anywhere."""

ORDERS: Final = (_as_text, lambda count: torch.arange(count).flip(0))
"""Orders in which one of two lists may stand."""


def _copied(x: Tensor, y: Tensor) -> Tensor:
    """Which outputs are some number of the window, but for their scale."""
    flat, wanted = x.reshape(len(x), -1).double(), y.double()
    flat, wanted = flat - flat.mean(dim=0), wanted - wanted.mean(dim=0)
    lengths = (flat.norm(dim=0).unsqueeze(1) * wanted.norm(dim=0)).clamp(min=1e-30)
    along: Tensor = flat.T @ wanted / lengths
    return (along.abs() > 0.98).any(dim=0)


def horizon(patient: Patient) -> Figures:
    """How diversity and skill go along the outputs of a forecast: of the model, and of a straight line."""
    answers = patient.on_val
    if patient.fit.kind != "numbers" or patient.several is not None or answers.outputs.shape[1] < 4:
        return {"horizon/first_ratio": 0.0, **_calls(patient)}  # no forecast of several steps
    said, true = answers.outputs.double().std(dim=0), answers.targets.double().std(dim=0).clamp(min=1e-30)
    ratios = said / true
    quarter = max(len(ratios) // 4, 1)
    (x, y), (vx, vy) = _windows(patient)
    late = _line_skill(x, y[:, -quarter:], vx, vy[:, -quarter:])
    return {
        "horizon/first_ratio": ratios[:quarter].median().item(),
        "horizon/last_ratio": ratios[-quarter:].median().item(),
        "horizon/late_reference": late,
        "horizon/first_skill": _r2(answers.outputs[:, :quarter], answers.targets[:, :quarter]),
        "horizon/last_skill": _r2(answers.outputs[:, -quarter:], answers.targets[:, -quarter:]),
        **_calls(patient),
    }


def _calls(patient: Patient) -> Figures:
    """How different samples are, beside their targets, as the last weights say it for the first and for the last time.

    Of a model that is fed its own answers these are its steps; where they are asked once, or twice, there are none.
    """
    try:
        said = head_answers(patient)
    except Exception:  # noqa: BLE001 - there is no head, or a batch of this size is refused
        return {}
    if len(said) < FEW_CALLS:
        return {}
    true = patient.on_train.targets.double().std(dim=0).median().clamp(min=1e-30).item()
    first, last = (each.double().std(dim=0).square().mean().sqrt().item() / true for each in (said[0], said[-1]))
    return {"horizon/calls": float(len(said)), "horizon/call_first": first, "horizon/call_last": last}


def _line_skill(x: Tensor, y: Tensor, vx: Tensor, vy: Tensor) -> float:
    """R² of ridge, held out."""
    return _r2(straight_line(x, y, vx), vy)


def _r2(said: Tensor, true: Tensor) -> float:
    true = true.double()
    whole = (true - true.mean(dim=0)).square().sum()
    return (1 - (said.double() - true).square().sum() / whole).item() if whole > 0 else math.nan
