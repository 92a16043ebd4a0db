"""Every error that notesmith raises on purpose.

    NotesmithError
    ├── CorpusError        a file or record cannot be read as asked (file, line, id, remedy)
    │   └── OffsetError    a span does not fit its text
    ├── FileError          a file cannot be written, or something else stands in its place
    ├── ConfigError        a recipe or an option is wrong
    ├── MissingExtraError  an optional dependency is absent (prints its install line)
    ├── ModelError         a model folder or name cannot be used
    ├── StageError         a stage cannot do its work on these inputs
    └── SealError          the sealed test set would be opened out of turn

All but ``MissingExtraError`` are also ``ValueError``: the caller can mend them. Messages carry
ids, offsets and labels, never note text: what stands in the slot of an id or name is shown by
``shown_id`` and ``shown_name`` alone.
"""

from __future__ import annotations

import re

# One word with a digit, or a single sign: what ids look like and words of a note mostly do not.
_ID = re.compile(r"(?=\D*[0-9])[\w.:/#*@+\-]{1,64}|[^\W_]")
# One word, as labels, columns, layers and annotators are named.
_NAME = re.compile(r"[^\W_][\w.:/@+\-]{0,39}")
_HEADING = re.compile(r"[a-z][A-Za-z0-9_.-]{0,39}|[A-Z0-9_]{1,10}|(?=.*_)[A-Za-z0-9_]{1,40}")


def shown_id(value: str) -> str:
    """``value`` quoted if it looks like an id; else words that say nothing of it.

    A mangled line may hold words of a note where an id should stand. At most 64 letters, digits and
    ``. : / # * @ + - _`` with a digit among them are an id, and so is one letter or digit alone.
    """
    return repr(value) if _ID.fullmatch(value) else "an id of an unknown kind"


def shown_doc(doc_id: str) -> str:
    """``doc 'ID'`` for a message; see ``shown_id``."""
    return f"doc {doc_id!r}" if _ID.fullmatch(doc_id) else "a doc with an id of an unknown kind"


def shown_name(value: str) -> str:
    """``value`` if it looks like the name of a label, column, layer or annotator.

    That is one word of at most 40 letters, digits and ``. : / @ + - _``; else ``(not shown)``.
    """
    return value if _NAME.fullmatch(value) else "(not shown)"


def shown_heading(value: str) -> str:
    """``value`` if it looks like the heading of a column: one word, not written like a name.

    A table without a heading has a record in its first line.
    """
    return value if _HEADING.fullmatch(value) else "(not shown)"


class NotesmithError(Exception):
    """Root of the tree; the command line prints it on one line and exits with 1."""


class CorpusError(NotesmithError, ValueError):
    """A corpus file or record cannot be read as asked."""


class OffsetError(CorpusError):
    """A span does not fit the text it points into."""


class FileError(NotesmithError, ValueError):
    """A file or folder cannot be written, or something else stands in its place."""


class ConfigError(NotesmithError, ValueError):
    """A recipe, an option or a combination of options is wrong."""


class ModelError(NotesmithError, ValueError):
    """A model folder or name cannot be used."""


class StageError(NotesmithError, ValueError):
    """A stage cannot do its work on these inputs."""


class SealError(NotesmithError, ValueError):
    """The sealed test set would be opened out of turn."""


class MissingExtraError(NotesmithError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the missing ``package`` and the ``extra`` that brings it."""
        super().__init__(
            f"{package} is not installed; install it with: pip install 'notesmith[{extra}]'"
        )
        self._of = package, extra

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str]]:
        """Pickle by what it was made of: errors travel between processes."""
        return type(self), self._of
