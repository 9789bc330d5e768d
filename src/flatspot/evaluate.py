"""Score a network beside its baselines over rolling origins, or over labelled windows or series."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from flatspot.data.frequency import Step, meant_days, parse_frequency
from flatspot.data.module import SeriesDataModule
from flatspot.data.split import Part
from flatspot.data.windows import Sequences, Windows
from flatspot.errors import BadInput
from flatspot.models.classifier import Classifier
from flatspot.models.sequence_module import SequenceModule
from flatspot.probes.classification import ClassScores, class_scores
from flatspot.probes.references import Ridge, fit_ridge
from flatspot.probes.scores import Scores, ScoreTable, score_table

BATCH: Final = 512
"""Windows a batch: nothing is trained here, so only memory sets it."""

MOST_NUMBERS: Final = 2**26
"""Numbers a batch, where windows are very long: a quarter of a gigabyte."""

MOST_STEPS: Final = 64
"""Last steps of a labelled sequence that the ridge reference reads."""

MOST_LAGS: Final = 16
"""Steps apart up to which it reads the products of channels."""

MOST_PRODUCTS: Final = 1024
"""Products that it reads at most."""

MOST_SERIES: Final = 10_000
"""Series whose figures are told one by one."""

CLASS_FIGURES: Final = ("accuracy", "balanced_accuracy", "f1")

Input = Tensor | PackedSequence


@final
@dataclass(frozen=True)
class Evaluation:
    """What a part of the data says of a network, in original units.

    Args:
        data: what was evaluated on.
        outputs, answers: of the network and in truth, scaled: `[window, horizon, target]`; for a classifier
            probabilities and ones at the true class, `[sample, 1, class]`.
        references: by name, the same.
        series: the number of each window's series.
        predictions, targets: in original units, float64; None for a classifier.
        table: the errors by series and step. baselines: of the references. None for a classifier.
        classes: the scores of a classifier. class_baselines: of its references.
        notes: what could not be measured, and why.
    """

    data: SeriesDataModule
    outputs: Float[Tensor, "window horizon target"]
    answers: Float[Tensor, "window horizon target"]
    references: Mapping[str, Tensor]
    series: Int[Tensor, " window"]
    predictions: Float[Tensor, "window horizon target"] | None = None
    targets: Float[Tensor, "window horizon target"] | None = None
    table: ScoreTable | None = None
    baselines: Mapping[str, ScoreTable] = field(default_factory=dict)
    classes: ClassScores | None = None
    class_baselines: Mapping[str, ClassScores] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def scores(self) -> dict[str, float]:
        """The figures of the network, by name."""
        return _named(self.table, self.classes)

    def baseline_scores(self) -> dict[str, dict[str, float]]:
        """The figures of each baseline, by name."""
        numbers = {name: _named(table, None) for name, table in self.baselines.items()}
        return numbers | {name: _named(None, scores) for name, scores in self.class_baselines.items()}

    def details(self) -> dict[str, Any]:
        """The figures by step of the horizon and by series; or who was taken for whom."""
        if self.classes is not None:
            return {"classes": list(self.data.answers.classes), "confusion": self.classes.confusion}
        assert self.table is not None  # noqa: S101 - one of both
        names = self.data.panel.series
        if self.data.task != "forecast":
            return {}
        tables = {"model": self.table, **self.baselines}
        found: dict[str, Any] = {"by_step": {name: _lists(table.by_step) for name, table in tables.items()}}
        if 1 < len(names) <= MOST_SERIES:
            columns = _lists(self.table.by_series)
            errors = {name: table.by_series.mae.tolist() for name, table in self.baselines.items()}
            found["by_series"] = {
                series: {figure: values[number] for figure, values in columns.items()}
                for number, series in enumerate(names)
            }
            found["baseline_by_series"] = {
                series: {name: values[number] for name, values in errors.items()} for number, series in enumerate(names)
            }
        return found


def _lists(scores: Scores) -> dict[str, list[float]]:
    return {name: each.tolist() for name, each in scores._asdict().items()}


def _named(table: ScoreTable | None, classes: ClassScores | None) -> dict[str, float]:
    if table is not None:
        return {name: value.item() for name, value in table.overall._asdict().items()}
    assert classes is not None  # noqa: S101 - one of both
    return {name: getattr(classes, name) for name in CLASS_FIGURES}


def evaluate(
    model: SequenceModule,
    data: SeriesDataModule,
    *,
    part: Part = "test",
    ridge: Ridge | None = None,
    season: int | None = None,
) -> Evaluation:
    """Score a network beside the training mean, persistence (seasonal too) and ridge; or the commonest class.

    The model's mode and the random states stay as they were.

    Args:
        ridge: fitted before; None: fitted on the training windows.
        season: steps of a season, for seasonal persistence; None: there is none.

    Raises:
        BadInput: for a season that cannot be, or a part without a window.
    """
    if data.task != "forecast" and data.answers.labels is None:
        raise BadInput(f"{data.panel.name}: has no column {data.answers.column!r} (data.label) to evaluate against")
    if not len(data.every_window(part)):
        raise BadInput(f"{data.panel.name}: has no window to evaluate")
    ridge = ridge if ridge is not None else reference(data)
    if isinstance(model, Classifier):
        return _evaluate_classes(model, data, part, ridge)
    return _evaluate_numbers(model, data, part, ridge, season)


def reference(data: SeriesDataModule) -> Ridge:
    """Ridge on the training windows, its penalty chosen on validation windows; of classes, ones at the true one."""
    return fit_ridge(lambda: _reference_batches(data, "train"), lambda: _reference_batches(data, "val"))


def _evaluate_numbers(
    model: SequenceModule, data: SeriesDataModule, part: Part, ridge: Ridge, season: int | None
) -> Evaluation:
    series = series_of(data, part)
    outputs = predict(model, data, part)
    answers, by_ridge = _answers(data, part), _by_ridge(ridge, data, part)
    predictions, targets = (original(data, each, series) for each in (outputs, answers))
    naive, notes = _naive(data, part, series, season)
    forecasts = {**naive, "ridge": original(data, by_ridge, series)}
    changes = torch.from_numpy(data.naive.changes)
    return Evaluation(
        data=data,
        outputs=outputs,
        answers=answers,
        references={name: scaled(data, each, series) for name, each in forecasts.items() if name != "mean"},
        series=series,
        predictions=predictions,
        targets=targets,
        table=score_table(predictions, targets, series, changes),
        baselines={name: score_table(each, targets, series, changes) for name, each in forecasts.items()},
        notes=notes,
    )


def _evaluate_classes(model: Classifier, data: SeriesDataModule, part: Part, ridge: Ridge) -> Evaluation:
    outputs = F.softmax(predict(model, data, part), dim=-1).unsqueeze(1)
    answers, by_ridge = _answers(data, part), _by_ridge(ridge, data, part)
    commonest = torch.zeros_like(answers)
    commonest[..., int(np.argmax(data.known.counts))] = 1.0
    guesses = {"commonest": commonest, "ridge": by_ridge}
    return Evaluation(
        data=data,
        outputs=outputs.to(answers),
        answers=answers,
        references={"ridge": by_ridge},
        series=series_of(data, part),
        classes=_class_scores(outputs, answers),
        class_baselines={name: _class_scores(each, answers) for name, each in guesses.items()},
    )


def _class_scores(outputs: Tensor, answers: Tensor) -> ClassScores:
    count = answers.shape[-1]
    truth, named = answers[:, 0].argmax(dim=-1), outputs[:, 0].argmax(dim=-1)
    return class_scores(torch.bincount(truth * count + named, minlength=count**2).view(count, count))


@torch.inference_mode()
def predict(model: nn.Module, data: SeriesDataModule, part: Part) -> Tensor:
    """A network's outputs for all windows of a part, in time order, scaled, on the host: `[window, ...]`."""
    training = model.training
    model.eval()
    weights = next(model.parameters())
    outputs = [model(x.to(weights)) for x, _ in batches(data, part)]  # type: ignore[arg-type] # packed too
    model.train(training)
    return torch.cat(outputs).to("cpu", torch.float32)


def batches(data: SeriesDataModule, part: Part) -> Iterator[tuple[Input, Tensor]]:
    """All windows of a part in time order, in large batches, however few of them are trained on."""
    windows = data.every_window(part)
    each = data.window * len(data.columns) + data.horizon * len(data.targets)
    for chunk in _chunks(range(len(windows)), windows_at_once(each)):
        x, y, *_ = windows.__getitems__(chunk)
        yield x, y


def windows_at_once(numbers_each: int) -> int:
    """How many windows of so many numbers make a batch, where nothing is trained."""
    return max(min(BATCH, MOST_NUMBERS // numbers_each), 1)


def _chunks(indices: range, size: int) -> Iterable[range]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _reference_batches(data: SeriesDataModule, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows as the ridge reference reads them, and answers as numbers."""
    shortest = min(int(data.known.shortest), MOST_STEPS)
    for x, y in batches(data, part):
        if data.task == "forecast":
            assert isinstance(x, Tensor)  # noqa: S101 - windows are of one length
            yield x, y
        else:
            ones = F.one_hot(y, len(data.answers.classes)).unsqueeze(1).float() if data.task == "classify" else y
            yield _summary(x, shortest), ones


def _summary(x: Input, steps: int) -> Float[Tensor, "sample feature 1"]:
    """A sequence as numbers, however long it is: last steps, means, and the mean products of channels some steps apart.

    These are covariances, and so frequencies: a label may hang on what recurs, wherever it stands,
    which a linear map of the steps cannot see.
    """
    padded, lengths = (x, None) if isinstance(x, Tensor) else pad_packed_sequence(x, batch_first=True)
    lengths = torch.full((len(padded),), padded.shape[1]) if lengths is None else lengths
    places = ((lengths - steps).unsqueeze(1) + torch.arange(steps)).clamp(min=0)  # of a short one the first step again
    last = padded.gather(1, places.unsqueeze(-1).expand(-1, -1, padded.shape[-1]))
    size = lengths.view(-1, 1)
    lags = min(steps, MOST_LAGS, max(MOST_PRODUCTS // padded.shape[-1] ** 2, 1))
    products = [_products(padded, lag) / size for lag in range(lags)]
    return torch.cat([*products, padded.sum(dim=1) / size, last.flatten(1)], dim=1).unsqueeze(-1)


def _products(padded: Float[Tensor, "sample time channel"], lag: int) -> Float[Tensor, "sample product"]:
    """The sums of the products of all channels so many steps apart; of many channels, each with itself."""
    early, late = padded[:, : max(padded.shape[1] - lag, 0)], padded[:, lag:]
    if padded.shape[-1] ** 2 > MOST_PRODUCTS:
        return (early * late).sum(dim=1)
    return torch.einsum("sti,stj->sij", early, late).flatten(1)


def _answers(data: SeriesDataModule, part: Part) -> Tensor:
    return torch.cat([y for _, y in _reference_batches(data, part)])


def _by_ridge(ridge: Ridge, data: SeriesDataModule, part: Part) -> Tensor:
    return torch.cat([ridge.predict(x) for x, _ in _reference_batches(data, part)])


def series_of(data: SeriesDataModule, part: Part) -> Int[Tensor, " window"]:
    """The number of each window's series."""
    windows = data.every_window(part)
    if isinstance(windows, Sequences):
        return torch.zeros(len(windows), dtype=torch.long)  # each is a sample of one whole
    return windows.series_of(origins(windows), torch.from_numpy(data.panel.firsts))


def origins(windows: Windows) -> Int[Tensor, " window"]:
    """The last row of each window."""
    return torch.from_numpy(windows.runs.starts()) + windows.window - 1


def original(data: SeriesDataModule, scaled_values: Tensor, series: Tensor) -> Tensor:
    """From the network's units to the original ones, float64 `[window, horizon, target]`."""
    mean, scale = _unit(data, series)
    return scaled_values.double() * scale + mean


def scaled(data: SeriesDataModule, values: Tensor, series: Tensor) -> Tensor:
    """From original units to the network's."""
    mean, scale = _unit(data, series)
    return ((values - mean) / scale).float()


def _unit(data: SeriesDataModule, series: Tensor) -> tuple[Tensor, Tensor]:
    mean, scale = (torch.from_numpy(each) for each in data.target_scaling.table)
    rows = series if len(mean) > 1 else torch.zeros_like(series)
    return mean[rows].unsqueeze(1), scale[rows].unsqueeze(1)


def _naive(
    data: SeriesDataModule, part: Part, series: Tensor, season: int | None
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The training mean; and of a forecast the last value seen, and that of a season before, in original units."""
    windows = data.every_window(part)
    shape = (len(series), max(data.horizon, 1), len(data.targets))
    means = torch.from_numpy(data.naive.means)[series].unsqueeze(1)
    found = {"mean": means.expand(shape)}
    if data.task != "forecast":
        return found, ()
    assert isinstance(windows, Windows)  # noqa: S101 - whole series are no forecast
    last = origins(windows)
    found["persistence"] = original(data, windows.targets[last].unsqueeze(1), series).expand(shape)
    if season is None:
        return found, ()
    before, held = _season_before(data, last, season)
    short = int((~held).sum())
    if short == len(last):
        return found, (f"seasonal persistence: no window has a row {season} steps before its forecast",)
    by_season = original(data, windows.targets[before.clamp(min=0)], series)
    found["seasonal"] = torch.where(held.view(-1, 1, 1), by_season, found["persistence"])
    told = f"seasonal persistence: {short:,} of {len(last):,} windows have no row {season} steps before; the last value"
    return found, (f"{told} stands in",) if short else ()


def _season_before(data: SeriesDataModule, last: Tensor, season: int) -> tuple[Tensor, Tensor]:
    """The rows a whole number of seasons before each step of the forecast, the latest seen; and whether they are there.

    Both by window: `[window, horizon]` and `[window]`.
    """
    if season < 1:
        raise BadInput(f"data.season={season}: must be at least 1")
    if data.panel.original is not None and data.panel.frequency is not None:
        return _by_stamps(data, last, season, parse_frequency(data.panel.frequency))
    steps = torch.arange(1, data.horizon + 1)
    rows = last.unsqueeze(1) + steps - season * ((steps + season - 1) // season)
    held = data.prepared
    starts = torch.from_numpy(held.starts)
    stretch = torch.searchsorted(starts, last, right=True) - 1
    return rows, (rows >= starts[stretch].unsqueeze(1)).all(dim=1)


def _by_stamps(data: SeriesDataModule, last: Tensor, season: int, step: Step) -> tuple[Tensor, Tensor]:
    """The same where rows were dropped, and a row is not a step: the rows whose stamps lie whole seasons before."""
    panel, steps = data.panel, np.arange(1, data.horizon + 1)
    times, after = panel.times[:], last.numpy()[:, None] + steps
    meant = meant_days(times, panel.lengths)[after] if step.months else None
    wanted = step.after(times[after], -season * ((steps + season - 1) // season), meant=meant)
    owners = np.searchsorted(panel.firsts, last.numpy(), side="right") - 1
    rows = np.zeros_like(after)
    for owner in np.unique(owners):
        first, mine = panel.firsts[owner], owners == owner
        held = times[first : first + panel.lengths[owner]]
        rows[mine] = first + np.searchsorted(held, wanted[mine]).clip(max=len(held) - 1)
    return torch.from_numpy(rows), torch.from_numpy((times[rows] == wanted).all(axis=1))
