"""`data=` and `model=` of installed packages: what they add is a choice like our own files."""

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final

from hydra.core.config_store import ConfigStore

from flatspot.cli.schema import GIVEN, SOURCE_KEYS, options
from flatspot.registry import installed

GROUPS: Final = {"data": "flatspot.datasets", "model": "flatspot.models"}


def offer(typed: Sequence[str]) -> None:
    """Make every added name a choice of its group, with its knobs. A model is imported only where it is named.

    Args:
        typed: the command line.
    """
    words = {part for word in typed for part in re.split("[=,'\"]", word)}
    for group, entries in GROUPS.items():
        for entry in installed(entries):
            known = group == "data" or entry.name in words
            ConfigStore.instance().store(entry.name, _node(group, entry) if known else {"name": entry.name}, group)


def _node(group: str, entry: EntryPoint) -> dict[str, Any]:
    """The name and the defaults of what it builds."""
    try:
        own = options(entry.load(), without=(*GIVEN, *SOURCE_KEYS))
    except Exception:  # noqa: BLE001 - the registry will say so, when it is looked up
        return {"name": entry.name}
    loss = {"loss": "mse"} if group == "model" else {}
    return {"name": entry.name, **loss, **{key: default for key, (_, default) in own.items()}}
