"""What the README says is run."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from flatspot.cli.build import build_model
from flatspot.cli.schema import checked
from flatspot.cli.train import conf_dir
from flatspot.data.datasets import DATASETS
from flatspot.data.module import SeriesDataModule
from flatspot.diagnosis import EXPLAINED

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("console") for line in block.splitlines()]


def test_it_opens_with_the_two_commands():
    assert [block.strip() for block in blocks("bash")] == [
        "pip install -c constraints.txt -e . && python train.py",
        'pip install -c constraints.txt -e ".[dev]" && pytest',
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_and_builds(command):
    words = shlex.split(command)
    assert words[:2] == ["python", "train.py"]
    overrides = [word for word in words[2:] if word != "-m"]
    if words[2] == "-m":
        overrides = [word.split(",")[0] for word in overrides]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = checked(compose("train", overrides))
    data = SeriesDataModule(DATASETS["sunspots"](), window=12, horizon=3)
    build_model(config, data)


@pytest.mark.parametrize("program", blocks("python"))
def test_every_program_runs(program, tmp_path):
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "tensor(" in done.stdout


def test_nothing_is_left_to_fill_in():
    assert not re.search("@@|TODO|XXX", README)


def test_every_verdict_is_told():
    assert all(f"`{verdict}`" in README for verdict in EXPLAINED)


def test_every_link_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert len(links) >= 4
    assert all((ROOT / link).exists() for link in links)


def test_constraints_pin_every_dependency():
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    declared = re.findall(r'^ {4}"([a-zA-Z0-9-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert len(declared) > 12
    assert {name.lower() for name in declared} <= pinned
    assert "torch==2.13.0" in (ROOT / "constraints.txt").read_text()
