"""From labelled notes and the distributions of their words to a queue for annotators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.annotation.queue import Choice, Queued, Scored, queue_notes
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats.jsonl import loads
from notesmith.corpus.queue_files import Tool
from notesmith.corpus.reading import read_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, FileError
from notesmith.experiment.recipes import corpus_path
from notesmith.experiment.taught import Taught


@dataclass(frozen=True, slots=True)
class Review:
    """The queue to make of labelled notes: its folder, its tool, and how notes are chosen."""

    folder: Path
    choice: Choice
    tool: Tool = "label-studio"

    def check(self, labels: str | None, changes: Sequence[str], *, is_preview: bool) -> None:
        """Refuse, before any work, what could not be queued after it.

        Args:
            labels: what is learnt from the notes; soft if None.
            changes: changes of settings, ``a.b=VALUE``.
            is_preview: whether a few notes are labelled only.

        Raises:
            ConfigError: notes are labelled without the distributions of words, or are a preview.
            FileError: the folder is there already.
        """
        set_to = [x.partition("=")[2] for x in changes if x.strip().startswith("annotate.labels")]
        if any(x is not None and x.strip("\"' ") != "soft" for x in (labels, *set_to)):
            raise ConfigError(
                "--for-review chooses by the distributions of words, which only soft labels keep; "
                "leave out --labels and annotate.labels"
            )
        if is_preview:
            raise ConfigError("a preview queues no notes; leave out --for-review")
        if self.folder.exists():
            raise FileError(f"{self.folder}: exists already; name another folder (--for-review)")


def queue_labelled(
    kept: Path,
    scores: Path,
    review: Review,
    *,
    gold: Path | None,
    held_out: Sequence[Path] = (),
    reading: ReadingConfig,
    patient_from: str | None = None,
) -> Queued:
    """Queue notes that ``annotate`` has labelled.

    Args:
        kept: the labelled notes, JSON lines.
        scores: the distributions of their words, in the same order.
        review: the queue to make.
        gold: the labelled documents that the students learnt from, if any were trained.
        held_out: further documents that no note may be like.
        reading: how labelled documents are read.
        patient_from: a regular expression whose first group in an id is the patient.

    Raises:
        CorpusError: no note can be queued, or the tool cannot hold one.
        FileError: the two files do not belong together, or the folder cannot be written.
    """
    docs = [] if gold is None else _read(gold, reading, patient_from)
    others = [doc for path in held_out for doc in _read(path, reading, patient_from)]
    return queue_notes(
        review.folder,
        lambda: scored_notes(kept, scores),
        review.choice,
        tool=review.tool,
        labels=Taught.open(scores).labels,
        gold=docs,
        held_out=others,
    )


def scored_notes(kept: Path, scores: Path) -> Iterator[Scored]:
    """The notes of ``kept`` with the distributions of their words, one at a time.

    Raises:
        FileError: the two files hold other notes.
    """
    said = (
        (doc_id, one)
        for part in Taught.open(scores).parts()
        for doc_id, one in zip(part.ids, part.scores, strict=True)
    )
    with kept.open("rb") as lines:
        for doc in (loads(line.decode()) for line in lines):
            doc_id, one = next(said, (None, None))
            if one is None or doc_id != doc.id:
                raise FileError(f"{scores}: is of other notes than {kept}; label them again")
            yield doc, one


def _read(path: Path, reading: ReadingConfig, patient_from: str | None) -> list[Document]:
    found = corpus_path(str(path))
    return read_corpus(found, reading, patient_from=patient_from, expect_mentions=False).docs
