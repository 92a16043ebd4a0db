"""A stage is one thing: what there is of it stands in its module and in one list."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

import notesmith
from notesmith.experiment import run_recipe, stages
from notesmith.experiment.draw import Fingerprints, Source
from notesmith.experiment.graph import Cell, NoConfig, Stage, may_discard
from notesmith.experiment.plan import make_plan
from notesmith.experiment.stages import SOURCES, STAGES, filtered, placebo, rl
from notesmith.experiment.stages.common import Made, gold_in, keep_made
from notesmith.findings import MadeSource
from notesmith.report.methods import draft_methods
from notesmith.report.references import known_entries

from .doubles import DOUBLES, tiny_recipe, write_notes

SRC = Path(notesmith.__file__).parent
# Version and hash of the defaults of each stage's configuration.
DEFAULTS: dict[str, tuple[int, str]] = {
    "draw": (2, "b5b0860a2c67"),
    "fold": (1, "99d0dcb16f51"),
    "fold-out": (1, "99d0dcb16f51"),
    "names": (1, "7d255312c9ec"),
    "sft": (3, "03533a4d9ee1"),
    "given": (1, "44136fa355b3"),
    "committee": (2, "8803ac600ecf"),
    "rl": (3, "a5f81e5f8073"),
    "sample": (4, "16beab7a3d5d"),
    "filter": (3, "861443c7dd57"),
    "unfiltered": (1, "d87342a4f1bf"),
    "relabelled": (1, "44136fa355b3"),
    "replaced": (1, "913adfe6b50e"),
    "replaced-proposed": (1, "913adfe6b50e"),
    "replaced-mined": (1, "913adfe6b50e"),
    "lwtr": (1, "913adfe6b50e"),
    "shuffled": (1, "913adfe6b50e"),
    "notes": (1, "27d7c61d2d12"),
    "adapt": (1, "9ba7172c70cf"),
    "teachers": (1, "44136fa355b3"),
    "silver": (1, "f42b0f36e4d0"),
    "silver-quality": (1, "1c0da1f6045e"),
    "annotator": (1, "8c7526d593ea"),
    "lm-labels": (1, "7c86abf10789"),
    "dictionary": (1, "0aca0d630402"),
    "tagger": (2, "0dd8d4ad1b2e"),
    "mined": (1, "9c6908ac11ac"),
    "mined-quality": (1, "1c0da1f6045e"),
    "taught": (1, "4ef0c88a41bf"),
    "blind": (1, "1ab92f2d71ca"),
    "gold-taught": (1, "e0f83e8c0e0b"),
    "synthetic-shuffled-labels": (1, "44136fa355b3"),
    "union": (1, "44136fa355b3"),
    "thin": (1, "3364a0f8bb94"),
    "ner": (2, "5f0f07ae6b5d"),
    "votes": (1, "44136fa355b3"),
    "score": (2, "d27a9479cc08"),
    "pool": (2, "44136fa355b3"),
    "gather": (1, "44136fa355b3"),
    "coverage": (1, "e03f53d5d2f8"),
}


def defaults(kind):
    """Defaults of a model and of the models in it."""
    found = {}
    for name, field in kind.model_fields.items():
        if not field.is_required():
            found[name] = to_jsonable_python(field.get_default(call_default_factory=True))
        found[f"{name}: fields"] = [defaults(inside) for inside in models_in(field.annotation)]
    return found


def models_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def test_a_changed_default_has_a_new_version():
    """Keys leave out defaults: cells made with the old one would be taken for the new."""
    for stage in STAGES:
        text = json.dumps(defaults(stage.config), sort_keys=True)
        now = hashlib.sha256(text.encode()).hexdigest()[:12]
        assert DEFAULTS.get(stage.name) == (stage.version, now), (
            f"a default of stage {stage.name!r} changed: bump its version where it changes "
            f"results, and write ({stage.version}, {now!r}) here"
        )


def test_names_are_unique_and_in_the_list():
    assert len({stage.name for stage in STAGES}) == len(STAGES)
    folder = SRC / "experiment" / "stages"
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "common"}
    assert {stage.run.__module__.rpartition(".")[2] for stage in STAGES} == modules


# Files that name a kind of document, as the source is called too.
KIND_OF_DOCUMENT = {
    "synthetic": {
        *("document.py", "corpus/adjudicate.py", "synthesis/generate.py"),
        *("synthesis/reward/cases.py", "report/card.py", "report/templates/dataset_card.md"),
    },
    "silver": {
        *("document.py", "ner/decode.py", "ner/integrate.py"),
        *("corpus/adjudicate.py", "corpus/doubtful.py"),
        *("annotation/language_model.py", "corpus/queue_files.py"),
        "report/templates/silver_card.md",
        *("corpus/formats/label_studio.py", "corpus/formats/label_studio_write.py"),
    },
}


def test_a_source_is_named_in_its_own_module_alone():
    """Beside recipes, which users write and read, no other file knows what sources there are."""
    for path in [*SRC.rglob("*.py"), *(SRC / "report" / "templates").iterdir()]:
        if path.parent.name == "stages":
            continue
        text, where = path.read_text(encoding="utf-8"), path.relative_to(SRC).as_posix()
        for name in SOURCES:
            if where in KIND_OF_DOCUMENT.get(name, ()):
                continue
            known = rf"['\"`]{name}['\"`]" + (rf"|\b{name}\b" if "-" in name else "")
            found = re.search(rf"{known}|startswith\(['\"]{name[:6]}", text)
            assert not found, f"{where} names source {name}"


def test_what_sources_cite_is_known():
    cited = {key for source in SOURCES.values() for key in source.facts.cites}
    assert cited <= known_entries().keys()


def test_verdicts_and_pages_know_one_main_text():
    assert [s.name for s in SOURCES.values() if s.facts.is_main] == [filtered.SOURCE.name]
    assert [s.name for s in SOURCES.values() if s.facts.is_placebo] == [placebo.SOURCE.name]


def shout(work):
    docs = [replace(doc, id=f"loud-{doc.id}") for doc in gold_in(work)]
    return keep_made(work, docs)


LOUD = Stage("loud", 1, NoConfig, Made, shout)


def test_a_new_source_needs_a_module_and_a_line(tmp_path, monkeypatch):
    """As a newcomer adds one: a stage, the builder of its cell, and its place in the lists."""
    facts = MadeSource(name="loud", words="copies of it in capitals", by="rules")
    loud = Source(facts, lambda draw, arm: draw.cell(LOUD, NoConfig(), inputs={"gold": draw.gold}))
    monkeypatch.setitem(stages.SOURCES, "loud", loud)
    arms = [{"name": "gold"}, {"name": "loud", "made": ["loud"]}]
    draws = {"replicates": 1, "curve": []}
    config = tiny_recipe(write_notes(tmp_path), arm=arms, draws=draws, evaluate={"against": {}})
    result = run_recipe(config, tmp_path / "run", instead=DOUBLES, cache=tmp_path / "cache")
    assert result.n_left == 0 and result.results.arms[1].name == "loud"
    assert len(list((tmp_path / "run" / "cells" / "loud").iterdir())) == 1
    methods = draft_methods(result.results).methods
    assert "- loud (candidate): gold and copies of it in capitals; 1 replicate." in methods


def test_weights_of_the_first_of_all_stay():
    kept = Stage("kept", 1, NoConfig, Made, shout)
    weights = replace(kept, keeps="first")
    first = Cell(weights, replicate=0, fold=0)
    assert not may_discard(first) and not may_discard(replace(first, stage=kept, replicate=3))
    for later in ({"replicate": 1}, {"fold": 1}, {"student": 1}):
        assert may_discard(replace(first, **later))


def test_methods_of_learning_differ_in_keys_though_all_else_is_default():
    arms = [{"name": "gold"}]
    arms += [
        {"name": m, "made": ["synthetic"], "rl": {"method": m}}
        for m in ("grpo", "dpo", "best-of-n")
    ]
    paths = {"train": "train.jsonl", "test": "test.jsonl"}
    config = tiny_recipe(paths, arm=arms, evaluate={"against": {}})
    plan = make_plan(config, Fingerprints(train="a", test="c"))
    cells = {cell.key: cell for target in plan.cells for cell in target.walk()}
    of_draw = [c for c in cells.values() if c.stage == rl.STAGE and c.replicate == 0]
    assert len(of_draw) == 3
