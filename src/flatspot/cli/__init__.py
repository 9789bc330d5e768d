"""The command line: the only place that knows Hydra. One file a command."""

import os
import sys
import time
from typing import Final

STARTED: Final = time.perf_counter()
"""When the command began, for the seconds of the whole of it."""


def main() -> None:
    """The console script `flatspot`. `train` goes straight to Hydra's parser: Typer is imported for the others."""
    if os.environ.get("_FLATSPOT_COMPLETE") == "complete_bash" and _completes_train():
        from flatspot.cli.completion import answer_bash
        from flatspot.cli.help import conf_dir

        answer_bash(conf_dir())
        return
    if sys.argv[1:2] == ["train"]:
        from flatspot.cli.train import main as train

        train(sys.argv[2:])
    from flatspot.cli.app import run

    run()


def _completes_train() -> bool:
    """Whether bash asks for what may stand behind `flatspot train`, and not in its place."""
    return os.environ.get("COMP_WORDS", "").split()[1:2] == ["train"] and int(os.environ.get("COMP_CWORD", "0")) > 1
