"""The pages of the documentation, and what a reader of one is told to type, in order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
# A comment, a redirection or a pipe ends a command.
_ENDS = re.compile(r"\s+(?:#|>|\|)\s")
_COMMAND = re.compile(r"(?:\$ )?((?:[A-Z_]+=\S* )*)(?:venv/bin/)?notesmith (\S.*)")
_MAKE = re.compile(r"(?:\$ )?make (\w+)")


@dataclass(frozen=True, slots=True)
class Step:
    """A command line of ``notesmith`` or a block of Python, and the line of its page."""

    kind: Literal["command", "python"]
    text: str
    line: int

    @property
    def words(self) -> list[str]:
        """What stands after ``notesmith`` on the command line."""
        match = _COMMAND.fullmatch(self.text)
        assert match is not None
        return shlex.split(match.group(2))

    @property
    def environment(self) -> dict[str, str]:
        """Variables that are set before the command."""
        match = _COMMAND.fullmatch(self.text)
        assert match is not None
        return dict(word.split("=", 1) for word in match.group(1).split())


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return [body for _, language, body in FENCE.findall(text_of(page)) if language in languages]


def steps(page: Path) -> list[Step]:
    """Commands of fenced and indented blocks, continued lines joined, and Python, in order."""
    text = text_of(page)
    found = [*_fenced(text), *_indented(FENCE.sub(_blank, text))]
    return sorted(found, key=lambda step: step.line)


def commands(page: Path) -> list[str]:
    """The command lines alone, without what stands before ``notesmith``."""
    return [shlex.join(["notesmith", *s.words]) for s in steps(page) if s.kind == "command"]


def _fenced(text: str) -> Iterator[Step]:
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 2
        if match.group(2) == "python":
            yield Step("python", match.group(3), line)
        else:
            yield from _lines(match.group(3), line)


def _indented(text: str) -> Iterator[Step]:
    lines = text.splitlines()
    return (step for step in _lines(text, 1) if lines[step.line - 1].startswith("    "))


def _lines(body: str, first: int) -> Iterator[Step]:
    lines = iter(enumerate(body.splitlines(), first))
    for at, line in lines:
        whole = line
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines)[1].strip()
        bare = _ENDS.split(whole.strip())[0]
        if _COMMAND.fullmatch(bare):
            yield Step("command", bare.removeprefix("$ "), at)
        elif match := _MAKE.fullmatch(bare):
            yield from (Step("command", made, at) for made in _made_by(match.group(1)))


def _made_by(target: str) -> list[str]:
    """Commands of ``notesmith`` that a target of the Makefile runs."""
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", text_of(ROOT / "Makefile"), re.MULTILINE)
    lines = recipe.group(1).splitlines() if recipe else []
    bare = [line.strip().removeprefix("$(BIN)/") for line in lines]
    return [line for line in bare if _COMMAND.fullmatch(line)]


def _blank(match: re.Match[str]) -> str:
    """As many empty lines, so that lines keep their numbers."""
    return "\n" * match.group().count("\n")
