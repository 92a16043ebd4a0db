"""Hugging Face's token classification as JSON: ``tokens`` and ``ner_tags`` of a document.

Tags are strings of a scheme that is recognised (or named) as for CoNLL. The text is the field
``text``, in which tokens are found by ``offsets`` or in order; without it tokens are joined as
``spaces`` says, else by spaces. Source: the columns that ``datasets`` gives conll2003 and its kin,
https://huggingface.co/docs/transformers/tasks/token_classification; ``Dataset.to_json`` writes
the numbers of a ``ClassLabel`` without their names, and such a file is refused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import conll, iob, parquet
from notesmith.corpus.formats.iob import TagScheme
from notesmith.corpus.formats.json_records import (
    TAG_FIELDS,
    Record,
    iter_records,
    layout_of,
    shown_field,
)
from notesmith.corpus.formats.json_values import check_values, is_whole, plain_fields, take_id
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import CorpusError, shown_doc
from notesmith.files.write import atomic_write_text

_KNOWN = frozenset({"tokens", "text", "offsets", "spaces"})


@dataclass(frozen=True, slots=True)
class _Row:
    """A record: its document's id and text, and its tokens with their places there."""

    record: Record
    id: str
    text: str
    offsets: list[Span]
    tokens: list[iob.Token]
    metadata: dict[str, Any]


def read(
    path: Path, stem: str, tally: Tally, *, scheme: TagScheme | None = None
) -> Iterator[Document]:
    """Read the documents of ``path``.

    Args:
        path: the file.
        stem: begins the ids of records that name none, or only count.
        tally: counts, and what to do with a bad record.
        scheme: how mentions are tagged; recognised if None.
    """
    rows = list(_rows(path, stem, tally))
    scheme = scheme or iob.recognise(row.tokens for row in rows)
    tally.note(f"files with {scheme.upper()} tags")
    for row in rows:
        where = row.record.where
        with tally.dropping("document", f"{where}: {shown_doc(row.id)}"):
            entities = [
                Entity(
                    f"T{n}",
                    row.tokens[first].label,
                    ((row.offsets[first][0], row.offsets[last][1]),),
                )
                for n, (first, last) in enumerate(
                    iob.mentions(row.tokens, scheme, row.id, where, tally), 1
                )
            ]
            yield Document(row.id, row.text, tuple(entities), metadata=row.metadata)


def _rows(path: Path, stem: str, tally: Tally) -> Iterator[_Row]:
    records = list(iter_records(path, tally))
    ids = [x.value.get("id") if isinstance(x.value, dict) else None for x in records]
    # Numbers of rows, which begin anew in every split, name no document.
    counted = list(map(str, ids)) == [str(n) for n in range(len(ids))]
    for record in records:
        with tally.dropping("record", record.where):
            layout = layout_of(record.value)
            if layout != "hf-tokens":
                has = "" if layout is None else f"; this one has the layout of {layout}"
                raise CorpusError(
                    f"a record must be an object with lists 'tokens' and {TAG_FIELDS[0]!r}{has}"
                )
            fields = dict(record.value)
            check_values(fields)
            name = take_id([fields])
            doc_id = f"{stem}-{record.number}" if name is None or counted else name
            with tally.dropping("document", f"{record.where}: {shown_doc(doc_id)}"):
                yield _row(record, fields, doc_id, tally)


def _row(record: Record, fields: dict[str, Any], doc_id: str, tally: Tally) -> _Row:
    name = next(name for name in TAG_FIELDS if isinstance(fields.get(name), list))
    texts, tags = fields["tokens"], fields.pop(name)
    if len(texts) != len(tags):
        raise CorpusError(f"{len(texts)} tokens but {len(tags)} tags; give each token one")
    if any(map(is_whole, tags)):
        raise CorpusError(
            f"{name!r} holds numbers, and JSON does not name them; write their names (B-LABEL …), "
            "or write Parquet with datasets (to_parquet), which keeps the names of a ClassLabel"
        )
    for other in fields.keys() - _KNOWN:
        if isinstance(fields[other], list):
            tally.note(f"records whose field {shown_field(other)} was left out")
            del fields[other]
    tokens = [_token(at, *pair) for at, pair in enumerate(zip(texts, tags, strict=True))]
    text, offsets = parquet.placed(
        texts, fields.pop("text", None), fields.pop("offsets", None), fields.get("spaces")
    )
    metadata = plain_fields(
        {key: value for key, value in fields.items() if key not in _KNOWN}, tally
    )
    spaced = not {"text", "spaces"} & record.value.keys()
    if spaced and not any(map(str.isspace, "".join(texts))):
        metadata[conll.TOKENS] = "spaces"
    return _Row(record, doc_id, text, offsets, tokens, metadata)


def _token(number: int, text: str, tag: object) -> iob.Token:
    if not isinstance(tag, str) or not iob.is_tag(tag):
        raise CorpusError(f"token {number}: the tag is not O, B-LABEL, I-LABEL …; correct it")
    return iob.tagged(number, text, tag)


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``, a line each; returns what the format cannot hold, counted.

    Tags are IOB2. ``text`` and ``offsets`` are written too, so that nothing moves.
    """
    lost: Counter[str] = Counter()
    records: list[Mapping[str, Any]] = [parquet.record(doc, lost) for doc in docs]
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    return lost
