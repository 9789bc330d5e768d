"""`--help`: every knob with its comment, straight from the YAML; Hydra's own help composes 80 files for less."""

from pathlib import Path
from typing import Final

USAGE: Final = """\
Train a recurrent network on a time series and see whether its outputs go flat.

  python train.py [KEY=VALUE ...]        one run; `flatspot train` is the same from any folder
  python train.py -m KEY=A,B [...]       a sweep

  -m, --multirun      try several values        --config-dir DIR   your own YAML beside ours
  --cfg job           show what it comes to     --traceback        show where bad input was found
  --hydra-help        Hydra's other flags
"""


def conf_dir() -> Path:
    """The folder of our configs: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def help_text(conf: Path) -> str:
    """Usage, the knobs of a run, and the files of each group, with their comments.

    Args:
        conf: the folder of the configs.
    """
    knobs = _knobs(conf / "train.yaml")
    groups = sorted(path for path in conf.iterdir() if path.is_dir())
    return "\n\n".join([USAGE.rstrip(), knobs, *(_group(folder) for folder in groups)])


def _group(folder: Path) -> str:
    files = sorted(folder.glob("*.yaml"))
    listed = " | ".join(path.stem for path in files)
    texts = [f"## {folder.name}={path.stem}\n{_knobs(path)}" for path in files]
    return "\n\n".join([f"{folder.name}={listed}", *texts])


def _knobs(path: Path) -> str:
    """A file without what it says to Hydra alone."""
    text = path.read_text(encoding="utf-8").removeprefix("# @package _global_\n")
    return text.partition("\nhydra:")[0].rstrip()
