"""Whether each sample's output is its own: what moves with another sample of the batch, or with the batch before."""

from typing import Final, Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor, nn

from flatspot.probes.asked import asked, one_each
from flatspot.probes.undisturbed import Ask, answer, random_states_kept, undisturbed

ROUNDINGS: Final = 4
"""Figures closer than so many roundings of the largest of the batch are the same."""

STREAM: Final = 4
"""Other batches between two questions: one repeated batch can hide a state that is carried along."""

Verdict = Literal["none", "earlier", "later", "mixed", "unknown"]


@final
class Independence(NamedTuple):
    """Which samples of a batch an output depends on, beside its own.

    Args:
        verdict: "none" is right. "earlier": outputs follow samples that stand before them in the batch and never those
            behind (the recurrence runs along the batch). "later": the reverse. "mixed": both, or most of the outputs
            that follow others do not follow their own sample (a reshape that scrambles samples, statistics of the
            batch). "unknown": no swap moved any output, which is so for one sample, for equal ones and for a constant
            answer; or an output is not finite, or answers do not repeat.
        replaced: the positions j whose sample was replaced by another of the batch.
        moved: `[j, i]`, whether output i was then another one.
        repeatable: the same batch, asked twice from the same state with the same random draws, has the same answers.
            None for an empty batch.
        remembers: the answers to the same batch change once the model has answered it, or other batches: a state is
            carried from call to call. A random initial state is none, since each question meets the same draws. None
            where answers do not repeat.
    """

    verdict: Verdict
    replaced: Int[Tensor, " replaced"]
    moved: Bool[Tensor, "replaced sample"]
    repeatable: bool | None
    remembers: bool | None


def independence(
    module: nn.Module, x: Shaped[Tensor, "sample *input"], *, ask: Ask | None = None, most: int = 16, seed: int = 0
) -> Independence:
    """Replaces one sample at a time by another one of the batch, and looks which outputs move; in evaluation mode.

    Real samples are swapped in, no noise is added: x may be numbers of any kind, or ids. Batches keep their size and
    each output its place, where kernels are bitwise the same; allowed are 4 roundings (of the outputs' precision) of
    an output's largest size in the batch, so that figures which were summed in another order are the same.
    Cost: one call for each replaced sample, and 8 more.

    Args:
        x: a small batch; 8 samples will do.
        ask: how the module is asked; None: by its forward.
        most: samples that are replaced, in equal distances, the first and the last among them.
        seed: of the samples that are put in, and of the other batches, which are drawn from this one.

    Raises:
        ValueError: where there is not one prediction for each input.

    >>> independence(nn.Linear(3, 1), torch.randn(4, 3)).verdict
    'none'
    >>> class AlongTheBatch(nn.Module):
    ...     def forward(self, x):
    ...         return x.cumsum(dim=0)
    >>> found = independence(AlongTheBatch(), torch.randn(3, 1))
    >>> found.verdict, found.moved.int().tolist()
    ('earlier', [[1, 1, 1], [0, 1, 1], [0, 0, 1]])
    """
    ask = ask or answer(module)
    generator = torch.Generator().manual_seed(seed)
    if not len(x):
        return Independence("unknown", torch.empty(0).long(), torch.empty(0, 0).bool(), None, None)
    own = asked(module, ask, x)
    repeatable = not _moved(own, asked(module, ask, x)).any().item()
    swaps = _swaps(x, most, generator)
    moved = [_moved(own, asked(module, ask, x[order.to(x.device)])).cpu() for _, order in swaps]
    replaced = torch.tensor([j for j, _ in swaps], dtype=torch.long)
    matrix = torch.stack(moved) if moved else torch.empty(0, len(x), dtype=torch.bool)
    told = repeatable and bool(own.isfinite().all())
    return Independence(
        verdict=_verdict(replaced, matrix) if told else "unknown",
        replaced=replaced,
        moved=matrix,
        repeatable=repeatable,
        remembers=_remembers(module, ask, x, generator) if repeatable else None,
    )


def _moved(before: Tensor, after: Tensor) -> Tensor:
    """Which samples have another output, `[sample]`; NaN is NaN's equal."""
    first, second = _rows(before), _rows(after)
    same = (first == second) | (first.isnan() & second.isnan())
    if first.is_floating_point():
        largest = first.abs().nan_to_num(nan=0, posinf=0).amax(dim=0)
        same |= (first - second).abs() <= ROUNDINGS * torch.finfo(first.dtype).eps * largest
    return ~same.all(dim=1)


def _rows(x: Tensor) -> Tensor:
    return x.flatten(1) if x.dim() > 1 else x.unsqueeze(1)


def _swaps(x: Tensor, most: int, generator: torch.Generator) -> list[tuple[int, Tensor]]:
    """Positions, each with the order of samples that has another one there; none of a sample that all others equal."""
    rows = _rows(x).cpu()
    swaps = []
    for j in torch.linspace(0, len(x) - 1, min(most, len(x))).round().long().tolist():
        differs = (rows != rows[j]).any(dim=1)
        differs[j] = False  # NaN differs from itself
        others = differs.nonzero().flatten()
        if len(others):
            order = torch.arange(len(x))
            order[j] = others[torch.randint(len(others), (), generator=generator)]
            swaps.append((j, order))
    return swaps


def _verdict(replaced: Tensor, moved: Tensor) -> Verdict:
    places = torch.arange(moved.shape[1])
    by_later = moved & (places < replaced.unsqueeze(1))
    by_earlier = moved & (places > replaced.unsqueeze(1))
    if not (by_later | by_earlier).any():
        return "none" if moved.any() else "unknown"
    if by_later.any() == by_earlier.any() or _elsewhere(replaced, moved, by_later | by_earlier):
        return "mixed"
    return "later" if by_later.any() else "earlier"


def _elsewhere(replaced: Tensor, moved: Tensor, by_others: Tensor) -> bool:
    """Whether most outputs that other samples move are not moved by their own."""
    follows_others = by_others.any(dim=0)[replaced]
    follows_own = moved[torch.arange(len(replaced)), replaced]
    return bool((follows_others & ~follows_own).sum() > (follows_others & follows_own).sum())


def _remembers(module: nn.Module, ask: Ask, x: Tensor, generator: torch.Generator) -> bool:
    """Whether the answers change after the same batch, or after a stream of batches drawn from it."""
    draws = [torch.randint(len(x), (len(x),), generator=generator) for _ in range(STREAM)]
    stream = [x, x, *(x[draw.to(x.device)] for draw in draws), x]
    with undisturbed(module), torch.no_grad():
        answers = [_from_the_same_draws(module, ask, each) for each in stream]
    return bool(_moved(answers[0], answers[1]).any() or _moved(answers[0], answers[-1]).any())


def _from_the_same_draws(module: nn.Module, ask: Ask, x: Tensor) -> Tensor:
    with random_states_kept(module):
        return one_each(ask(x).detach().clone(), x)
