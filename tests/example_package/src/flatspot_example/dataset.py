"""The logistic map: deterministic, and unpredictable a few steps ahead (May 1976)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flatspot.errors import BadInput

if TYPE_CHECKING:
    from flatspot.data.panel import Series


def logistic(steps: int = 400, growth: float = 3.9) -> Series:
    if not 0 < growth <= 4:
        raise BadInput(f"data.growth={growth}: must lie between 0 and 4")
    from flatspot.data.panel import Series  # noqa: PLC0415 - torch-free, and late as packages like it

    values = [0.5]
    for _ in range(steps - 1):
        values.append(growth * values[-1] * (1 - values[-1]))
    return Series("logistic", ("population",), 1, np.array(values)[:, None])
