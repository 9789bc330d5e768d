"""Write what can be wrong with a file or a key, and what is said of it, into docs/refusals.md.

    python scripts/write_refusals_page.py [--page docs/refusals.md]

The table is the one that the tests run: tests/data/refusals.py.
"""

import argparse
import importlib.util
import sys
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Final

TABLE: Final = Path(__file__).parents[1] / "tests" / "data" / "refusals.py"

HEAD: Final = """# What is refused, and what is said

What cannot be used is named by file, line, column or key, in one sentence that says what would be right. The command
ends with exit code 2, before anything is trained; `--traceback` shows where. A line of a CSV file is as an editor or a
spreadsheet counts them, the header's included, and where a cell holds line breaks the one that its row begins on; of a
Parquet file or a frame a row's number is told, from 1. Several faults of one file are told in one message, a line each,
the first eight: each is what would be refused if the others were mended. What can be mended is mended on request, by
`data.missing`, `data.max_gap`, `data.duplicates`, `data.unsorted`, `data.frequency` and `data.short`, and the run says
what was done to how many rows.

Each line is run as a test. Written by `scripts/write_refusals_page.py`."""


def _table() -> ModuleType:
    spec = importlib.util.spec_from_file_location(TABLE.stem, TABLE)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018 - a file of ours
    module = importlib.util.module_from_spec(spec)
    sys.modules[TABLE.stem] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _lines(said: str) -> str:
    return "<br>".join(f"`{_cell(line.strip())}`" for line in said.splitlines())


def page() -> str:
    """The whole page in Markdown."""
    parts = [HEAD]
    for area, refusals in groupby(_table().REFUSALS, key=lambda refusal: refusal.area):
        rows = [f"| {_cell(each.wrong)} | {_lines(each.said)} |" for each in refusals]
        parts += [f"## {area}", "\n".join(["| what is wrong | what is said |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=Path("docs/refusals.md"))
    parser.parse_args().page.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
