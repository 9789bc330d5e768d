"""The information ladder: how much of the targets a straight line finds in the inputs, in the states, and the model."""

import math
from collections.abc import Callable
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.probes.errors import forecast_errors
from flatspot.probes.moments import widest
from flatspot.probes.references import fit_ridge
from flatspot.probes.stations import state_names, station_values
from flatspot.probes.undisturbed import Ask, undisturbed

Samples = tuple[Tensor, Tensor]
"""Inputs `[sample, *input]` and targets `[sample, *output]`."""

States = Callable[[Tensor], Tensor]

AT_ONCE: Final = 256
"""Samples that a module is asked for in one call."""

KEPT_BACK: Final = 5
"""One in so many training samples, the last ones, chooses the ridge penalty."""

FEWEST: Final = 2 * KEPT_BACK
"""Training samples below which nothing is fitted."""


@final
class Ladder(NamedTuple):
    """Held-out R² on three rungs; NaN where there is no figure.

    Args:
        inputs: of ridge from the flattened inputs. states: of ridge from the encoder's last state.
        model: of the model's own outputs.
    """

    inputs: float
    states: float
    model: float

    @property
    def lost_by_encoder(self) -> float:
        """The first gap: what a straight line finds in the inputs and not in the states. Below 0: it was unfolded."""
        return self.inputs - self.states

    @property
    def lost_by_head(self) -> float:
        """The second gap: what a straight line finds in the states and the model does not say: head or optimizer."""
        return self.states - self.model


def information_ladder(
    module: nn.Module, train: Samples, val: Samples, states: States | str | None = None, *, ask: Ask | None = None
) -> Ladder:
    """Held-out R² of ridge from the inputs, of ridge from the states, and of the model.

    All three are scored on the same held-out samples, R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)² over all outputs with ȳ each
    output's own mean there, and the held-out samples choose nothing: ridge is fitted on the first four fifths of the
    training samples, and its penalty chosen on the last fifth. A model that has learned its training samples by heart
    has states that have, too: the rung of its states is low, as is its own.

    A straight line is blind to much of what can be known: R² near 0 from the inputs is no sign that nothing is there.
    Of inputs `[sample, time, channel]` with more than 2,048 numbers the oldest steps are left out.

    Args:
        train, val: inputs and targets, `train` in the order of time.
        states: a function from inputs to states `[sample, *feature]`; or the dotted name of a module, whose state or
            output is read (of stacked recurrent layers the last; `rnn.l0` is the first); None: the last recurrent layer
            or cell that is called.
        ask: how the module is asked; None: by its forward.

    Raises:
        ValueError: for a name that no module has which is called, or outputs that are not as many as the targets.

    Cost: each sample goes through the module once, and two ridge regressions, on the host.

    Source: linear probes, Alain & Bengio 2016 (arXiv 1610.01644).
    """
    seen = _seen(module, train[0], states, ask), _seen(module, val[0], states, ask)
    y = [_rows(widest(targets)).cpu() for _, targets in (train, val)]
    output = _rows(seen[1]["output"])
    if output.shape != y[1].shape:
        raise ValueError(f"val: targets of {tuple(y[1].shape)} beside outputs of {tuple(output.shape)}")
    return Ladder(
        inputs=_ridge_r2(train[0].cpu(), y[0], val[0].cpu(), y[1]),
        states=_ridge_r2(seen[0]["states"], y[0], seen[1]["states"], y[1]),
        model=_r2(output, y[1]),
    )


def _seen(module: nn.Module, x: Tensor, states: States | str | None, ask: Ask | None) -> dict[str, Tensor]:
    """The states and outputs of all samples, asked for a part at a time."""
    parts = [_part(module, each, states, ask) for each in torch.split(x, _size(x))]
    return {name: torch.cat([part[name] for part in parts]).cpu() for name in ("states", "output")}


def _size(x: Tensor) -> int:
    """Samples at once, as many as no other axis is long, so that the samples are told apart."""
    fitting = (size for size in range(AT_ONCE, AT_ONCE // 2, -1) if not {size, len(x) % size} & {*x.shape[1:]})
    return next(fitting, AT_ONCE)


def _part(module: nn.Module, x: Tensor, states: States | str | None, ask: Ask | None) -> dict[str, Tensor]:
    values = station_values(module, x, ask=ask)
    if "output" not in values:
        raise ValueError("module: its output has no axis of samples")
    if callable(states):
        with undisturbed(module), torch.no_grad():
            return {"states": states(x), "output": values["output"]}
    return {"states": values[_state_name(module, values, states)], "output": values["output"]}


def _state_name(module: nn.Module, values: dict[str, Tensor], asked: str | None) -> str:
    names = state_names(module, values)
    if asked is not None:
        names = [name for name in values if name == asked or (name.rpartition(".l")[0] == asked and name in names)]
    if not names:
        what = "no recurrent layer or cell was called" if asked is None else f"{asked!r} was not called"
        raise ValueError(f"states: {what}; known: {', '.join(values)}")
    return names[-1]


def _ridge_r2(x: Tensor, y: Tensor, x_val: Tensor, y_val: Tensor) -> float:
    if len(x) < FEWEST or not len(x_val) or not all(each.isfinite().all() for each in (x, y, x_val)):
        return math.nan
    first, windows, targets = len(x) - len(x) // KEPT_BACK, _windows(x), y.unsqueeze(-1)
    ridge = fit_ridge(lambda: [(windows[:first], targets[:first])], lambda: [(windows[first:], targets[first:])])
    return _r2(ridge.predict(_windows(x_val)).squeeze(-1), y_val)


def _windows(x: Tensor) -> Float[Tensor, "sample time channel"]:
    return x if x.dim() == 3 else _rows(x).unsqueeze(1)


def _rows(x: Tensor) -> Float[Tensor, "sample feature"]:
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _r2(predictions: Float[Tensor, "sample output"], targets: Float[Tensor, "sample output"]) -> float:
    return forecast_errors(predictions.unsqueeze(-1), targets.unsqueeze(-1)).r2
