"""Documents as model inputs: units, cut into windows of word pieces where they are too long.

A word is never cut. Where neighbouring windows share a word, the window in which it lies furthest
from a border owns it: only the owner trains on it and decides it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notesmith.config.student import NerConfig
from notesmith.document import Document, Span
from notesmith.errors import StageError, shown_doc
from notesmith.ner.attributes import Attribute, classes_to_learn
from notesmith.ner.confidence import word_confidence
from notesmith.ner.decode import WordScores
from notesmith.segments import split
from notesmith.words import GRID, IGNORED, TaggedWords, tag_words, without_format, words


@dataclass(frozen=True, slots=True)
class Mention:
    """Words ``[first, stop)`` of a mention, counted among the owned words of its window.

    ``classes`` has one class an attribute, ``IGNORED`` where it is not known.
    """

    first: int
    stop: int
    classes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """One row of a batch.

    ``word_index`` are the owned words, as indices into the document's words; ``pieces[i]`` is the
    ``[start, end)`` range of word i's pieces in ``input_ids``; ``tags`` is empty in prediction.
    ``mentions`` are those whose attributes are learnt. ``unknown`` are the tags that words tagged O
    may have as well (see ``Document.unknown``). ``soft`` holds a distribution over tags, one row a
    word, that is learnt in the place of the tags; None where they are. ``sure`` is how sure the tag
    of each word is, from 0 to 1; None where all are.
    """

    doc: int
    input_ids: tuple[int, ...]
    word_index: tuple[int, ...]
    pieces: tuple[Span, ...]
    tags: tuple[int, ...] = ()
    mentions: tuple[Mention, ...] = ()
    unknown: tuple[int, ...] = ()
    soft: NDArray[np.float32] | None = None
    sure: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Documents as windows; ``words[i]`` are the word ranges of document i.

    ``counts`` says what did not fit tags (see ``TaggedWords``) and how many units got windows.
    """

    windows: tuple[Window, ...]
    words: tuple[tuple[Span, ...], ...]
    counts: Counter[str]


def encode(
    docs: Sequence[Document],
    tokenizer: Any,
    config: NerConfig,
    *,
    labels: Sequence[str] | None = None,
    attributes: Sequence[Attribute] = (),
    max_positions: int | None = None,
    grid: int = GRID,
    soft: Mapping[str, WordScores] = {},
) -> Encoded:
    """Turn ``docs`` into windows; with ``labels``, into tagged ones to train on.

    Entities of ``docs`` are looked at only with ``labels``, and their attributes only with
    ``attributes`` besides. ``max_positions`` is what the encoder
    can take at most, special tokens included. ``grid`` is the version of the rules that make words.
    ``soft`` has by document id the distributions that are learnt in the place of its entities.

    Raises:
        StageError: a document has an entity whose label is not in ``labels``, or distributions of
            other words or labels.
    """
    prefix, suffix = _specials(tokenizer)
    limit = min(config.max_tokens, max_positions or config.max_tokens)
    budget = max(limit - len(prefix) - len(suffix), 1)
    windows: list[Window] = []
    all_words: list[tuple[Span, ...]] = []
    counts: Counter[str] = Counter()
    units: list[tuple[int, Span, list[int]]] = []
    tags: list[tuple[int, ...]] = []
    mentions: list[list[Mention]] = []
    classes = classes_to_learn(docs, attributes) if attributes else None
    for i, doc in enumerate(docs):
        bare = doc if labels is not None else replace(doc, entities=(), relations=())
        spans = words(doc.text, grid=grid)
        all_words.append(tuple(spans))
        units += [(i, unit, inside) for unit, inside in _units(bare, spans, config)]
        if labels is not None:
            tagged = tag_words(doc, spans, labels)
            tags.append(tagged.tags)
            counts += tagged.counts
            if classes is not None:
                mentions.append(_known(tagged, classes[i]))
    shown = [
        _shown(docs[i].text, unit, [all_words[i][w] for w in inside], grid)
        for i, unit, inside in units
    ]
    pieces = _tokenize([text for text, _ in shown], tokenizer)
    for (i, _, inside), (_, spans_in), encoded in zip(units, shown, pieces, strict=True):
        ids, offsets = encoded
        spans_of = _pieces_of_words(offsets, spans_in)
        kept = [(w, p) for w, p in zip(inside, spans_of, strict=True) if p[0] < p[1]]
        counts["word_without_piece"] += len(inside) - len(kept)
        ranges = cut_windows([p for _, p in kept], budget, config.stride)
        counts["unit_in_windows"] += len(ranges) > 1
        for first, stop, own_first, own_stop in ranges:
            start, end = kept[first][1][0], max(p[1] for _, p in kept[first:stop])
            end = min(end, start + budget)
            shift = len(prefix) - start
            owned = kept[own_first:own_stop]
            word_index = tuple(w for w, _ in owned)
            windows.append(
                Window(
                    doc=i,
                    input_ids=(*prefix, *ids[start:end], *suffix),
                    word_index=word_index,
                    pieces=tuple((s + shift, min(e, end) + shift) for _, (s, e) in owned),
                    tags=tuple(tags[i][w] for w in word_index) if tags else (),
                    mentions=_inside(mentions[i], word_index) if mentions else (),
                    unknown=_unknown_tags(docs[i], labels or ()),
                    soft=_soft_rows(docs[i], all_words[i], labels, soft, word_index),
                )
            )
    return Encoded(tuple(windows), tuple(all_words), +counts)


def relabelled(
    encoded: Encoded,
    docs: Sequence[Document],
    *,
    labels: Sequence[str],
    opinions: Sequence[WordScores | None] | None = None,
) -> Encoded:
    """The windows of ``encoded`` with the tags of ``docs``: the same texts, with other entities.

    Windows stay as they were cut, so that a plan of them stays valid; the attributes of mentions
    are learnt as before. With ``opinions``, one a document, windows say how sure each tag is (see
    ``word_confidence``).

    Raises:
        StageError: an opinion is of other words or labels, or a mention's score is no probability.
    """
    tagged = [tag_words(d, w, labels) for d, w in zip(docs, encoded.words, strict=True)]
    sure: list[NDArray[np.float32]] = []
    if opinions is not None:
        for doc, spans, own, opinion in zip(docs, encoded.words, tagged, opinions, strict=True):
            if opinion is not None:
                _check_words(doc, spans, labels, opinion)
            sure.append(word_confidence(doc, own, labels, opinion))
    windows = tuple(
        replace(
            window,
            tags=tuple(tagged[window.doc].tags[w] for w in window.word_index),
            sure=sure[window.doc][list(window.word_index)] if sure else None,
        )
        for window in encoded.windows
    )
    return replace(encoded, windows=windows)


def _soft_rows(
    doc: Document,
    spans: Sequence[Span],
    labels: Sequence[str] | None,
    soft: Mapping[str, WordScores],
    word_index: Sequence[int],
) -> NDArray[np.float32] | None:
    scores = soft.get(doc.id) if labels is not None else None
    if labels is None or scores is None:
        return None
    _check_words(doc, spans, labels, scores)
    return scores.probabilities[list(word_index)]


def _check_words(
    doc: Document, spans: Sequence[Span], labels: Sequence[str], scores: WordScores
) -> None:
    if scores.words != tuple(spans) or scores.probabilities.shape[1] != 2 * len(labels) + 1:
        raise StageError(
            f"{shown_doc(doc.id)}: its soft labels are of other words or labels than those to "
            "learn; let students of the same labels and version make them"
        )


def cut_windows(
    pieces: Sequence[Span], budget: int, stride: int
) -> list[tuple[int, int, int, int]]:
    """Windows over words as ``(first, stop, own_first, own_stop)`` word indices.

    Each holds at most ``budget`` pieces (a single longer word is a window of its own) and shares
    about ``stride`` pieces with the next; every word is owned once.
    """
    found: list[tuple[int, int]] = []
    first = 0
    while first < len(pieces):
        stop = first + 1
        while stop < len(pieces) and pieces[stop][1] - pieces[first][0] <= budget:
            stop += 1
        found.append((first, stop))
        if stop == len(pieces):
            break
        following = stop
        while following - 1 > first and pieces[stop - 1][1] - pieces[following - 1][0] <= stride:
            following -= 1
        first = following
    owned: list[tuple[int, int, int, int]] = []
    own_first = 0
    for k, (first, stop) in enumerate(found):
        own_stop = stop
        if k + 1 < len(found):
            # In the shared words the distance to this window's end falls while that from the next
            # one's start grows: they meet in the middle.
            own_stop = (max(found[k + 1][0], own_first) + stop + 1) // 2
        owned.append((first, stop, own_first, own_stop))
        own_first = own_stop
    return owned


def batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[Window]]:
    """``windows`` in order of length, as many at once as ``batch_tokens`` hold when padded."""
    order = sorted(windows, key=len)
    done = 0
    while done < len(order):
        # Sorted by length: the last row is the longest, and the batch is what fits below it.
        stop = done + 1
        while stop < len(order) and len(order[stop]) * (stop - done + 1) <= batch_tokens:
            stop += 1
        yield order[done:stop]
        done = stop


def _units(doc: Document, spans: Sequence[Span], config: NerConfig) -> list[tuple[Span, list[int]]]:
    """Units with the indices of their words; words that no unit covers make units of their own."""
    found: list[tuple[Span, list[int]]] = []
    following = 0
    for start, end in sorted(split(doc, config.unit)):
        gap: list[int] = []
        while following < len(spans) and spans[following][0] < start:
            gap.append(following)
            following += 1
        inside: list[int] = []
        while following < len(spans) and spans[following][0] < end:
            inside.append(following)
            following += 1
        for part in (gap, inside):
            if part:
                found.append(((spans[part[0]][0], spans[part[-1]][1]), part))
    if following < len(spans):
        found.append(((spans[following][0], spans[-1][1]), list(range(following, len(spans)))))
    return found


def _unknown_tags(doc: Document, labels: Sequence[str]) -> tuple[int, ...]:
    """Tags (see ``tag_names``) of those of ``labels`` that are unknown in ``doc``."""
    unknown = [i for i, label in enumerate(labels) if label in doc.unknown]
    return tuple(tag for i in unknown for tag in (2 * i + 1, 2 * i + 2))


def _known(tagged: TaggedWords, classes: Mapping[str, tuple[int, ...]]) -> list[Mention]:
    """Mentions in a document's words of which an attribute is known; masked ones are not."""
    return [
        Mention(first, stop, classes[ent.id])
        for first, stop, ent in tagged.placed
        if IGNORED not in tagged.tags[first:stop] and any(c != IGNORED for c in classes[ent.id])
    ]


def _inside(mentions: Sequence[Mention], word_index: Sequence[int]) -> tuple[Mention, ...]:
    """The mentions among the words that a window owns, or what it owns of them."""
    found = [
        Mention(bisect_left(word_index, m.first), bisect_left(word_index, m.stop), m.classes)
        for m in mentions
    ]
    return tuple(m for m in found if m.first < m.stop)


def _shown(text: str, unit: Span, spans: Sequence[Span], grid: int) -> tuple[str, list[Span]]:
    """A unit as the tokenizer sees it, and the ranges of its words there.

    Words are in composed spelling (NFC) and without soft hyphens and the like, so that a student
    sees one spelling of a name. Version 1 of the grid showed the text as it is.
    """
    start, end = unit
    raw = text[start:end]
    if grid == 1 or raw.isascii():
        return raw, [(s - start, e - start) for s, e in spans]
    parts: list[str] = []
    found: list[Span] = []
    at = length = 0
    for s, e in spans:
        word = raw[s - start : e - start]
        if not word.isascii():
            word = unicodedata.normalize("NFC", word)
            word = without_format(word) or word
        gap = raw[at : s - start]
        found.append((length + len(gap), length + len(gap) + len(word)))
        parts += (gap, word)
        at, length = e - start, length + len(gap) + len(word)
    return "".join((*parts, raw[at:])), found


def _tokenize(texts: Sequence[str], tokenizer: Any) -> list[tuple[list[int], list[Span]]]:
    if not texts:
        return []
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_offsets_mapping=True,
        return_attention_mask=False,
        truncation=False,
        padding=False,
        verbose=False,
    )
    return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))


def _pieces_of_words(offsets: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """Range of the pieces that touch each word; empty where the tokenizer dropped the word.

    A piece's offsets may take in white space before the word, and one piece may touch two words.
    """
    found: list[Span] = []
    k = 0
    for start, end in spans:
        while k < len(offsets) and offsets[k][1] <= start:
            k += 1
        stop = k
        while stop < len(offsets) and offsets[stop][0] < end:
            stop += 1
        found.append((k, stop))
    return found


def _specials(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    full = tokenizer("a")["input_ids"]
    for i in range(len(full) - len(bare) + 1):
        if full[i : i + len(bare)] == bare:
            return tuple(full[:i]), tuple(full[i + len(bare) :])
    return (), ()


__all__ = [
    "IGNORED",
    "Encoded",
    "Mention",
    "Window",
    "batches",
    "cut_windows",
    "encode",
    "relabelled",
]
