"""What Hydra itself would run for a config: refused unless it is Hydra's own.

Hydra builds its launcher, sweeper and callbacks from `_target_`, and Python's logging imports what its configuration
names, all before any job of ours begins. A folder of configs may come from a stranger, by `--config-dir`, by
`hydra.searchpath` or by a `# @package hydra`; so what is held against this list is the composed configuration itself.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, OmegaConf

from flatspot.errors import BadInput

Keys = tuple[str, ...]

TARGETS: Final[dict[Keys, frozenset[str]]] = {
    ("hydra", "launcher", "_target_"): frozenset(
        {
            "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
            "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
            "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
            "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher",
            "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
        }
    ),
    ("hydra", "sweeper", "_target_"): frozenset(
        {
            "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
            "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
        }
    ),
    ("hydra", "sweeper", "sampler", "_target_"): frozenset(
        f"optuna.samplers.{name}Sampler" for name in ("TPE", "Random", "CmaEs", "NSGAII", "MOTPE", "Grid")
    ),
}
"""What Hydra may build, and where it stands."""

ENGINES: Final = {("hydra", "launcher"), ("hydra", "sweeper")}
"""Below these some texts are run (a cluster's `setup`, a `custom_search_space`, Ray's `runtime_env`) or decide who runs
our jobs: a text that is none of these must be typed."""

ENGINES_TEXTS: Final = {
    ("hydra", "launcher", "submitit_folder"): "${hydra.sweep.dir}/.submitit/%j",
    ("hydra", "launcher", "name"): "${hydra.job.name}",
    ("hydra", "launcher", "prefer"): "processes",
    ("hydra", "launcher", "pre_dispatch"): "2*n_jobs",
    ("hydra", "launcher", "batch_size"): "auto",
    ("hydra", "launcher", "mmap_mode"): "r",
    ("hydra", "sweeper", "direction"): "minimize",
    ("hydra", "sweeper", "direction", "0"): "minimize",
    ("hydra", "sweeper", "direction", "1"): "minimize",
}
"""Their own defaults."""

FREE: Final = {("hydra", "launcher", "additional_parameters"), ("hydra", "launcher", "ray")}
"""Below these an engine takes any key, and so any key but these must be typed, whatever its value."""

RAYS: Final = frozenset(
    ("hydra", "launcher", "ray", part, key)
    for part, key in (
        ("init", "address"),
        ("init", "num_cpus"),
        ("init", "object_store_memory"),
        ("remote", "num_cpus"),
        ("remote", "num_gpus"),
    )
)
"""Numbers that are Ray's, and the address, which is none unless it is typed."""

SHOWN: Final = {("hydra", "help"), ("hydra", "hydra_help")}
"""Texts of several lines that are only shown."""

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
    ("hydra", "overrides", "hydra", "*"),
    ("hydra", "overrides", "task", "*"),
    ("hydra", "job", "override_dirname"),
)
"""Plain text, which may be put together from other values. Elsewhere `${...}` could bring in a branch unseen."""

OURS: Final = {"let_go": {"_target_": "flatspot.cli.letting_go.LetGo"}}
"""The callbacks that Hydra is given, by no config: what it would keep of each job is dropped."""

_guards = False
"""Whether this process is a launcher's worker that is guarded already."""

LOADERS_VARIABLES: Final = re.compile(r"(LD_|DYLD_|PYTHON|PATH$)")
"""Environment variables that decide what other processes load."""


@contextmanager
def guard(typed: Sequence[str], seen: Callable[[DictConfig], None] | None = None) -> Iterator[None]:
    """Inside, hold every configuration that Hydra composes, a job's as well as the sweep's, against the list.

    Args:
        typed: the words of the command line. seen: is shown what has passed.
    """
    load = ConfigLoaderImpl.load_configuration
    _stand_guard(typed, seen)
    try:
        yield
    finally:
        ConfigLoaderImpl.load_configuration = load  # type: ignore[method-assign]


def guard_worker(typed: Sequence[str]) -> None:
    """The same for the rest of this process, which has unpickled a job and will compose its configuration."""
    global _guards  # noqa: PLW0603 - as long as the process lives
    if not _guards:
        _stand_guard(typed)
        _guards = True


def _stand_guard(typed: Sequence[str], seen: Callable[[DictConfig], None] | None = None) -> None:
    load = ConfigLoaderImpl.load_configuration
    keys = frozenset(word.partition("=")[0].lstrip("+~") for word in typed if "=" in word)

    def load_and_check(self: ConfigLoaderImpl, *args: Any, **kwargs: Any) -> DictConfig:  # noqa: ANN401 - as Hydra's
        composed = load(self, *args, **kwargs)
        refuse_foreign(composed, keys)
        if "hydra" in composed:
            OmegaConf.update(composed, "hydra.callbacks", OURS, force_add=True)
        if seen is not None:
            seen(composed)
        return composed

    ConfigLoaderImpl.load_configuration = load_and_check  # type: ignore[method-assign]


def refuse_foreign(composed: DictConfig, typed: Collection[str] = ()) -> None:
    """Refuse what is not Hydra's own below `hydra`.

    Args:
        typed: the keys that stand on the command line.

    Raises:
        BadInput: naming the key.
    """
    node = OmegaConf.to_container(composed, resolve=False)
    below = node.get("hydra") if isinstance(node, dict) else None
    for keys, value in _leaves(below, ("hydra",)):
        if keys[:2] not in SHOWN and not all(str(each).isprintable() for each in (*keys, value)):
            raise BadInput(f"{'.'.join(keys)}={value}: refused; a line break in it would be another line of a script")
        if not _is_known(keys, value):
            raise BadInput(f"{'.'.join(keys)}={value}: refused; things are named, never imported from a config")
        if keys[:2] in ENGINES and not _is_harmless(keys, value, typed):
            raise BadInput(f"{'.'.join(keys)}={value}: refused from a config; type it on the command line")


def _is_harmless(keys: Keys, value: object, typed: Collection[str]) -> bool:
    """Whether a launcher or sweeper may be given this value, wherever it comes from, or was typed."""
    if ".".join(keys) in typed or (keys[-1].isdecimal() and ".".join(keys[:-1]) in typed):  # a list is typed whole
        return True
    if "_target_" in keys or keys[:3] == ("hydra", "sweeper", "params") or ENGINES_TEXTS.get(keys) == value:
        return True
    return not isinstance(value, str) and (keys[:3] not in FREE or keys in RAYS)


def _leaves(node: object, keys: Keys) -> Iterator[tuple[Keys, object]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else None
    if items is None:
        yield keys, node
        return
    for key, value in items:
        yield from _leaves(value, (*keys, str(key)))


def _is_known(keys: Keys, value: object) -> bool:
    if "_target_" in keys:
        return value in TARGETS.get(keys, ())
    if keys[1:2] in {("job_logging",), ("hydra_logging",)}:
        return _is_known_logging(keys, value)
    if keys[1:3] == ("job", "env_set") and LOADERS_VARIABLES.match(keys[-1]):
        return False
    if ENGINES_TEXTS.get(keys) == value:
        return True
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
