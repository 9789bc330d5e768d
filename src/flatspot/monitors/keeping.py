"""Keep what a fit needs to go on: once each epoch has wholly ended, and each file whole or not at all."""

import errno
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final
from zipfile import BadZipFile, ZipFile

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from flatspot.errors import BadInput, reason
from flatspot.kept import beside, clear_halves, refuse_expanded, refuse_inflated, write_whole

BEST: Final = "best.ckpt"
LAST: Final = "last.ckpt"
PREVIOUS: Final = "previous.ckpt"


class Torn(BadInput):
    """A file that is not as it was written."""


@final
class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: whoever reads meets the old one or the new one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write it to the disk, and not only to the system's memory, before it takes its place.

        Raises:
            CannotWrite: naming the file, which is as it was. The run folder is not made anew where somebody removed it.
        """

        def write(half: Path) -> None:
            half.parent.mkdir(exist_ok=True)
            with half.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())

        write_whole(Path(path), write)

    def remove_checkpoint(self, path: str | Path) -> None:
        """A file, and never a folder with all that is in it, as Lightning would."""
        Path(path).unlink(missing_ok=True)


@final
class EpochKeeper(Callback):
    """Saves `last.ckpt` as each epoch but the first begins, and as the fit ends; the one before is `previous.ckpt`.

    Lightning's own way, as an epoch ends, is too early: schedulers that follow a metric step later, and what a fit that
    goes on from there repeats of that epoch's end is not what it was. As the next epoch begins all of it is done.
    What the fit's end does (the last look, the best weights) needs the last epoch in memory; so a fit that has ended
    goes on from the start of its last epoch: `previous.ckpt` (`checkpoint_to_go_on_from`).

    Args:
        folder: of the checkpoints.

    Attributes:
        under_way: whether a step was taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = 0.0
        self._started = time.perf_counter()
        self._stopped: float | None = None
        self._began = 0
        self._ended = False
        self.under_way = False

    @property
    def seconds(self) -> float:
        """Of training so far, also before the fit was broken off."""
        now = time.perf_counter() if self._stopped is None else self._stopped
        return self._before + now - self._started

    def state_dict(self) -> dict[str, Any]:
        """What `checkpoint_to_go_on_from` asks, and the seconds of training."""
        return {"ended": self._ended, "seconds": self.seconds, "threads": torch.get_num_threads()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the clock."""
        self._before = float(state_dict["seconds"])

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """The run folder may have been moved since: the best checkpoint is the one in it. The data must be the same.

        Raises:
            BadInput: for data of other figures.
        """
        data: Any = trainer.datamodule  # type: ignore[attr-defined] # set, but not declared
        if data is not None and not _same(data.state_dict(), checkpoint.get(type(data).__qualname__)):
            raise BadInput(f"{self._folder.parent}: the data are not those that the run was begun with")
        kept = next((each for each in trainer.checkpoint_callbacks if isinstance(each, ModelCheckpoint)), None)
        state = checkpoint["callbacks"].get(kept.state_key) if kept is not None else None
        if kept is not None and state is not None:
            checkpoint["callbacks"][kept.state_key] = _moved(state, str(kept.dirpath))
            kept.current_score = state["current_score"]  # Lightning keeps it, and does not take it up

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; remove what a killed process left half written."""
        self._started, self._stopped = time.perf_counter(), None
        self._began, self._ended = trainer.current_epoch, False
        if self._began:
            # The epoch that begins is a whole one, like every other: its loader is asked anew, after its seed is set.
            trainer.fit_loop.restarting = trainer.fit_loop._resuming_from_checkpoint = False
            # Lightning counts an epoch that was begun before once less.
            trainer.fit_loop.epoch_progress.current.ready += 1
        if trainer.is_global_zero:
            clear_halves(self._folder)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """All that was restored has been used."""
        self.under_way = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep what the epochs so far have come to."""
        if trainer.current_epoch > self._began:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the end."""
        self._stopped, self._ended = time.perf_counter(), True
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        last = self._folder / LAST
        if trainer.is_global_zero and last.exists():
            _same_file(last, self._folder / PREVIOUS)
        trainer.save_checkpoint(last, weights_only=False)  # the optimizer and all else, too


@final
@dataclass(frozen=True)
class Begun:
    """What a fit that goes on has behind it.

    Args:
        path: of the checkpoint. epochs: whole ones. steps: of the optimizer. threads: that it took; with another number
            the last bits may differ.
    """

    path: Path
    epochs: int
    steps: int
    threads: int

    @classmethod
    def at(cls, path: Path, kept: Mapping[str, Any]) -> "Begun":
        """From a checkpoint that was read."""
        threads = _of_keeper(kept)["threads"]
        return cls(path, int(kept["epoch"]), int(kept["global_step"]), int(threads))


def checkpoint_to_go_on_from(folder: Path) -> tuple[Begun | None, list[str]]:
    """The newest whole checkpoint of a fit that is to go on, as `last.ckpt`, and what is wrong with those passed over.

    Args:
        folder: of the checkpoints. One that is torn or corrupt is renamed and kept.

    Returns:
        None where the fit must begin anew: nothing was kept, or the weights of the best epoch are lost.
    """
    wrong: list[str] = []
    if _whole(folder / BEST, wrong) is None:
        return None, wrong
    for path in (folder / LAST, folder / PREVIOUS):
        kept = _whole(path, wrong)
        if kept is not None and not _of_keeper(kept)["ended"]:
            if path.name == PREVIOUS:
                _same_file(path, folder / LAST)
            return Begun.at(folder / LAST, kept), wrong
    return None, wrong


def _of_keeper(kept: object) -> Mapping[str, Any]:
    """What a checkpoint keeps of the EpochKeeper.

    Raises:
        KeyError, TypeError: it is none of ours.
    """
    callbacks = kept["callbacks"] if isinstance(kept, Mapping) else None
    state = callbacks[EpochKeeper.__qualname__] if isinstance(callbacks, Mapping) else None
    if not isinstance(state, Mapping):
        raise TypeError("it holds nothing of the epochs that were kept")
    return state


def _whole(path: Path, wrong: list[str]) -> dict[str, Any] | None:
    """The checkpoint; None where there is none, or a broken one, which is told and renamed."""
    try:
        return read(path)
    except FileNotFoundError:
        return None
    except Torn as error:
        wrong.append(str(error))
        path.replace(path.with_name(f"{path.name}.corrupt"))
    except BadInput as error:
        wrong.append(str(error))
    return None


def read(path: Path) -> dict[str, Any]:
    """A checkpoint whose every byte is as it was written; no code runs.

    Raises:
        OSError: there is none, or it cannot be read.
        Torn: naming the file. BadInput: it is of another version.
    """
    try:
        _refuse_torn(path)
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        refuse_expanded(content)
        _ = Begun.at(path, content), _of_keeper(content)["ended"]
    except (OSError, MemoryError):
        raise  # the file may be as it was
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: is no checkpoint of this version: {reason(error)}") from error
    except Exception as error:
        raise Torn(f"{path}: torn or corrupt ({reason(error).partition(chr(10))[0]})") from error
    return content


def _refuse_torn(path: Path) -> None:
    """Torch does not look at the check sums that it has written."""
    try:
        refuse_inflated(path)
        with ZipFile(path) as held:
            torn = held.testzip()
    except OSError as error:
        if error.errno != errno.EINVAL:  # a disk that cannot be read now may be read later: the file is not torn
            raise
        raise BadZipFile("it says that a part of it lies before its beginning") from error
    if torn is not None:
        raise BadZipFile(f"{torn} is not what was written")


def _same(one: object, other: object) -> bool:
    """Whether what is known of two sets of data is the same: all tables of numbers in it."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_same(each, other.get(name)) for name, each in one.items())
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one.nan_to_num(), other.nan_to_num())
    return True


def _moved(state: dict[str, Any], folder: str) -> dict[str, Any]:
    """The state of a ModelCheckpoint whose one file lies in this folder now, whatever the state calls it.

    Lightning removes what stands there when there is a better one.
    """
    best = str(Path(folder) / BEST)
    names = ("best_model_path", "kth_best_model_path", "last_model_path")
    paths = {name: best if state[name] else "" for name in names}
    scores = list(state["best_k_models"].values())
    return {**state, **paths, "best_k_models": {best: scores[-1]} if scores else {}, "dirpath": folder}


def _same_file(held: Path, place: Path) -> None:
    """The file at another place too, where there is at every time a whole one."""

    def write(half: Path) -> None:
        half.unlink(missing_ok=True)
        try:
            os.link(held, half)
        except OSError:  # a file system without links
            shutil.copyfile(held, half)

    write_whole(place, write)
    beside(place).unlink(missing_ok=True)  # a link that is moved to what it links to stays
