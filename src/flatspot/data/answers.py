"""What a network is to say of a window or a series: the steps that follow, a number, or a class."""

from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray

from flatspot.data.labels import NO_CLASS, Task, classes_of, numbers_of
from flatspot.data.panel import Labels, Panel
from flatspot.data.prepare import Prepared, refuse_coarse
from flatspot.data.restore import Known
from flatspot.data.scaling import PER_SERIES, ChannelScaling, fit_scaling
from flatspot.data.split import Borders
from flatspot.errors import BadInput

ROUNDING_ERROR: Final = 1e-12
"""A spread that is a smaller share of the numbers is none."""

MODELS: Final = {"forecast": "forecaster", "classify": "classifier", "regress": "regressor"}


@final
@dataclass(frozen=True)
class Answers:
    """The answers to all rows or series.

    Args:
        task: what is asked. column: of the labels; none for a forecast.
        scale: how numbers are scaled, by name.
        classes: their names in order; none but for a classifier.
        labels: the class's number or the number itself, of each row or series; None for a forecast, or unknown.
        per_series: whether each series has one. rows: rows of all series.
        known: the scaling of a network that was trained already.
        tensor: what batches take their answers from. scaling: from original units.
        mean: of the training labels. counts: training labels of each class.
    """

    task: Task
    column: str
    scale: str
    classes: tuple[str, ...]
    labels: NDArray[Any] | None
    per_series: bool
    known: ChannelScaling | None = None
    tensor: torch.Tensor | None = None
    scaling: ChannelScaling | None = None
    mean: float = float("nan")
    counts: tuple[int, ...] = ()

    def fitted(self, prepared: Prepared, trained_on: NDArray[np.bool_]) -> "Answers":
        """With the tensor that batches take their answers from, scaled by those of the training rows or series.

        Args:
            trained_on: which labels are of training rows or series.
        """
        if self.task == "forecast":
            return replace(self, tensor=prepared.targets, scaling=prepared.scalings.targets)
        labels = np.zeros(len(trained_on)) if self.labels is None else self.labels
        if self.task == "classify":
            counts = np.bincount(labels[trained_on].astype(np.int64), minlength=len(self.classes))
            return replace(self, tensor=torch.from_numpy(labels.astype(np.int64)), counts=tuple(counts.tolist()))
        training = labels[trained_on][:, None]
        scaling = self.known or fit_scaling(self.scale, iter([training]))
        mean, scale = scaling.table
        scaled = (labels - mean[0, 0]) / scale[0, 0]
        refuse_coarse(scaled[:, None][np.isfinite(scaled)], [self.column])
        mean_label = float(training.mean()) if len(training) else float("nan")
        return replace(
            self, tensor=torch.from_numpy(scaled.astype(np.float32)).view(-1, 1, 1), scaling=scaling, mean=mean_label
        )

    def signed(self) -> list[torch.Tensor]:
        """The answers that are no channel of the inputs."""
        return [] if self.task == "forecast" or self.tensor is None else [self.tensor]


def refuse_other_task(panel: Panel, task: Task, known: Known | None) -> None:
    """Refuse labels without a classifier or regressor, and one of these that is to learn without labels.

    Raises:
        BadInput: saying which.
    """
    if task == "forecast" and panel.labels is not None:
        column = panel.labels.column
        raise BadInput(f"data.label={column}: a forecaster has no label; say model=classifier or regressor")
    if task != "forecast" and panel.labels is None and known is None:
        raise BadInput(f"model={MODELS[task]}: needs labels: say their column with data.label=")


def answers_of(panel: Panel, task: Task, scale_target: str, known: Known | None) -> Answers:
    """What the panel's labels, or its targets, ask of a network.

    Raises:
        BadInput: for labels that cannot be used.
    """
    labels = panel.labels
    if task == "forecast":
        return Answers(task, "", scale_target, (), None, per_series=False)
    if labels is None:
        assert known is not None  # noqa: S101 - else refused before
        return Answers(task, known.label, scale_target, known.classes, None, known.whole, known.targets)
    if labels.per == "series":
        _refuse_unlabelled(panel, labels)
    if task == "classify":
        found = classes_of(labels, panel.name, known.classes if known else None)
        return Answers(task, labels.column, scale_target, found.names, found.numbers, labels.per == "series")
    if scale_target == PER_SERIES:
        raise BadInput("data.scale_target=per_series: labels have one scale; standard, robust, minmax or none")
    numbers = numbers_of(labels, panel.name)
    own = known.targets if known else None
    if known is None:
        _refuse_constant(numbers, labels.column, panel.name)
    return Answers(task, labels.column, scale_target, (), numbers, labels.per == "series", own)


def _refuse_unlabelled(panel: Panel, labels: Labels) -> None:
    """Each of the series that are labelled as a whole needs its label."""
    if not labels.known.all():
        name = panel.series[int((~labels.known).argmax())]
        raise BadInput(f"{panel.name}: series {name!r} has no label in column {labels.column!r}")


def _refuse_constant(numbers: NDArray[np.float64], column: str, source: str) -> None:
    there = numbers[np.isfinite(numbers)]
    if there.std() <= ROUNDING_ERROR * np.abs(there).max():
        raise BadInput(
            f"{source}: column {column!r} (data.label) is {there[0]:g} everywhere: there is nothing to predict"
        )


def ending_in_labels(prepared: Prepared, answers: Answers) -> Prepared:
    """Without the windows that end in a row without a label: a row that was put in has none."""
    if answers.task == "forecast" or answers.labels is None or answers.per_series:
        return prepared
    none = answers.labels == NO_CLASS if answers.task == "classify" else np.isnan(answers.labels)
    if not none.any():
        return prepared
    return replace(prepared, barred=none if prepared.barred is None else none | prepared.barred)


def refuse_unseen_classes(answers: Answers, trained_on: NDArray[np.bool_], source: str) -> None:
    """A class without a training example cannot be learned.

    Raises:
        BadInput: naming it.
    """
    if answers.task != "classify" or answers.labels is None:
        return
    seen = np.bincount(answers.labels[trained_on], minlength=len(answers.classes))
    if not seen.all():
        name = answers.classes[int((seen == 0).argmax())]
        raise BadInput(
            f"{source}: the class {name!r} of column {answers.column!r} has no example in the training split"
        )


def training_rows(borders: Borders, rows: int) -> NDArray[np.bool_]:
    """Which rows are training rows, `[row]`."""
    marks = np.zeros(rows + 1, np.int64)
    np.add.at(marks, borders[:, 0], 1)
    np.add.at(marks, borders[:, 1], -1)
    return marks[:-1].cumsum() > 0
