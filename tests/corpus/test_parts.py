import pytest

from notesmith.corpus.parts import keep_apart, without_repeats
from notesmith.document import Document
from notesmith.errors import CorpusError


def doc(doc_id, text, patient=None):
    return Document(doc_id, text, metadata={} if patient is None else {"patient": patient})


def ids(docs):
    return [each.id for each in docs]


def test_repeats_are_found_by_text_and_by_patient():
    docs = [
        doc("a", "Has a cough."),
        doc("b", "Has  a\ncough. "),
        doc("c", "Has a Cough."),
        doc("d", "Sleeps well.", "p1"),
        doc("e", "Results"),
        doc("f", "Has a cough.", "p1"),
    ]
    others = [doc("x", "Has a cough.", "p2")], [doc("y", "Other.", "p1"), doc("z", "Results")]
    found = without_repeats(docs, *others)
    assert ids(found.kept) == ["c"]
    assert ids(found.dropped) == ["a", "b", "d", "e", "f"]
    assert found.counts == {"text": 4, "patient": 1}


def test_no_text_and_no_patient_repeat_nothing():
    blank = [doc("a", " \n"), doc("b", "One."), doc("c", "Two.", "")]
    assert ids(without_repeats(blank, [doc("x", ""), doc("y", "Three.", "")]).kept) == [
        *("a", "b", "c"),
    ]
    # Patients are compared as they are written: a number is the same as its digits.
    assert without_repeats([doc("d", "Four.", 7)], [doc("z", "Five.", "7")]).counts == {
        "patient": 1
    }


def test_each_part_loses_what_stands_in_those_after_it():
    found = keep_apart(
        {
            "train": [doc("t1", "One."), doc("t2", "Two."), doc("t3", "Three."), doc("t4", "4", 1)],
            "dev": [doc("d1", "Two."), doc("d2", "Five.")],
            "test": [doc("e1", "Three."), doc("e2", "Five."), doc("e3", "Six.", 1)],
        }
    )
    assert {name: ids(docs) for name, docs in found.docs.items()} == {
        "train": ["t1"],
        "dev": ["d1"],
        "test": ["e1", "e2", "e3"],
    }
    assert found.sentences == [
        "2 documents of train are left out, as their text stands in dev or test too.",
        "1 document of train is left out, as its patient stands in dev or test too.",
        "1 document of dev is left out, as its text stands in test too.",
    ]


def test_parts_that_share_nothing_stay_as_they_are():
    parts = {"train": [doc("a", "One.")], "test": [doc("b", "Two.")], "other": [doc("c", "One.")]}
    found = keep_apart(parts)
    assert found.docs == parts and found.sentences == []


def test_nothing_left_of_a_part_is_an_error():
    with pytest.raises(CorpusError, match=r"all 2 documents of train stand in test too") as error:
        keep_apart(
            {
                "train": [doc("a", "Quill."), doc("b", "Feather.", "p")],
                "test": [doc("c", "Quill.", "p")],
            }
        )
    assert "1 by patient and 1 by text" in str(error.value) and "Quill" not in str(error.value)


def test_notes_that_a_model_chose_are_not_scored():
    def queued(doc_id, text, how, patient=None):
        found = doc(doc_id, text, patient)
        return Document(doc_id, text, metadata={**found.metadata, "queued": how})

    found = keep_apart(
        {
            "train": [queued("c1", "One.", "chosen"), queued("c2", "Two.", "chosen", "p")],
            "dev": [queued("c3", "Three.", "chosen"), doc("d", "Four.")],
            "test": [queued("c1", "One.", "chosen"), queued("r", "Five.", "control", "p")],
        }
    )
    # A chosen note that was named as test stays in train.
    assert {name: ids(docs) for name, docs in found.docs.items()} == {
        **{"train": ["c1"], "dev": ["d"], "test": ["r"]},
    }
    assert found.sentences == [
        "1 document of train is left out, as its patient stands in dev or test too.",
        "1 document of dev is left out, as a model chose it for labelling: chosen notes are not "
        "scored.",
        "1 document of test is left out, as a model chose it for labelling: chosen notes are not "
        "scored.",
    ]
    with pytest.raises(CorpusError, match="nothing of test is left: a model chose 1 document"):
        keep_apart({"test": [queued("c", "One.", "chosen")]})
