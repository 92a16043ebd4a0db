r"""Label Studio's JSON export: tasks with ``data``, ``annotations`` and ``predictions``.

Read are ``labels`` regions (a mention each label), ``choices`` and the ``textarea`` named
``concept`` of a region, and relations; a ``choices`` result without a region is a field of the
document. Choice VALUE of the control NAME is the attribute ``NAME=VALUE``, or the flag ``NAME``
where both are the same. Regions on HTML, paragraphs and all that is no plain text are refused;
other results are counted.

A task without an annotation is not annotated; one whose ``result`` is empty is, as without
mentions. Where regions lie on several texts of a task, each text is a document. How offsets are
counted stands in ``label_studio_offsets``, which field is the text in ``label_studio_texts``.
Sources: https://labelstud.io/guide/task_format, HumanSignal/label-studio:
``web/libs/editor/src/tags/object/Text.js``, ``label_studio/tasks/serializers.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from notesmith.corpus.formats.json_values import UNKNOWN, check_text, plain_fields, take_id
from notesmith.corpus.formats.label_studio_offsets import Count, agreed, readings
from notesmith.corpus.formats.label_studio_results import Results, refuse_other_regions
from notesmith.corpus.formats.label_studio_tasks import Answer, Task, claims, join_texts, read_tasks
from notesmith.corpus.formats.label_studio_texts import Texts, find_texts, tag_of
from notesmith.corpus.formats.label_studio_write import config_for, labeling_config, write
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Provenance
from notesmith.errors import CorpusError, shown_doc, shown_name

__all__ = [
    "claims",
    "config_for",
    "labeling_config",
    "read",
    "read_each",
    "read_truth",
    "write",
]

_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|/data/)\S+")
_Chosen = list[tuple[Task, list[Answer]]]
"""The annotated tasks, each with the answers of which the last is to be read."""


@dataclass(frozen=True, slots=True)
class _Export:
    """The tasks of a file, and whether the answers are those of models."""

    path: Path
    tasks: list[Task]
    text_key: str | None
    of_models: bool


def read(
    path: Path,
    tally: Tally,
    *,
    annotator: str | None = None,
    predictions: bool = False,
    tasks: Path | None = None,
    text_key: str | None = None,
) -> Iterator[Document]:
    """Read the annotated tasks of one export.

    Of several annotations of a task the ground truth is read, else the only annotator's latest.

    Args:
        path: a list of tasks, one task, a list of annotations that name their tasks, or JSON-MIN.
        tally: counts, and what to do with a bad record.
        annotator: whose annotations to read (e-mail or number); a model with ``predictions``.
        predictions: read the models' predictions in place of annotations.
        tasks: a file of tasks to take the texts from, by id, where ``path`` has none.
        text_key: the field of ``data`` that holds the text; ``TAG=FIELD`` where regions lie on
            several texts, of which this one is read.

    Raises:
        CorpusError: it cannot be told whose annotation, or which field to read.
    """
    export = _open(path, tally, predictions, tasks, text_key)
    chosen = _choose(export, annotator)
    tally.note("tasks without an annotation left out", len(export.tasks) - len(chosen))
    tally.note(
        "annotations not chosen left out",
        sum(len(task.answers) for task in export.tasks) - sum(len(pool) for _, pool in chosen),
    )
    yield from _documents(export, chosen, tally)


def read_each(
    path: Path, tally: Tally, *, tasks: Path | None = None, text_key: str | None = None
) -> dict[str, list[Document]]:
    """The documents of each annotator by name, to measure how well they agree; see ``read``."""
    export = _open(path, tally, False, tasks, text_key)
    return {
        name: list(_documents(export, _choose(export, name), tally))
        for name in _names(export.tasks)
    }


def read_truth(
    path: Path, tally: Tally, *, tasks: Path | None = None, text_key: str | None = None
) -> Iterator[Document]:
    """The documents of which one annotator's annotation is the ground truth; see ``read``."""
    export = _open(path, tally, False, tasks, text_key)
    pools = [(task, [x for x in task.answers if x.is_truth]) for task in export.tasks]
    single = [(task, pool) for task, pool in pools if len({x.who for x in pool}) == 1]
    yield from _documents(export, single, tally)


def _open(
    path: Path, tally: Tally, of_models: bool, texts: Path | None, text_key: str | None
) -> _Export:
    tasks = read_tasks(path, tally, of_models=of_models)
    if texts is not None:
        join_texts(tasks, texts, tally)
    return _Export(path, tasks, text_key, of_models)


def _names(tasks: Iterable[Task]) -> list[str]:
    return sorted({answer.who for task in tasks for answer in task.answers})


def _choose(export: _Export, annotator: str | None) -> _Chosen:
    names = _names(export.tasks)
    shown = ", ".join(map(shown_name, names))
    what = "model" if export.of_models else "annotator"
    if annotator is not None and annotator not in names:
        raise CorpusError(f"{export.path}: no {what} {annotator!r}; there are {shown or 'none'}")
    chosen: _Chosen = []
    for task in export.tasks:
        answers = [x for x in task.answers if annotator in (None, x.who)]
        pool = [x for x in answers if x.is_truth] or answers
        if len({x.who for x in pool}) > 1:
            raise CorpusError(
                f"{task.where}: several {what}s and no single ground truth; choose one "
                f"with --annotator: {shown}"
            )
        if pool:
            # The order of the file decides between those changed at the same time.
            chosen.append((task, sorted(pool, key=lambda x: x.changed)))
    if not chosen and any(task.n_others for task in export.tasks):
        if export.of_models:
            raise CorpusError(f"{export.path}: holds annotations only; leave out --predictions")
        raise CorpusError(f"{export.path}: holds predictions only; read those (--predictions)")
    return chosen


def _documents(export: _Export, chosen: _Chosen, tally: Tally) -> Iterator[Document]:
    plain = {tag_of(region) for task in export.tasks for region in task.regions()}
    readable: _Chosen = []
    for task, pool in chosen:
        with tally.dropping("document", task.where):
            refuse_other_regions(pool[-1].results, plain)
            readable.append((task, pool))
    if not readable:
        return
    texts = find_texts(export.path, export.tasks, export.text_key)
    ways = agreed(
        readings(text, region["value"])
        for task in export.tasks
        for region in task.regions()
        if isinstance(text := task.data.get(texts.of(region) or ""), str)
    )
    reading = _Reading(export, texts, ways, tally)
    for task, pool in readable:
        tally.note("earlier annotations of a task left out", len(pool) - 1)
        yield from reading.documents(task, pool[-1])


@dataclass(frozen=True, slots=True)
class _Reading:
    """How documents are made of tasks: of which texts, with offsets counted in which ways."""

    export: _Export
    texts: Texts
    ways: frozenset[Count]
    tally: Tally

    def documents(self, task: Task, answer: Answer) -> Iterator[Document]:
        """One document for each text of the task."""
        several = len(self.texts.tags) > 1
        used = {tag_of(result) for result in answer.results if isinstance(result, dict)}
        task_id = take_id([dict(task.data), dict(task.meta)]) or task.id
        task_id = task_id or f"{self.export.path.stem}-{task.number}"
        for field, tags in self.texts.tags.items():
            if several and task.data.get(field) is None and not tags & used:
                self.tally.note("texts that a task lacks left out")
                continue
            doc_id = f"{task_id}-{field}" if several else task_id
            where = f"{task.where}: {shown_doc(doc_id)}"
            with self.tally.dropping("document", where):
                yield self._document(doc_id, where, task, answer, field)

    def _document(
        self, doc_id: str, where: str, task: Task, answer: Answer, field: str
    ) -> Document:
        tally, of_models = self.tally, self.export.of_models
        text = _checked(task.data.get(field), field)
        data = {name: x for name, x in task.data.items() if name not in self.texts.tags}
        meta = dict(task.meta)
        take_id([data, meta])
        metadata, fields = plain_fields(meta, tally), plain_fields(data, tally)
        tally.note(
            "fields of meta that data has too left out", len(metadata.keys() & fields.keys())
        )
        elsewhere = self.texts.elsewhere(field)
        found = Results(where, text, tally, self.ways, of_models, elsewhere, self.texts.unread)
        found.take(answer.results)
        metadata |= fields
        tally.note(
            "choices of documents that data has too left out",
            len(metadata.keys() & found.fields.keys()),
        )
        metadata = found.fields | metadata
        who = None if answer.who == UNKNOWN else answer.who
        if who and not of_models:
            metadata["annotator"] = who
        return Document(
            doc_id,
            text,
            tuple(found.entities()),
            tuple(found.relations),
            masked=tuple(sorted(found.masked)),
            provenance=Provenance("silver", model=who) if of_models else Provenance(),
            metadata=metadata,
        )


def _checked(text: object, key: str) -> str:
    if not isinstance(text, str):
        raise CorpusError(
            f"data has no text {key!r}; name the field with --text-key, or give the file "
            "of the tasks (--tasks FILE)"
        )
    if _ADDRESS.fullmatch(text):
        raise CorpusError(
            f"data {key!r} is an address, not the text; give a file of tasks with their "
            "texts (--tasks FILE)"
        )
    check_text(text)
    return text
