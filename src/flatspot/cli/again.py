"""A sweep that goes on where it was stopped: what is done is kept, what is not is put aside and begun anew."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from omegaconf import DictConfig, ListConfig, OmegaConf

from flatspot.cli.folder import shown
from flatspot.cli.schema import checked
from flatspot.errors import BadInput
from flatspot.registry import nearest

CHOICES: Final = ["auto"]

KEPT: Final = frozenset({".hydra", "attempts"})
"""What is not put aside: Hydra has just written its own anew. Nor are logs, which go on."""


def goes_on(cfg: DictConfig, *, several: bool) -> bool:
    """Whether a sweep is to go on.

    Raises:
        BadInput: for another choice than `auto`, and for a run that is no sweep.
    """
    choice = cfg.get("resume")
    if choice is None:
        return False
    if choice not in CHOICES:
        raise BadInput(f"resume={choice}: {nearest(str(choice), CHOICES)}")
    if not several:
        raise BadInput("resume=auto: goes on with a sweep (-m hydra.sweep.dir=SAME); this is a single run")
    return True


def done_before(cfg: DictConfig, folder: Path) -> bool:
    """Whether the folder holds this very job, done; else what a stopped try left in it is put aside.

    Raises:
        BadInput: where it holds a job of other settings, naming the first that differs.
    """
    held = folder / "config.yaml"
    if held.exists():
        _refuse_another(_plain(checked(cfg)), held, folder)
    if _says(folder / "status.json", "status") == "done" and _says(folder / "metrics.json", "verdict") is not None:
        return True
    _put_aside(folder)
    return False


def _plain(config: DictConfig | ListConfig) -> dict[str, object]:
    """The settings that make a job what it is."""
    held: dict[str, object] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return {key: value for key, value in held.items() if key != "resume"}


def _refuse_another(wanted: Mapping[str, object], held: Path, folder: Path) -> None:
    try:
        found = _plain(OmegaConf.load(held))
    except Exception as error:
        raise BadInput(f"{shown(held)}: cannot be read ({error}); put the folder away to run its job anew") from error
    apart = next(_differ("", wanted, found), None)
    if apart is not None:
        key, now, then = apart
        raise BadInput(
            f"{shown(folder)}: holds a job with {key}={then}, and {key}={now} is asked for; "
            f"give another folder with hydra.sweep.dir="
        )


def _differ(at: str, wanted: object, found: object) -> Iterator[tuple[str, object, object]]:
    """Keys whose values are not the same, with both."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys((*wanted, *found)):
            yield from _differ(f"{at}.{key}" if at else str(key), wanted.get(key), found.get(key))
    elif wanted != found:
        yield at, wanted, found


def _says(path: Path, key: str) -> object:
    """What a file that may be torn, or not there, says."""
    try:
        held: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
        return held[key]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _put_aside(folder: Path) -> None:
    """Into `attempts/N`: nothing is lost, and a job that begins anew finds nothing of an earlier one."""
    left = [each for each in folder.iterdir() if each.name not in KEPT and each.suffix != ".log"]
    if not left:
        return
    attempts = folder / "attempts"
    number = 1 + sum(1 for _ in attempts.iterdir()) if attempts.exists() else 1
    aside = attempts / str(number)
    aside.mkdir(parents=True)
    for each in left:
        each.rename(aside / each.name)
