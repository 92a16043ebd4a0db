"""A spaCy component, ``nlp.add_pipe("notesmith", config={"model": "folder"})``: sets ``doc.ents``.

Put it before components that read ``doc.ents`` (negation, context). spaCy finds it by an entry
point, so this module is imported with every pipeline: the model and its libraries load with the
first document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, MissingExtraError, ModelError

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
except ImportError as error:
    raise MissingExtraError("spacy", "spacy") from error

if TYPE_CHECKING:
    from notesmith.ner.decode import Decision
    from notesmith.ner.student import Student

ALIGNMENTS = ("strict", "contract", "expand")
_FOLDER = "model"


@Language.factory(
    "notesmith",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
    default_config={
        "model": "",
        "alignment_mode": "expand",
        "thresholds": {},
        "scores": False,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str,
    alignment_mode: str,
    thresholds: dict[str, float],
    scores: bool,
) -> NotesmithNer:
    """Make the component, as spaCy does from a config.

    Args:
        nlp: the pipeline.
        name: of the component in it.
        model: folder that notesmith train, run or export saved.
        alignment_mode: what becomes of a mention that begins or ends inside a token: left out
            (``strict``), or moved to the tokens inside (``contract``) or around it (``expand``).
        thresholds: score from which mentions of a label count, as in ``notesmith predict``.
        scores: give each entity its score as ``ent._.notesmith_score``.

    Attributes that the student has learnt are in ``ent._.notesmith_attributes``, a tuple of flags
    and ``NAME=VALUE``.
    """
    return NotesmithNer(model, alignment_mode, thresholds, scores)


class NotesmithNer:
    """Labels documents with a trained student. State: the model once it is loaded, and counts.

    ``counts`` says what did not fit: ``moved`` to other borders, ``unaligned`` (no token holds
    it), ``overlapping`` an entity that stood there before, which stays.
    """

    def __init__(
        self, model: str, alignment_mode: str, thresholds: dict[str, float], scores: bool
    ) -> None:
        if alignment_mode not in ALIGNMENTS:
            raise ConfigError(
                f"alignment_mode {alignment_mode!r} is not one of {', '.join(ALIGNMENTS)}"
            )
        self.folder = model
        self.alignment_mode = alignment_mode
        self.thresholds = dict(thresholds)
        self.scores = scores
        self.counts: Counter[str] = Counter()
        self._loaded: tuple[Student, Decision] | None = None
        if not Span.has_extension("notesmith_attributes"):
            Span.set_extension("notesmith_attributes", default=())
        if scores and not Span.has_extension("notesmith_score"):
            Span.set_extension("notesmith_score", default=None)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it finds; none while its model is not there to be read.

        spaCy asks for them whenever it describes a pipeline, before the model is loaded too.
        """
        from notesmith.ner.settings import read_settings

        if self._loaded is not None:
            return self._loaded[0].labels
        try:
            return read_settings(Path(self.folder)).labels if self.folder else ()
        except ModelError:
            return ()

    def __call__(self, doc: Doc) -> Doc:
        """Label one document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Label a stream of documents, ``batch_size`` at once."""
        left = iter(stream)
        while docs := list(islice(left, batch_size)):
            student, decision = self._load()
            texts = [Document(str(i), doc.text) for i, doc in enumerate(docs)]
            for doc, found in zip(docs, student.predict(texts, decision=decision), strict=True):
                self._set(doc, found.entities)
                yield doc

    def _load(self) -> tuple[Student, Decision]:
        if self._loaded is None:
            if not self.folder:
                raise ModelError(
                    'component notesmith: no model; add_pipe("notesmith", config={"model": FOLDER})'
                )
            from notesmith.ner.decode import Decision
            from notesmith.ner.student import load_student

            student = load_student(self.folder)
            decision = Decision(self.thresholds, self.scores)
            decision.check(student.labels)
            self._loaded = student, decision
        return self._loaded

    def _set(self, doc: Doc, entities: Sequence[Entity]) -> None:
        from notesmith.ner.decode import SCORE, score_of

        kept = list(doc.ents)
        taken = {token for span in kept for token in range(span.start, span.end)}
        for ent in entities:
            span = doc.char_span(
                ent.start, ent.end, label=ent.label, alignment_mode=self.alignment_mode
            )
            if span is None or not len(span):
                self.counts["unaligned"] += 1
                continue
            if any(token in taken for token in range(span.start, span.end)):
                self.counts["overlapping"] += 1
                continue
            self.counts["moved"] += (span.start_char, span.end_char) != (ent.start, ent.end)
            taken.update(range(span.start, span.end))
            kept.append(span)
            if attributes := tuple(x for x in ent.attributes if not x.startswith(SCORE)):
                span._.notesmith_attributes = attributes
            if self.scores:
                span._.notesmith_score = score_of(ent)
        doc.set_ents(kept, default="outside")

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write the model into the pipeline's folder, so that it can be moved as one."""
        from notesmith.ner.student import copy_student

        self._load()
        copy_student(Path(self.folder), Path(path) / _FOLDER)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> NotesmithNer:
        """Load the model that ``to_disk`` wrote, wherever the folder is now."""
        self.folder, self._loaded = str(Path(path) / _FOLDER), None
        self._load()
        return self
