"""torchrecurrent's cells behind one adapter: what `model.cell=` may say with the extra `zoo`.

They are Python, one step after another: several times slower than our own cells (docs/cells.md). torchrecurrent is
imported when one of them is built, and no sooner.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from flatspot.activations import ACTIVATIONS, Activation
from flatspot.errors import BadInput
from flatspot.nn.scan import DIRECTIONS, Sequences, State, as_torch_has_it, first_of, replaced, run_stacked


@final
@dataclass(frozen=True)
class ZooCell:
    """A cell of torchrecurrent's.

    Args:
        name: of the class. states: the tensors in its state: 1 (h), or 2 (h and c); its output is the first.
        paper: whose equation it is.
        takes: the parameter by which it takes an activation; None: it takes none.
        fixed: what it runs where it takes none: `identity` where it has no function but gates.
        options: what else it is built with.
    """

    name: str
    paper: str
    states: int = 1
    takes: str | None = "nonlinearity"
    fixed: str = "tanh"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What `model.cell=` says."""
        return self.name.removesuffix("Cell").lower()

    def build(self, activation: Activation, input_size: int, hidden_size: int) -> nn.Module:
        """One cell, for one layer in one direction.

        Raises:
            BadInput: if torchrecurrent is not installed, or the cell cannot run the activation.
        """
        options = dict(self.options)
        if self.takes is not None:
            options[self.takes] = _Function(activation.function)
        elif activation.function is not ACTIVATIONS[self.fixed].function:
            asked = next((name for name, row in ACTIVATIONS.items() if row is activation), "another")
            raise BadInput(
                f"model.activation={asked}: torchrecurrent's {self.name} takes no activation and would ignore it; "
                f"say model.activation={self.fixed}, which is what it runs"
            )
        cell: nn.Module = _class_named(self.name)(input_size, hidden_size, **options)
        return cell


_PASSED: Final = (
    ZooCell("AntisymmetricRNNCell", "Chang et al. 2019"),
    ZooCell("GatedAntisymmetricRNNCell", "Chang et al. 2019", takes=None),
    ZooCell("ATRCell", "Zhang et al. 2018", takes=None, fixed="identity"),
    ZooCell("BRCell", "Vecoven et al. 2021", takes=None),
    ZooCell("NBRCell", "Vecoven et al. 2021", takes=None),
    ZooCell("CFNCell", "Laurent, von Brecht 2017", takes=None),
    ZooCell("coRNNCell", "Rusch, Mishra 2021", states=2, takes=None),
    ZooCell("FastRNNCell", "Kusupati et al. 2018"),
    # Its `nonlinearity` is the gate's, and its default tanh: the paper's gate is a sigmoid.
    ZooCell("FastGRNNCell", "Kusupati et al. 2018", takes=None, options={"nonlinearity": "sigmoid"}),
    ZooCell("IndRNNCell", "Li et al. 2018"),
    ZooCell("JANETCell", "van der Westhuizen, Lasenby 2018, its β trained", states=2, takes=None),
    ZooCell("LightRUCell", "its documentation", takes=None),
    ZooCell("LiGRUCell", "Ravanelli et al. 2018, without its batch norm"),
    ZooCell("MGUCell", "Zhou et al. 2016"),
    ZooCell("MinimalRNNCell", "Chen 2017"),
    ZooCell("MiRU1Cell", "its documentation"),
    ZooCell("MiRU2Cell", "its documentation"),
    ZooCell("MultiplicativeLSTMCell", "Krause et al. 2016", states=2, takes=None),
    ZooCell("MUT1Cell", "Jozefowicz et al. 2015, the input projected", takes=None),
    ZooCell("MUT2Cell", "Jozefowicz et al. 2015, the input projected", takes=None),
    ZooCell("MUT3Cell", "Jozefowicz et al. 2015", takes=None),
    ZooCell("OriginalLSTMCell", "Hochreiter, Schmidhuber 1997", states=2, takes=None),
    ZooCell("PeepholeLSTMCell", "Gers, Schmidhuber 2000", states=2),
    ZooCell("RANCell", "Lee et al. 2017", states=2, takes=None),
    ZooCell("ResLSTMCell", "Kim et al. 2017", states=2),
    ZooCell("SGRNCell", "its documentation", takes=None),
    ZooCell("SGUCell", "Gao, Glowacka 2016"),
    ZooCell("DSGUCell", "Gao, Glowacka 2016"),
    ZooCell("STARCell", "Turkoglu et al. 2019", takes=None),
    ZooCell("TRNNCell", "Balduzzi, Ghifary 2016", takes=None, fixed="identity"),
    ZooCell("UGRNNCell", "Collins et al. 2017", takes=None),
    ZooCell("UnICORNNCell", "Rusch, Mishra 2021", states=2, takes=None),
    ZooCell("WMCLSTMCell", "Landi et al. 2021", states=2, takes=None),
)

_OUTPUT_APART: Final = "its output is no part of its state: torch.nn's h is both"

_FAILED: Final = (
    (
        ZooCell("LEMCell", "Rusch et al. 2022", states=2, takes=None),
        "fails its equation: the new state reads the memory of the step before, in the paper (and in its own "
        "documentation) that of this step",
    ),
    (
        ZooCell("SCRNCell", "Mikolov et al. 2015", states=2, takes=None),
        "fails its equation: it carries on its output, the paper the hidden layer",
    ),
    (
        ZooCell("NASCell", "Zoph, Le 2017", states=2, takes=None),
        "fails its equation: its fourth gate adds input and state, where the TensorFlow cell that it says it repeats "
        "multiplies them",
    ),
    (
        ZooCell("tauGRUCell", "Erichson et al. 2022"),
        "fails its equation: it reads the state of some steps ago, for which torch.nn has no place, and without "
        "it zeros",
    ),
    (
        ZooCell("IntersectionRNNCell", "Collins et al. 2017", takes=None),
        f"cannot sit it: it wants as many inputs as units; and {_OUTPUT_APART}",
    ),
    (ZooCell("MCLSTMCell", "its documentation", states=2, takes=None), f"cannot sit it: {_OUTPUT_APART}"),
    (
        ZooCell("TLSTMCell", "Balduzzi, Ghifary 2016", states=2, takes=None),
        "cannot sit it: its state holds the input before, which is not of the units' number; and " + _OUTPUT_APART,
    ),
    (
        ZooCell("TGRUCell", "Balduzzi, Ghifary 2016", states=2, takes=None),
        "cannot sit it: its state holds the input before, which is not of the units' number",
    ),
)

ZOO: Final[Mapping[str, ZooCell]] = {cell.key: cell for cell in _PASSED}
"""Those that pass the cells' examination (docs/cells.md), by torchrecurrent's name in lower case."""

LEFT_OUT: Final[Mapping[str, tuple[ZooCell, str]]] = {cell.key: (cell, why) for cell, why in _FAILED}
"""Those that do not, and why."""


@final
class ZooLayer(nn.Module):
    """Stacked layers of a cell of torchrecurrent's, called as torch.nn's are, batch first.

    torchrecurrent's own layers know no direction but one and no packed sequences; only its cells are used. Their
    starting values are its own.

    See `Scan` for the arguments.

    Raises:
        BadInput: if torchrecurrent is not installed, or the cell cannot run the activation.
    """

    def __init__(
        self,
        cell: ZooCell,
        activation: Activation,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        bidirectional: bool = False,
        layer_norm: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if layer_norm:
            raise BadInput(f"model.layer_norm=true: torchrecurrent's {cell.name} lets nothing between its gates")
        self.cell = cell
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.dropout = dropout
        self.residual = residual
        self.directions: tuple[str, ...] = DIRECTIONS if bidirectional else DIRECTIONS[:1]
        widths = [input_size, *[hidden_size * len(self.directions)] * (num_layers - 1)]
        self.cells = nn.ModuleDict(
            {
                f"l{layer}{direction}": cell.build(activation, width, hidden_size)
                for layer, width in enumerate(widths)
                for direction in self.directions
            }
        )

    def forward(
        self, x: Sequences, hx: State | None = None
    ) -> tuple[Float[Tensor, "batch time output"] | PackedSequence, State]:
        """As `Scan`'s.

        Raises:
            ValueError: for an initial state of other shapes.
        """
        return run_stacked(self, x, hx)

    def one(
        self, name: str, rows: Float[Tensor, "row feature"], sizes: list[int], state: tuple[Tensor, ...]
    ) -> tuple[Float[Tensor, "row hidden"], tuple[Tensor, ...]]:
        """One layer in one direction, one step after another."""
        cell, order = self.cells[name], -1 if name.endswith(DIRECTIONS[1]) else 1
        outputs = []
        for step in rows.split_with_sizes(sizes)[::order]:
            after = cell(step, as_torch_has_it(first_of(len(step), state)))
            state = replaced(state, (after,) if isinstance(after, Tensor) else after)
            outputs.append(state[0][: len(step)])
        return torch.cat(outputs[::order]), state


@final
class _Function(nn.Module):
    """An elementwise function in the form that torchrecurrent takes."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)


def _class_named(name: str) -> Any:  # noqa: ANN401 - it has no types
    """A class of torchrecurrent's, by a name of the tables above."""
    try:
        import torchrecurrent  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise BadInput(f"{name} is torchrecurrent's, which is not installed: pip install 'flatspot[zoo]'") from error
    return getattr(torchrecurrent, name)
