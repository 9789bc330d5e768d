"""Kill a run at random, go on with it until it has ended, and hold what it left against a run that was never killed.

    python scripts/kill_and_resume.py --times 20 trainer.max_epochs=12 scheduler=plateau model.dropout=0.2

By `kill -9` three times of five, else by SIGTERM or Ctrl-C, up to three times a run, between a second after it was
begun and its end. Compared bit by bit: weights, optimizer, scheduler and all else in both checkpoints, `metrics.json`
and `evidence.jsonl`, but for seconds.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import torch

ROOT: Final = Path(__file__).resolve().parents[1]

SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Read the command line, and tell of each run how often it was killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, help="seconds until a kill, at most; else those of the whole run")
    parser.add_argument("overrides", nargs="*")
    asked = parser.parse_args()
    draw = random.Random(asked.seed)  # noqa: S311 - when to kill is no secret
    with tempfile.TemporaryDirectory() as held:
        whole = Path(held) / "whole"
        started = time.perf_counter()
        _begun([*asked.overrides, f"hydra.run.dir={whole}"]).communicate()
        took = time.perf_counter() - started
        print(f"never killed: {took:.1f} s", flush=True)
        for number in range(asked.times):
            folder = Path(held) / str(number)
            told = _killed_and_resumed(folder, asked.overrides, draw, asked.most or took)
            refuse_other(whole, folder)
            print(f"{number + 1}: {'; '.join(told)}; the same", flush=True)


def _begun(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "train.py"), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _killed_and_resumed(folder: Path, overrides: list[str], draw: random.Random, most: float) -> list[str]:
    """Until it has ended; what happened, in words."""
    told: list[str] = []
    while True:
        goes_on = (folder / ".hydra" / "config.yaml").exists()
        running = _begun([f"resume={folder}"] if goes_on else [*overrides, f"hydra.run.dir={folder}"])
        try:
            said, _ = running.communicate(timeout=draw.uniform(1, most) if len(told) < 3 else None)
        except subprocess.TimeoutExpired:
            sent = draw.choice(SIGNALS)
            running.send_signal(sent)
            said, _ = running.communicate()
            if running.returncode != 0:  # else it had ended meanwhile
                told.append(f"{sent.name} after {sum(' · loss ' in line for line in said.splitlines())} epochs")
                continue
        if running.returncode != 0:
            raise SystemExit(said)
        notes = [line[5:].strip() for line in said.splitlines() if "goes on after" in line or "begins anew" in line]
        return [*told, *(note.partition(",")[0].partition(";")[0] for note in notes)]


def refuse_other(one: Path, other: Path) -> None:
    """Stop where two run folders differ in more than seconds."""
    for name in ("best.ckpt", "last.ckpt"):
        held = [torch.load(each / "checkpoints" / name, weights_only=True) for each in (one, other)]
        _refuse_other(name, *held)
    _refuse_other("metrics", *(json.loads((each / "metrics.json").read_text()) for each in (one, other)))
    lines = [(each / "evidence.jsonl").read_text().splitlines() for each in (one, other)]
    _refuse_other("evidence", *([json.loads(line) for line in each] for each in lines))


def _refuse_other(at: str, one: Any, other: Any) -> None:  # noqa: ANN401 - anything plain
    if "seconds" in at:
        return
    if isinstance(one, torch.Tensor):
        same = torch.equal(one.nan_to_num(), other.nan_to_num())
    elif isinstance(one, dict):
        mine, theirs = ({_name(key): value for key, value in each.items()} for each in (one, other))
        same = mine.keys() == theirs.keys()
        for key in mine if same else ():
            _refuse_other(f"{at}.{key}", mine[key], theirs[key])
    elif isinstance(one, list | tuple):
        same = len(one) == len(other)
        for number, pair in enumerate(zip(one, other, strict=False)):
            _refuse_other(f"{at}.{number}", *pair)
    else:
        same = _name(one) == _name(other) or (one != one and other != other)  # noqa: PLR0124 - NaN
    if not same:
        raise SystemExit(f"{at}: {one!r:.80} in the run that was never killed, {other!r:.80} in the other")


def _name(value: object) -> object:
    """Of a path the last part: the folders are not the same."""
    return Path(value).name if isinstance(value, str) and "/" in value else value


if __name__ == "__main__":
    main()
