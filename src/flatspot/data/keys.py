"""From the `data` keys of a configuration to a data module."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from flatspot.data.counted import refuse_huge
from flatspot.data.labels import Task
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Panel
from flatspot.data.roles import names_of
from flatspot.data.scaling import SCALINGS
from flatspot.data.split import Split
from flatspot.errors import BadInput
from flatspot.registry import nearest

SPLITTING: Final = {
    "val_share": "val_share",
    "test_share": "test_share",
    "val_from": "val_from",
    "test_from": "test_from",
    "until": "until",
    "split_seed": "seed",
}
"""The keys of the split, and its arguments."""

CHOICES: Final[Mapping[str, Collection[str]]] = {"scale": SCALINGS, "scale_target": SCALINGS}
"""The keys that name one of several things."""

COUNTS: Final = ("window", "horizon", "stride", "batch_size", "season", "train_windows")
"""The keys that say how many."""


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
    _refuse_names(values)
    _refuse_huge(values)
    season = values.pop("season")
    if season is not None and season < 1:
        raise BadInput(f"data.season={season}: must be at least 1, or null for none")
    calendar = names_of(values.pop("calendar"))
    twice = next((name for name in calendar if calendar.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"data.calendar=[{', '.join(calendar)}]: {twice} is named twice; once is enough")
    return SeriesDataModule(
        panel, split=split, calendar=calendar, task=task, seed=seed, source=source, spend=True, **values
    )


def _refuse_names(values: Mapping[str, Any]) -> None:
    """Refuse a misspelt choice, naming its key."""
    for key, known in CHOICES.items():
        if key in values and values[key] not in known:
            raise BadInput(f"data.{key}={values[key]}: {nearest(str(values[key]), list(known))}")


def _refuse_huge(values: Mapping[str, Any]) -> None:
    """Refuse a number of rows or windows that no machine counts up to."""
    for key in COUNTS:
        if values.get(key) is not None:
            refuse_huge(values[key], f"data.{key}")
