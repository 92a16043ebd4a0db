import pytest

from notesmith.document import Document, Entity, Relation, Section, labels_of
from notesmith.errors import CorpusError, OffsetError

TEXT = "Denies chest pain."


def test_mention_of_discontinuous_entity_joins_its_pieces():
    ent = Entity("T1", "Problem", ((0, 6), (13, 17)))
    assert ent.mention(TEXT) == "Denies pain"
    assert (ent.start, ent.end) == (0, 17)


def test_shift_moves_all_ranges():
    assert Entity("T1", "Problem", ((0, 6), (13, 17))).shift(5).spans == ((5, 11), (18, 22))


def test_attributes_are_sorted_and_unique():
    ent = Entity("T1", "Problem", ((0, 1),), ("uncertain", "negated", "negated"))
    assert ent.attributes == ("negated", "uncertain")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ((), "no span"),
        (((3, 3),), r"\[3, 3\) is empty"),
        (((-1, 3),), r"\[-1, 3\) is empty or negative"),
        (((4, 6), (0, 2)), "overlaps or is unsorted"),
        (((0, 4), (3, 6)), "overlaps or is unsorted"),
    ],
)
def test_bad_spans_are_refused(spans, message):
    with pytest.raises(OffsetError, match=message):
        Entity("T1", "Problem", spans)


def test_entity_past_the_end_names_doc_entity_and_end_but_not_text():
    with pytest.raises(OffsetError, match=r"doc 'n1': 'T1' \[7, 40\) is past end 18") as error:
        Document("n1", TEXT, (Entity("T1", "Problem", ((7, 40),)),))
    assert "chest" not in str(error.value)


def test_offsets_count_code_points_not_bytes_or_utf16_units():
    text = "𝛼e\u0301 pain"
    doc = Document("n1", text, (Entity("T1", "Problem", ((4, 8),)),))
    assert doc.mentions() == ["pain"]


def test_double_entity_id_is_refused():
    ent = Entity("T1", "Problem", ((0, 1),))
    with pytest.raises(CorpusError, match="'T1' stands twice"):
        Document("n1", TEXT, (ent, ent))


def test_relation_to_unknown_entity_is_refused():
    ent = Entity("T1", "Problem", ((0, 1),))
    with pytest.raises(CorpusError, match="'R1' names unknown 'T9'"):
        Document("n1", TEXT, (ent,), (Relation("R1", "x", "T1", "T9"),))


def test_section_and_mask_past_the_end_are_refused():
    with pytest.raises(OffsetError, match=r"section \[0, 99\)"):
        Document("n1", TEXT, sections=(Section("Plan", 0, 99),))
    with pytest.raises(OffsetError, match=r"mask \[5, 99\)"):
        Document("n1", TEXT, masked=((5, 99),))


def test_with_entities_leaves_relations_out():
    ent = Entity("T1", "Problem", ((0, 1),))
    doc = Document("n1", TEXT, (ent,), (Relation("R1", "x", "T1", "T1"),))
    assert doc.with_entities([ent]).relations == ()


def test_labels_of_is_sorted():
    docs = [Document("a", TEXT, (Entity("T1", "Z", ((0, 1),)), Entity("T2", "A", ((0, 1),))))]
    assert labels_of(docs) == ("A", "Z")
