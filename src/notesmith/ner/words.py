"""Words of a text by character offsets, and entities as BIO tags on them, both ways.

A word is one decision of the student. Pure functions; no model is needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document, Entity, Span
from notesmith.errors import StageError, shown_doc, shown_name

IGNORED = -100
"""Tag of a word that is left out of the loss."""

_WORD = re.compile(r"[^\W_]+|[^\s]")


def words(text: str) -> list[Span]:
    """Ranges of the words: runs of letters and digits, and every other mark by itself."""
    return [match.span() for match in _WORD.finditer(text)]


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """``O``, then ``B-`` and ``I-`` of each label: tag 2i + 1 begins label i, 2i + 2 goes on."""
    return ("O", *(f"{prefix}-{label}" for label in labels for prefix in "BI"))


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """Tags of a document's words, and how many entities did not fit, by reason.

    ``placed`` are the entities that tags hold, as ``(first, stop, entity)`` by word.
    ``nested`` (or crossing: a longer one holds the words), ``discontinuous`` (its hull is tagged),
    ``inside_word`` (a boundary falls inside a word, which is tagged whole), ``no_word``.
    """

    tags: tuple[int, ...]
    counts: Counter[str]
    placed: tuple[tuple[int, int, Entity], ...] = ()


def tag_words(doc: Document, spans: Sequence[Span], labels: Sequence[str]) -> TaggedWords:
    """Tag the words ``spans`` of ``doc``; overlapping entities are flattened, the longest wins.

    Words that touch a masked range are ``IGNORED``.

    Raises:
        StageError: ``doc`` has an entity whose label is not in ``labels``.
    """
    first_tag = {label: 2 * i + 1 for i, label in enumerate(labels)}
    if unknown := sorted(doc.labels - set(first_tag)):
        raise StageError(
            f"{shown_doc(doc.id)}: label {shown_name(unknown[0])} is not among the model's: "
            f"{', '.join(map(shown_name, labels))}"
        )
    tags = [0] * len(spans)
    taken = [False] * len(spans)
    counts: Counter[str] = Counter()
    placed: list[tuple[int, int, Entity]] = []
    starts = np.array([start for start, _ in spans], dtype=np.int64)
    ends = np.array([end for _, end in spans], dtype=np.int64)
    for ent in sorted(doc.entities, key=lambda e: (e.start - e.end, e.start, e.label)):
        first = int(np.searchsorted(ends, ent.start, side="right"))
        stop = int(np.searchsorted(starts, ent.end, side="left"))
        if first >= stop:
            counts["no_word"] += 1
            continue
        if any(taken[first:stop]):
            counts["nested"] += 1
            continue
        counts["discontinuous"] += len(ent.spans) > 1
        counts["inside_word"] += bool(starts[first] < ent.start or ends[stop - 1] > ent.end)
        tags[first:stop] = [first_tag[ent.label]] + [first_tag[ent.label] + 1] * (stop - first - 1)
        taken[first:stop] = [True] * (stop - first)
        placed.append((first, stop, ent))
    for start, end in doc.masked:
        first = int(np.searchsorted(ends, start, side="right"))
        stop = int(np.searchsorted(starts, end, side="left"))
        tags[first:stop] = [IGNORED] * max(stop - first, 0)
    return TaggedWords(tuple(tags), +counts, tuple(placed))


def best_tags(log_probs: NDArray[np.float32]) -> list[int]:
    """The most probable tag sequence in which ``I-x`` follows only ``B-x`` or ``I-x`` (Viterbi).

    Args:
        log_probs: log probabilities, one row a word, one column a tag in ``tag_names`` order.
    """
    n, n_tags = log_probs.shape
    if not n:
        return []
    inner = np.arange(2, n_tags, 2)
    score = log_probs[0].astype(np.float64)
    score[inner] = -np.inf
    back = np.zeros((n, n_tags), dtype=np.int64)
    for i in range(1, n):
        back[i] = int(score.argmax())
        came = np.full(n_tags, score.max())
        from_inner = score[inner] > score[inner - 1]
        back[i, inner] = np.where(from_inner, inner, inner - 1)
        came[inner] = np.where(from_inner, score[inner], score[inner - 1])
        score = came + log_probs[i]
    tags = [int(score.argmax())]
    for i in range(n - 1, 0, -1):
        tags.append(int(back[i, tags[-1]]))
    return tags[::-1]


@dataclass(frozen=True, slots=True)
class Run:
    """Words ``[first, stop)`` that a tag sequence makes one mention of label number ``label``."""

    label: int
    first: int
    stop: int


def tag_runs(tags: Iterable[int]) -> list[Run]:
    """The mentions of a tag sequence; an ``I-x`` that continues nothing begins one."""
    found: list[Run] = []
    open_label = -1
    for at, tag in enumerate(tags):
        label = (tag - 1) // 2 if tag > 0 else -1
        if label >= 0 and label == open_label and tag % 2 == 0:
            found[-1] = Run(label, found[-1].first, at + 1)
        elif label >= 0:
            found.append(Run(label, at, at + 1))
        open_label = label
    return found


def to_entities(tags: Iterable[int], spans: Sequence[Span], labels: Sequence[str]) -> list[Entity]:
    """Entities of a tag sequence, with offsets."""
    return [
        Entity(f"T{i}", labels[run.label], ((spans[run.first][0], spans[run.stop - 1][1]),))
        for i, run in enumerate(tag_runs(tags), 1)
    ]
