"""From a checked configuration to data, model and trainer: names are looked up, values handed over plainly."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from flatspot.cli.loggers import LOGGERS
from flatspot.cli.schema import SHAPING_KEYS, checked_options
from flatspot.data.datasets import DATASETS
from flatspot.data.keys import module_from_keys
from flatspot.data.labels import Task
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Panel
from flatspot.errors import BadInput
from flatspot.models.forecast_module import ForecastModule
from flatspot.models.models import MODELS
from flatspot.models.sequence_module import SequenceModule
from flatspot.monitors import MONITORS, Doctor
from flatspot.monitors.denormals import FlushedDenormals
from flatspot.monitors.finite_steps import FiniteSteps
from flatspot.monitors.keeping import EpochKeeper, WholeFiles
from flatspot.monitors.layers import LayerLines
from flatspot.monitors.progress import EpochLines
from flatspot.monitors.recording import EvidenceRecorder
from flatspot.monitors.seeding import EpochSeed
from flatspot.registry import Registry, nearest

T = TypeVar("T")
Config = Mapping[str, Any]

TASKS: Final[Mapping[str, Task]] = {"classifier": "classify", "regressor": "regress"}
"""What is asked of a model; of every other one, forecasts."""


GROUPS: Final = {"monitor": "monitors", "logger": "logger"}
"""Where the options of a kind of named thing stand in the configuration."""


MOST_DEVICES: Final = 1024
"""Lightning makes a list of so many processes before it asks whether there are any."""

FEWEST_PROCESSES: Final = 4
"""So many may be begun on any CPU, to try what several do."""


def build_data(config: Config, panel: Panel) -> SeriesDataModule:
    """The rows split, scaled and cut as the `data` keys say; the panel is empty afterwards."""
    keys = {key: config["data"][key] for key in SHAPING_KEYS}
    task = TASKS.get(config["model"]["name"], "forecast")
    return module_from_keys(panel, keys, task=task, seed=config["seed"], source=_source(config))


def _source(config: Config) -> dict[str, Any]:
    """What a checkpoint keeps of where the data came from, and the names that rebuild the rest."""
    takes = inspect.signature(DATASETS[config["data"]["name"]]).parameters
    data = {key: config["data"][key] for key in ("name", *takes) if key in config["data"]}
    if data.get("path"):
        data["path"] = str(Path(data["path"]).resolve())
    shaping = {key: config["data"][key] for key in SHAPING_KEYS}
    return {"model": config["model"]["name"], "data": data, "shaping": shaping}


def build_model(config: Config, data: SeriesDataModule) -> SequenceModule:
    """The model that the `model`, `optimizer` and `scheduler` keys describe, fitted to the data's shape and scale."""
    values = dict(config["model"])
    optimizer = dict(config["optimizer"])
    build = MODELS[values.pop("name")]
    if not issubclass(build, SequenceModule):
        raise BadInput(f"model={config['model']['name']}: {build.__name__} is no flatspot ForecastModule")
    if values.get("recurrent_init") == "chrono" and values["chrono_length"] is None:
        values["chrono_length"] = data.window
    if data.task == "classify":
        values["class_weights"] = class_weights(values["class_weights"], data)
    model: SequenceModule = build(
        **_shape(data),
        optimizer=optimizer.pop("name"),
        scheduler=config["scheduler"],
        **values,
        **optimizer,
    )
    model.input_scaling.set(data.input_scaling.mean, data.input_scaling.scale)
    if isinstance(model, ForecastModule):
        model.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    return model


def _shape(data: SeriesDataModule) -> dict[str, Any]:
    """The sizes that the data give a model."""
    inputs = {"inputs": len(data.columns)}
    if data.task == "classify":
        return {**inputs, "classes": data.answers.classes}
    horizon = {"horizon": data.horizon} if data.task == "forecast" else {}
    return {**inputs, "targets": len(data.targets), **horizon}


def class_weights(asked: Any, data: SeriesDataModule) -> list[float] | None:  # noqa: ANN401 - as configured
    """How many times a sample of each class counts in the loss.

    `balanced`: as many times fewer as the class has more of the training samples; the mean over the samples is 1.
    """
    if asked is None:
        return None
    if asked == "balanced":
        counts = data.answers.counts
        return [sum(counts) / (len(counts) * count) for count in counts]
    try:
        return [float(each) for each in asked]
    except (TypeError, ValueError):
        raise BadInput(
            f"model.class_weights={asked}: balanced, or a list of one number for each class "
            f"({', '.join(data.answers.classes)})"
        ) from None


def build_trainer(config: Config, folder: Path, begun: int = 0) -> Trainer:
    """A Trainer that watches, saves and logs into the run folder.

    Args:
        begun: the optimizer steps of a run that goes on.

    Raises:
        BadInput: for a device that is not here.
    """
    values = dict(config["trainer"])
    _check_trainer(values)
    loggers = [_named(LOGGERS, name, options, folder=folder, begun=begun) for name, options in config["logger"].items()]
    callbacks = build_callbacks(config, folder)
    try:
        return Trainer(
            **values,
            logger=loggers,
            callbacks=callbacks,
            plugins=[WholeFiles()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            enable_model_summary=False,
            use_distributed_sampler=False,  # our samplers know their process
        )
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise BadInput(_refused_trainer(values, " ".join(str(error).split()).rstrip(".!"))) from error


def _check_trainer(values: Config) -> None:
    for key in ("max_epochs", "accumulate_grad_batches", "log_every_n_steps"):
        if values[key] < 1:
            raise BadInput(f"trainer.{key}={values[key]}: must be at least 1")
    chosen = values["accelerator"]
    on_cpu = chosen == "cpu" or (chosen == "auto" and not torch.accelerator.is_available())
    most = max(os.cpu_count() or 1, FEWEST_PROCESSES) if on_cpu else MOST_DEVICES
    if str(values["devices"]).isdecimal() and int(values["devices"]) > most:
        raise BadInput(
            f"trainer.devices={values['devices']}: must be at most {most}" + " on this machine's CPU" * on_cpu
        )
    clip = values["gradient_clip_val"]
    if clip is not None and not clip > 0:
        raise BadInput(f"trainer.gradient_clip_val={clip}: must be above 0, or null for none")


def refuse_processes(trainer: Trainer) -> None:
    """Lightning's other processes run the whole command line again: each would start the whole sweep.

    Raises:
        BadInput: naming the keys.
    """
    if trainer.world_size > 1:
        raise BadInput(
            f"trainer.devices={trainer.num_devices} in a sweep: every process would start the whole sweep; "
            f"set trainer.devices=1, or run the jobs one by one"
        )


def _refused_trainer(values: Config, reason: str) -> str:
    """Lightning's reason, with the key that it is about."""
    for key in ("precision", "strategy"):
        if key in reason.lower():
            return f"trainer.{key}={values[key]}: {reason}"
    chosen = f"trainer.accelerator={values['accelerator']} trainer.devices={values['devices']}"
    return f"{chosen}: {reason}; trainer.accelerator=auto takes what is here"


def build_callbacks(config: Config, folder: Path) -> list[Callback]:
    """Denormals and seeding first; monitors; what stops and saves; then those that tell what the others measured."""
    monitors = [_monitor(name, options, folder) for name, options in config["monitors"].items()]
    records = any(isinstance(each, Doctor) for each in monitors)
    return [
        FlushedDenormals(),
        EpochSeed(config["seed"]),
        LayerLines(),
        EpochKeeper(folder / "checkpoints"),
        *monitors,
        FiniteSteps(config["on_not_finite"]),
        *_early_stopping(config["early_stopping"], check_finite=config["on_not_finite"] == "stop"),
        ModelCheckpoint(
            folder / "checkpoints",
            filename="best",
            monitor="loss/val",
            enable_version_counter=False,
        ),
        *([] if records else [EvidenceRecorder(folder)]),
        EpochLines(),
    ]


def _monitor(name: str, options: Config | None, folder: Path) -> Callback:
    """The doctor writes into the run folder, and leaves forecasts and causes to the end of the run."""
    given = {"folder": folder, "forecasts": False, "examine": "none"} if MONITORS[name] is Doctor else {}
    return _named(MONITORS, name, options, **given)


def _early_stopping(values: Config, *, check_finite: bool) -> list[Callback]:
    patience = values["patience"]
    if patience is None:
        return []
    if patience < 1:
        raise BadInput(f"early_stopping.patience={patience}: must be at least 1, or null to train all epochs")
    if not values["min_delta"] >= 0:
        raise BadInput(f"early_stopping.min_delta={values['min_delta']}: must be at least 0")
    return [EarlyStopping("loss/val", patience=patience, min_delta=values["min_delta"], check_finite=check_finite)]


def _named(registry: Registry[Callable[..., T]], name: str, options: Config | None, **given: Any) -> T:  # noqa: ANN401
    """A registered thing with the options that its constructor takes."""
    build, key = registry[name], f"{GROUPS[registry.kind]}.{name}"
    if options is not None and not isinstance(options, Mapping):
        raise BadInput(f"{key}={options}: must be options by name, as {key}.OPTION=VALUE")
    known = [key for key in inspect.signature(build).parameters if key not in given]
    for each in options or {}:
        if each not in known:
            raise BadInput(f"the {registry.kind} {name} has no option {each!r}; {nearest(each, known)}")
    return build(**given, **checked_options(build, options or {}, key))
