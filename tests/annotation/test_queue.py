from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from notesmith.annotation.queue import Choice, choose, queue_notes
from notesmith.corpus.queue_files import read_queue
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import ConfigError, CorpusError, FileError
from notesmith.ner.decode import WordScores
from notesmith.words import words

ANNA_BEN = ("anna", "ben")


def note(doc_id, text, doubts=(), **metadata):
    """A note whose words have the doubt 0.01, but for those that ``doubts`` gives by word."""
    doubts = dict(doubts)
    doc = Document(doc_id, text, provenance=Provenance("silver"), metadata=metadata)
    spans = tuple(words(text))
    rows = [[1 - (d := doubts.get(text[s:e], 0.01)), *[d / 10] * 10] for s, e in spans]
    return doc, WordScores(spans, np.array(rows, np.float32).reshape(-1, 11))


def filler(seed, n):
    """Words that stand in no other note."""
    return " ".join(f"w{seed}x{i}" for i in range(n))


def varied(n, length=20):
    """Notes of falling doubt, each of words of its own."""
    return [
        note(f"n{i:02}", f"odd{i} {filler(i, length)}", {f"odd{i}": 0.9 - 0.02 * i})
        for i in range(n)
    ]


def ids(queue, kind="chosen"):
    return [item.id for item in sorted(queue.of_kind(kind), key=lambda item: item.rank)]


def test_the_most_doubtful_notes_are_chosen_whatever_their_order():
    notes = varied(10)
    choice = Choice(notes=3, control=0)
    queue = choose(notes, choice)
    assert ids(queue) == ["n00", "n01", "n02"]
    assert choose(notes[::-1], choice) == queue
    # 0.9 + 20 x 0.01, and 50 words of the mean of all words.
    mean = sum(0.9 - 0.02 * i + 0.2 for i in range(10)) / 210
    assert queue.items[0].doubt == pytest.approx((1.1 + 50 * mean) / 71, abs=1e-6)
    assert (queue.n_notes, queue.items[0].words, queue.round) == (10, 21, 1)


def test_a_long_note_does_not_win_by_length_nor_a_short_one_by_luck():
    long = note("long", f"odd {filler('l', 600)} strange", {"odd": 0.9, "strange": 0.9})
    middle = note("middle", f"hard {filler('m', 100)} grim", {"hard": 0.9, "grim": 0.9})
    short = note("short", "queer thing", {"queer": 0.9})
    queue = choose([long, middle, short], Choice(notes=3, control=0))
    assert ids(queue) == ["short", "middle", "long"]
    # Divided by the words alone the short note would have 0.45.
    assert {item.id: item.doubt for item in queue.items}["short"] < 0.05


def test_doubt_on_words_that_were_chosen_before_counts_half():
    notes = [
        note("first", f"sarcoid {filler(1, 20)}", {"sarcoid": 0.9}),
        note("again", f"Sarcoid {filler(2, 20)}", {"Sarcoid": 0.8}),
        note("other", f"gout {filler(3, 20)}", {"gout": 0.6}),
    ]
    queue = choose(notes, Choice(notes=3, control=0))
    assert ids(queue) == ["first", "other", "again"]
    assert {item.id: item.fresh for item in queue.items} == {
        **{"first": 1.0, "other": 1.0, "again": 0.5}
    }
    gold = [Document("g", "No gout, no sarcoid here at all today")]
    halved = choose(notes, Choice(notes=1, control=0), gold=gold)
    assert halved.items[0].fresh == 0.5 and halved.n_gold == 1 and halved.gold_words == 9


def test_near_copies_of_labelled_held_out_and_chosen_notes_are_left_out():
    text = filler("t", 40)
    notes = [
        note("of-gold", f"{text} more", {"more": 0.9}),
        note("of-test", filler("h", 40), {"whx0": 0.9}),
        note("kept", filler("k", 40), {"wkx0": 0.9}),
        note("copy", f"{filler('k', 40)} tail", {"wkx0": 0.9}),
        note("empty", " \n"),
    ]
    gold, held_out = [Document("g", text)], [Document("h", filler("h", 41))]
    queue = choose(notes, Choice(notes=5, control=0), gold=gold, held_out=held_out)
    assert len(queue.items) == 1 and queue.items[0].id in ("kept", "copy")
    assert queue.left_out == {
        "without words": 1,
        "nearly the same as a labelled or held-out document": 2,
        "nearly the same as a note of the queue": 1,
    }
    with pytest.raises(CorpusError, match="none of 1 notes can be queued"):
        choose([note("a", text)], Choice(notes=1), gold=gold)
    with pytest.raises(CorpusError, match="doc 'a': two notes have this id"):
        choose([note("a", "One."), note("a", "Two.")], Choice(notes=1))


def test_control_notes_are_drawn_by_lot_from_all_notes():
    notes = varied(40)
    queue = choose(notes, Choice(notes=10, control=0.3))
    control = ids(queue, "control")
    assert len(control) == 3 and len(ids(queue)) == 7
    assert not set(control) & set(ids(queue))
    # By another order of doubt the lot falls on the same notes.
    others = [note(doc.id, doc.text) for doc, _ in notes]
    assert ids(choose(others, Choice(notes=10, control=0.3)), "control") == control
    assert ids(choose(notes, Choice(notes=10, control=0.3, seed=14)), "control") != control
    # They are spread over the queue.
    kinds = [item.kind for item in queue.items]
    assert [i for i, kind in enumerate(kinds) if kind == "control"] == [1, 5, 8]
    assert all(item.fresh == 1 for item in queue.of_kind("control"))


def test_control_is_a_share_of_what_there_is_where_more_is_asked_for():
    queue = choose(varied(10), Choice(notes=100, control=0.2))
    assert (len(queue.of_kind("control")), len(queue.of_kind("chosen"))) == (2, 8)
    in_words = choose(varied(10), Choice(words=5000, control=0.2))
    assert (len(in_words.of_kind("control")), len(in_words.of_kind("chosen"))) == (2, 8)


def test_a_size_in_words():
    queue = choose(varied(40), Choice(words=200, control=0.2))
    # 21 words a note: the last of each kind passes the limit.
    assert (len(queue.of_kind("control")), len(queue.of_kind("chosen"))) == (2, 8)
    assert queue.words == 210


def test_annotators_share_the_words_evenly_and_read_some_notes_twice():
    notes = [note(f"n{i:02}", filler(i, 10 + 7 * i), {f"w{i}x0": 0.9}) for i in range(20)]
    queue = choose(notes, Choice(notes=20, annotators=("anna", "ben", "cy"), overlap=0.2))
    twice = [item for item in queue.items if len(item.annotators) == 2]
    assert len(twice) == 4 and {len(item.annotators) for item in queue.items} == {1, 2}
    assert {item.kind for item in twice} == {"chosen", "control"}
    load = [sum(item.words for item in queue.of_annotator(name)) for name in ("anna", "ben", "cy")]
    assert max(load) - min(load) < 0.1 * max(load)


def test_the_round_follows_those_of_gold():
    gold = [Document("g", "Old.", metadata={"round": 2}), Document("h", "Older.")]
    assert choose(varied(3), Choice(notes=1), gold=gold).round == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "either in notes or in words"),
        ({"notes": 3, "words": 3}, "either in notes or in words"),
        ({"notes": 0}, "a queue of 0 is empty"),
        ({"notes": 3, "control": 1.5}, "--control 1.5: give a share from 0 to 1"),
        ({"notes": 3, "overlap": 0.5}, "--overlap is for two annotators"),
        ({"notes": 3, "annotators": ("a/b",)}, "the name becomes that of a folder"),
        ({"notes": 3, "annotators": ("a", "a")}, "name each annotator once"),
    ],
)
def test_wrong_choices(options, said):
    with pytest.raises(ConfigError, match=said):
        Choice(**options)


def test_notes_are_read_twice_and_written_once(tmp_path: Path):
    notes = varied(12)
    notes[0] = notes[0][0].with_entities([Entity("T1", "P", ((0, 4),))]), notes[0][1]
    asked = []

    def read():
        asked.append(1)
        return iter(notes)

    folder, choice = tmp_path / "queue", Choice(notes=5, annotators=ANNA_BEN)
    queue = queue_notes(folder, read, choice, tool="label-studio", labels=["P", "Q"]).queue
    assert len(asked) == 2
    sent = read_queue(folder)
    assert sent.queue == queue and sent.tool == "label-studio"
    assert set(sent.docs) == {item.id for item in queue.items}
    assert sent.docs["n00"].entities == notes[0][0].entities
    with pytest.raises(FileError, match="exists already"):
        queue_notes(folder, read, choice, tool="label-studio", labels=[])
