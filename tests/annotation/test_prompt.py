import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.annotation.prompt import Form, shots_of
from notesmith.document import Document, Entity
from notesmith.markup import Marks
from tests.annotation.test_grammar import ATTRIBUTES, marks_of, word_documents
from tests.corpus.documents import LABELS, texts

MARKS = Marks.plain(["Problem", "Drug"], ["negated"])
DOC = Document(
    "n",
    "No chest\npain on aspirin.",
    (Entity("T1", "Problem", ((3, 13),), ("negated",)), Entity("T2", "Drug", ((17, 24),))),
)
INLINE = Form("inline", MARKS)
JSON = Form("json", MARKS)


def test_snapshot_of_both_templates():
    described = Form("json", MARKS, "passage", "abstract", {"Drug": "a substance given to treat"})
    assert described.prompt(DOC.text) == (
        "Mentions of Problem, Drug in one passage of a abstract.\n"
        "Drug means a substance given to treat\n"
        "Text: No chest pain on aspirin.\n"
        "Mentions:"
    )
    assert INLINE.prompt(DOC.text) == (
        "Mentions of Problem, Drug in one sentence of a clinical note.\n"
        "Text: No chest pain on aspirin.\n"
        "Marked:"
    )


def test_snapshot_of_both_answers():
    assert JSON.answer(DOC).text == (
        '[{"left":" No","text":" chest pain","right":" on aspirin.","label":"Problem",'
        '"attributes":["negated"]},'
        '{"left":" pain on","text":" aspirin","right":".","label":"Drug"}]'
    )
    assert INLINE.answer(DOC).text == (" No<Problem><+negated> chest pain</> on<Drug> aspirin</>.")


def test_examples_are_prompts_with_their_answers():
    assert shots_of(INLINE, [Document("n", "Well.")]) == (
        "Mentions of Problem, Drug in one sentence of a clinical note.\n"
        "Text: Well.\nMarked: Well.\n\n"
    )


@pytest.mark.parametrize("name", ["json", "inline"])
@given(doc=word_documents(), marks=marks_of)
def test_what_is_answered_is_read_back(name, doc, marks):
    form = Form(name, marks)
    written = form.answer(doc)
    assert written.flattened == {}
    found = form.read(doc.text, written.text, ended=True)
    if name == "json" or not any(mark in doc.text for mark in marks.all):
        assert found.entities == doc.entities
        assert found.failures == {}


@pytest.mark.parametrize("name", ["json", "inline"])
@given(text=texts, answer=st.lists(texts | st.sampled_from(["<A>", "</>", " "])).map("".join))
def test_any_answer_gives_mentions_or_a_reason(name, text, answer):
    form = Form(name, Marks.plain(LABELS, ATTRIBUTES))
    found = form.read(text, answer, ended=True)
    assert len(found.places) == len(found.entities)
    assert all(ent.end <= len(text) for ent in found.entities)
    assert found.entities or found.failures or name == "json" or answer.split() == text.split()


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (" No chest pain on<Drug> ibuprofen</>.", {"changed text": 1}),
        (" No chest pain on<Drug> aspirin</>", {"changed text": 1}),
        (" No chest pain on<Drug> aspirin.", {"open without close": 1}),
        (" No chest pain on aspirin</>.", {"close without open": 1}),
        ("<Problem> No<Drug> chest pain</></> on aspirin.", {"overlapping": 1}),
    ],
)
def test_a_copy_counts_only_where_it_is_faithful(answer, failures):
    assert INLINE.read(DOC.text, answer, ended=True).failures == failures


def test_a_mark_that_white_space_turns_into_an_escaped_one_is_a_reason():
    """The note holds a mark itself, and the answer an escape with a space behind it."""
    found = INLINE.read("x a</> b", "<Problem> x</> a\\ </>b", ended=True)
    assert found.failures == {"bad escape": 1} and not found.entities
    assert not INLINE.read("a</> b", " a\\ </>b", ended=True).entities


def test_white_space_of_a_copy_may_differ():
    found = INLINE.read(DOC.text, "No<Problem>\nchest  pain</> on aspirin. ", ended=True)
    assert [(e.label, e.spans) for e in found.entities] == [("Problem", ((3, 13),))]
    assert found.places == ((2, 26),)


def test_a_copy_that_ran_out_of_tokens_is_cut_off():
    assert INLINE.read(DOC.text, " No chest", ended=False).failures == {"cut off": 1}


def test_places_are_of_the_answer_as_it_was_written():
    answer = INLINE.answer(DOC).text
    found = INLINE.read(DOC.text, answer, ended=True)
    assert [answer[slice(*place)] for place in found.places] == [
        "<Problem><+negated> chest pain</>",
        "<Drug> aspirin</>",
    ]
    answer = JSON.answer(DOC).text
    found = JSON.read(DOC.text, answer, ended=True)
    assert [answer[start] + answer[end - 1] for start, end in found.places] == ["{}", "{}"]
