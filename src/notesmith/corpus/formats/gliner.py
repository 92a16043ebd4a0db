"""Write GLiNER's training data: a JSON list of tokenised texts and their mentions.

Mentions name their first and last token:
``{"tokenized_text": ["No", "chest", "pain"], "ner": [[1, 2, "Problem"]]}``. Nothing is read back:
neither text nor offsets are there. GLiNER cuts off what is past its ``max_len`` and leaves out
mentions wider than its ``max_width`` (12 words): documents are split at sentences for the first.
Source: https://urchade.github.io/GLiNER/training.html, ``gliner/data_processing/processor.py`` and
``tokenizer.py``.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from notesmith.document import Document, Span
from notesmith.files.write import atomic_write_text
from notesmith.segments import cut, split

# GLiNER's own words (``WhitespaceTokenSplitter``), so that training sees what inference will.
_WORD = re.compile(r"\w+(?:[-_]\w+)*|\S")
MAX_WORDS = 384
"""GLiNER's own ``max_len``."""


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
