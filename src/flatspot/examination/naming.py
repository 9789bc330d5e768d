"""What the parts of a stranger's model are called, so that what is suggested can be pasted."""

from collections.abc import Callable, Mapping
from typing import Final

from torch import Tensor, nn

from flatspot.evidence import are_names
from flatspot.examination.patient import Patient
from flatspot.examination.states import head_of
from flatspot.examination.wiring import cut_off

MOST: Final = 3
"""Parts that are named; of more, one speaks of the whole model."""


def names_of(patient: Patient, figures: Mapping[str, float]) -> dict[str, str]:
    """Dotted names by what they are of: the head, the recurrent layer, parts that do not learn, and why they do not.

    Of targets the key under which a batch has them. Only names by which Python finds the part: `layers.0` where
    `layers[0]` is one. What cannot be told has none.

    Args:
        figures: what was measured, which says what is worth looking for.
    """
    found: dict[str, str] = {}
    asked: dict[str, Callable[[Patient], list[str]]] = {
        "head/name": lambda patient: [head_of(patient)],
        "recurrent/name": _recurrent,
        "fixed/parts": _fixed,
        "away/parts": _away,
    }
    if are_names(patient.train.target):
        found["targets/name"] = patient.train.target
    if figures.get("gradients/cut_share"):
        asked["cut/parts"] = lambda patient: parts_of(patient.model, cut_off(patient))
    for what, ask in asked.items():
        several = _unless_refused(patient, ask)
        named = [each for each in several if each and _is_found(patient.model, each)]
        if 0 < len(named) == len(several) <= MOST and are_names(", ".join(named)):
            found[what] = ", ".join(named)
    return found


def _unless_refused(patient: Patient, ask: Callable[[Patient], list[str]]) -> list[str]:
    try:
        return ask(patient)
    except Exception:  # noqa: BLE001 - a stranger's model may refuse to be asked: then there is no name
        return []


def parts_of(model: nn.Module, weights: set[str], within: str = "") -> list[str]:
    """The largest parts all of whose weights are among these, by their dotted names; `""` is the model itself.

    >>> net = nn.ModuleDict({"encoder": nn.GRU(1, 2), "head": nn.Linear(2, 1)})
    >>> parts_of(net, {name for name, _ in net.named_parameters() if name != "head.bias"})
    ['encoder', 'head.weight']
    """
    own = {f"{within}{name}" for name, _ in model.named_parameters()}
    if own and own <= weights:
        return [within.removesuffix(".")]
    direct = [f"{within}{name}" for name, _ in model.named_parameters(recurse=False)]
    below = [parts_of(child, weights, f"{within}{name}.") for name, child in model.named_children()]
    return [name for name in direct if name in weights] + [name for each in below for name in each]


def _recurrent(patient: Patient) -> list[str]:
    """The first layer whose recurrent weights are called as torch calls them."""
    parts = patient.model.named_modules()
    return [name for name, part in parts if isinstance(getattr(part, "weight_hh_l0", None), Tensor)][:1]


def _fixed(patient: Patient) -> list[str]:
    fixed = {name for name, each in patient.model.named_parameters() if not each.requires_grad}
    return parts_of(patient.model, fixed)


def _away(patient: Patient) -> list[str]:
    """Modules that the optimizer does not hold."""
    if patient.optimizer is None:
        return []
    held = {id(each) for group in patient.optimizer.param_groups for each in group["params"]}
    named = patient.model.named_parameters()
    away = parts_of(patient.model, {name for name, each in named if each.requires_grad and id(each) not in held})
    modules = dict(patient.model.named_modules())
    return away if all(each in modules for each in away) else []


def _is_found(model: nn.Module, name: str) -> bool:
    """Whether attributes, and the numbers of lists, lead to the part of this name."""
    part: object = model
    for each in name.split("."):
        if each.isdigit() and not isinstance(part, nn.Sequential | nn.ModuleList):
            return False
        part = (
            part[int(each)]
            if isinstance(part, nn.Sequential | nn.ModuleList) and each.isdigit()
            else getattr(part, each, None)
        )
    return isinstance(part, nn.Module | Tensor)
