"""Examine a trained forecaster on the test split: model and data to figures, evidence and a diagnosis."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from flatspot.data.module import Part, SeriesDataModule
from flatspot.diagnosis import Diagnosis, consult, judge
from flatspot.models.forecast_module import ForecastModule
from flatspot.probes.diversity import Diversity, output_diversity
from flatspot.probes.errors import Errors, forecast_errors
from flatspot.probes.references import fit_ridge
from flatspot.probes.skill import skill
from flatspot.rules import RULES

BATCH: Final = 512
"""Windows a batch: nothing is trained here, so only memory sets it."""

NOT_EXAMINED: Final = {
    "causes": "no cause was looked for yet; the verdict rests on diversity, skill, ridge and persistence alone"
}

OTHER_LOSS: Final = {
    "spread": "the lines for the diversity ratio hold for squared loss; under this loss they are a guide"
}


@final
@dataclass(frozen=True)
class Score:
    """Errors in original units, and MASE: the MAE in units of the one-step naive error on the training rows.

    Source of MASE: Hyndman & Koehler 2006. NaN where the training rows never change.
    """

    mae: float
    rmse: float
    mase: float
    r2: float


@final
@dataclass(frozen=True)
class Examination:
    """What the test split says of a forecaster.

    Args:
        score: of the model. baselines: scores by name: `mean` (of the training rows), `persistence`, `ridge`.
        diversity: of the model's test outputs.
        skill: of the model, under its own loss. ridge_skill, persistence_skill: of the references; the better one is
            the achievable skill, as far as they can tell.
        diagnosis: the verdict, the findings, and what was not examined.
        predictions, targets: `[window, horizon, target]` in original units, in time order.
    """

    score: Score
    baselines: Mapping[str, Score]
    diversity: Diversity
    skill: float
    ridge_skill: float
    persistence_skill: float
    diagnosis: Diagnosis
    predictions: Float[Tensor, "window horizon target"]
    targets: Float[Tensor, "window horizon target"]

    def figures(self) -> dict[str, float]:
        """Every number by its name, as evidence."""
        named = {f"test/{name}": value for name, value in asdict(self.score).items()}
        for baseline, score in self.baselines.items():
            named |= {f"baseline/{baseline}/{name}": value for name, value in asdict(score).items()}
        named |= {f"diversity/{name}_test": value for name, value in self.diversity._asdict().items()}
        skills = {"model": self.skill, "ridge": self.ridge_skill, "persistence": self.persistence_skill}
        return named | {f"skill/{name}_test": value for name, value in skills.items()}


def examine_forecaster(model: ForecastModule, data: SeriesDataModule) -> Examination:
    """Score a forecaster beside the baselines on the test windows, and judge how much its outputs vary.

    The model's mode and the random states stay as they were.
    """
    scaled = predict(model, data)
    ridge = fit_ridge(lambda: batches(data, "train"), lambda: batches(data, "val"))
    by_ridge = torch.cat([ridge.predict(x) for x, _ in batches(data, "test")])
    y = torch.cat([y for _, y in batches(data, "test")])
    diversity = output_diversity(scaled, y)
    predictions, targets, ridge_forecasts = map(model.target_scaling.inverse, (scaled, y, by_ridge))
    forecasts = {"ridge": ridge_forecasts, **_naive_forecasts(data, targets)}
    persisting = model.target_scaling(forecasts["persistence"])
    own, *references = (skill(model.loss, each, y) for each in (scaled, by_ridge, persisting))
    found = Examination(
        score=_score(data, predictions, targets),
        baselines={name: _score(data, forecasts[name], targets) for name in ("mean", "persistence", "ridge")},
        diversity=diversity,
        skill=own,
        ridge_skill=references[0],
        persistence_skill=references[1],
        diagnosis=Diagnosis(judge(diversity.ratio, own, max(references))),
        predictions=predictions,
        targets=targets,
    )
    return replace(found, diagnosis=_diagnosed(found, squared_loss=model.hparams["loss"] == "mse"))


def _diagnosed(found: Examination, *, squared_loss: bool) -> Diagnosis:
    findings, not_examined = consult(RULES, found.figures())
    looked_for = {"causes": f"only those of installed packages were looked for: {', '.join(RULES)}"}
    return Diagnosis(
        found.diagnosis.verdict,
        findings,
        (looked_for if RULES else NOT_EXAMINED) | not_examined | ({} if squared_loss else OTHER_LOSS),
    )


@torch.inference_mode()
def predict(model: ForecastModule, data: SeriesDataModule) -> Float[Tensor, "window horizon target"]:
    """The model's forecasts for all test windows, in scaled units, on the host."""
    training = model.training
    model.eval()
    weights = next(model.parameters())
    outputs = [model(x.to(weights)) for x, _ in batches(data, "test")]
    model.train(training)
    return torch.cat(outputs).to("cpu", torch.float32)


def batches(data: SeriesDataModule, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
    """All windows of a split in time order, in large batches, however few of them are trained on."""
    windows = data.every_window(part)
    return (windows.__getitems__(chunk) for chunk in _chunks(range(len(windows))))


def _chunks(indices: range) -> Iterable[range]:
    return (indices[start : start + BATCH] for start in range(0, len(indices), BATCH))


def _naive_forecasts(data: SeriesDataModule, like: Tensor) -> dict[str, Tensor]:
    """The training mean, and the last value seen, for every step of the horizon."""
    values = torch.from_numpy(data.series.values[:, : data.series.num_targets])
    windows = data.dataset("test")
    last_seen = values[windows.starts.start + windows.window - 1 :][: len(windows)]
    return {
        "mean": values[: data.rows["train"].stop].mean(dim=0).expand_as(like),
        "persistence": last_seen.unsqueeze(1).expand_as(like),
    }


def _score(data: SeriesDataModule, predictions: Tensor, targets: Tensor) -> Score:
    errors: Errors = forecast_errors(predictions, targets)
    training = data.series.values[: data.rows["train"].stop, : data.series.num_targets]
    naive = torch.from_numpy(np.abs(np.diff(training, axis=0)).mean(axis=0))
    mase = ((predictions - targets).abs().mean(dim=(0, 1)) / naive).mean().item()
    return Score(errors.mae, errors.rmse, mase if np.isfinite(mase) else float("nan"), errors.r2)
