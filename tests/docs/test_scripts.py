"""Scripts that the pages name are there, and have the options that are given to them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, name_of, text_of

# Within code of a line, or a line of its own that goes on after a backslash.
_SCRIPT = re.compile(r"python ((?:benchmarks|recipes|tests|docs)/[\w/]+\.py)((?:[^`\n\\]|\\\n)*)")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_scripts_of_the_page_have_its_options(page: Path) -> None:
    for name, rest in _SCRIPT.findall(text_of(page)):
        script = ROOT / name
        assert script.is_file(), name
        text = script.read_text(encoding="utf-8")
        for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", rest):
            assert f'"{option}"' in text, f"{name} {option}"
