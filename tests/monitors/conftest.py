"""Elsewhere than in its own tests, the doctor looks and does not examine: its evidence is counted."""

import pytest

from flatspot.monitors import Doctor


@pytest.fixture(autouse=True)
def unexamined(request, monkeypatch):
    if not request.module.__name__.endswith("test_doctor_examines"):
        defaults = {**Doctor.__init__.__kwdefaults__, "examine": "none"}
        monkeypatch.setattr(Doctor.__init__, "__kwdefaults__", defaults)
