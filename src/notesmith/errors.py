"""Every error that notesmith raises on purpose.

    NotesmithError
    ├── CorpusError        a file or record cannot be read as asked (file, line, id, remedy)
    │   └── OffsetError    a span does not fit its text
    ├── ConfigError        a recipe or an option is wrong
    ├── MissingExtraError  an optional dependency is absent (prints its install line)
    ├── ModelError         a model folder or name cannot be used
    ├── StageError         a stage cannot do its work on these inputs
    └── SealError          the sealed test set would be opened out of turn

All but ``MissingExtraError`` are also ``ValueError``: the caller can mend them. Messages carry
ids, offsets and labels, never note text.
"""

from __future__ import annotations


class NotesmithError(Exception):
    """Root of the tree; the command line prints it on one line and exits with 1."""


class CorpusError(NotesmithError, ValueError):
    """A corpus file or record cannot be read as asked."""


class OffsetError(CorpusError):
    """A span does not fit the text it points into."""


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
