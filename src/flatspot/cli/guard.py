"""What Hydra itself would run for a config: refused unless it is Hydra's own.

Hydra builds its launcher, sweeper and callbacks from `_target_`, and Python's logging imports what its configuration
names, all before any job of ours begins. A folder of configs may come from a stranger, by `--config-dir`, by
`hydra.searchpath` or by a `# @package hydra`; so what is held against this list is the composed configuration itself.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from unittest.mock import patch

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from flatspot.errors import BadInput

Keys = tuple[str, ...]

TARGETS: Final[dict[Keys, str]] = {
    ("hydra", "launcher", "_target_"): "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    ("hydra", "sweeper", "_target_"): "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
}
"""What Hydra may build, and where it stands."""

HANDLERS: Final = frozenset({"logging.StreamHandler", "logging.FileHandler", "logging.NullHandler"})

STREAMS: Final = frozenset({"ext://sys.stdout", "ext://sys.stderr"})

LOG_FILE: Final = "${hydra.runtime.output_dir}/${hydra.job.name}.log"
"""The one value in the configuration of logging that is put together from others: Hydra's own."""

TEXTS: Final = (
    ("hydra", "run", "dir"),
    ("hydra", "sweep", "dir"),
    ("hydra", "sweep", "subdir"),
    ("hydra", "job", "name"),
    ("hydra", "job", "env_set", "*"),
    ("hydra", "sweeper", "params", "*"),
    ("hydra", "help", "*"),
    ("hydra", "hydra_help", "*"),
)
"""Plain text, which may be put together from other values. Elsewhere `${...}` could bring in a branch unseen."""

LOADERS_VARIABLES: Final = re.compile(r"(LD_|DYLD_|PYTHON|PATH$)")
"""Environment variables that decide what other processes load."""


@contextmanager
def guarded() -> Iterator[None]:
    """Hold every configuration that Hydra composes, a job's as well as the sweep's, against the list."""
    load = ConfigLoaderImpl.load_configuration

    def load_and_check(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:  # noqa: ANN401 - as Hydra's
        composed = load(self, *args, **kwargs)
        refuse_foreign(composed)
        return composed

    with patch.object(ConfigLoaderImpl, "load_configuration", load_and_check):
        yield


def refuse_foreign(composed: DictConfig) -> None:
    """Refuse what is not Hydra's own below `hydra`.

    Raises:
        BadInput: naming the key.
    """
    node = OmegaConf.to_container(composed, resolve=False)
    below = node.get("hydra") if isinstance(node, dict) else None
    for keys, value in _leaves(below, ("hydra",)):
        if not _is_known(keys, value):
            raise BadInput(f"{'.'.join(keys)}={value}: refused; things are named, never imported from a config")


def _leaves(node: object, keys: Keys) -> Iterator[tuple[Keys, object]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield keys, node
        return
    for key, value in items:
        yield from _leaves(value, (*keys, str(key)))


def _is_known(keys: Keys, value: object) -> bool:
    if "_target_" in keys:
        return TARGETS.get(keys) == value
    if keys[1:2] in {("job_logging",), ("hydra_logging",)}:
        return _is_known_logging(keys, value)
    if keys[1:3] == ("job", "env_set") and LOADERS_VARIABLES.match(keys[-1]):
        return False
    is_text = keys in TEXTS or (*keys[:-1], "*") in TEXTS
    return "ext://" not in str(value) and (is_text or "${" not in str(value))


def _is_known_logging(keys: Keys, value: object) -> bool:
    if "()" in keys:
        return False
    if keys[-1] == "class":
        return value in HANDLERS
    text = str(value)
    if "${" in text:
        return text == LOG_FILE
    return "://" not in text or text in STREAMS
