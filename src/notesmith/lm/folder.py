"""A language model's folder on disk: its card and its fingerprint; loading is ``models.load``'s."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from notesmith.errors import ModelError
from notesmith.models import manifest
from notesmith.models.door import read_json
from notesmith.models.fingerprint import fingerprint_folder as hash_folder

CARD_NAME = manifest.OURS


@dataclass(frozen=True, slots=True)
class Card:
    """What a model is called and under which conditions it comes; a file in its folder."""

    name: str
    licence: str
    terms: str | None = None
    chat: bool = False

    def write(self, folder: Path) -> None:
        """Write the card into a model folder."""
        (folder / CARD_NAME).write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Our card, else the folder's name and the licence line of the model's README.

        Raises:
            ModelError: the folder holds no language model, or its card is damaged.
        """
        path, readme = folder / CARD_NAME, folder / "README.md"
        if path.exists():
            return cls._of(read_json(path), path)
        text = readme.read_text(errors="replace") if readme.is_file() else ""
        licence = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
        return cls(folder.name or folder.resolve().name, licence.group(1) if licence else "unknown")

    @classmethod
    def _of(cls, values: dict[str, object], path: Path) -> Card:
        if "labels" in values:
            raise ModelError(f"{path.parent}: a student, not a language model; name another folder")
        name, licence, terms, chat = (values.get(x) for x in ("name", "licence", "terms", "chat"))
        if not (
            isinstance(name, str)
            and isinstance(licence, str)
            and (terms is None or isinstance(terms, str))
            and isinstance(chat, bool)
        ):
            raise ModelError(f"{path}: no card of a language model; copy the folder anew")
        return cls(name, licence, terms, chat)


def fingerprint_folder(folder: Path) -> str:
    """Hash of a model folder, whole: of our own by the list of its files, which was checked."""
    if (folder / manifest.MANIFEST).exists():
        return manifest.fingerprint(folder)
    return hash_folder(folder)
