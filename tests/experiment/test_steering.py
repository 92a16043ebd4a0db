"""Steered requests and attributes in a run: whose cells they change, and what is counted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from notesmith.errors import ConfigError
from notesmith.experiment import artefacts as files
from notesmith.experiment import run_recipe
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.graph import Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import preview
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages.sample import STAGE
from tests.experiment.doubles import DOUBLES, SIGNS, sample, tiny_recipe, write_notes

PATHS = {"train": Path("train"), "test": Path("test")}
ARMS = [{"name": "gold"}, {"name": "synthetic", "made": ["synthetic"], "amount": 0.5}]
SOURCES = Fingerprints(train="a", test="c", lm="d", concepts="e")


def keys(sources: Fingerprints = SOURCES, **synthesize: object) -> dict[str, set[str]]:
    config = tiny_recipe(PATHS, arm=ARMS, synthesize=synthesize, evaluate={"against": {}})
    found: dict[str, set[str]] = {}
    for target in make_plan(config, sources).cells:
        for cell in target.walk():
            found.setdefault(cell.stage.name, set()).add(cell.key)
    return found


def changed(before: dict[str, set[str]], after: dict[str, set[str]]) -> set[str]:
    return {stage for stage in before if before[stage] != after[stage]}


def test_only_what_is_steered_is_another_cell() -> None:
    plain = keys()
    assert keys(quota={}, concepts={}, per_concept=7, attributes=[]) == plain
    assert keys(replace(SOURCES, concepts="other")) == plain
    of_text = {"sample", "filter", "ner", "score", "coverage"}
    for steered in ({"quota": {"Sign": 3}}, {"concepts": {"Sign": "x.txt"}}):
        assert changed(plain, keys(**steered)) == of_text
    listed = keys(concepts={"Sign": "x.txt"})
    assert keys(concepts={"Sign": "elsewhere.txt"}) == listed
    assert changed(listed, keys(replace(SOURCES, concepts="f"), concepts={"Sign": "x"})) == of_text
    assert changed(plain, keys(attributes=["negated"])) == of_text | {"sft"}


def test_quotas_are_numbers_whatever_the_amount_of_an_arm() -> None:
    config = tiny_recipe(
        PATHS, arm=ARMS, synthesize={"quota": {"Sign": 7}}, evaluate={"against": {}}
    )
    cells = {c.key: c for t in make_plan(config, SOURCES).cells for c in t.walk()}
    found = [STAGE.config_of(c) for c in cells.values() if c.stage == STAGE]
    assert {(s.units, s.steering.quota["Sign"]) for s in found if s.steering} == {(4, 7)}


def test_a_preview_asks_for_a_few_of_each() -> None:
    wanted = {"quota": {"Sign": 70, "Test": 3}, "concepts": {"Sign": "x"}, "per_concept": 50}
    small = preview(tiny_recipe(PATHS, arm=ARMS, synthesize=wanted, evaluate={"against": {}}))
    assert small.synthesize.quota == {"Sign": 8, "Test": 3}
    assert small.synthesize.concept_texts == 8


def negated(work: Work) -> Metrics:
    """What the double writes, as if attributes had been asked for."""
    metrics = sample(work)
    made = [
        replace(c, requested_attributes=(("negated",),), missing_attributes=k % 2)
        for k, c in enumerate(files.load_candidates(work.out))
    ]
    files.save_candidates(made, work.out)
    return metrics


def test_a_run_counts_concepts_and_attributes(tmp_path: Path) -> None:
    (tmp_path / "signs.txt").write_text("\n".join([*SIGNS, "", "dropsy"]))
    config = tiny_recipe(
        write_notes(tmp_path),
        arm=[{"name": "gold"}, {"name": "synthetic", "made": ["synthetic"]}],
        draws={"replicates": 1, "curve": []},
        synthesize={"concepts": {"Sign": str(tmp_path / "signs.txt")}, "quota": {"Test": 2}},
        evaluate={"against": {}},
    )
    run_recipe(
        config, tmp_path / "run", instead={**DOUBLES, "sample": negated}, cache=tmp_path / "c"
    )
    (cell,) = (tmp_path / "run" / "cells" / "filter").iterdir()
    metrics = json.loads((cell / "metrics.json").read_text())
    assert metrics["requested_attributes"] == 6 and metrics["missing_attributes"] == 3
    rows = files.load_coverage(cell)
    assert [(r.label, r.concept) for r in rows] == [
        ("Test", ""),
        *(("Sign", sign) for sign in SIGNS),
        ("Sign", "dropsy"),
    ]
    # The double asks for the sign of each of six notes, writes it, and cuts the first text off.
    assert sum(r.asked for r in rows) == 6
    assert sum(r.kept for r in rows) == 5 and not any(r.missing for r in rows)
    totals = metrics["coverage"]["Sign"]
    assert (totals["asked"], totals["kept"], totals["concepts"]) == (6, 5, 11)
    assert totals["concepts_kept"] == sum(r.kept > 0 for r in rows)
    assert metrics["coverage"]["Test (quota)"] == {"asked": 0, "kept": 0, "missing": 0}
    assert "dropsy" not in json.dumps(metrics)


def test_concepts_that_exceed_their_quota_stop_a_run_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "signs.txt").write_text("dropsy\n")
    config = tiny_recipe(
        write_notes(tmp_path),
        synthesize={"concepts": {"Sign": str(tmp_path / "signs.txt")}, "quota": {"Sign": 2}},
    )
    with pytest.raises(ConfigError, match=r"quota\.Sign is 2 and its concepts need 20 texts"):
        run_recipe(config, tmp_path / "run", instead=DOUBLES, cache=tmp_path / "cache")
    assert not (tmp_path / "run").exists()


def test_what_stands_in_a_list_is_fingerprinted(tmp_path: Path) -> None:
    def found(text: str) -> str:
        (tmp_path / "signs.txt").write_text(text)
        config = tiny_recipe(
            write_notes(tmp_path), synthesize={"concepts": {"Sign": str(tmp_path / "signs.txt")}}
        )
        # Models are not looked at: encoders and the language model are named, not loaded.
        return fingerprints_of(config, corpus_paths(config)).concepts

    assert found("dropsy") == found("dropsy") != found("ague")
