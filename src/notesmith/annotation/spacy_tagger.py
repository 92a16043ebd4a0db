"""A spaCy pipeline as an annotator: what it sets as entities, or as a group of spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from notesmith.annotation.mentions import MentionAnnotator, with_score
from notesmith.annotation.tagger import LabelMap, annotator_of
from notesmith.document import Document, Entity
from notesmith.errors import ModelError, StageError, shown_doc
from notesmith.models.load import require
from notesmith.progress import OnProgress, Progress

if TYPE_CHECKING:
    from spacy.language import Language

# The score that notesmith's own component gives an entity.
_OWN_SCORE = "notesmith_score"


def load_spacy(name: str) -> Language:
    """The pipeline of a folder, or of an installed package, whose code it then runs.

    Raises:
        MissingExtraError: spaCy is not installed.
        ModelError: there is no such pipeline, or it cannot be loaded.
    """
    spacy = require("spacy", "spacy")
    try:
        nlp: Language = spacy.load(name)
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"{name}: spaCy cannot load this pipeline ({type(error).__name__}); name the folder "
            "that nlp.to_disk wrote, or a package of a pipeline that is installed"
        ) from error
    return nlp


def of_spacy(
    nlp: Language,
    labels: tuple[str, ...],
    label_map: Mapping[str, str],
    *,
    name: str,
    spans_key: str = "",
) -> MentionAnnotator:
    """The entities of ``nlp`` as mentions with exact offsets.

    spaCy gives entities no score; spans of a group have one where a span categoriser made them.

    Args:
        nlp: the pipeline.
        labels: of the project.
        label_map: their label to ours; '' drops.
        name: what it is called.
        spans_key: take ``doc.spans[spans_key]`` in the place of ``doc.ents``.

    Raises:
        ConfigError: a label is not mapped.
    """
    declared = _labels_in(nlp, "doc.spans" if spans_key else "doc.ents")
    mapping = LabelMap.of(declared, labels, label_map)
    finder = _Finder(nlp, spans_key)
    return annotator_of(name, finder.find, labels, mapping)


@dataclass(frozen=True, slots=True)
class _Finder:
    nlp: Language
    spans_key: str

    def find(
        self, docs: Sequence[Document], on_progress: OnProgress, counts: Counter[str]
    ) -> Iterator[Document]:
        for doc in docs:
            if len(doc.text) > self.nlp.max_length:
                raise StageError(
                    f"{shown_doc(doc.id)}: {len(doc.text)} characters, and the pipeline takes "
                    f"{self.nlp.max_length}; split the note, or raise max_length in the pipeline"
                )
        began = perf_counter()
        read = self.nlp.pipe(doc.text for doc in docs)
        for i, (doc, found) in enumerate(zip(docs, read, strict=True), 1):
            spans, scores = self._spans(doc, found)
            yield doc.with_entities(
                _entity(k, span, score)
                for k, (span, score) in enumerate(zip(spans, scores, strict=True), 1)
            )
            on_progress(Progress("spacy", i, len(docs), "notes", 0, perf_counter() - began))

    def _spans(self, doc: Document, found: Any) -> tuple[list[Any], list[float | None]]:
        if not self.spans_key:
            spans = list(found.ents)
            return spans, [
                getattr(span._, _OWN_SCORE) if span.has_extension(_OWN_SCORE) else None
                for span in spans
            ]
        if self.spans_key not in found.spans:
            raise StageError(
                f"{shown_doc(doc.id)}: the pipeline sets no group of spans of this name; correct "
                "annotate.tagger.spans_key"
            )
        spans = list(found.spans[self.spans_key])
        scores = found.spans[self.spans_key].attrs.get("scores")
        return spans, [None] * len(spans) if scores is None else [float(s) for s in scores]


def _entity(number: int, span: Any, score: float | None) -> Entity:
    ent = Entity(f"T{number}", span.label_, ((span.start_char, span.end_char),))
    return ent if score is None else with_score(ent, score)


def _labels_in(nlp: Language, assigned: str) -> set[str]:
    """The labels that those components of ``nlp`` declare which set ``assigned``."""
    return {
        label
        for name, labels in nlp.pipe_labels.items()
        if assigned in nlp.get_pipe_meta(name).assigns
        for label in labels
    }
