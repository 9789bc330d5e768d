"""`flatspot predict RUN [--data FILE] [--out FILE]`: forecasts in original units, with time stamps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import polars as pl

from flatspot.cli.runs import FORECASTS
from flatspot.data.counted import counted
from flatspot.errors import BadInput

SUFFIXES: Final = (".csv", ".parquet")


@final
@dataclass(frozen=True)
class Asked:
    """What is to be forecast, and where it goes.

    Args:
        data: rows up to now; None: the run's own file. out: `.csv` or `.parquet`; None: `FORECASTS`.
        mending: `data.missing=interpolate` and the like, as they are typed.
        every_origin: after every window, not only after the end of each series.
        force: write over an `FORECASTS` that is there. What is named is written over without it.
    """

    data: Path | None = None
    out: Path | None = None
    mending: Sequence[str] = ()
    every_origin: bool = False
    force: bool = False


def predict_run(folder: Path, asked: Asked) -> str:
    """Write the forecasts of a run to a file, and say what was written.

    Raises:
        BadInput: naming the folder, file, column or series that cannot be used.
    """
    out = asked.out or Path(FORECASTS)
    _refuse_name(out, asked)
    from flatspot.cli.mending import mending_of
    from flatspot.run import load

    run = load(folder)
    data = asked.data or run.own_file
    _refuse_overwriting(out, data)
    there = out.exists()
    made = run.forecast(asked.data, every_origin=asked.every_origin, **mending_of(asked.mending))
    _write(made.written() if out.suffix == ".csv" else made.frame, out)
    own = [] if asked.data else [f"data    {data or run.known.source['data']['name']}, the run's own"]
    notes = [f"note    {note}" for note in (*made.notes, *[f"{out} was there, and is written over"] * there)]
    return "\n".join([*own, *notes, f"{out}: {counted(len(made.frame), 'row')}: {', '.join(made.frame.columns)}"])


def _refuse_name(out: Path, asked: Asked) -> None:
    """Before anything is read: a file that cannot be written, or is not asked to be written over."""
    if out.suffix not in SUFFIXES:
        raise BadInput(f"--out {out}: write to a file that ends in {' or '.join(SUFFIXES)}")
    if not out.parent.is_dir():
        raise BadInput(f"--out {out}: there is no folder {out.parent}")
    if asked.out is None and out.exists() and not asked.force:
        raise BadInput(f"{out}: is there already; --force writes over it, and --out names another file")


def _refuse_overwriting(out: Path, data: Path | None) -> None:
    if data is not None and out.exists() and data.exists() and out.samefile(data):
        raise BadInput(f"--out {out}: is the file to read (--data)")


def _write(frame: pl.DataFrame, out: Path) -> None:
    """Whole or not at all."""
    half = out.with_name(f".{out.name}.half")
    try:
        if out.suffix == ".csv":
            frame.write_csv(half)
        else:
            frame.write_parquet(half)
        half.replace(out)
    except OSError as error:
        half.unlink(missing_ok=True)
        raise BadInput(f"--out {out}: cannot be written: {error.strerror or error}") from error
