"""Soft labels beside a file of documents: what annotators think of each word, in one ``.npz``.

``silver.jsonl`` has them in ``silver.scores.npz``, which is written and read a part at a time, so
that it may be larger than memory. Each document is recorded with a hash of its own labels: one that
somebody changed since teaches what it now says, and not what the annotators thought.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document
from notesmith.errors import ConfigError, FileError
from notesmith.files.checksums import canonical
from notesmith.files.write import atomic_file
from notesmith.ner.decode import WordScores

SUFFIX = ".scores.npz"
_ABOUT = "about"
_VERSION = 1
# The date of a member of an archive: files of the same content are the same.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, slots=True)
class Part:
    """Documents by id and labels' hash, and the distributions of their words, in one order."""

    ids: tuple[str, ...]
    hashes: tuple[int, ...]
    scores: tuple[WordScores, ...]

    @classmethod
    def of(cls, docs: Sequence[Document], scores: Sequence[WordScores]) -> Part:
        """The part of ``docs``."""
        return cls(tuple(d.id for d in docs), tuple(map(_labels_hash, docs)), tuple(scores))


def beside(path: Path) -> Path:
    """Where the soft labels of the documents in ``path`` stand."""
    return path.with_name(f"{path.stem}{SUFFIX}")


def write_parts(
    path: Path, labels: Sequence[str], parts: Iterable[Part], counts: Mapping[str, int] = {}
) -> None:
    """Write ``parts``, one at a time, as half-precision numbers; attributes are left out.

    Raises:
        FileError: the disk is full, or the file may not be written.
    """
    n = 0
    with atomic_file(path) as file, zipfile.ZipFile(file, "w") as archive:
        for n, part in enumerate(parts, 1):
            arrays = {
                "hashes": np.array(part.hashes, np.uint64),
                **packed(part.ids, part.scores, n_tags=2 * len(labels) + 1),
            }
            for name, array in arrays.items():
                _add(archive, f"{n:06d}/{name}", array)
        about = {"version": _VERSION, "labels": list(labels), "parts": n, "counts": dict(counts)}
        _add(archive, _ABOUT, _as_bytes(about))


def _add(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    entry = zipfile.ZipInfo(f"{name}.npy", _NO_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as member:
        np.lib.format.write_array(member, array, allow_pickle=False)


def packed(
    ids: Sequence[str], scores: Sequence[WordScores], *, n_tags: int
) -> dict[str, NDArray[Any]]:
    """The distributions of documents as arrays, in half precision; attributes are left out."""
    rows = [one.probabilities.astype(np.float16) for one in scores]
    words = [word for one in scores for word in one.words]
    return {
        "ids": _as_bytes(list(ids)),
        "lengths": np.array([len(one.words) for one in scores], np.int64),
        "words": np.array(words, np.int32).reshape(-1, 2),
        "rows": np.concatenate(rows) if rows else np.zeros((0, n_tags), np.float16),
    }


def unpacked(
    found: Mapping[str, NDArray[Any]], prefix: str = ""
) -> tuple[tuple[str, ...], tuple[WordScores, ...]]:
    """The inverse of ``packed``: ids and distributions, whose rows sum to one."""
    ids = tuple(json.loads(found[f"{prefix}ids"].tobytes()))
    ends = np.cumsum(found[f"{prefix}lengths"]).tolist()
    words = found[f"{prefix}words"].tolist()
    rows = found[f"{prefix}rows"].astype(np.float32)
    rows /= rows.sum(axis=1, keepdims=True)
    return ids, tuple(
        WordScores(tuple((a, b) for a, b in words[start:end]), rows[start:end])
        for start, end in zip([0, *ends], ends, strict=False)
    )


def _as_bytes(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Taught:
    """A file of soft labels, open for reading part by part."""

    path: Path
    labels: tuple[str, ...]
    n_parts: int
    counts: Counter[str]

    @classmethod
    def open(cls, path: Path) -> Taught:
        """See what ``path`` holds.

        Raises:
            FileError: it is damaged, or of another version.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                about = json.loads(found[_ABOUT].tobytes())
            if about["version"] != _VERSION:
                raise ValueError
            return cls(path, tuple(about["labels"]), about["parts"], Counter(about["counts"]))
        except _DAMAGE as error:
            raise _damaged(path) from error

    def parts(self) -> Iterator[Part]:
        """The parts in order; rows sum to one.

        Raises:
            FileError: the file is damaged.
        """
        try:
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                for n in range(1, self.n_parts + 1):
                    yield _part(found, f"{n:06d}")
        except _DAMAGE as error:
            raise _damaged(self.path) from error


def _part(found: Mapping[str, NDArray[Any]], name: str) -> Part:
    ids, scores = unpacked(found, f"{name}/")
    return Part(ids, tuple(found[f"{name}/hashes"].tolist()), scores)


def _damaged(path: Path) -> FileError:
    return FileError(
        f"{path}: damaged, or of another version of notesmith; make it again, or move it away to "
        "learn the mentions of the documents alone"
    )


@dataclass(frozen=True, slots=True)
class SoftLabels:
    """Distributions of words by document id, for ``train_ner``.

    ``n_changed`` documents were changed after they were labelled, and ``n_without`` are not in the
    file: both teach their own labels.
    """

    scores: dict[str, WordScores] = field(repr=False)
    n_changed: int
    n_without: int


def soft_labels(path: Path, docs: Iterable[Document], labels: Sequence[str]) -> SoftLabels:
    """What the file ``path`` says of ``docs``, for a student that learns ``labels``.

    Raises:
        FileError: it is damaged.
        ConfigError: it is of other labels.
    """
    taught = Taught.open(path)
    if set(taught.labels) != set(labels):
        raise ConfigError(
            f"{path}: its distributions are over the labels {', '.join(taught.labels)}, and the "
            f"student learns {', '.join(labels)}; label the notes again, or move the file away to "
            "learn the mentions of the documents alone"
        )
    columns = [0]
    for label in labels:
        first = 2 * taught.labels.index(label) + 1
        columns += [first, first + 1]
    wanted = {doc.id: _labels_hash(doc) for doc in docs}
    scores: dict[str, WordScores] = {}
    n_changed = 0
    for part in taught.parts():
        for doc_id, was, one in zip(part.ids, part.hashes, part.scores, strict=True):
            now = wanted.pop(doc_id, None)
            if now == was:
                scores[doc_id] = replace(one, probabilities=one.probabilities[:, columns])
            else:
                n_changed += now is not None
    return SoftLabels(scores, n_changed, len(wanted))


def _labels_hash(doc: Document) -> int:
    """A number for the text and its labels; what else is known of a document has no part in it."""
    entities = sorted((ent.label, ent.spans) for ent in doc.entities)
    value = [doc.id, doc.text, entities, sorted(doc.masked)]
    data = canonical(value).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")
