import pytest

from notesmith.corpus.disputes import by_document, disagreements
from notesmith.corpus.problems import Tally
from notesmith.errors import CorpusError
from tests.corpus.marked import TEXT, reading


def found(**readings):
    return [(x.kind, TEXT[x.start : x.end], x.markers) for x in disagreements("n", readings)]


def test_equal_readings_differ_nowhere():
    assert found(a=reading("P:one", "Q:two"), b=reading("Q:two", "P:one")) == []


@pytest.mark.parametrize(
    ("one", "other", "kind", "place"),
    [
        (["P:one"], [], "only", "one"),
        (["P:one two"], ["P:two"], "boundary", "one two"),
        (["P:one two"], ["P:two three"], "boundary", "one two three"),
        (["P:one two"], ["P:one", "P:two"], "boundary", "one two"),
        (["P:one"], ["Q:one"], "label", "one"),
        (["P:one two"], ["Q:two"], "boundary and label", "one two"),
        (["P:one:negated"], ["P:one"], "attributes", "one"),
    ],
)
def test_kinds(one, other, kind, place):
    ((said, where, _),) = found(a=reading(*one), b=reading(*other))
    assert (said, where) == (kind, place)


def test_those_who_mark_are_named_and_places_stand_in_order():
    three = {"a": reading("P:four", "P:one"), "b": reading("P:one"), "c": reading("P:six")}
    assert found(**three) == [
        ("only", "one", ("a", "b")),
        ("only", "four", ("a",)),
        ("only", "six", ("c",)),
    ]


def test_a_mention_nested_in_one_that_all_mark_is_a_place_of_its_own():
    assert found(a=reading("P:one two", "Q:two"), b=reading("P:one two")) == [
        ("only", "two", ("a",))
    ]


def test_a_record_holds_no_text():
    (place,) = disagreements("n", {"a": reading("P:one"), "b": reading()})
    assert place.to_record() == {
        "doc": "n",
        "start": 5,
        "end": 8,
        "kind": "only",
        "marks": {"a": [{"label": "P", "spans": [[5, 8]]}], "b": []},
    }


def test_texts_of_one_id_must_be_equal():
    both = {"a": [reading()], "b": [reading(text="zero One")]}
    with pytest.raises(CorpusError, match="doc 'n': the texts of a and b differ from offset 5"):
        by_document(both, Tally())
    tally = Tally("count")
    assert by_document(both, tally) == {}
    assert tally.counts == {"dropped: document whose texts differ": 1}
