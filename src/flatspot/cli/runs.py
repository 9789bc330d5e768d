"""Which run folder is meant: the one that is named, or the newest; and what to name, where it is none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from flatspot.cli.folder import shown
from flatspot.errors import BadInput

LATEST: Final = "latest"
"""What is typed for the newest run."""

OUTPUTS: Final = Path("outputs")
"""Where runs stand that are given no folder, from where they were begun."""

MARKS: Final = ("status.json", "evidence.jsonl", "checkpoints/best.ckpt", "sweep.json")
"""One of these at least is in the folder of a run, or of a sweep that has ended."""

CONFIG: Final = "config.yaml"
"""What a run writes as it begins."""

OFFERED: Final = 3
"""Runs that are named, the newest first."""

FORECASTS: Final = "forecasts.csv"
"""Where forecasts go that are not told where; here, for reading it must not import what reads tables."""

RUN_HELP: Final = f"A run folder, or {LATEST}: the newest in ./{OUTPUTS}."


def of_run(named: Path | None, work: Callable[[Path], str], *, sweeps: bool = False) -> str:
    """What comes of working on the run that is named; where that is no run, the refusal says which there are.

    Args:
        named: as it was typed; None: nothing was. sweeps: whether it may be a sweep.

    Raises:
        BadInput: as `work` does; and for what is no run.
    """
    if named is None:
        raise BadInput(f"name a run folder, as in {OUTPUTS}/2026-01-31/12-00-00-000000{_offer(OUTPUTS, sweeps=sweeps)}")
    folder = _newest_of_all(sweeps=sweeps) if str(named) == LATEST and not named.exists() else named
    try:
        return work(folder)
    except BadInput as error:
        if any((folder / mark).exists() for mark in MARKS):
            raise
        within = folder if any(_runs_in(folder, sweeps=sweeps)) else OUTPUTS
        raise BadInput(f"{error}{_offer(within, sweeps=sweeps)}") from error


def _newest_of_all(*, sweeps: bool) -> Path:
    found = _newest(OUTPUTS, sweeps=sweeps)
    if not found:
        raise BadInput(f"{LATEST}: there is no such run folder, nor any run in {OUTPUTS}/ here")
    return found[0]


def _offer(place: Path, *, sweeps: bool) -> str:
    """The newest runs of a place, for the end of a sentence; nothing, where it has none."""
    found = _newest(place, sweeps=sweeps)[:OFFERED]
    return f"; the newest here: {', '.join(shown(each) for each in found)}" if found else ""


def _newest(place: Path, *, sweeps: bool) -> list[Path]:
    """The runs of a place, the one that was last begun or ended first."""
    return sorted(_runs_in(place, sweeps=sweeps), key=lambda folder: (_time(folder), folder), reverse=True)


def _time(folder: Path) -> float:
    """When it last said how it stands."""
    said = (folder / name for name in ("status.json", "sweep.json", CONFIG))
    return max(path.stat().st_mtime for path in said if path.exists())


def _runs_in(place: Path, *, sweeps: bool) -> Iterator[Path]:
    """Run folders at a depth of two, as Hydra makes them, or of one; a sweep's jobs are none of them.

    What was refused before it began has no configuration, and is no run.
    """
    for pattern in (f"*/{CONFIG}", f"*/*/{CONFIG}"):
        folders = (path.parent for path in place.glob(pattern))
        yield from (each for each in folders if each.name[0] != "." and not (each.parent / "multirun.yaml").exists())
    if sweeps:
        yield from (path.parent for path in place.glob("*/*/sweep.json"))
