"""Run by test_processes.py: the same steps in one process, and in two spawned after it used its threads."""

import sys
from pathlib import Path

import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from flatspot.nn import GRU, RNN

STEPS, BATCH, TIME = 3, 64, 20


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = GRU(2, 48, batch_first=True, engine="fused")
        self.rnn = RNN(48, 48, batch_first=True, activation="softsign", engine="fused")
        self.head = nn.Linear(48, 1)

    def forward(self, x):
        return self.head(self.rnn(self.gru(x)[0])[1][-1])


def train(model, module, x, y):
    """Some steps on these samples; the weights of the module."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def process(rank, folder, weights, x, y):
    """One of two: every other sample."""
    torch.set_num_threads(2)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    model = Model()
    model.load_state_dict(weights)
    torch.save(train(DistributedDataParallel(model), model, x[rank::2], y[rank::2]), folder / f"{rank}.pt")
    distributed.destroy_process_group()


def main():
    folder = Path(sys.argv[1])
    torch.manual_seed(0)
    torch.set_num_threads(2)
    model, x = Model(), torch.randn(BATCH, TIME, 2)
    y = x[:, -5:].sum(dim=(1, 2))[:, None]
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    torch.save(start, folder / "start.pt")
    torch.save(train(model, model, x, y), folder / "one.pt")
    multiprocessing.spawn(process, (folder, start, x, y), nprocs=2)


if __name__ == "__main__":
    main()
