"""In which order a stranger's inputs have their axes, as the first layer that meets them takes them."""

from dataclasses import replace
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from flatspot.errors import BadInput
from flatspot.examination.patient import Patient
from flatspot.examination.samples import Samples, leaves, mapped, series_among
from flatspot.probes.undisturbed import random_states_kept, undisturbed

ORDERS: Final = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (2, 0, 1))
"""Orders of axes in which a series may come to a layer."""

SECOND: Final = (nn.Conv1d, nn.BatchNorm1d, nn.InstanceNorm1d)
"""Layers that take channels for the second axis."""

LAST: Final = (nn.RNNBase, nn.RNNCellBase)
"""Layers that take channels for the last. What a linear layer takes may as well be time: some mix along it."""


def time_before_channels(patient: Patient) -> Patient:
    """The same with its series as `[sample, time, channel]`, where its first layer says that channels come first.

    The model is still asked with its own order.
    """
    x, y = patient.train.batches[0]
    try:
        slot = series_among(x, len(y))
        if slot.dim() != 3 or len(slot) != len(y) or not slot.is_floating_point():
            return patient
        if not _channels_first(patient, x, slot):
            return patient
    except (Exception, BadInput):  # noqa: BLE001 - told by what asks the model for its answers
        return patient
    place = next(place for place, each in enumerate(leaves(x)) if each is slot)
    return replace(patient, train=_time_second(patient.train), val=_time_second(patient.val), channels_first=place)


def _channels_first(patient: Patient, x: Any, slot: Tensor) -> bool:
    told: list[bool] = []  # by the first layer that is given the series

    def note(part: nn.Module, given: tuple[Any, ...]) -> None:
        each = next(leaves(given), None)
        if each is not None and not told:
            told.extend(_stands_first(each, 1 if isinstance(part, SECOND) else each.dim() - 1, slot))

    parts = [each for each in patient.model.modules() if isinstance(each, (*SECOND, *LAST))]
    handles = [part.register_forward_pre_hook(note) for part in parts]
    try:
        with undisturbed(patient.model), random_states_kept(patient.model), torch.no_grad():
            patient.ask(x)
    finally:
        for handle in handles:
            handle.remove()
    return any(told)


def _stands_first(given: Tensor, axis: int, slot: Tensor) -> list[bool]:
    """Whether the channels that a layer takes are the series' second axis; nothing, where it is given something else.

    >>> series = torch.arange(24.0).reshape(2, 3, 4)
    >>> _stands_first(series.permute(2, 0, 1), 2, series), _stands_first(series[:, 0], 1, series)
    ([True], [False])
    """
    if given.dim() == 3:
        for order in ORDERS:
            if given.shape == slot.permute(order).shape and torch.equal(given, slot.permute(order)):
                return [order[axis] == 1]
        return []
    for time, first in ((1, False), (2, True)):
        for step in (0, -1):
            one = slot.select(time, step)
            if given.shape == one.shape and torch.equal(given, one):
                return [first]
    return []


def _time_second(samples: Samples) -> Samples:
    batches = []
    for x, y in samples.batches:
        slot = series_among(x, len(y))
        batches.append((mapped(x, partial(_turned, slot=slot)), y))
    return replace(samples, batches=batches, _joined=[]).reread(_time_second)


def _turned(each: Tensor, slot: Tensor) -> Tensor:
    return each.transpose(1, 2) if each is slot else each
