"""Taggers that exist already as annotators: predictions in a file, or a model of another library.

Their labels are mapped to those of the project. What a tagger is not asked for by name it must not
say: a label that is neither mapped nor of the project is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from notesmith.annotation.mentions import (
    Find,
    MentionAnnotator,
    spans_of,
    with_score,
    words_in,
)
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, StageError, shown_doc, shown_name
from notesmith.metrics import scored_entities
from notesmith.ner.decode import score_of
from notesmith.progress import OnProgress, silent
from notesmith.words import words

DROPPED = "mentions left out by the label map"
_OPTION = "annotate.tagger.label_map"
# Occurrences that the mean of all labels counts for in the score of one.
_WEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class LabelMap:
    """The labels of a tagger as those of the project; an empty one drops its mentions."""

    ours: Mapping[str, str]

    @classmethod
    def of(
        cls, theirs: Iterable[str], labels: Sequence[str], label_map: Mapping[str, str]
    ) -> LabelMap:
        """``label_map`` over ``theirs``; a label of the project stands for itself.

        Raises:
            ConfigError: a label of the tagger is neither mapped nor of the project, or one that it
                is mapped to is not of the project.
        """
        if wrong := sorted({label for label in label_map.values() if label} - set(labels)):
            raise ConfigError(
                f"{_OPTION} names {shown_name(wrong[0])}; the project's labels are "
                f"{', '.join(map(shown_name, labels))}"
            )
        known = {label: label for label in labels} | dict(label_map)
        if missing := sorted(set(theirs) - set(known)):
            raise ConfigError(
                f"the tagger's labels {', '.join(map(shown_name, missing))} are not among the "
                f"project's ({', '.join(map(shown_name, labels))}); map each to one of these, or "
                f"to '' to drop it ({_OPTION})"
            )
        return cls(known)

    def apply(self, doc: Document, labels: Sequence[str], counts: Counter[str]) -> Document:
        """``doc`` with our labels; mentions that are dropped are counted.

        Raises:
            ConfigError: as ``of``.
        """
        if unknown := doc.labels - set(self.ours):
            LabelMap.of(unknown, labels, self.ours)
        kept = [
            replace(ent, label=self.ours[ent.label]) for ent in doc.entities if self.ours[ent.label]
        ]
        counts[DROPPED] += len(doc.entities) - len(kept)
        return doc.with_entities(kept)


def annotator_of(
    name: str,
    find: Callable[[Sequence[Document], OnProgress, Counter[str]], Iterable[Document]],
    labels: tuple[str, ...],
    mapping: LabelMap,
) -> MentionAnnotator:
    """An annotator whose finder gives mentions of the tagger's own labels."""
    counts: Counter[str] = Counter()

    def mapped(docs: Sequence[Document], on_progress: OnProgress) -> Iterator[Document]:
        for doc in find(docs, on_progress, counts):
            yield mapping.apply(doc, labels, counts)

    return MentionAnnotator(labels, name, mapped, counts=counts)


def of_predictions(
    predicted: Sequence[Document],
    labels: tuple[str, ...],
    label_map: Mapping[str, str],
    *,
    on_problem: Literal["raise", "count"] = "raise",
) -> MentionAnnotator:
    """Predictions that were made elsewhere, matched to notes by id and text.

    Args:
        predicted: documents with mentions, which may carry a score.
        labels: of the project.
        label_map: their label to ours; '' drops.
        on_problem: a note without predictions, or whose text they are not of, is an error; or it is
            counted, and nothing is said of its words.

    Raises:
        ConfigError: a label is not mapped.
    """
    mapping = LabelMap.of(labels_of(predicted), labels, label_map)
    by_id = {doc.id: doc for doc in predicted}

    def find(
        docs: Sequence[Document], on_progress: OnProgress, counts: Counter[str]
    ) -> Iterator[Document]:
        for doc in docs:
            said = by_id.get(doc.id)
            if said is not None and said.text == doc.text:
                yield doc.with_entities(said.entities)
                continue
            what = "no predictions" if said is None else "predictions of another text"
            if on_problem == "raise":
                raise StageError(
                    f"{shown_doc(doc.id)}: the file of the tagger has {what}; predict this note "
                    "too, or set annotate.tagger.reading.on_problem to 'count' to leave it "
                    "undecided"
                )
            counts[f"notes with {what}"] += 1
            yield replace(doc.with_entities(()), masked=((0, len(doc.text)),))

    return annotator_of("predictions of a file", find, labels, mapping)


def measured(
    annotator: MentionAnnotator, gold: Sequence[Document], *, score: float | None = None
) -> MentionAnnotator:
    """The same annotator, with what ``gold`` shows of it in the place of defaults.

    A mention without a score gets ``score``, or where that is None the precision of its label:
    (right + 2 m) / (found + 2), with m = (right + 1) / (found + 2) over all labels. ``floor``
    becomes the share of words outside the mentions found that are words of mentions. A tagger that
    was trained on ``gold`` looks better here than it is. Without gold the defaults stay.
    """
    if not gold:
        return annotator if score is None else _given(annotator, score)
    found, right = Counter[str](), Counter[str]()
    missed = outside = 0
    for doc, said in zip(gold, annotator.find(gold, silent), strict=True):
        marked = {(ent.label, ent.spans) for ent in doc.entities}
        for ent in scored_entities(said, doc):
            found[ent.label] += 1
            right[ent.label] += (ent.label, ent.spans) in marked
        taken = words_in(doc.text, [*spans_of(said), *doc.masked])
        missed += len(words_in(doc.text, spans_of(doc)) - taken)
        outside += len(words(doc.text)) - len(taken)
    annotator.counts.clear()
    if outside:
        annotator = replace(annotator, floor=missed / outside)
    if score is not None:
        return _given(annotator, score)
    mean = (right.total() + 1) / (found.total() + 2)
    scores = {
        label: (right[label] + _WEIGHT * mean) / (found[label] + _WEIGHT)
        for label in annotator.labels
    }
    return replace(annotator, find=_scored(annotator.find, scores))


def _given(annotator: MentionAnnotator, score: float) -> MentionAnnotator:
    scores = dict.fromkeys(annotator.labels, score)
    return replace(annotator, find=_scored(annotator.find, scores))


def _scored(find: Find, scores: Mapping[str, float]) -> Find:
    def scored(docs: Sequence[Document], on_progress: OnProgress) -> Iterator[Document]:
        for doc in find(docs, on_progress):
            yield doc.with_entities(
                with_score(ent, scores[ent.label]) if score_of(ent) is None else ent
                for ent in doc.entities
            )

    return scored
