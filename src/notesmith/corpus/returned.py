"""Take labelled notes of a queue back as gold, and say how the round went."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notesmith.corpus.adjudicate import ANNOTATORS, adjudicate
from notesmith.corpus.agreement import Agreement, agreement
from notesmith.corpus.corrected import STAGE, same_text
from notesmith.corpus.disputes import first_difference
from notesmith.corpus.formats.json_values import take_id
from notesmith.corpus.problems import Tally
from notesmith.corpus.queue_files import TO_READ, Sent
from notesmith.corpus.queued import MINUTES, QUEUED, ROUND, Item, Kind
from notesmith.corpus.stopping import Round, Share
from notesmith.document import Document, Provenance
from notesmith.errors import CorpusError, FileError, shown_doc
from notesmith.files.write import atomic_write_text, read_regular
from notesmith.metrics import PRFScore, score_document

_NUMBERS = "corrected.json"
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Effort:
    """Time that was told for notes of one kind: notes, their words, and minutes of work."""

    notes: int
    words: int
    minutes: float

    @property
    def per_thousand_words(self) -> float:
        """Minutes for a thousand words."""
        return 1000 * self.minutes / self.words if self.words else 0.0


@dataclass(frozen=True, slots=True)
class Returned:
    """The labelled notes of a round, as gold, and what can be said of it.

    ``missing`` notes did not come back at all; of ``waiting`` ones fewer readings came than
    annotators were asked for. ``agreement`` is None where no note was read twice. ``changed`` is
    the share of shown labels that annotators changed or removed, and ``added`` counts mentions that
    they were not shown. ``f1_shown`` and ``f1_control`` are the F1 of the model's labels against
    those of annotators, who had seen them or not.
    """

    docs: list[Document]
    missing: tuple[Item, ...]
    waiting: tuple[Item, ...]
    agreement: Agreement | None
    changed: Share
    added: int
    f1_shown: Share
    f1_control: Share
    effort: Mapping[Kind, Effort]
    round: Round
    n_undecided: int
    counts: dict[str, int]

    @property
    def seems_anchored(self) -> bool:
        """Whether annotators may have accepted what they were shown.

        Chosen notes are those on which the model is expected to be wrong more often. Where it is
        right far more often on them than on control notes (the intervals do not meet), its labels
        have probably swayed the annotators.
        """
        shown, control = self.f1_shown.interval, self.f1_control.interval
        return shown is not None and control is not None and shown[0] > control[1]


def take_back(
    sent: Sent,
    readings: Mapping[str, Sequence[Document]],
    *,
    truth: Mapping[str, Document] | None = None,
    minutes: Mapping[str, float] | None = None,
    tally: Tally | None = None,
    seed: int = 13,
) -> Returned:
    """Make gold of what annotators returned for the queue ``sent``.

    Text, sections and metadata are those of the note that was sent. Where two annotators have read
    a note, what only one of them marked is masked (see ``adjudicate``); ground truth of the tool
    comes first. Documents have the provenance *gold*, stage ``corrected``, and in their metadata
    ``annotators``, ``queued``, ``round`` and, where known, ``minutes``.

    Args:
        sent: the queue.
        readings: documents by annotator.
        truth: documents that the tool holds as decided, by id.
        minutes: of work by id of the note; the metadata of a reading may hold them as well.
        tally: what to do with a note whose text was changed; an error if None.
        seed: of the resampling.

    Raises:
        CorpusError: a text was changed, or no note of the queue came back.
    """
    tally = tally or Tally()
    kept = {
        name: [doc for found in docs if (doc := _as_sent(sent, found, tally)) is not None]
        for name, docs in readings.items()
    }
    if len(sent.queue.annotators) > 1:
        asked = {item.id: item.annotators for item in sent.queue.items}
        by_others = sum(name not in asked[doc.id] for name, docs in kept.items() for doc in docs)
        if by_others:
            tally.counts["readings by others than those whom the queue asked, kept"] += by_others
    decided = {
        doc_id: doc
        for doc_id, found in (truth or {}).items()
        if (doc := _as_sent(sent, found, tally)) is not None
    }
    made = adjudicate(kept, rule="majority", truth=decided)
    if not made.docs:
        said = "; ".join(f"{n:,} {what}" for what, n in sorted(tally.counts.items()))
        raise CorpusError(
            f"{sent.path}: no note of the queue came back{f' ({said})' if said else ''}; name the "
            "files that the annotators exported"
        )
    times = _minutes(kept, minutes or {})
    by_id = {doc.id: doc for doc in made.docs}
    docs = [
        _gold(sent, item, by_id[item.id], times.get(item.id))
        for item in sent.queue.items
        if item.id in by_id
    ]
    n_read = Counter(doc.id for each in kept.values() for doc in each)
    items = sent.queue.items
    shared = any(n > 1 for n in n_read.values())
    effect = _Effect.of(sent, kept if n_read else {"": list(decided.values())})
    back = [item for item in items if item.id in by_id]
    return Returned(
        docs=docs,
        missing=tuple(item for item in items if item.id not in by_id),
        waiting=tuple(
            item
            for item in back
            if item.id not in decided and n_read[item.id] < len(item.annotators)
        ),
        agreement=agreement(kept, seed=seed) if shared else None,
        changed=Share.of(effect.prelabels, seed=seed),
        added=effect.n_added,
        f1_shown=Share.of(effect.shown, seed=seed),
        f1_control=Share.of(effect.control, seed=seed),
        effort=_effort(back, times),
        round=Round(
            sent.queue.round,
            sent.queue.gold_words,
            len(back),
            sum(item.words for item in back),
            tuple(effect.control),
            tuple(effect.prelabels),
        ),
        n_undecided=len(made.undecided),
        counts=dict(sorted(tally.counts.items())),
    )


def write_numbers(sent: Sent, found: Round) -> None:
    """Keep the numbers of a round in the folder of its queue, for the next one; no text."""
    record = {"schema": _SCHEMA, **found.to_record()}
    atomic_write_text(sent.path / _NUMBERS, json.dumps(record) + "\n")


def read_numbers(path: Path) -> Round:
    """The numbers of an earlier round, from the folder of its queue.

    Raises:
        FileError: its notes have not been taken back yet, or the file is damaged.
    """
    try:
        record = json.loads(read_regular(path / _NUMBERS))
        if record["schema"] != _SCHEMA:
            raise ValueError
        return Round.from_record(record)
    except FileNotFoundError:
        raise FileError(
            f"{path}: holds no {_NUMBERS}; take the notes of that queue back first, with "
            "notesmith corpus corrected"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FileError(
            f"{path}: {_NUMBERS} is damaged; take the notes of that queue back again, with "
            "notesmith corpus corrected"
        ) from None


def lead_times(path: Path) -> dict[str, float]:
    """Minutes by document id that an export of Label Studio tells; empty for any other file.

    Its ``lead_time`` is in seconds. Those of all annotations of a task are added up.
    """
    if path.suffix.lower() != ".json":
        return {}
    try:
        tasks = json.loads(read_regular(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}  # The reader of documents says what is wrong with it.
    found: dict[str, float] = {}
    for task in tasks if isinstance(tasks, list) else [tasks]:
        data = task.get("data") if isinstance(task, dict) else None
        doc_id = take_id([dict(data)]) if isinstance(data, dict) else None
        for answer in _dicts(task.get("annotations")) if doc_id is not None else ():
            seconds = answer.get("lead_time")
            if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                continue
            if doc_id is not None and not answer.get("was_cancelled"):
                found[doc_id] = found.get(doc_id, 0.0) + seconds / 60
    return found


def _dicts(values: Any) -> list[dict[str, Any]]:
    return [x for x in values if isinstance(x, dict)] if isinstance(values, list) else []


def _as_sent(sent: Sent, found: Document, tally: Tally) -> Document | None:
    """The reading of a note of the queue on the text that was sent; None if it is none, counted."""
    was = sent.docs.get(found.id)
    if was is None:
        tally.note("documents that the queue lacks, left out")
        return None
    if any(ent.label == TO_READ for ent in found.entities):
        tally.note(f"readings that still have the mark {TO_READ}, left out")
        return None
    if not same_text(was.text, found.text):
        at = first_difference(was.text, found.text)
        error = f"{shown_doc(was.id)}: the text differs from the queue's from offset {at}"
        tally.drop("note whose text was changed", CorpusError(f"{error}; correct labels only"))
        return None
    return replace(found, text=was.text)


def _gold(sent: Sent, item: Item, found: Document, minutes: float | None) -> Document:
    was = sent.docs[item.id]
    told: dict[str, Any] = {QUEUED: item.kind, ROUND: sent.queue.round}
    if ANNOTATORS in found.metadata:
        told[ANNOTATORS] = found.metadata[ANNOTATORS]
    if minutes is not None:
        told[MINUTES] = round(minutes, 2)
    return replace(
        found,
        sections=was.sections,
        provenance=Provenance(found.provenance.kind, (item.id,), stage=STAGE),
        metadata={**was.metadata, **told},
    )


def _minutes(kept: Mapping[str, Sequence[Document]], told: Mapping[str, float]) -> dict[str, float]:
    """Minutes by id: those of the tool, else of a table beside it."""
    found: dict[str, float] = {}
    for doc in (doc for docs in kept.values() for doc in docs):
        if (value := doc.metadata.get(MINUTES)) is not None:
            try:
                found[doc.id] = float(value)
            except (TypeError, ValueError):
                raise CorpusError(
                    f"{shown_doc(doc.id)}: {MINUTES} is not a number; correct the table"
                ) from None
    return found | {doc_id: n for doc_id, n in told.items()}


def _effort(items: Sequence[Item], times: Mapping[str, float]) -> dict[Kind, Effort]:
    kinds: tuple[Kind, ...] = ("chosen", "control")
    found: dict[Kind, Effort] = {}
    for kind in kinds:
        timed = [item for item in items if item.kind == kind and item.id in times]
        if timed:
            found[kind] = Effort(
                len(timed), sum(item.words for item in timed), sum(times[x.id] for x in timed)
            )
    return found


@dataclass(frozen=True, slots=True)
class _Effect:
    """Rows of ``Round`` for each reading, with those of F1 on notes whose labels were shown."""

    prelabels: list[tuple[float, float]]
    shown: list[tuple[float, float]]
    control: list[tuple[float, float]]
    n_added: int

    @classmethod
    def of(cls, sent: Sent, kept: Mapping[str, Sequence[Document]]) -> _Effect:
        kinds = {item.id: item.kind for item in sent.queue.items}
        prelabels: list[tuple[float, float]] = []
        rows: dict[Kind, list[tuple[float, float]]] = {"chosen": [], "control": []}
        n_added = 0
        for doc in _each(kept):
            counts = PRFScore.sum(score_document(doc, sent.docs[doc.id]).values())
            f1 = float(2 * counts.tp), float(2 * counts.tp + counts.fp + counts.fn)
            rows[kinds[doc.id]].append(f1)
            if kinds[doc.id] == "chosen":
                prelabels.append((float(counts.fp), float(counts.tp + counts.fp)))
                n_added += counts.fn
        return cls(prelabels, rows["chosen"], rows["control"], n_added)


def _each(kept: Mapping[str, Sequence[Document]]) -> Iterator[Document]:
    for docs in kept.values():
        yield from docs
