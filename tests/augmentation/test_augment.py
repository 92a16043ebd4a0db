"""The rivals: offsets stay exact, pools are label-wise, the placebo keeps density."""

from __future__ import annotations

import itertools

import pytest

from notesmith.augmentation import (
    gold_names,
    replace_mentions,
    replace_tokens,
    shuffle_labels,
    shuffle_segments,
)
from notesmith.augmentation.edits import Edit, apply_edits, plain_entities
from notesmith.config import AugmentConfig
from notesmith.document import ConceptRelation, Document, Entity, Relation, Section
from notesmith.errors import StageError

TEXT = "Chest pain and DM today. No fever, stable."
DOC = Document(
    "d",
    TEXT,
    (
        Entity("T1", "Problem", ((0, 10),)),
        Entity("T2", "Problem", ((15, 17),), ("negated",)),
        Entity("T3", "Sign", ((28, 33),)),
    ),
    relations=(Relation("R1", "with", "T1", "T2"),),
    sections=(Section("A", 0, 24), Section("B", 25, 42)),
)


def test_edits_move_every_offset() -> None:
    doc = apply_edits(
        DOC, [Edit(15, 17, "type 2 diabetes"), Edit(0, 5, "Hand")], doc_id="e", stage="s"
    )
    assert doc.text == "Hand pain and type 2 diabetes today. No fever, stable."
    assert doc.mentions() == ["Hand pain", "type 2 diabetes", "fever"]
    assert doc.entities[1].attributes == ("negated",)
    assert [doc.text[s.start : s.end] for s in doc.sections] == [
        "Hand pain and type 2 diabetes today.",
        "No fever, stable.",
    ]
    assert doc.provenance.parents == ("d",)


def test_an_edit_at_a_border_stays_outside_the_mention() -> None:
    doc = apply_edits(DOC, [Edit(11, 14, "plus"), Edit(18, 23, "now")], doc_id="e", stage="s")
    assert doc.mentions() == ["Chest pain", "DM", "fever"]


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(StageError, match="overlap"):
        apply_edits(DOC, [Edit(0, 5, "a"), Edit(4, 6, "b")], doc_id="e", stage="s")


def test_plain_entities_leave_out_nested_ones() -> None:
    nested = Document(
        "n",
        TEXT,
        (
            Entity("T1", "P", ((0, 10),)),
            Entity("T2", "P", ((0, 5),)),
            Entity("T3", "P", ((15, 17),)),
        ),
    )
    assert [e.id for e in plain_entities(nested)] == ["T3"]


def test_replacement_uses_names_of_the_label_and_keeps_relations() -> None:
    config = AugmentConfig(copies=4)
    made = replace_mentions([DOC], {"Problem": ["acute renal failure"]}, config=config, seed=1)
    assert [d.id for d in made] == ["d~r0", "d~r1", "d~r2", "d~r3"]
    assert made[0].text == "Acute renal failure and acute renal failure today. No fever, stable."
    assert made[0].relations == DOC.relations
    assert made[0].mentions()[2] == "fever"


def test_replacement_is_the_same_for_a_seed_and_skips_documents_without_mentions() -> None:
    empty = Document("x", "Nothing to report.")
    names = gold_names([DOC])
    assert names == {"Problem": ("Chest pain", "DM"), "Sign": ("fever",)}
    config = AugmentConfig(copies=2)
    first = replace_mentions([DOC, empty], names, config=config, seed=3)
    assert first == replace_mentions([DOC, empty], names, config=config, seed=3)
    assert {d.provenance.parents for d in first} == {("d",)}


def test_tokens_are_redrawn_within_their_tag() -> None:
    made = replace_tokens([DOC], config=AugmentConfig(copies=20, token_ratio=1.0), seed=0)
    assert {d.mentions()[2] for d in made} == {"fever"}
    firsts = {d.mentions()[0].split()[0] for d in made}
    assert firsts <= {"Chest", "DM"} and len(firsts) == 2
    assert all(d.text.endswith(".") and d.text.count(",") == 1 for d in made)


def test_no_token_is_redrawn_at_ratio_0() -> None:
    made = replace_tokens([DOC], config=AugmentConfig(copies=1, token_ratio=0.0), seed=0)
    assert made[0].text == TEXT and made[0].entities == DOC.entities


def test_shuffling_keeps_segments_apart() -> None:
    made = shuffle_segments([DOC], config=AugmentConfig(copies=10, shuffle_ratio=1.0), seed=0)
    first = [d for d in made if d.id.startswith("d:0-24")]
    assert {" ".join(sorted(d.mentions()[0].split())) for d in first} == {"Chest pain"}
    assert {d.mentions()[0] for d in first} == {"Chest pain", "pain Chest"}
    assert all(d.text.endswith("DM today.") for d in first)


def test_placebo_keeps_text_density_and_lengths() -> None:
    for seed in range(20):
        (made,) = shuffle_labels([DOC], seed=seed)
        assert made.text == TEXT
        words = sorted(
            len([w for w in m.replace(".", " .").replace(",", " ,").split()])
            for m in made.mentions()
        )
        assert words == [1, 1, 2]
        assert sorted(e.label for e in made.entities) == ["Problem", "Problem", "Sign"]
        spans = sorted((e.start, e.end) for e in made.entities)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_a_mention_that_becomes_another_loses_its_concepts() -> None:
    doc = Document(
        "d",
        "gout and cough",
        (
            Entity("T1", "Problem", ((0, 4),), normalized=("C1",)),
            Entity("T2", "Sign", ((9, 14),), normalized=("C2",)),
        ),
        concept_relations=(ConceptRelation("CID", "C1", "C2"), ConceptRelation("X", "C2", "C2")),
    )
    made = apply_edits(doc, [Edit(0, 4, "asthma")], doc_id="e", stage="s")
    assert [ent.normalized for ent in made.entities] == [(), ("C2",)]
    assert made.concept_relations == (ConceptRelation("X", "C2", "C2"),)
