"""Give each reader what nobody would write: CSV files, configurations, evidence, checkpoints.

    python scripts/fuzz.py --minutes 10
    python scripts/fuzz.py --only csv --minutes 1

An answer or a `BadInput` in one sentence is right; anything else is printed, made as small as hypothesis can, and ends
the fuzzer that found it. What was found before is kept in tests/test_fuzz.py.
"""

import argparse
import collections
import logging
import sys
import tempfile
import time
import traceback
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzzing import FUZZERS, made_run

BATCH = 200
"""Examples that share a seed."""


def fuzz(name: str, minutes: float, first: int) -> bool:
    """Run one fuzzer for so long; whether it found nothing."""
    until, number = time.monotonic() + 60 * minutes, first
    ends: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        made_run(Path(folder))
        while time.monotonic() < until:

            @seed(number)
            @settings(max_examples=BATCH, deadline=None, database=None, suppress_health_check=list(HealthCheck))
            @given(st.data())
            def once(data: st.DataObject) -> None:
                ends[FUZZERS[name](data.draw, folder) or "taken"] += 1

            try:
                once()
            except Exception:  # noqa: BLE001 - what is looked for
                told = traceback.format_exc().splitlines()
                print("\n".join(line[:300] for line in told[-60:]))
                print(f"{name}: found after {ends.total():,} examples, with seed {number}")
                return False
            number += 1
    print(f"{name}: {ends.total():,} examples in {minutes:g} minutes, seeds {first} to {number - 1}: {dict(ends)}")
    return True


def main() -> None:
    """Run them one after another."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=10, help="for each")
    arguments.add_argument("--only", nargs="*", choices=FUZZERS, default=list(FUZZERS))
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    logging.disable(logging.WARNING)  # each Trainer tells of itself
    found = [name for name in asked.only if not fuzz(name, asked.minutes, asked.seed)]
    sys.exit(f"found something: {', '.join(found)}" if found else 0)


if __name__ == "__main__":
    main()
