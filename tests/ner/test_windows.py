from __future__ import annotations

import unicodedata

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


class Letters:
    """A tokenizer that changes nothing: a piece for each character, white space dropped."""

    def __call__(self, texts, *, add_special_tokens=True, **_):
        if isinstance(texts, str):
            return {"input_ids": [ord(c) for c in texts]}
        kept = [[(i, c) for i, c in enumerate(text) if not c.isspace()] for text in texts]
        return {
            "input_ids": [[ord(c) for _, c in row] for row in kept],
            "offset_mapping": [[(i, i + 1) for i, _ in row] for row in kept],
        }


def labelled(text: str, *names: str) -> Document:
    """``text`` with its ``names`` as mentions."""
    ents, at = [], 0
    for i, name in enumerate(names):
        start = text.index(name, at)
        at = start + len(name)
        ents.append(Entity(f"T{i}", "Problem", ((start, at),)))
    return Document("d", text, tuple(ents))


# The shape of case 20-combining.
COMPOSED = labelled(
    "No Sjögren syndrome,\n  Ménière disease? A café.", "Sjögren syndrome", "Ménière"
)


@pytest.mark.parametrize("spelling", ["NFD", "soft hyphen", "BOM"])
def test_a_student_sees_one_spelling_of_a_name(spelling: str) -> None:
    """So its scores on composed and decomposed text are the same, whatever its tokenizer does."""
    spell = {
        "NFD": lambda text: unicodedata.normalize("NFD", text),
        "soft hyphen": lambda text: text.replace("gr", "g\u00adr").replace("én", "é\u00adn"),
        "BOM": lambda text: text.replace("gr", "g\ufeffr"),
    }[spelling]
    names = [ent.mention(COMPOSED.text) for ent in COMPOSED.entities]
    other = labelled(spell(COMPOSED.text), *map(spell, names))
    assert len(other.text) > len(COMPOSED.text)
    windows, others = (
        encode([doc], Letters(), NerConfig(), labels=["Problem"]).windows
        for doc in (COMPOSED, other)
    )
    assert windows == others and any(any(w.tags) for w in windows)


def test_pieces_are_where_they_were_behind_a_decomposed_letter() -> None:
    doc = Document("d", "Sjo\u0308gren: gout\u00ady ache")
    encoded = encode([doc], Letters(), NerConfig())
    (window,) = encoded.windows
    found = ["".join(map(chr, window.input_ids[s:e])) for s, e in window.pieces]
    assert found == ["Sj\u00f6gren", ":", "gouty", "ache"]
    assert [doc.text[s:e] for s, e in encoded.words[0]] == (
        ["Sjo\u0308gren", ":", "gout\u00ady", "ache"]
    )


def test_the_first_grid_shows_text_as_it_is() -> None:
    doc = Document("d", "Sjo\u0308gren")
    (window,) = encode([doc], Letters(), NerConfig(), grid=1).windows
    assert "".join(map(chr, window.input_ids)) == doc.text and len(window.pieces) == 3


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
