"""What a configuration may hold: every key and its type. Ranges are checked where the value is used."""

from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from flatspot.errors import BadInput
from flatspot.registry import nearest


@dataclass
class DataConfig:
    """The series, and how it is split, scaled and cut into windows."""

    name: str = MISSING
    path: str | None = None
    target: str | None = None
    features: Any = field(default_factory=list)
    time: str | None = None
    window: int = MISSING
    horizon: int = MISSING
    batch_size: int = MISSING
    val_share: float = MISSING
    test_share: float = MISSING
    scale: str = MISSING
    scale_target: str = MISSING


@dataclass
class ModelConfig:
    """The network and its loss."""

    name: str = MISSING
    cell: str = MISSING
    activation: str = MISSING
    hidden_size: int = MISSING
    num_layers: int = MISSING
    dropout: float = MISSING
    loss: str = MISSING


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
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    early_stopping: EarlyStoppingConfig = field(default_factory=EarlyStoppingConfig)
    monitors: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)


def checked(cfg: DictConfig) -> DictConfig:
    """The configuration with every key known and every value of its type.

    Raises:
        BadInput: naming the key and the nearest known one, or the value.
    """
    _refuse_targets(cfg)
    try:
        whole = OmegaConf.merge(OmegaConf.structured(TrainConfig), cfg)
        OmegaConf.to_container(whole, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise BadInput(explained(error)) from error
    assert isinstance(whole, DictConfig)  # noqa: S101 - a dataclass makes no list
    return whole


def explained(error: OmegaConfBaseException) -> str:
    """What is wrong with a key or value, in a sentence."""
    key = error.full_key or str(error.key)
    first_line = str(error).strip().splitlines()[0]
    known = _known_beside(key)
    if known and key.rpartition(".")[2] not in known:
        return f"{key}: there is no such key; {nearest(key.rpartition('.')[2], known)}"
    return f"{key}: {first_line}"


def _known_beside(key: str) -> list[str]:
    """The keys that may stand where `key` stands; none where anything may."""
    schema: Any = TrainConfig
    for part in key.split(".")[:-1]:
        schema = get_type_hints(schema).get(part) if is_dataclass(schema) else None
    return [each.name for each in fields(schema)] if is_dataclass(schema) else []


def _refuse_targets(cfg: DictConfig) -> None:
    """A config may come from a stranger: it names things that we know, and never what to import."""

    def walk(node: object, path: str) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        for key, value in items:
            if key == "_target_":
                raise BadInput(f"{path}_target_: refused; things are named, never imported from a config")
            walk(value, f"{path}{key}.")

    walk(OmegaConf.to_container(cfg, resolve=False), "")
