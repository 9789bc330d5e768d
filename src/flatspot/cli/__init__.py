"""The command line: the only place that knows Hydra. One file a command."""

import time
from typing import Final

STARTED: Final = time.perf_counter()
"""When the command began, for the seconds of the whole of it."""


def main() -> None:
    """The console script `flatspot`."""
    from flatspot.cli.app import run

    run()
