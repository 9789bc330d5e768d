"""Nothing in the source can run what a file says: looked for in the syntax trees, in every module."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "src" / "flatspot").rglob("*.py")), ROOT / "train.py"]

CODE_IN_DATA = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib", "jsonpickle"}
"""Modules that read a file by running what it says."""

RUNS_TEXT = {
    *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile"),
    *("os.system", "os.popen", "runpy.run_path", "runpy.run_module"),
    *("torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "pandas.read_pickle"),
    *("torch.serialization.add_safe_globals", "importlib.util.spec_from_file_location"),
}

BY_NAME = {
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "hydra.utils.get_class",
    "hydra.utils.get_method",
    "hydra.utils.get_object",
    "pydoc.locate",
}
"""Import a thing whose name may have come from a file."""

OWN_TABLE = {
    ("flatspot/__init__.py", "import_module(_HOMES[name])"),
    ("flatspot/rules/__init__.py", "import_module(f'{__name__}.{each.name}')"),
}
"""Modules that are imported by a name of our own table."""

WANTED = {
    "torch.load": {"weights_only": True},
    "numpy.load": {"allow_pickle": False},
    "load_from_checkpoint": {"weights_only": True},
}
"""Calls that are harmless with these words alone."""

SAFE_YAML = {"SafeLoader", "CSafeLoader"}

UNSAFE_YAML = {f"yaml.{name}" for name in ("load", "load_all", "unsafe_load", "unsafe_load_all", "full_load")}


def faults(text, path="module.py"):
    """What in a module's text could run what a file says, as `line: what`."""
    tree = ast.parse(text)
    names = dict(imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module in imported_modules(node):
                if module.partition(".")[0] in CODE_IN_DATA:
                    yield f"{node.lineno}: imports {module}"
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {why}" for why in wrong_with(node, names, path))


def imported_modules(node):
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]


def imported(tree):
    """The full name of each name that an import binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                first = each.name.partition(".")[0]
                yield (each.asname, each.name) if each.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            yield from ((each.asname or each.name, f"{node.module}.{each.name}") for each in node.names)


def full_name(node, names):
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value, names)}.{node.attr}"
    return ""


def wrong_with(call, names, path):
    name = full_name(call.func, names)
    words = {each.arg: each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)}
    if name in RUNS_TEXT | BY_NAME:
        yield f"calls {name}"
    if name == "importlib.import_module" and not is_own_table(call, path):
        yield "imports a module by a name that is not written here"
    if name in UNSAFE_YAML and not SAFE_YAML & {last(ast.unparse(each)) for each in given(call)[1:]}:
        yield f"calls {name} without a safe loader"
    shells = [each.value for each in call.keywords if each.arg == "shell"]
    if name.startswith("subprocess.") and any(not isinstance(each, ast.Constant) or each.value for each in shells):
        yield f"calls {name} with a shell"
    wanted = next((each for function, each in WANTED.items() if is_call_of(function, name)), {})
    if any(words.get(key) is not value for key, value in wanted.items()):
        yield f"calls {name} without {wanted}"


def given(call):
    return [*call.args, *(each.value for each in call.keywords)]


def last(name):
    return name.rpartition(".")[2]


def is_own_table(call, path):
    return all(isinstance(each, ast.Constant) for each in given(call)) or (path, ast.unparse(call)) in OWN_TABLE


def is_call_of(function, name):
    """A class method of anything is known by its last name."""
    return last(name) == function if "." not in function else name == function


def test_no_module_runs_what_a_file_says():
    package = ROOT / "src"
    relative = {path: str(path.relative_to(package if path.is_relative_to(package) else ROOT)) for path in SOURCES}
    found = {name: [*faults(path.read_text(encoding="utf-8"), name)] for path, name in relative.items()}
    assert len(found) > 200
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import load",
        "import joblib as j",
        "from cloudpickle import loads as l",
        "eval('1')",
        "exec(text)",
        "__import__(name)",
        "import os\nos.system(words)",
        "from os import system\nsystem(words)",
        "import torch\ntorch.load(path)",
        "import torch as t\nt.load(path, weights_only=False)",
        "from torch import load\nload(path)",
        "import numpy as np\nnp.load(path)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import yaml\nyaml.load(text)",
        "import yaml\nyaml.unsafe_load(text)",
        "import yaml\nyaml.load(text, yaml.FullLoader)",
        "from hydra.utils import instantiate\ninstantiate(config)",
        "import hydra.utils\nhydra.utils.get_class(name)",
        "from importlib import import_module\nimport_module(name)",
        "build.load_from_checkpoint(path)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import subprocess\nsubprocess.run(text, shell=asked)",
        "from importlib import import_module\nimport_module(name=name)",
        "import torch\ntorch.jit.load(path)",
        "from torch.serialization import add_safe_globals\nadd_safe_globals(names)",
        "import builtins\nbuiltins.exec(text)",
    ],
)
def test_the_check_finds(text):
    assert [*faults(text)]


@pytest.mark.parametrize(
    "text",
    [
        "model.eval()",
        "import torch\ntorch.load(path, weights_only=True)",
        "import numpy as np\nnp.load(path, allow_pickle=False)",
        "import yaml\nyaml.safe_load(text)",
        "import yaml\nyaml.load(text, Loader=yaml.CSafeLoader)",
        "from importlib import import_module\nimport_module('math')",
        "import re\nre.compile('a')",
        "json.load(file)",
    ],
)
def test_the_check_leaves_alone(text):
    assert not [*faults(text)]
