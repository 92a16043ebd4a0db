"""The file beside a student's weights: labels, attributes, settings, what an export needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notesmith.config.student import NerConfig
from notesmith.errors import ModelError
from notesmith.models.manifest import OURS
from notesmith.ner.attributes import Attribute
from notesmith.words import GRID

SETTINGS_FILE = OURS
ANNOTATORS_FILE = "notesmith-annotators.json"
"""In a folder of several annotators (``workflows.saved``), which is no student's."""
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Export:
    """What an exported model no longer says itself.

    ``pad`` is the token id that pads, ``max_positions`` the tokens that it can take at most (None:
    no limit).
    """

    pad: int
    max_positions: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a student's folder says of it; ``onnx`` where it is an export.

    ``votes`` is the number of students that stand in folders of their own and vote; 0 for one.
    ``grid`` is the version of the rules that make words (see ``words``): that of its training.
    """

    labels: tuple[str, ...]
    encoder: str
    config: NerConfig
    onnx: Export | None = None
    attributes: tuple[Attribute, ...] = ()
    grid: int = GRID
    votes: int = 0


def read_settings(folder: Path) -> Settings:
    """Read the settings of a student's folder.

    Raises:
        ModelError: the folder is not a student of this project or cannot be read.
    """
    path = folder / SETTINGS_FILE
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ModelError(f"{path}: is no file; remove it")
    try:
        values = json.loads(path.read_text("utf-8"))
        onnx = values.get("onnx")
        settings = Settings(
            labels=tuple(values["labels"]),
            encoder=str(values["encoder"]),
            config=NerConfig.model_validate(values["ner"]),
            onnx=Export(int(onnx["pad"]), onnx["max_positions"]) if onnx else None,
            attributes=tuple(
                Attribute(str(a["name"]), tuple(a["values"])) for a in values.get("attributes", ())
            ),
            votes=int(values.get("votes", 0)),
            grid=int(values.get("grid", 1)),
        )
        schema = values["schema"]
    except FileNotFoundError as error:
        if (folder / ANNOTATORS_FILE).exists():
            raise ModelError(
                f"{folder}: holds annotators, which label by notesmith annotate NOTES --model "
                f"{folder}; name a student's folder"
            ) from error
        what = f"not a notesmith model (no {SETTINGS_FILE})" if folder.exists() else "not found"
        raise ModelError(f"{folder}: {what}; name a folder that notesmith wrote") from error
    except NotADirectoryError as error:
        raise ModelError(
            f"{folder}: is a file, not a model; name a folder that notesmith wrote"
        ) from error
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise ModelError(f"{path}: damaged ({type(error).__name__})") from error
    if schema != SCHEMA:
        raise ModelError(
            f"{path}: schema {schema!r} is not {SCHEMA}; use the version it was made by"
        )
    if not 1 <= settings.grid <= GRID:
        raise ModelError(
            f"{path}: word grid {settings.grid} is not one of 1 to {GRID}; use the version it was "
            "made by"
        )
    return settings


def write_settings(settings: Settings, folder: Path) -> None:
    """Write ``settings`` into an unfinished folder (see ``atomic_folder``)."""
    values: Mapping[str, Any] = {
        "schema": SCHEMA,
        "labels": list(settings.labels),
        "encoder": settings.encoder,
        "ner": settings.config.model_dump(mode="json", exclude_none=True),
        "grid": settings.grid,
    }
    if settings.attributes:
        values = {**values, "attributes": [asdict(a) for a in settings.attributes]}
    if settings.votes:
        values = {**values, "votes": settings.votes}
    if settings.onnx is not None:
        onnx = {"pad": settings.onnx.pad, "max_positions": settings.onnx.max_positions}
        values = {**values, "onnx": onnx}
    (folder / SETTINGS_FILE).write_text(json.dumps(values, indent=1), "utf-8")
