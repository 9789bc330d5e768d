"""A sweep that goes on counts its jobs as it did: a job's folder is its number."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any, Final

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from flatspot.cli.configs import read_config
from flatspot.cli.folder import shown
from flatspot.errors import BadInput
from flatspot.kept import own

SWEEP: Final = "multirun.yaml"
"""What Hydra notes of a sweep in its folder."""

MOST_ORDERS: Final = 5
"""Keys of several values beyond which no order of them is looked for."""

Settings = frozenset[str]


def in_the_same_order(typed: Sequence[str]) -> list[str]:
    """What was typed to go on with a sweep, its settings in the order in which the sweep was begun.

    Their order says which job has which number, and nothing else.

    Raises:
        BadInput: naming a job that would have another one's number, and what to type instead.
    """
    words = list(typed)
    folder = _folder_of(words)
    begun = [] if folder is None else _begun(folder / SWEEP)
    if folder is None or not begun:
        return words
    places = {_key(word): place for place, word in enumerate(begun)}
    known = [at for at, word in enumerate(words) if _is_setting(word) and _key(word) in places]
    sorted_words = sorted((words[at] for at in known), key=lambda word: places[_key(word)])
    for at, word in zip(known, sorted_words, strict=True):
        words[at] = word
    _refuse_moved(words, begun, folder)
    return words


def _folder_of(words: Sequence[str]) -> Path | None:
    """The folder of the sweep that is to go on; None: none is, or it is not named."""
    given = {_key(word): word.partition("=")[2].strip("'\"") for word in words if _is_setting(word)}
    goes_on = {"-m", "--multirun"} & set(words) and given.get("resume") == "auto"
    return Path(given["hydra.sweep.dir"]) if goes_on and "hydra.sweep.dir" in given else None


def _begun(path: Path) -> list[str]:
    """The settings that a sweep was begun with, in their order; none, where that cannot be read, or a search chose."""
    try:
        held: Any = OmegaConf.to_container(read_config(own(path.parent, path.name)), resolve=False)
        hydra = held["hydra"]
        target, task = str(hydra["sweeper"]["_target_"]), hydra["overrides"]["task"]
        params = hydra["sweeper"].get("params") or {}
    except Exception:  # noqa: BLE001 - then each job says by itself whether its folder is its own
        return []
    if params or not target.endswith("BasicSweeper"):  # these are counted elsewhere
        return []
    return [str(each) for each in task if not str(each).startswith("resume=")]


def _refuse_moved(words: Sequence[str], begun: Sequence[str], folder: Path) -> None:
    now = [word for word in words if _is_setting(word) and not word.startswith(("resume=", "hydra."))]
    before, after = _jobs(begun), _jobs(now)
    numbers = {job: number for number, job in enumerate(after)}
    there = [number for number in range(len(before)) if (folder / str(number) / "config.yaml").exists()]
    moved = next((number for number in there if numbers.get(before[number], number) != number), None)
    if moved is None:
        return
    said = " ".join(sorted(before[moved] - frozenset.intersection(*before)))
    order = _that_keeps(before, now)
    raise BadInput(
        f"resume=auto: {shown(folder / str(moved))} holds the job of {said}, which would be number "
        f"{numbers[before[moved]]} now; " + (_command(words, order) if order else _apart(now, before, folder))
    )


def _that_keeps(before: Sequence[Settings], now: Sequence[str]) -> list[str] | None:
    """The settings in an order in which every job that there was has its number; None: there is none."""
    several = [word for word in now if len(_jobs([word])) > 1]
    others = [word for word in now if word not in several]
    for order in permutations(several) if len(several) <= MOST_ORDERS else ():
        if _jobs([*order, *others])[: len(before)] == list(before):
            return [*order, *others]
    return None


def _command(words: Sequence[str], order: Sequence[str]) -> str:
    beside = [word for word in words if word not in order]
    return "type " + " ".join(["python train.py", *(_quoted(word) for word in (*beside, *order))])


def _apart(now: Sequence[str], before: Sequence[Settings], folder: Path) -> str:
    """Where no order does it, what was added is a sweep of its own."""
    known = set().union(*before)
    new = [f"{_key(word)}={','.join(values)}" for word in now if (values := _new_values(word, known))]
    same = [word for word in now if not _new_values(word, known)]
    if len(new) != 1:
        return "give another folder with hydra.sweep.dir="
    typed = " ".join(map(_quoted, ["-m", *same, *new, f"hydra.sweep.dir={folder}-more"]))
    return f"what was added is a sweep of its own: type python train.py {typed}"


def _new_values(word: str, known: set[str]) -> list[str]:
    jobs = [next(iter(job)) for job in _jobs([word])]
    return [job.partition("=")[2] for job in jobs if len(jobs) > 1 and job not in known]


def _jobs(settings: Sequence[str]) -> list[Settings]:
    """The jobs of a sweep in their order, as Hydra counts them; none, where it cannot."""
    try:
        parsed = OverridesParser.create().parse_overrides(list(settings))
        return [frozenset(job) for job in BasicSweeper.split_arguments(parsed, None)[0]]
    except Exception:  # noqa: BLE001 - Hydra will say by itself what is wrong with it
        return []


def _is_setting(word: str) -> bool:
    return "=" in word and not word.startswith("-")


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def _quoted(word: str) -> str:
    return f"'{word}'" if set(word) & set(' "$&()|;*?<>[]{}') else word
