"""Every command of the pages runs, in the order of its page, and writes what it names.

The commands are the real ones at a small scale (``small``); the files that a reader is supposed to
have come from ``shelf``, those that an earlier command of the page writes do not.

Tutorial, README, how-tos and reference tell the reader what to type now, so each of their commands
runs to its end. The pages of ``docs/experiments`` are records of runs that took hours and will not
be typed again as they stand: ``notesmith run`` is parsed there, its recipe loaded with the changes
of the line, its files found and all its cells planned at full scale, and there it ends
(``plan_only``). Their recipes take the same stages at small scale on the other pages. Their other
commands are parsed, as those of all pages are (``tests/test_docs.py``), and run on other pages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from notesmith.experiment import run as running
from tests.docs.pages import PAGES, ROOT, Step, blocks, name_of, steps
from tests.docs.shelf import OF_PAGE, PLACEHOLDERS, SHELF, Shelf
from tests.docs.small import COMMAND, invoke, plan_only, small

# Pages of which nothing is run, and why.
NOT_RUN = {
    "docs/how-to/extend.md": "one block of Python, the shape of a stage: no program",
    "docs/experiments/first-commands.md": "run by benchmarks/first_commands.py",
    "docs/reference/cli.md": "usage lines, written from the code",
}
# Pages of runs of the past, which are planned and not repeated.
PAST = ROOT / "docs" / "experiments"
# The options and arguments that name what a command writes.
_WRITTEN = ("out", "target", "page", "html", "doubtful", "for_review", "control_out")
RUN = [page for page in PAGES if steps(page) and name_of(page) not in NOT_RUN]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with small(tmp_path_factory.mktemp("small")):
        yield Shelf(tmp_path_factory.mktemp("shelf"))
    torch.set_num_threads(threads)


def words_of(step: Step) -> list[str]:
    """The words of a command, placeholders replaced, and two students for any number of them."""
    names = re.compile(rf"\b({'|'.join(PLACEHOLDERS)})\b(?!=)")
    words = [names.sub(lambda match: PLACEHOLDERS[match.group()], word) for word in step.words]
    few = [i for i, word in enumerate(words[:-1]) if word == "--students"]
    return ["2" if i - 1 in few else word for i, word in enumerate(words)]


def written_by(step: Step) -> list[Path]:
    """Files and folders that a command is to write."""
    if step.kind != "command":
        return []
    command, args = COMMAND, words_of(step)
    name = []
    while hasattr(command, "commands") and args and not args[0].startswith("-"):
        name.append(args[0])
        command, args = command.commands[args[0]], args[1:]
    if not name or name == ["plan"] or "--help" in args:
        return []
    values = command.make_context(" ".join(name), args).params
    found = [Path(values[key]) for key in _WRITTEN if values.get(key)]
    if name == ["run"] and not values["out"]:
        found.append(Path("runs") / (Path(values["recipe"]).stem + "-preview" * values["preview"]))
    return found


def names_in(step: Step) -> list[str]:
    """What may be a path in a command or in Python."""
    if step.kind == "command":
        return [
            name.rstrip("/")
            for word in words_of(step)
            for name in (word, word.rpartition("=")[2], word.partition(":")[0])
        ]
    nodes = ast.walk(ast.parse(step.text))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def bring_files(
    step: Step, own: list[Path], later: set[Path], page: Path, shelf: Shelf, room: Path
) -> None:
    """Put what ``step`` reads into the room, unless an earlier one has written it."""
    for name in dict.fromkeys(names_in(step)):
        if not name or Path(name) in own or (room / name).exists():
            continue
        whole = [body for body in blocks(page, "toml") if "\n[[arm]]" in body or "\narm =" in body]
        if name.endswith(".toml") and len(whole) == 1:
            (room / name).write_text(whole[0], encoding="utf-8")
            shelf.bring_what_it_reads(name, room, page=name_of(page))
        elif shelf.bring(name, room, page=name_of(page)):
            at = f"{name_of(page)}:{step.line}"
            assert Path(name) not in later, f"{at}: {name} is made by a later command of the page"


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_page_runs(
    page: Path, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    todo = [(step, written_by(step)) for step in steps(page)]
    if PAST in page.parents:
        monkeypatch.setattr(running, "run_recipe", plan_only)
        todo = [(step, []) for step, _ in todo if step.words[0] == "run"]
    for i, (step, own) in enumerate(todo):
        later = {path for _, paths in todo[i + 1 :] for path in paths}
        bring_files(step, own, later, page, shelf, tmp_path)
        if step.kind == "python":
            exec(compile(step.text, f"{page}:{step.line}", "exec"), {"__name__": "page"})
            continue
        before = {path: stamp(path) for path in own}
        with monkeypatch.context() as patch:
            for name, value in step.environment.items():
                patch.setenv(name, value)
            invoke(words_of(step))
        for path, was in before.items():
            assert stamp(path) not in (None, was), f"{step.text}: {path} was not written"


def stamp(path: Path) -> tuple[int, int] | None:
    """Tells a file from the one that stood there before; None where there is none.

    A run folder is told by its report, or by its recipe where nothing was scored.
    """
    marks = [path / "results.json", path / "recipe.toml", path]
    found = next((mark for mark in marks if mark.exists()), None)
    return (found.stat().st_ino, found.stat().st_mtime_ns) if found else None


def test_no_exception_is_stale() -> None:
    assert {name for name in NOT_RUN if steps(ROOT / name)} == set(NOT_RUN)


def test_nothing_lies_on_the_shelf_unused() -> None:
    said = " ".join(name for page in RUN for step in steps(page) for name in names_in(step))
    recipes = " ".join(body for page in RUN for body in blocks(page, "toml"))
    assert [name for name in SHELF if name not in said + recipes] == []
    for page, names in OF_PAGE.items():
        said = " ".join(step.text for step in steps(ROOT / page))
        assert [name for name in names if name not in said] == []
