import re
from html import unescape

from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.marked import hues, pieces, to_html, visible


@st.composite
def documents(draw):
    text = draw(st.text(min_size=1, max_size=40))
    offsets = st.integers(0, len(text))
    entities = []
    for i in range(draw(st.integers(0, 5))):
        ends = sorted(draw(st.lists(offsets, min_size=2, max_size=4, unique=True)))
        spans = tuple(zip(ends[::2], ends[1::2], strict=False))
        if spans:
            entities.append(Entity(f"T{i}", draw(st.sampled_from("ABC")), spans))
    return Document("d", text, tuple(entities))


@given(documents())
def test_pieces_give_the_text_back_and_know_their_entities(doc):
    found = pieces(doc)
    assert "".join(piece.text for piece in found) == doc.text
    at = 0
    ended = []
    for piece in found:
        covering = {e.id for e in doc.entities if any(s <= at < end for s, end in e.spans)}
        assert {e.id for e in piece.covering} == covering
        at += len(piece.text)
        ended += [e.id for e in piece.ending]
    assert sorted(ended) == sorted(e.id for e in doc.entities)


def test_nested_the_innermost_gives_the_colour():
    doc = Document(
        "d", "heart failure", (Entity("T1", "P", ((0, 13),)), Entity("T2", "B", ((0, 5),)))
    )
    assert [(p.text, p.label) for p in pieces(doc)] == [("heart", "B"), (" failure", "P")]


def test_hues_are_the_same_for_the_same_labels_and_differ():
    docs = [Document("d", "a", (Entity("T1", f"L{i}", ((0, 1),)),)) for i in range(41)]
    assert hues(docs) == hues(docs[::-1])
    assert len(set(hues(docs).values())) == 41


def test_control_characters_become_visible():
    assert visible("a\x1b[31m\r\n\tb\u202ec\x9b") == "a␛[31m\n\tb�c�"


def words_of(page):
    """The text of HTML, its style and its labels left out."""
    page = re.sub(r"<style>.*?</style>|<p>.*?</p>|<span class=\"tag\".*?</span>", "", page)
    return unescape(re.sub(r"<[^<>]*>", "", page))


@given(documents())
def test_html_holds_the_text_once_and_closes_what_it_opens(doc):
    html = doc._repr_html_()
    assert words_of(html) == visible(doc.text)
    assert html.count("<span") == html.count("</span>")
    assert html.count('class="tag"') == len(doc.entities)


def test_a_notebook_shows_mentions_in_colour_and_nothing_of_a_note_as_markup():
    ent = Entity("T1", "<Problem>", ((0, 8),), ("negated",))
    doc = Document('"><script>', "<b>no</b> & fever\x1b[31m", (ent,))
    html = doc._repr_html_()
    for tag in ("<script", "<b>no", "<Problem", "\x1b"):
        assert tag not in html
    assert '<span class="tag" style="--h: 212.0">&lt;Problem&gt; negated</span>' in html
    assert "&quot;&gt;&lt;script&gt; · gold · 1 mention</b>" in html


def test_a_place_has_a_class_of_its_own_and_no_label():
    doc = Document("d", "no fever", (Entity("place", "P", ((3, 8),)),))
    assert to_html(doc, hues([doc]), here="place") == 'no <span class="here">fever</span>'
