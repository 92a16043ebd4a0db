"""What a strict type checker sees of the public names in a user's program.

``make types`` runs this, and ``make test`` does not: mypy reads the whole package for it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import notesmith

ROOT = Path(notesmith.__file__).parent
# Their types are no part of ours, and take a checker minutes to read.
LIBRARIES = ("torch", "transformers", "scipy", "pyarrow", "rich", "typer")
CONFIG = "[mypy]\nstrict = True\nfollow_imports = silent\n" + "".join(
    f"[mypy-{name}.*]\nfollow_imports = skip\nignore_missing_imports = True\n" for name in LIBRARIES
)
PROGRAM = """
from pathlib import Path
from typing import assert_type

from notesmith import (
    Document,
    annotate,
    load_ner,
    read_corpus,
    run_recipe,
    score,
    synthesize,
    train_ner,
    write_corpus,
)
from notesmith.config import NerConfig, ReadingConfig
from notesmith.experiment import RunResult, load_recipe
from notesmith.ner import NerModel

docs = read_corpus("gold.jsonl", ReadingConfig(format="jsonl")).docs
assert_type(docs, list[Document])
result = synthesize(docs, n=300)
assert_type(result.kept, tuple[Document, ...])
assert_type(result.dropped[0].reason, str)
assert_type(result.dropped[0].likeness, float | None)
student = train_ner(docs, result.kept, config=NerConfig(steps=300), seed=13).model
assert_type(student, NerModel)
student.save(Path("student"))
predicted = load_ner("student").predict(docs)
assert_type(predicted, list[Document])
assert_type(score(docs, predicted).micro.f1, float)
assert_type(write_corpus(predicted, Path("predicted.jsonl")), dict[str, int])
silver = annotate("notes", gold=docs, labels="soft", students=3)
assert_type(list(silver.documents()), list[Document])
assert_type(silver.summary.labels[0].mentions, int)
soft = train_ner(
    docs, list(silver.documents()), config=NerConfig(), soft=silver.scores(), seed=13
)
assert_type(soft.model, NerModel)
assert_type(run_recipe(load_recipe("quickstart"), "runs/quickstart"), RunResult)
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What mypy says of a program that uses each name."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "mypy.ini").write_text(CONFIG)
    revealed = "".join(f"reveal_type(notesmith.{name})\n" for name in notesmith.__all__)
    program = folder / "program.py"
    program.write_text(f"import notesmith\n{revealed}{PROGRAM}")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "program.py"]
    done = subprocess.run(
        command, cwd=folder, env={"MYPYPATH": str(ROOT.parent)}, capture_output=True, text=True
    )
    return [*done.stdout.splitlines(), *done.stderr.splitlines()]


def test_a_program_is_sound(said: list[str]) -> None:
    assert [line for line in said if "note: " not in line] == [
        "Success: no issues found in 1 source file"
    ]


def test_every_public_name_has_a_type(said: list[str]) -> None:
    types = [match[1] for line in said if (match := re.search(r'Revealed type is "(.*)"$', line))]
    assert len(types) == len(notesmith.__all__)
    for name, seen in zip(notesmith.__all__, types, strict=True):
        assert seen != "Any" and not seen.endswith("-> Any"), f"{name}: {seen}"
