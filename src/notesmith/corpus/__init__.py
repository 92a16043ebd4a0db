"""Corpora on disk: readers and writers, one format a file; splits, statistics and checks."""

from __future__ import annotations

from notesmith.corpus.formats import FORMATS, Format
from notesmith.corpus.problems import OnProblem
from notesmith.corpus.reading import CorpusRead, demo_corpus_path, read_corpus, write_corpus

__all__ = [
    "FORMATS",
    "CorpusRead",
    "Format",
    "OnProblem",
    "demo_corpus_path",
    "read_corpus",
    "write_corpus",
]
