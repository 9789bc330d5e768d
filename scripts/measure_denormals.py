"""What denormal numbers cost: recurrences that die away, with the flag that takes denormals for zeros and without.

    python scripts/measure_denormals.py [--steps 1000] [--rounds 9] [--pairs 2] [--threads 1 2] [--page docs/layers.md]

A pulse in the first step, zeros after it, no biases. `orthogonal × 0.9`: units mixed, tanh; states are denormal for
some 150 of 1000 steps and then zero. `identity × 0.7`: every unit by itself, relu; states are denormal from step 245
on, and rounding keeps them so. Gradients shrink alike on their way back.

Each pair of flag and threads is a process of its own, because torch's threads keep the flag that they started with. One
training step is timed, forward and backward from the last state; the best round of all such processes counts. What
stands between the page's two marks `<!-- denormals -->` is replaced.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import torch
from torch import nn

from flatspot.nn import RNN
from flatspot.nn.denormals import flushes

MARK: Final = "<!-- denormals -->"
ENGINES: Final = ("native", "scan", "fused")
KINDS: Final = (("orthogonal", 0.9, "tanh"), ("identity", 0.7, "relu"))
"""Recurrent weights, the share of a state that they keep, and an activation: relu kills what changes its sign."""

BATCH, UNITS = 32, 64
HEAD: Final = (
    "| recurrent weights | activation | threads | engine | denormal outputs | ms | ms, flushed | ratio |\n"
    "|---|---|---|---|---|---|---|---|"
)


def layer_of(kind: str, kept: float, activation: str, engine: str) -> RNN:
    """A layer whose state shrinks by the same share at every step."""
    layer = RNN(1, UNITS, activation=activation, engine=engine)
    weight = torch.eye(UNITS) if kind == "identity" else nn.init.orthogonal_(torch.empty(UNITS, UNITS))
    start = {name: torch.zeros_like(each) for name, each in layer.named_parameters()}
    layer.load_state_dict(start | {"weight_hh_l0": kept * weight, "weight_ih_l0": torch.rand(UNITS, 1)})
    return layer


def measure(kind: str, kept: float, activation: str, engine: str, steps: int, rounds: int) -> tuple[float, float]:
    """Seconds of the best training step, and the share of denormal outputs."""
    torch.manual_seed(0)
    layer = layer_of(kind, kept, activation, engine)
    x = torch.zeros(steps, BATCH, 1)
    x[0] = 1.0
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        _, last = layer(x)
        last.sum().backward()
        seconds.append(time.perf_counter() - started)
    bits = layer(x)[0].detach().view(torch.int32) & 0x7FFFFFFF
    return min(seconds[1:]), ((bits > 0) & (bits < 0x00800000)).float().mean().item()


def measure_all(threads: int, steps: int, rounds: int, *, flush: bool) -> list[tuple[float, float]]:
    """In this process, whose first operation has the flag."""
    torch.set_flush_denormal(flush)
    torch.set_num_threads(threads)
    if flushes() is not flush:
        raise RuntimeError("this processor cannot take denormals for zeros")
    return [measure(*each, steps, rounds) for each in cases()]


def cases() -> list[tuple[str, float, str, str]]:
    """Weights, the share they keep, activation and engine."""
    return [(*kind, engine) for kind in KINDS for engine in ENGINES]


def rows(threads: int, steps: int, rounds: int, pairs: int) -> list[str]:
    """Of the table, with and without the flag side by side."""
    found: dict[int, list[list[tuple[float, float]]]] = {0: [], 1: []}
    for flush in (0, 1) * pairs:
        options = {"--threads": threads, "--steps": steps, "--rounds": rounds, "--flush": flush}
        command = [sys.executable, __file__, *(str(each) for pair in options.items() for each in pair)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[flush].append(json.loads(done.stdout))
    slow, quick = ([min(pair) for pair in zip(*found[flush], strict=True)] for flush in (0, 1))
    return [
        f"| {kind} × {kept} | {activation} | {threads} | {engine} | {share:.0%} | {1e3 * with_them:.0f} "
        f"| {1e3 * flushed:.0f} | {with_them / flushed:.2f} |"
        for (kind, kept, activation, engine), (with_them, share), (flushed, _) in zip(cases(), slow, quick, strict=True)
    ]


def main() -> None:
    """Read the command line, measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--page", type=Path)
    parser.add_argument("--flush", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flush is not None:
        print(json.dumps(measure_all(given.threads[0], given.steps, given.rounds, flush=bool(given.flush))))
        return
    found = [row for each in given.threads for row in rows(each, given.steps, given.rounds, given.pairs)]
    table = "\n".join([HEAD, *found])
    if given.page is None:
        print(table)
        return
    before, _, after = given.page.read_text(encoding="utf-8").split(MARK)
    given.page.write_text(f"{before}{MARK}\n\n{table}\n\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
