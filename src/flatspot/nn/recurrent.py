"""RNN, GRU and LSTM: torch.nn's constructors, calls, parameters and numbers, with any activation and at more speed."""

from collections.abc import Callable
from itertools import repeat
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from flatspot.activations import ACTIVATIONS
from flatspot.nn.cells import CELLS
from flatspot.nn.engines import FEW, Asked, Choice, choose, known_engine
from flatspot.nn.fused.room import Room
from flatspot.nn.initialisation import Start, initialise, name_of, start_as_torch
from flatspot.nn.scan import DIRECTIONS, State, as_torch_has_it, permuted, scan

Named = str | Callable[[Tensor], Tensor]
"""An activation: a name of the table, or an elementwise function of torch."""

WEIGHTS: Final = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Recurrent(nn.RNNBase):
    """What the three layers add to torch.nn's; each goes before one of these in its bases."""

    cell: str
    start: Start | None = None
    """None: the weights are torch.nn's own, so far."""

    def _add(self, activation: Named, engine: str, *, keep_gradient_norms: bool, start: tuple[str, int | None]) -> None:
        """What is asked of a layer whose weights are there."""
        if self.proj_size:
            raise ValueError("proj_size: flatspot.nn has no projections; torch.nn.LSTM has")
        self.activation = activation  # a module is registered, and its parameters are trained
        self.engine = known_engine(engine)
        self.keep_gradient_norms = keep_gradient_norms
        self._norms: dict[str, dict[int, Tensor]] = {}
        self._chosen: tuple[tuple[object, ...], Choice] | None = None
        self._room = Room(3 * self.num_layers * (2 if self.bidirectional else 1))
        if isinstance(activation, str):
            _ = ACTIVATIONS[activation]
        if engine != "auto":
            self.choice()
        scheme, length = start
        self.start = Start(scheme, CELLS[self.cell], self._of_table()[0], length)
        self._initialise(self.start)

    def reset_parameters(self) -> None:
        """Start the weights again as the layer was told; a trained activation keeps what it has."""
        start_as_torch((getattr(self, name) for name in self._flat_weights_names), self.hidden_size)
        if self.start is not None:
            self._initialise(self.start)

    def _initialise(self, start: Start) -> None:
        initialise({name: getattr(self, name) for name in self._flat_weights_names}, start)

    @property
    def gradient_norms(self) -> dict[str, Tensor]:
        """‖∂L/∂h_t‖ over samples and units at each time step, of the last backward pass, for each layer and direction.

        Of several calls of the layer, that which the pass came by last.
        Named as the parameters are: `l0`, `l0_reverse`, `l1`, ...; each `[time]`. Empty without `keep_gradient_norms`.
        """
        return {
            name: torch.stack([found[time] for time in sorted(found)]) for name, found in self._norms.items() if found
        }

    def choice(self, x: Tensor | PackedSequence | None = None) -> Choice:
        """The engine that runs an input, and why; without an input: one like the weights.

        Raises:
            ValueError: if the engine that was named cannot.
        """
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        like = weight if x is None else x.data if isinstance(x, PackedSequence) else x
        device = like.device.type
        dtype = weight.dtype if _autocasts(device) else like.dtype
        few = x is not None and self._steps(x) < FEW and not _autocasts(device)
        plain = all(map(_is_plain, (like, weight)))
        key = (self.activation, self.engine, self.keep_gradient_norms, dtype, device, few, plain)
        if self._chosen is None or self._chosen[0] != key:  # it is asked at every call
            name, function = self._of_table()
            native = any(known is function for known, _ in CELLS[self.cell].native)
            asked = Asked(self.cell, name, native, dtype, device, self.keep_gradient_norms, few, plain)
            self._chosen = key, choose(self.engine, asked)
        return self._chosen[1]

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> Any:  # noqa: A002, ANN401 - torch.nn's names
        """As torch.nn's layer.

        Args:
            input: `[time, batch, feature]`, or `[batch, time, feature]` with `batch_first`; `[time, feature]`; packed.
            hx: the initial state `[layer, batch, unit]`, or (h, c) of an LSTM; None: zeros.

        Returns:
            the outputs, and the final state.
        """
        engine = self.choice(input).engine
        if engine == "native":
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, engine)
        if input.dim() not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead")
        batched = input.dim() == 3
        self._check_dimensions(hx, batched=batched)
        x = input.transpose(0, 1) if batched and self.batch_first else input if batched else input.unsqueeze(1)
        parts = None if hx is None else _parts(hx) if batched else tuple(part.unsqueeze(1) for part in _parts(hx))
        time, batch = x.shape[:2]
        if not time:
            raise RuntimeError("Expected sequence length to be larger than 0")
        rows = x.reshape(time * batch, x.shape[2])
        out, final = self._layers(rows, (batch,) * time, self._start(rows, batch, parts, engine), engine)
        outputs = out.view(time, batch, out.shape[1])
        if not batched:
            return outputs.squeeze(1), as_torch_has_it(tuple(part.squeeze(1) for part in final))
        return (outputs.transpose(0, 1) if self.batch_first else outputs), as_torch_has_it(final)

    def extra_repr(self) -> str:
        """As torch.nn's, with what was added."""
        name = self._of_table()[0] or getattr(self.activation, "__name__", "its own")
        return f"{super().extra_repr()}, activation={name}, engine={self.engine}"

    def _steps(self, x: Tensor | PackedSequence) -> int:
        """Time steps of an input."""
        if isinstance(x, PackedSequence):
            return len(x.batch_sizes)
        return x.shape[1 if self.batch_first and x.dim() == 3 else 0]

    def _of_table(self) -> tuple[str | None, Callable[[Tensor], Tensor]]:
        """The activation's name in the table, if it has one, and the function."""
        function = self.activation
        return name_of(function), ACTIVATIONS[function].function if isinstance(function, str) else function

    def _packed(self, x: PackedSequence, hx: State | None, engine: str) -> tuple[PackedSequence, State]:
        """A packed batch is sorted by length: what is given and returned in the user's order is permuted."""
        start = self._start(x.data, int(x.batch_sizes[0]), None if hx is None else _parts(hx), engine)
        start = None if start is None else permuted(start, x.sorted_indices)
        rows, final = self._layers(x.data, tuple(x.batch_sizes.tolist()), start, engine)
        outputs = PackedSequence(rows, x.batch_sizes, x.sorted_indices, x.unsorted_indices)
        return outputs, as_torch_has_it(permuted(final, x.unsorted_indices))

    def _layers(
        self, rows: Tensor, sizes: tuple[int, ...], start: tuple[Tensor, ...] | None, engine: str
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """All layers, each over all time steps; rows are of all sequences, one time step after another."""
        nothing = repeat((None,) * CELLS[self.cell].states)
        starts, final = nothing if start is None else zip(*start, strict=True), []
        directions = DIRECTIONS if self.bidirectional else DIRECTIONS[:1]
        for layer in range(self.num_layers):
            both = []
            for direction in directions:
                out, state = self._one(f"l{layer}{direction}", rows, sizes, next(starts), engine)
                both.append(out)
                final.append(state)
            rows = torch.cat(both, dim=-1) if len(both) > 1 else both[0]
            if layer < self.num_layers - 1:
                rows = F.dropout(rows, self.dropout, self.training)
        if len(final) == 1:
            return rows, tuple(part.unsqueeze(0) for part in final[0])
        return rows, tuple(torch.stack(part) for part in zip(*final, strict=True))

    def _one(
        self,
        name: str,
        rows: Tensor,
        sizes: tuple[int, ...],
        state: Any,  # noqa: ANN401
        engine: str,
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer in one direction."""
        weights: Any = tuple(getattr(self, f"{kind}_{name}", None) for kind in WEIGHTS)
        backwards = name.endswith(DIRECTIONS[1])
        known, function = self._of_table()
        watch = None
        if self.keep_gradient_norms and torch.is_grad_enabled():
            watch = _Watch(self._norms, name)
        if engine == "scan":
            return scan(CELLS[self.cell], function, rows, sizes, state, weights, backwards=backwards, watch=watch)
        from flatspot.nn.fused.function import fused  # noqa: PLC0415 - LLVM is loaded where it is wanted

        assert known is not None  # noqa: S101 - it has a formula
        return fused(self.cell, known, rows, sizes, state, weights, backwards=backwards, watch=watch, room=self._room)

    def _start(
        self, rows: Tensor, batch: int, parts: tuple[Tensor, ...] | None, engine: str
    ) -> tuple[Tensor, ...] | None:
        """The initial state, each part `[layer, batch, unit]`, of an input that is looked at too.

        None: zeros, which the fused engine makes itself.
        """
        weight: Tensor = self.weight_ih_l0  # type: ignore[assignment]
        if rows.dtype != weight.dtype and not _autocasts(rows.device.type):
            raise ValueError(
                f"RNN input dtype ({rows.dtype}) does not match weight dtype ({weight.dtype}). Convert input: "
                f"input.to({weight.dtype}), or convert model: model.to({rows.dtype})"
            )
        if rows.shape[1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {rows.shape[1]}"
            )
        shape = (self.num_layers * (2 if self.bidirectional else 1), batch, self.hidden_size)
        if parts is None:
            return None if engine == "fused" else (weight.new_zeros(shape),) * CELLS[self.cell].states
        if [tuple(part.shape) for part in parts] != [shape] * CELLS[self.cell].states:
            given = [list(part.shape) for part in parts]
            raise RuntimeError(f"Expected hidden size {shape}, got {given if len(given) > 1 else given[0]}")
        return parts

    def _check_dimensions(self, hx: State | None, *, batched: bool) -> None:
        wanted = 3 if batched else 2
        for part in () if hx is None else _parts(hx):
            if part.dim() != wanted:
                kind = "batched 3-D" if batched else "unbatched 2-D"
                raise RuntimeError(f"For {kind} input, hx should also be {wanted}-D but got {part.dim()}-D tensor")


@final
class _Watch:
    """Takes the norms of the gradients of a layer's outputs as they come by, in a backward pass."""

    def __init__(self, store: dict[str, dict[int, Tensor]], name: str) -> None:
        self._store, self._name = store, name
        self._norms: dict[int, Tensor] = {}

    def __call__(self, time: int, outputs: Tensor) -> None:
        """Of the outputs of a time step, whose gradient will come by."""
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: self.found(time, gradient.norm()))  # type: ignore[no-untyped-call]

    def found(self, time: int, norm: Tensor) -> None:
        """The norm at a time step."""
        self._norms[time] = norm.detach()
        self._store[self._name] = self._norms


def _is_plain(tensor: Tensor) -> bool:
    """Whether it is memory that can be looked at: not so in a trace, under torch.func, or of another kind of tensor."""
    if type(tensor) not in {Tensor, nn.Parameter} or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


def _autocasts(device: str) -> bool:
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _parts(hx: State) -> tuple[Tensor, ...]:
    return (hx,) if isinstance(hx, Tensor) else tuple(hx)


class RNN(_Recurrent, nn.RNN):
    """torch.nn.RNN with any activation: its arguments, calls, parameters and numbers; weights move both ways.

    Args:
        args, kwargs: torch.nn.RNN's.
        activation: a name of the table in `flatspot.activations`, or any elementwise function of torch; a module's
            parameters are trained. None: the `nonlinearity`, tanh if not said.
        engine: `native` (torch.nn's own code), `fused` (machine code for this processor), `scan` (plain torch, one step
            after another), or `auto`, which takes the first of fused, native and scan that can, and native before fused
            where there are few time steps; `choice()` tells. All give the same numbers; fused has no second
            derivatives.
        recurrent_init: the starting weights: `torch` (torch.nn's own), `auto`, `orthogonal`, `identity` or `chrono`, as
            `flatspot.nn.initialisation.Start` has them. chrono_length: the steps that `chrono` is to remember.
        keep_gradient_norms: whether a backward pass leaves `gradient_norms`.

    Raises:
        ValueError: for an engine that cannot do what is asked, or starting weights that the cell cannot have.
        BadInput: for an activation that the table has not.

    >>> layer = RNN(3, 5, batch_first=True, activation="softsign")
    >>> output, h_n = layer(torch.zeros(2, 7, 3))
    >>> output.shape, h_n.shape
    (torch.Size([2, 7, 5]), torch.Size([1, 2, 5]))
    """

    cell = "rnn"

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - torch.nn's
        activation: Named | None = None,
        engine: str = "auto",
        recurrent_init: str = "torch",
        chrono_length: int | None = None,
        keep_gradient_norms: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        said = "nonlinearity" in kwargs or len(args) > 3
        name = activation if activation is None else name_of(activation)
        if activation is not None and said and name != self.nonlinearity:
            other = name or getattr(activation, "__name__", "its own")
            raise ValueError(f"nonlinearity={self.nonlinearity} and activation={other}: say one of them")
        start = recurrent_init, chrono_length
        self._add(activation or self.nonlinearity, engine, keep_gradient_norms=keep_gradient_norms, start=start)
        if name == "relu":
            self.nonlinearity, self.mode = "relu", "RNN_RELU"


class _Gated(_Recurrent):
    """The two whose activation torch.nn does not let be chosen."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - torch.nn's
        activation: Named = "tanh",
        engine: str = "auto",
        recurrent_init: str = "torch",
        chrono_length: int | None = None,
        keep_gradient_norms: bool = False,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        start = recurrent_init, chrono_length
        self._add(activation, engine, keep_gradient_norms=keep_gradient_norms, start=start)


class GRU(_Gated, nn.GRU):
    """torch.nn.GRU with any activation for its candidate: its arguments, calls, parameters and numbers.

    See `RNN` for `activation`, `engine`, `recurrent_init`, `keep_gradient_norms` and the errors; the others are
    torch.nn.GRU's. The gates stay sigmoids, and the reset gate multiplies the product, as in torch.
    """

    cell = "gru"


class LSTM(_Gated, nn.LSTM):
    """torch.nn.LSTM with any activation for its candidate and its output: its arguments, calls, parameters and numbers.

    See `RNN` for `activation`, `engine`, `recurrent_init`, `keep_gradient_norms` and the errors; the others are
    torch.nn.LSTM's, but for `proj_size`, which is refused. The gates stay sigmoids.
    """

    cell = "lstm"
