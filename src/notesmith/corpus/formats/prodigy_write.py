"""Write Prodigy's JSON lines: tokens that begin and end with every mention, spans, relations."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from notesmith.corpus.formats.json_values import ID_FIELDS, count_directed, count_unheld, plain
from notesmith.document import Document, Entity, Span
from notesmith.files.write import atomic_write_text

# Runs of letters and digits, and every other mark by itself.
_WORD = re.compile(r"[^\W_]+|\S")


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to ``path``, a line each; returns what the format cannot hold, counted.

    Gold documents are accepted answers, all others are tasks to be answered.
    """
    lost: Counter[str] = Counter()
    lines = [json.dumps(_record(doc, lost), ensure_ascii=False, allow_nan=False) for doc in docs]
    atomic_write_text(path, "".join(f"{line}\n" for line in lines))
    return lost


def _record(doc: Document, lost: Counter[str]) -> dict[str, Any]:
    count_unheld(doc, lost)
    count_directed(doc, lost)
    fields = plain(doc.metadata)
    kept = {name: value for name, value in fields.items() if name not in ID_FIELDS}
    lost["metadata fields left out"] += len(doc.metadata) - len(kept)
    tokens = _tokens(doc.text, [(ent.start, ent.end) for ent in doc.entities])
    spans = {ent.id: _span(ent, tokens) for ent in doc.entities}
    relations = [
        {
            "head": spans[rel.head]["token_end"],
            "child": spans[rel.tail]["token_end"],
            "head_span": spans[rel.head],
            "child_span": spans[rel.tail],
            "label": rel.label,
        }
        for rel in doc.relations
    ]
    return {
        "text": doc.text,
        "meta": {"id": doc.id, **kept},
        "tokens": tokens,
        "spans": list(spans.values()),
        **({"relations": relations} if relations else {}),
        **({"answer": "accept"} if doc.provenance.kind == "gold" else {}),
    }


def _tokens(text: str, mentions: Iterable[Span]) -> list[dict[str, Any]]:
    """Words and white space as Prodigy shows them; a mention begins and ends with a token.

    As in spaCy, one space after a token belongs to it (``ws``), further white space is a token.
    """
    mentions = list(mentions)
    begins = {start for start, _ in mentions}
    bounds = {0, len(text)}.union(*(m.span() for m in _WORD.finditer(text)), *mentions)
    tokens: list[dict[str, Any]] = []
    for start, end in pairwise(sorted(bounds)):
        if text[start] == " " and start not in begins and tokens and tokens[-1]["end"] == start:
            tokens[-1]["ws"] = True
            start += 1
        if start < end:
            token = {"text": text[start:end], "start": start, "end": end}
            tokens.append({**token, "id": len(tokens), "ws": False})
    return tokens


def _span(ent: Entity, tokens: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "start": ent.start,
        "end": ent.end,
        "token_start": bisect_right(tokens, ent.start, key=lambda token: token["start"]) - 1,
        "token_end": bisect_left(tokens, ent.end, key=lambda token: token["start"]) - 1,
        "label": ent.label,
    }
