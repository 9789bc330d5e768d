"""Read a run's configuration, which may be a stranger's: no YAML that grows, and nothing from outside of it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flatspot.errors import BadInput

if TYPE_CHECKING:
    from omegaconf import DictConfig, ListConfig

MOST_BYTES: Final = 2**20
"""A configuration beyond this size is none of a run's: ours have some thousand bytes."""

MOST_LEVELS: Final = 30
"""Levels of a configuration."""

RESOLVER: Final = re.compile(r"\$\{[^}]*:")
"""What asks for something outside of a configuration: `${oc.env:HOME}`. `${model.cell}` stays within it."""


def read_config(path: Path) -> "DictConfig | ListConfig":
    """YAML of plain values, of which nothing is resolved.

    Raises:
        OSError: it cannot be read.
        BadInput: it is too large, too deep, or has aliases: a few lines of them make more than a machine can hold.
        Exception: OmegaConf's or YAML's own, of what is no YAML, or has a tag that would build something.
    """
    if path.stat().st_size > MOST_BYTES:
        raise BadInput(f"{path}: is larger than any that a run has written")
    return config_from(path.read_text(encoding="utf-8"), path)


def config_from(text: str, path: Path) -> "DictConfig | ListConfig":
    """The same of what was read already."""
    from omegaconf import OmegaConf

    _refuse_growing(text, path)
    found: DictConfig | ListConfig = OmegaConf.create(text)
    return found


def read_settings(path: Path) -> "DictConfig":
    """The settings that a run was begun with, which may refer to each other and to nothing else.

    Raises:
        BadInput: naming the file, and what is wrong with it.
    """
    from omegaconf import DictConfig

    try:
        found = read_config(path)
    except Exception as error:
        raise BadInput(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, DictConfig):
        raise BadInput(f"{path}: cannot be read: it holds no settings")
    outside = RESOLVER.search(path.read_text(encoding="utf-8"))
    if outside:
        raise BadInput(f"{path}: {outside[0]}...}} refers to something outside of the run; it is not followed")
    return found


def _refuse_growing(text: str, path: Path) -> None:
    import yaml

    level = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise BadInput(f"{path}: has aliases (*{event.anchor}), which no run has written")
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > MOST_LEVELS:
            raise BadInput(f"{path}: is deeper than any that a run has written")
