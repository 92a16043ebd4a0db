from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.ner.decode import best_tags
from notesmith.words import IGNORED, tag_names, tag_words, to_entities, words

LABELS = ("Drug", "Problem")


def doc(text: str, *ents: tuple[str, int, int], masked=()) -> Document:
    return Document(
        "d",
        text,
        tuple(Entity(f"T{i}", label, ((s, e),)) for i, (label, s, e) in enumerate(ents)),
        masked=masked,
    )


def tags_of(document: Document):
    return tag_words(document, words(document.text), LABELS)


def test_words_are_runs_of_letters_and_digits_and_single_marks() -> None:
    text = "Pt's BP 120/80, x_ray +ve…"
    assert [text[s:e] for s, e in words(text)] == (
        ["Pt", "'", "s", "BP", "120", "/", "80", ",", "x", "_", "ray", "+", "ve", "…"]
    )


@given(st.text())
def test_words_cover_all_but_white_space(text: str) -> None:
    spans = words(text)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert "".join(text[s:e] for s, e in spans) == "".join(text.split())


def test_tag_names() -> None:
    assert tag_names(LABELS) == ("O", "B-Drug", "I-Drug", "B-Problem", "I-Problem")


def test_adjacent_entities_begin_anew() -> None:
    tagged = tags_of(doc("acute pain fever", ("Problem", 0, 10), ("Problem", 11, 16)))
    assert tagged.tags == (3, 4, 3) and not tagged.counts


def test_longest_of_nested_wins_and_the_other_is_counted() -> None:
    tagged = tags_of(doc("left wrist pain", ("Problem", 5, 10), ("Problem", 0, 15)))
    assert tagged.tags == (3, 4, 4) and tagged.counts == {"nested": 1}


def test_boundary_inside_a_word_takes_the_word_and_is_counted() -> None:
    tagged = tags_of(doc("hyperlipidemia", ("Problem", 5, 14)))
    assert tagged.tags == (3,) and tagged.counts == {"inside_word": 1}


def test_discontinuous_entity_is_tagged_as_its_hull() -> None:
    split = Document("d", "leg and arm pain", (Entity("T1", "Problem", ((0, 3), (12, 16))),))
    assert tags_of(split).tags == (3, 4, 4, 4)
    assert tags_of(split).counts == {"discontinuous": 1}


def test_entity_of_white_space_is_counted() -> None:
    assert tags_of(doc("a  b", ("Drug", 1, 3))).counts == {"no_word": 1}


def test_masked_words_are_ignored() -> None:
    tagged = tags_of(doc("no fever or cough", ("Problem", 3, 8), masked=((9, 13),)))
    assert tagged.tags == (0, 3, IGNORED, IGNORED)


def test_unknown_label_names_document_and_label() -> None:
    with pytest.raises(StageError, match=r"doc 'd': label Gene is not among .* Drug, Problem"):
        tags_of(doc("BRCA1", ("Gene", 0, 5)))


@given(st.data())
def test_entities_of_whole_words_survive(data) -> None:
    n = data.draw(st.integers(1, 12))
    text = " ".join(["word"] * n)
    spans = words(text)
    ents, i = [], 0
    while i < n:
        size = data.draw(st.integers(0, 3))
        if size and i + size <= n:
            label = data.draw(st.sampled_from(LABELS))
            ents.append((label, spans[i][0], spans[i + size - 1][1]))
        i += max(size, 1)
    tagged = tags_of(doc(text, *ents))
    found = to_entities(tagged.tags, spans, LABELS)
    assert [(e.label, e.start, e.end) for e in found] == ents


def test_inner_tag_that_continues_nothing_begins_an_entity() -> None:
    spans = words("a b c")
    found = to_entities([2, 4, 0], spans, LABELS)
    assert [(e.label, e.spans) for e in found] == [("Drug", ((0, 1),)), ("Problem", ((2, 3),))]


def test_best_tags_forbid_an_inner_tag_without_a_beginning() -> None:
    # Alone each word would take I (0.5); B I has 0.4 * 0.5, O O 0.1 * 0.1, O B 0.1 * 0.4.
    rows = np.log(np.array([[0.1, 0.4, 0.5], [0.1, 0.4, 0.5]], dtype=np.float32))
    assert best_tags(rows) == [1, 2]
    assert best_tags(rows[:0]) == []


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_best_tags_find_the_best_legal_sequence(n: int, seed: int) -> None:
    from itertools import product

    rows = np.log(np.random.default_rng(seed).dirichlet(np.ones(3), size=n)).astype(np.float32)

    def legal(tags: tuple[int, ...]) -> bool:
        return tags[0] != 2 and all(b != 2 or a != 0 for a, b in pairwise(tags))

    best = max(filter(legal, product(range(3), repeat=n)), key=lambda t: rows[range(n), t].sum())
    assert rows[range(n), best_tags(rows)].sum() == pytest.approx(rows[range(n), best].sum())
