"""Let every cell sit its examination with every activation, and write the answers into docs/cells.md.

torchrecurrent's cells (pip install 'flatspot[zoo]') sit it with tanh, or what they run instead.

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
from flatspot.nn.zoo import LEFT_OUT, ZOO, ZooCell
from flatspot.nn.zoo_equations import ZOO_EQUATIONS

MARK: Final = "<!-- results -->"
HEAD: Final = (
    "| cell | activation | engine | step by step | its equation | engines | neighbours | the future | gradient "
    "| nearest other activation |\n|---|---|---|---|---|---|---|---|---|---|"
)
ZOO_HEAD: Final = (
    "| torchrecurrent's cell | equation of | `model.activation=` | step by step | its equation | neighbours "
    "| the future | gradient | nearest other activation |\n|---|---|---|---|---|---|---|---|---|"
)
LEFT_OUT_HEAD: Final = "| left out | equation of | why |\n|---|---|---|"
ACTIVATIONS_HEAD: Final = (
    "| activation | range | gain | recurrent gain | `auto`: recurrent | input | centre |\n|---|---|---|---|---|---|---|"
)


def _shown(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:.0e}" if difference else "0"


def _row(cell: str, activation: str, found: CellExamination) -> str:
    exact = (found.steps, found.equation, found.engines, found.neighbours, found.future, found.gradient)
    assert found.activation is not None  # noqa: S101 - ours refuse none
    cells = [cell, activation, found.engine, *map(_shown, exact), f"{found.activation:.2g}"]
    return f"| {' | '.join(cells)} |"


def _activation(name: str, row: Activation) -> str:
    low, high = (f"{end:.4g}".replace("inf", "∞") for end in row.range)
    scale = "-" if row.recurrent_gain is None else f"{row.recurrent_gain:.2f}"
    recipe = RECIPES[name]
    centre = "-" if recipe.centre is None else f"{recipe.centre:g}"
    starts = f"{recipe.gain:g} | {recipe.input_gain:g} | {centre}"
    return f"| {name} | {low} to {high} | {row.gain:.3f} | {scale} | {starts} |"


def _zoo_row(name: str, cell: ZooCell) -> str:
    found = examine_cell(cell, ACTIVATIONS[cell.fixed], ZOO_EQUATIONS[name])
    exact = (found.steps, found.equation, found.neighbours, found.future, found.gradient)
    nearest = "refused" if found.activation is None else f"{found.activation:.2g}"
    taken = "any" if cell.takes else f"{cell.fixed} alone"
    return f"| {' | '.join([name, cell.paper, taken, *map(_shown, exact), nearest])} |"


def tables() -> str:
    """All tables in Markdown."""
    pairs = [(cell, name) for cell in CELLS for name in ACTIVATIONS]
    rows = [_row(cell, name, examine_cell(CELLS[cell], ACTIVATIONS[name], EQUATIONS[cell])) for cell, name in pairs]
    known = [_activation(name, row) for name, row in ACTIVATIONS.items()]
    zoo = [_zoo_row(name, cell) for name, cell in ZOO.items()]
    out = [f"| {name} | {cell.paper} | {why} |" for name, (cell, why) in LEFT_OUT.items()]
    return "\n".join([ACTIVATIONS_HEAD, *known, "", HEAD, *rows, "", ZOO_HEAD, *zoo, "", LEFT_OUT_HEAD, *out])


def main() -> None:
    """Read the command line and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=Path("docs/cells.md"))
    page = parser.parse_args().page
    before, _, after = page.read_text(encoding="utf-8").split(MARK)
    page.write_text(f"{before}{MARK}\n\n{tables()}\n\n{MARK}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
