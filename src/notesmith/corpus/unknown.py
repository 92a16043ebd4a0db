"""Labels that came into the guideline later: unknown in older documents, not absent.

``mark_unknown`` does what ``--unknown LABEL`` asks for. ``late_findings`` looks for labels that
seem to have come later, and ``revisit_findings`` lists where older documents may lack a mention.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb

from notesmith.corpus.check import Finding, Uses, find_unlabelled, string_key
from notesmith.corpus.problems import Tally
from notesmith.document import Document, labels_of
from notesmith.errors import shown_name

_DATE = re.compile(r"\d{4}-\d{2}(-\d{2}.*)?", re.DOTALL)
# A column with more values than this names documents, not groups of them.
_MOST_GROUPS = 20
_LEVEL = 0.01


def mark_unknown(docs: Sequence[Document], labels: Sequence[str], tally: Tally) -> list[Document]:
    """Return ``docs``, where each of ``labels`` is unknown in those without a mention of it."""
    marked: list[Document] = []
    for doc in docs:
        lacking = set(labels) - doc.labels
        for label in sorted(lacking):
            tally.note(f"documents in which label {shown_name(label)} is unknown")
        marked.append(replace(doc, unknown=(*doc.unknown, *lacking)) if lacking else doc)
    return marked


@dataclass(frozen=True, slots=True)
class LateLabel:
    """A label that a block of documents lacks, which chance would hardly do.

    ``where`` names the block in words, ``n_without`` counts its documents and ``n_with`` those
    that have the label, of ``n_documents``. ``p`` is the chance of such a block (corrected for the
    number of blocks and labels looked at).
    """

    label: str
    where: str
    n_without: int
    n_with: int
    n_documents: int
    p: float


def late_labels(docs: Sequence[Document]) -> list[LateLabel]:
    """Labels that no document of a block has, where chance makes that improbable.

    Blocks are the documents before the first that has the label (in the order of ``docs``, and by
    each field of metadata that holds a date YYYY-MM in every document), and the groups that a field
    of metadata makes. If the ``n`` documents with the label stood anywhere among ``N``, a block of
    ``m`` would have none of them with probability C(N - m, n) / C(N, n) (hypergeometric). That,
    times the number of blocks and labels looked at (Bonferroni), must be at most 0.01. The most
    improbable block of each label is returned; documents where it is unknown already are left out.
    """
    found: list[LateLabel] = []
    labels = labels_of(docs)
    for label in labels:
        asked = [doc for doc in docs if label not in doc.unknown]
        n_with = sum(label in doc.labels for doc in asked)
        if not n_with:
            continue
        blocks = list(_blocks(asked, label))
        n_looks = len(labels) * len(blocks)
        late = [
            LateLabel(label, where, m, n_with, len(asked), min(1.0, p * n_looks))
            for where, m, without in blocks
            if without and (p := _chance(len(asked), m, n_with)) * n_looks <= _LEVEL
        ]
        found += sorted(late, key=lambda each: each.p)[:1]
    return found


def _blocks(docs: Sequence[Document], label: str) -> Iterator[tuple[str, int, bool]]:
    """Blocks in words, with their number of documents, and whether all of them lack ``label``."""
    first = next(i for i, doc in enumerate(docs) if label in doc.labels)
    yield f"the first {first} documents", first, first > 0
    for name, values in _fields(docs).items():
        if all(_DATE.fullmatch(value) for value in values):
            ordered = sorted(zip(values, docs, strict=True), key=lambda pair: pair[0])
            first = next(i for i, (_, doc) in enumerate(ordered) if label in doc.labels)
            yield f"the {first} earliest documents by {shown_name(name)}", first, first > 0
        elif len(set(values)) <= _MOST_GROUPS:
            having = {v for v, doc in zip(values, docs, strict=True) if label in doc.labels}
            for value, m in sorted(Counter(values).items()):
                where = f"the {m} documents of {shown_name(name)} {shown_name(value)}"
                yield where, m, value not in having


def _fields(docs: Sequence[Document]) -> dict[str, list[str]]:
    """The fields of metadata that every document has as a string, with the values."""
    names = set.intersection(*(set(doc.metadata) for doc in docs)) - {"patient", "document"}
    values = {name: [doc.metadata[name] for doc in docs] for name in sorted(names)}
    return {name: own for name, own in values.items() if all(isinstance(v, str) for v in own)}


def _chance(n_documents: int, n_block: int, n_with: int) -> float:
    """C(N - m, n) / C(N, n): that none of ``n`` documents drawn of ``N`` is in a block of ``m``."""
    rest = n_documents - n_block
    return comb(rest, n_with) / comb(n_documents, n_with)


def late_findings(splits: Mapping[str, Sequence[Document]]) -> list[Finding]:
    """The late labels of each split, with the option to give."""
    return [
        Finding(
            "label may be added later",
            split,
            "",
            late.label,
            detail=f"{late.where} have none, {late.n_with} of the other "
            f"{late.n_documents - late.n_without} have it (p = {late.p:.1g}); if nobody looked for "
            f"it there: --unknown {shown_name(late.label)}",
        )
        for split, docs in splits.items()
        for late in late_labels(docs)
    ]


def revisit_findings(
    splits: Mapping[str, Sequence[Document]], *, labelled_ratio: float = 0.5
) -> list[Finding]:
    """Places in documents where a label is unknown whose string has that label elsewhere.

    A string counts if it has the label in at least ``labelled_ratio`` of its places in the
    documents where the label is known.
    """
    places = [(split, doc) for split, docs in splits.items() for doc in docs]
    found: list[Finding] = []
    for label in sorted({label for _, doc in places for label in doc.unknown}):
        known = [(split, doc) for split, doc in places if label not in doc.unknown]
        unknown = [(split, doc) for split, doc in places if label in doc.unknown]
        uses: dict[tuple[str, ...], Uses] = {}
        lengths: dict[str, set[int]] = defaultdict(set)
        for _, doc in known:
            for ent in doc.entities:
                if ent.label == label and (key := string_key(ent.mention(doc.text))):
                    uses.setdefault(key, Uses(Counter(), [])).labels[label] += 1
                    lengths[key[0]].add(len(key))
        for split, doc in known:
            find_unlabelled(split, doc, uses, lengths)
        said: dict[tuple[str, ...], str] = {}
        for key, use in uses.items():
            n_labelled = use.labels.total()
            n_all = n_labelled + len(use.unlabelled)
            use.unlabelled.clear()
            if n_labelled >= labelled_ratio * n_all:
                said[key] = f"labelled in {n_labelled} of {n_all} places where it is known"
        uses = {key: uses[key] for key in said}
        for split, doc in unknown:
            find_unlabelled(split, doc, uses, lengths)
        found += [
            Finding(
                "unlabelled where unknown", split, doc_id, label, "", start, end, detail=said[key]
            )
            for key, use in uses.items()
            for split, doc_id, start, end in use.unlabelled
        ]
    return found
