"""Predictions made elsewhere: labels are mapped, notes matched, and confidence measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from notesmith.annotation.tagger import DROPPED, LabelMap, measured, of_predictions
from notesmith.annotation.taggers import open_tagger
from notesmith.config import TaggerConfig
from notesmith.corpus.reading import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError, StageError
from notesmith.ner.protocol import Student

LABELS = ("Disease", "Drug")
MAP = {"DX": "Disease", "MED": "Drug", "LAB": ""}


def said(doc_id: str, text: str, **mentions: str) -> Document:
    """A document with mentions by label, at the first place of each."""
    return Document(
        doc_id,
        text,
        tuple(
            Entity(f"T{i}", label, ((at := text.index(mention), at + len(mention)),))
            for i, (label, mention) in enumerate(mentions.items())
        ),
    )


PREDICTED = [
    said("n1", "Gout, on aspirin. K 4.1.", DX="Gout", MED="aspirin", LAB="K 4.1"),
    said("n2", "Has lupus.", DX="lupus"),
]
NOTES = [Document(doc.id, doc.text) for doc in PREDICTED]


def shown(doc: Document) -> list[tuple[str, str]]:
    return [(ent.label, ent.mention(doc.text)) for ent in doc.entities]


def test_labels_are_mapped_and_those_to_be_dropped_counted() -> None:
    annotator = of_predictions(PREDICTED, LABELS, MAP)
    found = annotator.predict(NOTES)
    assert list(map(shown, found)) == [
        [("Disease", "Gout"), ("Drug", "aspirin")],
        [("Disease", "lupus")],
    ]
    assert annotator.counts[DROPPED] == 1


def test_labels_that_are_not_mapped_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        of_predictions(PREDICTED, LABELS, {"DX": "Disease"})
    assert str(caught.value) == (
        "the tagger's labels LAB, MED are not among the project's (Disease, Drug); map each to "
        "one of these, or to '' to drop it (annotate.tagger.label_map)"
    )
    with pytest.raises(ConfigError, match="label_map names Illness; the project's labels are"):
        LabelMap.of(["DX"], LABELS, {"DX": "Illness"})


def test_a_label_of_the_project_needs_no_map() -> None:
    annotator = of_predictions([said("n2", "Has lupus.", Disease="lupus")], LABELS, {})
    assert shown(annotator.predict(NOTES[1:])[0]) == [("Disease", "lupus")]


@pytest.mark.parametrize(
    ("note", "what"),
    [(Document("n3", "Well."), "no predictions"), (Document("n2", "Had lupus."), "another text")],
)
def test_a_note_without_predictions_is_an_error_or_counted(note: Document, what: str) -> None:
    with pytest.raises(StageError, match=f"doc '{note.id}': the file of the tagger has .*{what}"):
        of_predictions(PREDICTED, LABELS, MAP).predict([note])
    annotator = of_predictions(PREDICTED, LABELS, MAP, on_problem="count")
    scores, known = annotator.predict_scores([note, NOTES[1]])
    assert scores.probabilities.min() == scores.probabilities.max() == pytest.approx(0.2)
    assert known.probabilities[1, 1] > 0.9
    assert [n for name, n in annotator.counts.items() if what in name] == [1]


def test_confidence_and_what_is_missed_are_measured_in_gold() -> None:
    gold = [
        said("n1", "Gout, on aspirin. K 4.1.", Disease="Gout", Drug="aspirin"),
        said("n2", "Has lupus.", Drug="Has"),
    ]
    annotator = measured(of_predictions(PREDICTED, LABELS, MAP), gold)
    mean = (2 + 1) / (3 + 2)
    scores = annotator.predict_scores(NOTES)
    assert scores[0].probabilities[0, 1] == pytest.approx((1 + 2 * mean) / (2 + 2), abs=1e-4)
    assert scores[0].probabilities[3, 3] == pytest.approx((1 + 2 * mean) / (1 + 2), abs=1e-4)
    # Of ten words outside the mentions found one is a mention.
    assert annotator.floor == pytest.approx(1 / 10)
    assert annotator.counts[DROPPED] == 1


def test_a_score_that_is_given_or_carried_is_kept() -> None:
    carried = said("n2", "Has lupus.", Disease="lupus")
    ent = Entity("T1", "Disease", carried.entities[0].spans, ("score=0.7",))
    annotator = of_predictions([carried.with_entities([ent])], LABELS, {})
    (scores,) = measured(annotator, [carried]).predict_scores(NOTES[1:])
    assert scores.probabilities[1, 1] == pytest.approx(0.7)
    given = measured(of_predictions([carried], LABELS, {}), [], score=0.6)
    assert given.predict_scores(NOTES[1:])[0].probabilities[1, 1] == pytest.approx(0.6)


def test_a_file_of_predictions_in_a_format_of_corpora(tmp_path: Path) -> None:
    write_corpus(PREDICTED, tmp_path / "brat", format="brat")
    config = TaggerConfig(path=str(tmp_path / "brat"), label_map=MAP)
    gold = [said("n2", "Has lupus.", Disease="lupus"), said("g", "Gout.", Disease="Gout")]
    annotator: Student = open_tagger(config, LABELS, gold=gold)
    assert [shown(doc) for doc in annotator.predict(NOTES)][1] == [("Disease", "lupus")]


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no tagger is named; give annotate\.tagger\.path"):
        open_tagger(TaggerConfig(), LABELS, gold=[])
    with pytest.raises(CorpusError, match="nowhere"):
        open_tagger(TaggerConfig(path=str(tmp_path / "nowhere")), LABELS, gold=[])
