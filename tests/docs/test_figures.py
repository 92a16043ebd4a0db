"""What the README and the results quote is what the archives hold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, name_of


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    path = ROOT / "benchmarks" / "headline_tables.py"
    spec = importlib.util.spec_from_file_location("headline_tables", path)
    assert spec is not None
    assert spec.loader is not None
    tables = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "headline_tables", tables)
    spec.loader.exec_module(tables)
    found: list[str] = tables.readme_rows(ROOT / "docs" / "results")
    return found


def lines_of(page: str) -> list[str]:
    return (ROOT / page).read_text(encoding="utf-8").splitlines()


def test_the_readme_holds_the_table_of_the_archives(rows: list[str]) -> None:
    readme = lines_of("README.md")
    first = readme.index(rows[0])
    assert readme[first : first + len(rows)] == rows
    # Both runs of the headline, worked by hand from the draws of the two files.
    assert rows[1].split(" | ")[2:5] == ["5, mean of two runs", "+1.8 [−0.2, +3.7]", "+0.7"]


def test_the_results_hold_the_same_differences(rows: list[str]) -> None:
    """Corpus, size, draws, made text over replacement, and the same on dev."""
    wanted = [f"| {' | '.join(row.strip('| ').split(' | ')[:5])} |" for row in rows]
    held = [line for line in lines_of("docs/results.md") if line.startswith("|")]
    assert [row for row in wanted if not any(row in line for line in held)] == []


def test_the_results_are_one_page_with_one_table() -> None:
    lines = lines_of("docs/results.md")
    assert sum(line.startswith("|---") for line in lines) == 1
    # Every page of an experiment is led to, so the table is their index.
    experiments = {path.name for path in (ROOT / "docs" / "experiments").glob("*.md")}
    table = " ".join(line for line in lines if line.startswith("|"))
    assert {name for name in experiments if f"(experiments/{name})" not in table} == set()


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "experiments").glob("*.md")), ids=name_of)
def test_an_experiment_begins_with_question_answer_and_table(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    parts = [text.find(what) for what in ("# ", "\n**Question.** ", "\n**Answer.** ", "\n|")]
    assert -1 not in parts
    assert parts == sorted(parts)
    assert "\n## How it was " in text
