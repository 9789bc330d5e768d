"""`flatspot predict RUN --data FILE --out FILE`: forecasts in original units, with time stamps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flatspot.data.counted import counted
from flatspot.errors import BadInput

SUFFIXES: Final = (".csv", ".parquet")


def predict_run(folder: Path, data: Path, out: Path, mending: Sequence[str], *, every_origin: bool) -> str:
    """Write the forecasts of a run to a file, and say what was written.

    Args:
        folder: the run. data: rows up to now. out: `.csv` or `.parquet`.
        mending: `data.missing=interpolate` and the like, as they are typed.
        every_origin: after every window, not only after the end of each series.

    Raises:
        BadInput: naming the folder, file, column or series that cannot be used.
    """
    if out.suffix not in SUFFIXES:
        raise BadInput(f"--out {out}: write to a file that ends in {' or '.join(SUFFIXES)}")
    if not out.parent.is_dir():
        raise BadInput(f"--out {out}: there is no folder {out.parent}")
    if out.exists() and data.exists() and out.samefile(data):
        raise BadInput(f"--out {out}: is the file to read (--data)")
    from flatspot.cli.mending import mending_of
    from flatspot.run import load

    frame, notes = load(folder).forecast(data, every_origin=every_origin, **mending_of(mending))
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
    written = f"{out}: {counted(len(frame), 'row')}: {', '.join(frame.columns)}"
    return "\n".join([*(f"note    {note}" for note in notes), written])
