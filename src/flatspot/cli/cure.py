"""`flatspot doctor RUN --cure`: train again with each suggestion, on a short budget, and say what became of it."""

import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flatspot.cli.configs import read_config
from flatspot.cli.doctor import examined_run
from flatspot.cli.guard import guard
from flatspot.cli.help import conf_dir
from flatspot.cli.schema import checked
from flatspot.diagnosis import Finding
from flatspot.errors import BadInput
from flatspot.kept import own
from flatspot.report.table import aligned
from flatspot.report.text import number

MOST: Final = 3
"""Suggestions that are tried."""

SECONDS: Final = 30.0
"""What one try may take, as reckoned from the run: whole epochs, and one at least."""

LONGER: Final = 3
"""Where the suggestion is to train longer: so many times the epochs."""

FEW: Final = 5
"""Epochs of a try, where it is not known how long one takes."""

CLOSES: Final = 0.5
"""The share of the gap to the achievable skill that a cure closes, with both seeds."""

EPOCHS: Final = "trainer.max_epochs"

RATE: Final = "optimizer.lr"

FURTHER: Final = 10.0
"""The factor by which a learning rate goes on that mends a part."""

SOME: Final = 0.1
"""The share of the gap that is a part."""

BARE: Final = ("examine=none", "logger=none", "monitors=none")


@final
@dataclass(frozen=True)
class Try:
    """What became of one training: of the run as it is (no override), or with a suggestion.

    Args:
        diversity, skill: on the validation split. achievable: the best skill of a reference there. seconds: of
            training. refused: why it could not be tried.
    """

    override: str
    seed: int
    diversity: float = math.nan
    skill: float = math.nan
    achievable: float = math.nan
    seconds: float = math.nan
    refused: str = ""


@final
class Clinic:
    """Trains a run's configuration again, with changes, in folders that are thrown away.

    Args:
        overrides: as they were typed for the run. epochs: of each training.
    """

    def __init__(self, overrides: Sequence[str], epochs: int) -> None:
        self.overrides = list(overrides)
        self.epochs = epochs

    def further(self, override: str) -> str | None:
        """A learning rate as far again from the run's own; None of any other setting."""
        key, _, value = override.partition("=")
        if key != RATE:
            return None
        own = float(composed(self.overrides)["optimizer"]["lr"])
        return f"{RATE}={float(value) * (FURTHER if float(value) > own else 1 / FURTHER):g}"

    def attempt(self, override: str, seed: int) -> Try:
        """Train with an override (none: as it is) and look at the validation split."""
        asked = override.split()
        longer = override.startswith(f"{EPOCHS}=")
        epochs = min(int(override.partition("=")[2]), LONGER * self.epochs) if longer else self.epochs
        ours = [*without(asked, [EPOCHS]), f"seed={seed}", *BARE, f"{EPOCHS}={epochs}"]
        try:
            found = _trained(composed([*without(self.overrides, ours), *ours]))
        except (BadInput, HydraException, OmegaConfBaseException) as error:
            return Try(override, seed, refused=" ".join(str(error).split()))
        except Exception as error:  # noqa: BLE001 - a fit may fail in any way, and the others are tried all the same
            return Try(override, seed, refused=f"it failed: {type(error).__name__}: {' '.join(str(error).split())}")
        return Try(override, seed, *found)


def cure_run(folder: Path, tell: Callable[[str], None]) -> str:
    """Try the first suggestions of the doctor one by one, then together, and confirm the best with another seed.

    Args:
        folder: the run. tell: told what is being tried.

    Raises:
        BadInput: naming what of the run folder cannot be used.
    """
    findings, figures = examined_run(folder)
    if not findings:
        return "nothing to cure: no cause was found"
    suggested = list(dict.fromkeys(each.override for each in findings[:MOST] if usable(each)))
    silent = [each.cause for each in findings[:MOST] if not usable(each)]
    lines = [f"{', '.join(silent)}: no setting of a run mends it; see flatspot doctor --explain"] if silent else []
    if not suggested:
        return "\n".join([*lines, "nothing was tried"])
    theirs = overrides_of(folder)
    seed = int(composed(theirs)["seed"])
    clinic = Clinic(theirs, epochs_of(folder))
    known = figures.get("skill/possible", 0.0)
    tries = _tried(clinic, [str(each) for each in suggested], seed, known, tell)
    possible = possible_of(known, tries)
    lines += [f"{clinic.epochs} epochs each, seed {seed}, validation split; achievable skill {number(possible)}", ""]
    lines += _table(tries, possible)
    best = max(tries[1:], key=lambda each: _order(each.skill))
    if tries[0].refused or closed(tries[0], best, possible) < CLOSES:
        return "\n".join([*lines, "", f"none of them helped: none closed {CLOSES:.0%} of the gap"])
    return "\n".join([*lines, "", *_confirmed(clinic, best, possible, tell)])


def _tried(clinic: Clinic, suggested: Sequence[str], seed: int, known: float, tell: Callable[[str], None]) -> list[Try]:
    """The run as it is, and each suggestion by itself; where none of them is enough, more of one, or several together.

    A learning rate that mends a part of it goes on for another factor of ten. Raw inputs and raw targets, say, flatten
    each for itself: to mend one of them changes nothing yet.
    """
    tries: list[Try] = []

    def attempt(override: str) -> None:
        tell(f"trying {override or 'it as it is'}")
        tries.append(clinic.attempt(override, seed))

    def enough() -> bool:
        return any(_closes(tries, each, known) >= CLOSES for each in tries[1:])

    for each in ("", *suggested):
        attempt(each)
    for tried in tries[1:] if not enough() else ():
        if _closes(tries, tried, known) >= SOME and (further := clinic.further(tried.override)):
            attempt(further)
    for count in range(2, len(suggested) + 1):
        if enough():
            break
        attempt(" ".join(suggested[:count]))
    return tries


def _closes(tries: Sequence[Try], after: Try, known: float) -> float:
    return closed(tries[0], after, possible_of(known, tries))


def possible_of(known: float, tries: Sequence[Try]) -> float:
    """The best skill that anything is known to have."""
    found = [known, *(each.achievable for each in tries)]
    return max([0.0, *(each for each in found if math.isfinite(each))])


def _confirmed(clinic: Clinic, best: Try, possible: float, tell: Callable[[str], None]) -> list[str]:
    tell(f"confirming {best.override} with another seed")
    again = [clinic.attempt(override, best.seed + 1) for override in ("", best.override)]
    lines = [f"with seed {best.seed + 1}:", "", *_table(again, possible), ""]
    if closed(again[0], again[1], possible) < CLOSES:
        return [*lines, f"{best.override} helped with one seed alone: none of them is sure to help"]
    mending = best.override.split()
    command = " ".join(_quoted(each) for each in [*without(clinic.overrides, mending), *mending])
    return [*lines, f"python train.py {command}"]


def closed(before: Try, after: Try, possible: float) -> float:
    """The share of the gap to what is possible that was closed; 0 where there was none, or nothing to compare.

    >>> closed(Try("", 0, skill=0.1), Try("a=b", 0, skill=0.5), possible=0.9)
    0.5
    """
    worse = max(before.skill, 0.0) if math.isfinite(before.skill) else 0.0
    gap = max(possible, after.skill) - worse
    share = (after.skill - worse) / gap if gap > 0 else 0.0
    return share if math.isfinite(share) else 0.0


def usable(found: Finding) -> bool:
    """Whether its override can be tried as it stands: one with a placeholder in capitals is for a person to fill in."""
    return found.override is not None and not any(word.isupper() for word in found.override.partition("=")[2:])


def without(overrides: Sequence[str], others: Sequence[str]) -> list[str]:
    """Overrides whose keys the others do not set.

    >>> without(["seed=1", "model.cell=gru"], ["seed=2"])
    ['model.cell=gru']
    """
    keys = {each.partition("=")[0] for each in others}
    return [each for each in overrides if each.partition("=")[0] not in keys]


def overrides_of(folder: Path) -> list[str]:
    """What was typed for a run.

    Raises:
        BadInput: it is not on record, or refers to something outside of it.
    """
    path = folder / ".hydra" / "overrides.yaml"
    try:
        held = OmegaConf.to_container(read_config(own(folder, ".hydra/overrides.yaml")), resolve=False)
    except Exception as error:
        raise BadInput(f"{path}: cannot be read, so the run cannot be repeated: {error}") from error
    if not isinstance(held, list) or not all(isinstance(each, str) for each in held):
        raise BadInput(f"{path}: is no list of overrides")
    typed = [str(each) for each in held if not str(each).lstrip("+~").startswith("hydra")]
    for each in typed:
        if "${" in each:
            raise BadInput(f"{path}: {each!r} refers to something outside of the run; it is not followed")
    return typed


def epochs_of(folder: Path) -> int:
    """So many epochs as fit into a try, by the seconds that the run's own took."""
    asked = int(composed(overrides_of(folder))["trainer"]["max_epochs"])
    try:
        seconds = float(json.loads(own(folder, "metrics.json").read_text(encoding="utf-8"))["fit_seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return min(asked, FEW)
    from flatspot import evidence

    done = max((each.epoch for each in evidence.read(folder)), default=1) or 1
    return max(1, min(asked, int(SECONDS * done / max(seconds, 1e-3))))


def composed(overrides: Sequence[str]) -> DictConfig:
    """A configuration as the command line composes it.

    Raises:
        BadInput: naming the key or value that cannot be used.
    """
    with guard([]), initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return checked(compose("train", overrides=list(overrides)))


def _trained(cfg: DictConfig) -> tuple[float, float, float, float]:
    """D, skill and achievable skill on the validation split, and seconds."""
    from flatspot.cli.fit import fit_and_examine
    from flatspot.cli.job import read_panel

    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory(prefix="flatspot-cure-") as name:
        found, seconds = fit_and_examine(config, read_panel(config["data"]), Path(name), "val")
    return found.diversity.ratio, found.skill, max(found.references.values(), default=math.nan), seconds


def _order(skill: float) -> float:
    return skill if math.isfinite(skill) else -math.inf


def _table(tries: Sequence[Try], possible: float) -> list[str]:
    rows = [["", "D", "skill", "seconds", "closes"]]
    for each in tries:
        share = f"{max(closed(tries[0], each, possible), 0.0):.0%}" if each.override and not each.refused else ""
        figures = [number(value) if math.isfinite(value) else "-" for value in (each.diversity, each.skill)]
        took = f"{each.seconds:.1f}" if math.isfinite(each.seconds) else "-"
        rows.append([each.override or "as it is", *figures, took, share])
    return [*aligned(rows), *(f"{each.override or 'as it is'}: {each.refused}" for each in tries if each.refused)]


def _quoted(override: str) -> str:
    return f"'{override}'" if set(override) & set(" '\"$&()|;*?<>[]{}") else override
