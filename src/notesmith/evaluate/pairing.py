"""Pair predictions with gold, and say what about them would make a score mislead.

Documents are paired by id. Where no id is on both sides (ids made of file names), they are paired
by order if every text is the same. Nothing else is guessed: what has no partner is an error that
names it. Messages hold ids, labels and offsets, never text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from notesmith.document import Document, Entity, labels_of
from notesmith.errors import StageError, shown_doc, shown_id, shown_name

Missing = Literal["error", "counts-as-empty"]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Paired:
    """Predictions in the order of gold, under its ids; ``notices`` are sentences for the reader."""

    predicted: tuple[Document, ...]
    notices: tuple[str, ...]


def pair(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    *,
    missing: Missing = "error",
    which: str = "",
) -> Paired:
    """Give each document of ``gold`` its prediction.

    Args:
        gold: as annotated.
        predicted: the same documents as predicted, in any order.
        missing: what a document without a prediction is: an error, or empty (all is missed there).
        which: how notices call the predictions, where there are several ("first ").

    Raises:
        StageError: there is no gold, a document has no partner, or a text differs.
    """
    if not gold:
        raise StageError("there is no document to score")
    notices: list[str] = []
    ids = {doc.id for doc in gold}
    if ids.isdisjoint(doc.id for doc in predicted) and _same_texts(gold, predicted):
        notices.append(
            f"The {which}predictions were paired with gold by order, because no id is the same "
            f"({shown_id(gold[0].id)} in gold, {shown_id(predicted[0].id)} there) and every text "
            "is."
        )
        predicted = [replace(own, id=doc.id) for doc, own in zip(gold, predicted, strict=True)]
    by_id = {doc.id: doc for doc in predicted}
    lacking = [doc for doc in gold if doc.id not in by_id]
    extra = [doc.id for doc in predicted if doc.id not in ids]
    if extra or (lacking and missing == "error"):
        raise StageError(_unpaired(lacking, extra, which))
    if lacking:
        n = sum(len(doc.entities) for doc in lacking)
        notices.append(
            f"The {which}predictions lack {_counted(len(lacking), 'document')} of gold, counted as "
            f"empty: {_listed([doc.id for doc in lacking])}. Mentions missed for that: {n:,}."
        )
    found = tuple(by_id.get(doc.id) or Document(doc.id, doc.text) for doc in gold)
    for doc, own in zip(gold, found, strict=True):
        if doc.text != own.text:
            raise StageError(_other_text(doc, own, which))
    return Paired(found, (*notices, *_notices(gold, found, which)))


def _same_texts(gold: Sequence[Document], predicted: Sequence[Document]) -> bool:
    return [doc.text for doc in gold] == [doc.text for doc in predicted]


def _unpaired(lacking: Sequence[Document], extra: Sequence[str], which: str) -> str:
    said: list[str] = []
    if lacking:
        listed = _listed([doc.id for doc in lacking])
        n = _counted(len(lacking), "document")
        said.append(f"the {which}predictions lack {n} of gold: {listed}")
    if extra:
        n = _counted(len(extra), "document")
        said.append(f"the {which}predictions have {n} that gold lacks: {_listed(extra)}")
    remedy = "take what gold lacks out of the predictions, or add it to gold"
    if lacking:
        remedy = "predict all, or count what is lacking as missed: --missing counts-as-empty"
        if extra:
            remedy = "give both sides the same documents, with the same ids"
    return f"{'; '.join(said)}; {remedy}"


def _other_text(doc: Document, own: Document, which: str) -> str:
    both = zip(doc.text, own.text, strict=False)
    shorter = min(len(doc.text), len(own.text))
    same = next((i for i, (a, b) in enumerate(both) if a != b), shorter)
    how = f"{len(doc.text)} characters in gold, {len(own.text)} there"
    if doc.text.rstrip() == own.text.rstrip():
        how += "; only white space at the end differs"
    return (
        f"{shown_doc(doc.id)}: the {which}predictions have another text, which differs from offset "
        f"{same} on ({how}); predict the text of gold as it is"
    )


def _notices(gold: Sequence[Document], predicted: Sequence[Document], which: str) -> Iterator[str]:
    yield from _other_case(gold, predicted, which)
    for docs, of in ((gold, "gold"), (predicted, f"the {which}predictions")):
        twice = {doc.id: n for doc in docs if (n := _n_twice(doc))}
        if twice:
            n = sum(twice.values())
            yield (
                f"In {of}, {_counted(n, 'mention')} {'repeats' if n == 1 else 'repeat'} another "
                f"one's label and boundaries, in "
                f"{_listed(list(twice))}: each counts once."
            )
    if not any(map(_n_overlapping, gold)):
        overlapping = {doc.id: n for doc in predicted if (n := _n_overlapping(doc))}
        if overlapping:
            n = sum(overlapping.values())
            yield (
                f"In the {which}predictions, {_counted(n, 'mention')} "
                f"{'overlaps' if n == 1 else 'overlap'} an earlier one, in "
                f"{_listed(list(overlapping))}, and none of gold does: each is scored by itself."
            )
    loose = [
        (doc.id, ent.start, ent.end)
        for doc, own in zip(gold, predicted, strict=True)
        for ent in own.entities
        if _is_loose(own.text, ent) and not any(e.spans == ent.spans for e in doc.entities)
    ]
    if loose:
        name, start, end = loose[0]
        yield (
            f"In the {which}predictions, {_counted(len(loose), 'mention')} begin or end with white "
            f"space, where gold has none; the first is {shown_doc(name)} [{start}, {end}). Strict "
            "and boundary scores count them as wrong."
        )


def _other_case(
    gold: Sequence[Document], predicted: Sequence[Document], which: str
) -> Iterator[str]:
    of_gold = {_folded(label): label for label in labels_of(gold)}
    other = [
        (label, of_gold[_folded(label)])
        for label in sorted(set(labels_of(predicted)) - set(of_gold.values()))
        if _folded(label) in of_gold
    ]
    if other:
        pairs = ", ".join(f"{shown_name(a)} for {shown_name(b)}" for a, b in other)
        options = " ".join(f"--label-map {shown_name(a)}={shown_name(b)}" for a, b in other)
        yield (
            f"Labels of the {which}predictions are spelt otherwise than in gold ({pairs}) and "
            f"count as wrong; if they are the same, give {options}."
        )


def _folded(label: str) -> str:
    """``label`` without case, and without what joins its words."""
    return "".join(filter(str.isalnum, label.casefold())) or label


def _n_twice(doc: Document) -> int:
    return len(doc.entities) - len({(ent.label, ent.spans) for ent in doc.entities})


def _n_overlapping(doc: Document) -> int:
    """How many mentions begin before another one ends, those that stand twice taken once."""
    found = sorted({(ent.start, ent.end, ent.label) for ent in doc.entities})
    reached = accumulate((end for _, end, _ in found), max, initial=0)
    return sum(start < before for (start, _, _), before in zip(found, reached, strict=False))


def _is_loose(text: str, ent: Entity) -> bool:
    return any(text[at].isspace() for at in (ent.start, ent.end - 1))


def _counted(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"


def _listed(ids: Sequence[str]) -> str:
    rest = len(ids) - _SHOWN
    shown = ", ".join(map(shown_id, ids[:_SHOWN]))
    return f"{shown} and {rest} more" if rest > 0 else shown
