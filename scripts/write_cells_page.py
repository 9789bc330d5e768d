"""Let every cell sit its examination with every activation, and write the answers into docs/cells.md.

    python scripts/write_cells_page.py [--page docs/cells.md]

What stands between the page's two marks `<!-- results -->` is replaced.
"""

import argparse
from pathlib import Path
from typing import Final

from flatspot.activations import ACTIVATIONS, Activation
from flatspot.nn.cells import CELLS
from flatspot.nn.examination import EQUATIONS, CellExamination, examine_cell
from flatspot.nn.initialisation import RECIPES

MARK: Final = "<!-- results -->"
HEAD: Final = (
    "| cell | activation | engine | step by step | its equation | engines | neighbours | the future | gradient "
    "| nearest other activation |\n|---|---|---|---|---|---|---|---|---|---|"
)
ACTIVATIONS_HEAD: Final = (
    "| activation | range | gain | recurrent gain | `auto`: recurrent | input | centre |\n|---|---|---|---|---|---|---|"
)


def _shown(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:.0e}" if difference else "0"


def _row(cell: str, activation: str, found: CellExamination) -> str:
    exact = (found.steps, found.equation, found.engines, found.neighbours, found.future, found.gradient)
    cells = [cell, activation, found.engine, *map(_shown, exact), f"{found.activation:.2g}"]
    return f"| {' | '.join(cells)} |"


def _activation(name: str, row: Activation) -> str:
    low, high = (f"{end:.4g}".replace("inf", "∞") for end in row.range)
    scale = "-" if row.recurrent_gain is None else f"{row.recurrent_gain:.2f}"
    recipe = RECIPES[name]
    centre = "-" if recipe.centre is None else f"{recipe.centre:g}"
    starts = f"{recipe.gain:g} | {recipe.input_gain:g} | {centre}"
    return f"| {name} | {low} to {high} | {row.gain:.3f} | {scale} | {starts} |"


def tables() -> str:
    """Both tables in Markdown."""
    pairs = [(cell, name) for cell in CELLS for name in ACTIVATIONS]
    rows = [_row(cell, name, examine_cell(CELLS[cell], ACTIVATIONS[name], EQUATIONS[cell])) for cell, name in pairs]
    known = [_activation(name, row) for name, row in ACTIVATIONS.items()]
    return "\n".join([ACTIVATIONS_HEAD, *known, "", HEAD, *rows])


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=Path("docs/cells.md"))
    page = parser.parse_args().page
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text(f"{before}{MARK}\n\n{tables()}\n\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
