from notesmith.corpus.statistics import LabelStatistics, describe
from notesmith.document import ConceptRelation, Document, Entity, Relation


def test_counts_worked_by_hand():
    text = "Has weak left arm. Weak again. All else well."
    doc = Document(
        "n1",
        text,
        (
            Entity("T1", "Sign", ((4, 8),), ("negated",)),
            Entity("T2", "Body", ((9, 17),)),
            Entity("T3", "Body", ((14, 17),)),
            Entity("T4", "Sign", ((19, 23),), ("family", "negated")),
            Entity("T5", "Sign", ((4, 8), (14, 17))),
        ),
        (Relation("R1", "where", "T1", "T2"),),
        (ConceptRelation("CID", "a", "b"),),
        metadata={"patient": "p1", "kind": "letter"},
    )
    found = describe([doc, Document("n2", "Well.", metadata={"patient": "p1"})])
    assert (found.n_documents, found.n_patients) == (2, 1)
    assert (found.n_characters, found.n_words, found.n_sentences) == (len(text) + 5, 10, 4)
    assert (found.n_mentions, found.n_discontinuous) == (5, 1)
    # T1 in T5, T3 in T2 and T2, T3 in T5 (whose first to last offset covers them).
    assert (found.n_nested, found.n_crossing) == (4, 0)
    assert found.mention_free_ratio == 0.5
    assert found.labels == (
        LabelStatistics("Sign", 3, 2, 1, 4 / 3),
        LabelStatistics("Body", 2, 2, 1, 1.5),
    )
    assert found.attributes == {"negated": 2, "family": 1}
    assert found.relations == {"where": 1}
    assert found.concept_relations == {"CID": 1}
    assert found.kinds == {"letter": 1}
    assert found.provenance == {"gold": 2}


def test_crossing_pairs():
    ents = (
        Entity("T1", "A", ((0, 3),)),
        Entity("T2", "A", ((2, 5),)),
        Entity("T3", "A", ((2, 5),)),
    )
    found = describe([Document("n", "abcdef", ents)])
    assert (found.n_nested, found.n_crossing) == (1, 2)


def test_an_empty_corpus_has_no_ratio_to_divide_by():
    assert describe([]).mention_free_ratio == 0.0
