"""Recompute every comparison that the archives of docs/results hold, by the rules of today.

    python benchmarks/archives.py [ARCHIVE …] [--documents TEST.jsonl] [--out archives.json]

An archive holds the scores of all cells without text. Arms, comparator and candidate are those of
the ``results.json`` beside it. Printed is each comparison as it was published and as it is now.
``--documents`` names test sentences whose metadata tell the document they are of
(``recipes/sentence_documents.py``): an archive of sentences is then resampled by documents.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from notesmith.config import EvaluateConfig
from notesmith.corpus import read_corpus
from notesmith.document import Document
from notesmith.evaluate import CellScores, assemble
from notesmith.evaluate.scores import add_students, hash_ids
from notesmith.experiment.stages import SOURCES
from notesmith.files.write import atomic_write_text
from notesmith.findings import Findings

RESULTS = Path(__file__).parents[1] / "docs" / "results"


def cells_of(archive: Path) -> list[CellScores]:
    """The scores of an archive; those of several students of a draw are put together anew."""
    found: defaultdict[tuple[Any, ...], dict[int, CellScores]] = defaultdict(dict)
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = Path(member.name).parts
            if parts[-1] != "scores.json" or parts[1] != "score":
                continue
            file = tar.extractfile(member)
            assert file is not None
            cell = CellScores.from_json(json.load(file))
            found[cell.split, cell.arm, cell.size, cell.replicate][cell.seed] = cell
    return [
        add_students([own for _, own in sorted(row.items())])
        if len(row) > 1
        else next(iter(row.values()))
        for row in found.values()
    ]


def in_documents(cells: Sequence[CellScores], docs: Sequence[Document]) -> list[CellScores]:
    """The cells with the sentences of a document in one group, where they are those of ``docs``."""
    ids = hash_ids([doc.id for doc in docs])
    homes: dict[str, int] = {}
    groups = tuple(homes.setdefault(str(doc.metadata["document"]), len(homes)) for doc in docs)
    return [replace(c, groups=groups) if c.ids_hash == ids else c for c in cells]


def assembled(cells: Sequence[CellScores], published: dict[str, Any], split: str) -> Findings:
    """Today's findings from the cells of one split and the recipe that was published."""
    names = {arm["name"] for arm in published["arms"]}
    made = {
        arm["name"]: tuple(SOURCES[name].facts for name in arm["made"]) for arm in published["arms"]
    }
    config = published["config"]["evaluate"] | {"candidate": published["candidate"] or ""}
    return assemble(
        [cell for cell in cells if cell.split == split and cell.arm in names],
        EvaluateConfig.model_validate(config),
        main_size=published["sizes"][0],
        made=made,
        seed=published["config"]["draws"]["seed"],
    )


def row(entry: Mapping[str, Any] | None) -> str:
    """A comparison in figures and words, as any version wrote it."""
    if entry is None:
        return "–"
    return (
        f"{entry['delta']:+.1f} [{entry['low']:+.1f}, {entry['high']:+.1f}], "
        f"p {entry['p_holm']:.3f}, {entry['claim']}"
    )


def main() -> None:
    """Print a table an archive."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("archives", nargs="*", type=Path)
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    docs = list(read_corpus(args.documents).docs) if args.documents else []
    kept: dict[str, Any] = {}
    for archive in args.archives or sorted(RESULTS.glob("*.tar.xz")):
        name = archive.name.removesuffix(".tar.xz")
        published = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
        cells = in_documents(cells_of(archive), docs)
        now = assembled(cells, published, published["split"]).model_dump(mode="json")
        before = {(c["arm"], c["against"], c["size"]): c for c in published["comparisons"]}
        print(f"### {name}\n\n| comparison | published | now |\n|---|---|---|")
        for entry in now["comparisons"]:
            key = (entry["arm"], entry["against"], entry["size"])
            print(f"| {key[0]} − {key[1]} | {row(before.get(key))} | {row(entry)} |")
        print(f"\npublished: {published['verdict']}\n\nnow: {now['verdict']}")
        print(f"\nnotices: {now['notices']}\n", flush=True)
        kept[name] = {part: now[part] for part in ("comparisons", "power", "notices", "verdict")}
    if args.out:
        atomic_write_text(args.out, json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
