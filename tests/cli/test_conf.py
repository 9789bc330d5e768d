"""Every choice in conf/ composes into a whole configuration that the schema knows."""

import importlib.util
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flatspot.cli.help import conf_dir
from flatspot.cli.schema import checked

CHOICES = sorted((path.parent.name, path.stem) for path in conf_dir().glob("*/*.yaml"))


def composed(*overrides):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes(group, choice):
    if choice == "ray" and importlib.util.find_spec("hydra_plugins.hydra_ray_launcher") is None:
        pytest.skip("the extra ray is not installed")
    checked(composed(f"{group}={choice}"))


def test_the_configs_are_at_the_root_of_the_repository():
    assert conf_dir() == Path(__file__).parents[2] / "conf"
    assert ("data", "sunspots") in CHOICES


@pytest.mark.parametrize("path", sorted(conf_dir().glob("data/*.yaml")), ids=lambda path: path.stem)
def test_a_data_set_needs_at_most_ten_lines(path):
    assert len(path.read_text().splitlines()) <= 10


def test_no_config_names_what_to_import():
    assert not [path for path in conf_dir().rglob("*.yaml") if "_target_" in path.read_text()]


def test_checking_changes_no_value():
    cfg = composed("model.cell=gru")
    assert (
        OmegaConf.to_container(checked(cfg)).items()
        >= {
            key: value for key, value in OmegaConf.to_container(cfg).items() if key not in {"data", "optimizer"}
        }.items()
    )
