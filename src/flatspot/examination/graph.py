"""What a result could be differentiated by, read off its graph."""

from typing import Any, Final

from torch import Tensor

VIEWS: Final = frozenset(
    f"{name}Backward0"
    for name in (
        "T",
        "Transpose",
        "Permute",
        "View",
        "UnsafeView",
        "Reshape",
        "Expand",
        "Unsqueeze",
        "Squeeze",
        "Slice",
    )
)
"""Steps that only look at a tensor in another way."""


def leaves_behind(said: Tensor) -> list[Tensor]:
    """The leaves of a result's graph."""
    found: dict[int, Tensor] = {}
    seen, ahead = set(), [said.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, Tensor):
            found[id(leaf)] = leaf
        ahead += [each for each, _ in node.next_functions]
    return list(found.values())


def multiplied_by(said: Tensor, free: Tensor) -> list[Tensor]:
    """The leaves that meet what depends on `free` on its way to the result; not those on a way of their own."""
    follows: dict[Any, bool] = {}
    order: list[Any] = []
    ahead = [(said.grad_fn, False)]
    while ahead:  # each node behind all that it depends on
        node, done = ahead.pop()
        if done:
            order.append(node)
        elif node is not None and node not in follows:
            follows[node] = False
            ahead.append((node, True))
            ahead += [(each, False) for each, _ in node.next_functions]
    for node in order:
        follows[node] = getattr(node, "variable", None) is free or any(
            follows.get(each, False) for each, _ in node.next_functions
        )
    beside = [each for node in order if follows[node] for each, _ in node.next_functions if not follows.get(each, True)]
    return [leaf for leaf in map(_leaf, beside) if leaf is not None]


def _leaf(node: Any) -> Tensor | None:
    """The leaf that a node is, seen in some way."""
    while type(node).__name__ in VIEWS:
        node = node.next_functions[0][0]
    leaf = getattr(node, "variable", None)
    return leaf if isinstance(leaf, Tensor) else None
