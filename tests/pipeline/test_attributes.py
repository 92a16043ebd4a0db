"""What the pipeline does with attributes of mentions that a draw may lack."""

import json
from types import SimpleNamespace

import pytest

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.pipeline.run import corpus_paths, sealed_plan
from notesmith.pipeline.stages.common import INFO
from notesmith.pipeline.stages.student import _of_draw

from .doubles import tiny_recipe, write_notes

GOLD = [Document("a", "No cough.", (Entity("T1", "Sign", ((3, 8),), ("negated",)),))]


@pytest.fixture
def work(tmp_path):
    info = {"labels": ["Sign"], "attributes": ["family", "negated"]}
    (tmp_path / INFO).write_text(json.dumps(info))
    return SimpleNamespace(inputs={"gold": tmp_path})


def test_a_draw_that_lacks_a_rare_one_learns_the_others(work):
    config = NerConfig(attributes=("negated", "family"))
    assert _of_draw(config, GOLD, work).attributes == ("negated",)
    assert _of_draw(NerConfig(attributes=("family",)), GOLD, work).attributes is None
    assert _of_draw(NerConfig(), GOLD, SimpleNamespace()) == NerConfig()


def test_one_that_train_lacks_is_an_error(work):
    with pytest.raises(ConfigError, match=r"'historical', which no gold .* family, negated$"):
        _of_draw(NerConfig(attributes=("historical",)), GOLD, work)


def test_a_seal_without_attributes_is_as_before(tmp_path):
    paths = write_notes(tmp_path)
    plans = [
        sealed_plan(tiny_recipe(paths, ner=ner), corpus_paths(tiny_recipe(paths)))
        for ner in ({}, {"attributes": []}, {"attributes": ["negated"]})
    ]
    assert plans[0] == plans[1] != plans[2]
