"""The words of a text by character offsets, and entities as BIO tags on them, both ways.

A word is one decision of the student: this is the grid on which its mentions begin and end. Pure
functions; no model is needed.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from notesmith.document import Document, Entity, Span
from notesmith.errors import StageError, shown_doc, shown_name

IGNORED = -100
"""Tag of a word that is left out of the loss."""

GRID = 2
"""Version of the rules below. A saved student keeps the version that it was trained on."""

Reason = Literal["no_word", "nested", "crossing", "discontinuous", "inside_word"]

# Version 1: a combining mark was a word of its own, and a Chinese sentence one word.
_FIRST = re.compile(r"[^\W_]+|\S")
# Letters of scripts that are written without spaces, and Korean, whose particles follow a noun
# without one: each is a word of its own. Their digits make numbers, as those of other scripts do.
_ALONE = (
    "\u0e00-\u0e4f"  # Thai
    "\u0e80-\u0ecf\u0edc-\u0edf"  # Lao
    "\u0f00-\u0f1f\u0f34-\u0fff"  # Tibetan
    "\u1000-\u103f\u1050-\u108f\u109a-\u109f\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Myanmar
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"  # Hangul
    "\u1780-\u17df"  # Khmer
    "\u2e80-\u2fff\u3005-\u3007\u3021-\u3029\u3031-\u303c"  # Han: radicals, signs, numerals
    "\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # Kana
    "\u3100-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
# A Korean syllable, composed or not: consonants, then vowels and final consonants.
_SYLLABLE = (
    "(?:[\u1100-\u115f\ua960-\ua97c]+[\uac00-\ud7a3]?|[\uac00-\ud7a3])[\u1160-\u11ff\ud7b0-\ud7fb]*"
)
# Zero-width joiner and non-joiner shape the letters around them, at the end of a word too.
_SHAPING = "\u200c\u200d"
_SPACE = "\u200b"  # of no width, but a border between words
_BEYOND = re.compile("[\U00010000-\U0010ffff]")


def words(text: str, *, grid: int = GRID) -> list[Span]:
    """Ranges of the words: runs of letters and digits, and every other character by itself.

    Combining marks belong to the character before them, and format characters (a soft hyphen)
    between two letters to the word. So composed and decomposed spelling have the same words.
    Letters of scripts without spaces are words by themselves. ``grid`` is the version of the rules.
    """
    if grid == 1 or text.isascii():
        pattern = _FIRST
    else:
        pattern = _second(beyond=_BEYOND.search(text) is not None)
    return [match.span() for match in pattern.finditer(text)]


def word_around(spans: Sequence[Span], offset: int) -> Span | None:
    """That of the words ``spans`` inside which ``offset`` lies; None where it cuts none."""
    at = bisect_left(spans, (offset,))
    return spans[at - 1] if at > 0 and offset < spans[at - 1][1] else None


def without_format(word: str) -> str:
    """``word`` without those format characters that do not shape its letters."""
    return "".join(char for char in word if not _is_format(char))


def _is_format(char: str) -> bool:
    return unicodedata.category(char) == "Cf" and char not in _SHAPING + _SPACE


@cache
def _second(*, beyond: bool) -> re.Pattern[str]:
    """The rules of version 2; ``beyond``: for texts that go beyond U+FFFF, which are slower."""
    last = 0x1FFFF if beyond else 0xFFFF
    marks = _ranges(lambda char: unicodedata.category(char)[0] == "M", last) + _SHAPING
    if beyond:
        marks += "\U000e0100-\U000e01ef"  # variants of Han characters
    joins = marks + _ranges(_is_format, last)
    letter = rf"[^\W_{_ALONE}]"
    return re.compile(
        rf"{letter}+(?:[{joins}]+{letter}+)*[{marks}]*|{_SYLLABLE}[{marks}]*|\S[{marks}]*"
    )


def _ranges(wanted: Callable[[str], bool], last: int) -> str:
    """The ``wanted`` characters up to ``last``, as the inside of a ``[]``."""
    found: list[list[int]] = []
    for code in range(0x80, last + 1):
        if wanted(chr(code)):
            if found and found[-1][1] == code - 1:
                found[-1][1] = code
            else:
                found.append([code, code])
    return "".join(f"{chr(first)}-{chr(end)}" for first, end in found)


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """``O``, then ``B-`` and ``I-`` of each label: tag 2i + 1 begins label i, 2i + 2 goes on."""
    return ("O", *(f"{prefix}-{label}" for label in labels for prefix in "BI"))


@dataclass(frozen=True, slots=True)
class TaggedWords:
    """Tags of a document's words, and the entities that do not fit them, with the reason.

    ``placed`` are the entities that tags hold, as ``(first, stop, entity)`` by word. ``misfits``:
    ``nested`` or ``crossing`` (a longer one, or an equal one, holds the words), ``no_word`` (white
    space alone); and of those placed ``discontinuous`` (tagged from first to last word) and
    ``inside_word`` (a boundary falls inside a word, which is tagged whole).
    """

    tags: tuple[int, ...]
    misfits: tuple[tuple[Entity, Reason], ...] = ()
    placed: tuple[tuple[int, int, Entity], ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Number of misfits by reason."""
        return Counter(reason for _, reason in self.misfits)


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
    holder: list[Entity | None] = [None] * len(spans)
    misfits: list[tuple[Entity, Reason]] = []
    placed: list[tuple[int, int, Entity]] = []
    starts = [start for start, _ in spans]
    ends = [end for _, end in spans]
    for ent in sorted(doc.entities, key=lambda e: (e.start - e.end, e.start, e.label)):
        first, stop = bisect_right(ends, ent.start), bisect_left(starts, ent.end)
        if first >= stop:
            misfits.append((ent, "no_word"))
            continue
        if (other := next(filter(None, holder[first:stop]), None)) is not None:
            misfits.append((ent, _overlap(ent, other)))
            continue
        if len(ent.spans) > 1:
            misfits.append((ent, "discontinuous"))
        elif starts[first] < ent.start or ends[stop - 1] > ent.end:
            misfits.append((ent, "inside_word"))
        tags[first:stop] = [first_tag[ent.label]] + [first_tag[ent.label] + 1] * (stop - first - 1)
        holder[first:stop] = [ent] * (stop - first)
        placed.append((first, stop, ent))
    for start, end in doc.masked:
        first, stop = bisect_right(ends, start), bisect_left(starts, end)
        tags[first:stop] = [IGNORED] * max(stop - first, 0)
    return TaggedWords(tuple(tags), tuple(misfits), tuple(placed))


def _overlap(ent: Entity, longer: Entity) -> Reason:
    """How ``ent`` stands to a mention that holds one of its words; they may share but the word."""
    if longer.start <= ent.start and ent.end <= longer.end:
        return "nested"
    is_apart = ent.end <= longer.start or longer.end <= ent.start
    return "inside_word" if is_apart else "crossing"


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
