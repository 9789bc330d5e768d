"""Fit, test, examine and report one run: from here on everything is imported."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import lightning
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf
from torch.optim import Optimizer

from flatspot.activations import ACTIVATIONS
from flatspot.cli.build import build_data, build_model, build_trainer, refuse_processes
from flatspot.cli.folder import SIGTERM_CODE, shown, write_text
from flatspot.cli.loggers import ended
from flatspot.cli.processes import watched
from flatspot.cli.report import REPORT, told_if_not, write_report
from flatspot.cli.results import error_of, forecasts_of, keep, log_end, metrics_of, versions
from flatspot.cli.terminal import waiting
from flatspot.cli.threads import cores
from flatspot.data.answers import training_rows
from flatspot.data.hints import hints
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Panel
from flatspot.data.split import Part
from flatspot.diagnosis import not_finite_steps
from flatspot.errors import BadInput, reason
from flatspot.evaluate import batches, reference
from flatspot.examination.gathering import Gathered
from flatspot.examination.own import Examination, examine_model, look_for_causes
from flatspot.models.models import called
from flatspot.models.sequence_module import SequenceModule
from flatspot.monitors.finite_steps import FiniteSteps
from flatspot.monitors.keeping import Begun, EpochKeeper
from flatspot.nn.denormals import flushed
from flatspot.nn.zoo import ZooLayer
from flatspot.registry import nearest
from flatspot.report.text import quoted, summary

C = TypeVar("C", bound=Callback)

log = logging.getLogger(__name__)

ADVERTS: Final = (
    "Tip:",
    "💡",
    "available:",
    "litlogger",
    "Restor",
    "Loaded model weights",
    "`Trainer.fit` stopped",
    "Initializing distributed",
    "distributed_backend=",
)
"""What Lightning says in every run and nobody needs twice."""

TALKATIVE: Final = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.distributed")
"""The loggers that say it."""

FINDERS: Final = ("flatspot.monitors.output_diversity", "flatspot.monitors.subject")
"""Our loggers that say where the predictions were found, which of our own module nobody needs to be told."""

EXAMINE: Final = ["full", "quick", "none"]

REPORTS: Final = ["html", "none"]

EXAMINE_SECONDS: Final = 60.0
"""After these no further measurement is begun."""

CHUNK: Final = 2**18
"""Rows that are looked at together."""

KNOWN_WARNINGS: Final = (
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning 2.6 with torch 2.13
    r"The number of training batches .* is smaller than the logging interval",  # each epoch ends with a point
    r"The '\w+_dataloader' does not have many workers",  # batches are gathered from memory
    r"torch.distributed.nn.functional.all_gather is deprecated",  # Lightning's own call
    r"Checkpoint directory .* exists and is not empty",  # a run that goes on
    r"Experiment logs directory .* exists and is not empty",  # the CSV logger writes beside the other files
)


def fit_and_report(
    config: Mapping[str, Any],
    panel: Panel,
    folder: Path,
    started: float,
    *,
    several: bool,
    begun: Begun | None = None,
    share: int | None = None,
) -> float | None:
    """Train on the rows, keep what was measured in the run folder, and say how it went.

    Args:
        config: checked and resolved.
        panel: in original units; empty afterwards.
        folder: the run folder.
        started: when the command or job began, by `time.perf_counter`.
        several: whether it is one job of a sweep.
        begun: the checkpoint that it goes on from; None: it begins.
        share: the threads that it may take, where others run beside it and none are asked for.

    Returns:
        The test MAE in original units, or the share of wrong classes; None in processes other than the first.
    """
    with _by_itself():
        _set_up_process(config)
        if config["threads"] is None:
            _take(share if begun is None else begun.threads)
        return _fit_and_report(config, panel, folder, started, several=several, begun=begun)


def _take(threads: int | None) -> None:
    """As many threads as are this job's share of the machine, or as it took before it was stopped; None: torch's."""
    if threads is not None:
        torch.set_num_threads(min(threads, cores()))
        log.info("note   takes %s of the %s cores, of which others may take the rest", torch.get_num_threads(), cores())


def fit_and_examine(config: Mapping[str, Any], panel: Panel, folder: Path, part: Part) -> tuple[Examination, float]:
    """Train on the rows, say nothing, and look at the best epoch on a part of the data.

    Args:
        config: checked and resolved. panel: in original units; empty afterwards. folder: for checkpoints.

    Returns:
        What was found, and the seconds of training.
    """
    with _by_itself():
        _set_up_process(config)
        data = build_data(config, panel)
        model = build_model(config, data)
        trainer = build_trainer(config, folder)
        started = time.perf_counter()
        with _told_when_stopped():
            trainer.fit(model, datamodule=data)
            seconds = time.perf_counter() - started
            trainer.validate(model, datamodule=data, ckpt_path=_best(trainer), weights_only=True, verbose=False)
        return examine_model(model, data, season=config["data"]["season"], part=part), seconds


@contextmanager
def _by_itself() -> Iterator[None]:
    """Inside, a run has the process for itself; afterwards it is as before."""
    threads = torch.get_num_threads()
    with _quiet():
        try:
            with flushed():
                yield
        finally:
            torch.set_num_threads(threads)  # the next job of a sweep chooses for itself


def _fit_and_report(
    config: Mapping[str, Any], panel: Panel, folder: Path, started: float, *, several: bool, begun: Begun | None
) -> float | None:
    data = build_data(config, panel)
    model = build_model(config, data)
    trainer = build_trainer(config, folder, begun=0 if begun is None else begun.steps)
    if several:
        refuse_processes(trainer)
    with ended(trainer.loggers):
        return _run(config, data, model, trainer, folder, started, begun)


def _run(
    config: Mapping[str, Any],
    data: SeriesDataModule,
    model: SequenceModule,
    trainer: Trainer,
    folder: Path,
    started: float,
    begun: Begun | None,
) -> float | None:
    if trainer.is_global_zero:
        write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(config))))
        _announce(config, data, model, trainer)
        if begun is not None:
            log.info("note   goes on after %s epochs, from %s", begun.epochs, shown(begun.path))
    with watched(trainer, folder), _told_when_stopped():
        _train(trainer, model, data, begun)
        _say_why_it_ended(config, trainer)
        # Asked for before the best checkpoint is loaded, which holds what callbacks knew then.
        fit_seconds, steps = _seconds(trainer), _callback(trainer, FiniteSteps)
        taken, of_steps = steps.taken, steps.figures()
        if steps.seen > 1 and trainer.is_global_zero:  # of the first it was told as it came
            log.info("note   %s", not_finite_steps(of_steps))
        optimizer = next(iter(trainer.optimizers), None)
        with waiting("testing"):
            trainer.test(model, datamodule=data, ckpt_path=_best(trainer), weights_only=True, verbose=False)
    if not trainer.is_global_zero:
        return None
    with waiting("fitting the references"):
        ridge = reference(data)
    with waiting("testing beside the baselines"):
        examination = examine_model(model, data, ridge=ridge, season=config["data"]["season"])
    with waiting("looking for a cause"):
        causes = _causes(config["examine"], model, data, optimizer, examination.figures())
        if causes is not None:
            causes.figures |= of_steps
        examination = replace(examination, causes=causes)
    told = _about(config, data, model, trainer)
    metrics = metrics_of(examination, taken, fit_seconds, time.perf_counter() - started, told)
    forecasts = forecasts_of(data, examination)
    keep(folder, trainer, metrics, examination, ridge, forecasts, of_steps)
    with waiting("drawing"):
        log_end(trainer, config, data, examination, forecasts)
        if config["report"] == "html":
            told_if_not(lambda: write_report(folder))
    named = {"model": _name(config), "target": ", ".join(data.targets), "run": shown(folder)}
    looks = _looks(config, folder)
    log.info("\n%s", summary(metrics, **named, looks=looks))
    return error_of(metrics)


def _train(trainer: Trainer, model: SequenceModule, data: SeriesDataModule, begun: Begun | None) -> None:
    """Fit, from the beginning or from where it was broken off.

    Raises:
        BadInput: what was kept there is not what this version has kept; it is seen by the first step at the latest.
    """
    if begun is None:
        trainer.fit(model, datamodule=data)
        return
    try:
        trainer.fit(model, datamodule=data, ckpt_path=begun.path, weights_only=True)
    except (BadInput, OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if _callback(trainer, EpochKeeper).under_way or trainer.world_size > 1:  # it may be another process's end
            raise
        raise BadInput(
            f"{shown(begun.path)}: the run cannot go on from it: {reason(error)}; where it is renamed, resume= goes on "
            f"from the epoch before, or begins anew"
        ) from error


def _looks(config: Mapping[str, Any], folder: Path) -> list[str]:
    """Where to look next."""
    page = [shown(folder / REPORT)] * (folder / REPORT).exists()
    return page + [f"tensorboard --logdir {quoted(shown(folder))}"] * ("tensorboard" in config["logger"])


def _about(
    config: Mapping[str, Any], data: SeriesDataModule, model: SequenceModule, trainer: Trainer
) -> dict[str, Any]:
    """What was trained on what."""
    return {
        "data": described(data),
        "targets": list(data.targets),
        "model": _name(config),
        "windows": f"{data.window} steps in, {data.horizon} out"
        if data.task == "forecast"
        else f"up to {data.window} steps",
        "weights": f"{sum(each.numel() for each in model.parameters()):,}",
        "device": str(trainer.strategy.root_device),
        "versions": versions(),
    }


def _say_why_it_ended(config: Mapping[str, Any], trainer: Trainer) -> None:
    """Where it was not after all epochs; of a step that was not finite was told as it came."""
    stopper = next((each for each in _callbacks(trainer) if isinstance(each, EarlyStopping)), None)
    if stopper is None or not trainer.is_global_zero or trainer.current_epoch >= config["trainer"]["max_epochs"]:
        return
    if stopper.stopping_reason == EarlyStoppingReason.PATIENCE_EXHAUSTED:
        why = f"no better validation loss in {stopper.patience} epochs (early_stopping.patience)"
    elif stopper.stopping_reason == EarlyStoppingReason.NON_FINITE_METRIC and not _callback(trainer, FiniteSteps).seen:
        why = f"the validation loss is NaN or infinite (on_not_finite={config['on_not_finite']})"
    else:
        return
    log.info("note   training ended after %s epochs: %s", trainer.current_epoch, why)


def _seconds(trainer: Trainer) -> float:
    """Of training, also before it was broken off."""
    return _callback(trainer, EpochKeeper).seconds


def _callback(trainer: Trainer, kind: type[C]) -> C:
    return next(each for each in _callbacks(trainer) if isinstance(each, kind))


def _callbacks(trainer: Trainer) -> list[Callback]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set, but not declared
    return callbacks


def _causes(
    examine: str, model: SequenceModule, data: SeriesDataModule, optimizer: Optimizer | None, test: Mapping[str, float]
) -> Gathered | None:
    """What a cause can be told from, if one is asked for."""
    if examine == "none":
        return None
    return look_for_causes(model, data, optimizer, experiments=examine == "full", budget=EXAMINE_SECONDS, test=test)


def _set_up_process(config: Mapping[str, Any]) -> None:
    if config["examine"] not in EXAMINE:
        raise BadInput(f"examine={config['examine']}: {nearest(str(config['examine']), EXAMINE)}")
    if config["report"] not in REPORTS:
        raise BadInput(f"report={config['report']}: {nearest(str(config['report']), REPORTS)}")
    if not 0 <= config["seed"] < 2**32:
        raise BadInput(f"seed={config['seed']}: must lie between 0 and 4294967295")
    lightning.seed_everything(config["seed"], workers=True, verbose=False)
    if config["threads"] is not None:
        most = os.cpu_count() or 1
        if not 1 <= config["threads"] <= most:
            raise BadInput(f"threads={config['threads']}: must lie between 1 and {most}, the cores of this machine")
        torch.set_num_threads(config["threads"])


@contextmanager
def _told_when_stopped() -> Iterator[None]:
    """Lightning ends a killed fit like a good one, and Ctrl-C like a failure: say what really happened."""
    try:
        yield
    except SIGTERMException:
        sys.exit(SIGTERM_CODE)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stopped
        raise


def _announce(config: Mapping[str, Any], data: SeriesDataModule, model: SequenceModule, trainer: Trainer) -> None:
    log.info("data   %s", described(data))
    for note in (*data.prepared.notes, *hints(data, config["data"]["season"])):
        log.info("note   %s", note)
    constant = _constant(data)
    if constant:
        log.info("note   constant in the training rows: %s", ", ".join(constant))
    beyond = _beyond_head(config["model"].get("head_activation", "none"), data)
    if beyond:
        log.info("note   %s", beyond)
    if any(isinstance(each, ZooLayer) for each in model.modules()):
        log.info("note   model.cell=%s is torchrecurrent's: slow, Python at every step", config["model"]["cell"])
    weights = sum(parameter.numel() for parameter in model.parameters())
    told = {
        "forecast": f"{data.horizon} steps",
        "classify": f"{len(data.answers.classes)} classes",
        "regress": "a number",
    }
    sequence = f"whole series of up to {data.window}" if data.whole else str(data.window)
    device = trainer.strategy.root_device
    log.info(
        "model  %s, %s weights; %s from %s, on %s", _name(config), f"{weights:,}", told[data.task], sequence, device
    )


def described(data: SeriesDataModule) -> str:
    """What was read, in a line."""
    panel = data.panel
    series = f" of {len(panel.series):,} series" if len(panel.series) > 1 else ""
    times = panel.times
    span = ", in row order" if times is None else f", {str(times[:].min())[:10]} to {str(times[:].max())[:10]}"
    every = f", every {panel.frequency}" if panel.frequency else ""
    parts = ", ".join(f"{part} {count:,}" for part, count in data.rows.items())
    kind = "series" if data.whole else "rows"
    return f"{panel.name}: {panel.rows:,} rows{series}{span}{every}; {kind} by part: {parts}"


def _constant(data: SeriesDataModule) -> list[str]:
    """Input channels without any spread in the training rows."""
    held = data.prepared
    training = torch.from_numpy(training_rows(held.borders, held.panel.rows))
    low, high = torch.full((2, len(data.columns)), torch.inf).unbind()
    for rows, chosen in zip(*(torch.split(each, CHUNK) for each in (held.inputs, training)), strict=True):
        if bool(chosen.any()):
            low = torch.minimum(low, rows[chosen].amin(dim=0))
            high = torch.minimum(high, -rows[chosen].amax(dim=0))
    return [name for name, same in zip(data.columns, (low == -high).tolist(), strict=True) if same]


def _beyond_head(name: str, data: SeriesDataModule) -> str | None:
    """What the head's activation cannot say, where the training targets ask for it."""
    if name == "none" or data.task == "classify":
        return None
    low, high = ACTIVATIONS[name].range
    targets = torch.cat([y.flatten() for _, y in batches(data, "train")])
    share = ((targets < low) | (targets > high)).double().mean().item()
    beyond = f"{100 * share:.0f} % of the training targets, as they are predicted (data.scale_target), lie beyond it"
    return f"model.head_activation={name} reaches {low:.4g} to {high:.4g}: {beyond}" if share else None


def _name(config: Mapping[str, Any]) -> str:
    return called(config["model"]["name"], config["model"])


def _best(trainer: Trainer) -> str:
    checkpoint = trainer.checkpoint_callback
    path: str = checkpoint.best_model_path if checkpoint is not None else ""  # type: ignore[attr-defined]
    if not path:
        raise RuntimeError("training ended without a checkpoint")
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, nothing is said that nobody needs; afterwards the process speaks as before: it may be someone's own."""
    theirs = [logging.getLogger(name) for name in TALKATIVE]
    ours = [logging.getLogger(name) for name in FINDERS]
    levels = [each.level for each in ours]
    with warnings.catch_warnings():
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        for each in theirs:
            each.addFilter(_no_advert)
        for each in ours:
            each.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for each in theirs:
                each.removeFilter(_no_advert)
            for each, level in zip(ours, levels, strict=True):
                each.setLevel(level)


def _no_advert(record: logging.LogRecord) -> bool:
    return not any(advert in record.getMessage() for advert in ADVERTS)
