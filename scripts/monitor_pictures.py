"""The pictures of docs/tensorboard.md: what TensorBoard shows of a sick run and of a healthy one, side by side.

    python scripts/monitor_pictures.py [--folder docs/tensorboard] [--epochs 12]

Trains both, reads the pictures back out of their event files, and writes each pair as one file.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import matplotlib.image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

RUNS: Final = {
    "sick: a sensor at 9065 ± 22, unscaled": ["data=sensor", "data.scale=none", "data.scale_target=none"],
    "healthy: the same, scaled": ["data=sensor"],
}

TAGS: Final = (
    "forecast/examples",
    "diversity/stations",
    "sensitivity/by_step",
    "loss_gradient/by_step",
    "activation/gates",
)


def pictures(overrides: list[str], epochs: int, folder: Path) -> dict[str, bytes]:
    """Train, and read the pictures back."""
    train = Path(__file__).parents[1] / "train.py"
    fixed = [f"trainer.max_epochs={epochs}", f"hydra.run.dir={folder}", "early_stopping.patience=null"]
    subprocess.run([sys.executable, train, *overrides, *fixed], check=True, stdout=subprocess.DEVNULL)
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: events.Images(tag)[-1].encoded_image_string for tag in TAGS}


def side_by_side(held: dict[str, bytes], path: Path) -> None:
    """Write pictures with their names above them."""
    figure = Figure(figsize=(7 * len(held), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, encoded) in zip(figure.subplots(1, len(held)), held.items(), strict=True):
        axes.imshow(matplotlib.image.imread(io.BytesIO(encoded)))
        axes.set_title(name)
        axes.axis("off")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the command line, train, and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1] / "docs" / "tensorboard")
    parser.add_argument("--epochs", type=int, default=12)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        held = {
            name: pictures(overrides, chosen.epochs, Path(folder) / str(number))
            for number, (name, overrides) in enumerate(RUNS.items())
        }
    for tag in TAGS:
        side_by_side({name: found[tag] for name, found in held.items()}, chosen.folder / f"{tag.replace('/', '_')}.png")


if __name__ == "__main__":
    main()
