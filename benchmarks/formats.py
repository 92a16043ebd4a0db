"""Real corpora into every format and back; and every format's files damaged.

    python benchmarks/formats.py CORPUS [CORPUS ...] [--n 100] [--no-damage] [--json FILE]

A CORPUS may be NegEx's test kit, which is in no corpus format: its mentions are placed as in
``attributes.py``.

A mention is *exact* if it comes back with its label and its offsets. Formats of tokens change white
space, so offsets are compared with white space left out. One that does not come back exactly is
*widened* (its whole stretch is labelled: the parts of a discontinuous mention, or whole tokens) or
*left out* (the format has no place for it, as for one inside another). What comes back and is none
of these has *drifted*, and there must be none.

Damage: a file is cut off in its middle, a byte of it becomes one that is no UTF-8, an offset grows
beyond the text, a bracket or a tab is taken away. Each must end in one line that names the file, or
give all documents before the damage; printed are the lines, in which no text stands.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from attributes import read as read_negex

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus, write_corpus
from notesmith.corpus.formats import NAMES
from notesmith.document import Document
from notesmith.errors import NotesmithError

Mention = tuple[str, tuple[tuple[int, int], ...]]


@dataclass
class Outcome:
    """What became of the mentions of a corpus."""

    documents: int = 0
    texts: int = 0
    counts: Counter[str] = field(default_factory=Counter)


def dense(doc: Document) -> tuple[str, list[Mention]]:
    """The text without white space, and the mentions in offsets of that."""
    before = [0]
    for character in doc.text:
        before.append(before[-1] + (not character.isspace()))
    found = [
        (ent.label, tuple((before[start], before[end]) for start, end in ent.spans))
        for ent in doc.entities
    ]
    return "".join(doc.text.split()), found


def compare(docs: list[Document], back: list[Document]) -> Outcome:
    """Compare documents in order with what came back."""
    outcome = Outcome(documents=len(docs))
    for doc, other in zip(docs, back, strict=True):
        text, mentions = dense(doc)
        other_text, others = dense(other)
        if text != other_text:
            outcome.counts["drifted"] += len(others)
            continue
        outcome.texts += doc.text == other.text
        lost = set(mentions) - set(others)
        outcome.counts["exact"] += len(set(mentions) & set(others))
        wider = {mention: cover for mention in lost if (cover := covering(mention, others))}
        outcome.counts["widened"] += len(wider)
        outcome.counts["left out"] += len(lost) - len(wider)
        outcome.counts["drifted"] += len(set(others) - set(mentions) - set(wider.values()))
    return outcome


def in_order(docs: list[Document], back: list[Document]) -> list[Document]:
    """What came back in the order of what was written.

    Documents are found by id. Where the format has none, they are in order; GLiNER's long documents
    are several texts there, which are put together again.
    """
    found = {doc.id: doc for doc in back}
    if all(doc.id in found for doc in docs):
        return [found[doc.id] for doc in docs]
    texts, joined = iter(back), []
    for doc in docs:
        one, n = next(texts), len("".join(doc.text.split()))
        while len("".join(one.text.split())) < n:
            more = next(texts)
            shifted = [ent.shift(len(one.text) + 1) for ent in more.entities]
            ids = [f"T{i}" for i in range(len(one.entities) + len(shifted))]
            entities = [
                replace(ent, id=name)
                for ent, name in zip([*one.entities, *shifted], ids, strict=True)
            ]
            one = Document(one.id, f"{one.text} {more.text}", tuple(entities))
        joined.append(one)
    return joined


def covering(mention: Mention, others: list[Mention]) -> Mention | None:
    """The shortest mention of the same label that covers all of ``mention``."""
    label, spans = mention
    first, last = spans[0][0], spans[-1][1]
    found = [
        other
        for other in others
        if other[0] == label and other[1][0][0] <= first and last <= other[1][-1][1]
    ]
    return min(found, key=lambda other: other[1][-1][1] - other[1][0][0], default=None)


def cut(data: bytes) -> bytes:
    """The first half and a little more."""
    return data[: len(data) * 5 // 9]


def no_utf8(data: bytes) -> bytes:
    """A letter in the middle becomes a byte that is no UTF-8 there."""
    at = next(i for i in range(len(data) // 2, len(data)) if data[i : i + 1].isalpha())
    return data[:at] + b"\xff" + data[at + 1 :]


def far_offset(data: bytes) -> bytes | None:
    """The last number of two or more digits that looks like an offset becomes a huge one."""
    pattern = rb"""(?x) (?<=["\s:|,\[=])  \d{2,4} (?= [\s,"\]}|] )"""
    found = list(re.finditer(pattern, data))
    if not found:
        return None
    last = found[len(found) // 2]
    return data[: last.start()] + b"99999999" + data[last.end() :]


def no_mark(data: bytes) -> bytes | None:
    """One closing bracket, angle bracket or tab in the middle is taken away."""
    middle = len(data) // 2
    for mark in (b"}", b"</", b"\t", b"|"):
        if (at := data.find(mark, middle)) >= 0:
            return data[:at] + data[at + 1 :]
    return None


DAMAGE: dict[str, Callable[[bytes], bytes | None]] = {
    "cut off": cut,
    "not UTF-8": no_utf8,
    "offset": far_offset,
    "mark": no_mark,
}


def damaged(docs: list[Document], folder: Path) -> Iterator[tuple[str, str, str]]:
    """Format, damage, and what reading said."""
    for name in NAMES:
        for kind, change in DAMAGE.items():
            path = FORMATS[name].path(folder, f"{name}-{kind.replace(' ', '-')}")
            try:
                write_corpus(docs, path, format=name)
            except NotesmithError as error:
                yield name, kind, f"not written: {error}"
                continue
            files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
            # What holds the mentions, where that is a file of its own.
            victim = next((p for p in files if p.suffix in (".ann", ".con")), files[0])
            changed = change(victim.read_bytes())
            if changed is None:
                continue
            victim.write_bytes(changed)
            try:
                back = read_corpus(path, ReadingConfig(format=name)).docs
                said = f"read: {len(back)} of {len(docs)} documents"
            except NotesmithError as error:
                said = str(error).replace(str(folder), "FOLDER")
            yield name, kind, said
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def documents_of(corpus: Path, n: int) -> list[Document]:
    """The first ``n`` documents of a corpus."""
    is_negex = (corpus / "negex.python").is_dir()
    return (read_negex(corpus)[0] if is_negex else read_corpus(corpus).docs)[:n]


def main() -> None:
    """Print a table of what came back, then what was said of damaged files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpora", type=Path, nargs="+")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--formats", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--no-damage", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print("| corpus | format | texts as they were | exact | widened | left out | drifted |")
        print("|---|---|---|---|---|---|---|")
        for corpus in args.corpora:
            docs = documents_of(corpus, args.n)
            for name in args.formats:
                path = FORMATS[name].path(folder, f"{corpus.stem}-{name}")
                try:
                    write_corpus(docs, path, format=name)
                    back = in_order(docs, read_corpus(path, ReadingConfig(format=name)).docs)
                except NotesmithError as error:
                    print(f"| {corpus.stem} | {name} | {type(error).__name__}: {error} |")
                    continue
                outcome = compare(docs, back)
                n = outcome.counts
                rows.append(
                    {"corpus": corpus.stem, "format": name, "documents": outcome.documents}
                    | {"texts_as_they_were": outcome.texts, **n}
                )
                print(
                    f"| {corpus.stem} | {name} | {outcome.texts} of {outcome.documents} "
                    f"| {n['exact']} | {n['widened']} | {n['left out']} | {n['drifted']} |",
                    flush=True,
                )
        if not args.no_damage:
            few = documents_of(args.corpora[0], 6)
            for name, kind, said in damaged(few, folder):
                print(f"{name}, {kind}: {said}")
                rows.append({"format": name, "damage": kind, "said": said})
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
