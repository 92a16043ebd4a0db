"""``notesmith predict``: label documents or plain texts with a trained student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli.train import moving_line

if TYPE_CHECKING:
    from notesmith.document import Document


def predict(
    model: Annotated[Path, typer.Argument(help="Folder that notesmith train or run saved.")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT", help="Corpus of any format, or .txt file(s) of plain text."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="File of JSON lines to write.")],
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="Format of the input, 'text' for plain; found if not given."),
    ] = None,
) -> None:
    """Find entities. The texts stay as they are; labels that the input has are not looked at."""
    from notesmith.corpus import write_corpus

    docs = read_input(source, file_format)
    from notesmith.ner import load_ner

    student = load_ner(model)
    for label, n in sorted(student.count_unknown(docs).items()):
        typer.echo(f"{source.name}: {n} of label {label}, which the model does not know", err=True)
    with moving_line() as on_progress:
        predicted = student.predict(docs, on_progress=on_progress)
    write_corpus(predicted, out)
    n_entities = sum(len(doc.entities) for doc in predicted)
    typer.echo(f"{out}: {n_entities} entities in {len(predicted)} documents")


def read_input(path: Path, file_format: str | None) -> Sequence[Document]:
    """Documents of a corpus, or of ``.txt`` files that are of no corpus format.

    Raises:
        CorpusError: nothing is there, or it cannot be read.
    """
    from notesmith.corpus import FORMATS, read_corpus
    from notesmith.corpus.formats import Source
    from notesmith.corpus.problems import Tally, read_text
    from notesmith.document import Document
    from notesmith.errors import CorpusError

    root = path if path.is_dir() else path.parent
    files = sorted(path.rglob("*.txt")) if path.is_dir() else [path] * (path.suffix == ".txt")
    tally = Tally("raise")
    texts: dict[Path, str] = {}
    if file_format in (None, "text"):
        texts = {file: read_text(file, tally) or "" for file in files if file.is_file()}
    if file_format is None:
        heads = [Source(file, root, text[:4096]) for file, text in texts.items()]
        if any(fmt.claims(head) for head in heads for fmt in FORMATS.values()):
            texts = {}
    if texts:
        return [
            Document(file.relative_to(root).with_suffix("").as_posix(), text)
            for file, text in texts.items()
        ]
    if file_format == "text":
        raise CorpusError(f"{path}: holds no .txt file")
    return read_corpus(path, format=file_format).docs
