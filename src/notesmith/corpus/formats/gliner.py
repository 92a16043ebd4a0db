"""GLiNER's training data: JSON of tokenised texts and their mentions by first and last token.

``{"tokenized_text": ["No", "chest", "pain"], "ner": [[1, 2, "Problem"]]}``, in a list or a line
each; the last token is included. Neither text nor offsets are there: tokens are joined by spaces
when read. GLiNER cuts off what is past its ``max_len`` and leaves out mentions wider than its
``max_width`` (12 words): documents are split at sentences for the first.
Source: https://urchade.github.io/GLiNER/training.html, ``gliner/data_processing/processor.py`` and
``tokenizer.py``.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import conll, parquet
from notesmith.corpus.formats.json_records import iter_records, layout_of
from notesmith.corpus.formats.json_values import check_values, is_whole, take_id
from notesmith.corpus.formats.mentions import Mentions
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc
from notesmith.files.write import atomic_write_text
from notesmith.segments import cut, split

# GLiNER's own words (``WhitespaceTokenSplitter``), so that training sees what inference will.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")
MAX_WORDS = 384
"""GLiNER's own ``max_len``."""
_KNOWN = frozenset({"tokenized_text", "ner"})


def read(path: Path, stem: str, tally: Tally) -> Iterator[Document]:
    """Read the documents of ``path``; ``stem`` begins the ids of records that name none."""
    for record in iter_records(path, tally):
        with tally.dropping("record", record.where):
            layout = layout_of(record.value)
            if layout != "gliner":
                has = "" if layout is None else f"; this one has the layout of {layout}"
                raise CorpusError(f"a record must be an object with 'tokenized_text'{has}")
            fields = dict(record.value)
            check_values(fields)
            doc_id = take_id([fields]) or f"{stem}-{record.number}"
            tally.note("further fields of records left out", len(fields.keys() - _KNOWN))
            where = f"{record.where}: {shown_doc(doc_id)}"
            with tally.dropping("document", where):
                yield _document(fields, doc_id, where, tally)


def _document(fields: dict[str, Any], doc_id: str, where: str, tally: Tally) -> Document:
    tokens, items = fields["tokenized_text"], fields.get("ner")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise CorpusError("'tokenized_text' must be a list of strings")
    if not isinstance(items, list):
        raise CorpusError("no list 'ner'; write an empty one where a text has no mention")
    text, offsets = parquet.placed(tokens, None, None, None)
    mentions = Mentions(text, where, tally)
    for i, item in enumerate(items):
        name = f"ner[{i}]"
        if not isinstance(item, list) or len(item) < 3 or not all(map(is_whole, item[:2])):
            raise CorpusError(f"{name}: a mention must be [first token, last token, label]")
        first, last = item[:2]
        if 0 <= first <= last < len(offsets):
            mentions.add(name, (offsets[first][0], offsets[last][1]), item[2])
            continue
        stretch = [(offsets[first][0], len(text))] if 0 <= first < len(offsets) else []
        problem = f"tokens {first} to {last} are not among the {len(offsets)}, counted from 0"
        mentions.refuse(name, OffsetError(f"{problem}; the last one is included"), stretch)
    spaced = not any(map(str.isspace, "".join(tokens)))
    metadata = {conll.TOKENS: "spaces"} if spaced else {}
    return Document(
        doc_id, text, tuple(mentions.entities), masked=mentions.unknown(), metadata=metadata
    )


def write(docs: Sequence[Document], path: Path, *, max_words: int = MAX_WORDS) -> Counter[str]:
    """Write ``docs`` to ``path``; returns what the format cannot hold, counted.

    Args:
        docs: the documents.
        path: the JSON file.
        max_words: longer documents become several texts, split at sentences, no mention cut.
    """
    lost: Counter[str] = Counter()
    items: list[str] = []
    for doc in docs:
        lost["documents whose attributes, concepts, relations or metadata were left out"] += bool(
            doc.relations
            or doc.concept_relations
            or doc.metadata
            or any(ent.attributes or ent.normalized for ent in doc.entities)
        )
        lost["masked ranges left out (GLiNER takes them for text without mentions)"] += len(
            doc.masked
        )
        parts = [
            cut(doc, span)
            for span in split(
                doc, "document", max_tokens=max_words, count_tokens=lambda text: len(_words(text))
            )
        ]
        lost["documents split"] += len(parts) > 1
        lost["documents without a word left out"] += not parts
        lost["mentions without a word left out"] += len(doc.entities) - sum(
            len(part.entities) for part in parts
        )
        for part in parts:
            item = _item(part, lost)
            lost["texts longer than GLiNER reads"] += len(item["tokenized_text"]) > max_words
            items.append(json.dumps(item, ensure_ascii=False))
    atomic_write_text(path, "[\n" + ",\n".join(items) + "\n]\n")
    return lost


def _words(text: str) -> list[Span]:
    return [match.span() for match in _WORD.finditer(text)]


def _item(doc: Document, lost: Counter[str]) -> dict[str, Any]:
    spans = _words(doc.text)
    starts = [start for start, _ in spans]
    ends = [end for _, end in spans]
    mentions: dict[tuple[int, int, str], None] = {}
    for ent in doc.entities:
        first, last = bisect_right(ends, ent.start), bisect_left(starts, ent.end) - 1
        if first > last:
            lost["mentions without a word left out"] += 1
            continue
        lost["discontinuous mentions written whole"] += len(ent.spans) > 1
        lost["mentions widened to whole words"] += starts[first] < ent.start or ends[last] > ent.end
        lost["mentions made identical"] += (first, last, ent.label) in mentions
        mentions[first, last, ent.label] = None
    return {
        "tokenized_text": [doc.text[start:end] for start, end in spans],
        "ner": [list(mention) for mention in mentions],
    }
