"""The tasks of a Label Studio export, however it was exported: JSON, JSON-MIN, the API's pages.

JSON-MIN is flat: the fields of ``data``, a field for each control that holds what was marked with
it, and who annotated. It has neither the ids of regions nor the names of their tags, so the name of
the control stands for the tag here. Where ``annotation_id`` is null, the task was not annotated.
Sources: https://labelstud.io/guide/task_format; HumanSignal/label-studio-sdk,
``converter/converter.py`` (``convert_to_json_min``, ``convert_to_csv``, ``prettify_result``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_values import (
    UNKNOWN,
    check_values,
    has_surrogates,
    is_whole,
    listed,
    parse_json,
    take_id,
)
from notesmith.corpus.problems import Tally, read_text
from notesmith.errors import CorpusError, shown_id

LABELS = "labels"
"""Type of the results that mark a stretch of plain text, and the field of their labels."""

TABLES = (".csv", ".tsv")
_TASK_KEYS = ("data", "annotations", "predictions", "completions")
_MIN_KEYS = frozenset({"annotator", "annotation_id"})
_MIN_NOT_DATA = (*_MIN_KEYS, "created_at", "updated_at", "lead_time", "agreement")
_HEAD = re.compile(r'"(?:annotations|predictions|completions)"\s*:\s*\[')
_BODY = re.compile(r'"(?:result|completed_by|was_cancelled)"\s*:|"data"\s*:\s*\{')
_MIN = re.compile(r'"annotation_id"\s*:'), re.compile(r'"(?:annotator|lead_time)"\s*:')
_TABLE_COLUMN = re.compile(r'(?:^|[,;\t"])(?:annotator|annotation_id)(?:[,;\t"]|$)')
_TABLE_CELL = re.compile(r'"+\w*labels"+\s*:\s*\[')


def claims(path: Path, head: str) -> bool:
    """Whether the file that begins with ``head`` is an export of Label Studio.

    A ``.json`` file is one by names that stand anywhere in ``head``. A table is claimed too, so
    that its reader can say which export to take.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        first = head.partition("\n")[0].rstrip("\r")
        return bool(_TABLE_COLUMN.search(first) and _TABLE_CELL.search(head))
    if suffix != ".json" or head.lstrip()[:1] not in ("[", "{"):
        return False
    if all(name.search(head) for name in _MIN):
        return True
    return bool(_HEAD.search(head) and _BODY.search(head))


@dataclass(frozen=True, slots=True)
class Answer:
    """One annotation, or one prediction (by ``who`` its model then)."""

    who: str
    results: list[Any]
    is_truth: bool
    changed: str


@dataclass(slots=True)
class Task:
    """One task with what people (or models) answered; ``n_others`` answers are of the other."""

    where: str
    id: str | None
    data: dict[str, Any]
    meta: dict[str, Any]
    answers: list[Answer]
    number: int
    n_others: int = 0

    def regions(self) -> Iterator[dict[str, Any]]:
        """The labelled regions of all answers whose offsets are numbers."""
        for answer in self.answers:
            for result in answer.results:
                value = result.get("value") if isinstance(result, dict) else None
                if not isinstance(value, dict) or kind_of(result) != LABELS:
                    continue
                if is_whole(value.get("start")) and is_whole(value.get("end")):
                    yield result


def kind_of(result: object) -> str | None:
    """The type of a result; of one that names none, the field that holds its labels."""
    if not isinstance(result, dict):
        return None
    kind, value = result.get("type"), result.get("value")
    if kind is None and isinstance(value, dict):
        kind = next((key for key in value if key.endswith(LABELS)), None)
    return kind if isinstance(kind, str) else None


def read_tasks(path: Path, tally: Tally, *, of_models: bool) -> list[Task]:
    """All tasks of the file ``path`` with their annotations, or their predictions (``of_models``).

    Raises:
        CorpusError: the file is a table, or is no export.
    """
    if path.suffix.lower() in TABLES:
        raise CorpusError(
            f"{path}: is an export of Label Studio as a table, which lacks what JSON holds; export "
            "the project as JSON, or leave this file out of its folder (--ignore)"
        )
    tasks: list[Task] = []
    known: dict[str, Task] = {}
    for where, element in _elements(path, tally):
        with tally.dropping("task", where):
            is_single = "result" in element
            if is_single:
                # An annotation by itself, as the API and the target storage give it.
                of = element.get("task")
                is_model = "model_version" in element and "completed_by" not in element
                key = "predictions" if is_model else "annotations"
                element = (of if isinstance(of, dict) else {"id": of}) | {key: [element]}
            elif _is_min(element):
                is_single, element = True, _from_min(element, tally)
            task = _task(where, element, len(tasks) + 1, of_models, tally)
            first = known.setdefault(task.id, task) if is_single and task.id else task
            if first is task:
                tasks.append(task)
            else:
                first.answers += task.answers
                first.n_others += task.n_others
    return tasks


def join_texts(tasks: Iterable[Task], path: Path, tally: Tally) -> None:
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


def _is_min(element: Mapping[str, Any]) -> bool:
    return bool(_MIN_KEYS & element.keys()) and not any(key in element for key in _TASK_KEYS)


def _from_min(element: Mapping[str, Any], tally: Tally) -> dict[str, Any]:
    """The task that a record of JSON-MIN is made from, as far as it can be known."""
    data: dict[str, Any] = {}
    results: list[dict[str, Any]] = []
    for name, value in element.items():
        if name == "id" or name in _MIN_NOT_DATA:
            continue
        kinds = [_kind(x) for x in value] if isinstance(value, list) and value else [None]
        if None in kinds:
            data[name] = value
            continue
        results += (
            {"type": kind, "from_name": name, "to_name": name, "value": x}
            for kind, x in zip(kinds, value, strict=True)
            if kind not in ("choices", "textarea")
        )
        n_others = sum(kind in ("choices", "textarea") for kind in kinds)
        tally.note(
            "choices and texts of regions left out (JSON-MIN; the JSON export has them)", n_others
        )
    answer = {
        "result": results,
        "completed_by": element.get("annotator"),
        "created_at": element.get("created_at"),
        "updated_at": element.get("updated_at"),
    }
    is_annotated = element.get("annotation_id", 0) is not None
    return {
        "id": element.get("id"),
        "data": data,
        "annotations": [answer] if is_annotated else [],
    }


def _kind(value: object) -> str | None:
    """The type of the result that JSON-MIN gives as ``value``; None where it is none."""
    if not isinstance(value, dict):
        return None
    if named := [key for key in value if key.endswith(LABELS)]:
        return str(named[0])
    if isinstance(value.get("choices"), list):
        return "choices"
    if not {"start", "end"} <= value.keys():
        return None
    return "textarea" if isinstance(value.get("text"), list) else LABELS


def _task(where: str, element: dict[str, Any], number: int, of_models: bool, tally: Tally) -> Task:
    if not any(key in element for key in _TASK_KEYS):
        raise CorpusError(
            "neither a task (data, annotations), an annotation (task, result), nor a record of "
            "JSON-MIN (annotation_id); export as JSON"
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
    task = Task(where, task_id, dict(data), dict(meta), [], number, len(others))
    for i, answer in enumerate(answers):
        with tally.dropping("annotation", f"{where}: annotation {i}"):
            task.answers += _answer(answer, of_models, tally)
    return task


def _list(element: Mapping[str, Any], name: str) -> list[Any]:
    values = element.get(name)
    if values is not None and not isinstance(values, list):
        raise CorpusError(f"{name!r} must be a list; export as JSON")
    return values or []


def _answer(answer: Any, of_models: bool, tally: Tally) -> Iterator[Answer]:
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
    yield Answer(
        UNKNOWN if who in (None, "") else str(who),
        answer["result"],
        answer.get("ground_truth") is True and not of_models,
        str(answer.get("updated_at") or answer.get("created_at") or ""),
    )
