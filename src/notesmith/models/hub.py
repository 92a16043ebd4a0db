"""Models of a hub by name and commit: the only place that asks a hub, and only when told to.

``fetch`` asks; it is called where a user gave ``--hub`` or ``hub = true``. ``locate`` never does:
it finds what was fetched before, in ``$NOTESMITH_HOME/hub/ORG--NAME/COMMIT``. The commit that was
fetched first is written down there and used ever after, until another is named, as
``ORG/NAME@COMMIT``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from notesmith.errors import MissingExtraError, ModelError
from notesmith.files.write import FILE_MODE, FOLDER_MODE, atomic_write_text, make_folder
from notesmith.home import home
from notesmith.models.door import check_folder
from notesmith.models.manifest import check_manifest, is_whole, write_manifest

# Two dashes stand for the slash in the name of its folder.
_HUB_ID = re.compile(r"(?!.*--)[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_CHOSEN = "commit.json"
_PATTERNS = (
    *("*.json", "*.safetensors", "*.jinja", "tokenizer.model", "vocab.txt", "merges.txt"),
    *("README.md", "LICENSE*", "NOTICE*"),
)


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of a hub: ``ORG/NAME``, and the commit if one is named."""

    hub_id: str
    commit: str | None = None

    @property
    def root(self) -> Path:
        """Where its commits lie."""
        return home() / "hub" / self.hub_id.replace("/", "--")

    def chosen(self) -> str | None:
        """The commit that is meant: the one named, else the one that was fetched first."""
        if self.commit is not None:
            return self.commit
        try:
            found = json.loads((self.root / _CHOSEN).read_text(encoding="utf-8"))["commit"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if isinstance(found, str) and _COMMIT.fullmatch(found) else None

    def folder(self) -> Path | None:
        """Its folder on this machine, if it was fetched."""
        commit = self.chosen()
        if commit is None or not (self.root / commit).is_dir():
            return None
        return self.root / commit


def hub_model(name: str, presets: Mapping[str, str]) -> HubModel | None:
    """What ``name`` means on a hub; None for folders and for what can be no name there.

    ``presets`` gives the hub's name of a short one, with ``@COMMIT`` where one is pinned. A folder
    of that name, or a folder whose child it would be, comes first: a mistyped path is no name on a
    hub.

    Raises:
        ModelError: what follows ``@`` is no commit.
    """
    short, at, commit = name.partition("@")
    if Path(name).expanduser().is_dir():
        return None
    hub_id, _, of_preset = presets.get(short, short).partition("@")
    if not _HUB_ID.fullmatch(hub_id):
        return None
    if short not in presets and Path(short).parent.is_dir():
        return None
    if at and not _COMMIT.fullmatch(commit):
        raise ModelError(f"{name!r}: after @ a commit is needed, all 40 hex digits of it")
    return HubModel(hub_id, commit or of_preset or None)


def locate(name: str, presets: Mapping[str, str], known: tuple[str, ...] = ()) -> Path:
    """As ``find``; what was fetched is compared with the list of its files.

    Raises:
        ModelError: as ``find``, or a file is not as it was fetched.
    """
    folder = find(name, presets, known)
    if hub_model(name, presets) is not None:
        check_manifest(folder, remedy="remove the folder and fetch the model again with --hub")
    return folder


def find(name: str, presets: Mapping[str, str], known: tuple[str, ...] = ()) -> Path:
    """The folder that ``name`` stands for; no network is used.

    Args:
        name: a folder, a name in ``presets``, or a hub's ``ORG/NAME`` with or without ``@COMMIT``.
        presets: short names of the hub's models.
        known: further short names, for the message.

    Raises:
        ModelError: it is none of these, or was not fetched.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    model = hub_model(name, presets)
    if model is None:
        if name.startswith(("/", ".", "~")) or name.count("/") > 1:
            raise ModelError(f"{name!r}: no such folder")
        names = ", ".join(sorted({*presets, *known}))
        raise ModelError(
            f"{name!r}: no model folder or preset; presets: {names}. A model of a hub is written "
            "ORG/NAME, and is fetched with --hub or hub = true in the recipe"
        )
    found = model.folder()
    if found is None:
        what = "" if name.partition("@")[0] in presets else "no folder or preset of this name; "
        raise ModelError(
            f"{name!r}: {what}as {model.hub_id} of the hub it is not on this machine. Allow one "
            "fetch with --hub (or hub = true in the recipe), or name a folder"
        )
    return found


def pinned(name: str, presets: Mapping[str, str]) -> str:
    """``name@COMMIT`` where it is a fetched model of a hub; any other name as it is."""
    model = hub_model(name, presets)
    if model is None or model.folder() is None:
        return name
    return f"{name.partition('@')[0]}@{model.chosen()}"


def fetch(name: str, presets: Mapping[str, str]) -> bool:
    """Fetch ``name`` if it is a hub's model that is not here whole; False if nothing was asked.

    Raises:
        ModelError: the hub does not give it, or what came is refused (see ``door``).
    """
    model = hub_model(name, presets)
    if model is None:
        return False
    here = model.folder()
    if here is not None and is_whole(here):
        return False
    commit = model.chosen() or commit_of(model.hub_id)
    target = model.root / commit
    partial = make_folder(target.with_name(f"{commit}.partial"))
    download(model.hub_id, commit, partial)
    for path in partial.iterdir():
        if path.is_dir():  # the library's own notes, and other forms of the model
            shutil.rmtree(path)
    try:
        check_folder(partial)
    except ModelError:
        shutil.rmtree(partial)
        raise
    _make_private(partial)
    write_manifest(partial)
    shutil.rmtree(target, ignore_errors=True)
    os.rename(partial, target)
    if model.commit is None:
        atomic_write_text(model.root / _CHOSEN, json.dumps({"commit": commit}) + "\n")
    return True


def commit_of(hub_id: str) -> str:
    """Ask the hub which commit is the newest of a model."""
    with _explained(hub_id):
        from huggingface_hub import HfApi

        return str(HfApi().model_info(hub_id).sha)


def download(hub_id: str, commit: str, folder: Path) -> None:
    """Fetch the files of one commit into ``folder``; what is there already is kept."""
    with _explained(hub_id):
        from huggingface_hub import snapshot_download

        snapshot_download(hub_id, revision=commit, local_dir=folder, allow_patterns=list(_PATTERNS))


@contextmanager
def _explained(hub_id: str) -> Iterator[None]:
    """Turn what the hub's library raises into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError("huggingface-hub", "models") from error
    except Exception as error:  # HTTP, sockets, the file system: they have no common root.
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise ModelError(
            f"cannot fetch {hub_id!r} from the hub ({type(error).__name__}); accept its terms "
            "there and log in, or name a local folder"
        ) from error


def _make_private(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(FOLDER_MODE if path.is_dir() else FILE_MODE)
