"""Numbers are NaN or infinite.

## What it is

Inputs, targets or weights hold NaN or infinity. One such number is enough: it goes through every sum that it meets.

## Why the outputs look alike

A NaN makes the outputs of its sample NaN, through the loss all weights, and from then on every output. Outputs that
are all NaN are all the same.

## How we know

All numbers of the samples and of the weights are looked at. Where the data are clean and the weights are not,
training has blown up: a learning rate or a gradient that was too large is then the cause, where an experiment shows
it. A run of `flatspot train` looks at each step's gradient before it is taken; by `on_not_finite` the step is then left
out, so that the weights stay finite, or taken. How many were not finite, and which was the first, is told here.

## What to try

Drop the rows or fill them. Where the data are clean, lower the learning rate or clip the gradients.
"""

from typing import Final

from flatspot.diagnosis import Finding

EXPLAINS: Final = ("dead-units", "saturated-units", "undertrained", "frozen-weights")
SICK: Final = {"finite_bad_inputs": 3.0, "finite_bad_targets": 0.0, "finite_bad_weights": 0.0}
WELL: Final = {"finite_bad_inputs": 0.0, "finite_bad_targets": 0.0, "finite_bad_weights": 0.0}

MANY: Final = 0.1
"""The share of the steps since the first bad one, from which on they are what is wrong with a network."""

LEFT_OUT: Final = "training blew up; these steps were not taken, so that the weights stayed finite"

CALMER: Final = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # and a tenth of the learning rate"


def judge(
    finite_bad_inputs: float,
    finite_bad_targets: float,
    finite_bad_weights: float,
    finite_first_bad_sample: float | None = None,
    training_not_finite: float = 0.0,
    training_first_not_finite: float | None = None,
    training_not_finite_share: float = 1.0,
    training_left_out: float = 0.0,
) -> Finding | None:
    in_data = finite_bad_inputs + finite_bad_targets
    if not in_data + finite_bad_weights + training_not_finite:
        return None
    place = f", first in training sample {finite_first_bad_sample:.0f}" if finite_first_bad_sample is not None else ""
    if in_data:
        return Finding(
            cause="not-finite",
            seen=f"{finite_bad_inputs:.0f} inputs and {finite_bad_targets:.0f} targets are NaN or infinite{place}",
            means="one of them makes the loss NaN, and then every weight",
            try_first="x = torch.nan_to_num(x)  # or drop these rows before making windows",
            override="data.missing=drop",
            confidence=0.97,
        )
    first = "" if training_first_not_finite is None else f", first at step {training_first_not_finite:,.0f}"
    many = "s" * (training_not_finite > 1)
    steps = f"the gradient of {training_not_finite:,.0f} step{many} was NaN or infinite{first}"
    weights = f"{finite_bad_weights:.0f} weights are NaN or infinite, and the data are clean"
    blown_up = bool(finite_bad_weights) or training_not_finite_share >= MANY
    if finite_bad_weights:
        seen = f"{weights}; {steps}" if training_not_finite else weights
        means = "training blew up, and all outputs are NaN since"
    elif training_left_out:
        seen = f"{steps}; the data and the weights are clean"
        means = LEFT_OUT if blown_up else "these steps were left out, and those that followed were taken"
    else:
        seen = f"{steps}; the data are clean, and so are the weights of the best epoch"
        means = "training blew up after that epoch" if blown_up else "these steps were taken, and training came through"
    return Finding(
        cause="not-finite",
        seen=seen,
        means=means,
        try_first=CALMER,
        override="trainer.gradient_clip_val=1.0",
        confidence=0.7 if blown_up else 0.2,
    )
