"""The index against counts worked by hand, and against a plain search through all texts."""

from __future__ import annotations

import pickle
import random
from hashlib import blake2b

import pytest

from notesmith.overlap import HeldOut, Match, OverlapIndex, runs, text_ngrams

ABC = [frozenset({1, 2, 3, 9}), frozenset({3, 4}), frozenset({7})]


def test_runs_of_words() -> None:
    assert runs(list("abcd"), 3) == [["a", "b", "c"], ["b", "c", "d"]]
    assert runs(["a"], 3) == [["a"]]
    assert text_ngrams("An old MAN, fell.", 3) == {"an old man", "old man fell"}
    assert text_ngrams("...", 3) == {""}


def test_the_container_holds_the_largest_share_in_one_text() -> None:
    index = OverlapIndex(ABC)
    grams = frozenset({1, 2, 3, 4})
    assert index.shared(grams) == {0: 3, 1: 2}
    assert index.container(grams).likeness == 0.75
    assert index.container(grams, besides={0, 5}).likeness == 0.5
    assert index.container(grams, among={2}) == Match(None, 0.0)
    assert index.container(frozenset()) == Match(None, 1.0)


def test_what_many_texts_hold_does_not_count() -> None:
    index = OverlapIndex([*ABC, frozenset({3})])
    assert index.shared(frozenset({1, 3, 4}), common=2) == {0: 1, 1: 1}


def test_the_first_known_of_two_alike_is_named() -> None:
    index: OverlapIndex[str] = OverlapIndex()
    for key in ("late", "early"):
        index.add(text_ngrams("one two three four five", 3), key)
    grams = text_ngrams("one two three four six", 3)
    assert index.nearest(grams, 0.5) == Match("late", 2 / 4)
    assert index.nearest(grams, 0.51) is None
    assert index.container(grams) == Match("late", 2 / 3)


def test_the_oldest_leave_a_full_index() -> None:
    index = OverlapIndex(map(frozenset, ({1}, {2, 5}, {3, 5})), limit=2)
    assert len(index) == 2
    assert index.grams == [{2, 5}, {3, 5}]
    assert [index.container(frozenset({g})).likeness for g in (1, 2, 3)] == [0, 1, 1]
    assert index.nearest(frozenset({2, 5, 6}), 0.5) == Match("", 2 / 3)
    assert OverlapIndex([frozenset({1})], limit=0).container(frozenset({1})).likeness == 0


@pytest.mark.parametrize("at_least", [0.1, 0.3, 0.5, 0.7, 0.8, 1.0])
def test_the_nearest_text_is_never_missed(at_least: float) -> None:
    rng = random.Random(7)
    texts = [frozenset(rng.choices(range(30), k=rng.randrange(1, 25))) for _ in range(200)]
    index: OverlapIndex[int] = OverlapIndex()
    for i, grams in enumerate(texts):
        index.add(grams, str(i))
    n_found = 0
    for text in texts:
        grams = frozenset(rng.sample(sorted(text), max(1, len(text) - 1))) | {99}
        alike = [len(grams & known) / len(grams | known) for known in texts]
        best = max(alike)
        expected = Match(str(alike.index(best)), best) if best >= at_least else None
        assert index.nearest(grams, at_least) == expected
        n_found += expected is not None
    assert n_found > 0 or at_least == 1


SECRET = "Nine words of the sealed note that nobody saw before this."


def test_held_out_text_is_known_by_share() -> None:
    held_out = HeldOut.of([SECRET, "Too short."])
    assert held_out.repeated_ratio("He said: nine words of the sealed note that nobody saw.") == 0.5
    assert held_out.repeated_ratio("too short") == 1
    assert held_out.repeated_ratio("Too short a text.") == 0


def test_hashes_of_held_out_text_cannot_be_looked_up_in_a_dictionary() -> None:
    """Whoever hashes every phrase he can think of finds none: the key is another each time."""
    first, second = HeldOut.of([SECRET]), HeldOut.of([SECRET])
    assert first._grams and not first._grams & second._grams
    guessed = {blake2b(g.encode(), digest_size=8).digest() for g in text_ngrams(SECRET, 8)}
    assert not first._grams & guessed


def test_hashes_of_held_out_text_are_neither_shown_nor_stored() -> None:
    assert repr(HeldOut.of([SECRET])) == "HeldOut()"
    with pytest.raises(TypeError, match="do not leave their process"):
        pickle.dumps(HeldOut.of([SECRET]))
