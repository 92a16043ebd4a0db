import json
from dataclasses import replace

import pytest

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.evaluate import CellScores, score_cell
from notesmith.evaluate.scores import add_students, join_folds

TEXT = "Gout and asthma today, on allopurinol."
GOUT, ASTHMA, DRUG = ((0, 4),), ((9, 15),), ((26, 37),)


def doc(doc_id, *entities, patient=None):
    ents = tuple(Entity(f"T{i}", label, spans) for i, (label, spans) in enumerate(entities))
    return Document(doc_id, TEXT, ents, metadata={} if patient is None else {"patient": patient})


GOLD = [
    doc("a", ("Disease", GOUT), ("Disease", ASTHMA), ("Drug", DRUG), patient="p1"),
    doc("b", ("Disease", GOUT), patient="p2"),
    doc("c", patient="p1"),
]
# a: gout right, asthma one character short, drug under the wrong label; b: nothing; c: drug.
PREDICTED = [
    doc("c", ("Drug", DRUG)),
    doc("a", ("Disease", GOUT), ("Disease", ((9, 14),)), ("Disease", DRUG)),
    doc("b"),
]
NAMES = {"arm": "gold", "size": 50, "replicate": 1, "seed": 7}


def cell(**changes):
    return score_cell(GOLD, PREDICTED, ["GOUT"], **{**NAMES, **changes})


def test_strict_counts_by_hand():
    found = cell()
    # (tp, fp, fn) of a, b, c.
    assert found.strict == {
        "Disease": ((1, 2, 1), (0, 0, 1), (0, 0, 0)),
        "Drug": ((0, 0, 1), (0, 0, 0), (0, 1, 0)),
    }
    # tp 1, fp 3, fn 3.
    assert found.f1 == pytest.approx(2 / 8)
    assert found.counts().tolist() == [[1, 2, 2], [0, 0, 1], [0, 1, 0]]
    assert found.counts(label="Drug").tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert found.counts(label="absent").tolist() == [[0, 0, 0]] * 3


def test_other_views_by_hand():
    found = cell()
    # Overlap forgives asthma's boundary, not the drug's label.
    assert found.lenient == ((2, 1, 1), (0, 0, 1), (0, 1, 0))
    # Boundaries forgive the drug's label, not asthma's boundary.
    assert found.boundary == ((2, 1, 1), (0, 0, 1), (0, 1, 0))
    # "gout" is in training in another case; all else is unseen.
    assert found.seen == ((1, 0, 0), (0, 0, 1), (0, 0, 0))
    assert found.unseen == ((0, 2, 2), (0, 0, 0), (0, 1, 0))


def test_documents_of_a_patient_share_a_group():
    assert cell().groups == (0, 1, 0)


def test_documents_without_patient_are_groups_of_their_own():
    docs = [doc("a"), doc("b")]
    assert score_cell(docs, docs, [], **NAMES).groups == (0, 1)


def test_sentences_of_a_document_share_a_group():
    docs = [Document(f"s{i}", TEXT, metadata={"document": d}) for i, d in enumerate("xyx")]
    assert score_cell(docs, docs, [], **NAMES).groups == (0, 1, 0)
    # The patient, where one is named, is the larger whole.
    docs = [Document(d.id, TEXT, metadata={**d.metadata, "patient": "p"}) for d in docs]
    assert score_cell(docs, docs, [], **NAMES).groups == (0, 0, 0)


def test_json_round_trip_without_text_or_ids():
    found = cell(seconds=1.5, tokens=12, split="dev")
    text = json.dumps(found.to_json())
    assert CellScores.from_json(json.loads(text)) == found
    for secret in ("Gout", "gout", "allopurinol", "p1", '"a"'):
        assert secret not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2, not 1"),
        ({"groups": None}, "TypeError"),
        ({"unseen": [[1, 2]]}, "not .tp, fp, fn."),
        ({"strict": {"Drug": [[1, 2, "x"]]}}, "ValueError"),
    ],
)
def test_malformed_json_is_an_error(change, message):
    with pytest.raises(StageError, match=message):
        CellScores.from_json({**cell().to_json(), **change})


def test_missing_part_is_named():
    value = cell().to_json()
    del value["seen"]
    with pytest.raises(StageError, match="seen"):
        CellScores.from_json(value)


def test_predictions_for_other_documents_are_an_error():
    with pytest.raises(StageError, match="1 documents without prediction"):
        score_cell(GOLD, PREDICTED[:2], [], **NAMES)


def test_students_of_a_draw_are_added_up_and_counted_as_their_mean():
    right = score_cell(GOLD, GOLD, ["gout"], **NAMES, seconds=2.0, tokens=10)
    both = add_students([cell(seconds=1.0, tokens=5), right])
    # tp 1 and 4, fp 3 and 0, fn 3 and 0.
    assert both.f1 == pytest.approx(2 * 5 / (2 * 5 + 3 + 3))
    assert both.counts().tolist() == [[2, 1, 1], [0.5, 0, 0.5], [0, 0.5, 0]]
    assert (
        both.counts("unseen").sum() == (cell().counts("unseen") + right.counts("unseen")).sum() / 2
    )
    assert (both.students, both.seconds, both.tokens) == (2, 3.0, 15)
    assert CellScores.from_json(json.loads(json.dumps(both.to_json()))) == both
    assert "students" not in cell().to_json()
    with pytest.raises(StageError, match="different documents"):
        add_students([cell(), score_cell(GOLD[:2], GOLD[:2], [], **NAMES)])


def test_students_are_kept_apart_too():
    right = score_cell(GOLD, GOLD, ["gout"], **NAMES)
    both = add_students([cell(), right])
    assert both.counts_apart().tolist() == [
        [[1, 2, 2], [0, 0, 1], [0, 1, 0]],
        [[3, 0, 0], [1, 0, 0], [0, 0, 0]],
    ]
    assert both.counts_apart("lenient")[0].tolist() == [[2, 1, 1], [0, 0, 1], [0, 1, 0]]
    assert cell().counts_apart().tolist() == [cell().counts().tolist()]
    assert "apart" not in cell().to_json()


def test_students_of_folds_stay_apart():
    right = score_cell(GOLD[:2], GOLD[:2], [], **NAMES)
    wrong = score_cell(GOLD[:2], [doc("a"), doc("b")], [], **NAMES)
    rest = score_cell(GOLD[2:], PREDICTED[:1], [], **NAMES)
    joined = join_folds(
        GOLD, [(["c"], add_students([rest, rest])), (["a", "b"], add_students([right, wrong]))]
    )
    assert joined.students == 2
    assert joined.counts_apart().tolist() == [
        [[3, 0, 0], [1, 0, 0], [0, 1, 0]],
        [[0, 0, 3], [0, 0, 1], [0, 1, 0]],
    ]


def test_a_student_that_predicts_nothing_is_known():
    nothing = score_cell(GOLD, [doc(d.id) for d in GOLD], [], **NAMES)
    assert nothing.predicts_nothing and not cell().predicts_nothing
    # One of several students is enough.
    assert add_students([cell(), nothing]).predicts_nothing


def test_left_out_documents_are_not_scored():
    part = replace(cell(), left_out=(1,))
    assert (part.n_documents, part.n_scored) == (3, 2)
    assert CellScores.from_json(json.loads(json.dumps(part.to_json()))) == part
    with pytest.raises(StageError, match="different documents"):
        add_students([cell(), part])


def marked(doc, *values):
    """``doc`` whose mentions carry one value each, '' for none."""
    ents = [
        replace(ent, attributes=(value,) if value else ())
        for ent, value in zip(doc.entities, values, strict=True)
    ]
    return doc.with_entities(ents)


def test_attributes_by_hand():
    gold = [marked(GOLD[0], "negated", "negated", ""), marked(GOLD[1], "negated"), GOLD[2]]
    # a: gout's value is right, asthma is not found; b: gout is found and not negated.
    found_in_b = marked(doc("b", ("Disease", GOUT)), "family")
    predicted = [PREDICTED[0], marked(PREDICTED[1], "negated", "negated", ""), found_in_b]
    found = score_cell(gold, predicted, [], **NAMES, attributes=["family", "negated"])
    assert found.on_found["negated"] == ((1, 0, 0), (0, 0, 1), (0, 0, 0))
    assert found.end_to_end["negated"] == ((1, 1, 1), (0, 0, 1), (0, 0, 0))
    # Gold has no family here, and the student was to learn it: what it says counts.
    assert found.end_to_end["family"] == ((0, 0, 0), (0, 1, 0), (0, 0, 0))
    assert found.counts("end_to_end", label="negated").sum(axis=0).tolist() == [1, 1, 2]
    assert CellScores.from_json(json.loads(json.dumps(found.to_json()))) == found
    twice = add_students([found, found])
    assert twice.end_to_end["negated"][0] == (2, 2, 2)
    assert twice.counts("end_to_end", label="negated").tolist() == [[1, 1, 1], [0, 0, 1], [0, 0, 0]]
    folds = [
        (["b"], score_cell(gold[1:2], predicted[2:], [], **NAMES, attributes=["negated"])),
        (["a", "c"], score_cell(gold[::2], predicted[:2], [], **NAMES, attributes=["negated"])),
    ]
    joined = join_folds(gold, folds)
    assert joined.on_found == {"negated": found.on_found["negated"]}


def test_without_attributes_cells_are_as_before():
    assert not {"end_to_end", "on_found"} & cell().to_json().keys()
