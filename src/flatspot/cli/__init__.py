"""The command line: the only place that knows Hydra. One file a command."""

import sys
import time
from typing import Final

STARTED: Final = time.perf_counter()
"""When the command began, for the seconds of the whole of it."""


def main() -> None:
    """The console script `flatspot`. `train` goes straight to Hydra's parser: Typer is imported for the others."""
    if sys.argv[1:2] == ["train"]:
        from flatspot.cli.train import main as train

        train(sys.argv[2:])
    from flatspot.cli.app import run

    run()
