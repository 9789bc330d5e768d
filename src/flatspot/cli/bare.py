"""What is said to someone who types a file where a key and a value are wanted: the whole command."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flatspot.errors import BadInput

ENDINGS: Final = (".csv", ".tsv", ".txt", ".gz", ".parquet")

PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")
"""Signs that stand for themselves in a value of Hydra's."""

OFFERED: Final = 8
"""Columns that are listed."""


def refuse_bare_file(typed: Sequence[str]) -> None:
    """Refuse a file that is typed by itself, with the command that reads it.

    A target is suggested, and said to be a guess: the first column of numbers.

    Raises:
        BadInput: naming the first such file.
    """
    for word in typed:
        if "=" not in word and not word.startswith("-") and (word.endswith(ENDINGS) or Path(word).is_file()):
            raise BadInput(_told(word, [each for each in typed if each != word]))


def _told(path: str, others: Sequence[str]) -> str:
    """The command with what else was typed, and a guess at the target where none was."""
    try:
        numbers = _numbers_in(path)
    except BadInput as error:
        return f"{error}; a file is named by data=csv data.path=FILE"
    if not numbers:
        return f"{path}: has no column of numbers to predict; a file is named by data=csv data.path=FILE"
    guessed = not any(each.startswith("data.target=") for each in others)
    guess = [f"data.target={_value(numbers[0])}"] if guessed else []
    words = ["data=csv", f"data.path={_value(path)}", *guess, *others]
    command = f"{_program()} {' '.join(map(_quoted, words))}"
    more = ", ..." * (len(numbers) > OFFERED)
    listed = f" (the target is a guess; columns of numbers: {', '.join(numbers[:OFFERED])}{more})" if guessed else ""
    return f"{path}: settings are typed as KEY=VALUE: {command}{listed}"


def _numbers_in(path: str) -> list[str]:
    from flatspot.data.roles import columns_of_numbers
    from flatspot.data.sources import source_of

    return columns_of_numbers(source_of(path))


def _value(text: str) -> str:
    """As Hydra wants it: in quotes, where it has signs that mean something."""
    return text if set(text) <= PLAIN else "'{}'".format(text.replace("'", "\\'"))


def _quoted(word: str) -> str:
    """For a shell; in the quotes that a value's own leave legible, where they will do."""
    plain = shlex.quote(word) == word or set(word) & set('"$`\\!')
    return shlex.quote(word) if plain else f'"{word}"'


def _program() -> str:
    return "python train.py" if Path(sys.argv[0]).name == "train.py" else "flatspot train"
