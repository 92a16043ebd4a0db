"""Entity scores as the field defines them: strict, and lenient beside it; counts per document.

Strict micro-F1 counts a prediction as right when label and every boundary agree (seqeval strict,
seqscore, CoNLL). Counts are kept per document so that intervals can be bootstrapped over documents.
Where gold is masked its labels are unknown: gold mentions and predictions that touch such text are
left out of every score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from notesmith.document import Document, Entity, Span, attribute_name
from notesmith.errors import StageError, shown_doc

Matching = Literal["strict", "overlap", "boundary"]
Spans = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class PRFScore:
    """True positives, false positives and false negatives; rates are 0 where undefined."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: PRFScore) -> PRFScore:
        return PRFScore(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """tp / (tp + fp)."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        """tp / (tp + fn)."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn)."""
        total = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / total if total else 0.0

    @classmethod
    def sum(cls, scores: Iterable[PRFScore]) -> PRFScore:
        """Add up scores: the micro average."""
        return sum(scores, cls())


def score_document(
    gold: Document, predicted: Document, *, matching: Matching = "strict"
) -> dict[str, PRFScore]:
    """Score one document, per label.

    ``strict``: label and all boundaries. ``boundary``: boundaries only, labels pooled under
    ``"*"``. ``overlap``: same label and at least one shared code point, each gold entity matched to
    one prediction at most. An entity that stands twice counts once. Entities that touch what
    ``gold`` masks are left out.

    Raises:
        StageError: the two documents differ in id or text.
    """
    if gold.id != predicted.id or gold.text != predicted.text:
        raise StageError(f"{shown_doc(gold.id)}: prediction is for another text")
    pooled = matching == "boundary"
    wanted, found = scored_entities(gold, gold), scored_entities(predicted, gold)
    labels = {"*"} if pooled else {e.label for e in (*wanted, *found)}
    scores: dict[str, PRFScore] = {}
    for label in sorted(labels):
        want = [e for e in wanted if pooled or e.label == label]
        have = [e for e in found if pooled or e.label == label]
        want_spans, have_spans = {e.spans for e in want}, {e.spans for e in have}
        if matching == "overlap":
            tp = _overlapping(want_spans, have_spans)
        else:
            tp = len(want_spans & have_spans)
        scores[label] = PRFScore(tp, len(have_spans) - tp, len(want_spans) - tp)
    return scores


def scored_entities(doc: Document, gold: Document) -> tuple[Entity, ...]:
    """The entities of ``doc`` that touch no masked range of ``gold``: those that are scored."""
    if not gold.masked:
        return doc.entities
    return tuple(
        ent
        for ent in doc.entities
        if not any(s < end and start < e for s, e in ent.spans for start, end in gold.masked)
    )


@dataclass(frozen=True, slots=True)
class Unscored:
    """How many gold mentions and predictions touch masked text, and so are not scored."""

    gold: int = 0
    predicted: int = 0

    def __bool__(self) -> bool:
        return bool(self.gold or self.predicted)


def count_unscored(gold: Sequence[Document], predicted: Sequence[Document]) -> Unscored:
    """Count what the scores of ``predicted`` against ``gold`` leave out; any order."""
    by_id = {doc.id: doc for doc in predicted}
    masked = [doc for doc in gold if doc.masked]

    def n_out(doc: Document, of: Document) -> int:
        return len(doc.entities) - len(scored_entities(doc, of))

    return Unscored(
        sum(n_out(doc, doc) for doc in masked),
        sum(n_out(by_id[doc.id], doc) for doc in masked if doc.id in by_id),
    )


def _overlapping(want: set[Spans], have: set[Spans]) -> int:
    # Earliest end first pairs as many intervals as possible, nested ones included.
    def end_first(spans: Spans) -> tuple[int, Spans]:
        return spans[-1][1], spans

    free = sorted(have, key=end_first)
    tp = 0
    for spans in sorted(want, key=end_first):
        for i, other in enumerate(free):
            if any(s < e2 and s2 < e for s, e in spans for s2, e2 in other):
                del free[i]
                tp += 1
                break
    return tp


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a set: ``per_document[i]`` maps label to counts of document ``ids[i]``."""

    ids: tuple[str, ...]
    per_document: tuple[dict[str, PRFScore], ...]

    @property
    def micro(self) -> PRFScore:
        """All labels and documents added up."""
        return PRFScore.sum(s for doc in self.per_document for s in doc.values())

    def by_label(self) -> dict[str, PRFScore]:
        """Counts per label over all documents."""
        total: dict[str, PRFScore] = {}
        for doc in self.per_document:
            for label, score in doc.items():
                total[label] = total.get(label, PRFScore()) + score
        return dict(sorted(total.items()))

    def documents(self) -> list[PRFScore]:
        """Counts per document over all labels, in the order of ``ids``."""
        return [PRFScore.sum(doc.values()) for doc in self.per_document]


def score(
    gold: Sequence[Document], predicted: Sequence[Document], *, matching: Matching = "strict"
) -> Scores:
    """Score predictions against gold, paired by id (any order).

    Raises:
        StageError: a gold document has no prediction, or a prediction has no gold document.
    """
    by_id = {doc.id: doc for doc in predicted}
    missing = [doc.id for doc in gold if doc.id not in by_id]
    extra = set(by_id) - {doc.id for doc in gold}
    if missing or extra:
        raise StageError(f"{len(missing)} documents without prediction, {len(extra)} without gold")
    rows = tuple(score_document(doc, by_id[doc.id], matching=matching) for doc in gold)
    return Scores(tuple(doc.id for doc in gold), rows)


@dataclass(frozen=True, slots=True)
class AttributeScores:
    """Counts of one attribute's values, a document each in the order of gold.

    ``on_found``: on mentions found exactly (same spans and label), so that errors of mentions have
    no part. ``end_to_end``: a value counts as right where spans, label and value agree. Mentions
    without the attribute are right silently, as O is in tagging.
    """

    on_found: tuple[PRFScore, ...]
    end_to_end: tuple[PRFScore, ...]


def score_attributes(
    gold: Sequence[Document], predicted: Sequence[Document], names: Iterable[str] | None = None
) -> dict[str, AttributeScores]:
    """Score attributes by name, paired by id (any order): those that mentions of ``gold`` have.

    A flag ``negated`` is a value of its own; ``Certainty=low`` is a value of ``Certainty``, and
    ``Certainty=high`` in its place is a false positive and a false negative. ``names`` are scored
    instead where they are given, also those that ``gold`` lacks.

    Raises:
        StageError: gold and predictions are not the same documents.
    """
    score(gold, predicted)
    by_id = {doc.id: doc for doc in predicted}
    rows = [(_values(doc, doc), _values(by_id[doc.id], doc)) for doc in gold]
    if names is None:
        names = {attribute_name(x) for want, _ in rows for own in want.values() for x in own}
    return {
        name: AttributeScores(
            tuple(_compare(want, have, want.keys() & have.keys(), name) for want, have in rows),
            tuple(_compare(want, have, want.keys() | have.keys(), name) for want, have in rows),
        )
        for name in sorted(names)
    }


_Values = dict[tuple[Spans, str], set[str]]


def _values(doc: Document, gold: Document) -> _Values:
    found: _Values = {}
    for ent in scored_entities(doc, gold):
        found.setdefault((ent.spans, ent.label), set()).update(ent.attributes)
    return found


def _compare(
    want: _Values, have: _Values, mentions: Iterable[tuple[Spans, str]], name: str
) -> PRFScore:
    total = PRFScore()
    for mention in mentions:
        mine, theirs = (
            {x for x in side.get(mention, ()) if attribute_name(x) == name} for side in (want, have)
        )
        total += PRFScore(len(mine & theirs), len(theirs - mine), len(mine - theirs))
    return total


def fold_mention(mention: str) -> str:
    """The form under which mentions count as the same: case folded, white space collapsed."""
    return " ".join(mention.casefold().split())


def score_unseen(
    gold: Sequence[Document], predicted: Sequence[Document], seen: Iterable[str]
) -> Scores:
    """Strict scores restricted to mentions whose folded surface string is not in ``seen``.

    Gold entities count when their own string is unseen, predictions when theirs is; so a false
    positive on a seen string does not count here.
    """
    known = {fold_mention(m) for m in seen}
    return _restricted(gold, predicted, lambda m: fold_mention(m) not in known)


def score_seen(
    gold: Sequence[Document], predicted: Sequence[Document], seen: Iterable[str]
) -> Scores:
    """The complement of ``score_unseen``: strings that training has."""
    known = {fold_mention(m) for m in seen}
    return _restricted(gold, predicted, lambda m: fold_mention(m) in known)


def _restricted(
    gold: Sequence[Document], predicted: Sequence[Document], wanted: Callable[[str], bool]
) -> Scores:
    def keep(docs: Sequence[Document]) -> list[Document]:
        return [
            doc.with_entities(e for e in doc.entities if wanted(e.mention(doc.text)))
            for doc in docs
        ]

    return score(keep(gold), keep(predicted))


@dataclass(frozen=True, slots=True)
class Known:
    """Gold and predictions, without the mentions of labels that gold does not know.

    ``n_documents`` and ``n_left_out`` count by label the documents in which it is unknown, and the
    predictions left out there.
    """

    gold: list[Document]
    predicted: list[Document]
    n_documents: Counter[str]
    n_left_out: Counter[str]

    def sentences(self, which: str = "") -> list[str]:
        """What was not scored, a sentence for each label."""
        return [
            f"{label}: unknown in {n} of {len(self.gold)} documents of gold and not scored there; "
            f"{self.n_left_out[label]} of the {which}predictions are left out for that."
            for label, n in sorted(self.n_documents.items())
        ]


def known_only(gold: Sequence[Document], predicted: Sequence[Document]) -> Known:
    """Drop mentions of a document's unknown labels on both sides, paired by id (any order)."""
    by_id = {doc.id: doc for doc in gold if doc.unknown}
    left_out = Counter(
        ent.label
        for own in predicted
        if own.id in by_id
        for ent in own.entities
        if ent.label in by_id[own.id].unknown
    )

    def kept(doc: Document) -> Document:
        if doc.id not in by_id:
            return doc
        unknown = by_id[doc.id].unknown
        return doc.with_entities(ent for ent in doc.entities if ent.label not in unknown)

    counts = Counter(label for doc in by_id.values() for label in doc.unknown)
    return Known(list(map(kept, gold)), list(map(kept, predicted)), counts, left_out)
