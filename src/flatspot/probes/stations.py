"""Where diversity dies: how much samples differ at each station on their way through a model."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence

from flatspot.probes.diversity import output_diversity
from flatspot.probes.moments import widest
from flatspot.probes.undisturbed import Ask, answer, tensors_in, undisturbed

LOSS: Final = 10.0
"""A station that loses this factor of the diversity before it is named."""

MOST_FEATURES: Final = 4096
"""Features of a station that are kept: all of a station's on the way would be a second copy of the forward pass."""

GOLDEN: Final = (math.sqrt(5) - 1) / 2

ROUNDING: Final = 4.0
"""Differences below so many units in the last place are those of rounding: they have no directions to count."""


@final
class Station(NamedTuple):
    """How much samples differ at one place in a model; NaN where there is no figure.

    Args:
        name: `input`, the dotted name of a module (`rnn.l0` of a recurrent one's first layer), `output`.
        spread: as `relative_spread` has it, from 0 (the same for every sample) to 1; of outputs beside their targets,
            the diversity ratio D.
        effective_rank: as `effective_rank` has it: along how many directions. Never to be read alone.
        kept: the spread as a share of that of the station before; of the first, of 1.
        std: the root mean square over features of the standard deviation between samples, in the station's own unit.
    """

    name: str
    spread: float
    effective_rank: float
    kept: float
    std: float


def relative_spread(values: Float[Tensor, "sample *feature"]) -> float:
    """The share of a station's size that differs between samples: √(Σ_k Var_i(v_ik) / Σ_k mean_i(v_ik²)).

    Neither 1 for every station nor in its unit, since both would name the wrong one. The standard deviation alone says
    that a head with small weights or a scaling by 1000 lost something, where the next layer only has to answer with
    larger weights. A standardised spread is the same whatever became of the values. What a next layer cannot undo is
    that the differences are small beside what all samples have in common: it multiplies both by the same weights, and
    the common part drives its units to their rails (9065 ± 22 has 0.002) or is drowned with them (a layer that
    contracts ends at what its biases alone would give). So it does not change with the scale and does with an offset;
    of several features, each counts by its size, as it does in the sum that the next layer takes of them.

    NaN for fewer than two samples, no features, and where a value is not finite; 0 where all are zero.

    >>> x = torch.tensor([[-1.0], [1.0]])
    >>> relative_spread(x), relative_spread(1000 * x), round(relative_spread(x + 100), 3)
    (1.0, 1.0, 0.01)
    """
    return _spread(_parted(values))


def effective_rank(values: Float[Tensor, "sample *feature"]) -> float:
    """Along how many directions samples differ: exp(-Σ p log p), p the singular values of the centred station / Σ.

    From 1 to the smaller of features and samples - 1. It knows nothing of scale: rounding noise around a constant looks
    as full as can be; so differences of the size of rounding give NaN, and it is read beside the spread alone.

    Cost: a product of n·k·min(n, k) and the eigenvalues of a matrix of the smaller size.

    Source: Roy & Vetterli 2007; Garrido et al. 2023 (RankMe, arXiv 2210.02885), uncentred there.

    >>> round(effective_rank(torch.eye(5)), 6)
    4.0
    """
    return _rank(_parted(values), values.dtype)


def _rank(parts: tuple[Tensor, Tensor], dtype: torch.dtype) -> float:
    if not _spread(parts) > ROUNDING * torch.finfo(dtype).eps:
        return math.nan
    deviation = parts[1] / parts[1].abs().max()  # squares of 1e-200 would be none
    gram = deviation @ deviation.T if len(deviation) < deviation.shape[1] else deviation.T @ deviation
    singular = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt()
    return float(torch.special.entr(singular / singular.sum()).sum().exp())


def _parted(values: Tensor) -> tuple[Float[Tensor, " feature"], Float[Tensor, "sample feature"]]:
    """The mean over samples, and how each sample differs from it: exactly 0 where all are the same. On the host."""
    wide = values.detach().to("cpu", torch.float64).reshape(len(values), math.prod(values.shape[1:]))
    first = wide[:1]
    differences = wide - first
    mean = differences.mean(dim=0)
    return (first + mean).sum(dim=0), differences - mean


def _spread(parts: tuple[Tensor, Tensor]) -> float:
    common, deviation = parts
    if len(deviation) < 2 or not deviation.numel() or not deviation.isfinite().all():
        return math.nan
    size = torch.maximum(common.abs().max(), deviation.abs().max())
    if not size > 0:
        return 0.0
    varied, same = (deviation / size).square().mean(dim=0).sum(), (common / size).square().sum()
    return (varied / (varied + same)).sqrt().item()


def state_spread_by_step(states: Float[Tensor, "sample time unit"]) -> Float[Tensor, " time"]:
    """The relative spread of a layer's states at each time step, float64: where along the window it dies.

    For the states of `layer_gates`. Cost: a few passes over them.

    >>> state_spread_by_step(torch.tensor([[[1.0], [1.0]], [[1.0], [-1.0]]]))
    tensor([0., 1.], dtype=torch.float64)
    """
    return torch.tensor([relative_spread(step) for step in states.unbind(1)], dtype=torch.float64)


def stations(module: nn.Module, x: Tensor, *, targets: Tensor | None = None, ask: Ask | None = None) -> list[Station]:
    """How much samples differ at each station: the input, each module that has no children, the output.

    In the order in which they were last called. A recurrent layer, stacked or not, is a station a layer: its state at
    the end of what each direction reads, as it returns it. A station without samples along its first two axes is left
    out, and so is one where all samples are the same though they differ later: it is not on their way. So is what is
    within a scripted or traced module, which nothing can listen to. Of a station with more than 4,096 features so many
    are looked at, evenly spread; of the input and the output all.

    Args:
        x: inputs `[sample, *input]`. Some samples fewer are asked for where their number is the length of another axis
            of x, or of an axis of one of the module's parameters: they could not be told from steps or units.
        targets: `[sample, *output]`. With them, the output (and a head that is the output) is measured beside them, and
            neither their unit nor their mean counts as a loss; without, an output of 9065 ± 22 is taken for flat.
        ask: how the module is asked; None: by its forward.

    Cost: one call of the module with a copy of up to 4,096 features a station, and a product and eigenvalues a station.

    >>> model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> [station.name for station in stations(model, torch.eye(3).repeat(3, 1))]
    ['input', '0', '1', '2', 'output']
    """
    samples = _told_apart(module, x)
    x, targets = x[:samples], None if targets is None else targets[:samples]
    given = station_values(module, x, ask=ask)
    answers = given.get("output")
    beside = {name for name, each in given.items() if answers is not None and _is_answer(each, answers, targets)}
    found = (
        _station(name, answers, targets) if answers is not None and name in beside else _station(name, each, None)
        for name, each in given.items()
    )
    return _chained(_on_the_way(list(found)))


def station_values(
    module: nn.Module, x: Tensor, *, ask: Ask | None = None
) -> dict[str, Float[Tensor, "sample *feature"]]:
    """What passes each station, by the names and in the order of `stations`: copies, samples first.

    Of a station with more than 4,096 features so many, `[sample, 4096]`, evenly spread over all its axes and always the
    same; of the input (which is x itself) and the output all.

    Args:
        x: inputs `[sample, *input]`, as many as no other axis is long; else the first axis of that length counts.
        ask: how the module is asked; None: by its forward.

    >>> layer = nn.GRU(1, 4, batch_first=True)
    >>> {name: tuple(each.shape) for name, each in station_values(layer, torch.zeros(7, 3, 1)).items()}
    {'input': (7, 3, 1), 'own.l0': (7, 4), 'output': (7, 3, 4)}
    """
    taken: dict[str, Tensor] = {}
    with undisturbed(module), torch.no_grad(), ExitStack() as hooks:
        for name, part in _stops(module, "", set()):
            if not isinstance(part, torch.jit.ScriptModule):  # which takes no hooks
                hooks.callback(part.register_forward_hook(_taker(name, len(x), taken)).remove)
        output = _by_sample((ask or answer(module))(x), len(x))
    given = {"input": x if x.is_floating_point() else widest(x), **taken}
    return given if output is None else given | {"output": output.clone()}


def state_names(module: nn.Module, values: Iterable[str]) -> list[str]:
    """Which stations, in their order, are states of recurrent layers or cells.

    Args:
        values: the names of stations, as `station_values` gives them.

    >>> layer = nn.GRU(1, 4, 2, batch_first=True)
    >>> state_names(layer, station_values(layer, torch.zeros(7, 3, 1)))
    ['own.l0', 'own.l1']
    """
    stops = _stops(module, "", set())
    holders = {name for name, part in stops if _is_recurrent(part) or isinstance(part, nn.RNNCellBase)}
    return [name for name in values if name in holders or name.rpartition(".l")[0] in holders]


def first_loss(found: Sequence[Station], factor: float = LOSS) -> str | None:
    """The name of the first station from which on the samples differ a tenth as much as before; None: there is none.

    Before: at the most varied station before it, so that layers which take a little each are found out together; before
    the input, 1. From which on: what a later station brings back was not lost, as an offset that a normalisation
    takes away.

    Args:
        found: as `stations` gives them; those without a figure are passed over.
        factor: how many times less they differ.

    >>> spreads = {"input": 0.9, "rnn.l0": 0.8, "head": 0.02, "output": 0.02}
    >>> first_loss([Station(name, spread, 1.0, 1.0, 1.0) for name, spread in spreads.items()])
    'head'
    """
    measured = [station for station in found if math.isfinite(station.spread)]
    for number, station in enumerate(measured):
        before = max((each.spread for each in measured[:number]), default=1.0)
        if max(each.spread for each in measured[number:]) < before / factor:
            return station.name
    return None


def _stops(module: nn.Module, name: str, seen: set[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
    """Modules without children, and recurrent ones whole; each once."""
    if module in seen:
        return
    seen.add(module)
    children = [] if is_parametrized(module) else list(module.named_children())
    if not children or _is_recurrent(module):
        yield name or "own", module
        return
    for child, part in children:
        yield from _stops(part, f"{name}.{child}" if name else child, seen)


def _is_recurrent(module: nn.Module) -> bool:
    """Whether it is called as torch.nn's layers are: not so a model around one that keeps its sizes."""
    if isinstance(module, nn.RNNBase):
        return True
    sized = all(isinstance(getattr(module, name, None), int) for name in ("hidden_size", "num_layers"))
    return sized and not any(isinstance(part, nn.RNNBase) for part in module.modules())


def _taker(name: str, samples: int, taken: dict[str, Tensor]) -> Callable[[nn.Module, object, object], None]:
    def take(part: nn.Module, _: object, output: object) -> None:
        states = _final_states(part, output, samples) if _is_recurrent(part) else None
        whole = _by_sample(_first(output), samples) if states is None else None
        for each, values in (states or ({} if whole is None else {"": whole})).items():
            key = f"{name}{each}"
            key = f"{key}_" if key in {"input", "output"} else key
            taken.pop(key, None)  # its place is that of its last call
            taken[key] = _some_features(values)

    return take


def _final_states(part: nn.Module, output: object, samples: int) -> dict[str, Tensor] | None:
    """Of a recurrent module's output and final state: h of each layer, `[sample, unit]`, both directions together."""
    if not (isinstance(output, tuple) and len(output) == 2):
        return None
    h, layers = _first(output[1]), int(part.num_layers)  # type: ignore[arg-type]
    if h is None or h.dim() != 3 or h.shape[1] != samples or h.shape[0] % layers:
        return None
    by_layer = h.reshape(layers, h.shape[0] // layers, *h.shape[1:])
    return {f".l{number}": each.transpose(0, 1).flatten(1) for number, each in enumerate(by_layer)}


def _some_features(values: Tensor) -> Float[Tensor, "sample *feature"]:
    """A copy of a bounded number of features, since the next module may work in place.

    Evenly spread by steps of the golden section, which no axis is a multiple of: every 32nd of 32 channels is one.
    """
    count = math.prod(values.shape[1:])
    if count <= MOST_FEATURES:
        return values.clone()
    stride = next(each for each in range(round(count * GOLDEN), count) if math.gcd(each, count) == 1)
    index = (torch.arange(MOST_FEATURES, device=values.device) * stride % count).sort().values
    places: Any = (slice(None), *torch.unravel_index(index, values.shape[1:]))
    return values[places]


def _told_apart(module: nn.Module, x: Tensor) -> int:
    """As many samples as no axis of the inputs or the parameters is long, a few fewer at most; at least not of x."""
    steps = {*x.shape[1:]}
    widths = {length for each in module.parameters() if not is_lazy(each) for length in each.shape}
    counts = range(len(x), max(len(x) - max(len(x) // 4, 1), 2) - 1, -1)
    fitting = (count for lengths in (steps | widths, steps) for count in counts if count not in lengths)
    return next(fitting, len(x))


def _first(output: object) -> Tensor | None:
    """The first tensor, of a packed sequence none: its rows are not samples."""
    return None if isinstance(output, PackedSequence) else next(iter(tensors_in(output)), None)


def _by_sample(values: Tensor | None, samples: int) -> Float[Tensor, "sample *feature"] | None:
    """With the samples first, which may come second; None: they are not there, or not numbers."""
    if values is None or not values.is_floating_point() or samples not in values.shape[:2]:
        return None
    return values if values.shape[0] == samples else values.transpose(0, 1)


def _is_answer(values: Tensor, answers: Tensor, targets: Tensor | None) -> bool:
    """Whether it is the output, in whichever shape, and of the targets' number."""
    if targets is None or not 0 < answers.numel() == targets.numel():
        return False
    passed, said = (_some_features(each).reshape(-1) for each in (values, answers))
    return torch.equal(passed.to(said), said)


def _station(name: str, values: Tensor, targets: Tensor | None) -> Station:
    """With nothing of the station before, yet."""
    parts = _parted(values)
    std = parts[1].square().mean(dim=0).mean().sqrt().item() if parts[1].numel() else math.nan
    spread = _spread(parts)
    if targets is not None:
        spread = output_diversity(*(each.to(values).reshape(len(values), -1) for each in (values, targets))).ratio
    return Station(name, spread, _rank(parts, values.dtype), math.nan, std)


def _on_the_way(found: list[Station]) -> list[Station]:
    """Without those where all samples are the same though they differ later."""
    varied = [number for number, station in enumerate(found) if station.std > 0]
    last = varied[-1] if varied else -1
    return [station for number, station in enumerate(found) if station.std != 0 or number > last]


def _chained(found: list[Station]) -> list[Station]:
    before = [1.0, *(station.spread for station in found)]
    return [
        station._replace(kept=station.spread / earlier if earlier else math.nan)
        for station, earlier in zip(found, before, strict=False)
    ]
