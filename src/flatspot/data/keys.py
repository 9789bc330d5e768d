"""From the `data` keys of a configuration to a data module."""

from collections.abc import Mapping
from typing import Any, Final

from flatspot.data.labels import Task
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Panel
from flatspot.data.roles import names_of
from flatspot.data.split import Split
from flatspot.errors import BadInput

SPLITTING: Final = {
    "val_share": "val_share",
    "test_share": "test_share",
    "val_from": "val_from",
    "test_from": "test_from",
    "until": "until",
    "split_seed": "seed",
}
"""The keys of the split, and its arguments."""


def module_from_keys(
    panel: Panel, keys: Mapping[str, Any], *, task: Task, seed: int = 0, source: Mapping[str, Any] | None = None
) -> SeriesDataModule:
    """The rows split, scaled and cut as the keys say; the panel is empty afterwards.

    Args:
        keys: those that say what to do with any rows, by their names in a configuration.
        task, seed, source: as `SeriesDataModule` has them.

    Raises:
        BadInput: naming the key and value that cannot be used.
    """
    values = dict(keys)
    split = Split(**{argument: values.pop(key) for key, argument in SPLITTING.items()})
    season = values.pop("season")
    if season is not None and season < 1:
        raise BadInput(f"data.season={season}: must be at least 1, or null for none")
    calendar = names_of(values.pop("calendar"))
    return SeriesDataModule(
        panel, split=split, calendar=calendar, task=task, seed=seed, source=source, spend=True, **values
    )
