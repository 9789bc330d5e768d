"""What the tests' check of shapes (shapes.py) refuses: a size that differs within a call, and a wrong type."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from jaxtyping import Float
from shapes import checked, typed
from torch import Tensor

from flatspot.probes.diversity import output_diversity


@checked(typechecker=typed)
def summed(x: Float[Tensor, "batch time"], weights: Float[Tensor, " time"] | None = None) -> Float[Tensor, " batch"]:
    return x.T.sum(1) if weights is None else (x * weights).sum(1)


@checked(typechecker=typed)
def counted(number: int) -> str:
    return number


class Halves(NamedTuple):
    first: Tensor

    @property
    @checked(typechecker=typed)
    def whole(self) -> Float[Tensor, "sample 2"]:
        return self.first


def test_an_axis_has_one_size_in_a_call_and_may_have_another_in_the_next():
    for batch, time in ((2, 3), (4, 5)):
        assert summed(torch.ones(batch, time), torch.ones(time)).tolist() == [time] * batch


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: summed(torch.ones(2, 3), torch.ones(2)),
        lambda: summed(torch.ones(2, 3, 1), torch.ones(3)),
        lambda: summed(torch.ones(2, 3).int(), torch.ones(3)),
        lambda: summed(torch.ones(2, 3)),  # gives [time]
        lambda: counted("3"),
        lambda: counted(3),  # gives a number
        lambda: Halves(torch.ones(3, 1)).whole,
        lambda: output_diversity(torch.ones(5, 2), torch.ones(4, 2)),
    ],
)
def test_what_differs_is_refused(wrong):
    with pytest.raises(TypeError, match="violates type hint"):
        wrong()


def test_every_function_of_ours_is_checked_in_this_way():
    """Not in jaxtyping's own, which takes seven times as long."""
    assert Path(output_diversity.__code__.co_filename).name == "shapes.py"
