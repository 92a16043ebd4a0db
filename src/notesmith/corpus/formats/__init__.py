"""The table of formats: a further one is one file and one line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import (
    bioc,
    bioc_files,
    bioc_write,
    brat,
    brat_write,
    conll,
    docbin,
    gliner,
    hf_tokens,
    i2b2_2010,
    i2b2_xml,
    inline,
    jsonl,
    label_studio,
    label_studio_write,
    offsets,
    parquet,
    prodigy,
    prodigy_write,
    pubtator,
    spacy_tuples,
    table_files,
    tables,
    uima,
    uima_write,
)
from notesmith.corpus.formats.json_records import LINES, layout_of_file
from notesmith.corpus.problems import Tally
from notesmith.document import Document


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read: its path, its corpus folder, its beginning, and the reader's options.

    ``alone`` is a file that was named itself rather than found in a folder.
    """

    path: Path
    root: Path
    head: str
    options: ReadingConfig = field(default_factory=ReadingConfig)
    alone: bool = False

    @property
    def stem(self) -> str:
        """Path below the corpus folder, without suffix: the id of a document that names none."""
        return self.path.relative_to(self.root).with_suffix("").as_posix()


def _tasks(source: Source) -> Path | None:
    return None if source.options.tasks is None else Path(source.options.tasks)


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is recognised, read and written.

    ``claims`` looks at name and beginning of a file: whether it holds what only this format has.
    ``read`` gives its documents (None: the format is written only). ``write`` puts documents to a
    path (a file, or a folder where ``is_folder``) and returns counts of what the format cannot
    hold. ``suffix`` is that of its files where it is not the name. ``companions`` are names or
    patterns of files that its tools keep beside the notes and that hold no labels.
    """

    name: str
    claims: Callable[[Source], bool]
    read: Callable[[Source, Tally], Iterable[Document]]
    write: Callable[[Sequence[Document], Path], Counter[str]]
    is_folder: bool = False
    suffix: str = ""
    read_each: Callable[[Source, Tally], Mapping[str, list[Document]]] | None = None
    read_truth: Callable[[Source, Tally], Iterable[Document]] | None = None
    companions: tuple[str, ...] = ()

    def path(self, folder: Path, name: str) -> Path:
        """Where a corpus of this ``name`` is written in ``folder``."""
        return folder / (name if self.is_folder else f"{name}{self.suffix or '.' + self.name}")


FORMATS: Mapping[str, Format] = {
    fmt.name: fmt
    for fmt in (
        Format(
            "jsonl",
            lambda source: (
                source.path.name.lower().endswith(LINES)
                and layout_of_file(source.path) in ("jsonl", None)
            ),
            lambda source, tally: jsonl.read(source.path, tally),
            jsonl.write,
        ),
        Format(
            "inline",
            lambda source: source.path.suffix == ".txt" and inline.claims(source.head),
            lambda source, tally: inline.read(source.path, source.stem, tally),
            inline.write,
            is_folder=True,
        ),
        Format(
            "brat",
            lambda source: brat.claims(source.path),
            lambda source, tally: brat.read(source.path, source.stem, tally, alone=source.alone),
            brat_write.write,
            is_folder=True,
            companions=("*.conf",),
        ),
        Format(
            "conll",
            lambda source: (
                conll.claims(source.path, source.head, conll.columns_of(source.options))
                and not table_files.is_mentions(source.head)
            ),
            lambda source, tally: conll.read(
                source.path,
                source.stem,
                tally,
                columns=conll.columns_of(source.options),
                documents=source.options.documents,
                alone=source.alone,
            ),
            conll.write,
            companions=("labels.txt",),
        ),
        Format(
            "pubtator",
            lambda source: pubtator.claims(source.head),
            lambda source, tally: pubtator.read(source.path, tally),
            pubtator.write,
        ),
        Format(
            "bioc-xml",
            lambda source: bioc_files.claims_xml(source.head),
            lambda source, tally: bioc.read_xml(source.path, tally, feature=source.options.feature),
            bioc_write.write_xml,
            suffix=".xml",
        ),
        Format(
            "bioc-json",
            lambda source: bioc_files.claims_json(source.path, source.head),
            lambda source, tally: bioc.read_json(
                source.path, tally, feature=source.options.feature
            ),
            bioc_write.write_json,
            suffix=".json",
        ),
        Format(
            "label-studio",
            lambda source: label_studio.claims(source.path, source.head),
            lambda source, tally: label_studio.read(
                source.path,
                tally,
                annotator=source.options.annotator,
                predictions=source.options.predictions,
                tasks=_tasks(source),
                text_key=source.options.text_key,
            ),
            label_studio_write.write,
            suffix=".json",
            read_each=lambda source, tally: label_studio.read_each(
                source.path, tally, tasks=_tasks(source), text_key=source.options.text_key
            ),
            read_truth=lambda source, tally: label_studio.read_truth(
                source.path, tally, tasks=_tasks(source), text_key=source.options.text_key
            ),
            companions=("*labeling-config.xml",),
        ),
        Format(
            "prodigy",
            lambda source: layout_of_file(source.path) == "prodigy",
            lambda source, tally: prodigy.read(
                source.path, source.stem, tally, annotator=source.options.annotator
            ),
            prodigy_write.write,
            suffix=".jsonl",
            read_each=lambda source, tally: prodigy.read_each(source.path, source.stem, tally),
        ),
        Format(
            "i2b2-2010",
            lambda source: i2b2_2010.claims(source.path, source.head),
            lambda source, tally: i2b2_2010.read(
                source.path, source.stem, tally, alone=source.alone
            ),
            i2b2_2010.write,
            is_folder=True,
        ),
        Format(
            "i2b2-xml",
            lambda source: i2b2_xml.claims(source.path, source.head),
            lambda source, tally: i2b2_xml.read(source.path, source.stem, tally),
            i2b2_xml.write,
            is_folder=True,
        ),
        Format(
            "uima",
            lambda source: uima.claims(source.path, source.head),
            lambda source, tally: uima.read(
                source.path,
                source.stem,
                tally,
                layer=source.options.layer,
                feature=source.options.feature,
            ),
            uima_write.write,
            is_folder=True,
            # Those of an export of INCEpTION, which holds every document once more as imported.
            companions=(
                *("TypeSystem.xml", "INITIAL_CAS.*", "exportedproject*.json", "event.log", "*.ser"),
                "source/*",
            ),
        ),
        Format(
            "docbin",
            lambda source: docbin.claims(source.path),
            lambda source, tally: docbin.read(source.path, source.stem, tally),
            docbin.write,
            suffix=".spacy",
        ),
        Format(
            "parquet",
            lambda source: parquet.claims(source.path),
            lambda source, tally: parquet.read(source.path, source.stem, tally),
            parquet.write,
            companions=("_SUCCESS", "_metadata", "_common_metadata", "dataset_info*.json"),
        ),
        Format(
            "table",
            lambda source: tables.claims(source.path, source.root, source.head, alone=source.alone),
            lambda source, tally: tables.read(
                source.path,
                source.root,
                tally,
                tasks=_tasks(source),
                label=source.options.feature,
                alone=source.alone,
            ),
            tables.write,
            is_folder=True,
        ),
        Format(
            "doccano",
            lambda source: layout_of_file(source.path) == "doccano",
            lambda source, tally: offsets.read(source.path, source.stem, tally),
            offsets.write_doccano,
            suffix=".jsonl",
        ),
        Format(
            "offsets",
            lambda source: layout_of_file(source.path) == "offsets",
            lambda source, tally: offsets.read(source.path, source.stem, tally),
            offsets.write,
            suffix=".jsonl",
        ),
        Format(
            "spacy-tuples",
            lambda source: layout_of_file(source.path) == "spacy-tuples",
            lambda source, tally: spacy_tuples.read(source.path, source.stem, tally),
            spacy_tuples.write,
            suffix=".json",
        ),
        Format(
            "hf-tokens",
            lambda source: layout_of_file(source.path) == "hf-tokens",
            lambda source, tally: hf_tokens.read(
                source.path, source.stem, tally, scheme=source.options.tags
            ),
            hf_tokens.write,
            suffix=".jsonl",
        ),
        Format(
            "gliner",
            lambda source: layout_of_file(source.path) == "gliner",
            lambda source, tally: gliner.read(source.path, source.stem, tally),
            gliner.write,
            suffix=".json",
        ),
    )
}
NAMES = tuple(FORMATS)
"""Names of the formats; each is read and written."""
