"""What TAB offers behind `flatspot train`: the knobs, and what each may be, straight from the YAML and its comments.

Neither Hydra nor torch is loaded for it: a shell asks at every key press, and Hydra's own way composes the whole
configuration, and knows of a key's values only the one that it has.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CONFIGS: Final = "train.yaml"

FLAGS: Final = ("--multirun", "--cfg", "--config-dir", "--traceback", "--help", "--hydra-help")

PATHS: Final = frozenset(("data.path", "resume", "hydra.run.dir", "hydra.sweep.dir"))
"""Keys whose values lie on the disk."""

PLAIN: Final = re.compile(r"[\w. +@%-]*")
"""Names of files that a shell may be handed: in any other some shell sees a command."""

LINE: Final = re.compile(r"( *)([a-z_]+):(?: +([^#]*?))? *(?:#(.*))?$")
"""A line of YAML as ours are written: its indent, key, value and comment."""


@dataclass
class Knob:
    """A key, its value as it is written, and the comment behind it."""

    key: str
    value: str
    comment: str

    @property
    def values(self) -> list[str]:
        """What its comment says that it may be: words between bars; else both truths, else the one it has."""
        if named := _barred(self.comment):
            return named
        if self.value in ("true", "false"):
            return ["true", "false"]
        return [self.value] if self.value != "[]" else []


def offered(words: Sequence[str], word: str, conf: Path) -> list[str]:
    """What `word` may become, each as a whole word.

    A key is never the only offer: a shell would set a space behind it. Its values are offered with it.

    Args:
        words: those before it. word: as far as it is typed. conf: the folder of the configs.
    """
    if word.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(word)]
    groups = _groups(conf)
    if "=" in word:
        return [*_values(words, word, conf, groups)]
    sign = word[:1] if word[:1] in ("+", "~") else ""
    knobs = [*_knobs(words, conf, groups)]
    keys = [f"{sign}{key}=" for key in (*groups, *(each.key for each in knobs))]
    found = [*dict.fromkeys(_to_next_dot(key, word) for key in keys if key.startswith(word))]
    while len(found) == 1 and found[0].endswith("."):  # a dot may be followed by one thing alone
        word = found[0]
        found = [*dict.fromkeys(_to_next_dot(key, word) for key in keys if key.startswith(word))]
    if len(found) == 1 and found[0].endswith("="):
        return [*found, *offered(words, found[0], conf)]
    return found


def answer_bash(conf: Path) -> None:
    """Print what bash is to offer: where it breaks words at `=`, what stands behind the last one.

    Of files nothing: then bash looks for them by itself (`complete -o default`), quotes names and goes into folders.
    """
    words = os.environ.get("COMP_WORDS", "").split("\n")  # as Typer's function joins them: nothing is a shell's here
    current = min(int(os.environ.get("COMP_CWORD", "0")), len(words) - 1)
    before, word = _glued(words, current)
    if word.partition("=")[0] in PATHS:
        return
    cut = 0 if "=" in words[current].strip("=") else word.rfind("=") + 1
    print("\n".join(each[cut:] for each in offered(before[2:], word, conf)))  # noqa: T201 - the shell's answer


def _glued(words: Sequence[str], current: int) -> tuple[list[str], str]:
    """The words before the current one, and that one as far as it is typed: bash takes `key=value` for three words."""
    glued: list[str] = []
    for number, word in enumerate(words[: current + 1]):
        behind = number == current or word != ""
        if glued and (word.startswith("=") or (glued[-1].endswith("=") and "=" not in word and behind)):
            glued[-1] += word
        else:
            glued.append(word)
    return glued[:-1], glued[-1]


def _groups(conf: Path) -> dict[str, list[str]]:
    """The choices of each group."""
    folders = sorted(path for path in conf.iterdir() if path.is_dir())
    return {folder.name: [path.stem for path in sorted(folder.glob("*.yaml"))] for folder in folders}


def _values(words: Sequence[str], word: str, conf: Path, groups: dict[str, list[str]]) -> Iterator[str]:
    """`key=value` for each value that begins as typed; behind a comma the next one of a sweep."""
    key, _, typed = word.partition("=")
    listed, comma, last = typed.rpartition(",")
    head = f"{key}={listed}{comma}"
    if key in PATHS:
        yield from (head + path for path in _paths(last))
        return
    name = key.lstrip("+~")
    if name in groups:
        values: Iterable[str] = groups[name]
    else:
        found = [each for each in _knobs(words, conf, groups) if each.key == name]
        values = found[-1].values if found else ()
    yield from (head + value for value in values if value.startswith(last))


def _paths(typed: str) -> Iterator[str]:
    """What lies there: a folder with a slash behind it."""
    folder, _, name = typed.rpartition("/")
    here = Path(folder or ("/" if typed.startswith("/") else "."))
    try:
        found = sorted(here.iterdir())
    except OSError:
        return
    lead = typed[: len(typed) - len(name)]
    for path in found:
        shown = name or not path.name.startswith(".")
        if path.name.startswith(name) and shown and PLAIN.fullmatch(path.name):
            yield f"{lead}{path.name}{'/' if path.is_dir() else ''}"


def _knobs(words: Sequence[str], conf: Path, groups: dict[str, list[str]]) -> Iterator[Knob]:
    """All keys: those of the run, and those of the file that is chosen of each group."""
    text = (conf / CONFIGS).read_text(encoding="utf-8")
    yield from _keys(text.partition("\nhydra:")[0].partition("\nseed:")[2].join(("seed:", "")))
    chosen = dict(re.findall(r"^  - (\w+): (\w+)", text, re.MULTILINE))
    chosen |= {key: value for key, _, value in (word.partition("=") for word in words) if value in groups.get(key, ())}
    for group, choice in chosen.items():
        if group in groups and choice in groups[group]:
            yield from (Knob(f"{group}.{each.key}", each.value, each.comment) for each in _own(conf / group, choice))


def _own(folder: Path, choice: str) -> Iterator[Knob]:
    """The keys of a group's file, after those of the file that it goes on from."""
    text = (folder / f"{choice}.yaml").read_text(encoding="utf-8")
    if "@package _global_" in text:  # an answer to a question: it has no keys of its own
        return
    for earlier in re.findall(r"^  - (?!_self_)(\w+)$", text, re.MULTILINE):
        yield from _own(folder, earlier)
    yield from _keys(text)


def _keys(text: str) -> Iterator[Knob]:
    """The leaves of a file as ours are written: two spaces a level, comments that go on below their line."""
    path: list[str] = []
    last: Knob | None = None
    for line in text.splitlines():
        if last is not None and re.match(r" {8,}#", line):  # a comment that goes on
            last.comment += " " + line.strip().lstrip("# ")
            continue
        found = LINE.match(line)
        if found is None:
            continue
        if last is not None:
            yield last
        indent, key, value, comment = found.groups()
        del path[len(indent) // 2 :]
        path.append(key)
        last = Knob(".".join(path), value, comment or "") if value and value != "{}" else None
    if last is not None:
        yield last


def _barred(comment: str) -> list[str]:
    """The words that bars part: `of the recurrence: tanh | relu (Le 2015) | ...` has tanh and relu."""
    parts = re.sub(r"\([^)]*\)", "", comment).split("|")
    if len(parts) == 1:
        return []
    found = [_last_word(parts[0])]
    for part in parts[1:-1]:
        words = part.split()
        found += [_bare(words[0])] + ([_bare(words[-1])] if len(words) > 1 else [])
    found.append(_bare(parts[-1].split()[0]))
    return [*dict.fromkeys(filter(None, found))]


def _last_word(text: str) -> str:
    return _bare(text.rsplit(maxsplit=1)[-1])


def _bare(word: str) -> str:
    return word if re.fullmatch(r"\w+", word) else (re.match(r"\w+", word) or [""])[0]


def _to_next_dot(key: str, word: str) -> str:
    """The key as far as its next part: a shell shows a few words, not eighty."""
    dot = key.find(".", len(word))
    return key if dot < 0 else key[: dot + 1]
