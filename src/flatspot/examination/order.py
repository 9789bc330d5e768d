"""Whether targets slip from their inputs little by little: rows that one of two tables lost, here and there."""

from typing import Final

import torch
from torch import Tensor

from flatspot.examination.outputs import columns
from flatspot.examination.patient import NotGiven, Patient
from flatspot.examination.time import continues, slides

Figures = dict[str, float]

BLOCK: Final = 50
"""Samples in which the slip is taken to be one number."""

FEWEST: Final = 6
"""Blocks, below which a slip is not told from chance."""

FARTHEST: Final = 32
"""Samples that targets may have slipped by."""

AXES: Final = 8
"""Numbers that a sample is told by."""

WIDEST: Final = 192
"""Numbers of a window that axes are looked for in: those that differ most."""

MOST_OUTPUTS: Final = 4

FAR: Final = 5
"""Times that targets are moved so far that none stays near its own, for what the same search finds by chance."""


def drift(patient: Patient) -> Figures:
    """How much more a straight line finds where targets may slip farther and farther than where they stay.

    In blocks of 50 samples, each answered by the others of its block; from block to block the slip only grows, or only
    falls. R² above that of no slip, and above what the same search finds in targets that were moved far away; 0: none.
    """
    patient = patient.in_order
    series, y = patient.train.series(), patient.on_train.targets[:, :MOST_OUTPUTS].double()
    if series.dim() > 1 and series.shape[1] > 1 and (slides(series) or continues(series)):
        return {"pairs/drifting": 0.0}  # neighbours have much in common
    count = len(y) // BLOCK
    if count < FEWEST:
        raise NotGiven("there are too few samples")
    x = columns(patient.train, patient.val).double()
    if not (x.isfinite().all() and y.isfinite().all()):
        raise NotGiven("inputs or targets are not finite")
    hats = _hats(_told_by(x)[: count * BLOCK].reshape(count, BLOCK, -1))
    slipped, stayed, end = _path(_skills(hats, y))
    chance = max(_path(_skills(hats, y.roll(len(y) * part // (FAR + 1), 0)))[0] for part in range(1, FAR + 1))
    return {
        "pairs/drifting": max(slipped - max(stayed, chance, 0.0), 0.0),
        "pairs/drift_skill": slipped,
        "pairs/drift_end": end,
    }


def _told_by(x: Tensor) -> Tensor:
    """Each window as a few numbers: means of channels, and the axes along which the rest of it differs most."""
    means = x.mean(dim=1)[:, : AXES // 2] if x.shape[1] > 1 else x[:, 0, :0]
    flat = (x - x.mean(dim=1, keepdim=True) if x.shape[1] > 1 else x).flatten(1)
    flat = flat - flat.mean(dim=0)
    if flat.shape[1] > WIDEST:
        flat = flat[:, flat.square().sum(dim=0).topk(WIDEST).indices]
    axes = torch.linalg.eigh(flat.T @ flat).eigenvectors[:, -(AXES - means.shape[1]) :]
    return torch.cat([means, flat @ axes], dim=1)


def _hats(blocks: Tensor) -> Tensor:
    """For each block the matrix from targets to what is left of them, where each is answered by the others."""
    whole = torch.cat([torch.ones_like(blocks[..., :1]), blocks], dim=2)
    basis = torch.linalg.qr(whole).Q
    left = torch.eye(blocks.shape[1], device=blocks.device, dtype=blocks.dtype) - basis @ basis.mT
    alone: Tensor = left / left.diagonal(dim1=1, dim2=2).clamp(min=1e-9).unsqueeze(2)
    return alone


def _skills(hats: Tensor, y: Tensor) -> Tensor:
    """R² of each block with targets of so many samples later, `[block, shift]`."""
    count, size, _ = hats.shape
    found = []
    for shift in range(-FARTHEST, FARTHEST + 1):
        held = y.roll(-shift, 0)[: count * size].reshape(count, size, -1)
        whole = (held - held.mean(dim=1, keepdim=True)).square().sum(dim=(1, 2)).clamp(min=1e-30)
        found.append(1 - (hats @ held).square().sum(dim=(1, 2)) / whole)
    return torch.stack(found, dim=1).clamp(min=-1)


def _path(skills: Tensor) -> tuple[float, float, float]:
    """The mean R² of the best way through the blocks, that of no slip, and the slip at the way's end."""
    ways = []
    for turned in (skills, skills.flip(1)):
        best = turned[0]
        for block in turned[1:]:
            best = best.cummax(dim=0).values + block
        ways.append(best)
    last = torch.stack([ways[0], ways[1].flip(0)]).amax(dim=0)
    at = int(last.argmax())
    return last[at].item() / len(skills), skills[:, FARTHEST].mean().item(), float(at - FARTHEST)
