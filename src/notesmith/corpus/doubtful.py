"""Write documents with doubtful labels for correction in an annotation tool.

A doubtful mention of gold keeps its label and carries ``doubt=REASON`` (and ``suggested=LABEL``).
A mention that gold may lack stands under the label ``maybe-LABEL``, so that it can become gold
only if a person gives it a label: whoever leaves it, or never opens the document, rejects it.
``notesmith.corpus.corrected`` reads both back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Literal

from notesmith.corpus.check import DOUBTFUL, Finding
from notesmith.corpus.formats import brat, brat_write, label_studio_write, uima_write
from notesmith.corpus.formats.label_studio_write import SCORE, labeling_config
from notesmith.document import Document, Entity, Provenance, labels_of
from notesmith.errors import CorpusError, shown_doc, shown_id, shown_name
from notesmith.files.write import atomic_folder, atomic_write_text

Tool = Literal["label-studio", "brat", "uima"]
DOUBT = "doubt"
SUGGESTED = "suggested"
MAYBE = "maybe-"


def doubtful_documents(
    splits: Mapping[str, Sequence[Document]], findings: Sequence[Finding]
) -> list[Document]:
    """The documents that ``findings`` doubt, their mentions marked as this module says.

    Raises:
        CorpusError: a doubtful document stands in two splits, a label or attribute of gold is one
            of the marks, or nothing is doubted.
    """
    doubts: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        if finding.check in DOUBTFUL:
            doubts[finding.split, finding.doc_id].append(finding)
    found = [
        _marked(doc, doubts[split, doc.id])
        for split, docs in splits.items()
        for doc in docs
        if (split, doc.id) in doubts
    ]
    if not found:
        raise CorpusError("nothing is doubtful; there is nothing to write for correction")
    ids: set[str] = set()
    for doc in found:
        if doc.id in ids:
            raise CorpusError(
                f"{shown_doc(doc.id)} is in two parts of the corpus; write those of one part at a "
                "time"
            )
        ids.add(doc.id)
    return found


def _marked(doc: Document, doubts: Sequence[Finding]) -> Document:
    _check_names(doc)
    of_gold: dict[str, list[Finding]] = defaultdict(list)
    lacking: dict[tuple[str, int, int], list[Finding]] = defaultdict(list)
    for finding in doubts:
        if finding.entity_id:
            of_gold[finding.entity_id].append(finding)
        else:
            lacking[finding.label, finding.start, finding.end].append(finding)
    entities = [
        replace(ent, attributes=(*ent.attributes, *_flags(of_gold[ent.id])))
        if ent.id in of_gold
        else ent
        for ent in doc.entities
    ]
    used = {ent.id for ent in entities}
    free = (name for n in count(len(used) + 1) if (name := f"T{n}") not in used)
    notes: list[dict[str, str]] = []
    for ent_id, found in of_gold.items():
        notes.append(_note(ent_id, found))
    for (label, start, end), found in lacking.items():
        ent = Entity(next(free), f"{MAYBE}{label}", ((start, end),), _flags(found))
        entities.append(ent)
        notes.append(_note(ent.id, found))
    known = doc.metadata.get(brat.NOTES)
    metadata = {**doc.metadata, brat.NOTES: [*(known if isinstance(known, list) else []), *notes]}
    return replace(
        doc,
        entities=tuple(entities),
        provenance=Provenance("silver", (doc.id,), "notesmith", "doubtful"),
        metadata=metadata,
    )


def _check_names(doc: Document) -> None:
    for ent in doc.entities:
        names = {attribute.partition("=")[0] for attribute in ent.attributes}
        if taken := sorted(names & {DOUBT, SUGGESTED}):
            raise CorpusError(
                f"{shown_doc(doc.id)}: {shown_id(ent.id)} has an attribute "
                f"{shown_name(taken[0])}, which marks doubt; "
                "rename it"
            )
        if ent.label.startswith(MAYBE):
            raise CorpusError(
                f"{shown_doc(doc.id)}: {shown_id(ent.id)} has the label {shown_name(ent.label)}, "
                "which marks doubt; "
                "correct it, or rename it with a label map"
            )


def _flags(doubts: Sequence[Finding]) -> tuple[str, ...]:
    """The attributes that say why a mention is doubtful; a score where it is not in gold."""
    flags = {f"{DOUBT}={doubt.check.replace(' ', '-')}" for doubt in doubts}
    flags |= {f"{SUGGESTED}={doubt.suggested}" for doubt in doubts if doubt.suggested}
    sure = [doubt.confidence for doubt in doubts if doubt.confidence is not None]
    if sure and not doubts[0].entity_id:
        flags.add(f"{SCORE}={round(max(sure), 2)}")
    return tuple(sorted(flags))


def _note(ent_id: str, doubts: Sequence[Finding]) -> dict[str, str]:
    said = "; ".join(f"{doubt.check} {doubt.detail}".strip() for doubt in doubts)
    return {"kind": "AnnotatorNotes", "of": ent_id, "text": f"notesmith: {said}"}


def write_for_correction(
    docs: Sequence[Document], path: Path, *, tool: Tool, labels: Sequence[str]
) -> None:
    """Write what ``doubtful_documents`` gave to the folder ``path``, for one tool to open.

    ``label-studio``: ``tasks.json``, whose mentions are predictions, and ``labeling-config.xml``.
    ``brat``: a text and an annotation file a document, with a note on every doubtful mention, and
    ``annotation.conf``. ``uima``: XMI files and ``TypeSystem.xml`` for INCEpTION.

    Args:
        docs: the documents.
        path: a folder that is not there yet.
        tool: the tool.
        labels: all labels of the corpus, so that any can be chosen.

    Raises:
        CorpusError: the folder is there, or the tool cannot hold a document.
    """
    bare = [
        replace(doc, metadata={k: v for k, v in doc.metadata.items() if k != brat.NOTES})
        for doc in docs
    ]
    if tool == "brat":
        docs = [_without_scores(doc) for doc in docs]  # They stand in the notes.
        with atomic_folder(path) as folder:
            brat_write.write(docs, folder)
            atomic_write_text(folder / "annotation.conf", annotation_conf(docs, labels))
    elif tool == "uima":
        uima_write.write(bare, path)
    else:
        with atomic_folder(path) as folder:
            label_studio_write.write(bare, folder / "tasks.json")
            atomic_write_text(folder / "labeling-config.xml", _labeling_config(bare, labels))


def _without_scores(doc: Document) -> Document:
    entities = [
        replace(ent, attributes=tuple(x for x in ent.attributes if not x.startswith(f"{SCORE}=")))
        if is_suggestion(ent)
        else ent
        for ent in doc.entities
    ]
    return replace(doc, entities=tuple(entities))


def _labeling_config(docs: Sequence[Document], labels: Sequence[str]) -> str:
    entities = [ent for doc in docs for ent in doc.entities]
    names = {name for ent in entities for name in ent.attributes}
    return labeling_config(
        dict.fromkeys((*labels, *labels_of(docs))),
        {name for name in names if not name.startswith(f"{SCORE}=")},
        {rel.label for doc in docs for rel in doc.relations},
        concepts=any(ent.normalized for ent in entities),
    )


def annotation_conf(docs: Sequence[Document], labels: Sequence[str]) -> str:
    """The ``annotation.conf`` by which brat shows ``docs``."""
    values: dict[str, set[str]] = defaultdict(set)
    for doc in docs:
        for ent in doc.entities:
            for attribute in ent.attributes:
                name, _, value = attribute.partition("=")
                values[name] |= {value} if value else set()
    relations = sorted({rel.label for doc in docs for rel in doc.relations})
    lines = [
        "[entities]",
        *sorted({*labels, *labels_of(docs)}),
        "[relations]",
        *(f"{label}\tArg1:<ENTITY>, Arg2:<ENTITY>" for label in relations),
        "[events]",
        "[attributes]",
        *(
            f"{name}\tArg:<ENTITY>" + (f", Value:{'|'.join(sorted(found))}" if found else "")
            for name, found in sorted(values.items())
        ),
    ]
    return "\n".join(lines) + "\n"


def without_marks(attributes: Sequence[str]) -> tuple[str, ...]:
    """``attributes`` less those that say why a mention is doubtful."""
    marks = (f"{DOUBT}=", f"{SUGGESTED}=")
    return tuple(name for name in attributes if not name.startswith(marks))


def is_suggestion(ent: Entity) -> bool:
    """Whether a mention was suggested, and nobody has given it a label."""
    return ent.label.startswith(MAYBE)
