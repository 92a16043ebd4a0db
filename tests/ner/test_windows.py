from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.config import NerConfig
from notesmith.document import Document, Entity, Section
from notesmith.ner.windows import cut_windows, encode
from tests.ner.tiny import tiny_encoder

TEXT = "Severe chest pain for 3 days. No fever, given aspirin 81 mg daily after the fracture."


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_encoder(tmp_path_factory.mktemp("encoder")))


def pieces_of(window, tokenizer) -> list[str]:
    ids = window.input_ids
    return [tokenizer.decode(list(ids[s:e])).replace(" ", "") for s, e in window.pieces]


def test_pieces_spell_the_words(tokenizer) -> None:
    encoded = encode([Document("d", TEXT)], tokenizer, NerConfig())
    assert [w.doc for w in encoded.windows] == [0, 0]
    spelled = [piece for w in encoded.windows for piece in pieces_of(w, tokenizer)]
    assert spelled == [TEXT[s:e].lower() for s, e in encoded.words[0]]


def test_long_units_are_cut_between_words_and_each_word_has_one_owner(tokenizer) -> None:
    config = NerConfig(unit="document", max_tokens=12, stride=4)
    encoded = encode([Document("d", TEXT)], tokenizer, config)
    assert len(encoded.windows) > 2
    assert all(len(w) <= 12 for w in encoded.windows)
    owned = [i for w in encoded.windows for i in w.word_index]
    assert owned == list(range(len(encoded.words[0])))
    spelled = [piece for w in encoded.windows for piece in pieces_of(w, tokenizer)]
    assert spelled == [TEXT[s:e].lower() for s, e in encoded.words[0]]
    assert encoded.counts == {"unit_in_windows": 1}


def test_prediction_splits_without_looking_at_entities(tokenizer) -> None:
    crossing = Document("d", TEXT, (Entity("T1", "Problem", ((0, 38),)),))
    assert len(encode([crossing], tokenizer, NerConfig()).windows) == 2
    assert len(encode([crossing], tokenizer, NerConfig(), labels=["Problem"]).windows) == 1


def test_words_outside_every_section_are_kept(tokenizer) -> None:
    doc = Document("d", TEXT, sections=(Section("HPI", 0, 29),))
    encoded = encode([doc], tokenizer, NerConfig(unit="section"))
    owned = [i for w in encoded.windows for i in w.word_index]
    assert owned == list(range(len(encoded.words[0])))


def test_dropped_word_is_counted_and_the_rest_is_in_place(tokenizer) -> None:
    encoded = encode([Document("d", "fever \x00 cough")], tokenizer, NerConfig())
    assert encoded.counts == {"word_without_piece": 1}
    assert encoded.windows[0].word_index == (0, 2)


@pytest.mark.parametrize("text", ["", "  \n ", "\x00"])
def test_nothing_to_read_gives_no_window(text: str, tokenizer) -> None:
    assert encode([Document("d", text)], tokenizer, NerConfig()).windows == ()


def test_windows_by_hand() -> None:
    # Ten words of one piece, four a window, two shared: the shared ones are divided in the middle.
    pieces = [(i, i + 1) for i in range(10)]
    assert cut_windows(pieces, 4, 2) == [(0, 4, 0, 3), (2, 6, 3, 5), (4, 8, 5, 7), (6, 10, 7, 10)]


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 20), st.integers(1, 20))
def test_windows_own_each_word_once(sizes: list[int], budget: int, stride: int) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append((at, at + size))
        at += size
    found = cut_windows(pieces, budget, stride)
    assert [i for _, _, a, b in found for i in range(a, b)] == list(range(len(sizes)))
    for first, stop, own_first, own_stop in found:
        assert first <= own_first <= own_stop <= stop
        assert stop - first == 1 or pieces[stop - 1][1] - pieces[first][0] <= budget
