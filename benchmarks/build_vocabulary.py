"""Choose the tokens that vocabulary trimming keeps, from a public corpus, and write the list.

    python benchmarks/build_vocabulary.py CORPUS.jsonl.xz src/notesmith/lm/data/gemma3.kept

CORPUS is JSON lines with a ``text`` field, compressed or not. The model is the offline default
unless a folder is named. Only token counts are used; a token stays if seen ``--min-count`` times.
"""

from __future__ import annotations

import argparse
import json
import lzma
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from notesmith.lm.vocabulary import choose_tokens


def read_texts(path: Path) -> Iterator[str]:
    """Yield the ``text`` field of every line."""
    with lzma.open(path, "rt") if path.suffix == ".xz" else path.open() as lines:
        for line in lines:
            yield json.loads(line)["text"]


def main() -> None:
    """Count, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, help="folder with tokenizer.json")
    parser.add_argument("--min-count", type=int, default=16)
    parser.add_argument("--max-texts", type=int, default=None)
    args = parser.parse_args()
    tokenizer_json = json.loads(tokenizer_path(args.tokenizer).read_text())

    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(json.dumps(tokenizer_json))
    start, n_texts, n_bytes = time.monotonic(), 0, 0
    counts = np.zeros(tokenizer.get_vocab_size(), dtype=np.int64)
    texts = islice(read_texts(args.corpus), args.max_texts)
    while batch := list(islice(texts, 256)):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            np.add.at(counts, encoding.ids, 1)
        n_texts, n_bytes = n_texts + len(batch), n_bytes + sum(map(len, batch))
    by_id = {int(i): int(counts[i]) for i in np.flatnonzero(counts)}
    kept = choose_tokens(tokenizer_json, by_id, min_count=args.min_count)
    args.out.write_bytes(kept.to_bytes())
    print(
        f"{n_texts} texts, {n_bytes} characters, {counts.sum()} tokens, {len(by_id)} distinct; "
        f"kept {len(kept.ids)} of {kept.n_tokens}, {args.out.stat().st_size} bytes, "
        f"{time.monotonic() - start:.0f} s"
    )


def tokenizer_path(folder: Path | None) -> Path:
    """``tokenizer.json`` of ``folder`` or of the offline default, converted on first use."""
    if folder is None:
        from notesmith.cli.process import home
        from notesmith.lm.source import offline_folder

        folder = offline_folder("gemma3-270m-offline", cache=home() / "models")
    return folder / "tokenizer.json"


if __name__ == "__main__":
    main()
