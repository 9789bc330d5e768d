"""`data=` and `model=` of installed packages: what they add is a choice like our own files."""

import inspect
import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any, Final

from hydra.core.config_store import ConfigStore

from flatspot.cli.schema import GIVEN
from flatspot.registry import installed

GROUPS: Final = {"data": "flatspot.datasets", "model": "flatspot.models"}


def offer(typed: Sequence[str]) -> None:
    """Make every added name a choice of its group. Only what the command line names is imported, for its knobs.

    Args:
        typed: the command line.
    """
    for group, entries in GROUPS.items():
        for entry in installed(entries):
            named = any(entry.name in re.split("[=,]", word) for word in typed)
            ConfigStore.instance().store(entry.name, _node(group, entry) if named else {"name": entry.name}, group)


def _node(group: str, entry: EntryPoint) -> dict[str, Any]:
    """The name and the defaults of what it builds."""
    try:
        build = entry.load()
    except Exception:  # noqa: BLE001 - the registry will say so, when it is looked up
        return {"name": entry.name}
    loss = {"loss": "mse"} if group == "model" else {}
    parameters = inspect.signature(build).parameters.values()
    known = [each for each in parameters if each.default is not each.empty and each.name not in GIVEN]
    return {"name": entry.name, **loss, **{each.name: _plain(each.default) for each in known}}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any default
    return list(value) if isinstance(value, tuple) else value
