import re
from html.parser import HTMLParser

from notesmith.corpus.disputes import disagreements
from notesmith.document import Document, Entity
from notesmith.report.disagreements import render_disagreements

TEXT = f"{'Before. ' * 30}No <b>gout</b> today. {'After. ' * 30}"
AT = TEXT.index("gout")


def readings(*spans):
    """Two annotators: the first marks nothing, the other ``spans`` (label, start, end)."""
    ents = tuple(Entity(f"T{i}", label, ((s, e),)) for i, (label, s, e) in enumerate(spans, 1))
    return {"n<1>": {"ann": Document("n<1>", TEXT), "<ben>": Document("n<1>", TEXT, ents)}}


def page(*spans):
    docs = readings(*spans)
    found = [x for doc_id, each in docs.items() for x in disagreements(doc_id, each)]
    return render_disagreements(found, docs, title="Where <they> differ")


class Cards(HTMLParser):
    """The classes of every card, the text of every side, and all tags and attributes."""

    def __init__(self, html):
        super().__init__()
        self.classes, self.sides, self.tags, self.attributes = [], [], set(), set()
        self.in_side = False
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag == "article":
            self.classes.append(dict(attributes)["class"])
        if tag == "dd":
            self.in_side = True
            self.sides.append("")

    def handle_endtag(self, tag):
        self.in_side = self.in_side and tag != "dd"

    def handle_data(self, data):
        if self.in_side:
            self.sides[-1] += data


def test_sides_show_the_place_in_its_context_cut_between_words():
    cards = Cards(page(("P", AT, AT + 4)))
    assert len(cards.sides) == 2
    assert cards.sides[0].startswith("… Before.") and cards.sides[0].endswith("After. …")
    assert "No <b>gout</b> today." in cards.sides[0]
    assert "No <b>goutP</b> today." in cards.sides[1]
    assert len(cards.sides[0]) < 4 + 2 * 90 + 8


def test_everything_is_escaped_and_nothing_is_loaded():
    html = page(("P<", AT, AT + 4))
    assert "<they>" not in html and "<ben>" not in html and "n<1>" not in html
    assert "&lt;b&gt;" in html and "P&lt;" in html
    cards = Cards(html)
    assert not cards.tags & {"script", "link", "img", "iframe", "b>"}
    assert not any(name.startswith("on") or name in ("src", "action") for name in cards.attributes)
    assert "do not share" in html


def test_filters_hide_by_kind_and_label():
    html = page(("P", AT, AT + 4), ("Q", 0, 6))
    assert Cards(html).classes == ["doc k0 l1", "doc k0 l0"]
    assert "#l1:checked ~ .cards > :not(.l1) { display: none; }" in html
    picks = re.findall(r'name="(\w+)" id="([\w-]+)"( checked)?', html)
    assert picks == [
        ("kind", "k-all", " checked"),
        ("kind", "k0", ""),
        ("label", "l-all", " checked"),
        ("label", "l0", ""),
        ("label", "l1", ""),
    ]
    assert "only &lt;ben&gt; <small>2</small>" in html


def test_agreement_everywhere_is_said():
    assert "The annotators agree everywhere." in page()
