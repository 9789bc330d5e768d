"""What a run leaves behind when it has ended well: evidence, `metrics.json`, the last TensorBoard entries."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from flatspot import evidence
from flatspot.cli.folder import write_json
from flatspot.data.module import SeriesDataModule
from flatspot.examine import Examination
from flatspot.report.figures import forecast_examples


def metrics_of(examination: Examination, steps: int, fit_seconds: float, seconds: float) -> dict[str, Any]:
    """What `metrics.json` holds; a number that could not be measured is null."""
    diagnosis = examination.diagnosis
    whole = {
        "test": asdict(examination.score),
        "baseline": {name: asdict(score) for name, score in examination.baselines.items()},
        "diversity": examination.diversity._asdict(),
        "skill": {
            "model": examination.skill,
            "ridge": examination.ridge_skill,
            "persistence": examination.persistence_skill,
        },
        "verdict": diagnosis.verdict,
        "explained": diagnosis.explained,
        "findings": [asdict(finding) for finding in diagnosis.findings],
        "not_examined": dict(diagnosis.not_examined or {}),
        "steps": steps,
        "fit_seconds": round(fit_seconds, 3),
        "seconds": round(seconds, 3),
    }
    return {name: _finite(value) for name, value in whole.items()}


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def keep(folder: Path, trainer: Trainer, metrics: Mapping[str, Any], examination: Examination) -> None:
    """Write the final evidence and `metrics.json`."""
    entry = evidence.measurement("end", trainer.current_epoch, trainer.global_step, examination.figures())
    evidence.append(folder, entry)
    write_json(folder / "metrics.json", metrics)


def log_end(trainer: Trainer, config: Mapping[str, Any], data: SeriesDataModule, found: Examination) -> None:
    """The forecast figure, and the run's settings beside its final figures for TensorBoard's HParams."""
    final = {"final/mae": found.score.mae, "final/diversity_ratio": found.diversity.ratio}
    final = {name: value for name, value in final.items() if math.isfinite(value)}
    windows = data.dataset("test")
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            figure = forecast_examples(
                data.series.values[:, 0],
                found.predictions[:, :, 0].numpy(),
                windows.starts.start,
                window=data.window,
                name=data.series.columns[0],
            )
            logger.experiment.add_figure("forecast/examples", figure, trainer.global_step, close=False)
            logger.log_hyperparams(_flat(config), final)
            logger.finalize("success")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": _scalar(value)}
    return flat


def _scalar(value: Any) -> Any:  # noqa: ANN401 - any value of a configuration
    return value if isinstance(value, (bool, int, float, str)) else str(value)
