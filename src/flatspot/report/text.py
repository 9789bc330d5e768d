"""The end of a run in plain text, from what `metrics.json` holds."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

COLUMNS: Final = (("mae", "MAE"), ("rmse", "RMSE"), ("mase", "MASE"), ("r2", "R²"))
BASELINES: Final = (("ridge", "ridge"), ("persistence", "persistence"), ("mean", "training mean"))


def summary(metrics: Mapping[str, Any], *, model: str, target: str, run: str) -> str:
    """One table of errors beside the baselines, then diversity, verdict, and where to look next.

    Args:
        metrics: as in `metrics.json`.
        model: what to call the model. target: what was predicted. run: the run folder.
    """
    rows = [(model, metrics["test"])] + [(label, metrics["baseline"][name]) for name, label in BASELINES]
    return "\n".join([*_table(f"test error in {target}", rows), "", *_facts(metrics, run)])


def number(value: float | None) -> str:
    """Four figures, as a person writes them; a dash for what could not be measured.

    >>> number(22.1234), number(0.76), number(123456.0), number(None)
    ('22.12', '0.76', '123456', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _table(title: str, rows: Sequence[tuple[str, Mapping[str, float | None]]]) -> list[str]:
    cells = [[title, *(head for _, head in COLUMNS)]]
    cells += [[name, *(number(figures[key]) for key, _ in COLUMNS)] for name, figures in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in cells]
    return [lines[0], "─" * len(lines[0]), *lines[1:]]


def _facts(metrics: Mapping[str, Any], run: str) -> list[str]:
    diversity = metrics["diversity"]
    facts = [
        (
            "diversity ratio",
            f"{number(diversity['ratio'])} (smallest {number(diversity['minimum'])}, "
            f"{number(100 * (diversity['flat_share'] or 0))} % of outputs flat)",
        ),
        ("verdict", f"{metrics['verdict']}: {metrics['explained']}"),
        *(("finding", finding["cause"]) for finding in metrics["findings"]),
        *(("not examined", f"{what}: {why}") for what, why in metrics["not_examined"].items()),
        ("run", run),
        ("look", f"tensorboard --logdir {_quoted(run)}"),
    ]
    width = max(len(name) for name, _ in facts)
    return [f"{name.ljust(width)}  {text}" for name, text in facts]


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path
