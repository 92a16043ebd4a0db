"""README and docs hold: links, commands, recipes, imports and names in them are valid."""

import ast
import importlib.util
import re
import shlex
import tomllib
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from notesmith.cli.app import app
from notesmith.config import RecipeConfig
from notesmith.experiment.packaged import packaged_recipes
from notesmith.experiment.recipes import check_arms, load_recipe
from tests.docs.pages import FENCE, PAGES, ROOT, blocks, commands, name_of, text_of

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")

every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@cache
def command_line():
    return typer.main.get_command(app)


@cache
def reference():
    place = ROOT / "docs" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.pages()


@pytest.mark.parametrize("name", ["cli.md", "recipe.md", "recipe.schema.json"])
def test_the_written_reference_is_up_to_date(name):
    written = text_of(ROOT / "docs" / "reference" / name)
    assert written == reference()[name], "run: python docs/make_reference.py"


def parse(args):
    """Parse ``args`` as the command line would, without running anything."""
    command, name = command_line(), "notesmith"
    while hasattr(command, "commands"):
        if not args or args[0] in ("--version", "--help"):
            return
        assert args[0] in command.commands, f"{name} has no command {args[0]!r}"
        name = f"{name} {args[0]}"
        command, args = command.commands[args[0]], args[1:]
    if "--help" not in args:
        command.make_context(name, list(args))


@every_page
def test_commands_parse(page):
    if page.name == "cli.md":
        return
    for line in commands(page):
        args = shlex.split(line)[1:]
        try:
            parse(args)
        except Exception as error:
            pytest.fail(f"{line}: {error}")
        if args[:1] == ["run"] and args[1] in packaged_recipes():
            load_recipe(args[1], changes=[b for a, b in pairwise(args) if a == "--set"])


@every_page
def test_commands_named_in_passing_exist(page):
    known = command_line().commands
    for code in CODE.findall(FENCE.sub("", text_of(page))):
        words = code.split()
        if words[0] != "notesmith" or len(words) < 2:
            continue
        for name in words[1].split("|"):
            assert name in known or name.startswith(("-", "…")), code
            subcommands = getattr(known.get(name), "commands", None)
            if subcommands is not None and len(words) > 2:
                assert set(words[2].split("|")) <= set(subcommands), code


def lay_over(values, changes):
    for name, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(name), dict):
            lay_over(values[name], change)
        else:
            values[name] = change


@every_page
def test_recipes_parse(page):
    """A whole recipe by itself; a part of one laid over the quickstart."""
    for body in blocks(page, "toml"):
        part = tomllib.loads(body)
        values = {} if {"name", "corpus", "arm"} <= set(part) else quickstart()
        if "arm" in part:
            values.pop("evaluate", None)
        lay_over(values, part)
        config = RecipeConfig.model_validate(values)
        check_arms(config)


def quickstart():
    return load_recipe("quickstart").model_dump(mode="json", exclude_none=True)


def slugs(page):
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    bare = [re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in bare}


@every_page
def test_links_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", text_of(page))):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert ROOT in target.parents, link
        if anchor:
            assert anchor in slugs(target), link


@cache
def names_in(module):
    """Names that a module of the project defines, read without importing it."""
    base = ROOT / "src" / Path(*module.split("."))
    place = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    if not place.is_file():
        return None
    found = {path.stem for path in base.glob("*") if base.is_dir()}
    for node in ast.walk(ast.parse(text_of(place))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
            # The tables of names that load on first use.
            if any(getattr(t, "id", "") in ("_WHERE", "_HOME") for t in targets):
                found |= {key.value for key in node.value.keys}
    return found


@every_page
def test_python_of_the_docs_imports_what_exists(page):
    for body in blocks(page, "python"):
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("notesmith"):
                known = names_in(node.module)
                assert known is not None, node.module
                assert {alias.name for alias in node.names} <= known, node.module


@every_page
def test_dotted_names_exist(page):
    for code in CODE.findall(text_of(page)):
        if re.fullmatch(r"notesmith(\.\w+)+", code):
            module, _, name = code.rpartition(".")
            assert names_in(code) is not None or name in (names_in(module) or ()), code


@every_page
def test_make_targets_exist(page):
    targets = set(re.findall(r"^(\w+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for code in [*CODE.findall(text_of(page)), *"".join(blocks(page, "console")).splitlines()]:
        if match := re.match(r"(?:\$ )?make (\w+)", code):
            assert match.group(1) in targets, code


@every_page
def test_no_place_on_somebodys_machine(page):
    assert not re.search(r"(?<![\w.])/(?:home|Users|root|work|tmp)/", text_of(page))
