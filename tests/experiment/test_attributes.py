"""What the pipeline does with attributes of mentions that a draw may lack."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from notesmith.config import NerConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.experiment import run_recipe
from notesmith.experiment.gate import sealed_plan
from notesmith.experiment.run import corpus_paths
from notesmith.experiment.stages.common import INFO
from notesmith.experiment.stages.ner import of_draw

from .doubles import DOUBLES, tiny_recipe, write_notes

GOLD = [Document("a", "No cough.", (Entity("T1", "Sign", ((3, 8),), ("negated",)),))]


@pytest.fixture
def work(tmp_path):
    info = {"labels": ["Sign"], "attributes": ["family", "negated"]}
    (tmp_path / INFO).write_text(json.dumps(info))
    return SimpleNamespace(inputs={"gold": tmp_path})


def test_a_draw_that_lacks_a_rare_one_learns_the_others(work):
    config = NerConfig(attributes=("negated", "family"))
    assert of_draw(config, GOLD, work).attributes == ("negated",)
    assert of_draw(NerConfig(attributes=("family",)), GOLD, work).attributes == ()
    assert of_draw(NerConfig(), GOLD, SimpleNamespace()) == NerConfig()


def test_one_that_train_lacks_is_an_error(work):
    with pytest.raises(ConfigError, match=r"'historical', which no gold .* family, negated$"):
        of_draw(NerConfig(attributes=("historical",)), GOLD, work)


def test_a_seal_without_attributes_is_as_before(tmp_path):
    paths = write_notes(tmp_path)
    plans = [
        sealed_plan(tiny_recipe(paths, ner=ner), corpus_paths(tiny_recipe(paths)))
        for ner in ({}, {"attributes": []}, {"attributes": ["negated"]})
    ]
    assert plans[0] == plans[1] != plans[2]


@pytest.mark.parametrize("protocol", ["held-out", "cross-fit"])
def test_a_run_scores_what_its_students_learn(tmp_path, protocol):
    paths = write_notes(tmp_path)
    for path in paths.values():
        docs = [
            doc.with_entities(
                replace(ent, attributes=("negated", "family")) if ent.label == "Sign" else ent
                for ent in doc.entities
            )
            for doc in read_corpus(path).docs
        ]
        write_corpus(docs, path)
    config = tiny_recipe(
        {"train": paths["train"]} if protocol == "cross-fit" else paths,
        ner={"attributes": ["negated"]},
        arm=[{"name": "gold"}, {"name": "replacement", "made": ["replaced"]}],
        draws={"sizes": [14], "curve": [], "students": 2},
        evaluate={"protocol": protocol, "folds": 3, "against": {}, "resamples": 200},
    )
    result = run_recipe(config, tmp_path / "run", instead=DOUBLES, cache=tmp_path / "cache")
    for arm in result.results.arms:
        # What was not asked for is not scored.
        assert list(arm.attributes) == ["negated"]
        whole, found = (arm.attributes["negated"].end_to_end, arm.attributes["negated"].on_found)
        assert whole.support == (14 if protocol == "cross-fit" else 6)
        # The double keeps attributes of the mentions that it finds, seven in ten.
        assert found.f1 == 100 and 0 < whole.recall < 100 and whole.precision == 100
    page = result.report.read_text()
    assert 'id="attributes"' in page and "negated, " in page
