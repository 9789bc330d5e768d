"""Which measurements are taken of a patient, in which order, and which only where something is wrong."""

import copy
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn

from flatspot.diagnosis import GROWS, ILL, MISSED, NO_SIGNAL, judge, verdict_of
from flatspot.errors import BadInput, reason
from flatspot.examination import data, order, outputs, states, wiring
from flatspot.examination import time as through_time
from flatspot.examination.layout import time_before_channels
from flatspot.examination.naming import names_of
from flatspot.examination.patient import (
    NO_FRESH,
    NO_OPTIMIZER,
    LossOf,
    NotGiven,
    Patient,
    loss_of_prediction,
    strays,
    value,
)
from flatspot.examination.trials import Change, Outcome, steps_of, trial
from flatspot.probes.undisturbed import random_states_kept, undisturbed

Figures = dict[str, float]
Gatherer = Callable[[Patient], Figures]

ALWAYS: Final[Mapping[str, Gatherer]] = {
    "finite": data.finite,
    "sizes": data.sizes,
    "settings": data.settings,
    "inputs": data.inputs,
    "loss": wiring.loss_shape,
    "diversity": outputs.diversity,
    "targets": data.targets,
    "skill": outputs.skills,
    "references": outputs.verdict,
}
"""What the verdict needs, and what costs next to nothing."""

WHERE_ILL: Final[Mapping[str, Gatherer]] = {
    "variety": data.variety,
    "padding": data.padding,
    "neighbours": wiring.neighbours,
    "memory": wiring.memory,
    "arrival": wiring.arrival,
    "steps": wiring.steps_read,
    "gradients": wiring.gradients,
    "weights": states.weights,
    "moved": states.moved,
    "units": states.units,
    "stages": states.stages,
    "ceiling": states.ceiling,
    "head": states.head,
    "reach": through_time.reach,
    "horizon": through_time.horizon,
    "lag": through_time.lag,
    "beyond": through_time.beyond,
    "pairs": through_time.pairs,
    "pairs_in": through_time.in_batches,
    "pairs_drift": order.drift,
}
"""What looks for a cause."""

HABITS: Final = ("neighbours", "memory", "gradients")
"""What a healthy network is asked too: whether samples keep to themselves, calls forget, and all weights learn."""

NOTHING_FOUND: Final = "nothing was found in the inputs that classes could be told apart by"
"""What is said where classes that are drawn as often show nothing."""

UNTRIED: Final = "nothing was tried on copies: examine=full does"
"""What is said where experiments were not asked for."""

OF_FRESH_COPIES: Final = ("stages/fresh", "units/fresh", "units/standard", "reach/fresh", "weights/as")
"""How the names begin of what is measured of fresh copies beside the model."""

TRIED: Final = re.compile(r"trial_\w+/skill$")

BY_HEART: Final = 0.4
"""Skill on training samples less held-out skill, beyond which the two are looked at."""

LITTLE: Final = 0.1
"""Skill below which a healthy verdict rests on little."""

MOST_VAL: Final = 1024
"""Held-out samples that are read."""

WORTH: Final = 0.1
"""Gaps below this share of the possible skill are none to close."""

ENDS: Final = 0.3
"""Share of samples that end in filler from which on that is looked into."""

MAJORITY: Final = 0.7
"""Share of one class from which on classes are drawn as often."""

HARDLY: Final = 0.05
"""The share of the way from chance to perfect, up to which classes are hardly told apart."""

TOLD_APART: Final = 0.2
"""The share of the way from chance to perfect from which on classes count as told apart."""

SLOW: Final = 5e-4
"""Learning rates up to here are not tried slower."""

TAIL: Final = 10.0
"""The largest gradient norm by the median one, beyond which clipping is tried."""

LARGE_BIAS: Final = 5.0
"""Starting biases beyond this keep a gate shut or a unit dead, and torch's own weights are tried."""

SHRINKS: Final = 0.01
"""The share of its size that a weight loses to its decay in all steps, below which nothing is tried without it."""

FAR: Final = 3.0
"""Means and standard deviations beyond this, or below its inverse, are worth an experiment."""


@final
@dataclass
class Gathered:
    """What was measured, what was not and why, what parts are called, and the seconds that each took.

    `tell` hears what is begun.
    """

    figures: Figures = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    unmeasured: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    tell: Callable[[str], None] | None = None

    def take(self, name: str, gather: Callable[[], Figures]) -> None:
        """Measure; what cannot be is told and keeps nothing else from being measured."""
        if self.tell is not None:
            self.tell(name)
        started = time.perf_counter()
        try:
            found = gather()
        except NotGiven as error:
            self.unmeasured[name] = str(error)
        except (Exception, BadInput) as error:  # noqa: BLE001 - a stranger's program may refuse anything
            self.unmeasured[name] = reason(error)
        else:
            self.figures |= {key: each for key, each in found.items() if math.isfinite(each)}
            if len(found) and not any(math.isfinite(each) for each in found.values()):
                self.unmeasured[name] = "what was measured is not finite"
        self.seconds[name] = time.perf_counter() - started

    @property
    def verdict(self) -> str:
        """Of what was measured so far."""
        return judge(*(self.figures.get(name) for name in ("diversity/ratio_val", "skill/val", "references/best")))


def gather(
    patient: Patient,
    budget: float = math.inf,
    *,
    experiments: bool = True,
    test: Mapping[str, float] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Gathered:
    """Everything that can be measured within the budget, in seconds; of a healthy network, that it is.

    Args:
        experiments: whether anything is tried on copies. test: figures of a test split: where it is ill on that, a
            cause is looked for whatever these samples show. tell: told the name of each measurement as it begins.
    """
    named = dict(patient.model.named_parameters())
    left = {name: each.grad for name, each in named.items() if each.grad is not None}
    held = {name: each.detach().clone() for name, each in named.items()}
    outside = [(each, each.grad) for each in _strays(patient)]
    patient = replace(patient, left=frozenset(left), loss=_own_copy(patient.loss))
    try:  # a penalty in the loss may reach the weights themselves, on whichever copy it is asked
        with random_states_kept(patient.model):
            return _gathered(patient, budget, experiments=experiments, test=test or {}, tell=tell)
    finally:
        for name, each in named.items():
            each.grad = left.get(name)
            if not torch.equal(each, held[name]):  # a forward may write into them
                each.data.copy_(held[name])
        for weight, gradient in outside:
            weight.grad = gradient


def _strays(patient: Patient) -> list[Tensor]:
    try:
        return strays(patient, patient.model)
    except (Exception, BadInput):  # noqa: BLE001 - told by what asks the model for its answers
        return []


def _own_copy(loss: LossOf | None) -> LossOf | None:
    """A loss that is a module may have weights and figures of its own, which stay as they are."""
    try:
        return copy.deepcopy(loss) if isinstance(loss, nn.Module) else loss
    except Exception:  # noqa: BLE001 - it does not want to be copied
        return loss


def _gathered(
    patient: Patient,
    budget: float,
    *,
    experiments: bool,
    test: Mapping[str, float],
    tell: Callable[[str], None] | None,
) -> Gathered:
    started = time.perf_counter()
    found = Gathered(tell=tell)
    for weight in patient.model.parameters():
        weight.grad = None
    patient = _in_batches_as_given(replace(patient, loss=loss_of_prediction(patient)))
    patient = time_before_channels(patient)
    for name, measure in ALWAYS.items():
        found.take(name, partial(measure, patient))
        if name == "loss" and found.figures.get("loss/blind_to_pairs"):
            patient = replace(patient, loss=paired(patient.loss))  # a loop that squeezes hands over one that does not
    if not suspicious(found) and verdict_of({**found.figures, **test}) not in ILL:
        _look_at_habits(found, patient, started, budget)
        return found
    _look_for_a_cause(found, patient, started, budget, experiments=experiments)
    found.figures |= derived(found.figures)
    found.unmeasured = {**_lacking(patient), **found.unmeasured}
    _tell_of_balance(found)
    if time.perf_counter() - started <= budget:
        found.names |= names_of(patient, found.figures)
    return found


def _look_at_habits(found: Gathered, patient: Patient, started: float, budget: float) -> None:
    """What is wired wrongly in a healthy network; what cannot be measured is no matter of a healthy network's."""
    for name in HABITS:
        if time.perf_counter() - started <= budget:
            aside = Gathered(tell=found.tell)
            aside.take(name, partial(WHERE_ILL[name], patient))
            found.figures |= aside.figures
            found.seconds |= aside.seconds


def _in_batches_as_given(patient: Patient) -> Patient:
    """The same in the loader's batches, where the loss refuses those of another size."""
    if patient.loss is None or patient.train.as_given is None:
        return patient
    x, y = patient.train.batches[0]
    try:
        with undisturbed(patient.model), torch.no_grad():
            value(patient.loss, patient.ask(x), y)
    except Exception:  # noqa: BLE001 - a broadcast needs axes of one length
        given = [each if each.as_given is None else each.as_given() for each in (patient.train, patient.val)]
        return replace(patient, train=given[0], val=given[1])
    return patient


def _look_for_a_cause(found: Gathered, patient: Patient, started: float, budget: float, *, experiments: bool) -> None:
    for name, measure in WHERE_ILL.items():
        _in_time(found, name, partial(measure, patient), started, budget)
    if not experiments:
        found.unmeasured |= {f"trial_{name}": UNTRIED for name, *_ in EXPERIMENTS}
    for name, change, wanted in EXPERIMENTS if experiments else ():
        if wanted(found.figures):
            _in_time(found, f"trial_{name}", partial(_trial, patient, name, change), started, budget)
        else:
            found.figures[f"trial_{name}/closes"] = 0.0


def _lacking(patient: Patient) -> dict[str, str]:
    """Why some figures of a measurement are missing, where its others are there."""
    without = {"settings": NO_OPTIMIZER} if patient.optimizer is None else {}
    return without | (dict.fromkeys(OF_FRESH_COPIES, NO_FRESH) if patient.make_model is None else {})


def _tell_of_balance(found: Gathered) -> None:
    """What classes drawn as often gain is known of two experiments: why one of them is missing is why this is."""
    tried = ("trial_balanced", "trial_again")
    why = next((found.unmeasured[name] for name in tried if name in found.unmeasured), NOTHING_FOUND)
    if "balance/gain" not in found.figures:
        found.unmeasured["balance"] = why


def paired(loss: LossOf | None) -> LossOf | None:
    """A loss that takes each prediction beside its own target.

    In one shape; or, where several numbers are said of a target, pair by pair: of a single one any loss makes what it
    was meant to make.
    """
    if loss is None:
        return None

    one_by_one: list[bool] = []

    def of_pairs(predictions: Any, targets: Tensor) -> Any:
        if not isinstance(predictions, Tensor) or len(predictions) != len(targets):
            return loss(predictions, targets)
        if predictions.numel() == targets.numel():
            return loss(predictions.reshape(targets.shape), targets)
        if not one_by_one:
            try:
                return torch.vmap(of_one)(predictions, targets).mean()
            except Exception:  # noqa: BLE001 - it asks its tensors for numbers, say
                one_by_one.append(True)
        return torch.stack([of_one(*each) for each in zip(predictions, targets, strict=True)]).mean()

    def of_one(prediction: Tensor, target: Tensor) -> Tensor:
        return value(loss, prediction.unsqueeze(0), target.unsqueeze(0))

    return of_pairs


def suspicious(found: Gathered) -> bool:
    """Whether there is anything to look for: a verdict other than healthy, or what a healthy one can hide.

    The verdict is blind where the loss does not pair, where a classifier that names one class has the prior's loss,
    where training samples are known by heart, and where neither a reference nor the model finds more than next to
    nothing.
    """
    seen = found.figures
    train, val = seen.get("skill/train", 0.0), max(seen.get("skill/val", 0.0), 0.0)
    best = max(seen.get("references/best", 0.0), val)
    return (
        found.verdict != "healthy"
        or bool(seen.get("loss/blind_to_pairs"))
        or _names_one(seen)
        or train - val > BY_HEART
        or best < LITTLE
    )


def _names_one(seen: Mapping[str, float]) -> bool:
    """Whether of several classes one is named, or another one hardly ever beside a frequent one."""
    chance = 1 / max(seen.get("targets/seen", 2.0), 2.0)
    hardly = seen.get("skill/balanced_accuracy", 1.0) <= chance + HARDLY * (1 - chance)
    one = seen.get("targets/named", 2.0) < 2 and seen.get("targets/seen", 2.0) > 1
    return one or (hardly and seen.get("targets/majority", 0.0) > MAJORITY)


def derived(figures: Mapping[str, float]) -> Figures:
    """What rules ask of several numbers together.

    `skill/possible`: the best held-out skill of any reference, experiment or the model itself (of experiments, what so
    many held-out samples can tell from nothing); `skill/missing`: the share of it that the model lacks;
    `trial_.../closes`: how much of the gap an experiment closes that the same training without its change does not
    close, as a share of the gap.
    """
    own = max(figures.get("skill/val", 0.0), 0.0)
    tried = {name.partition("/")[0]: each for name, each in figures.items() if TRIED.match(name)}
    told = MISSED / max(min(figures.get("sizes/val", math.inf), MOST_VAL), 1.0)
    possible = max([figures.get("references/best", 0.0), own, *(each for each in tried.values() if each > told)])
    found = {"skill/possible": possible, "skill/missing": 0.0}
    if figures.get("trial_balanced/closes") == 0.0 and "trial_balanced" not in tried:
        found["balance/gain"] = 0.0  # there was no class to be drawn more often
    if possible <= NO_SIGNAL:
        return found | {f"{name}/closes": 0.0 for name in tried}
    found["skill/missing"] = min(1 - own / possible, _undecided(figures))
    again = max(tried.get("trial_again", own), 0.0)
    for name, each in tried.items():
        base = own if name.startswith("trial_on") else again
        if possible - base > WORTH * possible and each > told:
            found[f"{name}/closes"] = min((each - base) / (possible - base), 1.0)
        else:
            found[f"{name}/closes"] = 0.0
    balanced = [figures.get(f"trial_{name}/balanced_accuracy") for name in ("balanced", "again")]
    if balanced[0] is not None and balanced[1] is not None:
        found["balance/gain"] = balanced[0] - balanced[1]
    return found


def _undecided(figures: Mapping[str, float]) -> float:
    """The share of what can be told of rare classes that the decisions lack; 1 where no class is frequent.

    Who draws classes as often, or weighs them so, has chances that are right for such a draw, and poor by any other.
    """
    own, chance = figures.get("skill/balanced_accuracy"), 1 / max(figures.get("targets/seen", 2.0), 2.0)
    if own is None or figures.get("targets/majority", 0.0) <= MAJORITY:
        return 1.0
    others = [
        each for name, each in figures.items() if name.startswith("trial_") and name.endswith("balanced_accuracy")
    ]
    best = max([own, *others])
    told = (best - chance) / (1 - chance)
    return 1 - max(own - chance, 0.0) / (best - chance) if told > TOLD_APART else 1.0


def _in_time(found: Gathered, name: str, measure: Callable[[], Figures], started: float, budget: float) -> None:
    if time.perf_counter() - started > budget:
        found.unmeasured[name] = f"the budget of {budget:g} s was spent"
    else:
        found.take(name, measure)


def _trial(patient: Patient, name: str, change: Change) -> Figures:
    taken = data.settings(patient).get("settings/steps", math.nan)
    short = change.fresh and taken > 0  # begun anew, no longer than it was trained; trained on, for as long as can be
    steps = (min(steps_of(patient), int(taken)) if short else steps_of(patient)) * change.times
    change = replace(change, fresh=change.fresh and patient.make_model is not None)
    outcome = trial(patient, change, steps)
    return {f"trial_{name}/{key}": each for key, each in _figures(outcome).items()} | {
        f"trial_{name}/steps": float(steps)
    }


def _figures(outcome: Outcome) -> Figures:
    return {key: float(each) for key, each in vars(outcome).items()}


def _cured(seen: Mapping[str, float], *names: str, share: float = 0.8) -> bool:
    """Whether one of these experiments reached most of what is possible."""
    possible = derived(seen)["skill/possible"]
    return any(seen.get(f"trial_{name}/skill", 0.0) >= share * possible for name in names) and possible > NO_SIGNAL


def _inputs(seen: Mapping[str, float]) -> bool:
    offset, largest = seen.get("inputs/largest_offset", 0.0), seen.get("inputs/largest_std", 1.0)
    smallest = min(seen.get("inputs/smallest_std", 1.0), seen.get("inputs/smallest_bulk", 1.0))
    return max(offset, largest, 1 / max(smallest, 1e-30)) > FAR


def _targets(seen: Mapping[str, float]) -> bool:
    std = seen.get("targets/std", 1.0)
    return "targets/offset" in seen and max(seen["targets/offset"], std, 1 / max(std, 1e-30)) > FAR


def _ill(seen: Mapping[str, float]) -> bool:
    return not _cured(seen, "again")


def _begun_anew(seen: Mapping[str, float]) -> bool:
    """Whether the same training, begun anew, comes to much more than the model has."""
    own = max(seen.get("skill/val", 0.0), 0.0)
    return seen.get("trial_again/skill", 0.0) - own > HELPS * derived(seen)["skill/possible"] > HELPS * NO_SIGNAL


def _slower(seen: Mapping[str, float]) -> bool:
    """Whether slower steps mend half of it: then faster ones do not."""
    return _cured(seen, "slower", "slowest", share=0.5)


HELPS: Final = 0.3
"""The share of the gap that an experiment closes, and training alone does not, from which on it explains something."""

STILL: Final = 0.9
"""The share of the weights without a gradient, beyond which nothing is trained."""

OUT_OF_REACH: Final = 0.2
"""The skill that free numbers before the last activation reach at most, below which no training helps."""

COMES_ON: Final = 0.05
"""The share of the gap that a few more steps close, from which on still more are tried where nothing else helps."""

ODD: Final = ("inputs", "targets", "both", "free", "all_weights", "ending", "alone")
"""Experiments that mend what is odd about a program."""


def _unexplained(seen: Mapping[str, float]) -> bool:
    """Whether neither the same training again nor what was odd about the program cures it."""
    closes = derived(seen)
    return _ill(seen) and not any(
        _cured(seen, name, share=0.5) and closes.get(f"trial_{name}/closes", 0.0) > HELPS for name in ODD
    )


def _reaches(seen: Mapping[str, float]) -> bool:
    """Whether anything is known to be possible."""
    return derived(seen)["skill/possible"] > NO_SIGNAL


def _comes_on(seen: Mapping[str, float]) -> bool:
    """Whether more steps lead somewhere, if not far enough to say so."""
    own, possible = max(seen.get("skill/val", 0.0), 0.0), derived(seen)["skill/possible"]
    return seen.get("trial_on/skill", 0.0) - own > COMES_ON * (possible - own)


def _open(seen: Mapping[str, float]) -> bool:
    return _reaches(seen) and _unexplained(seen) and not _miswired(seen)


def _miswired(seen: Mapping[str, float]) -> bool:
    """Whether outputs follow other samples, or no input at all, or no gradient comes back, or no target is in reach.

    Whatever is tried, it is tried with that.
    """
    still = seen.get("gradients/zero_share", 0.0) + seen.get("gradients/none_share", 0.0) > STILL
    shut = (still and seen.get("ceiling/staircase", 0.0) > 0) or seen.get("ceiling/skill", 1.0) < OUT_OF_REACH
    return shut or _mixed(seen) or seen.get("arrival/moves", 1.0) + seen.get("arrival/large", 0.0) == 0


def _mixed(seen: Mapping[str, float]) -> bool:
    return seen.get("neighbours/forward", 0.0) + seen.get("neighbours/backward", 0.0) > 0


def _wild(seen: Mapping[str, float]) -> bool:
    """Whether gradients were not finite, single ones far larger than most, or larger with each step back."""
    tail, largest = seen.get("trial_again/norm_tail", 0.0), seen.get("trial_again/largest_norm", 0.0)
    grows = seen.get("reach/fresh_early", 1.0) > GROWS
    return not seen.get("trial_again/finite", 1.0) or tail > TAIL or largest > 100 * TAIL or grows


def _begins_oddly(seen: Mapping[str, float]) -> bool:
    """Whether weights begin constant, or of another scale than torch's, or units begin alike or at their rails."""
    low, high = seen.get("weights/smallest_scale", 0.0), seen.get("weights/largest_scale", 1.0)
    return (
        seen.get("weights/constant_share", 0.0) > 0
        or not (low > 0.1 and high < 2.0)
        or seen.get("weights/largest_bias", 0.0) > LARGE_BIAS
        or seen.get("stages/fresh_copies", 0.0) > 0.3
        or max(seen.get("units/standard_saturated", 0.0), seen.get("units/standard_dead", 0.0)) > 0.5
    )


EXPERIMENTS: Final[tuple[tuple[str, Change, Callable[[Mapping[str, float]], bool]], ...]] = (
    ("again", Change(), lambda _: True),
    ("inputs", Change(inputs=True), lambda seen: _ill(seen) and _inputs(seen)),
    ("targets", Change(targets=True), lambda seen: _ill(seen) and _targets(seen)),
    ("both", Change(inputs=True, targets=True), lambda seen: _unexplained(seen) and _inputs(seen) and _targets(seen)),
    (
        "free",
        Change(free=True),
        lambda seen: (
            _ill(seen)
            and not _miswired(seen)
            and seen.get("settings/weight_decay", 0.0) * (seen.get("settings/shrinks", 1.0) > SHRINKS)
            + seen.get("settings/dropout", 0.0)
            > 0
        ),
    ),
    (
        "all_weights",
        Change(all_weights=True),
        lambda seen: _ill(seen) and any(seen.get(f"gradients/{each}_share") for each in ("fixed", "away", "stray")),
    ),
    (
        "ending",
        Change(ending=True),
        lambda seen: _ill(seen) and max(seen.get("padding/share", 0.0), seen.get("padding/front", 0.0)) > ENDS,
    ),
    ("alone", Change(alone=True), lambda seen: _ill(seen) and seen.get("memory/moved", 0.0) > 0),
    ("balanced", Change(balanced=True), lambda seen: seen.get("targets/majority", 0.0) > MAJORITY),
    ("slower", Change(rate=0.1), lambda seen: _open(seen) and seen.get("settings/rate", 1.0) > SLOW),
    (
        "slowest",
        Change(rate=0.01),
        lambda seen: _open(seen) and not _cured(seen, "slower") and seen.get("settings/rate", 1.0) > 10 * SLOW,
    ),
    (
        "peak",
        Change(peak=True),
        lambda seen: _begun_anew(seen) and seen.get("settings/peak", 0.0) > seen.get("settings/rate", 1.0),
    ),
    ("clipped", Change(clip=1.0), lambda seen: _open(seen) and (_wild(seen) or _slower(seen))),
    (
        "reset",
        Change(reset=True),
        lambda seen: (
            _reaches(seen)
            and _unexplained(seen)
            and not _mixed(seen)
            and (_begins_oddly(seen) or seen.get("memory/moved", 0.0) > 0)
        ),
    ),
    (  # what a carried state has done to the weights at hand, a few steps without it do not undo
        "alone_anew",
        Change(alone=True, reset=True),
        lambda seen: _unexplained(seen) and seen.get("memory/moved", 0.0) > 0,
    ),
    (
        "on",
        Change(fresh=False),
        lambda seen: _reaches(seen) and not _miswired(seen) and not _cured(seen, *ODD, "slower"),
    ),
    (
        "on_faster",
        Change(fresh=False, rate=10.0),
        lambda seen: _open(seen) and not _cured(seen, "on") and not _slower(seen),
    ),
    (
        "on_fastest",
        Change(fresh=False, rate=100.0),
        lambda seen: (
            _open(seen)
            and not _cured(seen, "on", "on_faster")
            and not _slower(seen)
            and seen.get("moved/expected", 0) < 1
        ),
    ),
    (
        "on_longer",
        Change(fresh=False, times=3),
        lambda seen: (
            _open(seen)
            and not _cured(seen, "on", "on_faster", "on_fastest", "clipped", "reset", share=0.5)
            and not _slower(seen)
            and _comes_on(seen)
        ),
    ),
)
"""The experiments in their turn, and when each is called for by what was seen before it."""
