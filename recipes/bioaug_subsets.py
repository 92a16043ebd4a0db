"""Build BioAug's low-resource subsets of NCBI Disease: 100, 200 or 500 training sentences.

    python recipes/bioaug_subsets.py TRAIN.tsv OUT.tsv --sentences 100

TRAIN.tsv is the CoNLL file of the corpus (a token and an IOB2 tag a line). Of the sentences with a
mention, in file order, the first 2n are taken in pairs and one of each pair is kept: the second
for 500, chosen by a fixed bit for 100 and 200. The subsets hold 194, 388 and 973 mentions.

Ghosh et al. (2023), "BioAug: Conditional Generation based Data Augmentation for Low-Resource
Biomedical NER", SIGIR.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from notesmith.files.write import atomic_write_text

# One bit a pair after the leading one: which of the two sentences is kept.
BITS = {
    100: "132dcf94aa06ccdd57b954adaf",
    200: "1e2a65a94a955fb7ed2817f260ba6f2a8b0babfb8388dd40490",
}
MENTIONS = {100: 194, 200: 388, 500: 973}


def choose(sentences: list[str], n: int) -> list[str]:
    """The ``n`` sentences of the subset; ``sentences`` as blocks of lines."""
    bearing = [s for s in sentences if _n_mentions(s)][: 2 * n]
    if len(bearing) < 2 * n:
        raise SystemExit(f"{len(bearing)} sentences have a mention; {2 * n} are needed")
    bits = bin(int(BITS[n], 16))[3:] if n in BITS else "1" * n
    return [bearing[2 * pair + int(bit)] for pair, bit in enumerate(bits)]


def _n_mentions(sentence: str) -> int:
    return sum(line.split()[-1].startswith("B-") for line in sentence.splitlines())


def main() -> None:
    """Write one subset and check its number of mentions."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sentences", type=int, choices=sorted(MENTIONS), required=True)
    given = parser.parse_args()
    blocks = given.train.read_text(encoding="utf-8").split("\n\n")
    chosen = choose([block.strip() for block in blocks if block.strip()], given.sentences)
    found = sum(map(_n_mentions, chosen))
    if found != MENTIONS[given.sentences] or len(chosen) != given.sentences:
        raise SystemExit(
            f"{len(chosen)} sentences with {found} mentions, not {given.sentences} with "
            f"{MENTIONS[given.sentences]}: {given.train} is another edition of the corpus"
        )
    atomic_write_text(given.out, "\n\n".join(chosen) + "\n")
    print(f"{given.out}: {len(chosen)} sentences, {found} mentions")


if __name__ == "__main__":
    main()
