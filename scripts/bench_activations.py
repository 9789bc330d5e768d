"""What an activation costs: a training step of a recurrent layer with each, side by side in one process.

    python scripts/bench_activations.py [--cell rnn] [--rounds 30]

Sizes are those of the default run (64 windows of 60 steps, 64 units). In each round every activation takes one step,
forward and backward; printed are the milliseconds of the median round, and the ratio to tanh, taken within each round,
with its quartiles.
"""

import argparse
import statistics
import time
from typing import Final

import torch
from torch import nn

from flatspot.activations import ACTIVATIONS
from flatspot.nn.cells import CELLS
from flatspot.nn.layer import build_layer
from flatspot.nn.scan import Scan

BATCH, TIME, UNITS = 64, 60, 64
REFERENCE: Final = "tanh"


def seconds(layer: nn.Module, x: torch.Tensor) -> float:
    """One step, forward and backward, with the loss on the last output."""
    started = time.perf_counter()
    layer(x)[0][:, -1].square().mean().backward()
    return time.perf_counter() - started


def main() -> None:
    """Read the command line, take the rounds, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cell", default="rnn")
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    x = torch.randn(BATCH, TIME, 1)
    layers = {name: build_layer(CELLS[chosen.cell], row, 1, UNITS) for name, row in ACTIVATIONS.items()}
    taken: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(chosen.rounds + 1):
        for name, layer in layers.items():
            taken[name].append(seconds(layer, x))
    print(f"{chosen.cell:12} engine      ms a step   against {REFERENCE} (quartiles)")
    for name, layer in layers.items():
        steps, reference = taken[name][1:], taken[REFERENCE][1:]  # the first round warms up
        ratios = [one / other for one, other in zip(steps, reference, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        engine = "scan" if isinstance(layer, Scan) else str(layer.choice().engine)  # type: ignore[operator] # a drop-in
        print(f"{name:12} {engine:9} {1000 * statistics.median(steps):11.2f}   {middle:5.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
