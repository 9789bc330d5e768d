"""What TAB offers behind `flatspot train` is what the configuration takes."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from flatspot.activations import ACTIVATIONS
from flatspot.cli import main
from flatspot.cli.completion import offered
from flatspot.cli.cure import composed
from flatspot.cli.fit import EXAMINE, REPORTS
from flatspot.cli.help import conf_dir
from flatspot.data.scaling import SCALINGS
from flatspot.models.losses import LOSSES
from flatspot.models.optimizers import SCHEDULERS
from flatspot.nn.cells import CELLS
from flatspot.nn.engines import Engine
from flatspot.nn.initialisation import Scheme

CONF = conf_dir()


def values(key, words=()):
    return [each.partition("=")[2] for each in offered(words, f"{key}=", CONF)]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("model.activation", ACTIVATIONS),
        ("model.engine", get_args(Engine)),
        ("model.loss", LOSSES),
        ("model.recurrent_init", get_args(Scheme)),
        ("data.scale", SCALINGS),
        ("scheduler", SCHEDULERS),
        ("examine", EXAMINE),
        ("report", REPORTS),
    ],
)
def test_the_values_of_a_key_are_those_that_are_known(key, known):
    assert sorted(values(key)) == sorted(known)


def test_all_own_cells_are_offered():
    assert set(CELLS) <= set(values("model.cell"))


def leaves(node, lead=""):
    for key, value in node.items():
        if OmegaConf.is_dict(value) and value:
            yield from leaves(value, f"{lead}{key}.")
        elif not OmegaConf.is_dict(value):
            yield f"{lead}{key}="


@pytest.mark.parametrize("words", [(), ("model=classifier", "data=csv"), ("optimizer=sgd", "monitors=none")])
def test_every_key_of_the_configuration_is_offered_and_no_other(words):
    keys, waiting = set(), [f"{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    while waiting:
        for each in offered(words, waiting.pop(), CONF):
            if each.endswith("."):
                waiting.append(each)
            elif each.endswith("="):
                keys.add(each)
    groups = {f"{path.name}=" for path in CONF.iterdir() if path.is_dir()}
    unknown_to_adam = set() if "optimizer=sgd" in words else {"optimizer.momentum="}
    assert keys - groups == set(leaves(OmegaConf.create(dict(composed(words))))) - unknown_to_adam


def test_a_group_offers_its_files_and_a_sweep_the_next_of_its_values():
    assert values("optimizer") == ["adam", "adamw", "rmsprop", "sgd"]
    assert offered((), "model.activation=tanh,rel", CONF) == ["model.activation=tanh,relu"]
    assert offered((), "model.bidirectional=", CONF) == ["model.bidirectional=true", "model.bidirectional=false"]
    assert offered((), "--mul", CONF) == ["--multirun"]
    assert offered((), "no.such.key", CONF) == []


def test_a_key_is_offered_with_its_values_for_a_shell_sets_a_space_behind_a_single_offer():
    assert offered((), "model.act", CONF)[:2] == ["model.activation=", "model.activation=tanh"]
    assert offered((), "data.wind", CONF) == ["data.window=", "data.window=null"]


def test_a_file_is_offered_where_a_path_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "sales.csv").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden.csv").touch()
    monkeypatch.chdir(tmp_path)
    assert values("data.path") == ["sales.csv", "sub/"]
    assert offered((), f"data.path={tmp_path}/s", CONF) == [
        f"data.path={tmp_path}/{each}" for each in ("sales.csv", "sub/")
    ]
    assert offered((), "data.path=none/here", CONF) == []


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (["flatspot", "train", "model.cell", "=", "g"], ["gru"]),
        (["flatspot", "train", "scheduler", "="], ["none", "cosine", "plateau"]),
        (["flatspot", "train", "data", "=", "sunspots", "model.init"], ["model.initial_state="]),
        (["flatspot", "train", "model", "=", "classifier", "model.class_w"], ["model.class_weights="]),
        (["flatspot", "tr"], ["train"]),
        (["flatspot", "doctor", "--ex"], ["--explain"]),
    ],
)
def test_bash_is_answered_with_what_stands_behind_its_last_equals_sign(line, answer, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["flatspot"])
    monkeypatch.setenv("_FLATSPOT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(line))
    monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
    assert capsys.readouterr().out.split()[: len(answer)] == answer


def test_zsh_is_answered_by_whole_words(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["flatspot"])
    monkeypatch.setenv("_FLATSPOT_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "flatspot train optimizer=ad")
    with pytest.raises(SystemExit):
        main()
    assert '"optimizer=adam"' in capsys.readouterr().out


@given(st.text(max_size=20), st.lists(st.text(max_size=10), max_size=3))
def test_whatever_is_typed_the_answer_begins_with_it(word, words):
    assert all(each.startswith(word) for each in offered(words, word, CONF))
