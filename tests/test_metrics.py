from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.metrics import (
    PRFScore,
    Unscored,
    count_unscored,
    fold_mention,
    score,
    score_attributes,
    score_document,
    score_seen,
    score_unseen,
)

TEXT = "Gout, asthma and type 2 diabetes; on metformin."


def doc(*entities, doc_id="d", text=TEXT):
    ents = [Entity(f"T{i}", label, tuple(spans)) for i, (label, *spans) in enumerate(entities)]
    return Document(doc_id, text, tuple(ents))


def counts(gold, predicted, matching="strict"):
    found = PRFScore.sum(score_document(gold, predicted, matching=matching).values())
    return found.tp, found.fp, found.fn


def test_rates_by_hand():
    # P 3/4, R 3/6, F1 = 2 x 3 / (2 x 3 + 1 + 3).
    found = PRFScore(3, 1, 3)
    assert (found.precision, found.recall, found.f1) == (0.75, 0.5, 0.6)


def test_rates_are_zero_where_undefined():
    found = PRFScore()
    assert (found.precision, found.recall, found.f1) == (0.0, 0.0, 0.0)


def test_strict_wants_label_and_both_boundaries():
    gold = doc(("Disease", (0, 4)), ("Disease", (6, 12)), ("Drug", (37, 46)))
    predicted = doc(("Disease", (0, 4)), ("Disease", (6, 11)), ("Disease", (37, 46)))
    assert counts(gold, predicted) == (1, 2, 2)
    assert score_document(gold, predicted)["Drug"] == PRFScore(0, 0, 1)


def test_overlap_forgives_boundaries_not_labels():
    gold = doc(("Disease", (6, 12)), ("Drug", (37, 46)))
    predicted = doc(("Disease", (5, 9)), ("Disease", (37, 46)))
    assert counts(gold, predicted, "overlap") == (1, 1, 1)


def test_touching_is_no_overlap():
    assert counts(doc(("A", (0, 4))), doc(("A", (4, 8))), "overlap") == (0, 1, 1)


def test_overlap_matches_one_to_one():
    # Two predictions inside one gold entity: one is right, the other wrong.
    gold, predicted = doc(("A", (17, 32))), doc(("A", (17, 21)), ("A", (24, 32)))
    assert counts(gold, predicted, "overlap") == (1, 1, 0)
    assert counts(predicted, gold, "overlap") == (1, 0, 1)


def test_overlap_pairs_nested_entities_as_well_as_can_be():
    # The wide entity must leave the first prediction to the narrow one.
    gold, predicted = doc(("A", (0, 10)), ("A", (1, 2))), doc(("A", (0, 3)), ("A", (5, 8)))
    assert counts(gold, predicted, "overlap") == (2, 0, 0)


def test_boundary_forgives_labels_not_boundaries():
    gold = doc(("Disease", (6, 12)), ("Drug", (37, 46)))
    predicted = doc(("Disease", (5, 9)), ("Disease", (37, 46)))
    assert score_document(gold, predicted, matching="boundary") == {"*": PRFScore(1, 1, 1)}


def test_discontinuous_entities_need_every_range():
    gold = doc(("A", (0, 4), (6, 12)))
    assert counts(gold, doc(("A", (0, 4), (6, 12)))) == (1, 0, 0)
    assert counts(gold, doc(("A", (0, 12)))) == (0, 1, 1)
    assert counts(gold, doc(("A", (4, 6))), "overlap") == (0, 1, 1)


@pytest.mark.parametrize("matching", ["strict", "overlap", "boundary"])
def test_entity_that_stands_twice_counts_once(matching):
    twice = doc(("A", (0, 4)), ("A", (0, 4)))
    assert counts(twice, twice, matching) == (1, 0, 0)


def test_one_range_under_two_labels_counts_twice():
    both = doc(("A", (0, 4)), ("B", (0, 4)))
    assert counts(both, both) == (2, 0, 0)


def test_micro_adds_up_documents_paired_by_id():
    gold = [doc(("A", (0, 4)), doc_id="x"), doc(("A", (6, 12)), ("B", (37, 46)), doc_id="y")]
    predicted = [doc(("A", (6, 12)), doc_id="y"), doc(("B", (0, 4)), doc_id="x")]
    found = score(gold, predicted)
    assert found.ids == ("x", "y")
    assert found.documents() == [PRFScore(0, 1, 1), PRFScore(1, 0, 1)]
    assert found.by_label() == {"A": PRFScore(1, 0, 1), "B": PRFScore(0, 1, 1)}
    assert found.micro.f1 == pytest.approx(2 / 5)


def test_other_documents_are_an_error():
    with pytest.raises(StageError, match="1 documents without prediction, 0 without gold"):
        score([doc(doc_id="x"), doc(doc_id="y")], [doc(doc_id="x")])
    with pytest.raises(StageError, match="0 documents without prediction, 1 without gold"):
        score([doc(doc_id="x")], [doc(doc_id="x"), doc(doc_id="y")])


def test_other_text_is_an_error_without_text():
    with pytest.raises(StageError) as raised:
        score_document(doc(), doc(text="Nothing of note."))
    assert str(raised.value) == "doc 'd': prediction is for another text"


def test_attributes_on_mentions_found_and_end_to_end():
    def side(*rows):
        ents = [
            Entity(f"T{i}", label, ((start, start + 2),), attributes)
            for i, (label, start, attributes) in enumerate(rows)
        ]
        return [Document("a", "x" * 30, tuple(ents)), Document("b", "y")]

    gold = side(
        ("D", 0, ("negated",)),
        ("D", 3, ("negated", "Certainty=low")),
        ("D", 6, ("Certainty=low",)),
        ("D", 9, ()),
        ("D", 12, ("negated",)),
    )
    predicted = side(
        ("D", 0, ("negated", "score=0.9")),
        ("D", 3, ("Certainty=low",)),
        ("D", 6, ("Certainty=high",)),
        ("D", 9, ("negated",)),
        ("E", 12, ("negated",)),
        ("D", 20, ("negated",)),
    )
    found = score_attributes(gold, list(reversed(predicted)))
    assert list(found) == ["Certainty", "negated"]
    assert found["negated"].on_found == (PRFScore(1, 1, 1), PRFScore())
    # A wrong label is a mention not found: one negated too many and one missed, as is [20, 22).
    assert found["negated"].end_to_end == (PRFScore(1, 3, 2), PRFScore())
    assert found["Certainty"].on_found[0] == PRFScore(1, 1, 1)
    assert found["Certainty"].end_to_end == found["Certainty"].on_found
    assert score_attributes([], []) == {}


def test_folding():
    assert fold_mention("  Type 2\n DIABETES ") == "type 2 diabetes"


def test_seen_and_unseen_split_gold_and_predictions_by_their_own_strings():
    gold = [doc(("A", (0, 4)), ("A", (6, 12)), ("B", (37, 46)))]
    predicted = [doc(("A", (0, 4)), ("A", (17, 32)), ("B", (37, 46)))]
    seen = score_seen(gold, predicted, ["GOUT", "Metformin"]).micro
    unseen = score_unseen(gold, predicted, ["GOUT", "Metformin"]).micro
    assert seen == PRFScore(2, 0, 0)
    assert unseen == PRFScore(0, 1, 1)
    assert seen + unseen == score(gold, predicted).micro


ranges = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 6), st.sampled_from("AB")), max_size=8
).map(lambda rows: doc(*((label, (s, s + n)) for s, n, label in rows)))


@given(ranges, ranges)
def test_views_are_ordered_and_symmetric(gold, predicted):
    tp, fp, fn = counts(gold, predicted)
    assert counts(predicted, gold) == (tp, fn, fp)
    lenient = counts(gold, predicted, "overlap")
    assert lenient[0] >= tp
    assert lenient[0] + lenient[1] == tp + fp
    assert lenient[0] + lenient[2] == tp + fn
    assert counts(gold, gold)[1:] == (0, 0)


def test_what_touches_masked_text_is_not_scored():
    # The shape of case 13-eval: gold knows nothing of [6, 16), so a find there is neither right
    # nor wrong, and a mention that reaches into it is not missed.
    gold = replace(
        doc(("Disease", (0, 4)), ("Disease", (13, 32)), ("Drug", (37, 46))), masked=((6, 16),)
    )
    predicted = doc(("Disease", (0, 4)), ("Disease", (6, 12)), ("Other", (13, 23)))
    for matching in ("strict", "overlap", "boundary"):
        assert counts(gold, predicted, matching) == (1, 0, 1)
    assert score_document(gold, predicted) == {
        "Disease": PRFScore(1, 0, 0),
        "Drug": PRFScore(0, 0, 1),
    }
    assert score_unseen([gold], [predicted], ["gout"]).micro == PRFScore(0, 0, 1)
    assert score_seen([gold], [predicted], ["gout"]).micro == PRFScore(1, 0, 0)
    assert count_unscored([gold], [predicted]) == Unscored(gold=1, predicted=2)
    assert not count_unscored([predicted], [gold])


def test_a_mention_that_ends_where_masked_text_begins_is_scored():
    gold = replace(doc(("Disease", (0, 4))), masked=((4, 12), (20, 20)))
    assert counts(gold, doc(("Disease", (0, 4)))) == (1, 0, 0)
    parts = doc(("Disease", (0, 4), (13, 16)))
    assert counts(gold, parts) == (0, 1, 1)  # it only reaches over


def test_attributes_in_masked_text_are_not_scored():
    ent = Entity("T1", "Disease", ((0, 4),), ("negated",))
    gold = Document("d", TEXT, (ent,), masked=((0, 2),))
    assert score_attributes([gold], [doc()], ["negated"])["negated"].end_to_end == (PRFScore(),)
