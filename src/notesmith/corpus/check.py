"""Find what hurts later: ragged spans, uneven labels, leaks between train, dev and test.

A finding names document, offsets and label, never text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from notesmith.document import Document, Span
from notesmith.overlap import WORD, OverlapIndex, runs
from notesmith.words import word_around, words

CheckName = Literal[
    "white space at an end",
    "cuts a word",
    "stands twice",
    "few mentions",
    "labelled elsewhere",
    "other label elsewhere",
    "label may be added later",
    "unlabelled where unknown",
    "committee denies",
    "committee marks",
    "committee sees other boundary",
    "committee sees other label",
    "near-duplicate",
    "near-duplicate across splits",
    "document across splits",
    "patient across splits",
]
# These spoil training or the comparison; the others are worth a look.
SERIOUS: frozenset[CheckName] = frozenset(
    {
        "white space at an end",
        "stands twice",
        "near-duplicate across splits",
        "document across splits",
        "patient across splits",
    }
)
# One answer of gold is probably wrong: worth the look of a person.
DOUBTFUL: frozenset[CheckName] = frozenset(
    {
        "labelled elsewhere",
        "other label elsewhere",
        "unlabelled where unknown",
        "committee denies",
        "committee marks",
        "committee sees other boundary",
        "committee sees other label",
    }
)
_RUN_WORDS = 5
_LONG_WORDS = 40
# A run in more documents than this is boilerplate and tells nothing.
_COMMON_RUN = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; ``start`` and ``end`` are -1 where no span is meant.

    ``entity_id`` is empty where the span is no mention of gold. ``confidence`` is that of the
    committee, ``suggested`` the label that may be right instead.
    """

    check: CheckName
    split: str
    doc_id: str
    label: str = ""
    entity_id: str = ""
    start: int = -1
    end: int = -1
    detail: str = ""
    confidence: float | None = None
    suggested: str = ""

    @property
    def serious(self) -> bool:
        """Whether it spoils training or a comparison."""
        return self.check in SERIOUS

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """All findings, in the order of the checks, and their number by check."""

    findings: list[Finding]

    @property
    def counts(self) -> dict[str, int]:
        """Number of findings by check."""
        return dict(Counter(finding.check for finding in self.findings))

    @property
    def n_serious(self) -> int:
        """Number of serious findings."""
        return sum(finding.serious for finding in self.findings)


def check_corpus(
    splits: Mapping[str, Sequence[Document]],
    *,
    few_mentions: int = 20,
    labelled_ratio: float = 0.5,
    duplicate_ratio: float = 0.8,
) -> CheckResult:
    """Look through the splits of a corpus; one split has any name.

    Args:
        splits: documents by split.
        few_mentions: a label with fewer mentions over all splits is reported.
        labelled_ratio: an unlabelled occurrence of a string is reported if the string is labelled
            at least twice and in at least this share of its occurrences.
        duplicate_ratio: two documents are near-duplicates if they share this much (Jaccard) of
            their runs of five words.
    """
    findings = [
        *_spans(splits),
        *_rare_labels(splits, few_mentions),
        *_uneven(splits, labelled_ratio),
        *_duplicates(splits, duplicate_ratio),
        *_shared(splits),
    ]
    return CheckResult(findings)


def _spans(splits: Mapping[str, Sequence[Document]]) -> Iterator[Finding]:
    for split, docs in splits.items():
        for doc in docs:
            seen: set[tuple[str, tuple[Span, ...]]] = set()
            spans = words(doc.text) if doc.entities else []
            for ent in doc.entities:
                at = (split, doc.id, ent.label, ent.id, ent.start, ent.end)
                ends = [doc.text[at] for start, end in ent.spans for at in (start, end - 1)]
                if any(map(str.isspace, ends)):
                    yield Finding("white space at an end", *at)
                if any(word_around(spans, offset) for span in ent.spans for offset in span):
                    yield Finding("cuts a word", *at)
                if (ent.label, ent.spans) in seen:
                    yield Finding("stands twice", *at)
                seen.add((ent.label, ent.spans))


def _rare_labels(splits: Mapping[str, Sequence[Document]], few: int) -> Iterator[Finding]:
    counts = Counter(e.label for docs in splits.values() for d in docs for e in d.entities)
    for label, n in sorted(counts.items(), key=lambda item: (item[1], item[0])):
        if n < few:
            yield Finding(
                "few mentions", "all", "", label, detail=f"{n} mention{'' if n == 1 else 's'}"
            )


@dataclass(slots=True)
class Uses:
    """How one string is used: labels of its mentions, and where it stands unlabelled."""

    labels: Counter[str]
    unlabelled: list[tuple[str, str, int, int]]


def _uneven(splits: Mapping[str, Sequence[Document]], ratio: float) -> Iterator[Finding]:
    uses: dict[tuple[str, ...], Uses] = {}
    for docs in splits.values():
        for doc in docs:
            for ent in doc.entities:
                key = string_key(ent.mention(doc.text))
                if key:
                    uses.setdefault(key, Uses(Counter(), [])).labels[ent.label] += 1
    lengths: dict[str, set[int]] = defaultdict(set)
    for key in uses:
        lengths[key[0]].add(len(key))
    for split, docs in splits.items():
        for doc in docs:
            find_unlabelled(split, doc, uses, lengths)
    for use in sorted(uses.values(), key=_unlabelled_ratio):
        n_labelled = use.labels.total()
        n_all = n_labelled + len(use.unlabelled)
        if n_labelled >= 2 and n_labelled >= ratio * n_all:
            label = use.labels.most_common(1)[0][0]
            detail = f"labelled in {n_labelled} of {n_all} places"
            for split, doc_id, start, end in use.unlabelled:
                yield Finding(
                    "labelled elsewhere", split, doc_id, label, "", start, end, detail=detail
                )
    yield from _other_labels(splits, uses)


def _unlabelled_ratio(use: Uses) -> float:
    return len(use.unlabelled) / (use.labels.total() + len(use.unlabelled))


def string_key(mention: str) -> tuple[str, ...]:
    """Words of a mention, none of a mention of more than ``_LONG_WORDS``, which stands once."""
    key = _words(mention) if len(mention) <= _LONG_WORDS * _LONG_WORDS else ()
    return key if len(key) <= _LONG_WORDS else ()


def _words(text: str) -> tuple[str, ...]:
    """Words; only a first capital is ignored, so that acronyms stay apart."""
    return tuple(
        word.lower() if word[1:].islower() or len(word) == 1 else word
        for word in (text[start:end] for start, end in words(text))
    )


def find_unlabelled(
    split: str,
    doc: Document,
    uses: Mapping[tuple[str, ...], Uses],
    lengths: Mapping[str, set[int]],
) -> None:
    """Add the places of ``doc`` outside its mentions where a string of ``uses`` stands.

    ``lengths`` has the numbers of words of the strings by their first word.
    """
    covered = bytearray(len(doc.text))
    end = 0
    for ent in sorted(doc.entities, key=lambda ent: ent.start):
        if ent.end > end:
            start = max(ent.start, end)
            covered[start : ent.end] = b"\1" * (ent.end - start)
            end = ent.end
    places = words(doc.text)
    folded = _words(doc.text)
    for i, word in enumerate(folded):
        for n in sorted(lengths.get(word, ()), reverse=True):
            key = folded[i : i + n]
            use = uses.get(key)
            if use is None:
                continue
            start, end = places[i][0], places[i + len(key) - 1][1]
            if not any(covered[start:end]):
                use.unlabelled.append((split, doc.id, start, end))
                covered[start:end] = b"\1" * (end - start)
            break


def _other_labels(
    splits: Mapping[str, Sequence[Document]], uses: Mapping[tuple[str, ...], Uses]
) -> Iterator[Finding]:
    """Mentions whose label is the rare one (a tenth or less) among the labels of their string."""
    for split, docs in splits.items():
        for doc in docs:
            for ent in doc.entities:
                use = uses.get(string_key(ent.mention(doc.text)))
                if use is None:
                    continue
                label, n = use.labels.most_common(1)[0]
                if ent.label != label and use.labels[ent.label] * 10 <= n:
                    yield Finding(
                        "other label elsewhere",
                        *(split, doc.id, ent.label, ent.id, ent.start, ent.end),
                        detail=f"{label} in {n} of {use.labels.total()} places",
                        suggested=label,
                    )


def _duplicates(splits: Mapping[str, Sequence[Document]], ratio: float) -> Iterator[Finding]:
    every = [(split, doc) for split, docs in splits.items() for doc in docs]
    found = [_runs_of(doc.text) for _, doc in every]
    index = OverlapIndex(found)
    for i, (split, doc) in enumerate(every):
        shared = index.shared(found[i], among=range(i), common=_COMMON_RUN)
        for j, n in sorted(shared.items()):
            jaccard = n / (len(found[i]) + len(found[j]) - n)
            if jaccard < ratio:
                continue
            other_split, other = every[j]
            if other.id == doc.id and other_split != split:
                continue  # "document across splits" says so.
            yield Finding(
                "near-duplicate" if other_split == split else "near-duplicate across splits",
                split,
                doc.id,
                detail=f"{jaccard:.0%} like {other_split} {other.id}",
            )


def _runs_of(text: str) -> frozenset[str]:
    """The runs of five words of ``text``; none of a text too short to tell."""
    found = [word.lower() for word in WORD.findall(text)]
    if len(found) < 2 * _RUN_WORDS:
        return frozenset()
    return frozenset(map(" ".join, runs(found, _RUN_WORDS)))


def _shared(splits: Mapping[str, Sequence[Document]]) -> Iterator[Finding]:
    first: dict[str, str] = {}
    homes: dict[str, list[str]] = defaultdict(list)
    examples: dict[str, str] = {}
    for split, docs in splits.items():
        for doc in docs:
            if first.setdefault(doc.id, split) != split:
                yield Finding(
                    "document across splits", split, doc.id, detail=f"also in {first[doc.id]}"
                )
            patient = doc.metadata.get("patient")
            if patient is not None and split not in homes[str(patient)]:
                homes[str(patient)].append(split)
                examples[str(patient)] = doc.id
    for patient, names in sorted(homes.items()):
        if len(names) > 1:
            yield Finding(
                "patient across splits",
                names[-1],
                examples[patient],
                detail=f"patient {patient} is in {', '.join(names)}",
            )
