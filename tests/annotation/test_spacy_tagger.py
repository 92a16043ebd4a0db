"""A spaCy pipeline annotates: its entities or a group of spans, with exact offsets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notesmith.annotation.mentions import MentionAnnotator
from notesmith.annotation.spacy_tagger import load_spacy, of_spacy
from notesmith.annotation.taggers import open_tagger
from notesmith.config import TaggerConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, ModelError, StageError

spacy = pytest.importorskip("spacy", reason="pip install 'notesmith[spacy]'")

LABELS = ("Disease", "Drug")
MAP = {"DX": "Disease", "MED": ""}
NOTES = [Document("1", "Gout, on aspirin."), Document("2", ""), Document("3", "No  gout.\n")]


@pytest.fixture
def nlp() -> Any:
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [
            {"label": "DX", "pattern": [{"LOWER": "gout"}]},
            {"label": "MED", "pattern": [{"LOWER": "aspirin"}]},
        ]
    )
    return pipeline


def shown(annotator: MentionAnnotator) -> list[list[tuple[str, str]]]:
    found = annotator.predict(NOTES)
    return [[(e.label, e.mention(doc.text)) for e in doc.entities] for doc in found]


def test_entities_are_mapped(nlp: Any) -> None:
    annotator = of_spacy(nlp, LABELS, MAP, name="rules")
    assert shown(annotator) == [[("Disease", "Gout")], [], [("Disease", "gout")]]
    assert annotator.predict(NOTES)[0].provenance.model == "rules"


def test_the_labels_of_the_pipeline_are_checked_before_anything_is_read(nlp: Any) -> None:
    with pytest.raises(ConfigError, match="the tagger's labels MED are not among"):
        of_spacy(nlp, LABELS, {"DX": "Disease"}, name="rules")


def test_labels_that_no_component_declares_are_checked_as_they_come(nlp: Any) -> None:
    pipeline = spacy.blank("en")

    @spacy.Language.component("undeclared")
    def undeclared(doc: Any) -> Any:
        doc.ents = [spacy.tokens.Span(doc, 0, 1, label="ODD")] if len(doc) else []
        return doc

    pipeline.add_pipe("undeclared")
    with pytest.raises(ConfigError, match="the tagger's labels ODD are not among"):
        of_spacy(pipeline, LABELS, {}, name="odd").predict(NOTES)


def test_a_group_of_spans_has_scores(nlp: Any) -> None:
    @spacy.Language.component("grouped", assigns=["doc.spans"])
    def grouped(doc: Any) -> Any:
        found = [spacy.tokens.Span(doc, 0, 1, label="Disease")] if len(doc) else []
        doc.spans["sc"] = spacy.tokens.SpanGroup(doc, spans=found)
        doc.spans["sc"].attrs["scores"] = [0.75] * len(found)
        return doc

    pipeline = spacy.blank("en")
    pipeline.add_pipe("grouped")
    annotator = of_spacy(pipeline, LABELS, {}, name="spans", spans_key="sc")
    assert annotator.predict_scores(NOTES)[0].probabilities[0, 1] == pytest.approx(0.75)
    with pytest.raises(StageError, match=r"correct annotate\.tagger\.spans_key"):
        of_spacy(pipeline, LABELS, {}, name="spans", spans_key="other").predict(NOTES)


def test_a_note_that_is_too_long_for_the_pipeline_is_named(nlp: Any) -> None:
    nlp.max_length = 10
    with pytest.raises(StageError, match="doc '1': 17 characters, and the pipeline takes 10"):
        of_spacy(nlp, LABELS, MAP, name="rules").predict(NOTES)


def test_a_saved_pipeline_is_opened_and_measured(nlp: Any, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    config = TaggerConfig(kind="spacy", path=str(tmp_path / "pipeline"), label_map=MAP)
    gold = [Document(f"g{i}", "gout.") for i in range(8)]
    annotator = open_tagger(config, LABELS, gold=gold)
    assert annotator.name == "pipeline"
    # None of eight was right.
    (scores, *_) = annotator.predict_scores(NOTES)
    assert scores.probabilities[0, 1] == pytest.approx(2 * 0.1 / 10, abs=1e-4)
    with pytest.raises(ModelError, match="spaCy cannot load this pipeline"):
        load_spacy(str(tmp_path / "nowhere"))
