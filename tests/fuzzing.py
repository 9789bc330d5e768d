"""What fuzzing gives to each reader, and what must hold: an answer or a `BadInput` in one sentence, and nothing else.

`tests/test_fuzz.py` runs each for a moment; `python scripts/fuzz.py --minutes 10` runs them for as long as it is told.
Each fuzzer is a function of hypothesis' `data`, and takes what it needs from a folder that is made once.
"""

import gzip
import io
import json
import logging
import math
import shutil
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import torch
from hydra import compose, initialize_config_dir
from hypothesis import strategies as st
from omegaconf import OmegaConf

from flatspot.activations import ACTIVATIONS
from flatspot.cli.build import build_data, build_model, build_trainer
from flatspot.cli.configs import read_settings
from flatspot.cli.fit import _set_up_process
from flatspot.cli.help import conf_dir
from flatspot.cli.job import read_panel
from flatspot.cli.record import diagnosed, evidence_of, notes_of, status_of
from flatspot.cli.schema import checked
from flatspot.cli.train import main
from flatspot.data.mending import Mending
from flatspot.data.panel import Panel
from flatspot.data.tables import read_table
from flatspot.errors import BadInput
from flatspot.monitors.keeping import checkpoint_to_go_on_from
from flatspot.nn.cells import CELLS
from flatspot.report.diagnosis import told
from flatspot.report.page import page
from flatspot.run import load

ROOT = Path(__file__).parents[1]

# Bytes, torn and put together anew

TABLES = [
    b"day,sales,price,shop\n2024-01-01,3,1.5,a\n2024-01-02,4,1.6,b\n2024-01-03,5,1.7,a\n",
    b"t;y\n1,5;2\n2,5;3\n3,5;4\n",
    b'"a ""b""",c\n"1",2\n\n"3",4\n',
    b"stamp,y\n2024-03-31T01:30:00+01:00,1\n2024-03-31T03:30:00+02:00,2\n2024-03-31T04:30:00+02:00,3\n",
    "größe,価格\n1e-300,1e300\n-0.0,nan\n,inf\n".encode(),
    b"year,month,day,hour,y\n2010,1,1,0,NA\n2010,1,1,1,129\n2010,1,1,2,148\n",
    b"\xef\xbb\xbfid,x,label\na,1,up\na,2,up\nb,3,down\nb,4,down\n",
    b"y\n" + b"\n".join(b"%d" % i for i in range(60)) + b"\n",
    b"date,y\n01/02/2024,1\n02/02/2024,2\n03/02/2024,3\n",
]

PIECES = [
    b"\n", b"\r\n", b"\r", b",", b";", b"\t", b'"', b"'", b" ", b"\x00", b"\xff", b"\xef\xbb\xbf", b"#", b"nan", b"inf",
    b"-inf",
    b"1e400", b"1e-400", b"0x1F", b"1_000", b"1,000.5", b"2024-02-30", b"2024-13-01", b"9999-12-31", b"0001-01-01",
    b"24:00",
    b"NULL", b"true", "é".encode(), "\u202e".encode(), b"\x1b[31m", b"=1+1", b"{", b"}", b"[", b"]", b":", b"&a", b"*a",
    b"!!", b"${",
    b"9" * 400, b"-", b"--", b".", b"\\", b"a" * 300,
]  # fmt: skip


@st.composite
def torn(draw, seeds):
    """Bytes of a seed of which pieces were taken away, doubled, replaced, moved."""
    whole = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(whole)))
        until = min(len(whole), at + draw(st.sampled_from([0, 1, 2, 5, 20, 1000])))
        what = draw(st.sampled_from(["piece", "cut", "double", "flip", "bytes", "line"]))
        if what == "piece":
            whole[at:until] = draw(st.sampled_from(PIECES))
        elif what == "cut":
            del whole[at:until]
        elif what == "double":
            whole[at:at] = whole[at:until] * draw(st.sampled_from([1, 2, 40]))
        elif what == "flip" and at < len(whole):
            whole[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "bytes":
            whole[at:until] = draw(st.binary(max_size=8))
        else:
            lines = bytes(whole).splitlines(keepends=True)
            whole = bytearray(b"".join(draw(st.permutations(lines)) if len(lines) < 20 else lines[::-1]))
    return bytes(whole)


def sentence(error):
    """Of a refusal: there is one, it prints, and it names something."""
    said = str(error)
    assert said.strip()
    assert all(sign.isprintable() or sign == "\n" for sign in said), repr(said)
    return "refused"


# The CSV reader

COLUMNS = st.sampled_from(["y", "sales", "price", "a", "x", "c", "label", "größe", "nothing like it"])


@cache
def a_parquet_file():
    """Small, of the kinds of columns that there are."""
    days = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 1, 9), "1d", eager=True)
    held = {"day": days, "sales": range(9), "price": [0.5, None] * 4 + [1.5], "shop": ["a", "b", "c"] * 3}
    file = io.BytesIO()
    pl.DataFrame(held | {"label": [["x"]] * 9}).write_parquet(file)
    return file.getvalue()


def fuzz_csv(draw, folder):
    """`data=csv`: any file, with any of the keys that say what to read."""
    path, content = Path(folder) / "fuzzed.csv", draw(torn(TABLES))
    packing = draw(st.sampled_from(["plain"] * 6 + ["gzip", "torn gzip", "parquet"]))
    if "gzip" in packing:
        content = gzip.compress(content)
    if packing == "parquet":
        content = a_parquet_file()
    path.write_bytes(draw(torn([content])) if packing in ("torn gzip", "parquet") else content)
    mending = Mending(
        missing=draw(st.sampled_from(["error", "drop", "interpolate", "forward_fill"])),
        max_gap=draw(st.integers(1, 5)),
        duplicates=draw(st.sampled_from(["error", "first", "last", "mean"])),
        unsorted=draw(st.sampled_from(["error", "sort"])),
    )
    options = {
        "target": draw(st.none() | COLUMNS | st.lists(COLUMNS, max_size=2)),
        "features": draw(st.just([]) | st.just("all") | st.lists(COLUMNS, max_size=2)),
        "time": draw(
            st.none() | st.just("none") | st.sampled_from(["day", "stamp", "t", "date"]) | st.just(["year", "month"])
        ),
        "group": draw(st.none() | st.sampled_from(["shop", "id", "y"])),
        "label": draw(st.none() | st.just("label")),
    }
    try:
        panel = read_table(path, **options, mending=mending, anew=draw(st.booleans()))
    except BadInput as error:
        return sentence(error)
    assert isinstance(panel, Panel)
    assert panel.values.shape[1] == len(panel.columns)
    assert not np.isinf(panel.values).any()
    return None


# The check of a configuration

WORDS = st.sampled_from(
    [
        "",
        "none",
        "null",
        "auto",
        "gru",
        "relu",
        "standard",
        "error",
        "../..",
        "${seed}",
        "${oc.env:HOME}",
        "a\nb",
        "nan",
        "[]",
    ]
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**63, -(2**63)]),
    st.floats(-2, 2),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e-320, 1e308]),
    WORDS,
    st.lists(WORDS | st.integers(-2, 40), max_size=3),
    st.dictionaries(WORDS, st.integers(0, 3), max_size=2),
)
HUGE = {
    "hidden_size",
    "num_layers",
    "chrono_length",
    "window",
    "horizon",
    "steps",
    "batch_size",
    "train_windows",
    "max_epochs",
}
"""Sizes: a huge one that this machine could hold is no error, and makes the machine work."""


@cache
def base():
    """The configuration of a small run."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return OmegaConf.to_container(compose("train", ["logger=none", "data=ar", "data.steps=300"]))


def keys_of(config, before=()):
    """Every key, as a path."""
    for key, value in config.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*before, key))


def near(value):
    """Values of the same kind, more of which are taken."""
    if isinstance(value, bool):
        return st.booleans()
    if isinstance(value, int):
        return st.integers(0, min(2 * abs(value) + 8, 1000))
    if isinstance(value, float) and math.isfinite(value):
        return st.floats(0, min(4 * abs(value), 1e6))
    if isinstance(value, str):
        return st.sampled_from(
            sorted({*ACTIVATIONS, *CELLS, "none", "robust", "per_series", "minmax", "sgd", "plateau"})
        )
    return VALUES


def fuzz_config(draw, folder):
    """Any keys of any values: checked, then built with, up to the first step of training."""
    config = deepcopy(base())
    keys = sorted(keys_of(config))
    for _ in range(draw(st.integers(1, 4))):
        *path, last = draw(st.sampled_from(keys))
        node = config
        for each in path:
            node = node.get(each) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            continue
        value = draw(near(node.get(last)) if draw(st.booleans()) else VALUES)
        if last in HUGE and isinstance(value, (int, float)) and value > 1000:
            value = 1000
        new = draw(st.sampled_from([last] * 9 + [last.upper(), f"{last}_", "_target_"]))
        node[new] = value
    try:
        whole = OmegaConf.to_container(checked(OmegaConf.create(config)), resolve=True)
        panel = read_panel(whole["data"])
        _set_up_process(whole)
        data = build_data(whole, panel)
        build_model(whole, data)
        build_trainer(whole, Path(folder))
    except BadInput as error:
        return sentence(error)
    return None


def fuzz_settings(draw, folder):
    """The configuration of a stranger's run."""
    path = Path(folder) / "fuzzed.yaml"
    settings = OmegaConf.to_yaml(OmegaConf.create(base())).encode()
    path.write_bytes(draw(torn([settings, b"a: 1\nb: [1, {c: 2}]\n", b"x: ${y}\ny: 3\n"])))
    try:
        read_settings(path)
    except BadInput as error:
        return sentence(error)
    return None


# Evidence, and what is made of it

PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 10), st.sampled_from([10**6, 10**9, 2**63, 10**400]), st.floats(),
    st.text(max_size=5), st.lists(st.integers(), max_size=2), st.just({}),
)  # fmt: skip


def replace_somewhere(draw, whole, junk):
    """Take something away from dicts and lists within each other, or put another thing in its place."""
    node = whole
    while True:
        key = draw(st.sampled_from(sorted(node, key=str)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        below = node[key]
        if not (isinstance(below, (dict, list)) and len(below)) or draw(st.integers(0, 3)) == 0:
            break
        node = below
    if isinstance(node, dict) and len(node) > 1 and draw(st.booleans()):
        del node[key]
    else:
        node[key] = draw(junk)


LINES = (
    b'{"when": "start", "epoch": 0, "step": 0, "values": {"diversity/ratio_val": 0.5, "skill/val": -0.1}}\n'
    b'{"when": "epoch", "epoch": 1, "step": 30, "values": {"loss/val": 1e3, "skill/missing": 0.9, '
    b'"references/best": 0.8}}\n'
    b'{"when": "examined", "epoch": 1, "step": 30, "values": {"finite/bad_inputs": 0.0, "finite/bad_targets": 0.0, '
    b'"finite/bad_weights": 2.0}, "unmeasured": {"trial": "no time"}, "names": {"head/name": "fc"}}\n'
    b'{"when": "end", "epoch": 1, "step": 30, "values": {"diversity/ratio_test": 0.01, "skill/model_test": 0.0}, '
    b'"curves": {"sensitivity/by_step": [0.1, 0.2]}}\n'
)
STATUS = b'{"status": "failed", "why": "a reason", "flatspot": "0.1.0"}'


def fuzz_evidence(draw, folder):
    """`flatspot doctor RUN`: the evidence and the status of any folder, judged, told and drawn."""
    held = Path(folder)
    real = (held / "whole.jsonl").read_bytes()
    if draw(st.booleans()):
        made = draw(torn([LINES, real]))
    else:
        lines = [json.loads(line) for line in draw(st.sampled_from([LINES, real])).splitlines()]
        for _ in range(draw(st.integers(1, 4))):
            replace_somewhere(draw, draw(st.sampled_from(lines)), PLAIN)
        made = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (held / "evidence.jsonl").write_bytes(made)
    (held / "status.json").write_bytes(draw(torn([STATUS])))
    try:
        status, entries = status_of(held), evidence_of(held)
    except BadInput as error:
        return sentence(error)
    found, figures = diagnosed(entries)
    notes = notes_of(status, entries)
    assert told(found, figures, notes, run=True)
    assert "<html" in page(found, figures, notes)
    json.dumps(figures, allow_nan=False)
    return None


# Checkpoints

JUNK = PLAIN | st.sampled_from(
    [torch.zeros(0), torch.zeros(3), torch.full((2, 2), torch.nan), torch.zeros(1).expand(10**9)]
)


def fuzz_checkpoint(draw, folder):
    """`best.ckpt` and `last.ckpt` with bytes torn, or whole and with another thing somewhere in them."""
    kept = Path(folder) / "checkpoints"
    held = (kept / "whole").read_bytes()
    if draw(st.booleans()):
        made = draw(torn([held]))
    else:
        content = torch.load(io.BytesIO(held), weights_only=True)
        replace_somewhere(draw, content, JUNK)
        buffer = io.BytesIO()
        torch.save(content, buffer)
        made = buffer.getvalue()
    for name in ("best.ckpt", "last.ckpt"):
        (kept / name).write_bytes(made)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's, of a checkpoint of another version
            run = load(folder)
            run.predict() if draw(st.booleans()) else run.evaluate()
        loaded = None
    except BadInput as error:
        loaded = sentence(error)
    begun, wrong = checkpoint_to_go_on_from(kept)
    assert begun is None or not wrong
    return loaded


def fuzz_resume(draw, folder):
    """`resume=RUN`: a run that was broken off, with another thing somewhere in the checkpoint that it goes on from."""
    whole, run = Path(folder) / "run", Path(folder) / "resumed"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(whole, run)
    path = run / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    for _ in range(draw(st.integers(1, 2))):
        replace_somewhere(draw, content, JUNK)
    torch.save(content, path)
    (run / "status.json").write_text('{"status": "running"}')
    root, said = logging.getLogger(), io.StringIO()
    handlers, level, argv = root.handlers[:], root.level, sys.argv
    sys.argv = ["train.py"]
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Lightning's, of a checkpoint of another version
            main([f"resume={run}"])
    except SystemExit as left:
        code = left.code
    finally:
        for handler in [each for each in root.handlers if each not in handlers]:
            handler.close()
        root.handlers[:], root.level, sys.argv = handlers, level, argv
    of_a_schedule = "lr_scheduler.py" in said.getvalue()  # what it keeps is met as the epoch ends
    assert code in (0, 2) or of_a_schedule, said.getvalue()
    assert {each.name for each in whole.iterdir()} <= {each.name for each in run.iterdir()}
    return "refused" if code else None


def made_run(folder):
    """Train a small run, and lay it out."""
    words = ["model.hidden_size=3", "model.cell=rnn", "data.window=8", "data.horizon=2", "trainer.max_epochs=2"]
    words += ["examine=quick", "report=none", "logger=none", f"hydra.run.dir={folder}/made"]
    subprocess.run([sys.executable, ROOT / "train.py", *words], check=True, stdout=subprocess.DEVNULL)
    lay_out(Path(folder) / "made", folder)


def lay_out(made, folder):
    """Put what the fuzzers take from a run of two epochs where they look for it."""
    run = Path(folder) / "run"
    shutil.copytree(made, run)
    (Path(folder) / "checkpoints").mkdir()
    shutil.copy(run / "evidence.jsonl", Path(folder) / "whole.jsonl")
    shutil.copy(run / "checkpoints" / "best.ckpt", Path(folder) / "checkpoints" / "whole")
    shutil.copy(run / "checkpoints" / "previous.ckpt", run / "checkpoints" / "last.ckpt")  # as it was before the end


FUZZERS = {
    "csv": fuzz_csv,
    "config": fuzz_config,
    "settings": fuzz_settings,
    "evidence": fuzz_evidence,
    "checkpoint": fuzz_checkpoint,
    "resume": fuzz_resume,
}
