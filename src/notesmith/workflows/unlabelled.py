"""The notes that a workflow labels: a stream, without those that repeat labelled documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.corpus.notes import Notes, Survey, find_notes, survey
from notesmith.corpus.parts import Known
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, shown_doc
from notesmith.experiment.recipes import corpus_path
from notesmith.progress import OnProgress, silent

NO_WORDS = "without words"
AS_FOUND = NoteFields()
"""Text and id stand where notes of this project have them."""


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Notes to label, what a first reading says of them, and how many were left out, by what.

    A note is left out whose text, patient or id is that of a labelled document, or that has no
    words.
    """

    notes: Notes
    found: Survey
    left_out: Counter[str]

    @classmethod
    def of(
        cls,
        source: Path | str | Sequence[Document],
        labelled: Iterable[Document],
        *,
        options: ReadingConfig,
        fields: NoteFields = AS_FOUND,
        patient_from: str | None = None,
        most: int | None = None,
        on_progress: OnProgress = silent,
    ) -> Unlabelled:
        """Read all notes once.

        Args:
            source: documents, or the file or folder that holds them.
            labelled: documents that no note may repeat.
            options: how files become notes.
            fields: where JSON lines or Parquet of other programs keep text and id.
            patient_from: a regular expression whose first group in an id, of notes and labelled
                documents, is the patient; what is known already wins.
            most: notes that are taken, the first ones; all if None.
            on_progress: called about the reading.

        Raises:
            CorpusError: a note cannot be read, two have one id, or none is left.
            ConfigError: an option does not fit.
        """
        pattern = _pattern(patient_from)
        known = _Labelled.of(_with_patient(doc, pattern) for doc in labelled)
        left_out: Counter[str] = Counter()
        read = _notes_of(source, options, fields)

        def counted(counts: Counter[str]) -> Notes:
            def notes(tally: Tally) -> Iterator[Document]:
                is_empty = True
                for doc in islice(_kept(read(tally), known, pattern, counts), most):
                    is_empty = False
                    yield doc
                if is_empty and counts:
                    raise CorpusError(
                        f"none of {counts.total():,} notes is left to label: {causes(counts)}; "
                        "name other notes"
                    )

            return notes

        found = survey(counted(left_out), options, on_progress=on_progress)
        return cls(counted(Counter()), found, left_out)


def _notes_of(
    source: Path | str | Sequence[Document], options: ReadingConfig, fields: NoteFields
) -> Notes:
    if isinstance(source, Path | str):
        return find_notes(corpus_path(str(source)), options, fields=fields)
    docs = list(source)
    if again := [doc_id for doc_id, n in Counter(doc.id for doc in docs).items() if n > 1]:
        raise CorpusError(f"notes: {shown_doc(again[0])} stands twice; rename one")
    return lambda tally: iter(docs)


def _pattern(patient_from: str | None) -> re.Pattern[str] | None:
    if patient_from is None:
        return None
    try:
        return re.compile(patient_from)
    except re.error as error:
        raise ConfigError(f"patient-from {patient_from!r}: {error}; correct it") from None


def _with_patient(doc: Document, pattern: re.Pattern[str] | None) -> Document:
    match = pattern.search(doc.id) if pattern else None
    if match is None or not (patient := match[1 if match.re.groups else 0]):
        return doc
    return replace(doc, metadata={"patient": patient, **doc.metadata})


@dataclass(frozen=True, slots=True)
class _Labelled:
    """What a note may not repeat: texts, patients and ids of labelled documents."""

    known: Known
    ids: frozenset[str]

    @classmethod
    def of(cls, docs: Iterable[Document]) -> _Labelled:
        found = list(docs)
        return cls(Known.of(found), frozenset(doc.id for doc in found))

    def why(self, doc: Document) -> str:
        """Why a note is left out; empty if it is not."""
        if not doc.text.strip():
            return NO_WORDS
        return self.known.why(doc) or ("id" if doc.id in self.ids else "")


def _kept(
    docs: Iterable[Document], known: _Labelled, pattern: re.Pattern[str] | None, left: Counter[str]
) -> Iterator[Document]:
    for read in docs:
        doc = _with_patient(read, pattern)
        if why := known.why(doc):
            left[why] += 1
        else:
            yield doc


def causes(left_out: Counter[str]) -> str:
    """How many notes were left out and why, in words; empty where none was."""
    said = (
        f"{n:,} {what}"
        if what == NO_WORDS
        else f"{n:,} by the {what} of a labelled or held-out document"
        for what, n in left_out.most_common()
    )
    return ", ".join(said)
