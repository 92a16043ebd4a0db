"""Which field of a task's data each of its regions lies on: a region names a tag, not a field.

The export does not hold the labeling configuration, where ``<Text name="body" value="$note"/>``
says it. A tag mostly has the name of its field; else the regions' texts and offsets tell; else the
user does. No region is ever read on a text that may be another's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.label_studio_offsets import readings, written
from notesmith.corpus.formats.label_studio_tasks import Task
from notesmith.corpus.formats.label_studio_write import TEXT
from notesmith.errors import ConfigError, CorpusError, shown_name

Regions = Sequence[tuple[Task, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Texts:
    """The fields that hold texts, each with the tags whose regions lie on it.

    ``unread`` are tags whose texts were not asked for.
    """

    tags: Mapping[str, frozenset[str]]
    unread: frozenset[str] = frozenset()

    def of(self, region: Mapping[str, Any]) -> str | None:
        """The field that a region lies on."""
        tag = tag_of(region)
        return next((field for field, tags in self.tags.items() if tag in tags), None)

    def elsewhere(self, field: str) -> frozenset[str]:
        """The tags whose regions lie on other texts than ``field``."""
        return self.unread.union(*(tags for each, tags in self.tags.items() if each != field))


def tag_of(result: Mapping[str, Any]) -> str:
    """The name of the tag that a result belongs to; empty where it names none."""
    tag = result.get("to_name")
    return tag if isinstance(tag, str) else ""


def find_texts(path: Path, tasks: Sequence[Task], text_key: str | None) -> Texts:
    """The fields of the texts of ``tasks``.

    Args:
        path: of the export, for messages.
        tasks: the tasks with all their answers.
        text_key: ``FIELD``, or ``TAG=FIELD`` where regions lie on several texts.

    Raises:
        CorpusError: it cannot be told which field a tag shows.
        ConfigError: ``text_key`` names a tag or field that is not there.
    """
    by_tag: dict[str, list[tuple[Task, dict[str, Any]]]] = {}
    for task in tasks:
        for region in task.regions():
            by_tag.setdefault(tag_of(region), []).append((task, region))
    if len(by_tag) == 2 and "" in by_tag:  # Regions that name no tag, where there is one only.
        nameless = by_tag.pop("")
        by_tag[next(iter(by_tag))] += nameless
        tags = {tag: frozenset({tag, ""}) for tag in by_tag}
    else:
        tags = {tag: frozenset({tag}) for tag in by_tag}
    if text_key is not None:
        asked, mine = _asked(path, tasks, by_tag, text_key)
        read = frozenset[str]().union(*(tags[tag] for tag in mine))
        unread = frozenset[str]().union(*(tags[tag] for tag in by_tag.keys() - mine))
        return Texts({asked: read}, unread)
    if not by_tag:
        return Texts({_only_field(path, tasks): frozenset()})
    named = _names(tasks)
    found: dict[str, frozenset[str]] = {}
    for tag, regions in by_tag.items():
        field = _field(tag, regions, named, is_only=len(by_tag) == 1)
        if field is None:
            raise _unknown(path, tag if len(by_tag) > 1 else None, _fields(regions))
        found[field] = found.get(field, frozenset()) | tags[tag]
    return Texts(found)


def _asked(
    path: Path, tasks: Sequence[Task], by_tag: Mapping[str, Regions], text_key: str
) -> tuple[str, set[str]]:
    """The one field that the user named, and the tags that show it."""
    tag, is_pair, field = text_key.partition("=")
    shown = ", ".join(map(shown_name, sorted(by_tag))) or "none"
    if is_pair and not any(text_key in task.data for task in tasks):
        if tag not in by_tag:
            raise ConfigError(
                f"{path}: --text-key: no region lies on {shown_name(tag)}; tags with regions: "
                f"{shown}"
            )
        return field, {tag}
    if len(by_tag) < 2:
        return text_key, set(by_tag)
    named = _names(tasks)
    mine = {
        tag
        for tag, regions in by_tag.items()
        if _field(tag, regions, named, is_only=False) == text_key
    }
    if not mine:
        raise CorpusError(
            f"{path}: regions lie on several texts ({shown}), and none is known to be that of "
            f"field {shown_name(text_key)}; name both with --text-key TAG={shown_name(text_key)}"
        )
    return text_key, mine


def _only_field(path: Path, tasks: Sequence[Task]) -> str:
    """The field of the text where no region tells: ``text``, or the only one."""
    strings = [{k for k, v in task.data.items() if isinstance(v, str)} for task in tasks]
    if any(TEXT in keys for keys in strings) or not tasks:
        return TEXT
    held = list(filter(None, strings))
    common = set.intersection(*held) if held else set()
    if len(common) == 1:
        return common.pop()
    raise _unknown(path, None, common)


def _fields(regions: Regions) -> set[str]:
    """The fields that are strings in a task of ``regions``."""
    return {
        key for task, _ in regions for key, value in task.data.items() if isinstance(value, str)
    }


def _names(tasks: Sequence[Task]) -> set[str]:
    """The fields that may hold a text, in some tasks none."""
    return {
        key
        for task in tasks
        for key, value in task.data.items()
        if value is None or isinstance(value, str)
    }


def _field(tag: str, regions: Regions, named: Set[str], *, is_only: bool) -> str | None:
    """The field that ``tag`` shows, None where that cannot be told.

    That is the one of its name, unless the regions' texts stand in another only. Of several tags,
    each of another name needs regions with their texts.
    """
    told = [(task, x["value"]) for task, x in regions if written(x["value"]) is not None]
    if tag in named and (not told or _n_fitting(tag, told, at_most=1)):
        return tag
    fields = _fields(regions)
    if is_only and len(fields) == 1:
        return fields.pop()
    asked = told or ([(task, x["value"]) for task, x in regions] if is_only else [])
    fitting = {field: _n_fitting(field, asked) for field in fields}
    most = max(fitting.values(), default=0)
    best = [field for field in fitting if fitting[field] == most]
    if 2 * most <= len(asked):
        return tag if tag in named else None
    if told and TEXT in best:  # Another field may be a copy of the text.
        return TEXT
    return best[0] if len(best) == 1 else None


def _n_fitting(
    field: str, values: Iterable[tuple[Task, Mapping[str, Any]]], *, at_most: int | None = None
) -> int:
    """How many regions fit into a field, by their offsets and texts."""
    fitting = (
        1
        for task, value in values
        if isinstance(text := task.data.get(field), str) and readings(text, value)
    )
    return sum(islice(fitting, at_most))


def _unknown(path: Path, tag: str | None, fields: set[str]) -> CorpusError:
    if not fields:
        return CorpusError(
            f"{path}: no field of data is text in every task; name it with --text-key, or give the "
            "file of the tasks (--tasks FILE)"
        )
    which = ", ".join(map(shown_name, sorted(fields)))
    if tag is None:
        return CorpusError(
            f"{path}: which field of data is the text? {which}; name it with --text-key"
        )
    return CorpusError(
        f"{path}: regions lie on several texts, and nothing tells which field of data the tag "
        f"{shown_name(tag)} shows: {which}; name it with --text-key {shown_name(tag)}=FIELD, which "
        "reads that text alone"
    )
