"""What a run leaves behind when it has ended well: evidence, `metrics.json`, the last TensorBoard entries."""

import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import torch
from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

import flatspot
from flatspot import evidence
from flatspot.cli.folder import write_json
from flatspot.data.module import SeriesDataModule
from flatspot.data.windows import Windows
from flatspot.evaluate import original
from flatspot.examination.own import Examination
from flatspot.monitors.publishing import log_picture, takes_pictures
from flatspot.probes.references import Ridge
from flatspot.report.figures import answers_by_truth, confusion_matrix, forecast_examples
from flatspot.report.forecasts import Forecasts, choose, kept_of, write_forecasts
from flatspot.run import write_reference

MOST_ANSWERS: Final = 2000
"""Answers of one number each that are kept."""


def metrics_of(
    examination: Examination, steps: int, fit_seconds: float, seconds: float, about: Mapping[str, Any]
) -> dict[str, Any]:
    """What `metrics.json` holds; a number that could not be measured is null.

    Args:
        about: what was trained on what, and with which versions.
    """
    diagnosis, found = examination.diagnosis(), examination.evaluation
    whole = {
        "test": found.scores(),
        "baseline": found.baseline_scores(),
        "diversity": {
            **examination.diversity._asdict(),
            "over_all": examination.over_all,
            "within_series": examination.within,
        },
        "skill": {"model": examination.skill, **examination.references},
        "verdict": diagnosis.verdict,
        "explained": diagnosis.explained,
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "not_examined": dict(diagnosis.not_examined or {}),
        "steps": steps,
        "fit_seconds": round(fit_seconds, 3),
        "seconds": round(seconds, 3),
        "about": dict(about),
        **found.details(),
    }
    return {name: finite(value) for name, value in whole.items()}


def error_of(metrics: Mapping[str, Any]) -> float | None:
    """What a sweeper is to make small: the test MAE, or the share of wrong classes."""
    test = metrics["test"]
    if "mae" in test:
        return None if test["mae"] is None else float(test["mae"])
    return None if test["accuracy"] is None else 1 - float(test["accuracy"])


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON without a NaN: null in its place."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {
        "flatspot": str(flatspot.__version__),
        "torch": str(torch.__version__),
        "lightning": lightning.__version__,
        "python": platform.python_version(),
    }


def keep(
    folder: Path,
    trainer: Trainer,
    metrics: Mapping[str, Any],
    examination: Examination,
    ridge: Ridge,
    forecasts: Forecasts | None,
    training: Mapping[str, float],
) -> None:
    """Write the final evidence, `metrics.json`, and the reference, which other data are to be held against too.

    Args:
        forecasts: some of the test split's, for the report; None: there are none. training: what was told of its steps.
    """
    write_reference(folder, ridge)
    if forecasts is not None:
        write_forecasts(folder, forecasts)
    when = trainer.current_epoch, trainer.global_step
    if (causes := examination.causes) is not None:
        seen = evidence.measurement("examined", *when, causes.figures, None, causes.unmeasured, causes.names)
        evidence.append(folder, seen)
    entry = evidence.measurement("end", *when, {**examination.figures(), **training}, None, examination.notes())
    evidence.append(folder, entry)
    write_json(folder / "metrics.json", metrics)


def log_end(
    trainer: Trainer,
    config: Mapping[str, Any],
    data: SeriesDataModule,
    found: Examination,
    forecasts: Forecasts | None,
) -> None:
    """The forecast figure, and the run's settings beside its final figures: TensorBoard's HParams."""
    test = found.evaluation.scores()
    error = {"final/mae": test["mae"]} if "mae" in test else {"final/accuracy": test["accuracy"]}
    figures = error | {"final/diversity_ratio": found.diversity.ratio}
    final = {name: value for name, value in figures.items() if math.isfinite(value)}
    tag, figure = _figure(data, found, forecasts) if takes_pictures(trainer) else ("", None)
    if figure is not None:
        log_picture(trainer, tag, figure, trainer.global_step)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(_flat(config), final)
        else:
            logger.log_hyperparams(_flat(config))
            logger.log_metrics(final, step=trainer.global_step)
        logger.finalize("success")


def _figure(data: SeriesDataModule, found: Examination, kept: Forecasts | None) -> tuple[str, Figure]:
    """Forecasts beside the truth; answers by truth, where numbers are predicted; who was taken for whom."""
    classes = found.evaluation.classes
    if classes is not None:
        return "confusion", confusion_matrix(classes.confusion, data.answers.classes)
    assert kept is not None  # noqa: S101 - of numbers
    if kept.pasts is None:
        return "predictions", answers_by_truth(kept.predictions[:, 0], kept.targets[:, 0], data.targets[0])
    return "forecast/examples", forecast_examples(kept, name=data.targets[0])


def forecasts_of(data: SeriesDataModule, found: Examination) -> Forecasts | None:
    """Some of the first target's, in original units; None of classes."""
    evaluation = found.evaluation
    if evaluation.predictions is None or evaluation.targets is None:
        return None
    predictions, targets = evaluation.predictions[..., 0].numpy(), evaluation.targets[..., 0].numpy()
    windows = data.every_window("test")
    if data.task != "forecast" or not isinstance(windows, Windows):
        return kept_of(predictions, targets, most=MOST_ANSWERS)
    series = evaluation.series.numpy()
    chosen = choose(series)
    pasts = originals(data, windows, chosen.numbers[chosen.examples], evaluation.series)
    return kept_of(predictions, targets, pasts, series=series, names=data.panel.series)


def originals(
    data: SeriesDataModule, windows: Windows, numbers: NDArray[np.int64], series: Tensor
) -> NDArray[np.float64]:
    """The first target over the windows of these numbers, in original units, `[window, step]`."""
    rows = windows.starts(torch.from_numpy(numbers)).unsqueeze(1) + torch.arange(windows.window)
    return original(data, windows.targets[rows], series[torch.from_numpy(numbers)])[..., 0].numpy()


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": _scalar(value)}
    return flat


def _scalar(value: Any) -> Any:  # noqa: ANN401 - any value of a configuration
    return value if isinstance(value, (bool, int, float, str)) else str(value)
