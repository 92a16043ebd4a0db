"""Take notes of one source from a large file of texts, as many words as another set of notes has.

    python recipes/notes_of_source.py TEXTS.jsonl.xz OUT.jsonl --source mtsamples --words 65000

TEXTS holds JSON lines with the fields ``source`` and ``text``, compressed or not. Whole texts are
taken at random until the words are reached; texts longer than a tenth of them are passed over, so
that no single one decides. A second run with the same seed writes the same file.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path

from notesmith.files.write import atomic_write_text

_OPENERS = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}


def texts_of(path: Path, source: str) -> Iterator[str]:
    """The texts of one source, in file order."""
    with _OPENERS.get(path.suffix, open)(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["source"] == source:
                yield record["text"]


def choose(texts: list[str], words: int, seed: int) -> list[str]:
    """Texts at random, until they hold ``words`` words (parts between white space).

    Raises:
        SystemExit: if there are fewer words than that.
    """
    order = list(range(len(texts)))
    random.Random(seed).shuffle(order)
    chosen, left = [], words
    for i in order:
        length = len(texts[i].split())
        if not 0 < length <= words / 10:
            continue
        chosen.append(texts[i])
        left -= length
        if left <= 0:
            return chosen
    raise SystemExit(f"the source has {words - left:,} words; {words:,} are needed")


def main() -> None:
    """Write the notes and say how many they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--source", required=True)
    parser.add_argument("--words", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chosen = choose(list(texts_of(given.texts, given.source)), given.words, given.seed)
    lines = [
        json.dumps({"id": f"{given.source}-{i}", "text": text}, ensure_ascii=False)
        for i, text in enumerate(chosen, 1)
    ]
    atomic_write_text(given.out, "\n".join(lines) + "\n")
    words = sum(len(text.split()) for text in chosen)
    print(f"{given.out}: {len(chosen):,} notes, {words:,} words")


if __name__ == "__main__":
    main()
