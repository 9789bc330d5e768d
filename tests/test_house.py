"""What the design says about the code, held."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import flatspot

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "flatspot").rglob("*.py"))
HEAVY = ("torch", "lightning", "matplotlib", "polars", "numpy", "hydra", "sklearn")


def body_lines(function):
    """Lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 1


def functions():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                yield f"{path.name}:{node.name}", body_lines(node)


def test_functions_are_short():
    lengths = dict(functions())
    assert max(lengths.values()) <= 40, max(lengths, key=lengths.get)
    assert statistics.median(lengths.values()) <= 6
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 20


def test_there_is_no_utils():
    assert not [path for path in SOURCES if "util" in str(path.relative_to(ROOT))]


def test_shapes_are_checked_wherever_they_are_said(pytestconfig):
    hooked = tuple(f"{each}." for each in pytestconfig.getoption("--jaxtyping-packages").split(","))
    modules = {path: ".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in SOURCES}
    unchecked = {path for path, name in modules.items() if not f"{name}.".startswith(hooked)}
    assert not [path for path in unchecked if "jaxtyping" in path.read_text()]
    layers = {path.stem for path in unchecked if "nn" in path.parts} - {"__init__"}
    assert layers == {"compiled", "formulas", "gates", "kernels", "vectors"}, "a new module's functions go unchecked"


def loaded(statement):
    """The heavy packages that a statement loads in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(*(name for name in {HEAVY} if name in sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_flatspot_loads_nothing_heavy():
    assert loaded("import flatspot; flatspot.__version__; dir(flatspot)") == []


@pytest.mark.parametrize(
    "name", ["diagnosis", "evidence", "registry", "errors", "rules", "report.text", "report.sweep"]
)
def test_what_speaks_about_last_months_run_needs_nothing_heavy(name):
    assert loaded(f"import flatspot.{name}") == []


def test_reading_a_file_needs_no_torch():
    assert "torch" not in loaded("from flatspot.cli.job import read_panel")


def test_public_names_are_found_lazily():
    assert flatspot.Forecaster.__name__ == "Forecaster"
    assert flatspot.Finding.__name__ == "Finding"
    with pytest.raises(AttributeError, match="no attribute 'Forcaster'"):
        _ = flatspot.Forcaster
