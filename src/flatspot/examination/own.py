"""Examine a trained network of a run: on the test split, and for a cause on the training and validation data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, final

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.optim import Optimizer

from flatspot.data.module import SeriesDataModule
from flatspot.data.split import Part
from flatspot.diagnosis import Diagnosis
from flatspot.evaluate import Evaluation, evaluate
from flatspot.evidence import are_names
from flatspot.examination.gathering import Gathered, gather
from flatspot.examination.patient import Patient
from flatspot.examination.samples import samples_of
from flatspot.models.sequence_module import SequenceModule
from flatspot.probes.diversity import Diversity, diversity_within, output_diversity
from flatspot.probes.references import Ridge
from flatspot.probes.skill import skill
from flatspot.rules import diagnose

NOT_EXAMINED: Final = {"causes": "none was looked for (examine=none)"}

OTHER_LOSS: Final = {
    "spread": "the lines for the diversity ratio hold for squared loss; under this loss they are a guide"
}

MOST: Final = 2048
"""Training and validation samples each that are looked at."""


@final
@dataclass(frozen=True)
class Examination:
    """What the test split says of a network, and what was found on the training and validation data.

    Args:
        evaluation: its errors beside those of the baselines.
        diversity: of the outputs; with several series, over all or within each, whichever is lower. Of a classifier,
            of the classes' probabilities.
        over_all, within: the diversity ratio over all samples, and within series (NaN for one series).
        skill: of the model, under its own loss; of a classifier by the Brier score of its probabilities, whatever its
            loss (Brier 1950). references: of the references; the best is the achievable skill, as far as they can tell.
        squared_loss: whether the loss is one for which the verdict's lines hold.
        causes: what was measured to find a cause; None: none was looked for.
    """

    evaluation: Evaluation
    diversity: Diversity
    over_all: float
    within: float
    skill: float
    references: Mapping[str, float]
    squared_loss: bool = True
    causes: Gathered | None = None

    def figures(self) -> dict[str, float]:
        """Every number of the test split by its name, as evidence."""
        named = {f"test/{name}": value for name, value in self.evaluation.scores().items()}
        for baseline, scores in self.evaluation.baseline_scores().items():
            named |= {f"baseline/{baseline}/{name}": value for name, value in scores.items()}
        named |= {f"diversity/{name}_test": value for name, value in self.diversity._asdict().items()}
        named["diversity/within_series_test"] = self.within
        skills = {"model": self.skill, **self.references}
        return named | {f"skill/{name}_test": value for name, value in skills.items()}

    def notes(self) -> dict[str, str]:
        """What the figures of the test split leave open, and why."""
        told = {name: why for name, _, why in (each.partition(": ") for each in self.evaluation.notes)}
        return told | ({} if self.causes is not None else NOT_EXAMINED) | ({} if self.squared_loss else OTHER_LOSS)

    def diagnosis(self) -> Diagnosis:
        """The verdict on the test split, the findings, and what was not examined."""
        causes = Gathered() if self.causes is None else self.causes
        found = diagnose(self.figures() | causes.figures, causes.unmeasured, causes.names)
        return replace(found, not_examined={**self.notes(), **(found.not_examined or {})})


def examine_model(
    model: SequenceModule,
    data: SeriesDataModule,
    *,
    ridge: Ridge | None = None,
    season: int | None = None,
    part: Part = "test",
) -> Examination:
    """Score a network beside the baselines on the test split, and judge how much its outputs vary.

    The model's mode and the random states stay as they were.

    Args:
        ridge: the reference, fitted before; None: fitted here. season: steps of a season, for seasonal persistence.
        part: another one than the test split.
    """
    found = evaluate(model, data, part=part, ridge=ridge, season=season)
    classifies = found.classes is not None
    loss = F.mse_loss if classifies else model.loss
    groups = found.series if len(data.panel.series) > 1 and not data.whole else None
    over_all = output_diversity(found.outputs, found.answers)
    within = None if groups is None else diversity_within(found.outputs, found.answers, groups)
    return Examination(
        evaluation=found,
        diversity=over_all if within is None or within.ratio >= over_all.ratio else within,
        over_all=over_all.ratio,
        within=float("nan") if within is None else within.ratio,
        skill=skill(loss, found.outputs, found.answers, groups),
        references={name: skill(loss, each, found.answers, groups) for name, each in found.references.items()},
        squared_loss=classifies or model.hparams["loss"] == "mse",
    )


def look_for_causes(
    model: SequenceModule,
    data: SeriesDataModule,
    optimizer: Optimizer | None,
    *,
    experiments: bool,
    budget: float,
    test: Mapping[str, float] | None = None,
) -> Gathered:
    """What a cause can be told from, on samples of the training and validation data; all stays as it was.

    Args:
        optimizer: as it was used. experiments: whether anything is tried on copies.
        budget: seconds after which no further measurement is begun. test: what the test split shows: it may be ill
            where the validation samples are not.
    """
    asked = _Packing(model) if data.whole else model
    train, val = (
        samples_of(each, _unpacked if data.whole else _pair, MOST).moved(model.device)
        for each in (data.whole_loader("train"), data.whole_loader("val"))
    )
    patient = Patient(asked, train, val, model.loss, optimizer, lambda: _fresh(model, packing=data.whole))
    found = gather(patient, budget, experiments=experiments, test=test)
    if data.whole:  # as the model has them, not what packs its series
        found.names = {what: name.replace("model.", "", 1) for what, name in found.names.items()}
    if are_names(targets := ", ".join(data.targets)):
        found.names["targets/name"] = targets
    return found


def _fresh(model: SequenceModule, *, packing: bool) -> nn.Module:
    made = type(model)(**model.hparams)
    return _Packing(made) if packing else made


def _pair(batch: Any) -> tuple[Tensor, Tensor]:
    """Where targets are scaled by series, the third part is the number of each sample's series."""
    return batch[0], batch[1]


def _unpacked(batch: tuple[PackedSequence, Tensor]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    return pad_packed_sequence(batch[0], batch_first=True), batch[1]


@final
class _Packing(nn.Module):
    """A model of whole series, asked with filled-up series `[batch, time, channel]` and their lengths `[batch]`."""

    def __init__(self, model: SequenceModule) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths.clamp(max=x.shape[1]).cpu(), batch_first=True, enforce_sorted=False)
        outputs: Tensor = self.model(packed)
        return outputs
