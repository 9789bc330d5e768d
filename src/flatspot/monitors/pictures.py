"""What a fit did to a network, as pictures."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from flatspot.monitors.looking import Look
from flatspot.report.curves import diversity_by_station, loss_gradient_by_step, sensitivity_by_step
from flatspot.report.figures import answers_by_truth, forecast_examples
from flatspot.report.forecasts import kept_of


def pictures_of(looks: Mapping[int, Look], *, forecasts: bool) -> Iterator[tuple[str, Figure]]:
    """The pictures by their tags.

    Args:
        looks: by optimizer step. forecasts: whether to draw predictions beside the truth, too.
    """
    last = looks[max(looks)]
    spreads = {
        step: seen.curves["station/spread"] for step, seen in looks.items() if seen.stations == last.stations != []
    }
    if spreads:
        yield "diversity/stations", diversity_by_station(last.stations, spreads)
    for name, drawn in (("sensitivity/by_step", sensitivity_by_step), ("loss_gradient/by_step", loss_gradient_by_step)):
        curves = {step: seen.curves[name] for step, seen in looks.items() if name in seen.curves}
        if curves:
            yield name, drawn(curves)
    if forecasts and last.outputs is not None and last.targets is not None and last.first_target is not None:
        both = (each[:, last.first_target].to("cpu").double().numpy() for each in (last.outputs, last.targets))
        yield "forecast/examples", _examples(*both)


def _examples(outputs: NDArray[np.float64], targets: NDArray[np.float64]) -> Figure:
    """Of one number for each sample, each by the true one."""
    if outputs.shape[1] == 1:
        return answers_by_truth(outputs[:, 0], targets[:, 0], "target")
    return forecast_examples(kept_of(outputs, targets), name="target")
