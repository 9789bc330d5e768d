"""One question to a model: each starts from the same state and meets the same random draws."""

import torch
from torch import Tensor, nn

from flatspot.probes.undisturbed import Ask, undisturbed


def asked(module: nn.Module, ask: Ask, x: Tensor) -> Tensor:
    """The predictions `[sample, *output]` for these inputs, in evaluation mode, without a gradient.

    Whatever the call changes is put back, so that two answers differ by their inputs alone: not by a state that is
    carried from call to call, nor by a random initial state.

    Raises:
        ValueError: where there is not one prediction for each input.
    """
    with undisturbed(module), torch.no_grad():
        return one_each(ask(x).detach().clone(), x)


def one_each(predictions: Tensor, x: Tensor) -> Tensor:
    """The predictions, if there is one for each input."""
    if not predictions.dim() or len(predictions) != len(x):
        raise ValueError(
            f"predictions of shape {tuple(predictions.shape)} for {len(x)} inputs: [sample, *output] wanted"
        )
    return predictions
