"""Strategies for documents: any text, nested and discontinuous mentions, relations."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from notesmith.document import ConceptRelation, Document, Entity, Provenance, Relation, Section
from notesmith.markup import nest

# Astral and combining characters, line ends of all kinds, and what formats use as their own marks.
HOSTILE = [
    "\r\n",
    "\n",
    "\t",
    " ",
    "  ",
    "\u2028",
    "\x85",
    "\u00a0",
    "e\u0301",
    "👩‍⚕️",
    "𝛼",
    "|",
    "\\",
]
MARKLIKE = [
    "<A>",
    "</>",
    "<",
    ">",
    "</",
    "<Ab",
    "{",
    "}",
    "{#x1 ",
    "#",
    "\\<",
    "\\\\",
    "---\n",
    "<B-2>",
]
LABELS = ["A", "B-2", "Problem", "Lab_value"]

characters = st.characters(exclude_categories=["Cs"])
texts = st.lists(
    st.one_of(st.sampled_from(HOSTILE + MARKLIKE), st.text(characters, max_size=4)), max_size=12
).map("".join)
plain_texts = st.lists(
    st.one_of(
        st.sampled_from([w for w in HOSTILE if not set(w) & set("\r\n\t\x85\u2028\u00a0")]),
        st.text("abc. XY-", min_size=1, max_size=6),
    ),
    max_size=12,
).map("".join)
words = st.text(st.characters(categories=["L", "Nd", "So"]), min_size=1, max_size=5)


@st.composite
def spans(draw: Any, n: int, *, pieces: int = 1) -> tuple[tuple[int, int], ...]:
    """Sorted disjoint ranges of a text of ``n`` characters."""
    count = draw(st.integers(1, max(1, min(pieces, n // 2))))
    cuts = sorted(
        draw(st.lists(st.integers(0, n), min_size=2 * count, max_size=2 * count, unique=True))
    )
    return tuple(zip(cuts[::2], cuts[1::2], strict=True))


@st.composite
def entities(draw: Any, text: str, *, pieces: int = 1, labels: list[str] = LABELS) -> list[Entity]:
    """Any mentions of ``text``, named T1, T2, …"""
    if not text:
        return []
    found = draw(st.lists(spans(len(text), pieces=pieces), max_size=6))
    return [
        Entity(f"T{i}", draw(st.sampled_from(labels)), ranges) for i, ranges in enumerate(found, 1)
    ]


@st.composite
def nested(draw: Any, text: str, *, labels: list[str] = LABELS) -> tuple[Entity, ...]:
    """Properly nested mentions, outermost first, named T1, T2, … in order."""
    kept, _ = nest(draw(entities(text, labels=labels)))
    return tuple(Entity(f"T{i}", ent.label, ent.spans) for i, ent in enumerate(kept, 1))


@st.composite
def documents(draw: Any) -> Document:
    """Documents with every field in use."""
    text = draw(texts)
    ents = tuple(
        Entity(
            draw(words) + str(i),
            ent.label,
            ent.spans,
            tuple(draw(st.lists(words, max_size=2))),
            tuple(draw(st.lists(words, max_size=2))),
        )
        for i, ent in enumerate(draw(entities(text, pieces=3)))
    )
    ids = [ent.id for ent in ents]
    ends = st.sampled_from(ids) if ids else st.nothing()
    relations = st.builds(Relation, words, words, ends, ends, st.booleans())
    section = spans(len(text)) if text else st.nothing()
    return Document(
        id=draw(words),
        text=text,
        entities=ents,
        relations=tuple(draw(st.lists(relations, max_size=3 if ids else 0))),
        concept_relations=tuple(
            draw(st.lists(st.builds(ConceptRelation, words, words, words), max_size=2))
        ),
        sections=tuple(
            Section("x", *found[0]) for found in draw(st.lists(section, max_size=2 if text else 0))
        ),
        masked=tuple(found[0] for found in draw(st.lists(section, max_size=2 if text else 0))),
        provenance=draw(
            st.builds(
                Provenance,
                st.sampled_from(["gold", "synthetic"]),
                st.lists(words, max_size=2).map(tuple),
                st.none() | words,
                st.none() | words,
                st.none() | st.integers(),
            )
        ),
        metadata=draw(
            st.dictionaries(words, st.none() | st.booleans() | st.integers() | words, max_size=2)
        ),
    )
