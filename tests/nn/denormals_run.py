"""Run by test_denormals.py: a small run of `train.py` with two threads; where denormals are zeros in it, as JSON."""

import json
import sys
from pathlib import Path

import torch
from lightning import Callback

from flatspot.cli import build, train
from flatspot.nn.denormals import SHARED, flushes

found = {}


class Look(Callback):
    def on_train_batch_start(self, *_):
        tiny = torch.full((256, 256), 1e-20)
        found["forward"] = flushes()
        found["shared"] = flushes(SHARED)
        found["product"] = not (tiny @ tiny).view(torch.int32).any().item()

    def on_fit_start(self, trainer, pl_module):
        pl_module.network.head.weight.register_hook(self.backward)

    def backward(self, gradient):
        found["backward"] = flushes() and flushes(SHARED)
        return gradient


def main():
    callbacks = build.build_callbacks
    build.build_callbacks = lambda *given: [*callbacks(*given), Look()]
    small = (
        "trainer.max_epochs=1",
        "model.hidden_size=4",
        "model.cell=rnn",
        "logger=none",
        "monitors=none",
        "threads=2",
    )
    try:
        train.main([*sys.argv[2:], *small, "threads=2"])
    except SystemExit as left:
        found["after"] = flushes()
        Path(sys.argv[1]).write_text(json.dumps(found))
        sys.exit(left.code)


if __name__ == "__main__":
    main()
