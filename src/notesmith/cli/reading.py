"""The options of every command that reads documents, added by one decorator."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from notesmith.cli.screen import say
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import NAMES
from notesmith.corpus.reading import CorpusRead, check_named, read_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError

# The heading below which help lists these options, after those of the command itself.
PANEL = "How the documents are read"


def _option(*names: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, **settings)


Format = Annotated[
    str | None,
    _option("--format", help=f"Format read ({', '.join(NAMES)}); recognised if not given."),
]
LabelMap = Annotated[
    list[str] | None,
    _option(
        "--label-map",
        metavar="OLD=NEW",
        help="Rename a label; OLD= drops it, *=NEW renames all others; repeatable.",
    ),
]
Problems = Annotated[
    Literal["raise", "count"],
    _option("--on-problem", help="Stop at the first bad record, or drop and count it."),
]
Scheme = Annotated[
    Literal["iob1", "iob2", "bioes"] | None,
    _option("--tags", help="Tag scheme of CoNLL; recognised if not given."),
]
Metadata = Annotated[
    Path | None,
    typer.Option("--metadata", help="Table (CSV or TSV) with columns id, patient, kind …"),
]
PatientFrom = Annotated[
    str | None,
    typer.Option(
        "--patient-from",
        metavar="REGEX",
        help="Regular expression whose first group in a document's id is the patient.",
    ),
]
TextField = Annotated[
    str | None,
    typer.Option(help="Field or column of the text, in notes that another program wrote."),
]
IdField = Annotated[
    str | None, typer.Option(help="Field or column of the id, in notes of another program.")
]
TokenColumn = Annotated[int, _option(help="Column of the token in CoNLL, from 0.")]
TagColumn = Annotated[int, _option(help="Column of the tag in CoNLL; -1 is the last.")]
Layer = Annotated[
    str | None, _option(help="INCEpTION's layer of mentions; recognised if not given.")
]
Feature = Annotated[
    str | None,
    _option(help="Feature (INCEpTION), infon (BioC) or column (tables) that is the label."),
]
Annotator = Annotated[
    str | None,
    _option(help="Annotator to read, where a file has several (Label Studio, Prodigy)."),
]
Predictions = Annotated[
    bool, _option("--predictions", help="Read machine-made labels (Label Studio).")
]
Tasks = Annotated[
    Path | None,
    _option(help="File with the texts, where labels come without them (Label Studio)."),
]
TextKey = Annotated[
    str | None,
    _option(
        metavar="FIELD",
        help="Field of a task that holds the text, or TAG=FIELD to read one of several "
        "(Label Studio).",
    ),
]
Documents = Annotated[
    Literal["marked", "file", "sentence"] | None,
    _option(help="What is a document in CoNLL: as marked, each file, or each sentence."),
]
Encoding = Annotated[str, _option(help="Encoding of text files, such as cp1252.")]
Ignore = Annotated[
    list[str] | None,
    _option(metavar="PATTERN", help="Files of a folder to leave out, such as '*.log'; repeatable."),
]
WithoutMentions = Annotated[
    bool, _option("--without-mentions", help="The corpus is meant to have no mention.")
]
Unknown = Annotated[
    list[str] | None,
    _option(
        metavar="LABEL",
        help="In documents without a mention of LABEL it is unknown, not absent; repeatable.",
    ),
]

READING: dict[str, Any] = {
    "format": Format,
    "label_map": LabelMap,
    "on_problem": Problems,
    "tags": Scheme,
    "token_column": TokenColumn,
    "tag_column": TagColumn,
    "layer": Layer,
    "feature": Feature,
    "annotator": Annotator,
    "predictions": Predictions,
    "tasks": Tasks,
    "text_key": TextKey,
    "documents": Documents,
    "encoding": Encoding,
    "ignore": Ignore,
    "without_mentions": WithoutMentions,
    "unknown": Unknown,
}
"""The annotation of each option by the name of its parameter: a field of ``ReadingConfig``."""

_LISTS = ("label_map", "ignore", "unknown")


def reads_documents(
    *, without: tuple[str, ...] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the parameter ``options`` of a command by the options that make a ``ReadingConfig``.

    Typer builds options from a signature, so the command gets a signature that has one parameter
    for each of ``READING`` where ``options`` stood, but for those named in ``without``.
    """
    fields = ReadingConfig.model_fields
    reading = {
        name: (annotation, None if name in _LISTS else fields[name].default)
        for name, annotation in READING.items()
        if name not in without
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        parameters: list[Parameter] = []
        for name, old in signature(command).parameters.items():
            new = reading if name == "options" else {name: (hints[name], old.default)}
            parameters += (
                Parameter(each, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                for each, (annotation, default) in new.items()
            )

        @wraps(command)
        def with_options(**values: Any) -> None:
            asked = {name: values.pop(name) for name in reading}
            if "label_map" in asked:
                asked["label_map"] = parse_label_map(asked["label_map"])
            for name in ("ignore", "unknown"):
                if name in asked:
                    asked[name] = tuple(asked[name] or ())
            if asked["tasks"] is not None:
                asked["tasks"] = str(asked["tasks"])
            command(**values, options=ReadingConfig(**asked))

        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        with_options.__annotations__["return"] = None
        with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return with_options

    return decorate


def read_saying(
    path: Path, options: ReadingConfig, *, expect_mentions: bool = True
) -> list[Document]:
    """The documents of ``path``; what reading dropped or noticed is printed to stderr.

    ``expect_mentions`` is as in ``read_corpus``.

    Raises:
        ConfigError: ``options`` name a label that no document has.
    """
    found = read_counting(path, options, expect_mentions=expect_mentions)
    check_named(options, [found])
    return found.docs


def read_counting(
    path: Path, options: ReadingConfig, *, expect_mentions: bool = True
) -> CorpusRead:
    """As ``read_saying``, for one of several corpora that ``check_named`` looks at together."""
    found = read_corpus(path, options, expect_mentions=expect_mentions)
    for what, n in found.counts.items():
        say(f"{path.name}: {n:,} {what}", err=True)
    return found


def parse_label_map(pairs: list[str] | None) -> dict[str, str]:
    """The label map that ``OLD=NEW`` arguments describe.

    Raises:
        ConfigError: one has no ``=`` or no old label, or an old label stands twice.
    """
    label_map: dict[str, str] = {}
    for pair in pairs or []:
        old, sign, new = pair.partition("=")
        if not sign or not old or old in label_map:
            raise ConfigError(f"--label-map {pair!r}: write OLD=NEW, each OLD once")
        label_map[old] = new
    return label_map
