"""Runs and sweeps that go on where they were stopped: what is done is kept, what is half done is taken up."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Final

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flatspot.cli.configs import read_settings
from flatspot.cli.folder import INTERRUPTED, first_process, shown
from flatspot.cli.schema import checked
from flatspot.errors import BadInput
from flatspot.kept import own
from flatspot.registry import nearest

CHOICES: Final = ["auto"]

NONE: Final = frozenset({"", "null"})
"""How one types that nothing is to go on."""

KEPT: Final = frozenset({".hydra", ".lock", "attempts"})
"""What is not put aside: Hydra has just written its own anew. Nor are logs, which go on."""


def run_to_go_on(typed: Sequence[str]) -> Path | None:
    """The run folder that `resume=RUN` names; None where no single run is to go on.

    Raises:
        BadInput: for other settings beside it (a run goes on with its own), and for what is no run folder.
    """
    named = [word for word in typed if word.partition("=")[0].lstrip("+") == "resume"]
    value = named[-1].partition("=")[2].strip("'\"") if named else ""
    if value in NONE or value in CHOICES or {"-m", "--multirun"} & set(typed):
        return None
    folder = Path(value).expanduser()
    _refuse_no_run(folder, value)
    words = [word for word in typed if "=" in word or word.startswith("~")]
    others = [word for word in words if not word.startswith("-") and word not in named]
    if others and first_process():  # Lightning types Hydra's keys for the others
        raise BadInput(f"resume={value}: the run goes on with its own settings; {others[0]} cannot be given with it")
    return folder.resolve()


def _refuse_no_run(folder: Path, value: str) -> None:
    if not folder.is_dir():
        known = [*CHOICES, *(each.name for each in folder.parent.iterdir())] if folder.parent.is_dir() else CHOICES
        raise BadInput(f"resume={value}: there is no such run folder; {nearest(folder.name, known)}")
    if "${" in str(folder.resolve()):  # a stranger's may be called by a resolver
        raise BadInput(f"resume={value}: Hydra would follow the ${{ in its name; rename the folder")
    if (folder / "multirun.yaml").exists():
        raise BadInput(
            f"resume={value}: is a sweep, which goes on with its own command and resume=auto hydra.sweep.dir={value}"
        )
    _refuse_odd_files(folder, value)
    if _config_of(folder) is None:
        raise BadInput(f"resume={value}: holds no config.yaml, so it is no run folder")


def _refuse_odd_files(folder: Path, value: str) -> None:
    """What goes on reads, and writes to, what stands in the folder."""
    for each in folder.iterdir():
        if not each.resolve().is_relative_to(folder.resolve()):
            raise BadInput(f"resume={value}: {each.name} is a link that leads out of the run folder; put a copy there")
    for each in folder.rglob("*"):
        if not (each.is_file() or each.is_dir() or each.is_symlink()) or each.is_fifo():  # a pipe is waited for
            raise BadInput(f"resume={value}: {each.relative_to(folder)} is no regular file")


def as_one_types(folder: Path, typed: Sequence[str]) -> list[str]:
    """What Hydra is told of a run that goes on: to write nothing of its own into the folder but the log."""
    path = _quoted(str(folder))
    beside = [word for word in typed if "=" not in word or word.startswith(("-", "hydra.job.name="))]
    return [*beside, f"hydra.run.dir={path}", f"resume={path}", "hydra.output_subdir=null"]


def _quoted(text: str) -> str:
    r"""A value that Hydra takes as it stands, but for a reference in it, which it would follow.

    >>> print(_quoted("it's"))
    'it\'s'
    """
    for ends, kept in (("'", r"\1\1\\'"), ("$", r"\1\1")):
        text = re.sub(rf"(\\*){ends}", kept, text)
    return f"'{text}'"


def settings_of(folder: Path) -> DictConfig:
    """The configuration that a run was begun with, as it stands there.

    Raises:
        BadInput: naming the file that cannot be read.
    """
    path = _config_of(folder)
    assert path is not None  # noqa: S101 - looked at before
    return read_settings(path)


def _config_of(folder: Path) -> Path | None:
    """Resolved; of a run that was stopped before it had built a model, as it was composed."""
    places = (own(folder, "config.yaml"), own(folder, ".hydra/config.yaml"))
    return next((each for each in places if each.exists()), None)


def goes_on(cfg: DictConfig, *, several: bool) -> bool:
    """Whether a sweep is to go on.

    Raises:
        BadInput: for another choice than `auto`, and for a run that is no sweep.
    """
    choice = cfg.get("resume")
    if choice is None:
        return False
    if choice not in CHOICES:
        raise BadInput(f"resume={choice}: {nearest(str(choice), CHOICES)}; a sweep finds its own runs")
    if not several:
        raise BadInput("resume=auto: goes on with a sweep (-m hydra.sweep.dir=SAME); a single run with resume=RUN")
    return True


def done_before(cfg: DictConfig, folder: Path) -> bool:
    """Whether the folder holds this very job, done.

    Raises:
        BadInput: where it holds a job of other settings, naming the first that differs.
    """
    held = own(folder, "config.yaml")
    if held.exists():
        _refuse_another(_plain(checked(cfg)), held, folder)
    return is_done(folder)


def is_done(folder: Path) -> bool:
    """Whether a run says so, and has figures to show."""
    done = _says(folder / "status.json", "status") == "done"
    return done and _says(folder / "metrics.json", "verdict") is not None


def is_half_done(folder: Path) -> bool:
    """Whether a run was killed or stopped, and did not fail by itself."""
    status, why = (_says(folder / "status.json", key) for key in ("status", "why"))
    return status == "running" or (status == "failed" and why in INTERRUPTED)


def _plain(config: DictConfig | ListConfig) -> dict[str, object]:
    """The settings that make a job what it is."""
    held: dict[str, object] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    return {key: value for key, value in held.items() if key != "resume"}


def _refuse_another(wanted: Mapping[str, object], held: Path, folder: Path) -> None:
    try:
        found = _plain(read_settings(held))
    except (BadInput, OmegaConfBaseException) as error:
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
        held: dict[str, object] = json.loads(own(path.parent, path.name).read_text(encoding="utf-8"))
        return held[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def put_aside(folder: Path) -> Path | None:
    """Into `attempts/N`: nothing is lost, and a job that begins anew finds nothing of an earlier one.

    Returns:
        Where it was put; None: there was nothing.
    """
    left = [each for each in folder.iterdir() if each.name not in KEPT and each.suffix != ".log"]
    if not [each for each in left if each.name != "status.json"]:
        return None
    attempts = folder / "attempts"
    aside = next(each for each in (attempts / str(number) for number in count(1)) if not os.path.lexists(each))
    aside.mkdir(parents=True)
    # Checkpoints first: without them nothing is gone on from, should this be broken off. What says how it stood, last.
    for each in sorted(left, key=lambda path: (path.name != "checkpoints", path.name == "status.json")):
        each.rename(aside / each.name)
    return aside
