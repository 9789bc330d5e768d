"""A module, a fixed sample of its data, and how the one is asked about the other."""

import logging
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from flatspot.errors import reason
from flatspot.monitors.predictions import Call, Found, PredictionFinder, unheard
from flatspot.monitors.sample import sample_of
from flatspot.monitors.schedule import Doubling
from flatspot.probes.fitting import Fit, Reader, is_dense
from flatspot.probes.undisturbed import tensors_in

LOST: Final = (
    "{0} found no targets, or no predictions that fit them, in the first training step, so it has nothing to look at. "
    "Where batches are (x, y), point it to the predictions with {0}(predictions='name_of_submodule')."
)

LOGS: Final[tuple[str, ...]] = ("log", "log_dict")
"""How a LightningModule logs."""

Path = tuple[int | str, ...]

log = logging.getLogger(__name__)


@final
@dataclass(frozen=True)
class Subject:
    """What monitors look at thoroughly: the part of a module that predicts, on a sample that stays the same.

    Args:
        part: the module, or the submodule that predicts, and its dotted name (`""`: the module itself).
        x: its first input, the samples first. y: the targets.
        fit: how predictions and targets belong together.
        source: where predictions and sample come from, in words.
        slot: the place of x in the call: x itself, or with the samples second. call: all that the part is given.
        place: which of the tensors that it returns is the prediction.
        trainer: whose precision counts.
        read: from a batch of the module's to (inputs of the part, targets); None: they are prepared in the step.
        answered: the predictions and targets of the first step.
    """

    part: nn.Module
    name: str
    x: Tensor
    y: Tensor
    fit: Fit
    source: str
    slot: Tensor
    call: Call
    place: int
    trainer: Trainer
    read: Callable[[Any], tuple[Any, Tensor]] | None
    answered: tuple[Tensor, Tensor]

    def ask(self, x: Tensor) -> Tensor:
        """The predictions for other inputs in the place of x, or of its first samples, as the module returns them."""
        given, named = _mapped((self.call.given, self.call.named), lambda each: self._beside(x, each))
        with unheard(), mute(self.part), self.trainer.precision_plugin.forward_context():
            return tensors_in(self.part(*given, **named))[self.place]

    def _beside(self, x: Tensor, given: Any) -> Any:
        """What the part is given in the place of an argument: x itself, and of others as many samples as x has."""
        if given is self.slot:
            return x if self.slot is self.x else x.transpose(0, 1)
        return _cut(given, len(self.x), len(x)) if len(x) < len(self.x) else given

    def outputs(self) -> tuple[Tensor, Tensor]:
        """The predictions for the sample and the targets, `[sample, output]`: numbers, or probabilities of classes."""
        with torch.no_grad():
            return Reader().read(self.ask(self.x), self.y, self.fit)


@final
class SubjectFinder:
    """Waits for the first training step to see how the module is asked, and draws the sample.

    The step's own call shows which submodule predicts, and which of its arguments come from the batch; the sample is
    then put in their place. Where the arguments are not those of the batch (they were prepared in the step), or no
    sample can be drawn, the first batch itself is the sample. Packed sequences are cut to the last steps that all have.

    Args:
        where: the dotted name of the submodule whose output is the prediction; None: find it.
        size: samples. seed: of the draw.
    """

    def __init__(self, where: str | None, size: int, seed: int) -> None:
        self._finder = PredictionFinder(where)
        self._size, self._seed = size, seed
        self._batch: Any = None

    def listen(self, module: LightningModule) -> None:
        """To the module, until `stop`."""
        self._finder.attach(module)

    def stop(self) -> None:
        """Leave the module as it was."""
        self._finder.detach()
        self._batch = None

    def begin(self, batch: Any) -> None:
        """A training step begins."""
        self._batch = batch

    def find(self, trainer: Trainer, module: LightningModule) -> Subject | None:
        """In the middle of a step, once the module was asked; None if that does not show how."""
        found = self._finder.look(None, self._batch)
        if found is None or found.call is None or found.name is None:
            return None
        drawn = sample_of(trainer, module, self._size, self._seed)
        call, y, source = _with_sample(found, found.call, self._batch, drawn, self._size)
        known = _turned(self._batch)
        asked = [(each, known.get(_key(each))) for each in _tensors(found.call)]
        pairs = ((*each, own) for each, own in zip(asked, _tensors(call), strict=True))
        slot, turned = next(_inputs(pairs, len(found.targets), len(y)), (None, False))
        if slot is None or len(y) < 2:
            return None
        return Subject(
            part=module.get_submodule(found.name),
            name=found.name,
            x=slot.transpose(0, 1) if turned else slot,
            y=y,
            fit=found.fit,
            source=f"{found.source}, for {source}",
            slot=slot,
            call=call,
            place=found.place,
            trainer=trainer,
            read=_reader(found, found.call, self._batch),
            answered=(found.predictions, found.targets),
        )


@final
class Watch:
    """Finds the subject in the first training step, and says when to look at it.

    Before the first optimizer step, after the steps `first`, 2·`first`, 4·`first`, ... and after the last one.

    Args:
        monitor: the name of the monitor that looks. where, size, seed: as `SubjectFinder` has them.
        first: optimizer steps until the second look.

    Raises:
        BadInput: for a `first` below 1.
    """

    def __init__(self, monitor: str, where: str | None, size: int, seed: int, first: int) -> None:
        self._monitor = monitor
        self._finder = SubjectFinder(where, size, seed)
        self._due = Doubling(first)
        self._searching = False
        self._looked_at: int | None = None
        self.subject: Subject | None = None

    def start(self, module: LightningModule) -> None:
        """Training starts: listen to its first step."""
        self.subject, self._looked_at, self._searching = None, None, True
        self._due.restart()
        self._finder.listen(module)

    def batch(self, batch: Any) -> None:
        """A training step starts."""
        if self._searching:
            self._finder.begin(batch)

    def before_step(self, trainer: Trainer, module: LightningModule) -> Subject | None:
        """The subject, before the weights move for the first time; None at every later time."""
        if self._searching:
            self._search(trainer, module)
        return self._at(trainer) if self._looked_at is None and trainer.global_step == 0 else None

    def after_batch(self, trainer: Trainer, module: LightningModule) -> Subject | None:
        """The subject, where it is time to look again."""
        if self._searching and not module.automatic_optimization:
            self._search(trainer, module)  # optimizers that are not Lightning's announce no step
        return self._at(trainer) if self.subject is not None and self._due(trainer.global_step) else None

    def _search(self, trainer: Trainer, module: LightningModule) -> None:
        why = None
        try:
            self.subject = self._finder.find(trainer, module)
        except Exception as error:  # noqa: BLE001 - a stranger's batches may hold anything
            why = reason(error)
        self.stop()
        if why is not None:
            log.warning("%s has nothing to look at: %s", self._monitor, why)
        elif self.subject is None:
            log.warning(LOST.format(self._monitor))
        else:
            log.info("%s asks %s", self._monitor, self.subject.source)

    def at_end(self, trainer: Trainer) -> Subject | None:
        """The subject, unless it was looked at after the last step."""
        self.stop()
        return self._at(trainer) if self._looked_at != trainer.global_step else None

    def stop(self) -> None:
        """Leave the module as it was."""
        self._searching = False
        self._finder.stop()

    def end(self) -> None:
        """The fit is over, or broken off: let go of the subject too."""
        self.stop()
        self.subject = None

    def _at(self, trainer: Trainer) -> Subject | None:
        self._looked_at = trainer.global_step
        return self.subject


@contextmanager
def mute(part: nn.Module) -> Iterator[None]:
    """Inside, LightningModules that log in their forward log nothing: it is no step, and its figures are not theirs."""
    speakers = [vars(each) for each in part.modules() if isinstance(each, LightningModule)]
    before = [{name: held[name] for name in LOGS if name in held} for held in speakers]
    for held in speakers:
        for name in LOGS:
            held[name] = _say_nothing
    try:
        yield
    finally:
        for held, own in zip(speakers, before, strict=True):
            for name in LOGS:
                del held[name]
            held.update(own)


def _say_nothing(*_: Any, **__: Any) -> None:
    pass


def _with_sample(found: Found, call: Call, batch: Any, drawn: Any, size: int) -> tuple[Call, Tensor, str]:
    """The call with the sample in the place of the batch, the sample's targets, and what the sample is."""
    places = {_key(each): path for path, each in _leaves(batch)}
    turnable = [(path, each) for path, each in _leaves(batch) if isinstance(each, Tensor) and _can_turn(each)]
    places = {_key(each.transpose(0, 1)): path for path, each in turnable} | places
    known = _turned(batch)
    asked = _tensors(call)
    paths = [(places.get(_key(each)), known.get(_key(each), False)) for each in (*asked, found.targets)]
    whole = [(path, turned) for path, turned in paths if path is not None]
    if drawn is not None and len(whole) == len(paths):
        try:
            *samples, y = (_at(drawn, path).transpose(0, 1) if turned else _at(drawn, path) for path, turned in whole)
        except (KeyError, IndexError, TypeError, AttributeError):  # a batch of another form
            pass
        else:
            return _replaced(call, asked, samples), y.detach(), f"{len(y)} samples of the data"
    count, y = len(found.targets), found.targets[:size].detach().clone()
    few = _replaced(call, asked, [_cut(each, count, size) for each in asked])
    return few, y, f"the first {len(y)} training samples"


def _reader(found: Found, call: Call, batch: Any) -> Callable[[Any], tuple[Any, Tensor]] | None:
    """How any batch is turned into what the part is given, and targets: where each of its tensors stands in a batch."""
    places = {_key(each): path for path, each in _leaves(batch)}
    turnable = [(path, each) for path, each in _leaves(batch) if isinstance(each, Tensor) and _can_turn(each)]
    places = {_key(each.transpose(0, 1)): path for path, each in turnable} | places
    known, asked = _turned(batch), _tensors(call)
    paths = [(places.get(_key(each)), known.get(_key(each), False)) for each in (*asked, found.targets)]
    if any(path is None for path, _ in paths) or (call.given and call.named):
        return None

    def read(other: Any) -> tuple[Any, Tensor]:
        held = [_at(other, path or ()) for path, _ in paths]
        *samples, y = (each.transpose(0, 1) if turned else each for each, (_, turned) in zip(held, paths, strict=True))
        new = _replaced(call, asked, samples)
        return (dict(new.named) if call.named else tuple(new.given)), y

    return read


def _turned(batch: Any) -> dict[Hashable, bool]:
    """Of the batch's tensors as they are and transposed, which is which: their strides tell, where shapes do not."""
    dense = [each for _, each in _leaves(batch) if isinstance(each, Tensor) and _can_turn(each)]
    return {_key(each.transpose(0, 1)): True for each in dense} | {_key(each): False for each in dense}


def _can_turn(each: Tensor) -> bool:
    return each.dim() > 1 and is_dense(each)


def _tensors(call: Call) -> list[Any]:
    return [each for _, each in _leaves(_arguments(call))]


def _inputs(pairs: Iterable[tuple[Any, bool | None, Any]], batch: int, size: int) -> Iterator[tuple[Tensor, bool]]:
    """The arguments that hold a sample each along an axis, and whether that is the second: by the step's own call."""
    for asked, turned, own in pairs:
        if isinstance(own, Tensor) and size in own.shape[:2]:
            if turned:  # the batch's own, transposed
                yield own, asked.shape[1] == batch
                continue
            first = asked.shape[0] == batch if isinstance(asked, Tensor) and asked.dim() else len(own) == size
            yield own, not (first and len(own) == size)


def _arguments(call: Call) -> list[Any]:
    return [*call.given, *call.named.values()]


def _replaced(call: Call, old: list[Any], new: list[Any]) -> Call:
    """The call with other samples, as tensors of its own."""
    dense = {id(before): _dense(after) for before, after in zip(old, new, strict=True)}

    def other(each: Tensor | PackedSequence) -> Tensor:
        return dense[id(each)]

    return Call(_mapped(call.given, other), _mapped(call.named, other), None)


def _mapped(held: Any, change: Callable[[Any], Any]) -> Any:
    """The same with its tensors and packed sequences changed, at any depth of tuples, lists and dicts."""
    if isinstance(held, Tensor | PackedSequence):
        return change(held)
    if isinstance(held, Mapping):
        return {name: _mapped(each, change) for name, each in held.items()}
    if isinstance(held, (tuple, list)):
        parts = [_mapped(each, change) for each in held]
        if hasattr(held, "_fields"):
            return type(held)(*parts)
        return parts if isinstance(held, list) else tuple(parts)
    return held


def _dense(samples: Tensor | PackedSequence) -> Tensor:
    """A copy without a graph; of packed sequences, `[sample, time, channel]`, the last steps that all of them have."""
    if isinstance(samples, Tensor):
        return samples.detach().clone()
    padded, lengths = pad_packed_sequence(samples, batch_first=True)
    steps = torch.arange(int(lengths.min())) - int(lengths.min())
    places = (lengths.unsqueeze(1) + steps).to(padded.device)
    return padded.detach()[torch.arange(len(padded), device=padded.device).unsqueeze(1), places]


def _cut(samples: Tensor | PackedSequence, count: int, size: int) -> Tensor | PackedSequence:
    """The first samples, where they are the first axis or the second."""
    if isinstance(samples, PackedSequence) or samples.dim() == 0 or count not in samples.shape[:2]:
        return samples
    return samples[:size] if len(samples) == count else samples[:, :size]


def _key(tensor: Tensor | PackedSequence) -> Hashable:
    """What two names of the same numbers have in common."""
    data = tensor.data if isinstance(tensor, PackedSequence) else tensor
    return (data.data_ptr(), data.shape, data.stride()) if is_dense(data) else id(tensor)


def _leaves(batch: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor | PackedSequence]]:
    """The tensors and packed sequences of a batch, each with the way to it."""
    if isinstance(batch, Tensor | PackedSequence):
        yield path, batch
    elif isinstance(batch, Mapping):
        for name, each in batch.items():
            yield from _leaves(each, (*path, name))
    elif isinstance(batch, (tuple, list)):
        for number, each in enumerate(batch):
            yield from _leaves(each, (*path, number))


def _at(batch: Any, path: Path) -> Any:
    for step in path:
        batch = batch[step]
    return batch
