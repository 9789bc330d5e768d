"""What a shared, a carried-over and a lonely initial state do: three habits that no knob of ours offers.

    python scripts/initial_states.py [--seeds 3] [--epochs 40] [--windows 60 6] [--page PAGE.md]

Each arm trains the default network on sunspots: with zeros; with one random draw that all windows of a batch share, in
training and evaluation; with the state that the batch before left behind; and with a network that reads its (learned)
state and nothing else. Printed, as a Markdown table: the test MAE and the diversity ratio, mean ± std over seeds, and
how far a test window's forecast moves, at most, when the same batch is asked for twice.
"""

import argparse
import itertools
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from flatspot.data.datasets import sunspots
from flatspot.data.module import SeriesDataModule
from flatspot.evaluate import batches
from flatspot.examination.own import examine_model
from flatspot.models.forecaster import Forecaster
from flatspot.monitors.seeding import EpochSeed
from flatspot.report.text import mean_and_std

MARK: Final = "<!-- arms -->"


class SharedDraw(nn.Module):
    """One draw from N(0, 1) for all windows of a batch, in training and evaluation."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The same (h, c) for each window."""
        h, c = torch.randn(2, 1, 1, 64).expand(-1, -1, len(x), -1).contiguous()
        return h, c


class Carried(nn.Module):
    """An encoder that starts each batch where the one before ended."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.state: tuple[Tensor, ...] | None = None

    def forward(self, x: Tensor, _: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Outputs and state; window i of a batch gets what window i of the batch before left behind."""
        start = self.state
        if start is not None and start[0].shape[1] < len(x):
            start = None
        outputs, state = self.encoder(
            x, None if start is None else tuple(part[:, : len(x)].contiguous() for part in start)
        )
        self.state = tuple(part.detach() for part in state)
        return outputs, state


class Blind(nn.Module):
    """An encoder that is given zeros for its input: all it has is its initial state."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor, hx: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Outputs and state."""
        outputs, state = self.encoder(torch.zeros_like(x), hx)
        return outputs, state


def zeros() -> Forecaster:
    """The default."""
    return _model()


def shared() -> Forecaster:
    """One draw for all windows of a batch."""
    model = _model()
    model.network.initial_state = SharedDraw()
    return model


def carried() -> Forecaster:
    """From batch to batch."""
    model = _model()
    model.network.encoder = Carried(model.encoder)  # type: ignore[assignment]
    return model


def only_path() -> Forecaster:
    """The state is the input's only path: nothing of the input arrives."""
    model = _model(initial_state="learned")
    model.network.encoder = Blind(model.encoder)  # type: ignore[assignment]
    return model


ARMS: Final[dict[str, Callable[[], Forecaster]]] = {
    "zeros": zeros,
    "one random draw, shared by all windows of a batch": shared,
    "carried over from batch to batch": carried,
    "learned, shared, and all that the network reads": only_path,
}


def _model(initial_state: str = "zeros") -> Forecaster:
    return Forecaster(
        horizon=24, lr=3e-3, weight_decay=1e-2, scheduler="cosine", initial_state=initial_state, recurrent_init="torch"
    )


def figures(
    build: Callable[[], Forecaster], window: int, seed: int, epochs: int, folder: Path
) -> tuple[float, float, float]:
    """Train one arm: test MAE, diversity ratio, and how far a forecast moves when asked for again."""
    seed_everything(seed, verbose=False)
    data = SeriesDataModule(sunspots(), window=window, horizon=24, seed=seed)
    model = build()
    model.target_scaling.set(data.target_scaling.mean, data.target_scaling.scale)
    best = ModelCheckpoint(folder, filename="best", monitor="loss/val", enable_version_counter=False)
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        logger=False,
        callbacks=[EpochSeed(seed), best],
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    trainer.fit(model, datamodule=data)
    model.load_state_dict(torch.load(best.best_model_path, weights_only=True)["state_dict"])
    found = examine_model(model, data)
    return found.evaluation.scores()["mae"], found.diversity.ratio, _moves(model, data)


@torch.inference_mode()
def _moves(model: Forecaster, data: SeriesDataModule) -> float:
    """The largest change of a test window's forecast when it is asked for again, in sunspots."""
    model.eval()
    x = next(iter(batches(data, "test")))[0]
    first, second = model(x), model(x)
    moved: float = ((first - second).abs().max() * model.target_scaling.scale[0]).item()
    return moved


def table(windows: list[int], seeds: int, epochs: int) -> str:
    """All arms as a Markdown table."""
    lines = [
        "| window | initial state | test MAE | diversity ratio | asked twice, moves up to |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for window, (name, build) in itertools.product(windows, ARMS.items()):
            measured = [figures(build, window, seed, epochs, Path(folder)) for seed in range(seeds)]
            maes, ratios, moves = zip(*measured, strict=True)
            shown = f"{mean_and_std(maes, 2)} | {mean_and_std(ratios, 3)} | {max(moves):.2g}"
            lines.append(f"| {window} | {name} | {shown} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Read the command line, train the arms, and write the table into the page if there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--windows", type=int, nargs="+", default=[60, 6])
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    made = table(chosen.windows, chosen.seeds, chosen.epochs)
    if chosen.page:
        before, _, after = chosen.page.read_text(encoding="utf-8").split(MARK)
        chosen.page.write_text(f"{before}{MARK}\n\n{made}\n\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
