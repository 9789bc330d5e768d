"""Every cell sits one examination, with every activation."""

import dataclasses
import importlib.util
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from flatspot.activations import ACTIVATIONS
from flatspot.nn import GRU, LSTM, RNN
from flatspot.nn.cell import Cell
from flatspot.nn.cells import CELLS
from flatspot.nn.examination import EQUATIONS, examine_cell
from flatspot.nn.zoo import ZOO
from flatspot.nn.zoo_equations import ZOO_EQUATIONS

ROOT = Path(__file__).parents[2]
PAIRS = [(cell, activation) for cell in CELLS for activation in ACTIVATIONS]
EXACT = 1e-10
LAYERS = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


sit = cache(examine_cell)


def examined(cell, activation):
    return sit(CELLS[cell], ACTIVATIONS[activation], EQUATIONS[cell])


def test_every_cell_has_its_equation():
    assert set(EQUATIONS) == set(CELLS)


@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_every_cell_passes_with_every_activation(cell, activation):
    found = examined(cell, activation)
    assert found.steps < EXACT
    assert found.equation < EXACT
    assert found.engines is not None
    assert found.engines < EXACT
    assert found.neighbours < EXACT
    assert found.future == 0
    assert found.gradient < 1e-6
    assert found.activation > 1e-3


def test_machine_code_runs_all_of_them():
    assert {examined(*pair).engine for pair in PAIRS} == {"fused"}


@pytest.mark.parametrize(("cell", "activation"), PAIRS)
def test_gradients_of_machine_code_are_those_of_finite_differences(cell, activation):
    """Of the sizes of the examination, so that the machine code is there already."""
    torch.manual_seed(1)
    layer = LAYERS[cell](2, 3, activation=activation, engine="fused", dtype=torch.float64)
    weights = [weight.detach().clone().requires_grad_() for weight in layer.parameters()]
    names = [name for name, _ in layer.named_parameters()]
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)

    def outputs(x, *weights):
        out, state = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))
        return (out, *(state if isinstance(state, tuple) else (state,)))

    assert torch.autograd.gradcheck(outputs, (x, *weights), eps=1e-6, atol=1e-7)


def test_the_examination_is_written_for_every_cell_and_activation(tmp_path, monkeypatch):
    """As it is found above; one of torchrecurrent's cells, which test_zoo.py examines, stands for all of them here."""
    pytest.importorskip("torchrecurrent", reason="the extra zoo is not installed")
    spec = importlib.util.spec_from_file_location("write_cells_page", ROOT / "scripts" / "write_cells_page.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    zoo = examine_cell(ZOO["mgu"], ACTIVATIONS["tanh"], ZOO_EQUATIONS["mgu"])
    monkeypatch.setattr(script, "examine_cell", lambda cell, *rest: zoo if cell in ZOO.values() else sit(cell, *rest))
    page, published = tmp_path / "cells.md", ROOT / "docs" / "cells.md"
    page.write_text("<!-- results --><!-- results -->")
    monkeypatch.setattr(sys, "argv", ["write_cells_page.py", "--page", str(page)])
    script.main()
    assert labels(page.read_text()) == labels(published.read_text())
    assert len(labels(page.read_text())) == 2 + 14 + 2 + 3 * 14 + 2 + 33 + 2 + 8


def labels(page):
    """The first three cells of each row: rounding may differ between machines, and nothing else."""
    return [line.split("|")[1:4] for line in page.split("<!-- results -->")[1].splitlines() if line.startswith("|")]


def deaf(from_input, from_state, state, activation, norm):
    """Accepts an activation and ignores it, as a well-known library does."""
    return (torch.tanh(from_input + from_state),)


def mixed(from_input, from_state, state, activation, norm):
    """Lets the samples of a batch see each other."""
    both = from_input + from_state
    return (activation(both - both.mean(dim=0)),)


def batch_as_time(from_input, from_state, state, activation, norm):
    """Lets each sample see the one before it."""
    both = from_input + from_state
    return (activation(both + torch.cat([both[:1] * 0, both[:-1]])),)


def clumsy(from_input, from_state, state, activation, norm):
    """Looks right and has no gradient through the state."""
    return (activation(from_input + from_state.detach()),)


def forgetful(from_input, from_state, state, activation, norm):
    return (activation(from_input),)


@pytest.mark.parametrize(
    ("step", "failed"),
    [
        (deaf, {"activation", "equation"}),
        (mixed, {"neighbours", "equation"}),
        (batch_as_time, {"neighbours", "equation"}),
        (clumsy, {"gradient"}),
        (forgetful, {"equation"}),
    ],
)
def test_it_can_be_failed(step, failed):
    found = examine_cell(Cell(step, gates=1), ACTIVATIONS["sigmoid"], EQUATIONS["rnn"])
    lines = {"steps": EXACT, "equation": EXACT, "neighbours": EXACT, "future": EXACT, "gradient": 1e-6}
    answers = dataclasses.asdict(found)
    crossed = {name for name, line in lines.items() if not answers[name] < line}
    if found.activation == 0:
        crossed.add("activation")
    assert crossed == failed


def test_a_cell_of_another_shape_is_refused():
    def doubled(from_input, from_state, state, activation, norm):
        return (torch.cat([activation(from_input + from_state)] * 2, dim=-1),)

    with pytest.raises((ValueError, RuntimeError)):
        examine_cell(Cell(doubled, gates=1), ACTIVATIONS["tanh"], EQUATIONS["rnn"])
