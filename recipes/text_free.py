"""Take a run's text-free part elsewhere, or go on from one: scores whole, of the rest the metrics.

    python recipes/text_free.py pack RUN scores.tar.xz
    python recipes/text_free.py unpack scores.tar.xz RUN

For replicates that were computed on several machines, or in several sittings on machines that are
wiped. Unpack what there is into a run folder: ``notesmith run`` with the same recipe computes what
is missing. Scores hold ids and offsets of the scored documents, no text; of everything else only
``metrics.json`` is taken.
"""

from __future__ import annotations

import argparse
import shutil
import tarfile
import tempfile
from pathlib import Path

from notesmith.errors import ConfigError
from notesmith.experiment.folder import CELLS, claim_folder
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import load_recipe
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.store import CellStore
from notesmith.files.write import make_folder


def main() -> None:
    """Pack or unpack."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    ways = parser.add_subparsers(dest="way", required=True)
    packing, unpacking = ways.add_parser("pack"), ways.add_parser("unpack")
    packing.add_argument("run", type=Path)
    packing.add_argument("archive", type=Path)
    unpacking.add_argument("archive", type=Path)
    unpacking.add_argument("run", type=Path)
    args = parser.parse_args()
    if args.way == "pack":
        print(f"{args.archive}: {pack(args.run, args.archive)} cells")
    else:
        print(f"{args.run}: {unpack(args.archive, args.run)} cells more")


def pack(run: Path, archive: Path) -> int:
    """Write the archive; returns the number of cells in it."""
    config = load_recipe(str(run / "recipe.toml"))
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)))
    cells = {cell.key: cell for target in plan.cells for cell in target.walk()}
    with tempfile.TemporaryDirectory() as temporary:
        store, copy = CellStore(run / CELLS), CellStore(Path(temporary) / "cells")
        n = sum(store.copy_text_free(cell, copy) for cell in cells.values())
        if not n:
            raise ConfigError(f"{run}: no cell is finished")
        with tarfile.open(archive, "w:xz") as tar:
            tar.add(Path(temporary) / "cells", arcname="cells", filter=_nameless)
    return n


def unpack(archive: Path, run: Path) -> int:
    """Put cells that a run lacks into its folder, made if it is new; returns how many."""
    claim_folder(run)
    n = 0
    with tempfile.TemporaryDirectory() as temporary, tarfile.open(archive) as tar:
        tar.extractall(temporary, filter="data")
        for cell in sorted(Path(temporary).glob("cells/*/*")):
            target = run / CELLS / cell.parent.name / cell.name
            if not target.exists():
                make_folder(target.parent)
                shutil.move(cell, target)
                n += 1
    return n


def _nameless(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
