"""Lists of names that a user gives: text files, one name a line."""

from __future__ import annotations

from pathlib import Path

from notesmith.corpus.problems import Tally, read_lines


def read_names(path: Path) -> list[str]:
    """The names of a file in their order; blank lines and repeats go.

    Raises:
        CorpusError: the file cannot be read as UTF-8, or as its byte order mark says.
    """
    lines = [(line.text or "").strip() for line in read_lines(path, Tally())]
    return list(dict.fromkeys(line for line in lines if line))
