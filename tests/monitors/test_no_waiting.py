"""The every-step part asks no device for a value: run on tensors without numbers, where whatever asks for one fails."""

from types import SimpleNamespace

import pytest
import torch
from lightning import Callback
from torch import nn

from flatspot.monitors import ActivationMonitor, Doctor, GradientNormMonitor, OutputDiversityMonitor
from flatspot.monitors.output_diversity import CHUNK

BATCH = 64


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.fixture
def trainer():
    return SimpleNamespace(
        global_rank=0,
        global_step=7,
        log_every_n_steps=10**6,
        precision_plugin=SimpleNamespace(scaler=None),
        is_global_zero=True,
        loggers=[],
        callbacks=[],
        callback_metrics={},
        current_epoch=0,
        optimizers=[],
        world_size=1,
    )


def steps(monitors, trainer, targets):
    """Training steps as Lightning makes them: two, whose values may be asked for, and more on a device without any."""
    module = Net()
    for monitor in monitors:
        monitor.setup(trainer, module, "fit")
    epoch(monitors, trainer, targets, module, 2)
    for monitor in monitors:
        monitor.on_train_epoch_end(trainer, module)
    epoch(monitors, trainer, targets, module.to("meta"), CHUNK // BATCH + 2)


def epoch(monitors, trainer, targets, module, count):
    device = module.head.weight.device
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    for monitor in monitors:
        monitor.on_fit_start(trainer, module)
        if not isinstance(
            monitor, Doctor | ActivationMonitor
        ):  # these look before the first step, and then now and then
            monitor.on_train_start(trainer, module)
    for number in range(count):
        batch = (torch.zeros(BATCH, 5, 1, device=device), targets().to(device))
        for monitor in monitors:
            monitor.on_train_batch_start(trainer, module, batch, number)
        loss = module(batch[0]).float().mean()
        loss.backward()
        for monitor in monitors:
            monitor.on_before_optimizer_step(trainer, module, optimizer)
        optimizer.step()
        for monitor in monitors:
            monitor.on_train_batch_end(trainer, module, {"loss": loss.detach()}, batch, number)


@pytest.mark.parametrize(
    "targets",
    [
        lambda: torch.rand(BATCH, 3),
        lambda: torch.zeros(BATCH, 3).index_fill(0, torch.tensor([1]), 1.0),
        lambda: torch.arange(BATCH) % 3,
    ],
    ids=["numbers", "yes and no", "classes"],
)
def test_no_step_waits_for_the_device(trainer, targets):
    steps([OutputDiversityMonitor(), GradientNormMonitor(), ActivationMonitor(), Doctor()], trainer, targets)


def test_a_monitor_that_asks_is_found_out(trainer):
    class Asks(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            pl_module.head.weight.grad.norm().item()

    with pytest.raises(RuntimeError, match="meta"):
        steps([Asks()], trainer, lambda: torch.zeros(BATCH, 3))
