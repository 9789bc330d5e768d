"""What the model says: how different its answers are, how good, and what the inputs would allow."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from flatspot.examination.patient import Answers, Patient, value
from flatspot.examination.samples import Samples
from flatspot.examination.scoring import Scoring, scoring_of
from flatspot.probes.achievable import CHANCE, Achievable, achievable_skill, beyond_chance
from flatspot.probes.diversity import output_diversity
from flatspot.probes.moments import moments
from flatspot.probes.references import fit_ridge

Figures = dict[str, float]

ENOUGH: Final = 0.4
"""Skill from which on no further reference is asked."""

STEPS: Final = 200
"""The small GRU's."""

FEATURES: Final = 2048
"""Numbers of a window that the references read; of longer windows the last steps."""

WIDE: Final = 512
"""Numbers of a window beyond which references are fitted on fewer samples."""

MOST_ROWS: Final = 640
"""Samples that references are fitted on where windows are wide: a ridge regression grows with the cube of the less."""

FEWEST: Final = 40
"""Samples of a half, below which nothing is asked of it."""

WORDS: Final = 2048
"""Up to so many different whole numbers are counted each; of more, numbers are read as such."""

CLASSES_AS_COLUMNS: Final = 32
"""Up to so many different whole numbers are read as one column each; more are read as numbers."""


def scoring(patient: Patient) -> Scoring:
    """How this model is scored."""
    return scoring_of(patient.loss, patient.on_val, patient.fit.kind, patient.several)


def diversity(patient: Patient) -> Figures:
    """D of the held-out samples, of the training samples, and of these in training mode."""
    figures: Figures = {}
    for name, answers in (("val", patient.on_val), ("train", patient.on_train)):
        found = output_diversity(answers.outputs, answers.targets)
        figures |= {f"diversity/{each}_{name}": value for each, value in found._asdict().items()}
    answers = patient.on_val
    target, said = moments(answers.targets), moments(answers.outputs)
    off = (said.mean - target.mean).abs() / target.std.where(target.std > 0, 1.0)
    figures["diversity/bias"] = off.median().item()
    figures["diversity/largest_output"] = answers.outputs.abs().max().item()
    training = patient.answers(patient.val, training=True)
    figures["diversity/ratio_training_mode"] = output_diversity(training.outputs, training.targets).ratio
    figures["diversity/skill_training_mode"] = scoring(patient).of(training.outputs, training.targets)
    return figures


def skills(patient: Patient) -> Figures:
    """The model's skill on held-out and on training samples; of these also in the unit of the held-out samples' loss.

    Targets that vary more in training, over many seasons say, make the same errors a higher skill.
    """
    judged, train = scoring(patient), patient.on_train
    figures = {"skill/val": judged.skill(patient.on_val), "skill/train": judged.skill(train)}
    figures["skill/train_in_val"] = judged.of(train.outputs, train.targets, patient.on_val.targets)
    if patient.fit.kind != "numbers":
        figures["skill/balanced_accuracy"] = balanced_accuracy(patient, patient.on_val)
    if patient.loss is None or patient.fit.kind == "numbers":
        return figures
    # Weights of classes make probabilities that are no longer frequencies: the user's own loss knows of them.
    own = {
        f"skill/{name}": _own(patient, each) for name, each in (("val", patient.on_val), ("train", patient.on_train))
    }
    return figures | {name: max(figures[name], each) for name, each in own.items() if math.isfinite(each)}


def balanced_accuracy(patient: Patient, answers: Answers) -> float:
    """The mean over classes of the share of their samples that are named; NaN of numbers."""
    if patient.fit.kind == "numbers":
        return math.nan
    if patient.fit.kind == "labels":
        yes = answers.targets.flatten() > 0.5
        said = answers.outputs.flatten() > 0.5
        recalls = [(said[yes == each] == each).double().mean() for each in (False, True) if (yes == each).any()]
    else:
        count = answers.raw.shape[patient.fit.axis]
        true, said = (each.reshape(-1, count).argmax(dim=1) for each in (answers.targets, answers.outputs))
        recalls = [(said[true == each] == each).double().mean() for each in range(count) if bool((true == each).any())]
    return torch.stack(recalls).mean().item()


def _own(patient: Patient, answers: Answers) -> float:
    """Skill under the user's own loss, beside the best constant scores, which are fitted; NaN where it refuses."""
    raw, y = answers.raw, answers.y
    free = raw.mean(dim=0, keepdim=True).detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([free], max_iter=20, line_search_fn="strong_wolfe")

    def cost() -> Tensor:
        optimizer.zero_grad()
        found = value(patient.loss or F.mse_loss, free.expand_as(raw), y)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    try:
        with torch.enable_grad():
            optimizer.step(cost)  # type: ignore[no-untyped-call]
            floor = cost().item()
        with torch.no_grad():
            found = float(value(patient.loss or F.mse_loss, raw, y))
    except Exception:  # noqa: BLE001 - a stranger's loss may want other numbers
        return math.nan
    return 1 - found / floor if floor > 0 else math.nan


def columns(samples: Samples, others: Samples, last: int | None = None) -> Tensor:
    """Inputs as references read them, `[sample, time, channel]`: few different whole numbers as a column each.

    Of many different ones (words) how often each occurs. What is no series stands before its first step.

    Args:
        others: samples whose whole numbers are to have the same columns.
        last: so many steps of the window alone, its last ones.
    """
    x, highest = samples.series(), _highest(samples, others)
    x = x if last is None or x.dim() < 2 else x[:, -last:]
    if x.is_floating_point():
        wide = x
    elif x.dim() == 2 and 0 <= highest < CLASSES_AS_COLUMNS:
        wide = F.one_hot(x.long(), CLASSES_AS_COLUMNS).float()
    elif x.dim() == 2 and 0 <= highest < WORDS:
        wide = torch.zeros(len(x), 1, highest + 1, device=x.device)
        wide.scatter_add_(2, x.long().unsqueeze(1), torch.ones_like(x, dtype=torch.float32).unsqueeze(1))
    else:
        wide = x.float()
    wide = wide.reshape(len(x), 1, 1) if wide.dim() < 2 else wide.unsqueeze(2) if wide.dim() == 2 else wide.flatten(2)
    return _before(samples.beside(), wide)[:, -max(FEATURES // wide.shape[2], 1) :]


def _highest(*several: Samples) -> int:
    """The highest whole number among series; -1 of floating numbers, and where one is below zero."""
    series = [each.series() for each in several]
    if any(each.is_floating_point() or not each.numel() or each.min() < 0 for each in series):
        return -1
    return max(int(each.max()) for each in series)


def _before(others: Tensor, wide: Tensor) -> Tensor:
    """Other numbers as so many steps of the same width as they fill."""
    if not others.shape[1]:
        return wide
    width = wide.shape[2]
    steps = math.ceil(others.shape[1] / width)
    filled = F.pad(others.to(wide), (0, steps * width - others.shape[1]))
    return torch.cat([filled.reshape(len(wide), steps, width), wide], dim=1)


def fitted_on(patient: Patient, last: int | None = None) -> tuple[Tensor, Tensor]:
    """Training windows `[sample, time, channel]` and targets `[sample, output]` for references: of wide ones fewer."""
    x, y = columns(patient.train, patient.val, last), patient.on_train.targets
    if x[0].numel() <= WIDE or len(x) <= MOST_ROWS:
        return x, y
    rows = torch.linspace(0, len(x) - 1, MOST_ROWS, dtype=torch.float64).round().long()
    return x[rows], y[rows]


def straight_line(x: Tensor, y: Tensor, asked: Tensor) -> Tensor:
    """What ridge regression answers, `[sample, output]`.

    Args:
        x, y: windows `[sample, time, channel]` and targets `[sample, output]`: the first four fifths are fitted, by the
            last fifth the penalty is chosen. asked: windows.
    """
    cut = len(x) - len(x) // 5
    y = y.unsqueeze(2)
    ridge = fit_ridge(lambda: [(x[:cut], y[:cut])], lambda: [(x[cut:], y[cut:])])
    return ridge.predict(asked).squeeze(2)


def references(patient: Patient) -> Achievable:
    """What cheap references find in the same samples."""
    val = patient.val
    x, y = fitted_on(patient)
    vx = columns(val, patient.train)
    judged = scoring(patient)

    def loss(predictions: Tensor, truth: Tensor) -> Tensor:
        return judged.loss(predictions.flatten(1), truth.flatten(1))

    return achievable_skill(
        (x, y.unsqueeze(2)),
        (vx, patient.on_val.targets.unsqueeze(2)),
        loss,
        apart=max(1, math.ceil((x.shape[1] + 1) / val.every)),
        enough=ENOUGH,
        steps=STEPS,
    )


def verdict(patient: Patient) -> Figures:
    """What the verdict is made of."""
    found = references(patient)
    figures = {f"references/{name}": each for name, each in found.by_reference.items()}
    figures |= {f"references/chance_{name}": each for name, each in found.chance.items()}
    inside = {f"references/within_{name}": _within(patient, name) for name in ("train", "val")}
    best = max(
        [each for each in (found.skill, inside["references/within_val"]) if math.isfinite(each)], default=math.nan
    )
    return figures | inside | {"references/best": best, "references/across": found.skill}


def _within(patient: Patient, name: str) -> float:
    """Skill beyond chance of ridge that is fitted on the first half of some samples and asked about the second.

    Held-out samples that are scaled in another way than training samples still hold together; training pairs that were
    torn apart do not.
    """
    samples, answers = (patient.train, patient.on_train) if name == "train" else (patient.val, patient.on_val)
    x, y = columns(samples, patient.val if name == "train" else patient.train), answers.targets
    half = len(x) // 2
    if half < FEWEST or not (x.isfinite().all() and y.isfinite().all()):
        return math.nan
    judged = scoring(patient)
    said, true = straight_line(x[:half], y[:half], x[half:]), y[half:]
    found = judged.of(said, true)
    apart = max(1, math.ceil((x.shape[1] + 1) / samples.every))
    ordered = len(true) > 2 * apart
    chance = beyond_chance(judged.loss, said, true.double(), apart=apart, ordered=ordered)
    return found if found > 0 and chance <= CHANCE else 0.0
