"""Without torchrecurrent its cells are known by name, and what to install is told."""

import sys

import pytest

from flatspot.errors import BadInput
from flatspot.models.network import Network


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchrecurrent", None)
    with pytest.raises(BadInput, match=r"torchrecurrent's, which is not installed: pip install 'flatspot\[zoo\]'"):
        Network(1, 1, cell="mgu")
