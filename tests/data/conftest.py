"""Series that the tests of the data share."""

import numpy as np
import pytest

from flatspot.data.panel import Panel

HOUR = np.timedelta64(1, "h")


@pytest.fixture(scope="session")
def panel_with():
    """Build a panel of series of these lengths: values drawn unless given; hourly stamps, all from one day, or none."""

    def build(*lengths, values=None, channels=1, targets=1, hourly=False, start="2024-01-01", **more):
        rows = sum(lengths)
        if values is None:
            values = 50 + 7 * np.random.default_rng(rows).normal(size=(rows, channels))
        values = np.asarray(values, float).reshape(rows, -1)
        if hourly:
            steps = np.concatenate([np.arange(length) for length in lengths])
            more |= {"times": np.datetime64(start, "us") + steps * HOUR, "frequency": "1h"}
        columns = tuple(f"c{number}" for number in range(values.shape[1]))
        names = tuple(f"s{number}" for number in range(len(lengths)))
        return Panel("made", columns, targets, [values.copy()], np.array(lengths), names, **more)

    return build
