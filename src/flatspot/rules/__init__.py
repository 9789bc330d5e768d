"""One cause, one file, named as the complaint. None of ours is written yet; installed packages may bring theirs."""

from collections.abc import Callable
from typing import Final

from flatspot.diagnosis import Rule
from flatspot.registry import Registry

RULES: Final[Registry[Rule]] = Registry("rule", {}, extensions="flatspot.rules", of=Callable)  # type: ignore[arg-type]
