"""The page of field cases names tests that are there."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT


def test_the_tests_of_field_cases_are_there() -> None:
    page = (ROOT / "docs" / "experiments" / "field-cases.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[-1] for line in page.splitlines() if line.startswith("| ")]
    tests: dict[str, str] = {}
    for path in ROOT.glob("tests/**/test_*.py"):  # several folders may have one name
        tests[path.name] = tests.get(path.name, "") + path.read_text(encoding="utf-8")
    found = re.findall(r"`([\w/]*?(\w+\.py)?(?:::(test_\w+))?)`", "\n".join(rows[2:]))
    assert len(found) > 30
    file = ""
    for whole, name, test in found:
        file = name or file
        assert file in tests, whole
        assert not test or f"def {test}(" in tests[file], whole
