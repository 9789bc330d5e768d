"""What a configuration may hold: every key and its type. Ranges are checked where the value is used.

The keys of a data set's own are the parameters of its function, and the keys of another package's model those of its
constructor.
"""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, make_dataclass
from functools import partial
from typing import Any, Final, get_args, get_origin, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flatspot.errors import BadInput
from flatspot.registry import nearest


@dataclass
class DataConfig:
    """The series, and how it is split, scaled and cut into windows."""

    name: str = MISSING
    path: str | None = None
    target: Any = None
    features: Any = field(default_factory=list)
    time: Any = None
    group: str | None = None
    label: str | None = None
    label_per: str | None = None
    frequency: str | None = None
    missing: str = "error"
    max_gap: int = 3
    duplicates: str = "error"
    unsorted: str = "error"
    window: int | None = None
    horizon: int | None = None
    stride: int = 1
    batch_size: int = MISSING
    val_share: float = MISSING
    test_share: float = MISSING
    val_from: str | None = None
    test_from: str | None = None
    until: str | None = None
    split_seed: int = 0
    short: str = "error"
    scale: str = MISSING
    scale_target: str = MISSING
    calendar: Any = field(default_factory=list)
    season: int | None = None
    train_windows: int | None = None
    train_windows_from: str = MISSING


@dataclass
class ModelConfig:
    """The network and its loss."""

    name: str = MISSING
    cell: str = MISSING
    activation: str = MISSING
    hidden_size: int = MISSING
    num_layers: int = MISSING
    bidirectional: bool = MISSING
    dropout: float = MISSING
    layer_norm: bool = MISSING
    residual: bool = MISSING
    initial_state: str = MISSING
    recurrent_init: str = MISSING
    chrono_length: int | None = None
    engine: str = MISSING
    head_activation: str = MISSING
    loss: str = MISSING


@dataclass
class ClassifierConfig(ModelConfig):
    """A classifier's own."""

    class_weights: Any = None


@dataclass
class OptimizerConfig:
    """The optimizer and its rates."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = MISSING
    momentum: float | None = None


@dataclass
class TrainerConfig:
    """What Lightning's Trainer is given."""

    max_epochs: int = MISSING
    accelerator: str = MISSING
    devices: Any = "auto"
    strategy: str = "auto"
    precision: str = MISSING
    gradient_clip_val: float | None = None
    accumulate_grad_batches: int = 1
    log_every_n_steps: int = 50
    deterministic: bool = True


@dataclass
class EarlyStoppingConfig:
    """When training ends before its epochs do."""

    patience: int | None = None
    min_delta: float = 0.0


@dataclass
class TrainConfig:
    """A whole run."""

    seed: int = MISSING
    threads: int | None = None
    scheduler: str = MISSING
    examine: str = MISSING
    on_not_finite: str = "stop"  # also of runs that were begun when there was no such key
    report: str = MISSING
    resume: str | None = None
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    monitors: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)


Options = Mapping[str, tuple[Any, Any]]
"""Types and defaults by key."""

SOURCE_KEYS: Final = (
    "path",
    "target",
    "features",
    "time",
    "group",
    "label",
    "label_per",
    "frequency",
    "missing",
    "max_gap",
    "duplicates",
    "unsorted",
)
"""The `data` keys that say what to read, and what to mend; a data set that reads no file takes none of them."""

SHAPING_KEYS: Final = tuple(each.name for each in fields(DataConfig) if each.name not in {"name", *SOURCE_KEYS})
"""The `data` keys that say what to do with any series."""

OUR_MODELS: Final = {"forecaster": ModelConfig, "regressor": ModelConfig, "classifier": ClassifierConfig}
"""The keys of each of our own models, told without torch."""

GIVEN: Final = ("inputs", "targets", "horizon", "classes", "optimizer", "lr", "weight_decay", "momentum", "scheduler")
"""What a model's constructor is given from elsewhere than the `model` keys."""


def checked(cfg: DictConfig) -> DictConfig:
    """The configuration with every key known and every value of its type.

    Raises:
        BadInput: naming the key and the nearest known one, or the value.
    """
    _refuse_targets(cfg)
    try:
        schema = _schema_of(cfg)
        whole = OmegaConf.merge(schema, cfg)
        # What refers to another value is none of its type until it is resolved.
        OmegaConf.merge(schema, OmegaConf.to_container(whole, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        raise BadInput(explained(error)) from error
    assert isinstance(whole, DictConfig)  # noqa: S101 - a dataclass makes no list
    return whole


def _schema_of(cfg: DictConfig) -> DictConfig:
    """The keys of every run, and those of the data set and the model that it names."""
    from flatspot.data.datasets import DATASETS

    schema: DictConfig = OmegaConf.structured(TrainConfig)
    data, model = (OmegaConf.select(cfg, key) for key in ("data.name", "model.name"))
    if model in OUR_MODELS:
        schema.model = OmegaConf.structured(OUR_MODELS[model])
    elif model is not None:
        from flatspot.models.models import MODELS

        own = {"name": (str, MISSING), "loss": (str, "mse"), **options(MODELS[str(model)], without=GIVEN)}
        its_own = _with_options(object, own)
        schema = _with_model(its_own)
    if data is not None:
        its_options = options(DATASETS[str(data)], without=SOURCE_KEYS)
        _refuse_taken(str(data), its_options)
        schema.data = OmegaConf.structured(_with_options(DataConfig, its_options))
    return schema


def _with_model(model: type) -> DictConfig:
    """The schema of a run with another type of model: OmegaConf holds a field to the type that it was declared with."""
    added = [("model", model, field(default_factory=model))]
    whole: DictConfig = OmegaConf.structured(make_dataclass("TrainConfig", added, bases=(TrainConfig,)))
    return whole


def options(build: Callable[..., object], *, without: Collection[str] = ()) -> Options:
    """The parameters of a function or constructor: types, as far as a configuration can hold them, and defaults."""
    hints = _hints(build.__init__ if isinstance(build, type) else build)  # type: ignore[misc]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        taken = [each for each in inspect.signature(build).parameters.values() if each.kind in named]
    except ValueError:  # a builtin says nothing of itself
        return {}
    return {
        each.name: (_holdable(hints.get(each.name, Any)), _default(each)) for each in taken if each.name not in without
    }


def checked_options(build: Callable[..., object], values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The options of a named thing, each of the type that its constructor takes.

    Args:
        values: as configured; all are known. key: under which they stand.

    Raises:
        BadInput: naming the option.
    """
    schema = OmegaConf.structured(_with_options(object, options(build)))
    try:
        whole = OmegaConf.merge(schema, dict(values))
    except OmegaConfBaseException as error:
        raise BadInput(explained(error, key)) from error
    held: dict[str, Any] = OmegaConf.to_container(whole)  # type: ignore[assignment]
    return {name: held[name] for name in values}


def _hints(function: Callable[..., object]) -> dict[str, Any]:
    """The types of its parameters; none where they name what was imported for type checking alone."""
    try:
        return get_type_hints(function)
    except NameError:
        known = {int.__name__: int, float.__name__: float, bool.__name__: bool, str.__name__: str}
        return {name: known.get(str(hint), Any) for name, hint in inspect.get_annotations(function).items()}


def _default(parameter: inspect.Parameter) -> Any:  # noqa: ANN401 - any default
    if parameter.default is parameter.empty:
        return MISSING
    return list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default


def _holdable(hint: Any) -> Any:  # noqa: ANN401 - any type
    """A type that OmegaConf checks; anything for the others."""
    if get_origin(hint) in {Sequence, list, tuple} and get_args(hint):
        return list[get_args(hint)[0]]  # type: ignore[misc]
    optional = [each for each in get_args(hint) if each is not type(None)]
    plain = optional[0] if len(optional) == 1 and type(None) in get_args(hint) else hint
    return hint if plain in {int, float, bool, str} else Any


def _with_options(base: type, own: Options) -> type:
    added = [(name, hint, field(default_factory=partial(deepcopy, default))) for name, (hint, default) in own.items()]
    return make_dataclass(base.__name__, added, bases=() if base is object else (base,))


def _refuse_taken(data: str, own: Collection[str]) -> None:
    for name in own:
        if name in {"name", *SHAPING_KEYS}:
            raise BadInput(f"the data set {data} has a parameter {name!r}, and data.{name} is a key of every data set")


def explained(error: OmegaConfBaseException, under: str = "") -> str:
    """What is wrong with a key or value, in a sentence.

    Args:
        under: the key below which what was wrong stands.
    """
    key = ".".join(each for each in (under, error.full_key or str(error.key)) if each)
    last = str(error.key)
    known = [str(each) for each in error.parent_node] if isinstance(error.parent_node, DictConfig) else [last]
    if key == last:
        known += ["experiment", "sweep"]  # groups that nothing need be chosen from
    if last not in known:
        having = _who_has(last) if key.startswith("data.") else ""
        return f"{key}: there is no such key; {having or nearest(last, known)}"
    return f"{key}: {str(error).strip().splitlines()[0]}"


def _own_options() -> dict[str, Options]:
    """The options of each of our own data sets: to look at them imports no other package."""
    from flatspot.data.datasets import DATASETS

    ours = [name for name in DATASETS if name not in DATASETS.added()]
    return {name: options(DATASETS[name], without=SOURCE_KEYS) for name in ours}


def _who_has(key: str) -> str:
    having = [f"data={name}" for name, own in _own_options().items() if key in own]
    return f"{' and '.join(having)} has it" if having else ""


def _refuse_targets(cfg: DictConfig) -> None:
    """A config may come from a stranger: it names things that we know, and never what to import."""

    def walk(node: object, path: str) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            if key == "_target_":
                raise BadInput(f"{path}_target_: refused; things are named, never imported from a config")
            walk(value, f"{path}{key}.")

    walk(OmegaConf.to_container(cfg, resolve=False), "")
