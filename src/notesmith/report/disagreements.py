"""The page of disagreements: every place in its context, the annotators' marks side by side.

It holds note text. Filters are radio buttons and style rules: the page runs no script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from notesmith.corpus.agreement import words
from notesmith.corpus.disputes import Disagreement
from notesmith.document import Document, Entity
from notesmith.marked import hues
from notesmith.report.html import environment, page_style

CONTEXT = 90
"""Characters shown on either side of a place."""

PLACE = "place"


@dataclass(frozen=True, slots=True)
class Row:
    """What one annotator marked: a piece of text in which the entity ``PLACE`` is the place."""

    annotator: str
    marked: bool
    doc: Document


@dataclass(frozen=True, slots=True)
class Card:
    """One disagreement; ``classes`` are the filters that show it."""

    doc_id: str
    place: str
    kind: str
    classes: str
    rows: tuple[Row, ...]
    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """The choices of one filter: class, name and number of cards, all of them first."""

    name: str
    choices: tuple[tuple[str, str, int], ...]


def render_disagreements(
    found: Sequence[Disagreement],
    readings: Mapping[str, Mapping[str, Document]],
    *,
    title: str,
) -> str:
    """Return the disagreements as one self-contained page.

    Args:
        found: the disagreements.
        readings: the documents by id and annotator.
        title: the heading.
    """
    kinds = _filter("kind", "k", [[words(x)] for x in found])
    labels = _filter("label", "l", [x.labels for x in found])
    class_of = {
        (part.name, name): key for part in (kinds, labels) for key, name, _ in part.choices[1:]
    }
    cards = []
    for x in found:
        names = [("kind", words(x)), *(("label", label) for label in x.labels)]
        classes = " ".join(class_of[name] for name in names)
        cards.append(_card(x, readings[x.doc_id], classes))
    docs = [doc for each in readings.values() for doc in each.values()]
    return (
        environment()
        .get_template("disagreements.html")
        .render(
            cards=cards,
            filters=(kinds, labels),
            title=title,
            style=page_style(),
            hues=hues(docs),
            here=PLACE,
        )
    )


def _filter(name: str, letter: str, values: Sequence[Sequence[str]]) -> Filter:
    counts = Counter(value for each in values for value in each)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    every = (f"{letter}-all", "all", len(values))
    return Filter(name, (every, *((f"{letter}{i}", v, n) for i, (v, n) in enumerate(ordered))))


def _card(found: Disagreement, readings: Mapping[str, Document], classes: str) -> Card:
    text = next(iter(readings.values())).text
    start, end = _window(text, found.start, found.end)
    rows = tuple(
        Row(name, bool(found.marks[name]), _cut(readings[name], found, start, end))
        for name in found.marks
    )
    place = f"[{found.start}, {found.end})"
    return Card(found.doc_id, place, words(found), classes, rows, start > 0, end < len(text))


def _window(text: str, start: int, end: int) -> tuple[int, int]:
    """The place with its context, cut between words where there is a gap."""
    first, last = max(0, start - CONTEXT), min(len(text), end + CONTEXT)
    if first:
        gap = text.find(" ", first, start)
        first = first if gap < 0 else gap + 1
    if last < len(text):
        gap = text.rfind(" ", end, last)
        last = last if gap < 0 else gap
    return first, last


def _cut(doc: Document, found: Disagreement, first: int, last: int) -> Document:
    """The window of one reading, its mentions clipped, with the place as an entity."""
    entities = [
        replace(ent, spans=spans)
        for ent in doc.entities
        if (
            spans := tuple(
                (max(s, first) - first, min(e, last) - first)
                for s, e in ent.spans
                if s < last and first < e
            )
        )
    ]
    place = Entity(PLACE, PLACE, ((found.start - first, found.end - first),))
    named = [replace(ent, id=f"e-{ent.id}") for ent in entities]
    return Document(doc.id, doc.text[first:last], (place, *named))
