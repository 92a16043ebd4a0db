"""What the README quotes is what the archives hold."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_readme_holds_the_table_of_the_archives(monkeypatch):
    path = ROOT / "benchmarks" / "headline_tables.py"
    spec = importlib.util.spec_from_file_location("headline_tables", path)
    tables = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "headline_tables", tables)
    spec.loader.exec_module(tables)
    rows = tables.readme_rows(ROOT / "docs" / "results")
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    first = readme.index(rows[0])
    assert readme[first : first + len(rows)] == rows
    # Both runs of the headline, worked by hand from the draws of the two files.
    assert rows[1].split(" | ")[2:5] == ["5, mean of two runs", "+1.8 [−0.2, +3.7]", "+0.7"]
