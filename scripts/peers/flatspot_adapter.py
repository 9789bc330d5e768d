"""flatspot, by its command: all monitors, TensorBoard, checkpoints, the examination and the page."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from common import Asked, Clock, Rows, answer
from lightning import Callback

from flatspot.cli import build, fit
from flatspot.cli.train import main as train


class Clocked(Clock, Callback):
    """A clock in flatspot's Trainer."""


def tested(asked: Asked) -> int:
    """The windows that the test is of: those whose forecast lies wholly in the test rows."""
    return len(Rows.of(asked).truth(asked))


def main() -> None:
    """Train, test, answer."""
    asked, clock = Asked.from_command_line(), Clocked()
    torch.set_num_threads(asked.threads)
    original = build.build_trainer

    def clocked(*given: Any, **named: Any) -> Any:
        trainer = original(*given, **named)
        trainer.callbacks.insert(0, clock)  # what all others do is within
        return trainer

    fit.build_trainer = clocked  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        overrides = [
            *("data=csv", f"data.path={asked.path}", f"data.target={asked.target}", f"data.window={asked.window}"),
            *(f"data.horizon={asked.horizon}", f"data.batch_size={asked.batch}", f"model.cell={asked.cell}"),
            *(f"model.hidden_size={asked.hidden}", "optimizer=adam", f"optimizer.lr={asked.rate}"),
            *(f"trainer.max_epochs={asked.epochs}", "early_stopping.patience=null", "trainer.accelerator=cpu"),
            *(f"seed={asked.seed}", f"threads={asked.threads}", f"hydra.run.dir={folder}/run"),
        ]
        try:
            train(overrides)
        except SystemExit as ended:
            if ended.code:
                raise
        metrics = json.loads((Path(folder) / "run" / "metrics.json").read_text())
    answer(clock, metrics["test"]["mae"], tested(asked), "flatspot", "lightning", "torch")


if __name__ == "__main__":
    main()
