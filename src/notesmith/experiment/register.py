"""The register of openings: which labels any run of this user has opened, kept in the home.

One file an opening, ``$NOTESMITH_HOME/openings/NAME.json``. A file appears by a rename and is never
written again, so no lock is needed and nothing can be lost between two runs. It holds no text and
no hash that a dictionary undoes: documents are known by hashes under a random key that lies beside
them. Every file is signed with that key and names the files that were there before it, so that a
change, or the loss of all but the last, is noticed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notesmith.errors import SealError
from notesmith.evaluate.seal import Draws, Seal
from notesmith.files.checksums import canonical
from notesmith.files.leftovers import hidden_beside
from notesmith.files.write import FILE_MODE, atomic_write_text, explained, make_folder

SCHEMA = 1
KEY = "key"
# Labels count as opened before where this share of their documents was.
NOTABLE = 0.1
_NAME = re.compile(r"[0-9a-f]{24}")
_KEY = re.compile(r"[0-9a-f]{64}")
_WORD = re.compile(r"[^\W_]+")

Marks = Mapping[str, frozenset[str]]
"""Keyed hashes of documents, by what they are scored as: ``test``, ``out-of-draw``, ``train``."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One opening at an ISO date; ``after`` names those that were registered before it."""

    name: str
    run: str
    plan: str
    when: str
    draws: Draws
    documents: Marks
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What was opened of some labels before, outside their own run.

    ``others`` are openings for other plans, ``repeats`` those for the same one; ``shares`` is in
    words, such as ``98 of 100 test documents``, of what the others had opened.
    """

    others: tuple[Entry, ...] = ()
    repeats: tuple[Entry, ...] = ()
    shares: tuple[str, ...] = ()

    @property
    def n_plans(self) -> int:
        """How many other plans there were."""
        return len({entry.plan for entry in self.others})


class Register:
    """The openings kept in one folder; nothing is made there until there is something to keep."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder``, such as ``$NOTESMITH_HOME/openings``."""
        self.folder = folder

    def marks(self, texts: Iterable[str]) -> frozenset[str]:
        """Keyed hashes of documents by their letters and digits, which every format keeps.

        Case, spaces, ids and order are no part of them; texts without letters are left out.
        """
        key = self._key()
        found = ("".join(_WORD.findall(_folded(text))) for text in texts)
        return frozenset(_digest(key, "document", words) for words in found if words)

    def find(self, run: str, plan: str) -> Entry | None:
        """The opening of a run for a plan, by their hash; None if it is not registered."""
        found = self.entries()
        return next((entry for entry in found if (entry.run, entry.plan) == (run, plan)), None)

    def entries(self) -> list[Entry]:
        """All openings, the oldest first.

        Raises:
            SealError: a file is damaged or gone.
        """
        if not self.folder.is_dir():
            return []
        paths = [p for p in self.folder.glob("*.json") if _NAME.fullmatch(p.stem)]
        if not paths:
            return []
        key = self._key()
        found = [self._read(path, key) for path in paths]
        names = {entry.name for entry in found}
        if lost := sorted({name for entry in found for name in entry.after} - names):
            raise self._damaged(self.folder / f"{lost[0]}.json", "is gone")
        return sorted(found, key=lambda entry: (len(entry.after), entry.when, entry.name))

    def earlier(self, documents: Marks, plan: str, seal: Seal | None) -> Earlier:
        """What was opened of ``documents`` outside the run of ``seal``, before ``plan`` was.

        Args:
            documents: those that ``plan`` scores.
            plan: its hash; once it is registered, later plans do not count against it.
            seal: of the run, whose own openings are left out.
        """
        own = {(seal.run, opening.plan_hash) for opening in seal.openings} if seal else set()
        entries = self.entries()
        first = next((entry for entry in entries if entry.plan == plan), None)
        elsewhere = [
            entry
            for entry in entries
            if (entry.run, entry.plan) not in own and _opened(documents, [entry])
        ]
        others = tuple(
            entry
            for entry in elsewhere
            if entry.plan != plan and (first is None or entry.name in first.after)
        )
        repeats = tuple(entry for entry in elsewhere if entry.plan == plan)
        return Earlier(others, repeats, _opened(documents, others))

    def add(self, seal: Seal, documents: Marks, *, when: str) -> None:
        """Register that the run of ``seal`` opens ``documents`` for its plan; once is enough."""
        key = self._key()
        plan = seal.plan
        name = _digest(key, "opening", f"{seal.run} {plan.hash}")[:24]
        path = self.folder / f"{name}.json"
        if path.exists():
            return
        value = {
            "schema": SCHEMA,
            "run": seal.run,
            "plan": plan.hash,
            "when": when,
            "draws": asdict(plan.draws),
            "documents": {part: sorted(marks) for part, marks in documents.items()},
            # Workers of one run may come here at once; both write the same opening.
            "after": sorted(entry.name for entry in self.entries() if entry.name != name),
        }
        signed = {**value, "signature": _digest(key, name, canonical(value))}
        atomic_write_text(path, json.dumps(signed, indent=1) + "\n")

    def _read(self, path: Path, key: bytes) -> Entry:
        try:
            value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            signature = value.pop("signature")
            whole = hmac.compare_digest(signature, _digest(key, path.stem, canonical(value)))
        except OSError as error:
            raise self._damaged(path, f"cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise self._damaged(path, "is damaged")
        if value["schema"] != SCHEMA:
            raise SealError(f"{path}: has schema {value['schema']}; a newer notesmith wrote it")
        return Entry(
            path.stem,
            value["run"],
            value["plan"],
            value["when"],
            Draws(**value["draws"]),
            {part: frozenset(marks) for part, marks in value["documents"].items()},
            tuple(value["after"]),
        )

    def _key(self) -> bytes:
        """The key of this register, made when it is first needed."""
        path = self.folder / KEY
        if not path.exists():
            has_openings = self.folder.is_dir() and any(self.folder.glob("*.json"))
            # Another process may have made the key and its opening meanwhile, in this order.
            if has_openings and not path.exists():
                raise self._damaged(path, "is gone")
            make_folder(self.folder)
            _make_key(path)
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            text = ""
        if not _KEY.fullmatch(text):
            raise self._damaged(path, "is damaged")
        return bytes.fromhex(text)

    def _damaged(self, path: Path, how: str) -> SealError:
        return SealError(
            f"{path} {how}: openings of test sets cannot be counted; restore it from a backup, or "
            f"move {self.folder} away and say in your report that the count began anew"
        )


def _opened(documents: Marks, entries: Iterable[Entry]) -> tuple[str, ...]:
    """In words, the parts of ``documents`` of which a notable share was opened."""
    known = {mark for entry in entries for marks in entry.documents.values() for mark in marks}
    return tuple(
        f"{len(marks & known)} of {len(marks)} {part} documents"
        for part, marks in documents.items()
        if marks and len(marks & known) >= NOTABLE * len(marks)
    )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _digest(key: bytes, purpose: str, text: str) -> str:
    data = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:32]


def _make_key(path: Path) -> None:
    """Write a random key that appears whole; of two processes the first one's stays."""
    temporary = hidden_beside(path)
    with explained(path):
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32) + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass
            except OSError:  # a file system without links
                os.rename(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
