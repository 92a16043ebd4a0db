"""The three commands that a newcomer types first, on exports of five tools, with their output.

    python benchmarks/first_commands.py OUT [--also CORPUS ...]

The packaged fictional notes are written as Label Studio, doccano, brat, INCEpTION and a BioC
program would export them, each by the writer of that format. Then ``corpus check``, ``init`` and
``plan`` run on each as a shell would run them, and OUT/commands.txt holds what they print. CORPUS
is any other corpus, such as NCBI Disease as it is published.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import notesmith
from notesmith.corpus import read_corpus, write_corpus

EXPORTS = {
    "label-studio": "project-7.json",
    "doccano": "all.jsonl",
    "brat": "ward",
    "uima": "inception",
    "bioc-xml": "notes.xml",
}
"""Format and name of each export, as its tool would name it."""


def commands(export: str) -> list[list[str]]:
    """The commands for an export."""
    recipe = f"{Path(export).stem}.toml"
    return [
        ["corpus", "check", export],
        ["init", export, "--out", recipe],
        ["plan", recipe, "--no-probe"],
    ]


def main() -> None:
    """Write the exports, run the commands, keep what they print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--also", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    docs = read_corpus(Path(notesmith.__file__).parent / "demo" / "train").docs
    for name, export in EXPORTS.items():
        write_corpus(docs, args.out / export, format=name)
    others = [str(path.resolve()) for path in args.also]
    with (args.out / "commands.txt").open("w", encoding="utf-8") as file:
        for export in (*EXPORTS.values(), *others):
            for words in commands(export):
                print("$ notesmith", *words, file=file, flush=True)
                done = subprocess.run(
                    [sys.executable, "-m", "notesmith", *words],
                    cwd=args.out,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                print(
                    done.stdout, f"[exit code {done.returncode}]\n", sep="", file=file, flush=True
                )
                print(*words, done.returncode, flush=True)


if __name__ == "__main__":
    main()
