"""`flatspot train`, and `python train.py`: compose the configuration, run the job, map outcomes to exit codes."""

import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from flatspot.cli.again import as_one_types, done_before, goes_on, is_done, run_to_go_on, settings_of
from flatspot.cli.bare import refuse_bare_file
from flatspot.cli.extensions import offer
from flatspot.cli.folder import FAILED, end_at_sigterm, first_process, shown
from flatspot.cli.guard import guard, guard_worker
from flatspot.cli.help import conf_dir, help_text
from flatspot.cli.order import in_the_same_order
from flatspot.cli.schema import explained
from flatspot.cli.sweep import Objective, Sweep
from flatspot.cli.terminal import painted
from flatspot.errors import BadInput, CannotWrite, ProcessLost, reason
from flatspot.registry import nearest

BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

TAKES_VALUE: Final = frozenset(
    ("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name", "-cd", "--config-dir")
)
"""Hydra's flags that are followed by a value."""

EXTRAS: Final = {
    "joblib": "joblib",
    "submitit_local": "submitit",
    "submitit_slurm": "submitit",
    "ray": "ray",
    "optuna": "optuna",
}
"""Launchers and sweepers of Hydra that others have written, and the extra of ours that brings each."""


class SweepFailed(Exception):  # noqa: N818 - it names what happened
    """Jobs of a sweep failed; each has its own record, and the others have run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says, and leave with the exit code of the outcome.

    Args:
        arguments: Hydra's, and `--traceback`; None: those of the process.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in typed or "-h" in typed:
        print(help_text(conf_dir()))  # noqa: T201 - the command's answer
        sys.exit(0)
    sys.exit(_outcome([each for each in typed if each != "--traceback"], traces="--traceback" in typed))


def _outcome(typed: list[str], *, traces: bool) -> int:
    """Run, print one sentence for what the user can mend, and say how it ended."""
    try:
        _compose_and_run(typed)
    except Exception as error:  # noqa: BLE001 - the last one to see it
        if traces and isinstance(error, (BadInput, CannotWrite, ProcessLost, HydraException, OmegaConfBaseException)):
            traceback.print_exception(error)
        return _explain(error)
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    return 0


def _explain(error: Exception) -> int:
    """One sentence, and the exit code."""
    if isinstance(error, SweepFailed):
        return _say(str(error), FAILED)
    if isinstance(error, BadInput):
        return _say(str(error), BAD_INPUT)
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return _say(_composing_failed(error), BAD_INPUT)
    if isinstance(error, ProcessLost):
        print(painted(f"error: {error}", sys.stderr), file=sys.stderr)  # noqa: T201 - whichever process is left
        return FAILED
    if isinstance(error, CannotWrite):
        path = Path(str(error.filename)).absolute()
        told = CannotWrite(error.errno, error.strerror, shown(path))
        kept = any([*each.glob("*.ckpt")] for each in (path.parent, path.parent / "checkpoints"))
        return _say(f"{told}" + "; what was written before is kept, and resume= goes on from it" * kept, FAILED)
    traceback.print_exception(error)
    return FAILED


def _say(sentence: str, code: int) -> int:
    if first_process():
        print(painted(f"error: {sentence}", sys.stderr), file=sys.stderr)  # noqa: T201 - the command's answer
    return code


class _Jobs:
    """Runs each job that Hydra sets up, and keeps what goes wrong from Hydra, which would print it and end with 1.

    Args:
        resumed: the folder of the one run that is to go on; None: what Hydra composes is run.
    """

    def __init__(self, typed: Sequence[str], resumed: Path | None = None) -> None:
        self.begun = False
        self.errors: list[Exception] = []
        self.sweep = Sweep()
        self._typed = typed
        self._resumed = resumed
        self._argv = sys.argv

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a launcher's worker, which composes each job's configuration by itself: guard it there too."""
        vars(self).update(state)
        guard_worker(self._typed)

    def composed(self, cfg: DictConfig) -> None:
        """What Hydra has composed; of a sweep first of all what goes for all jobs, before any is begun."""
        if cfg.hydra.mode == RunMode.MULTIRUN:
            goes_on(cfg, several=True)
            self.sweep.compose(cfg)

    def run(self, cfg: DictConfig) -> Objective:
        """Hydra's task: one job; a failed one has its own record and does not keep the next from running."""
        sys.argv = self._argv  # Lightning starts its other processes with it: only Hydra's parser sees another
        self.begun = True
        try:
            return self._one_of_many(cfg) if HydraConfig.get().mode == RunMode.MULTIRUN else self._single(cfg)
        except Exception as error:  # noqa: BLE001 - told when all have run
            self.errors.append(error)
            return None

    def _single(self, cfg: DictConfig) -> Objective:
        from flatspot.cli.job import run

        if self._resumed is not None:
            return run(settings_of(self._resumed), goes_on=True)
        goes_on(cfg, several=False)
        return run(cfg)

    def _one_of_many(self, cfg: DictConfig) -> Objective:
        from flatspot.cli.job import run

        def begin(*, again: bool) -> None:
            run(cfg, goes_on=again or goes_on(cfg, several=True))

        return self.sweep.run(begin, lambda folder: goes_on(cfg, several=True) and done_before(cfg, folder))


def _compose_and_run(typed: list[str]) -> None:
    """Let Hydra parse `typed` and run the job or jobs.

    What goes wrong before any job of ours has begun (broken YAML, a folder that cannot be made) is the user's to mend.
    """
    if any(argument.startswith("--e") for argument in typed):  # argparse takes `--exp` for it too
        raise BadInput("--experimental-rerun runs what a pickle file says; it is refused")
    refuse_bare_file([*_without_values(typed)])
    resumed = run_to_go_on(typed)
    if resumed is not None:
        if is_done(resumed):
            print(f"{shown(resumed)}: this run is done")  # noqa: T201 - the command's answer
            return
        typed = as_one_types(resumed, typed)
    typed = in_the_same_order(typed)
    jobs = _Jobs(typed, resumed)
    try:
        _run_hydra(jobs, typed)
    except Exception as error:
        _tell_of_launcher(jobs)
        if _is_told(error, jobs):
            raise
        raise BadInput(" ".join((str(error) or reason(error)).split())) from error
    finally:
        failed, of = jobs.sweep.end()
    if failed:
        raise SweepFailed(f"{failed} of {of} jobs failed")
    if jobs.errors:
        raise jobs.errors[0]


def _tell_of_launcher(jobs: _Jobs) -> None:
    """Where jobs ran in other processes, and what began them has failed, the table is not of all of them."""
    if jobs.sweep.begun and not jobs.begun:
        print("\nthe launcher ended early: jobs that are not below were not begun; go on with resume=auto")  # noqa: T201


def _is_told(error: Exception, jobs: _Jobs) -> bool:
    """Whether an error says by itself what went wrong; any other, before a job was begun, is the user's to mend."""
    return jobs.begun or jobs.sweep.begun or isinstance(error, (HydraException, OmegaConfBaseException))


def _run_hydra(jobs: _Jobs, typed: list[str]) -> None:
    os.environ["HYDRA_FULL_ERROR"] = "1"  # raise to us, instead of printing and exiting with 1
    offer(typed)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # Optuna's storage: it tells of each of its plugins
    original, sys.argv = sys.argv, [sys.argv[0], *_flags_first(typed)]
    before = end_at_sigterm()
    try:
        with guard(typed, jobs.composed):
            hydra.main(config_path=str(conf_dir()), config_name="train", version_base="1.3")(jobs.run)()
    finally:
        sys.argv = original
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _without_values(typed: Sequence[str]) -> Iterator[str]:
    """What is typed, less the values of flags."""
    words = iter(typed)
    for word in words:
        if word in TAKES_VALUE:
            next(words, "")
        else:
            yield word


def _flags_first(typed: list[str]) -> list[str]:
    """Hydra's parser refuses a flag between overrides; people put it anywhere."""
    flags: list[str] = []
    overrides: list[str] = []
    words = iter(typed)
    for word in words:
        if word in TAKES_VALUE:
            flags += [word, next(words, "")]
        else:
            (flags if word.startswith("-") else overrides).append(word)
    return [*flags, *overrides]


def _composing_failed(error: Exception) -> str:
    """Hydra's word on a key, group or value, in one sentence."""
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return explained(cause)
    if isinstance(error, OmegaConfBaseException):
        return explained(error)
    if isinstance(error, OverrideParseException):
        key, equals, value = error.override.partition("=")
        wrong = f"the value needs quotes: \"{key}='{value}'\"" if equals else "not of the form key=value"
        return f"{error.override}: {wrong}"
    return _choice_missing(error)


def _choice_missing(error: Exception) -> str:
    """Hydra's word on a group without such a choice, or its first line on anything else."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    missing = re.search(r"Could not find '(.+)/(.+)'", lines[0])
    if missing and missing[2] in EXTRAS:
        return f"{missing[1]}={missing[2]}: is not installed; pip install 'flatspot[{EXTRAS[missing[2]]}]'"
    if missing:
        options = [line.strip() for line in str(error).splitlines() if line.startswith("\t")]
        known = [option for option in options if "://" not in option]
        return f"{missing[1]}={missing[2]}: there is no such choice; {nearest(missing[2], known)}"
    return lines[0]
