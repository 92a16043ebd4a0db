"""Write documents as Label Studio tasks, and the labeling configuration that shows them.

Offsets are code points, as the frontend counts them since 1.4. A mention is a region with one
label; a flag is a control of its own name with the one choice of that name, ``NAME=VALUE`` a
control NAME with the choice VALUE. Gold documents are annotations, all others predictions. Nothing
says who annotated, for an import fails where the server does not know the person; ``ground_truth``
is written, for an annotation imported without it becomes ground truth. Of several relations of two
regions in one order the frontend loads the first, so their labels stand in one.
Sources: HumanSignal/label-studio, ``label_studio/tasks/serializers.py`` and
``web/libs/editor/src/stores/RelationStore.js``; https://labelstud.io/tags/.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from notesmith.corpus.formats.json_values import count_lost, plain
from notesmith.document import Document, Entity, Provenance, Relation, labels_of
from notesmith.errors import CorpusError, shown_doc, shown_id, shown_name
from notesmith.files.write import atomic_write_text

CONCEPT = "concept"
"""Name of the ``TextArea`` of a region that holds its concept ids."""

SCORE = "score"
"""The attribute ``score=0.93`` is the score of its region."""

TEXT = "text"
LABEL = "label"
DOC_ID = "doc_id"
REGION_ID = re.compile(r"[\w-]+")
"""Ids that Label Studio takes: they become part of the name of a CSS class."""

_TAGS = frozenset({TEXT, LABEL, CONCEPT})
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write(docs: Sequence[Document], path: Path, *, as_predictions: bool = False) -> Counter[str]:
    """Write ``docs`` to ``path``, one list of tasks; returns what the format cannot hold, counted.

    Args:
        docs: the documents; gold ones become annotations.
        path: the file to import into a project whose configuration is ``config_for(docs)``.
        as_predictions: write gold documents as predictions too.
    """
    lost: Counter[str] = Counter()
    tasks = [
        json.dumps(_task(doc, n, as_predictions, lost), ensure_ascii=False, allow_nan=False)
        for n, doc in enumerate(docs, 1)
    ]
    atomic_write_text(path, "[\n" + ",\n".join(tasks) + "\n]\n")
    return lost


def _task(doc: Document, number: int, as_predictions: bool, lost: Counter[str]) -> dict[str, Any]:
    count_lost(doc, lost)
    is_machine = as_predictions or doc.provenance.kind != "gold"
    kept = Provenance("silver", model=doc.provenance.model) if is_machine else Provenance()
    lost["documents whose provenance was left out"] += doc.provenance != kept
    results = list(_results(doc, lost))
    fields = plain(doc.metadata)
    lost["nested metadata fields left out"] += len(doc.metadata) - len(fields)
    data = {name: value for name, value in fields.items() if name not in (TEXT, DOC_ID)}
    scores = [score for ent in doc.entities if (score := _score(ent)[0]) is not None]
    answer: dict[str, Any] = {"result": results}
    if not is_machine:
        answer |= {"was_cancelled": False, "ground_truth": False}
    elif doc.provenance.model:
        answer["model_version"] = doc.provenance.model
    if is_machine and scores:
        answer["score"] = sum(scores) / len(scores)
    return {
        "id": number,
        "annotations": [] if is_machine else [answer],
        "predictions": [answer] if is_machine else [],
        "data": {DOC_ID: doc.id, TEXT: doc.text, **data},
        # Fields whose names data needs for itself.
        "meta": {name: value for name, value in fields.items() if name not in data},
    }


def _results(doc: Document, lost: Counter[str]) -> Iterator[dict[str, Any]]:
    ids = _region_ids(doc)
    lost["entity ids numbered anew"] += sum(old != new for old, new in ids.items())
    for ent in doc.entities:
        score, attributes = _score(ent)
        place = {"start": ent.start, "end": ent.end}
        region = {"id": ids[ent.id], "to_name": TEXT}
        yield {
            **region,
            "from_name": LABEL,
            "type": "labels",
            "value": {**place, "text": doc.text[ent.start : ent.end], "labels": [ent.label]},
            **({SCORE: score} if score is not None else {}),
        }
        for name, values in _grouped(attributes, lost).items():
            if name in _TAGS:
                raise CorpusError(
                    f"{shown_doc(doc.id)}: {shown_id(ent.id)}: attribute {shown_name(name)} has "
                    "the name of another "
                    "control; rename it, or use jsonl"
                )
            value = {**place, "choices": values}
            yield {**region, "from_name": name, "type": "choices", "value": value}
        if ent.normalized:
            concepts = list(dict.fromkeys(ent.normalized))
            lost["concept ids that a mention has twice"] += len(ent.normalized) - len(concepts)
            value = {**place, "text": concepts}
            yield {**region, "from_name": CONCEPT, "type": "textarea", "value": value}
    yield from _relation_results(doc, ids, lost)


def _region_ids(doc: Document) -> dict[str, str]:
    """Region id by entity id; one that Label Studio would not take is numbered anew."""
    own = {ent.id for ent in doc.entities if REGION_ID.fullmatch(ent.id)}
    free = (name for n in count(1) if (name := f"T{n}") not in own)
    return {ent.id: ent.id if ent.id in own else next(free) for ent in doc.entities}


def _score(ent: Entity) -> tuple[float | None, list[str]]:
    """The score among the attributes, and the other attributes."""
    for attribute in ent.attributes:
        name, _, value = attribute.partition("=")
        if name == SCORE and (number := _number(value)) is not None:
            return number, [x for x in ent.attributes if x != attribute]
    return None, list(ent.attributes)


def _number(value: str) -> float | None:
    """The number that JSON writes as ``value``."""
    try:
        number = json.loads(value)
    except (ValueError, RecursionError):
        return None
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and math.isfinite(number) and json.dumps(number) == value:
        return float(number) if isinstance(number, float) else number
    return None


def _grouped(attributes: Iterable[str], lost: Counter[str]) -> dict[str, list[str]]:
    """Choices by name of their control."""
    groups: dict[str, list[str]] = {}
    for attribute in attributes:
        name, is_pair, value = attribute.partition("=")
        if not name:
            lost["attributes without a name left out"] += 1
            continue
        lost["attributes NAME=NAME written as the flag NAME"] += bool(is_pair and name == value)
        values = groups.setdefault(name, [])
        choice = value if is_pair else name
        if choice not in values:
            values.append(choice)
    return groups


def _relation_results(
    doc: Document, ids: dict[str, str], lost: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Relations, one result for those between the same regions in the same direction."""
    groups: dict[tuple[str, str, bool], list[Relation]] = {}
    for rel in doc.relations:
        group = groups.setdefault((rel.head, rel.tail, rel.symmetric), [])
        if any(rel.label == other.label for other in group):
            lost["relations that stand twice"] += 1
        else:
            group.append(rel)
    written = [rel for group in groups.values() for rel in group]
    lost["relation ids numbered anew"] += sum(rel.id != f"R{n}" for n, rel in enumerate(written, 1))
    # The frontend loads one relation for two regions in one order.
    taken = {(head, tail) for head, tail, symmetric in groups if symmetric}
    for (head, tail, symmetric), group in groups.items():
        direction = "bi" if symmetric else "right"
        if not symmetric and (head, tail) in taken:
            lost["relations that Label Studio may not show"] += (tail, head) in taken
            head, tail, direction = tail, head, "left"
        taken.add((head, tail))
        yield {
            "from_id": ids[head],
            "to_id": ids[tail],
            "type": "relation",
            "direction": direction,
            "labels": [rel.label for rel in group],
        }


def config_for(docs: Iterable[Document]) -> str:
    """The labeling configuration of a project that holds ``docs``; see ``labeling_config``."""
    docs = list(docs)
    entities = [ent for doc in docs for ent in doc.entities]
    return labeling_config(
        labels_of(docs),
        {attribute for ent in entities for attribute in _score(ent)[1]},
        {rel.label for doc in docs for rel in doc.relations},
        concepts=any(ent.normalized for ent in entities),
    )


def labeling_config(
    labels: Iterable[str],
    attributes: Iterable[str] = (),
    relations: Iterable[str] = (),
    *,
    concepts: bool = False,
) -> str:
    """The XML to paste into a project's labeling interface (Code).

    Args:
        labels: labels of mentions.
        attributes: flags and ``NAME=VALUE`` strings; choices of a region.
        relations: labels of relations.
        concepts: give each region a field for concept ids.

    Raises:
        CorpusError: a name cannot stand in XML, or an attribute has the name of another control.
    """
    groups = _grouped(sorted(attributes), Counter())
    if taken := sorted(_TAGS & groups.keys()):
        raise CorpusError(
            f"attribute {shown_name(taken[0])} has the name of another control; rename it"
        )
    lines = ["<View>", "  <Style>.htx-text, .htx-richtext { white-space: pre-wrap; }</Style>"]
    lines += _element("Labels", "Label", labels, name=LABEL, toName=TEXT)
    lines.append(f'  <Text name="{TEXT}" value="${TEXT}"/>')
    for name, values in sorted(groups.items()):
        lines += _element(
            "Choices", "Choice", values, name=name, toName=TEXT, perRegion="true", choice="multiple"
        )
    if concepts:
        lines.append(f'  <TextArea name="{CONCEPT}" toName="{TEXT}" perRegion="true"/>')
    if named := sorted(relations):
        lines += _element("Relations", "Relation", named, choice="multiple")
    return "\n".join([*lines, "</View>", ""])


def _element(tag: str, inner: str, values: Iterable[str], **attributes: str) -> Iterator[str]:
    written = "".join(f" {name}={_quoted(value)}" for name, value in attributes.items())
    yield f"  <{tag}{written}>"
    yield from (f"    <{inner} value={_quoted(value)}/>" for value in sorted(values))
    yield f"  </{tag}>"


def _quoted(value: str) -> str:
    if match := _NOT_XML.search(value):
        raise CorpusError(
            f"a name holds the character U+{ord(match[0]):04X}, which XML cannot hold; rename it"
        )
    return quoteattr(value)
