"""Every official form of public corpora, read as it is, beside the published numbers.

    python benchmarks/official_forms.py DATA [--json FILE]

DATA holds ``ncbi_disease``, ``bc5cdr``, ``maccrobat`` and ``negex_testkit`` as they are published.
Each form is read from its folder, part by part, with no option but those shown. Printed are
documents, mentions, relations and the best strict F1 that a student can reach (its ceiling), with
the time that reading took. A form that is refused is shown with what is said. The exit code is 1
where a number is not as expected.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from notesmith.ceiling import ceiling
from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.corpus.splits import find_splits
from notesmith.document import Document
from notesmith.errors import NotesmithError


@dataclass(frozen=True)
class Form:
    """A folder or file of ``DATA`` to read.

    ``expected`` are mentions by part, or those of all where it is not divided; ``()`` where it is
    to be refused. ``option`` is a format to name.
    """

    path: str
    expected: tuple[int, ...]
    option: str = ""


_NCBI, _CDR = (5145, 787, 960), (9385, 9591, 9809)
# PMID 8528200 stands twice in train, with 11 mentions; the second is left out and counted.
_ONCE = (5134, 787, 960)
FORMS = (
    Form("ncbi_disease", ()),
    Form("ncbi_disease/original-data", _ONCE),
    Form("ncbi_disease/standoff", _NCBI),
    Form("ncbi_disease/conll", _NCBI),
    Form("ncbi_disease", (sum(_ONCE),), "pubtator"),
    Form("ncbi_disease", (sum(_NCBI),), "brat"),
    Form("ncbi_disease", (sum(_NCBI),), "conll"),
    Form("bc5cdr", _CDR),
    Form("bc5cdr/CDR_TrainingSet.PubTator.txt", _CDR[:1]),
    Form("bc5cdr/CDR_DevelopmentSet.PubTator.txt", _CDR[1:2]),
    Form("bc5cdr/CDR_TestSet.PubTator.txt", _CDR[2:]),
    Form("maccrobat", (25191,)),
    Form("maccrobat/COMPLETE", (25191,)),
    Form("negex_testkit", ()),
    Form("negex_testkit/negex.python/Annotations-1-120.txt", ()),
)


@dataclass(frozen=True)
class Row:
    """What reading a form gave, by part; ``refused`` is what was said instead."""

    form: str
    option: str
    expected: tuple[int, ...]
    format: str = ""
    parts: tuple[str, ...] = ()
    documents: tuple[int, ...] = ()
    mentions: tuple[int, ...] = ()
    relations: tuple[int, ...] = ()
    ceiling: tuple[float, ...] = ()
    counted: tuple[str, ...] = ()
    seconds: float = 0.0
    refused: str = ""

    @property
    def is_right(self) -> bool:
        """Whether it was read, or refused, as it should be."""
        return self.mentions == self.expected and bool(self.refused) == (not self.expected)

    def line(self) -> str:
        """A line of a Markdown table."""
        name = f"`{self.form}`" + (f", `--format {self.option}`" if self.option else "")
        if self.refused:
            return f"| {name} | refused: `{self.refused}` | | | | | |"
        return " | ".join(
            [
                f"| {name}",
                self.format,
                _listed(self.documents),
                _listed(self.mentions) + ("" if self.is_right else f" **not {self.expected}**"),
                _listed(self.relations),
                ", ".join(f"{f1:.1f}" for f1 in self.ceiling),
                f"{self.seconds:.1f} |",
            ]
        )


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(f"{n:,}" for n in numbers) if any(numbers) else "–"


def read(data: Path, form: Form) -> Row:
    """Read a form as the commands do: its parts by name, or all of it."""
    path = data / form.path
    options = ReadingConfig(format=form.option or None)
    found: dict[str, list[Document]] = {}
    counted: list[str] = []
    formats = set()
    began = time.perf_counter()
    try:
        for part, place in (find_splits(path) or {path.name: path}).items():
            corpus = read_corpus(place, options)
            found[part] = corpus.docs
            formats.add(corpus.format)
            counted += [f"{part}: {n:,} {what}" for what, n in corpus.counts.items()]
    except NotesmithError as error:
        said = str(error).replace(str(data), "DATA").partition("; formats are")[0]
        return Row(form.path, form.option, form.expected, refused=said)
    seconds = time.perf_counter() - began
    docs = found.values()
    return Row(
        form.path,
        form.option,
        form.expected,
        ", ".join(sorted(formats)),
        tuple(found),
        tuple(len(part) for part in docs),
        tuple(sum(len(doc.entities) for doc in part) for part in docs),
        tuple(sum(len(d.relations) + len(d.concept_relations) for d in part) for part in docs),
        tuple(round(ceiling(part).f1, 2) for part in docs),
        tuple(counted),
        round(seconds, 1),
    )


def main() -> None:
    """Print a table; exit with 1 where a number differs from the published one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print("| form | read as | documents | mentions | relations | ceiling | seconds |")
    print("|---|---|---|---|---|---|---|")
    rows = []
    for form in FORMS:
        rows.append(read(args.data, form))
        print(rows[-1].line(), flush=True)
    if args.json:
        machine = {"cores": os.cpu_count(), "system": platform.system()}
        record = {"machine": machine, "forms": [asdict(row) for row in rows]}
        args.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.exit(not all(row.is_right for row in rows))


if __name__ == "__main__":
    main()
