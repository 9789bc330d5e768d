"""What is examined: a model, samples of its data, its loss and optimizer, and how the one is asked about the other."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from itertools import count
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.optim import Optimizer

from flatspot.errors import BadInput
from flatspot.examination.graph import leaves_behind
from flatspot.examination.samples import Samples, leaves, mapped, packed, sample_axis, series_among
from flatspot.probes.fitting import Fit, Reader, fit_of
from flatspot.probes.undisturbed import random_states_kept, undisturbed

LossOf = Callable[..., Any]

TRAINED_ON: Final = 0.75
"""The share of a whole dataset that comes first, and that references are fitted on."""

REFUSED: Final = -3.0
"""A number that nothing is looked up by."""

NO_LOSS: Final = "no loss was given: give loss=, as nn.MSELoss() or what you train with"
NO_OPTIMIZER: Final = "no optimizer was given: give optimizer=, the one that was used"
NO_FRESH: Final = "no fresh copies could be made: give make_model=, a function that builds the model anew, as its class"
"""What is said where something was not given."""

SURE: Final = 20.0
"""A logit that is as good as certain."""


def _steps_in(part: nn.Module, given: tuple[Any, ...]) -> int:
    """Of one call: a cell takes one, a layer as many as its input has, in each of its layers."""
    if not isinstance(part, nn.RNNBase):
        return 1
    x = given[0] if given else None
    if isinstance(x, PackedSequence):
        return part.num_layers * len(x.batch_sizes)
    batched = isinstance(x, Tensor) and x.dim() == 3
    return part.num_layers * (x.shape[1 if batched and part.batch_first else 0] if isinstance(x, Tensor) else 1)


@final
@dataclass(frozen=True)
class Answers:
    """A model's answers to samples.

    Args:
        raw: the tensor that is the prediction, as the model returned it, `[sample, ...]`. y: the targets as they came.
        outputs, targets: both `[sample, output]`: numbers, or probabilities of classes beside ones at the true class.
    """

    raw: Tensor
    y: Tensor
    outputs: Tensor
    targets: Tensor


@final
@dataclass(frozen=True)
class Patient:
    """A stranger's model and what belongs to it.

    Args:
        model: left as it is. train, val: samples of its data. loss: of (predictions, targets).
        optimizer: as it was used. make_model: gives fresh copies. seed: of all that experiments draw.
        left: names of weights on which training left a gradient.
        channels_first: which of the inputs the model wants as `[sample, channel, time]`, where samples here have time
            before channels; None: none.
    """

    model: nn.Module
    train: Samples
    val: Samples
    loss: LossOf | None = None
    optimizer: Optimizer | None = None
    make_model: Callable[[], nn.Module] | None = None
    seed: int = 0
    left: frozenset[str] = frozenset()
    channels_first: int | None = None

    @cached_property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next((each.device for each in [*self.model.parameters(), *self.model.buffers()]), torch.device("cpu"))

    @cached_property
    def fit(self) -> Fit:
        """How predictions and targets belong together.

        Raises:
            BadInput: they do not, or the model returned no tensor.
        """
        return self._reading[1]

    @cached_property
    def place(self) -> int:
        """Which of the tensors that the model returns is the prediction."""
        return self._reading[0]

    @cached_property
    def steps_taken(self) -> int:
        """The time steps of all of torch's recurrent layers and cells in one call, one after the other."""
        taken = 0

        def count_steps(part: nn.Module, given: tuple[Any, ...], _: Any) -> None:
            nonlocal taken
            taken += _steps_in(part, given)

        kinds = (nn.RNNBase, nn.RNNCellBase)
        hooks = [each.register_forward_hook(count_steps) for each in self.model.modules() if isinstance(each, kinds)]
        try:
            with undisturbed(self.model):
                self.call(self.train.batches[0][0])
        finally:
            for hook in hooks:
                hook.remove()
        return taken

    @cached_property
    def several(self) -> int | None:
        """The axis along which the model says several numbers of each target (quantiles, say); None: one of each."""
        return self._reading[2]

    @cached_property
    def _reading(self) -> tuple[int, Fit, int | None]:
        x, y = self.train.batches[0]
        with undisturbed(self.model):
            several = list(leaves(self.call(x)))
        if not several:
            raise BadInput("the model returned no tensor")
        for place, each in enumerate(several):
            fit = fit_of(each, self.counted(y))
            if fit is not None:
                return place, self._as_chances(each, fit), None
        for place, each in enumerate(several):
            axis = several_along(each, y)
            if axis is not None:
                return place, Fit("numbers"), axis
        shapes = ", ".join(str(tuple(each.shape)) for each in several)
        raise BadInput(f"outputs of shape {shapes} do not fit targets of shape {tuple(y.shape)}")

    def _as_chances(self, said: Tensor, fit: Fit) -> Fit:
        """Numbers between 0 and 1 beside floating targets that are all 0 or 1 are chances of yes."""
        one = said.numel() == len(said)  # of several, one may be a class of many
        if fit.kind != "numbers" or not one or not bool(((said >= 0) & (said <= 1)).all()):
            return fit
        y = torch.cat([y.flatten() for _, y in self.train.batches])
        both = bool((y == 0).any() & (y == 1).any() & ((y == 0) | (y == 1)).all())
        return Fit("labels", chances=True) if both else fit

    @cached_property
    def wants_logits(self) -> bool:
        """Whether the targets are 0 and 1 beside logits: certain ones cost less than the numbers 0 and 1 do."""
        y = torch.cat([y.flatten() for _, y in self.train.batches])
        if self.loss is None or not y.is_floating_point() or not bool(((y == 0) | (y == 1)).all()):
            return False
        try:
            with torch.no_grad():
                return bool(value(self.loss, SURE * (2 * y - 1), y) < value(self.loss, y, y))
        except Exception:  # noqa: BLE001 - it wants probabilities, or another shape
            return False

    @cached_property
    def numbered(self) -> Tensor | None:
        """Which places on the series' last axis hold numbers that are looked up (of stations, of hours); None: none.

        Whole ones, in whose place the model refuses others. Those that are no floating numbers are not asked about.
        """
        x, y = self.train.batches[0]
        series = series_among(x, len(y))
        if not series.is_floating_point() or series.dim() < 2:
            return None
        whole = ((series == series.round()) & (series >= 0)).reshape(-1, series.shape[-1]).all(dim=0)
        if not whole.any() or not self._refuses(x, series, torch.where(whole, REFUSED, series)):
            return None
        return whole

    def _refuses(self, x: Any, series: Tensor, other: Tensor) -> bool:
        """Whether other numbers in the place of a series are refused: on a CPU, since a GPU's errors stay with it."""
        given = mapped(x, lambda each: (other if each is series else each).cpu())
        try:
            model = self.model if self.device.type == "cpu" else self.copied().cpu()
            with undisturbed(model), torch.no_grad():
                self.call(given, model)
        except Exception:  # noqa: BLE001 - that is the question
            return True
        return False

    def counted(self, y: Tensor) -> Tensor:
        """Targets as they count: yes and no as whole numbers."""
        return y.long() if y.dtype is torch.bool or (self.wants_logits and y.is_floating_point()) else y

    def beside(self, said: Tensor, y: Tensor) -> Tensor:
        """Targets in the shape of what is held against them."""
        if self.several is None:
            return self.counted(y)
        one = said.select(self.several, 0)
        return y.reshape(one.shape).unsqueeze(self.several).expand_as(said)

    def call(self, x: Any, model: nn.Module | None = None) -> Any:
        """All that the model returns for a batch of inputs, in whatever mode and state it is."""
        given = x if self.channels_first is None else channels_before_time(x, self.channels_first)
        return call(self.model if model is None else model, packed(given))

    def ask(self, x: Any, model: nn.Module | None = None) -> Tensor:
        """The predictions for a batch of inputs."""
        return list(leaves(self.call(x, model)))[self.place]

    def answers(self, samples: Samples, model: nn.Module | None = None, *, training: bool = False) -> Answers:
        """To samples batch by batch, as a loop over the loader asks; the model is left as it was."""
        asked = self.model if model is None else model
        reader, parts = Reader(), []
        with undisturbed(asked, training=training), torch.no_grad():
            for x, y in samples.batches:
                said = self.ask(x, asked).detach()
                if len(said) != len(y):
                    raise BadInput(f"{len(said)} predictions for {len(y)} targets")
                parts.append((said, y, *reader.read(said, self.beside(said, y), self.fit)))
        return Answers(*(torch.cat(each) for each in zip(*parts, strict=True)))

    @cached_property
    def in_order(self) -> "Patient":
        """The same with samples that follow one another: as the dataset has them that a random split was drawn from.

        Raises:
            BadInput: there are none.
        """
        if self.train.whole is None:
            train, val = self.train.consecutive(), self.val.consecutive()
        else:
            train, val = self.train.whole().parted(TRAINED_ON)
        return self if train is self.train and val is self.val else replace(self, train=train, val=val)

    @cached_property
    def on_val(self) -> Answers:
        """Of the model to the held-out samples, in evaluation mode."""
        return self.answers(self.val)

    @cached_property
    def on_train(self) -> Answers:
        """Of the model to the training samples, in evaluation mode."""
        return self.answers(self.train)

    def fresh(self, number: int = 0) -> nn.Module:
        """A fresh copy, as its author begins, of another seed for each number; nobody's random state moves.

        Raises:
            NotGiven: there is no `make_model`.
        """
        if self.make_model is None:
            raise NotGiven(NO_FRESH)
        with random_states_kept(self.model):
            torch.manual_seed(self.seed + number)
            return self.make_model().to(self.device)

    def copied(self) -> nn.Module:
        """A copy as it is now.

        Raises:
            NotGiven: it cannot be copied.
        """
        try:
            return copy.deepcopy(self.model)
        except Exception as error:
            raise NotGiven(f"the model cannot be copied ({type(error).__name__}: {error})") from error


def several_along(predictions: Tensor, y: Tensor) -> int | None:
    """The axis of predictions that targets lack: the last one, or the second; None where shapes differ otherwise.

    >>> several_along(torch.zeros(8, 3), torch.zeros(8, 1)), several_along(torch.zeros(8, 3, 5), torch.zeros(8, 5))
    (1, 1)
    """
    if not (y.is_floating_point() and predictions.is_floating_point() and predictions.dim() > 1):
        return None
    if len(predictions) != len(y):
        return None
    wanted = [size for size in y.shape[1:] if size > 1]
    for axis in dict.fromkeys((predictions.dim() - 1, 1)):
        rest = [size for at, size in enumerate(predictions.shape) if at not in {0, axis} and size > 1]
        if rest == wanted:
            return axis
    return None


def counterparts(model: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """Weights of a fresh copy by the names that they have in a model, which may be the same one in a wrapping.

    Of an average of weights, a compiled or a parallel module all names begin with another word; the order stays.
    """
    ours, theirs = dict(model.named_parameters()), dict(fresh.named_parameters())
    shapes = [[each.shape for each in named.values()] for named in (ours, theirs)]
    if ours.keys() & theirs.keys() or shapes[0] != shapes[1]:
        return dict(theirs)
    return dict(zip(ours, theirs.values(), strict=True))


def channels_before_time(x: Any, place: int) -> Any:
    """Inputs of which one, by its place among all tensors, has its last two axes turned."""
    places = count()
    return mapped(x, lambda each: each.transpose(1, 2) if next(places) == place else each)


class NotGiven(Exception):  # noqa: N818 - what it says
    """Something that a measurement needs was not given; what is asked of it stays unmeasured, for this reason."""


def call(model: nn.Module, x: Any) -> Any:
    """The model's answer to inputs: a tensor, a tuple of arguments, or a dict of named ones.

    Where `forward` does not take them one by one, it is handed the tuple or the dict itself.
    """
    if isinstance(x, Mapping):
        named = all(isinstance(each, str) for each in x) and _takes(model, (), x)
        return model(**x) if named or not _takes(model, (x,), {}) else model(x)
    if isinstance(x, (tuple, list)):
        return model(*x) if _takes(model, tuple(x), {}) or not _takes(model, (x,), {}) else model(x)
    return model(x)


def _takes(model: nn.Module, args: tuple[Any, ...], named: Mapping[str, Any]) -> bool:
    """Whether `forward` can be called with these arguments; of one that does not tell, that it can."""
    try:
        signature(model.forward).bind(*args, **named)
    except TypeError:
        return False
    except ValueError:
        return True
    return True


def loss_of_prediction(patient: Patient) -> LossOf | None:
    """The loss as it is asked about the prediction alone, where it takes all that the model returns.

    A loss that takes the first of a tuple would take the first sample of a lone tensor. The other parts stay those of
    the first batch.
    """
    loss, (x, y) = patient.loss, patient.train.batches[0]
    try:
        with undisturbed(patient.model), torch.no_grad():
            out = patient.call(x)
    except Exception:  # noqa: BLE001 - told by what asks the model for its answers
        return loss
    if loss is None or isinstance(out, Tensor):
        return loss

    def asked(predictions: Any, targets: Tensor) -> Any:
        numbers = iter(range(sum(1 for _ in leaves(out))))
        rows = torch.arange(len(predictions)) % len(y)

        def part(each: Tensor) -> Tensor:
            if next(numbers) == patient.place:
                return predictions  # type: ignore[no-any-return]
            axis = sample_axis(each, len(y))
            return each if axis is None else each.index_select(axis, rows.to(each.device))

        return loss(mapped(out, part), targets)

    try:
        with torch.no_grad():
            value(loss, out, y)
            value(asked, list(leaves(out))[patient.place], y)
    except Exception:  # noqa: BLE001 - it takes the prediction alone
        return loss
    return asked


def strays(patient: Patient, model: nn.Module) -> list[Tensor]:
    """Weights that answers follow and `model.parameters()` does not give: of parts in a plain list, say.

    What is made anew at each call (a first state that asks for a gradient) is none.
    """
    known = {id(each) for each in model.parameters()}
    x, _ = patient.train.batches[0]
    asked: list[list[Tensor]] = []
    for _ in range(2):  # the first leaves are held, so that no second one has their place
        with undisturbed(model):
            asked.append(leaves_behind(patient.ask(x, model)))
    again = {id(each) for each in asked[1]}
    return [each for each in asked[0] if id(each) in again - known]


def value(loss: LossOf, predictions: Any, targets: Tensor) -> Tensor:
    """The loss as one number: a vector's mean."""
    found = loss(predictions, targets)
    found = found if isinstance(found, Tensor) else torch.as_tensor(found)
    return found if not found.dim() else found.mean()
