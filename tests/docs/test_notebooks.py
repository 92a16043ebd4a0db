"""Every notebook runs from its first cell to its last, and stores no output."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from notesmith.document import Document
from tests.docs.pages import ROOT, name_of
from tests.docs.small import small

NOTEBOOKS = sorted(ROOT.glob("docs/**/*.ipynb"))
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name_of)


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    found = json.loads(notebook.read_text(encoding="utf-8"))
    assert (found["nbformat"], found["nbformat_minor"]) == (4, 5)
    return [cell for cell in found["cells"] if cell["cell_type"] == kind]


def run(code: str, names: dict[str, Any], where: str) -> Any:
    """Run a cell as Jupyter does; its last line is what it shows."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, where, "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), where, "eval"), names)


@every_notebook
def test_it_runs_and_shows_documents(notebook: Path, tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "notebook"}
    with small(tmp_path):
        shown = [
            run("".join(cell["source"]), names, f"{notebook.name}:{cell['id']}")
            for cell in cells(notebook, "code")
        ]
    pages = [value._repr_html_() for value in shown if isinstance(value, Document)]
    assert len(pages) >= 2 and '<span class="tag"' in pages[0]


@every_notebook
def test_it_stores_no_output(notebook: Path) -> None:
    for cell in cells(notebook, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None


@every_notebook
def test_its_links_lead_somewhere(notebook: Path) -> None:
    for cell in cells(notebook, "markdown"):
        for link in re.findall(r"\]\(([^)\s#]+)", "".join(cell["source"])):
            assert (notebook.parent / link).exists(), link
