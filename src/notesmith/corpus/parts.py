"""Keep the parts of a corpus apart: what is learnt from holds no text and no patient of the others.

Dev and test hold no note that a model chose for labelling either (see ``queued``). One rule for
every command. Two texts are the same if they are the same but for white space; a text without words
repeats nothing. Short texts, such as a heading that is a document of its own, count as any other:
to leave them out does no harm.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from notesmith.corpus.queued import QUEUED, is_chosen
from notesmith.document import Document
from notesmith.errors import CorpusError

PARTS = ("train", "dev", "test")
"""In the order of the rule: each part loses what stands in those after it."""

_SCORED = ("dev", "test")


@dataclass(frozen=True, slots=True)
class Unrepeated:
    """Documents that repeat nothing of others, those that do, and how many do so by what.

    ``counts`` has ``text`` and ``patient``; a document that repeats both is counted under ``text``.
    ``queued`` counts documents of a scored part that a model chose for labelling.
    """

    kept: list[Document]
    dropped: list[Document]
    counts: Counter[str]


@dataclass(frozen=True, slots=True)
class Apart:
    """Parts that share no text and no patient, and what was left out of each by name."""

    docs: dict[str, list[Document]]
    left_out: dict[str, Unrepeated]

    @property
    def emptied(self) -> list[str]:
        """Parts of which nothing is left."""
        return [name for name, found in self.left_out.items() if not found.kept]

    @property
    def sentences(self) -> list[str]:
        """What was left out and why, a sentence for each part and cause."""
        return [
            f"{_counted(n)} of {name} {'is' if n == 1 else 'are'} left out, as "
            + (
                f"a model chose {'it' if n == 1 else 'them'} for labelling: chosen notes are not "
                "scored."
                if what == QUEUED
                else f"{'its' if n == 1 else 'their'} {what} stands in "
                f"{_after(name, self.docs)} too."
            )
            for name, found in self.left_out.items()
            for what, n in sorted(found.counts.items(), reverse=True)
        ]


def folded(text: str) -> str:
    """``text`` with each run of white space as one space, and none at the ends."""
    return " ".join(text.split())


def patient_of(doc: Document) -> str | None:
    """The patient of a document, where one is named."""
    found = doc.metadata.get("patient")
    return None if found is None or found == "" else str(found)


@dataclass(frozen=True, slots=True)
class Known:
    """Texts (as hashes, white space folded) and patients of documents that others may repeat."""

    texts: frozenset[bytes]
    patients: frozenset[str]

    @classmethod
    def of(cls, docs: Iterable[Document]) -> Known:
        """Those of ``docs``, which are read once; texts without words are no repeats."""
        texts: set[bytes] = set()
        patients: set[str] = set()
        for doc in docs:
            if text := folded(doc.text):
                texts.add(_hash(text))
            if (patient := patient_of(doc)) is not None:
                patients.add(patient)
        return cls(frozenset(texts), frozenset(patients))

    def why(self, doc: Document) -> Literal["text", "patient", ""]:
        """What of ``doc`` stands in one of the documents; empty if nothing does."""
        if _hash(folded(doc.text)) in self.texts:
            return "text"
        return "patient" if patient_of(doc) in self.patients else ""


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def without_repeats(docs: Sequence[Document], *others: Iterable[Document]) -> Unrepeated:
    """Leave out of ``docs`` those whose text or patient stands in one of ``others``."""
    known = Known.of(chain.from_iterable(others))
    found = Unrepeated([], [], Counter())
    for doc in docs:
        if why := known.why(doc):
            found.dropped.append(doc)
            found.counts[why] += 1
        else:
            found.kept.append(doc)
    return found


def keep_apart(docs: Mapping[str, Sequence[Document]], *, may_empty: bool = False) -> Apart:
    """Leave out of train what stands in dev or test, and out of dev what stands in test.

    Notes that a model chose for labelling are left out of dev and test first.

    Args:
        docs: documents by part; parts of other names are left as they are, and are not looked at.
        may_empty: a part may lose all its documents.

    Raises:
        CorpusError: nothing is left of a part, and that may not be.
    """
    kept = {name: list(part) for name, part in docs.items()}
    left_out: dict[str, Unrepeated] = {}
    for name in reversed(PARTS):
        if name not in kept:
            continue
        found = without_repeats(kept[name], *(kept[other] for other in _parts_after(name, kept)))
        if name in _SCORED:
            found = _without_chosen(found)
        if not found.dropped:
            continue
        if not found.kept and not may_empty:
            if found.counts[QUEUED]:
                raise CorpusError(
                    f"nothing of {name} is left: a model chose {_counted(found.counts[QUEUED])} of "
                    "it for labelling, and chosen notes are not scored; name documents that were "
                    "drawn at random, such as the control notes of a queue"
                )
            causes = " and ".join(f"{n} by {what}" for what, n in sorted(found.counts.items()))
            raise CorpusError(
                f"all {_counted(len(found.dropped))} of {name} stand in {_after(name, kept)} too "
                f"({causes}): nothing of {name} is left; name other documents, or divide them anew "
                "with notesmith corpus split"
            )
        kept[name], left_out[name] = found.kept, found
    return Apart(kept, {name: left_out[name] for name in PARTS if name in left_out})


def scored_in_train(train: Iterable[Document]) -> list[str]:
    """A sentence where cross-fit, which scores every document of train, scores chosen notes."""
    n = sum(map(is_chosen, train))
    if not n:
        return []
    return [
        f"{_counted(n)} of train {'was' if n == 1 else 'were'} chosen by a model for labelling, "
        "and cross-fit scores all of train: the score is that of notes harder than most."
    ]


def _without_chosen(found: Unrepeated) -> Unrepeated:
    """``found`` without the notes that a model chose for labelling."""
    chosen = [doc for doc in found.kept if is_chosen(doc)]
    if not chosen:
        return found
    kept = [doc for doc in found.kept if not is_chosen(doc)]
    return Unrepeated(
        kept, [*found.dropped, *chosen], found.counts + Counter({QUEUED: len(chosen)})
    )


def _after(name: str, docs: Mapping[str, object]) -> str:
    return " or ".join(_parts_after(name, docs))


def _parts_after(name: str, docs: Mapping[str, object]) -> list[str]:
    return [other for other in PARTS[PARTS.index(name) + 1 :] if other in docs]


def _counted(n: int) -> str:
    return f"{n:,} document{'' if n == 1 else 's'}"
