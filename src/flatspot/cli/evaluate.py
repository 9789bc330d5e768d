"""`flatspot evaluate RUN`: errors over rolling origins, in original units, beside the baselines."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from flatspot.report.table import aligned
from flatspot.report.text import error_table, number, series_rows

SHOWN_STEPS: Final = 12
"""Steps of the horizon that are shown; all of them are in the JSON."""

SHOWN_SERIES: Final = 10
"""Series that are shown, the worst first."""


def evaluate_run(folder: Path, data: Path | None, mending: Sequence[str], *, as_json: bool) -> str:
    """The errors of a run, on its own test rows or on another file, as people read them or as JSON.

    Args:
        folder: the run. data: other rows. mending: `data.missing=interpolate` and the like, as they are typed.
        as_json: all figures, for machines.

    Raises:
        BadInput: naming the folder, file, column or series that cannot be used.
    """
    from flatspot.cli.mending import mending_of
    from flatspot.cli.results import finite
    from flatspot.models.models import called
    from flatspot.run import load

    run = load(folder)
    found = run.evaluate(data, **mending_of(mending))
    figures = {"test": found.scores(), "baseline": found.baseline_scores(), **found.details()}
    if as_json:
        return json.dumps(finite(figures), indent=2, ensure_ascii=False)
    panel = found.data.panel
    windows = len(found.series)
    lines = [f"data    {panel.name}: {panel.rows:,} rows, {windows:,} {'series' if found.data.whole else 'windows'}"]
    lines += [f"note    {note}" for note in (*found.data.prepared.notes, *found.notes)]
    until = run.known.trained_until
    if data is not None and until is not None and panel.times is not None and str(panel.times[:].min()) <= until:
        lines.append(f"note    rows up to {until[:19].replace('T', ' ')} are of the time that was trained on")
    test, baselines = finite(figures["test"]), finite(figures["baseline"])
    named = {
        "model": called(str(run.known.source["model"]), run.model.hparams),
        "target": ", ".join(found.data.targets),
    }
    lines += ["", *error_table(test, baselines, **named, part="")]
    return "\n".join([*lines, *_details(finite(found.details()))])


def _details(details: dict[str, Any]) -> list[str]:
    """By step and by series, or who was taken for whom."""
    if "confusion" in details:
        names = details["classes"]
        rows = [
            ["true \\ named", *names],
            *([name, *map(str, row)] for name, row in zip(names, details["confusion"], strict=True)),
        ]
        return ["", *aligned(rows)]
    lines: list[str] = []
    if "by_step" in details:
        lines += ["", *_by_step(details["by_step"])]
    if "by_series" in details:
        lines += _by_series(details)
    return lines


def _by_step(tables: dict[str, dict[str, list[float | None]]]) -> list[str]:
    """The MAE of each at some steps of the horizon, the model's first."""
    horizon = len(tables["model"]["mae"])
    shown = sorted({round(1 + each * (horizon - 1) / (SHOWN_STEPS - 1)) for each in range(SHOWN_STEPS)})
    head = ["MAE at step", *map(str, shown)]
    return aligned(
        [head, *([name, *_cells([table["mae"][step - 1] for step in shown])] for name, table in tables.items())]
    )


def _by_series(details: dict[str, Any]) -> list[str]:
    """The series with the largest MASE, each beside its best baseline."""
    found = series_rows(details["by_series"], details["baseline_by_series"])
    if found is None:
        return []
    (_, *head), rows = found
    title = f"worst of {len(rows):,} series" if len(rows) > SHOWN_SERIES else "by series"
    return ["", *aligned([[title, *head], *rows[:SHOWN_SERIES]])]


def _cells(values: Sequence[float | None]) -> list[str]:
    return [number(value) for value in values]
