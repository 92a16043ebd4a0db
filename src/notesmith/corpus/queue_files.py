"""The folder of a queue: what annotators open, each a folder of their own, and what is kept of it.

    queue/
      index.csv    which note is in the queue, why, and who labels it; no text
      queue.json   the same and the settings, for notesmith; no text
      sent.jsonl   the notes with the labels that a model gave them, for the way back; holds text
      anna/        for one annotator: the files of the tool, in the order of the queue; hold text

Control notes have no labels in an annotator's files. Neither brat nor INCEpTION can say whether a
person has read a note, so there each begins with a mark ``to-read`` that its reader deletes.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from notesmith.corpus.doubtful import annotation_conf
from notesmith.corpus.formats import (
    brat_write,
    jsonl,
    label_studio_write,
    prodigy_write,
    uima_write,
)
from notesmith.corpus.formats.label_studio_write import SCORE, labeling_config
from notesmith.corpus.problems import Tally
from notesmith.corpus.queued import Item, Queue
from notesmith.document import Document, Entity, Provenance, labels_of
from notesmith.errors import ConfigError, CorpusError, FileError, shown_doc
from notesmith.files.write import atomic_folder, atomic_write_text, read_regular
from notesmith.words import words

Tool = Literal["label-studio", "brat", "prodigy", "inception"]
TO_READ = "to-read"
"""Label of the mark on the first word of a note that nobody has read yet."""

MARKED: frozenset[Tool] = frozenset({"brat", "inception"})
"""Tools whose files do not say whether a person has read a note."""

INDEX = "index.csv"
_ABOUT = "queue.json"
_SENT = "sent.jsonl"
_SCHEMA = 1
_OURS = frozenset({INDEX, _ABOUT, _SENT})
_IN_SENT = frozenset(
    {
        "entity ids numbered anew",
        "documents whose provenance was left out",
        "documents whose metadata, sections or provenance were left out",
    }
)
"""What an annotator's files may lack: the way back takes it from what was sent."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A queue as it was given out: its notes by id, with the labels that a model gave them."""

    path: Path
    queue: Queue
    tool: Tool
    docs: Mapping[str, Document]


def is_queue(path: Path) -> bool:
    """Whether ``path`` is the folder of a queue."""
    return (path / _ABOUT).is_file()


def write_queue(
    queue: Queue, docs: Iterable[Document], path: Path, *, tool: Tool, labels: Sequence[str]
) -> dict[str, int]:
    """Write the folder ``path``; returns counts of what the tool cannot hold of the labels.

    Args:
        queue: the notes and their annotators.
        docs: the notes, in any order, with the labels that annotators are to correct.
        path: a folder that is not there yet.
        tool: the program that annotators use.
        labels: all labels of the corpus, so that any can be chosen.

    Raises:
        CorpusError: a note of the queue is not among ``docs``, or the tool cannot hold one.
        ConfigError: a label is the mark of a note that nobody has read.
        FileError: the folder is there, or may not be written.
    """
    by_id = {doc.id: doc for doc in docs}
    if absent := [item.id for item in queue.items if item.id not in by_id]:
        raise CorpusError(f"{shown_doc(absent[0])} is queued and is not among the notes")
    labels = sorted({*labels, *labels_of(by_id.values())})
    if TO_READ in labels and tool in MARKED:
        raise ConfigError(f"the label {TO_READ} marks notes that nobody has read; rename it")
    for name in queue.annotators:
        if name in _OURS:
            raise ConfigError(f"annotator {name}: a file of the queue has this name; use another")
    lost: Counter[str] = Counter()
    with atomic_folder(path) as folder:
        for name in queue.annotators:
            shown = [_shown(by_id[item.id], item, tool) for item in queue.of_annotator(name)]
            lost.update(_write_for(tool, shown, folder / name, labels))
        about = {"schema": _SCHEMA, "tool": tool, "labels": labels, **queue.to_record()}
        atomic_write_text(folder / _ABOUT, json.dumps(about, ensure_ascii=False, indent=1) + "\n")
        atomic_write_text(folder / INDEX, _table(queue))
        jsonl.write([by_id[item.id] for item in queue.items], folder / _SENT)
    return {what: n for what, n in sorted(lost.items()) if n and what not in _IN_SENT}


def read_queue(path: Path) -> Sent:
    """The queue in the folder ``path``.

    Raises:
        FileError: a file of it is missing or damaged.
        CorpusError: a note of it cannot be read.
    """
    damaged = f"{path}: {_ABOUT} is damaged, or of another version of notesmith"
    try:
        about = json.loads(read_regular(path / _ABOUT))
        if about["schema"] != _SCHEMA:
            raise ValueError
        queue, tool = Queue.from_record(about), about["tool"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FileError(f"{damaged}; restore the folder from a backup") from None
    if not (path / _SENT).is_file():
        raise FileError(f"{path}: {_SENT} is missing; restore the folder from a backup")
    docs = {doc.id: doc for doc in jsonl.read(path / _SENT, Tally())}
    if absent := [item.id for item in queue.items if item.id not in docs]:
        raise FileError(
            f"{path}: {shown_doc(absent[0])} is not in {_SENT}; restore the folder from a backup"
        )
    return Sent(path, queue, tool, docs)


def _shown(doc: Document, item: Item, tool: Tool) -> Document:
    """What an annotator sees of a note: text and labels without scores; of a control the text."""
    entities: list[Entity] = []
    if item.kind == "chosen":
        entities = [
            replace(
                ent,
                attributes=tuple(x for x in ent.attributes if not x.startswith(f"{SCORE}=")),
            )
            for ent in doc.entities
        ]
    if tool in MARKED:
        first = next(iter(words(doc.text)), (0, len(doc.text)))
        used = {ent.id for ent in entities}
        number = next(f"T{n}" for n in range(1, len(used) + 2) if f"T{n}" not in used)
        entities.append(Entity(number, TO_READ, (first,)))
    return Document(doc.id, doc.text, tuple(entities), provenance=Provenance("silver"))


def _write_for(
    tool: Tool, docs: Sequence[Document], path: Path, labels: Sequence[str]
) -> Counter[str]:
    if tool == "brat":
        lost = brat_write.write(docs, path)
        atomic_write_text(path / "annotation.conf", annotation_conf(docs, labels))
    elif tool == "inception":
        lost = uima_write.write(docs, path)
    elif tool == "prodigy":
        lost = prodigy_write.write(docs, path / "tasks.jsonl")
    else:
        lost = label_studio_write.write(docs, path / "tasks.json")
        entities = [ent for doc in docs for ent in doc.entities]
        config = labeling_config(
            labels,
            {name for ent in entities for name in ent.attributes},
            concepts=any(ent.normalized for ent in entities),
        )
        atomic_write_text(path / "labeling-config.xml", config)
    return lost


def _table(queue: Queue) -> str:
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(("place", "id", "kind", "rank", "words", "doubt", "fresh", "annotators", "why"))
    for place, item in enumerate(queue.items, 1):
        numbers = (f"{item.doubt:.4f}", f"{item.fresh:.2f}")
        who = " ".join(item.annotators)
        rows.writerow((place, item.id, item.kind, item.rank, item.words, *numbers, who, item.why))
    return file.getvalue()
