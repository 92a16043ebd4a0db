"""What cells hold beside metrics: documents, candidates, names, samples, as JSON lines.

These files hold note text; they stay in the run folder and are never logged.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from notesmith.corpus.formats.jsonl import dumps, from_record, loads, to_record
from notesmith.document import Document
from notesmith.experiment.taught import packed, unpacked
from notesmith.files.checksums import CHECKSUM, checksum, loads_checked
from notesmith.files.write import FILE_MODE, atomic_write_bytes, atomic_write_text
from notesmith.filters.candidate import Candidate, Dropped
from notesmith.markup import Fault
from notesmith.ner.decode import WordScores
from notesmith.synthesis.names import NameSet
from notesmith.synthesis.steer import Coverage

if TYPE_CHECKING:
    from notesmith.lm.samples import Sample

DOCS = "docs.jsonl"
DROPPED = "dropped.jsonl"
CANDIDATES = "candidates.jsonl"
NAMES = "names.json"
COVERAGE = "concepts.jsonl"
MODEL = "model"
WORD_SCORES = "scores.npz"
_MENTIONS_ALONE = "mentions-alone"


def save_docs(docs: Iterable[Document], folder: Path) -> None:
    """Write ``docs`` to the cell in ``folder``."""
    atomic_write_text(folder / DOCS, "".join(f"{dumps(doc)}\n" for doc in docs))


def load_docs(folder: Path) -> list[Document]:
    """Read the documents of the cell in ``folder``; there may be none."""
    return [loads(line) for line in _lines(folder / DOCS)]


def save_scores(scores: Mapping[str, WordScores], folder: Path) -> None:
    """Write the distributions of words by document id, as half-precision numbers.

    Attributes are left out: they stand in the documents.
    """
    found = list(scores.values())
    n_tags = next((one.probabilities.shape[1] for one in found), 0)
    arrays: dict[str, Any] = packed(list(scores), found, n_tags=n_tags)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    atomic_write_bytes(folder / WORD_SCORES, buffer.getvalue())


def mark_mentions_alone(folder: Path) -> None:
    """Note that the scores in ``folder`` hold no opinion of words outside the mentions found."""
    atomic_write_text(folder / _MENTIONS_ALONE, "")


def tells_mentions_alone(folder: Path) -> bool:
    """Whether ``mark_mentions_alone`` noted that."""
    return (folder / _MENTIONS_ALONE).exists()


def has_scores(folder: Path) -> bool:
    """Whether a cell left distributions of words behind."""
    return (folder / WORD_SCORES).exists()


def load_scores(folder: Path) -> dict[str, WordScores]:
    """Read what ``save_scores`` wrote; rows sum to one, and words are those that were written."""
    with np.load(folder / WORD_SCORES, allow_pickle=False) as found:
        return dict(zip(*unpacked(found), strict=True))


def save_candidates(candidates: Iterable[Candidate], folder: Path) -> None:
    """Write what the generator made, before filters."""
    records = (_candidate_record(candidate) for candidate in candidates)
    atomic_write_text(folder / CANDIDATES, _as_lines(records))


def load_candidates(folder: Path) -> list[Candidate]:
    """Read what ``save_candidates`` wrote."""
    return [_candidate(json.loads(line)) for line in _lines(folder / CANDIDATES)]


def save_dropped(dropped: Iterable[Dropped], folder: Path) -> None:
    """Write dropped candidates with their reasons, and what they repeat."""
    atomic_write_text(folder / DROPPED, dropped_text(dropped))


def dropped_text(dropped: Iterable[Dropped]) -> str:
    """The same as one string, a record a line."""
    return _as_lines(
        {
            "reason": d.reason,
            "match": d.match,
            "likeness": d.likeness,
            **_candidate_record(d.candidate),
        }
        for d in dropped
    )


def load_dropped(folder: Path) -> list[Dropped]:
    """Read what ``save_dropped`` wrote."""
    return dropped_of((folder / DROPPED).read_text(encoding="utf-8"))


def dropped_of(text: str) -> list[Dropped]:
    """The inverse of ``dropped_text``."""
    records = (json.loads(line) for line in text.split("\n") if line)
    return [Dropped(_candidate(r), r["reason"], r["match"], r["likeness"]) for r in records]


def save_coverage(rows: Iterable[Coverage], folder: Path) -> None:
    """Write what became of the texts that asked for each concept."""
    atomic_write_text(folder / COVERAGE, _as_lines(map(asdict, rows)))


def load_coverage(folder: Path) -> list[Coverage]:
    """Read what ``save_coverage`` wrote."""
    return [Coverage(**json.loads(line)) for line in _lines(folder / COVERAGE)]


def save_names(names: NameSet, folder: Path) -> None:
    """Write approved names."""
    atomic_write_text(folder / NAMES, json.dumps(names.to_json(), ensure_ascii=False, indent=1))


def load_names(folder: Path) -> NameSet:
    """Read approved names."""
    return NameSet.from_json(json.loads((folder / NAMES).read_text(encoding="utf-8")))


class SampleLog:
    """Samples of an unfinished cell, appended batch by batch.

    Each line holds its checksum: from the first that is torn or damaged on they are cut off.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path`` where an earlier attempt left it, and go on from there."""
        self.path = path
        self.finished: dict[int, Sample] = {}
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            record = loads_checked(line)
            if record is None or not line.endswith(b"\n"):
                break
            sample = _sample(record)
            whole += len(line)
            self.finished[sample.index] = sample
        if path.exists():
            os.truncate(path, whole)

    def append(self, samples: Sequence[Sample]) -> None:
        """Add finished samples and flush them to disk."""
        records: list[dict[str, Any]] = [
            {"index": s.index, "text": s.text, "ids": list(s.token_ids), "ended": s.ended}
            for s in samples
        ]
        lines = [json.dumps({**r, CHECKSUM: checksum(r)}, ensure_ascii=True) for r in records]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, FILE_MODE)
        with os.fdopen(descriptor, "ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode("ascii"))
            file.flush()
            os.fsync(file.fileno())


def _sample(record: dict[str, Any]) -> Sample:
    from notesmith.lm.samples import Sample

    return Sample(
        index=int(record["index"]),
        text=str(record["text"]),
        token_ids=tuple(int(i) for i in record["ids"]),
        ended=bool(record["ended"]),
    )


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    result = candidate.result
    return {
        "id": candidate.id,
        "marked": candidate.marked,
        "ended": candidate.ended,
        "requested": [list(pair) for pair in candidate.requested],
        "missing": candidate.missing,
        **(
            {
                "requested_attributes": [list(own) for own in candidate.requested_attributes],
                "missing_attributes": candidate.missing_attributes,
            }
            if candidate.requested_attributes
            else {}
        ),
        **(
            {"fault": result.reason, "offset": result.offset}
            if isinstance(result, Fault)
            else {"document": to_record(result)}
        ),
    }


def _candidate(record: Mapping[str, Any]) -> Candidate:
    result = (
        Fault(record["fault"], record["offset"])
        if "fault" in record
        else from_record(record["document"])
    )
    return Candidate(
        id=record["id"],
        marked=record["marked"],
        result=result,
        ended=record["ended"],
        requested=tuple((label, mention) for label, mention in record["requested"]),
        missing=record["missing"],
        requested_attributes=tuple(tuple(own) for own in record.get("requested_attributes", ())),
        missing_attributes=record.get("missing_attributes", 0),
    )


def _as_lines(records: Iterable[dict[str, Any]]) -> str:
    # ASCII: what a model writes may hold characters that UTF-8 files cannot.
    return "".join(f"{json.dumps(record, ensure_ascii=True)}\n" for record in records)


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]
