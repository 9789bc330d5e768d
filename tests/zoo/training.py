"""The loop that most people write, and the loaders that go with it."""

import torch
from torch.utils.data import DataLoader, TensorDataset


def loaders(x, y, train=600, batch=32, shuffle=True):
    """The first samples to train on, the others held out."""
    return (
        DataLoader(TensorDataset(x[:train], y[:train]), batch_size=batch, shuffle=shuffle),
        DataLoader(TensorDataset(x[train:], y[train:]), batch_size=batch),
    )


def fit(model, loader, loss, optimizer, epochs, clip=None):
    """Train in place."""
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    model.eval()
    return model


def windows(series, steps, horizon=1):
    """Windows `[sample, step, 1]` of a series and what follows each, `[sample, horizon]`."""
    count = len(series) - steps - horizon + 1
    x = torch.stack([series[at : at + steps] for at in range(count)])
    y = torch.stack([series[at + steps : at + steps + horizon] for at in range(count)])
    return x.unsqueeze(-1), y
