"""Label notes as a stream: a chunk at a time, written as it goes, resumed after a kill.

What is done stands beside the output as a hidden file of JSON lines, ``.NAME.KEY.part``; at the end
it takes the output's name (or is turned into Parquet or rows of NOTE_NLP). The key is that of the
notes and of what labels them, so a part is continued only by the work that began it. Who labels is
a value.
"""

from __future__ import annotations

import datetime
import fcntl
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import IO, Protocol

from notesmith import __version__
from notesmith.corpus.formats import jsonl, note_nlp, parquet
from notesmith.corpus.notes import Digest, Notes, Survey
from notesmith.corpus.problems import Tally
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, FileError
from notesmith.files.write import FILE_MODE, explained, make_folder, refuse_odd, sync_folder
from notesmith.progress import OnProgress, Progress, silent


class Label(Protocol):
    """Labels a chunk of notes; gives as many documents, in the same order.

    It may report how far it is in the chunk.
    """

    def __call__(
        self, docs: Sequence[Document], *, on_progress: OnProgress = ...
    ) -> Sequence[Document]: ...


CHUNK_DOCS = 128
CHUNK_CHARS = 400_000


@dataclass(frozen=True, slots=True)
class Output:
    """Where labelled notes go: Parquet or NOTE_NLP (``.csv``) if ``path`` ends so, else JSON lines.

    ``key`` names the work (it begins the part's name), ``labels`` are all that may be given.
    """

    path: Path
    key: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.path.suffix.lower() in (".gz", ".xz"):
            raise ConfigError(
                f"{self.path}: output is not compressed; end it in .jsonl, .parquet or .csv"
            )
        if self.is_parquet:
            parquet.check_labels(self.labels)
        if self.path.is_dir():
            raise FileError(f"{self.path}: is a folder; name a file")

    @property
    def is_parquet(self) -> bool:
        """Whether Parquet is asked for."""
        return self.path.suffix.lower() == parquet.SUFFIX

    @property
    def is_note_nlp(self) -> bool:
        """Whether rows of NOTE_NLP are asked for."""
        return self.path.suffix.lower() == note_nlp.SUFFIX

    @property
    def part(self) -> Path:
        """What is done, while the work is unfinished."""
        return self.path.parent / f".{self.path.name[:80]}.{self.key[:16]}.part"


@dataclass(frozen=True, slots=True)
class Labelled:
    """How much was labelled; ``n_resumed`` notes were done before, ``lost`` the format left out."""

    n_docs: int
    n_entities: int
    n_resumed: int
    lost: Counter[str]


def label_notes(
    notes: Notes,
    found: Survey,
    label: Label,
    output: Output,
    *,
    on_progress: OnProgress = silent,
) -> Labelled:
    """Label ``notes``, of which ``found`` is the survey, and write them to ``output`` in order.

    What is done is kept when it raises, and the same call goes on with it.

    Raises:
        CorpusError: the notes have changed since the survey.
        FileError: another process writes this output, or the disk is full.
    """
    make_folder(output.path.parent)
    digest, began = Digest(), perf_counter()
    n_docs = n_entities = n_resumed = n_chars = chars_before = 0
    chunk: Sequence[Document] = ()

    def tell(share: float = 0.0) -> None:
        """Report what is done: whole chunks, and a share of the one that is being labelled."""
        chars = n_chars + share * sum(len(doc.text) for doc in chunk)
        # A note counts once its chunk is written.
        docs = n_docs + min(int(share * len(chunk)), max(len(chunk) - 1, 0))
        seconds, done = perf_counter() - began, chars - chars_before
        left = seconds * (found.n_chars - chars) / done if done else 0.0
        on_progress(Progress("predict", docs, found.n_docs, "notes", 0, seconds, left=left))

    def inside(progress: Progress) -> None:
        tell(progress.done / progress.total if progress.total else 0.0)

    with explained(output.path), _part(output) as part:
        resuming = True
        for chunk in chunks(notes(Tally.of(found.options))):
            for doc in chunk:
                digest.add(doc)
            labelled = _done(part, chunk) if resuming else None
            if labelled is None:
                resuming = False
                labelled = list(label(chunk, on_progress=inside))
                part.write("".join(f"{jsonl.dumps(doc)}\n" for doc in labelled).encode())
                part.flush()
            n_docs += len(chunk)
            n_entities += sum(len(doc.entities) for doc in labelled)
            n_chars += sum(len(doc.text) for doc in chunk)
            if resuming:
                n_resumed, chars_before = n_docs, n_chars
            tell()
        if digest.hex() != found.digest:
            output.part.unlink()
            raise CorpusError("the notes have changed while they were read; run it again")
        part.truncate()
        os.fsync(part.fileno())
        lost = _finish(output)
    return Labelled(n_docs, n_entities, n_resumed, lost)


def keeping(label: Label) -> Label:
    """``label``, with the mentions and relations that notes carry kept beside those it finds.

    A mention that stands there already, with the same label, is not added again.
    """

    def both(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> list[Document]:
        labelled = label(docs, on_progress=on_progress)
        return [_joined(doc, found) for doc, found in zip(docs, labelled, strict=True)]

    return both


def _joined(doc: Document, found: Document) -> Document:
    have = {(ent.label, ent.spans) for ent in doc.entities}
    ids = {ent.id for ent in doc.entities}
    free = (name for i in count(1) if (name := f"T{i}") not in ids)
    added = tuple(
        replace(ent, id=next(free)) for ent in found.entities if (ent.label, ent.spans) not in have
    )
    return replace(
        found,
        entities=doc.entities + added,
        relations=doc.relations,
        concept_relations=doc.concept_relations,
    )


def chunks(docs: Iterable[Document]) -> Iterator[list[Document]]:
    """``docs`` in lists of at most ``CHUNK_DOCS``, closed early after ``CHUNK_CHARS`` characters.

    Where they are cut follows from the documents alone, so that a resumed run cuts alike.
    """
    chunk: list[Document] = []
    n_chars = 0
    for doc in docs:
        chunk.append(doc)
        n_chars += len(doc.text)
        if len(chunk) == CHUNK_DOCS or n_chars >= CHUNK_CHARS:
            yield chunk
            chunk, n_chars = [], 0
    if chunk:
        yield chunk


@contextmanager
def _part(output: Output) -> Iterator[IO[bytes]]:
    """The part, opened at its beginning and locked; parts of other work that nobody holds go."""
    ours = re.compile(re.escape(f".{output.path.name[:80]}.") + r"[0-9a-f]{16}\.part")
    for name in os.listdir(output.path.parent):
        other = output.path.parent / name
        if ours.fullmatch(name) and other != output.part:
            with _locked(other):
                other.unlink()
    with _locked(output.part) as file:
        yield file


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    refuse_odd(path, folder=False)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, FILE_MODE)
    with os.fdopen(descriptor, "r+b") as file:
        busy = False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = True
        except OSError:  # A file system without locks.
            pass
        # Finished and renamed by its owner between our opening and locking.
        if busy or not path.exists() or not os.path.samestat(os.fstat(descriptor), path.stat()):
            raise FileError(
                f"{path}: another process is writing it; wait for it, or name another output"
            )
        yield file


def _done(part: IO[bytes], chunk: Sequence[Document]) -> list[Document] | None:
    """The documents of ``chunk`` as they were written before; None, and the rest cut off, if not.

    A kill may leave a chunk that is not whole: it is labelled again.
    """
    start = part.tell()
    lines = list(islice(part, len(chunk)))
    try:
        docs = [jsonl.loads(line.decode()) for line in lines if line.endswith(b"\n")]
    except (CorpusError, UnicodeDecodeError):
        docs = []
    if [(d.id, d.text) for d in docs] == [(d.id, d.text) for d in chunk]:
        return docs
    part.seek(start)
    part.truncate()
    return None


def _finish(output: Output) -> Counter[str]:
    lost: Counter[str] = Counter()
    if output.is_parquet:
        lost = parquet.write_stream(_read(output.part), output.path, output.labels)
        output.part.unlink()
    elif output.is_note_nlp:
        system = f"notesmith {__version__}"
        now = datetime.datetime.now()
        lost = note_nlp.write_stream(_read(output.part), output.path, system, now)
        output.part.unlink()
    else:
        os.replace(output.part, output.path)
        sync_folder(output.path.parent)
    return lost


def _read(part: Path) -> Iterator[Document]:
    with part.open("rb") as file:
        for line in file:
            yield jsonl.loads(line.decode())
