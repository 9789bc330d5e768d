"""What an examination takes: seconds, memory and the slowest measurements, of healthy and of sick networks.

    python scripts/bench_examination.py

Each case is a process of its own: a network of 64 units on 10,000 windows of 96 steps is trained for two epochs and
examined. Beside the seconds stands what an epoch of its training takes in the same process, so that a slow machine
does not look like a slow examination. Memory is what the process has at its most, less what it had before.
"""

import argparse
import resource
import subprocess
import sys
import time
import warnings
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import flatspot

CASES: Final = ("healthy", "raw inputs", "rate too high", "no signal", "relu, dead", "two layers of lstm")


class Net(nn.Module):
    """A recurrent layer, its last state, a linear head; between them a relu where that is asked for."""

    def __init__(self, kind: type[nn.GRU | nn.LSTM], units: int, layers: int = 1, sunk: float = 0.0) -> None:
        super().__init__()
        self.rnn = kind(3, units, layers, batch_first=True)
        self.head = nn.Linear(units, 1)
        self.sunk = sunk

    def forward(self, x: Tensor) -> Tensor:
        """One number a window."""
        last = self.rnn(x)[0][:, -1]
        answer: Tensor = self.head(torch.relu(last - self.sunk) if self.sunk else last)
        return answer


def measured(case: str, windows: int, steps: int, units: int) -> dict[str, Any]:
    """Train and examine one case."""
    torch.manual_seed(0)
    x = torch.randn(windows, steps, 3)
    y = x[:, -12:].mean(dim=(1, 2)).unsqueeze(1) * 6
    if case == "raw inputs":
        x = 9065 + 22 * x
    if case == "no signal":
        y = torch.randn(windows, 1)
    kind, layers = (nn.LSTM, 2) if "lstm" in case else (nn.GRU, 1)
    sunk = 5.0 if "dead" in case else 0.0

    def make() -> Net:
        return Net(kind, units, layers, sunk)

    model, cut = make(), windows * 4 // 5
    train = DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(x[cut:], y[cut:]), batch_size=64)
    rate = 3.0 if "rate" in case else 3e-3
    optimizer, loss = torch.optim.Adam(model.parameters(), lr=rate), nn.MSELoss()
    started = time.perf_counter()
    for _ in range(2):
        for inputs, targets in train:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            optimizer.step()
    epoch = (time.perf_counter() - started) / 2
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    found = flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer, make_model=make)
    seconds = time.perf_counter() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    named = found.findings[0].cause if found.findings else "nothing"
    return {"verdict": found.verdict, "named": named, "seconds": seconds, "epoch": epoch, "memory": more}


def main() -> None:
    """Print a row for each case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--windows", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=96)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    chosen = parser.parse_args()
    if chosen.case:
        warnings.filterwarnings("ignore")
        row = measured(chosen.case, chosen.windows, chosen.steps, chosen.units)
        told = f"{row['seconds']:.1f} | {row['seconds'] / row['epoch']:.1f} | {row['memory']:.0f}"
        print(f"| {chosen.case} | {row['verdict']} | {row['named']} | {told} |")
        return
    print("| case | verdict | named first | seconds | epochs of training | MB more |", flush=True)
    print("|---|---|---|--:|--:|--:|", flush=True)
    for case in CASES:
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--case", case], check=True)


if __name__ == "__main__":
    main()
