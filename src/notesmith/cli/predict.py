"""``notesmith predict``: label documents or plain texts with a trained student."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from notesmith.cli.reading import IdField, TextField, reads_documents
from notesmith.cli.screen import say
from notesmith.cli.train import moving_line
from notesmith.config.corpus import ReadingConfig
from notesmith.errors import ConfigError

if TYPE_CHECKING:
    from notesmith.corpus.labelling import Output


@reads_documents(without=("label_map", "unknown"))
def predict(
    model: Annotated[
        Path, typer.Argument(help="Folder that notesmith train, run or export saved.")
    ],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="Plain texts (.txt, .text; --format text), JSON lines or Parquet of plain notes, "
            "or a corpus of any format.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="File to write: .parquet, .csv for rows of OMOP's table NOTE_NLP, any other for "
            "JSON lines.",
        ),
    ],
    options: ReadingConfig,
    text_field: TextField = None,
    id_field: IdField = None,
    thresholds: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="LABEL=T",
            help="Least score (0 to 1) at which mentions of a label count; repeatable.",
        ),
    ] = None,
    scores: Annotated[
        bool, typer.Option("--scores", help="Write each mention's score as attribute score=0.9312.")
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the mentions of INPUT, and add those that are found."),
    ] = False,
) -> None:
    """Find entities in documents or plain texts.

    Every note of a folder is labelled, or the command fails and names the files that it would not
    read. The texts stay as they are. Labels of the input are ignored, or kept with --keep, which
    puts the mentions of several students together. Texts, JSON lines (.gz and .xz too) and Parquet
    are read and written as a stream. After a kill the same command goes on where it stopped.
    """
    from notesmith.cli.process import keep_few_kernels

    keep_few_kernels()
    from notesmith.corpus.formats import note_nlp
    from notesmith.corpus.formats.json_values import NoteFields
    from notesmith.corpus.labelling import Output, keeping, label_notes
    from notesmith.corpus.notes import find_notes, survey
    from notesmith.errors import FileError, shown_name
    from notesmith.files.write import must_be_new
    from notesmith.ner.decode import Decision
    from notesmith.ner.student import load_student

    decision = Decision(parse_thresholds(thresholds or ()), scores)
    is_note_nlp = Output(out, "", ()).is_note_nlp
    if scores and out.suffix.lower() == ".parquet":
        raise ConfigError("--scores: Parquet has no place for them; end --out in .jsonl")
    if out.exists() and source.exists() and out.samefile(source):
        raise FileError(f"{out}: is the input; name another file with --out")
    must_be_new(out)
    fields = NoteFields(text_field, id_field)
    notes = find_notes(source, options, fields=fields)
    if is_note_nlp:
        notes = note_nlp.with_integer_ids(notes)
    student = load_student(model)
    decision.check(student.labels)
    Output(out, "", student.labels)
    with moving_line() as on_progress:
        found = survey(notes, options, on_progress=on_progress)
        for label, n in sorted(found.labels.items()):
            if label not in student.labels and not keep:
                known = f"{n} of label {shown_name(label)}, which the model does not know"
                say(f"{source.name}: {known}", err=True)
        for what, n in sorted(found.counts.items()):
            say(f"{source.name}: {n:,} {what}", err=True)
        key = _key(model, found.digest, thresholds or (), scores, keep)
        labels = tuple(dict.fromkeys((*student.labels, *(found.labels if keep else ()))))
        output = Output(out, key, labels)
        find = partial(student.predict, decision=decision)
        try:
            done = label_notes(
                notes,
                found,
                keeping(find) if keep else find,
                output,
                on_progress=on_progress,
            )
        except KeyboardInterrupt:
            say(f"notesmith: interrupted; {_kept(output)}", err=True)
            raise typer.Exit(130) from None
    for what, n in sorted(done.lost.items()):
        if n:
            say(f"{out.name}: {n:,} {what}", err=True)
    resumed = f", {done.n_resumed} of them done before" if done.n_resumed else ""
    say(f"{out}: {done.n_entities} entities in {done.n_docs} documents{resumed}")


def _kept(output: Output) -> str:
    return f"what is done is in {output.part}, and the same command goes on with it"


def parse_thresholds(values: Sequence[str]) -> dict[str, float]:
    """``LABEL=T`` options as a mapping.

    Raises:
        ConfigError: one is not written so.
    """
    found: dict[str, float] = {}
    for value in values:
        label, _, number = value.rpartition("=")
        try:
            found[label] = float(number)
        except ValueError:
            label = ""
        if not label:
            raise ConfigError(f"--threshold {value!r}: write it as LABEL=0.8")
    return found


def _key(model: Path, digest: str, thresholds: Sequence[str], scores: bool, keep: bool) -> str:
    """A hash of what makes the output: notes, weights, options and version."""
    from notesmith import __version__
    from notesmith.files.checksums import hash_file

    weights = [
        [file.name, hash_file(file)]
        for file in sorted(model.iterdir())
        if file.suffix in (".safetensors", ".onnx", ".data", ".json")
    ]
    identity = [__version__, digest, weights, sorted(thresholds), scores, keep]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
