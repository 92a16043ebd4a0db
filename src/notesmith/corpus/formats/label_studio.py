r"""Label Studio's JSON export: tasks with ``data``, ``annotations`` and ``predictions``.

Read are ``labels`` regions (a mention each label), ``choices`` and the ``textarea`` named
``concept`` of a region, and relations; a ``choices`` result without a region is a field of the
document. Choice VALUE of the control NAME is the attribute ``NAME=VALUE``, or the flag ``NAME``
where both are the same. Other results are counted.

Traps: the frontend stores offsets in code points since 1.4 (2022) and in UTF-16 units before. The
unit is one for the file, told by the texts of its regions (their ``value.text``) in documents with
astral characters; code points where nothing tells. ``value.text`` is the text as displayed: a line
end is a backslash and an ``n``, runs of spaces may be one. ``\r\n`` counts as two. A task without
an annotation is not annotated; one whose ``result`` is empty is, as without mentions.
Sources: https://labelstud.io/guide/task_format, HumanSignal/label-studio:
``web/libs/editor/src/utils/selection-tools.js`` (``charsToCodePoints``),
``web/libs/editor/src/tags/object/Text.js``, ``label_studio/tasks/serializers.py``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_values import (
    UNKNOWN,
    check_text,
    check_values,
    has_surrogates,
    is_whole,
    listed,
    parse_json,
    plain_fields,
    take_id,
)
from notesmith.corpus.formats.label_studio_results import Results, fits, written
from notesmith.corpus.formats.label_studio_write import TEXT, config_for, labeling_config, write
from notesmith.corpus.problems import Tally, read_text
from notesmith.document import Document, Provenance
from notesmith.errors import CorpusError, shown_doc, shown_id, shown_name

__all__ = [
    "claims",
    "config_for",
    "labeling_config",
    "read",
    "read_each",
    "read_truth",
    "write",
]

_TASK_KEYS = ("data", "annotations", "predictions", "completions")
_HEAD = re.compile(r'"(?:annotations|predictions|completions)"\s*:\s*\[')
_BODY = re.compile(r'"(?:result|completed_by|was_cancelled)"\s*:|"data"\s*:\s*\{')
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|/data/)\S+")


def claims(path: Path, head: str) -> bool:
    """Whether the ``.json`` file that begins with ``head`` is an export of Label Studio."""
    is_json = path.suffix.lower() == ".json" and head.lstrip()[:1] in ("[", "{")
    return bool(is_json and _HEAD.search(head) and _BODY.search(head))


@dataclass(frozen=True, slots=True)
class _Answer:
    """One annotation, or one prediction (by ``who`` its model then)."""

    who: str
    results: list[Any]
    is_truth: bool
    changed: str


@dataclass(slots=True)
class _Task:
    where: str
    id: str | None
    data: dict[str, Any]
    meta: dict[str, Any]
    answers: list[_Answer]
    number: int
    n_others: int = 0

    def regions(self) -> Iterator[dict[str, Any]]:
        """The labelled regions of all answers whose offsets are numbers."""
        for answer in self.answers:
            for result in answer.results:
                value = result.get("value") if isinstance(result, dict) else None
                if not isinstance(value, dict) or result.get("type") != "labels":
                    continue
                if is_whole(value.get("start")) and is_whole(value.get("end")):
                    yield result


@dataclass(frozen=True, slots=True)
class _Export:
    """The tasks of a file, the field that holds the text, and the unit of the offsets."""

    path: Path
    tasks: list[_Task]
    text_key: str
    is_utf16: bool
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
        path: a list of tasks, one task, or a list of annotations that name their tasks.
        tally: counts, and what to do with a bad record.
        annotator: whose annotations to read (e-mail or number); a model with ``predictions``.
        predictions: read the models' predictions in place of annotations.
        tasks: a file of tasks to take the texts from, by id, where ``path`` has none.
        text_key: the field of ``data`` that holds the text.

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
    tasks = _tasks(path, tally, of_models=of_models)
    if texts is not None:
        _join(tasks, texts, tally)
    key = text_key or _find_text_key(path, tasks)
    is_utf16 = _counts_utf16(tasks, key)
    tally.note("files with offsets in UTF-16 units, made code points", is_utf16)
    return _Export(path, tasks, key, is_utf16, of_models)


def _elements(path: Path, tally: Tally) -> Iterator[tuple[str, dict[str, Any]]]:
    content = read_text(path, tally)
    if content is None:
        return
    elements: list[Any] = []
    with tally.dropping("file", str(path)):
        elements = listed(parse_json(content.removeprefix("\ufeff")))
    odd = has_surrogates(content)
    if len(elements) == 1 and isinstance(elements[0], dict):
        elements = listed(elements[0].get("tasks", elements))  # A page of the API.
    for i, element in enumerate(elements):
        where = f"{path}: element {i}"
        with tally.dropping("task", where):
            if not isinstance(element, dict):
                raise CorpusError("a task must be an object; export as JSON")
            if odd:
                check_values(element)
            yield where, element


def _tasks(path: Path, tally: Tally, *, of_models: bool) -> list[_Task]:
    tasks: list[_Task] = []
    known: dict[str, _Task] = {}
    for where, element in _elements(path, tally):
        with tally.dropping("task", where):
            is_single = "result" in element
            if is_single:
                # An annotation by itself, as the API and the target storage give it.
                of = element.get("task")
                is_model = "model_version" in element and "completed_by" not in element
                key = "predictions" if is_model else "annotations"
                element = (of if isinstance(of, dict) else {"id": of}) | {key: [element]}
            task = _task(where, element, len(tasks) + 1, of_models, tally)
            first = known.setdefault(task.id, task) if is_single and task.id else task
            if first is task:
                tasks.append(task)
            else:
                first.answers += task.answers
                first.n_others += task.n_others
    return tasks


def _task(where: str, element: dict[str, Any], number: int, of_models: bool, tally: Tally) -> _Task:
    if not any(key in element for key in _TASK_KEYS):
        raise CorpusError(
            "neither a task (data, annotations) nor an annotation (task, result); "
            "export as JSON, not JSON-MIN"
        )
    task_id = take_id([{"id": element.get("id")}])
    if task_id is not None:
        where = f"{where}: task {shown_id(task_id)}"
    data, meta = element.get("data") or {}, element.get("meta") or {}
    if not isinstance(data, dict) or not isinstance(meta, dict):
        raise CorpusError("'data' and 'meta' must be objects")
    key = "annotations" if "annotations" in element else "completions"
    human, models, drafts = (_list(element, name) for name in (key, "predictions", "drafts"))
    answers, others = (models, human) if of_models else (human, models)
    tally.note(f"{'annotations' if of_models else 'predictions'} left out", len(others))
    tally.note("drafts left out", len(drafts))
    task = _Task(where, task_id, dict(data), dict(meta), [], number, len(others))
    for i, answer in enumerate(answers):
        with tally.dropping("annotation", f"{where}: annotation {i}"):
            task.answers += _answer(answer, of_models, tally)
    return task


def _list(element: Mapping[str, Any], name: str) -> list[Any]:
    values = element.get(name)
    if values is not None and not isinstance(values, list):
        raise CorpusError(f"{name!r} must be a list; export as JSON")
    return values or []


def _answer(answer: Any, of_models: bool, tally: Tally) -> Iterator[_Answer]:
    """The annotation, unless it was cancelled or is not here."""
    if is_whole(answer):
        tally.note("annotations or predictions given by number only left out")
        return
    if not isinstance(answer, dict) or not isinstance(answer.get("result"), list):
        raise CorpusError("must be an object with a list 'result'; export as JSON")
    if answer.get("was_cancelled") or answer.get("skipped"):
        tally.note("cancelled annotations left out")
        return
    who = answer.get("model_version" if of_models else "completed_by")
    if isinstance(who, dict):
        who = who.get("email") or who.get("id")
    yield _Answer(
        UNKNOWN if who in (None, "") else str(who),
        answer["result"],
        answer.get("ground_truth") is True and not of_models,
        str(answer.get("updated_at") or answer.get("created_at") or ""),
    )


def _join(tasks: Iterable[_Task], path: Path, tally: Tally) -> None:
    """Add the ``data`` of the tasks in ``path`` that have the same id, of task or of document."""
    by_id: dict[str, dict[str, Any]] = {}
    for _, element in _elements(path, tally):
        data = element.get("data")
        if isinstance(data, dict):
            for source in ({"id": element.get("id")}, dict(data)):
                if (task_id := take_id([source])) is not None:
                    by_id.setdefault(task_id, data)
    for task in tasks:
        ids = (task.id, take_id([dict(task.data), dict(task.meta)]))
        found = next((by_id[x] for x in ids if x is not None and x in by_id), None)
        if found is None:
            tally.note("tasks that the file of tasks does not hold")
        else:
            task.data = {**task.data, **found}


def _find_text_key(path: Path, tasks: Sequence[_Task]) -> str:
    strings = [{k for k, v in task.data.items() if isinstance(v, str)} for task in tasks]
    if any(TEXT in keys for keys in strings) or not tasks:
        return TEXT
    common = set.intersection(*(filter(None, strings) if any(strings) else strings))
    labelled = [(task, region) for task in tasks for region in task.regions()]
    named = common & {str(region.get("to_name")) for _, region in labelled}
    told = [(task, x["value"]) for task, x in labelled if written(x["value"]) is not None]
    fitting = {
        key
        for key in common
        if told and all(any(fits(task.data.get(key, ""), value)) for task, value in told)
    }
    for keys in (named, fitting, common):
        if len(keys) == 1:
            return str(next(iter(keys)))
    if common:
        raise CorpusError(
            f"{path}: which field of data is the text? "
            f"{', '.join(map(shown_name, sorted(common)))}; "
            "name it with --text-key"
        )
    raise CorpusError(
        f"{path}: no field of data is text in every task; name it with --text-key, or give the "
        "file of the tasks (--tasks FILE)"
    )


def _counts_utf16(tasks: Iterable[_Task], text_key: str) -> bool:
    """Whether a file counts UTF-16 units, by the regions that fit in one unit only."""
    votes: Counter[bool] = Counter()
    for task in tasks:
        text = task.data.get(text_key)
        if isinstance(text, str):
            for region in task.regions():
                points, units = fits(text, region["value"])
                votes[units] += points != units
    return votes[True] > votes[False]


def _names(tasks: Iterable[_Task]) -> list[str]:
    return sorted({answer.who for task in tasks for answer in task.answers})


def _choose(export: _Export, annotator: str | None) -> list[tuple[_Task, list[_Answer]]]:
    """The annotated tasks, each with the answers of which the last is to be read."""
    names = _names(export.tasks)
    shown = ", ".join(map(shown_name, names))
    what = "model" if export.of_models else "annotator"
    if annotator is not None and annotator not in names:
        raise CorpusError(f"{export.path}: no {what} {annotator!r}; there are {shown or 'none'}")
    chosen: list[tuple[_Task, list[_Answer]]] = []
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
        held = "annotations" if export.of_models else "predictions"
        raise CorpusError(f"{export.path}: holds {held} only; read those (--predictions)")
    return chosen


def _documents(
    export: _Export, chosen: Iterable[tuple[_Task, list[_Answer]]], tally: Tally
) -> Iterator[Document]:
    for task, pool in chosen:
        tally.note("earlier annotations of a task left out", len(pool) - 1)
        data, meta = dict(task.data), dict(task.meta)
        text = data.pop(export.text_key, None)
        doc_id = take_id([data, meta]) or task.id or f"{export.path.stem}-{task.number}"
        where = f"{task.where}: {shown_doc(doc_id)}"
        with tally.dropping("document", where):
            text = _checked(text, export.text_key)
            metadata, fields = plain_fields(meta, tally), plain_fields(data, tally)
            tally.note(
                "fields of meta that data has too left out", len(metadata.keys() & fields.keys())
            )
            who = None if pool[-1].who == UNKNOWN else pool[-1].who
            found = Results(where, text, tally, export.is_utf16, export.of_models)
            found.take(pool[-1].results)
            metadata |= fields
            tally.note(
                "choices of documents that data has too left out",
                len(metadata.keys() & found.fields.keys()),
            )
            metadata = found.fields | metadata
            if who and not export.of_models:
                metadata["annotator"] = who
            yield Document(
                doc_id,
                text,
                tuple(found.entities()),
                tuple(found.relations),
                provenance=Provenance("silver", model=who) if export.of_models else Provenance(),
                metadata=metadata,
            )


def _checked(text: object, key: str) -> str:
    if not isinstance(text, str):
        raise CorpusError(
            f"data has no text {key!r}; name the field with --text-key, or give the file of the "
            "tasks (--tasks FILE)"
        )
    if _ADDRESS.fullmatch(text):
        raise CorpusError(
            f"data {key!r} is an address, not the text; give a file of tasks with their texts "
            "(--tasks FILE)"
        )
    check_text(text)
    return text
