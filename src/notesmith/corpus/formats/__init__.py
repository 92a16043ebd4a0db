"""The table of formats: a further one is one file and one line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.corpus.formats import brat, conll, inline, jsonl, pubtator
from notesmith.corpus.problems import Tally
from notesmith.document import Document


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: its path, its corpus folder, its beginning, and the columns if CoNLL.

    ``alone`` is a file that was named itself rather than found in a folder.
    """

    path: Path
    root: Path
    head: str
    columns: conll.Columns
    alone: bool = False

    @property
    def stem(self) -> str:
        """Path below the corpus folder, without suffix: the id of a document that names none."""
        return self.path.relative_to(self.root).with_suffix("").as_posix()


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is recognised, read and written.

    ``claims`` looks at name and beginning of a file. ``read`` gives its documents. ``write`` puts
    documents to a path (a file, or a folder where ``is_folder``) and returns counts of what the
    format cannot hold.
    """

    name: str
    claims: Callable[[Source], bool]
    read: Callable[[Source, Tally], Iterable[Document]]
    write: Callable[[Sequence[Document], Path], Counter[str]]
    is_folder: bool = False


FORMATS: Mapping[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format(
            "jsonl",
            lambda source: source.path.suffix == ".jsonl",
            lambda source, tally: jsonl.read(source.path, tally),
            jsonl.write,
        ),
        Format(
            "pubtator",
            lambda source: pubtator.claims(source.head),
            lambda source, tally: pubtator.read(source.path, tally),
            pubtator.write,
        ),
        Format(
            "inline",
            lambda source: source.path.suffix == ".txt" and inline.claims(source.head),
            lambda source, tally: inline.read(source.path, source.stem, tally),
            inline.write,
            is_folder=True,
        ),
        Format(
            "brat",
            lambda source: brat.claims(source.path),
            lambda source, tally: brat.read(source.path, source.stem, tally, alone=source.alone),
            brat.write,
            is_folder=True,
        ),
        Format(
            "conll",
            lambda source: source.path.suffix.lower() in conll.SUFFIXES,
            lambda source, tally: conll.read(
                source.path, source.stem, tally, columns=source.columns
            ),
            conll.write,
        ),
    )
}
