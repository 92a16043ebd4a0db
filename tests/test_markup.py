import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.markup import Fault, Marks, nest, parse, render
from tests.corpus.documents import LABELS, MARKLIKE, characters, entities, nested, texts

PLAIN = Marks.plain(LABELS)
RESERVED = Marks.reserved(LABELS, [f"<unused{i}>" for i in range(10, 20)])
marks_of = st.sampled_from([PLAIN, RESERVED])


def marks_or_none(labels):
    try:
        return Marks.plain(labels)
    except ConfigError:
        return None


any_marks = (
    st.lists(st.text(characters, min_size=1, max_size=4), min_size=1, max_size=3, unique=True)
    .map(marks_or_none)
    .filter(bool)
)


@st.composite
def documents(draw, labels=LABELS, extra=()):
    text = draw(texts)
    if extra:
        text = "".join(draw(st.lists(st.sampled_from([*extra, *MARKLIKE, "x", " "]), max_size=10)))
    return Document("n", text, draw(nested(text, labels=list(labels))))


@given(documents(), marks_of)
def test_parse_undoes_render(doc, marks):
    assert parse(render(doc, marks).text, marks, doc_id="n") == doc


@given(documents(), marks_of, st.data())
def test_parse_undoes_render_with_details(doc, marks, data):
    words = st.text(
        characters.filter(lambda c: not c.isspace() and c not in "{}#"), min_size=1, max_size=4
    )
    detailed = Document(
        "n",
        doc.text,
        tuple(
            Entity(f"e{i}", e.label, e.spans, tuple(data.draw(st.lists(words, max_size=2))))
            for i, e in enumerate(doc.entities)
        ),
    )
    rendered = render(detailed, marks, details=True)
    assert parse(rendered.text, marks, doc_id="n", details=True) == detailed


ATTRIBUTES = ["negated", "Certainty=low", "A"]
attribute_marks_of = st.sampled_from(
    [
        Marks.plain(LABELS, ATTRIBUTES),
        Marks.reserved(LABELS, [f"<unused{i}>" for i in range(10, 20)], ATTRIBUTES),
    ]
)


def with_attributes(draw, doc, ids="T"):
    """``doc`` with attributes that have marks; ids as the parser gives them, from 1."""
    return Document(
        doc.id,
        doc.text,
        tuple(
            Entity(f"{ids}{i}", e.label, e.spans, tuple(draw(st.sets(st.sampled_from(ATTRIBUTES)))))
            for i, e in enumerate(doc.entities, 1)
        ),
    )


@given(documents(), attribute_marks_of, st.data())
def test_parse_undoes_render_with_marks_of_attributes(doc, marks, data):
    doc = with_attributes(data.draw, doc)
    assert parse(render(doc, marks).text, marks, doc_id="n") == doc
    # In a block they stand once, not as marks besides.
    detailed = render(doc, marks, details=True)
    assert parse(detailed.text, marks, doc_id="n", details=True) == doc


@given(documents(), attribute_marks_of)
def test_marks_of_attributes_that_no_mention_has_change_nothing_but_escapes(doc, marks):
    plain = Marks(marks.labels, marks.opens, marks.close)
    if not any(mark in doc.text for mark in marks.attribute_marks):
        assert render(doc, marks) == render(doc, plain)


@given(any_marks, st.data())
def test_parse_undoes_render_for_any_labels(marks, data):
    """Text made of pieces of the marks themselves."""
    pieces = [
        piece for mark in (*marks.opens, marks.close) for piece in (mark, mark[:-1], mark[1:])
    ]
    doc = data.draw(documents(labels=marks.labels, extra=[p for p in pieces if p]))
    assert parse(render(doc, marks).text, marks, doc_id="n") == doc


@given(st.data())
def test_flattening_is_counted_and_what_is_left_parses(data):
    text = data.draw(texts)
    doc = Document("n", text, tuple(data.draw(entities(text, pieces=3))))
    rendered = render(doc, PLAIN)
    found = parse(rendered.text, PLAIN, doc_id="n")
    assert isinstance(found, Document)
    assert found.text == text
    lost = rendered.flattened.get("crossing", 0)
    assert len(found.entities) == len(doc.entities) - lost
    assert rendered.flattened.get("discontinuous", 0) == sum(len(e.spans) > 1 for e in doc.entities)


@given(documents(), st.one_of(marks_of, attribute_marks_of), st.data())
def test_mutated_output_gives_a_document_or_a_fault(doc, marks, data):
    details = data.draw(st.booleans())
    text = render(doc, marks, details=details).text
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 6)))
        new = data.draw(st.sampled_from([*MARKLIKE, *marks.all, "", "{#a b}", "🩺"]))
        text = text[:start] + new + text[end:]
    found = parse(text, marks, doc_id="n", details=details)
    assert isinstance(found, Document | Fault)
    if isinstance(found, Fault):
        assert 0 <= found.offset <= len(text)


@given(st.text(characters), marks_of, st.booleans())
def test_any_string_gives_a_document_or_a_fault(text, marks, details):
    assert isinstance(parse(text, marks, doc_id="n", details=details), Document | Fault)


def test_the_example_of_the_module():
    doc = Document("n", "No chest pain today", (Entity("p1", "Problem", ((3, 13),), ("negated",)),))
    rendered = render(doc, PLAIN, details=True).text
    assert rendered == "No <Problem>{#p1 negated}chest pain</> today"
    assert render(doc, PLAIN).text == "No <Problem>chest pain</> today"


def test_attributes_with_marks_stand_after_the_open_mark():
    marks = Marks.plain(["Problem"], ["family", "negated"])
    ent = Entity("T1", "Problem", ((3, 13),), ("historical", "negated", "family"))
    text = render(Document("n", r"No chest pain <+negated>", (ent,)), marks).text
    assert text == r"No <Problem><+family><+negated>chest pain</> \<+negated>"
    found = parse(text, marks, doc_id="n")
    assert found.entities[0].attributes == ("family", "negated")
    assert found.text == "No chest pain <+negated>"


@pytest.mark.parametrize(
    ("marked", "offset"),
    [
        ("<+negated>a", 0),
        ("<A>a<+negated></>", 4),
        ("<A> <+negated>a</>", 4),
        ("<A>a</><+negated>b", 7),
        ("<A><+negated><+negated>a</>", 13),
        ("<A><A>a</><+negated>b</>", 10),
    ],
)
def test_an_attribute_elsewhere_than_after_its_open_mark_is_a_fault(marked, offset):
    marks = Marks.plain(["A"], ["negated", "family"])
    assert parse(marked, marks, doc_id="n") == Fault("misplaced attribute", offset)


def test_an_attribute_alone_is_an_empty_mention():
    marks = Marks.plain(["A"], ["negated"])
    assert parse("<A><+negated></>", marks, doc_id="n") == Fault("empty mention", 13)


def test_literal_marks_are_escaped():
    doc = Document("n", r"a</>b\c <A> <Q>")
    assert render(doc, PLAIN).text == r"a\</>b\\c \<A> <Q>"


def test_identical_spans_are_ordered_by_label():
    doc = Document("n", "pain", (Entity("T2", "B-2", ((0, 4),)), Entity("T1", "A", ((0, 4),))))
    assert render(doc, PLAIN).text == "<A><B-2>pain</></>"


def test_brief_entities_have_no_block():
    ents = (Entity("T1", "A", ((0, 1),)), Entity("T2", "A", ((2, 3),), ("negated",)))
    text = render(Document("n", "a b", ents), PLAIN, details=True, brief={"T1"}).text
    assert text == "<A>a</> <A>{#T2 negated}b</>"


@pytest.mark.parametrize(
    ("marked", "reason", "offset"),
    [
        (r"a \x", "bad escape", 2),
        ("a</>", "close without open", 1),
        ("<A>a", "open without close", 4),
        ("x<A></>", "empty mention", 4),
        ("<A>{#}a</>", "bad details", 3),
        ("<A>{#a  b}a</>", "bad details", 3),
        ("<A>{#a\n}a</>", "bad details", 3),
        ("<A>{#a}a</><A>{#a}b</>", "bad details", 0),
    ],
)
def test_faults_name_reason_and_offset(marked, reason, offset):
    assert parse(marked, PLAIN, doc_id="n", details=True) == Fault(reason, offset)


def test_unnamed_entities_get_free_ids():
    found = parse("<A>{#T1}a</><A>b</><A>{}c</>", PLAIN, doc_id="n", details=True)
    assert isinstance(found, Document)
    assert [e.id for e in found.entities] == ["T1", "T2", "T3"]


def test_crossing_keeps_the_first():
    ents = [
        Entity("T1", "A", ((0, 3),)),
        Entity("T2", "A", ((2, 5),)),
        Entity("T3", "A", ((1, 2),)),
    ]
    kept, counts = nest(ents)
    assert [e.id for e in kept] == ["T1", "T3"]
    assert counts == {"crossing": 1}


@pytest.mark.parametrize(
    ("labels", "opens", "close"),
    [
        (("A",), ("<A>", "<B>"), "</>"),
        (("A", "A"), ("<A>", "<B>"), "</>"),
        (("",), ("<A>",), "</>"),
        (("A",), ("",), "</>"),
        (("A",), ("{A",), "</>"),
        (("A",), ("\\A",), "</>"),
        (("A", "B"), ("<A", "<AB"), "</>"),
        (("A",), ("<A<",), "</>"),
    ],
)
def test_ambiguous_marks_are_refused(labels, opens, close):
    with pytest.raises(ConfigError):
        Marks(labels, opens, close)


def test_too_few_reserved_tokens_are_refused():
    with pytest.raises(ConfigError, match="2 labels need 3 reserved tokens"):
        Marks.reserved(["A", "B"], ["<u1>", "<u2>"])
    with pytest.raises(ConfigError, match="1 labels and 2 attributes need 4 reserved tokens"):
        Marks.reserved(["A"], ["<u1>", "<u2>", "<u3>"], ["negated", "family"])


@pytest.mark.parametrize("attributes", [("",), ("a", "a"), ("<",), ("\\",)])
def test_impossible_attributes_are_refused(attributes):
    with pytest.raises(ConfigError):
        Marks.plain(["A"], attributes)


def test_a_label_without_mark_and_a_word_that_breaks_the_block_are_refused():
    with pytest.raises(ConfigError, match="label Q has no mark"):
        render(Document("n", "a", (Entity("T1", "Q", ((0, 1),)),)), PLAIN)
    with pytest.raises(ConfigError, match="details block"):
        render(Document("n", "a", (Entity("T 1", "A", ((0, 1),)),)), PLAIN, details=True)
