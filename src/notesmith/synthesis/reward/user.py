"""Rewards that a user writes: ``module:function`` or ``path/to/file.py:function``.

Such a function gets a list of documents and gives a list of numbers from 0 to 1. What it cannot
do is an error that names it, never a reward of 0.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from notesmith.document import Document
from notesmith.errors import ConfigError, StageError, shown_doc, shown_id

UserFunction = Callable[[list[Document]], Sequence[float]]


@dataclass(frozen=True, slots=True)
class UserReward:
    """A user's function and what it was loaded as."""

    spec: str
    function: UserFunction

    @property
    def part(self) -> str:
        """Its name among the parts: ``user_`` and the function's name."""
        return "user_" + self.spec.rpartition(":")[2]

    def __call__(self, docs: Sequence[Document]) -> list[float]:
        """Score ``docs``.

        Raises:
            StageError: it raised, or gave anything but one number from 0 to 1 a document.
        """
        if not docs:
            return []
        try:
            values = self.function(list(docs))
        except Exception as error:
            # The error's own words may hold note text, so only its type is told.
            raise StageError(
                f"reward {self.spec}: raised {type(error).__name__} on doc {self._culprit(docs)!r}"
            ) from error
        return checked(self.spec, values, docs)

    def _culprit(self, docs: Sequence[Document]) -> str:
        """The id of the first document that the function fails on alone; else the first."""
        for doc in docs:
            try:
                self.function([doc])
            except Exception:
                return doc.id
        return docs[0].id


def checked(
    name: str, values: Any, docs: Sequence[Document], *, in_range: bool = True
) -> list[float]:
    """``values`` as one finite float a document, from 0 to 1 where ``in_range``.

    Raises:
        StageError: they are not; it names ``name`` and the document.
    """
    try:
        found = list(values)
    except TypeError as error:
        raise StageError(
            f"reward {name}: gave {type(values).__name__} and no list, from "
            f"{shown_doc(docs[0].id)} on"
        ) from error
    if len(found) != len(docs):
        raise StageError(
            f"reward {name}: gave {len(found)} values for {len(docs)} documents, from doc "
            f"{shown_id(docs[0].id)} on"
        )
    return [_number(name, value, doc, in_range) for value, doc in zip(found, docs, strict=True)]


def _number(name: str, value: Any, doc: Document, in_range: bool) -> float:
    # A string is refused even where it reads as a number: its content may be note text.
    try:
        number = float(value) if not isinstance(value, str | bytes) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        kind = type(value).__name__
        raise StageError(f"reward {name}: gave no finite number ({kind}) for {shown_doc(doc.id)}")
    if in_range and not 0 <= number <= 1:
        raise StageError(
            f"reward {name}: gave {number:g}, not from 0 to 1, for {shown_doc(doc.id)}"
        )
    return number


def load_user_reward(spec: str) -> UserReward:
    """Load ``module:function`` or ``path/to/file.py:function``.

    Raises:
        ConfigError: it is not written so, or nothing callable is there.
    """
    where, _, name = spec.rpartition(":")
    if not where or not name.isidentifier():
        raise ConfigError(f"reward {spec!r}: write it as module:function or file.py:function")
    try:
        module = _from_file(Path(where)) if where.endswith(".py") else import_named(where)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"reward {spec!r}: loading it raised {type(error).__name__}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"reward {spec!r}: {where} has no function {name}")
    return UserReward(spec, function)


def import_named(name: str) -> ModuleType:
    """Import the module ``name``.

    Raises:
        ConfigError: there is no such module; one that it imports in turn is another matter.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise
        raise ConfigError(
            f"no module {name}; install it, or name its file as path/to/file.py:function"
        ) from error


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file of rewards")
    found = importlib.util.spec_from_file_location(f"notesmith_reward_{path.stem}", path)
    if found is None or found.loader is None:
        raise ConfigError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
