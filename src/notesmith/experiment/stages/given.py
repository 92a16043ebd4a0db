"""The stage of a given generator: one that was tuned before and saved, with all it needs to write.

A saved generator is a model folder that transformers and ``load_lm`` load, and in it one more file
with its labels, the settings of its prompts and the names that it asks for.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from notesmith.config.fields import Config
from notesmith.config.generator import SteeringConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.errors import FileError, ModelError
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, NoConfig, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.files.checksums import CHECKSUM, dumps_checked, loads_checked
from notesmith.files.write import atomic_folder, make_folder, read_regular, write_part
from notesmith.lm.folder import Card
from notesmith.models.door import check_folder
from notesmith.models.manifest import (
    MANIFEST,
    check_manifest,
    fingerprint,
    names_in,
    write_manifest,
)
from notesmith.results import Model
from notesmith.synthesis.names import NameSet

ABOUT = "notesmith-generator.json"
_TABLES: Mapping[str, Any] = {
    "corpus": {"kind", "label_descriptions"},
    "sft": True,
    "synthesize": True,
    "sample": True,
    "filter": True,
}
_README = """\
---
license: other
tags: [notesmith]
---

# A generator of labelled clinical text

**Guard this folder as you guard the notes.** The model was tuned on labelled notes and may have
learnt parts of them by heart; whoever has it can make it write. `{about}` holds names that it asks
for. Delete this folder when the notes must be deleted.

- Base model: {name}, licence {licence}{terms}.
- Tuned on {n_documents} labelled documents{rewarded}, seed {seed}. Labels: {labels}.
- It writes by `notesmith synthesize GOLD --generator FOLDER --seed N --out more.jsonl`.
- Not for clinical use. Privacy was not tested.
"""


class Measured(Metrics):
    """Names that it asks for, and the model."""

    names: int
    lm: Model


class Generator(Config):
    """What a saved generator's file says of it.

    ``gold`` is a hash of the documents it was tuned on, ``seed`` the root of all seeds then, and
    ``tables`` what the recipe said of prompts, requests, sampling and filters.
    """

    version: Literal[1] = 1
    labels: tuple[str, ...]
    gold: str
    n_documents: int
    seed: int
    is_rewarded: bool
    model: str
    tables: dict[str, dict[str, Any]]
    names: dict[str, Any]


def tables_of(config: RecipeConfig) -> dict[str, dict[str, Any]]:
    """What of a recipe goes with its generator, beside what is at its default.

    Files of names and what requests were steered to stay behind: they are of one command.
    """
    tables: dict[str, dict[str, Any]] = config.model_dump(
        mode="json", include=dict(_TABLES), exclude_none=True, exclude_defaults=True
    )
    asked = tables.get("synthesize", {})
    for name in (*SteeringConfig.model_fields, "concepts"):
        asked.pop(name, None)
    asked.get("names", {}).pop("term_lists", None)
    return tables


def read_generator(folder: Path) -> Generator:
    """What is said of the generator in ``folder``, whose files are seen to be whole.

    Raises:
        ModelError: it is no saved generator, or damaged.
    """
    if not folder.is_dir() or not (folder / ABOUT).exists():
        raise ModelError(
            f"{folder}: no saved generator (no {ABOUT}); notesmith synthesize --save-generator "
            "makes one"
        )
    check_manifest(folder, remedy="copy it anew")
    check_folder(folder)
    try:
        value = loads_checked(read_regular(folder / ABOUT)) or {}
        value.pop(CHECKSUM, None)
        found = Generator.model_validate(value)
        NameSet.from_json(found.names)
    except (FileError, ValidationError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder / ABOUT}: damaged, or of another version of notesmith "
            f"({type(error).__name__}); copy the folder anew, or make it again with "
            "--save-generator"
        ) from None
    return found


def save_generator(model: Path, about: Generator, folder: Path) -> None:
    """Write the tuned ``model`` (a folder) and what is said of it as ``folder``, whole or not.

    Raises:
        FileError: something is there, or it cannot be written.
    """
    with atomic_folder(folder) as temporary:
        _copy(model, temporary)
        card = Card.read(temporary)
        write_part(temporary / ABOUT, dumps_checked(about.model_dump(mode="json")))
        said = _README.format(
            about=ABOUT,
            name=card.name,
            licence=card.licence,
            terms=f" ({card.terms})" if card.terms else "",
            n_documents=about.n_documents,
            rewarded=", then by rewards" if about.is_rewarded else "",
            seed=about.seed,
            labels=", ".join(about.labels),
        )
        write_part(temporary / "README.md", said)
        write_manifest(temporary)


def cell(draw: Draw, folder: Path) -> Cell:
    """The generator in ``folder``, taken into the store."""
    return draw.cell(
        STAGE, NoConfig(), inputs={}, fingerprints={"generator": fingerprint(folder)}, seed=0
    )


def run(work: Work[NoConfig]) -> Measured:
    """Copy the generator, so that what becomes of its folder changes nothing here."""
    folder = work.context.generator
    if folder is None:
        raise ModelError("no generator was given")
    about = read_generator(folder)
    model = make_folder(work.out / files.MODEL)
    _copy(folder, model)
    shutil.copyfile(folder / MANIFEST, model / MANIFEST)
    names = NameSet.from_json(about.names)
    files.save_names(names, work.out)
    card = Card.read(model)
    return Measured(
        names=sum(len(found) for found in names.names.values()),
        lm=Model(name=card.name, licence=card.licence, terms=card.terms),
    )


def _copy(folder: Path, to: Path) -> None:
    """Copy what the list of a model folder's files has, but not the list."""
    for name in sorted(names_in(folder)):
        make_folder((to / name).parent)
        shutil.copyfile(folder / name, to / name)


STAGE = Stage("given", version=1, config=NoConfig, metrics=Measured, run=run)
