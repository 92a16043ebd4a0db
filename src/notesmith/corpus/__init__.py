"""Corpora on disk: readers and writers, one format a file; splits, statistics and checks."""

from __future__ import annotations

from pathlib import Path

from notesmith.corpus.formats import FORMATS, Format, ReadOptions
from notesmith.corpus.problems import OnProblem
from notesmith.corpus.reading import CorpusRead, read_corpus, write_corpus

__all__ = [
    "FORMATS",
    "CorpusRead",
    "Format",
    "OnProblem",
    "ReadOptions",
    "demo_corpus_path",
    "read_corpus",
    "write_corpus",
]


def demo_corpus_path() -> Path:
    """The packaged fictional notes: a folder with ``train``, ``dev`` and ``test``."""
    return Path(__file__).parent.parent / "demo"
