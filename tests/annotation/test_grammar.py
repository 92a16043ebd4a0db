import random

from hypothesis import assume, given
from hypothesis import strategies as st

from notesmith.annotation.grammar import InlineGrammar, JsonGrammar
from notesmith.document import Document, Entity
from notesmith.markup import Marks, from_lm, to_lm
from notesmith.markup import parse as parse_inline
from notesmith.markup import render as render_inline
from notesmith.markup_json import parse, render
from notesmith.words import words
from tests.corpus.documents import LABELS, texts

ATTRIBUTES = ["Certainty=low", "negated"]
MARKS = Marks.plain(LABELS, ATTRIBUTES)
marks_of = st.sampled_from(
    [MARKS, Marks.reserved(LABELS, [f"<unused{i}>" for i in range(10, 20)], ATTRIBUTES)]
)


@st.composite
def word_documents(draw):
    """Stripped text with flat mentions that begin and end with words."""
    text = draw(texts).strip()
    spans = words(text)
    entities = []
    first = 0
    while first < len(spans) and len(entities) < 4:
        first += draw(st.integers(0, 3))
        last = first + draw(st.integers(0, 2))
        if last >= len(spans):
            break
        entities.append(
            Entity(
                f"T{len(entities) + 1}",
                draw(st.sampled_from(LABELS)),
                ((spans[first][0], spans[last][1]),),
                tuple(draw(st.sets(st.sampled_from(ATTRIBUTES)))),
            )
        )
        first = last + 1
    return Document("n", text, tuple(entities))


def accepts(grammar, text):
    state = grammar.begin()
    for byte in text.encode():
        state = grammar.steps(state).get(byte)
        if state is None:
            return False
    return grammar.may_end(state)


def walk(grammar, rng, most=3000):
    """A text that the grammar takes, each byte drawn at random."""
    state, written = grammar.begin(), bytearray()
    while not grammar.may_end(state) or (grammar.steps(state) and rng.random() < 0.9):
        byte, state = rng.choice(sorted(grammar.steps(state).items(), key=lambda pair: pair[0]))
        written.append(byte)
        assert len(written) < most or not grammar.may_end(state)
    return written.decode()


@given(word_documents(), st.integers(1, 3))
def test_what_is_learnt_in_json_can_be_written(doc, context_words):
    grammar = JsonGrammar.of(doc.text, LABELS, ATTRIBUTES)
    written = render(doc, attributes=ATTRIBUTES, context_words=context_words).text
    assert accepts(grammar, written)
    assert not accepts(grammar, written + "]")
    assert not accepts(grammar, written[:-1])


@given(word_documents(), st.randoms(use_true_random=False))
def test_whatever_is_written_in_json_fails_for_want_of_context_alone(doc, rng):
    written = walk(JsonGrammar.of(doc.text, LABELS, ATTRIBUTES), rng)
    found = parse(doc.text, written, LABELS, attributes=ATTRIBUTES)
    assert found.failures.keys() <= {"ambiguous", "overlapping"}
    assert found.tolerated == {}


def test_mentions_in_json_follow_one_another():
    grammar = JsonGrammar.of("asthma and asthma", ["A"])
    one = '{"left":"","text":" asthma","right":" and","label":"A"}'
    two = '{"left":" and","text":" asthma","right":"","label":"A"}'
    assert accepts(grammar, "[]") and accepts(grammar, f"[{one},{two}]")
    assert not accepts(grammar, f"[{two},{one}]")
    assert not accepts(grammar, f"[{one},{one}]")
    assert not accepts(grammar, "[" + one.replace(" asthma", " asthm") + "]")
    assert not accepts(grammar, "[" + one.replace('"A"', '"B"') + "]")
    assert not accepts(JsonGrammar.of(" ", ["A"]), f"[{one}]")
    assert accepts(JsonGrammar.of(" ", ["A"]), "[]")


@given(word_documents(), marks_of)
def test_what_is_learnt_inline_can_be_written(doc, marks):
    assume(not any(mark in doc.text for mark in marks.all))
    written = to_lm(" " + render_inline(doc, marks).text, marks)
    assert accepts(InlineGrammar.of(doc.text, marks), written)


@given(word_documents(), marks_of, st.randoms(use_true_random=False))
def test_whatever_is_written_inline_is_a_faithful_copy(doc, marks, rng):
    written = walk(InlineGrammar.of(doc.text, marks), rng)
    found = parse_inline(from_lm(written, marks), marks, doc_id="n")
    assert isinstance(found, Document)
    assert found.text.split() == doc.text.split()


def test_marks_stand_around_whole_words():
    assert accepts(InlineGrammar.of("x <", Marks.plain(["A"])), " x <")
    grammar = InlineGrammar.of("No asthma.", Marks.plain(["A"]))
    assert accepts(grammar, " No<A> asthma</>.")
    assert accepts(grammar, "<A> No</> asthma.")
    for wrong in (" No<A> asth</>ma.", " No <A>asthma</>.", " No<A> asthma.", " No asthma", " "):
        assert not accepts(grammar, wrong)


def test_a_random_walk_is_reproducible():
    grammar = JsonGrammar.of("chest pain today", ["A"])
    assert walk(grammar, random.Random(3)) == walk(grammar, random.Random(3))
