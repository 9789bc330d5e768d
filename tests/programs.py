"""Runs programs as `python` would, each in a process of its own, forked from one that has their libraries at hand.

Started by conftest.py. Of the eight seconds that a small program of ours takes, seven go into importing torch and
Lightning; here they are imported once. What is imported beforehand is other people's alone: each program imports all of
flatspot itself, in its own folder, environment and `sys.path`, and ends as Python ends.

A request is a line of JSON on the standard input; the answer is two lines: the process's number, and its exit code.
"""

import gc
import importlib
import json
import os
import runpy
import sys
import types
from pathlib import Path

LIBRARIES = (
    "hydra",
    "lightning",
    "llvmlite.binding",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "sklearn.preprocessing",
    "torch.utils.tensorboard",
    "torchmetrics.classification",
    "typer",
)


def main():
    for name in LIBRARIES:
        importlib.import_module(name)
    assert len([*Path("/proc/self/task").iterdir()]) == 1, "threads outlive no fork, and what they hold stays held"
    gc.collect()
    gc.freeze()  # what all share is not gone through in each
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return run(**json.loads(line))
        say(child)
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return None


def say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def run(arguments, folder, environment, out, err):
    """As `python arguments` in this folder and environment, its output in these files."""
    for number, (path, flags) in enumerate(((os.devnull, os.O_RDONLY), (out, os.O_WRONLY), (err, os.O_WRONLY))):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(environment)
    given = {each for each in given if each}
    theirs = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[1:] = [*theirs, *(each for each in sys.path[1:] if each not in given)]
    first, *sys.argv[1:] = arguments
    sys.argv[0] = first
    if first == "-c":
        sys.path[0], code = "", sys.argv.pop(1)
        sys.modules["__main__"] = module = types.ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), module.__dict__)  # noqa: S102
    else:
        sys.path[0] = str(Path(first).parent)
        runpy.run_path(first, run_name="__main__")


if __name__ == "__main__":
    main()
