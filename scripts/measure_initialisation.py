"""Which starting weights let which activation remember: gradients over 100 steps, and training on a delay of 50.

    python scripts/measure_initialisation.py [--tables plain others gated] [--seeds 5] [--steps 800] [--page PAGE.md]

For each activation in a plain recurrent layer of 64 units, and for gated ones in short, with each kind of starting
weights: (a) ‖∂h_T/∂h_0‖, the Frobenius norm by √units (an orthogonal matrix has 1; an LSTM's is of its cell state),
over 100 steps of N(0, 1), in float64, the geometric mean over 8 samples and all seeds; (b) the R² on 1,024 fresh
windows after training to say the input of 50 steps ago from the last state of a window of 60: batches of 32 new
windows, AdamW, gradients clipped at 1, until the running mean of the loss says 0.9 or the steps are over.
Printed, as Markdown tables; what stands between a page's two marks of a table's name is replaced.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from flatspot.activations import ACTIVATIONS
from flatspot.nn import GRU, LSTM, RNN

UNITS, STEPS, SAMPLES = 64, 100, 8
WINDOW, LAG, BATCH, TESTED = 60, 50, 32, 1024
LEARNED: Final = 0.5
"""The R² from which a network is said to have learned the task."""

DRIVE: Final = 0.25
"""Variance of the input's part of a pre-activation, in the calculation behind the recurrent gains."""

LAYERS: Final[dict[str, type[RNN | GRU | LSTM]]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}

SCHEMES: Final = {
    "plain": ("torch", "auto"),
    "others": ("orthogonal", "identity"),
    "gated": ("torch", "auto", "chrono"),
}
"""What is compared in each table."""

ENOUGH: Final = 0.1
"""The running mean of the loss, by the variance of the target, at which training may end."""


@dataclass(frozen=True)
class Arm:
    """One cell with one activation and one kind of starting weights."""

    cell: str
    activation: str
    scheme: str

    def layer(self, seed: int) -> nn.RNNBase:
        """With the weights of a seed."""
        torch.manual_seed(seed)
        length = WINDOW if self.scheme == "chrono" else None
        return LAYERS[self.cell](
            1, UNITS, batch_first=True, activation=self.activation, recurrent_init=self.scheme, chrono_length=length
        )


def gradient_norm(layer: nn.RNNBase, seed: int, *, drive: float | None = None) -> float:
    """‖∂h_T/∂h_0‖ by √units, the geometric mean over samples.

    Args:
        drive: variance of the input's part of the pre-activation; None: as the input weights have it.
    """
    layer = layer.double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SAMPLES, STEPS, 1, generator=generator, dtype=torch.float64)
    if drive is not None:
        with torch.no_grad():
            layer.weight_ih_l0.normal_(std=math.sqrt(drive), generator=generator)  # type: ignore[operator]
    x = x.repeat(UNITS, 1, 1)  # so that one way back has the gradients of all units
    start = torch.zeros(1, UNITS * SAMPLES, UNITS, dtype=torch.float64, requires_grad=True)
    lstm = isinstance(layer, nn.LSTM)
    final = layer(x, (torch.zeros_like(start), start) if lstm else start)[1]
    state: Tensor = final[1] if lstm else final
    each = state[0].view(UNITS, SAMPLES, UNITS).diagonal(dim1=0, dim2=2)  # of its copy of the samples each unit
    norms = torch.autograd.grad(each.sum(), start)[0].view(UNITS, SAMPLES, UNITS).square().sum(dim=(0, 2)).sqrt()
    norms /= math.sqrt(UNITS)
    return norms.clamp(min=1e-300).log().mean().exp().item()


def delayed(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """White noise, and what it was `LAG` steps before its end."""
    x = torch.randn(samples, WINDOW, 1, generator=generator)
    return x, x[:, WINDOW - 1 - LAG, 0]


def trained_r2(layer: nn.RNNBase, seed: int, steps: int, lr: float) -> float:
    """The R² on fresh windows after training; what is not finite counts as minus infinity."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    head = nn.Linear(UNITS, 1)
    weights = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=lr)

    running = 1.0

    def error(samples: int) -> tuple[Tensor, Tensor]:
        x, y = delayed(samples, generator)
        final = layer(x)[1]
        state = final[0] if isinstance(final, tuple) else final
        return (head(state[0])[:, 0] - y).square().mean(), y

    for _ in range(steps):
        optimizer.zero_grad()
        loss = error(BATCH)[0]
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        running = 0.95 * running + 0.05 * loss.item()
        if running < ENOUGH:
            break
    with torch.no_grad():
        loss, y = error(TESTED)
    r2 = 1 - (loss / y.var(correction=0)).item()
    return r2 if math.isfinite(r2) else -math.inf


@dataclass(frozen=True)
class Measured:
    """What was measured of an arm: gradients as the weights are and at the calculation's drive, and R² by seed."""

    gradient: float
    driven: float
    r2: Sequence[float]

    def __str__(self) -> str:
        learned = sum(each >= LEARNED for each in self.r2)
        return f"{statistics.median(self.r2):.2f} ({learned} of {len(self.r2)})"


def _geometric(norm: Callable[[int], float], seeds: Sequence[int]) -> float:
    return math.exp(statistics.fmean(math.log(norm(seed)) for seed in seeds))


def measured(arm: Arm, seeds: Sequence[int], steps: int, lr: float) -> Measured:
    """Gradients and training of an arm over seeds."""
    return Measured(
        gradient=_geometric(lambda seed: gradient_norm(arm.layer(seed), seed), seeds),
        driven=_geometric(lambda seed: gradient_norm(arm.layer(seed), seed, drive=DRIVE), seeds),
        r2=[trained_r2(arm.layer(seed), seed, steps, lr) for seed in seeds],
    )


def table(
    cell: str, activations: Sequence[str], schemes: Sequence[str], seeds: Sequence[int], steps: int, lr: float
) -> str:
    """A row an activation: gradients by kind of weights, then R² by kind."""
    gradients = [f"‖∂h_T/∂h_0‖ {scheme}" for scheme in schemes]
    driven = [f"{scheme}, drive {DRIVE}" for scheme in schemes] if cell == "rnn" else []
    r2s = [f"R² {scheme} (learned)" for scheme in schemes]
    head = [cell, *gradients, *driven, *r2s]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    print("\n".join(lines), flush=True)
    for name in activations:
        found = [measured(Arm(cell, name, scheme), seeds, steps, lr) for scheme in schemes]
        shown = [f"{each.gradient:.0e}" for each in found]
        shown += [f"{each.driven:.0e}" for each in found[: len(driven)]]
        lines.append(f"| {' | '.join([name, *shown, *map(str, found)])} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, and write the tables into the page if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", nargs="+", choices=list(SCHEMES), default=list(SCHEMES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--activations", nargs="+", default=list(ACTIVATIONS))
    parser.add_argument("--gated", nargs="+", default=["tanh", "relu"])
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    seeds = range(chosen.first_seed, chosen.first_seed + chosen.seeds)
    for name in chosen.tables:
        cells, activations = (("gru", "lstm"), chosen.gated) if name == "gated" else (("rnn",), chosen.activations)
        made = [table(cell, activations, SCHEMES[name], seeds, chosen.steps, chosen.lr) for cell in cells]
        if chosen.page:
            mark = f"<!-- {name} -->"
            before, _, after = chosen.page.read_text(encoding="utf-8").split(mark)
            chosen.page.write_text(f"{before}{mark}\n\n" + "\n\n".join(made) + f"\n\n{mark}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
