"""Choose the notes that a person should label next, and who labels which.

With p(w) the probability of the most probable tag of word w, a note of n words has the doubt

    doubt = (sum of (1 - p(w)) over its words + 50 m) / (n + 50)

where m is the mean of 1 - p(w) over the words of all notes. That is the expected number of wrong
words per word read, so a long note does not win by its length; the 50 words of average doubt keep a
short one from winning by a single hard word. Notes are chosen one at a time by doubt x fresh: each
note has a sketch of its most doubted words, and the doubt on a word counts half for every chosen
note that has the word too, and half if the word stands in gold. ``fresh`` is what is left, as a
share. (Doubt by the most probable labels, normalised by length, is that of Shen and others 2017;
choosing greedily with falling returns is common for diversity.) A share of the queue is drawn by
lot from all notes: the control, which is labelled from scratch.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from notesmith.corpus.queue_files import Tool, write_queue
from notesmith.corpus.queued import ROUND, Item, Kind, Queue
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_doc, shown_name
from notesmith.ner.decode import WordScores
from notesmith.overlap import OverlapIndex, text_ngrams
from notesmith.words import words as words_of

Scored = tuple[Document, WordScores]
"""A note, and what the annotators think of its words."""

_AVERAGE_WORDS = 50
_TERMS = 32
_LEAST_DOUBT = 0.02
_GRAM = 5
_GRAMS = 32
_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """How many notes are chosen, how, and for whom.

    Either ``notes`` or ``words`` is the size of the queue; the last note may run past ``words``.
    ``control`` is the share of it that is drawn at random, and ``overlap`` the share of notes that
    two annotators are given.

    Raises:
        ConfigError: a value is out of its bounds, or two do not go together.
    """

    notes: int | None = None
    words: int | None = None
    control: float = 0.2
    annotators: tuple[str, ...] = ("annotator",)
    overlap: float = 0.0
    seed: int = 13

    def __post_init__(self) -> None:
        if (self.notes is None) == (self.words is None):
            raise ConfigError("give the size of the queue, either in notes or in words")
        size = self.notes if self.notes is not None else self.words
        if size is not None and size < 1:
            raise ConfigError(f"a queue of {size} is empty; ask for more")
        for name, share in (("control", self.control), ("overlap", self.overlap)):
            if not 0 <= share <= 1:
                raise ConfigError(f"--{name} {share}: give a share from 0 to 1")
        for name in self.annotators:
            if not name or name.startswith(".") or not name.replace("-", "_").isidentifier():
                raise ConfigError(
                    f"annotator {shown_name(name)}: the name becomes that of a folder; use "
                    "letters, digits, - and _, beginning with a letter"
                )
        if not self.annotators or len(set(self.annotators)) < len(self.annotators):
            raise ConfigError("name each annotator once")
        if self.overlap and len(self.annotators) < 2:
            raise ConfigError("--overlap is for two annotators or more; name them, or leave it out")


@dataclass(frozen=True, slots=True)
class _Sketch:
    """What is kept of a note: numbers, and hashes of its most doubted words and of word runs."""

    id: str
    n_words: int
    doubt: float
    terms: NDArray[np.uint32]
    doubts: NDArray[np.float32]
    grams: NDArray[np.uint32]

    @classmethod
    def of(cls, doc: Document, scores: WordScores) -> _Sketch:
        doubt = 1 - scores.probabilities.max(axis=1, initial=0).astype(np.float64)
        by_term: dict[int, float] = {}
        for (start, end), one in zip(scores.words, doubt.tolist(), strict=True):
            if one >= _LEAST_DOUBT:
                term = _term(doc.text[start:end])
                by_term[term] = by_term.get(term, 0.0) + one
        most = sorted(by_term.items(), key=lambda pair: (-pair[1], pair[0]))[:_TERMS]
        return cls(
            doc.id,
            len(scores.words),
            float(doubt.sum()),
            np.array([term for term, _ in most], np.uint32),
            np.array([one for _, one in most], np.float32),
            _grams(doc.text),
        )

    def fresh(self, seen: Mapping[int, int]) -> float:
        """Share of the doubt that is left when each note that has a word halves its doubt."""
        total = float(self.doubts.sum())
        if not total:
            return 1.0
        halved = np.array([seen.get(term, 0) for term in self.terms.tolist()])
        return float((self.doubts * 0.5**halved).sum()) / total


@dataclass(slots=True)
class _Chosen:
    """The texts that no further note may be like, and the words that were seen. State of a choice.

    ``alike`` counts the notes that were passed over as they are like a chosen one.
    """

    index: OverlapIndex[int]
    seen: Counter[int]
    alike: set[str] = field(default_factory=set)

    def is_like(self, sketch: _Sketch) -> bool:
        """Whether a chosen note is nearly the same; if so it is counted."""
        found = self.index.nearest(frozenset(sketch.grams.tolist()), _ALIKE) is not None
        if found:
            self.alike.add(sketch.id)
        return found

    def take(self, sketch: _Sketch) -> None:
        self.index.add(frozenset(sketch.grams.tolist()))
        self.seen.update(sketch.terms.tolist())


def choose(
    notes: Iterable[Scored],
    choice: Choice,
    *,
    gold: Sequence[Document] = (),
    held_out: Iterable[Document] = (),
) -> Queue:
    """Choose the notes to label next; see this module for how.

    ``notes`` are read once, and about a kilobyte is kept of each. The result does not depend on
    their order. A note is left out that is nearly the same as a labelled, held-out or chosen one:
    half of their runs of five words are shared, by a sample of 32 of them.

    Args:
        notes: the notes with the distributions of their words.
        choice: how many, and for whom.
        gold: the labelled documents that the annotators learnt from.
        held_out: further documents that no note may be like, such as dev and test.

    Raises:
        CorpusError: two notes share an id, or none can be chosen.
    """
    known = OverlapIndex(frozenset(_grams(doc.text).tolist()) for doc in (*gold, *held_out))
    left_out: Counter[str] = Counter()
    pool: dict[str, _Sketch] = {}
    n_notes = 0
    for doc, scores in notes:
        n_notes += 1
        sketch = _Sketch.of(doc, scores)
        if doc.id in pool:
            raise CorpusError(f"{shown_doc(doc.id)}: two notes have this id; rename one")
        if not sketch.n_words:
            left_out["without words"] += 1
        elif known.nearest(frozenset(sketch.grams.tolist()), _ALIKE) is not None:
            left_out["nearly the same as a labelled or held-out document"] += 1
        else:
            pool[doc.id] = sketch
    if not pool:
        raise CorpusError(
            f"none of {n_notes:,} notes can be queued for labelling: each has no words or is "
            "nearly the same as a labelled document; name other notes"
        )
    n_words = sum(one.n_words for one in pool.values())
    mean = sum(one.doubt for one in pool.values()) / n_words
    n_gold_words = [len(words_of(doc.text)) for doc in gold]
    chosen = _Chosen(OverlapIndex(), _terms_of(gold))
    items = [*_control(pool, choice, chosen, mean), *_doubtful(pool, choice, chosen, mean)]
    taken = {item.id for item in items}
    left_out["nearly the same as a note of the queue"] += len(chosen.alike - taken)
    return Queue(
        items=tuple(_mixed(_assigned(items, choice))),
        round=1 + max((_round_of(doc) for doc in gold), default=0),
        n_gold=len(gold),
        gold_words=sum(n_gold_words),
        n_notes=n_notes,
        seed=choice.seed,
        left_out=+left_out,
    )


@dataclass(frozen=True, slots=True)
class Queued:
    """A queue that was written, and counts of what the tool cannot hold of the labels."""

    queue: Queue
    lost: Mapping[str, int]


def queue_notes(
    folder: Path,
    notes: Callable[[], Iterable[Scored]],
    choice: Choice,
    *,
    tool: Tool,
    labels: Sequence[str],
    gold: Sequence[Document] = (),
    held_out: Iterable[Document] = (),
) -> Queued:
    """Choose notes and write the queue's folder; ``notes`` is called twice and gives all of them.

    The documents of ``notes`` carry the labels that annotators are shown.

    Raises:
        CorpusError: no note can be chosen, or the tool cannot hold one.
        FileError: the folder is there already, or may not be written.
    """
    queue = choose(notes(), choice, gold=gold, held_out=held_out)
    wanted = {item.id for item in queue.items}
    docs = (doc for doc, _ in notes() if doc.id in wanted)
    return Queued(queue, write_queue(queue, docs, folder, tool=tool, labels=labels))


def _control(
    pool: Mapping[str, _Sketch], choice: Choice, chosen: _Chosen, mean: float
) -> Iterator[Item]:
    """Notes by lot, from all that can be chosen."""
    order = sorted(pool.values(), key=lambda one: (_lot(choice.seed, one.id), one.id))
    room = _Room.of(choice, pool, control=True)
    rank = 0
    for sketch in order:
        if room.is_full:
            return
        if not chosen.is_like(sketch):
            rank += 1
            chosen.take(sketch)
            room.take(sketch)
            yield Item(sketch.id, "control", rank, sketch.n_words, _rounded(_doubt(sketch, mean)))


def _doubtful(
    pool: Mapping[str, _Sketch], choice: Choice, chosen: _Chosen, mean: float
) -> Iterator[Item]:
    """Notes by falling doubt x fresh, which only falls as others are chosen: a lazy greedy search.

    Notes that were drawn as control are like themselves, so they are not chosen again.
    """
    room = _Room.of(choice, pool, control=False)
    heap = [
        (-_doubt(one, mean) * one.fresh(chosen.seen), _lot(choice.seed, one.id), one.id)
        for one in pool.values()
    ]
    heapq.heapify(heap)
    rank = 0
    while heap and not room.is_full:
        _, lot, doc_id = heapq.heappop(heap)
        sketch = pool[doc_id]
        doubt, fresh = _doubt(sketch, mean), sketch.fresh(chosen.seen)
        entry = (-doubt * fresh, lot, doc_id)
        if heap and entry > heap[0]:
            heapq.heappush(heap, entry)
        elif not chosen.is_like(sketch):
            rank += 1
            chosen.take(sketch)
            room.take(sketch)
            yield Item(doc_id, "chosen", rank, sketch.n_words, _rounded(doubt), _rounded(fresh))


@dataclass(slots=True)
class _Room:
    """How much of its part of the queue is filled. State: notes or words taken."""

    size: int
    in_words: bool
    taken: int = 0

    @classmethod
    def of(cls, choice: Choice, pool: Mapping[str, _Sketch], *, control: bool) -> _Room:
        in_words = choice.words is not None
        asked = choice.words if choice.words is not None else choice.notes or 0
        # Where more is asked for than there is, control stays the share of what there is.
        there = sum(one.n_words for one in pool.values()) if in_words else len(pool)
        size = min(asked, there)
        drawn = round(choice.control * size)
        return cls(drawn if control else size - drawn, in_words)

    @property
    def is_full(self) -> bool:
        return self.taken >= self.size

    def take(self, sketch: _Sketch) -> None:
        self.taken += sketch.n_words if self.in_words else 1


def _assigned(items: Sequence[Item], choice: Choice) -> list[Item]:
    """``items`` with their annotators: each goes to those with the fewest words so far.

    Of each kind the share ``overlap``, drawn by lot, goes to two. The longest are given out first.
    """
    load = dict.fromkeys(choice.annotators, 0)
    found: list[Item] = []
    kinds: tuple[Kind, ...] = ("control", "chosen")
    for kind in kinds:
        of_kind = sorted(
            (item for item in items if item.kind == kind),
            key=lambda item: (_lot(choice.seed + 1, item.id), item.id),
        )
        twice = {item.id for item in of_kind[: round(choice.overlap * len(of_kind))]}
        for item in sorted(of_kind, key=lambda item: (item.id not in twice, -item.words, item.id)):
            n = 2 if item.id in twice else 1
            order = sorted(load, key=lambda name: (load[name], choice.annotators.index(name)))
            for name in order[:n]:
                load[name] += item.words
            found.append(replace(item, annotators=tuple(sorted(order[:n]))))
    return found


def _mixed(items: Sequence[Item]) -> list[Item]:
    """Both kinds by rank, each spread evenly over the queue."""
    n = Counter(item.kind for item in items)
    return sorted(items, key=lambda item: ((item.rank - 0.5) / n[item.kind], item.kind, item.id))


def _doubt(sketch: _Sketch, mean: float) -> float:
    return (sketch.doubt + _AVERAGE_WORDS * mean) / (sketch.n_words + _AVERAGE_WORDS)


def _rounded(value: float) -> float:
    """As the files of the queue hold it."""
    return round(value, 6)


def _terms_of(docs: Iterable[Document]) -> Counter[int]:
    """The words of labelled documents, each counted once however many have it."""
    terms = {_term(doc.text[start:end]) for doc in docs for start, end in words_of(doc.text)}
    return Counter(dict.fromkeys(terms, 1))


def _grams(text: str) -> NDArray[np.uint32]:
    """The least hashes of the runs of five words: a sample that is the same for the same text."""
    hashes = {_hash(gram) for gram in text_ngrams(text, _GRAM)}
    return np.array(heapq.nsmallest(_GRAMS, hashes), np.uint32)


def _term(word: str) -> int:
    return _hash(word.casefold())


def _hash(text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=4).digest(), "big")


def _lot(seed: int, doc_id: str) -> int:
    data = f"{seed}\0{doc_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def _round_of(doc: Document) -> int:
    found = doc.metadata.get(ROUND)
    return found if isinstance(found, int) and not isinstance(found, bool) else 0
