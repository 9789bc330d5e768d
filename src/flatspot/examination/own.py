"""Examine a trained network on the test split: model and data to figures, evidence and a diagnosis."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from torch.nn import functional as F

from flatspot.data.module import SeriesDataModule
from flatspot.diagnosis import Diagnosis, consult, judge
from flatspot.evaluate import Evaluation, evaluate
from flatspot.models.sequence_module import SequenceModule
from flatspot.probes.diversity import Diversity, diversity_within, output_diversity
from flatspot.probes.references import Ridge
from flatspot.probes.skill import skill
from flatspot.rules import RULES

NOT_EXAMINED: Final = {
    "causes": "a run looks for no cause yet (flatspot.examine does): the verdict rests on diversity, skill, ridge and "
    "persistence alone"
}

OTHER_LOSS: Final = {
    "spread": "the lines for the diversity ratio hold for squared loss; under this loss they are a guide"
}


@final
@dataclass(frozen=True)
class Examination:
    """What the test split says of a network.

    Args:
        evaluation: its errors beside those of the baselines.
        diversity: of the outputs; with several series, over all or within each, whichever is lower. Of a classifier,
            of the classes' probabilities.
        over_all, within: the diversity ratio over all samples, and within series (NaN for one series).
        skill: of the model, under its own loss; of a classifier by the Brier score of its probabilities, whatever its
            loss (Brier 1950). references: of the references; the best is the achievable skill, as far as they can tell.
        diagnosis: the verdict, the findings, and what was not examined.
    """

    evaluation: Evaluation
    diversity: Diversity
    over_all: float
    within: float
    skill: float
    references: Mapping[str, float]
    diagnosis: Diagnosis

    def figures(self) -> dict[str, float]:
        """Every number by its name, as evidence."""
        named = {f"test/{name}": value for name, value in self.evaluation.scores().items()}
        for baseline, scores in self.evaluation.baseline_scores().items():
            named |= {f"baseline/{baseline}/{name}": value for name, value in scores.items()}
        named |= {f"diversity/{name}_test": value for name, value in self.diversity._asdict().items()}
        named["diversity/within_series_test"] = self.within
        skills = {"model": self.skill, **self.references}
        return named | {f"skill/{name}_test": value for name, value in skills.items()}


def examine_model(
    model: SequenceModule, data: SeriesDataModule, *, ridge: Ridge | None = None, season: int | None = None
) -> Examination:
    """Score a network beside the baselines on the test split, and judge how much its outputs vary.

    The model's mode and the random states stay as they were.

    Args:
        ridge: the reference, fitted before; None: fitted here. season: steps of a season, for seasonal persistence.
    """
    found = evaluate(model, data, ridge=ridge, season=season)
    classifies = found.classes is not None
    loss = F.mse_loss if classifies else model.loss
    groups = found.series if len(data.panel.series) > 1 and not data.whole else None
    over_all = output_diversity(found.outputs, found.answers)
    within = None if groups is None else diversity_within(found.outputs, found.answers, groups)
    lower = over_all if within is None or within.ratio >= over_all.ratio else within
    own = skill(loss, found.outputs, found.answers, groups)
    references = {name: skill(loss, each, found.answers, groups) for name, each in found.references.items()}
    examined = Examination(
        evaluation=found,
        diversity=lower,
        over_all=over_all.ratio,
        within=float("nan") if within is None else within.ratio,
        skill=own,
        references=references,
        diagnosis=Diagnosis(judge(lower.ratio, own, max(references.values()))),
    )
    squared = classifies or model.hparams["loss"] == "mse"
    return replace(examined, diagnosis=_diagnosed(examined, squared_loss=squared))


def _diagnosed(found: Examination, *, squared_loss: bool) -> Diagnosis:
    theirs = {cause: RULES[cause] for cause in RULES.added()}
    findings, not_examined = consult(theirs, found.figures())
    looked_for = {"causes": f"only those of installed packages were looked for: {', '.join(theirs)}"}
    unmeasured = {name: why for name, _, why in (each.partition(": ") for each in found.evaluation.notes)}
    return Diagnosis(
        found.diagnosis.verdict,
        findings,
        (looked_for if theirs else NOT_EXAMINED) | not_examined | unmeasured | ({} if squared_loss else OTHER_LOSS),
    )
