"""Parquet as Hugging Face keeps token classification: a document or sentence a row, IOB tags.

Columns are ``tokens`` and ``ner_tags``, and ``id`` if there is one. Tags are strings, or numbers
whose names stand in the schema's metadata (key ``huggingface``, a ``ClassLabel`` feature), where
``datasets`` keeps them. Text is the column ``text``, in which tokens are found by ``offsets``
(``[start, end)`` of each, in code points) or in order; without it tokens are joined as ``spaces``
says, else by spaces. Written are ``text`` and ``offsets`` too, so that nothing moves. A message
names a place as ``FILE:ROW:TOKEN``, counted from 0 as ``datasets`` does.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from notesmith.corpus.formats import conll, iob
from notesmith.corpus.formats.parquet_bounds import check
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Span
from notesmith.errors import ConfigError, CorpusError, OffsetError, shown_doc, shown_name
from notesmith.files.read import Budget, read_bytes
from notesmith.files.write import atomic_file

SUFFIX = ".parquet"
TAGS = "ner_tags"
_ROW_GROUP = 1000
_NAME_THEM = (
    "cast it to a ClassLabel with datasets (cast_column) and write the file anew, "
    "or give the tags as strings"
)


def claims(path: Path) -> bool:
    """Whether ``path`` is a Parquet file by its name."""
    return path.suffix.lower() == SUFFIX


@dataclass(frozen=True, slots=True)
class _Row:
    """One row: its number, its document's id, and its tokens with their places in the text."""

    number: int
    id: str
    text: str
    offsets: list[Span]
    tokens: list[iob.Token]
    spaced: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a file that are known, and the names of its tags if they are numbers."""

    columns: Mapping[str, Any]
    names: Sequence[str] | None
    n_rows: int

    def value(self, name: str, row: int) -> Any:
        """A cell; None where it is null or there is no such column."""
        try:
            return self.columns[name][row].as_py() if name in self.columns else None
        except UnicodeDecodeError:
            raise CorpusError(f"column {name} is not UTF-8; write the file anew") from None

    def values(self, name: str, row: int) -> list[Any]:
        """A cell that is a list without nulls."""
        values = self.value(name, row)
        if not isinstance(values, list) or any(value is None for value in values):
            raise CorpusError(f"column {name} is null or holds a null; fill it")
        return values


def read(path: Path, stem: str, tally: Tally) -> Iterator[Document]:
    """Read the documents of one file; rows without an id of their own are named after ``stem``."""
    with tally.dropping("file", str(path)):
        rows = list(_rows(path, stem, _table(path), tally))
        scheme = iob.recognise(row.tokens for row in rows)
        tally.note(f"files with {scheme.upper()} tags")
        for row in rows:
            where = f"{path}:{row.number}"
            with tally.dropping("document", f"{where}: {shown_doc(row.id)}"):
                entities: list[Entity] = []
                for first, last in iob.mentions(row.tokens, scheme, row.id, where, tally):
                    span = (row.offsets[first][0], row.offsets[last][1])
                    name = f"T{len(entities) + 1}"
                    entities.append(Entity(name, row.tokens[first].label, (span,)))
                metadata = {conll.TOKENS: "spaces"} if row.spaced else {}
                yield Document(row.id, row.text, tuple(entities), metadata=metadata)


def _table(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    data = read_bytes(path)
    try:
        source = pa.BufferReader(data)
        file = ParquetFile(source)
        schema = file.schema_arrow
        names = _names(schema) if _check_types(schema) else None
        known = ["id", "tokens", TAGS, "text", "offsets", "spaces"]
        known = [name for name in known if name in schema.names]
        check(source, file, known, Budget.unpacking("", len(data)))
        table = file.read(columns=known)
        # A cell of one array is found at once.
        columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    except CorpusError:
        raise
    except unreadable_errors() as error:
        raise unreadable(error) from None
    return Table(columns, names, table.num_rows)


def unreadable_errors() -> tuple[type[Exception], ...]:
    """What pyarrow raises for a file that it cannot read."""
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def unreadable(error: Exception) -> CorpusError:
    """What to say of a file that pyarrow cannot read."""
    return CorpusError(
        f"not Parquet that can be read ({type(error).__name__}); is the file cut off?"
    )


def _check_types(schema: Any) -> bool:
    """Whether tags are numbers.

    Raises:
        CorpusError: a column is absent or of another type.
    """
    from pyarrow.types import is_integer

    tokens, tags = _element(schema, "tokens"), _element(schema, TAGS)
    if _is_text(tokens) and (_is_text(tags) or (tags is not None and is_integer(tags))):
        return not _is_text(tags)
    raise CorpusError(
        "no token classification: it needs columns tokens (list of strings) and "
        f"{TAGS} (list of numbers or strings) and has "
        f"{', '.join(map(shown_name, schema.names[:20]))}; "
        "rename or convert the columns"
    )


def _element(schema: Any, name: str) -> Any:
    """The type of a list column's values, None if there is no such column."""
    from pyarrow.types import is_fixed_size_list, is_large_list, is_list

    kind = schema.field(name).type if schema.names.count(name) == 1 else None
    if kind is None or not (is_list(kind) or is_large_list(kind) or is_fixed_size_list(kind)):
        return None
    return kind.value_type


def _is_text(kind: Any) -> bool:
    from pyarrow.types import is_dictionary, is_large_string, is_string, is_string_view

    if kind is not None and is_dictionary(kind):
        kind = kind.value_type
    return kind is not None and any(
        is_(kind) for is_ in (is_string, is_large_string, is_string_view)
    )


def _names(schema: Any) -> list[str]:
    """The tags that the numbers of ``ner_tags`` stand for."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][TAGS]
        # Of old, a list; then a Sequence, now a List.
        names = (feature[0] if isinstance(feature, list) else feature["feature"])["names"]
    except (KeyError, IndexError, TypeError, ValueError, RecursionError):
        raise CorpusError(
            f"column {TAGS} holds numbers and the file does not name them; {_NAME_THEM}"
        ) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CorpusError(f"the names of {TAGS} are no list of strings; {_NAME_THEM}")
    for name in names:
        if not iob.is_tag(name):
            raise CorpusError(
                f"the tag name {shown_name(name)} is not O, B-LABEL, I-LABEL …; rename the "
                f"ClassLabel's names with datasets and write the file anew"
            )
    return names


def _rows(path: Path, stem: str, table: Table, tally: Tally) -> Iterator[_Row]:
    for number, doc_id in _ids(path, stem, table, tally).items():
        with tally.dropping("document", f"{path}:{number}: {shown_doc(doc_id)}"):
            texts, tags = table.values("tokens", number), table.values(TAGS, number)
            if len(texts) != len(tags):
                raise CorpusError(f"{len(texts)} tokens but {len(tags)} tags; give each token one")
            if table.names is not None:
                tags = [_name(table.names, at, tag) for at, tag in enumerate(tags)]
            tokens = [_token(at, *pair) for at, pair in enumerate(zip(texts, tags, strict=True))]
            text, offsets = layout(table, number, texts)
            spaced = not {"text", "spaces"} & table.columns.keys()
            spaced = spaced and not any(map(str.isspace, "".join(texts)))
            yield _Row(number, doc_id, text, offsets, tokens, spaced)


def _ids(path: Path, stem: str, table: Table, tally: Tally) -> dict[int, str]:
    """The document id of each row by its number."""
    rows = range(table.n_rows)
    ids: dict[int, str] = {}
    for number in rows if "id" in table.columns else ():
        with tally.dropping("document", f"{path}:{number}"):
            value = table.value("id", number)
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise CorpusError("id is no string and no number; name the document")
            ids[number] = str(value)
    # Numbers of rows, which begin anew in every split, name no document.
    counted = "text" not in table.columns and list(ids.values()) == [str(n) for n in rows]
    if "id" not in table.columns or counted:
        return {number: f"{stem}-{number}" for number in rows}
    return ids


def _name(names: Sequence[str], at: int, tag: int) -> str:
    if not 0 <= tag < len(names):
        raise CorpusError(
            f"token {at}: tag {tag} is not one of the {len(names)} that the file names; correct it"
        )
    return names[tag]


def _token(number: int, text: str, tag: str) -> iob.Token:
    if not iob.is_tag(tag):
        raise CorpusError(
            f"token {number}: the tag is not O, B-LABEL, I-LABEL …; correct it, or name the tags "
            "with a ClassLabel"
        )
    return iob.tagged(number, text, tag)


def layout(table: Table, row: int, tokens: Sequence[str]) -> tuple[str, list[Span]]:
    """The text and where its tokens stand."""
    offsets, spaces = (
        None if table.value(name, row) is None else table.values(name, row)
        for name in ("offsets", "spaces")
    )
    return placed(tokens, table.value("text", row), offsets, spaces)


def placed(
    tokens: Sequence[str], text: object, offsets: object, spaces: object
) -> tuple[str, list[Span]]:
    """The text and where ``tokens`` stand in it, from what a row says of that (or None).

    Raises:
        CorpusError: the values are of other types, or do not fit the tokens.
    """
    if text is None:
        return _joined(tokens, _spaces(spaces, len(tokens)))
    if not isinstance(text, str):
        raise CorpusError("column text is no string; convert it")
    if offsets is None:
        return text, _found(text, tokens)
    if not isinstance(offsets, list):
        raise CorpusError("column offsets is no list; convert it")
    spans = [_span(pair) for pair in offsets]
    if len(spans) != len(tokens):
        raise CorpusError(f"{len(tokens)} tokens but {len(spans)} offsets; give each token one")
    for at, ((start, end), token) in enumerate(zip(spans, tokens, strict=True)):
        if not 0 <= start <= end <= len(text) or text[start:end] != token:
            raise OffsetError(
                f"token {at} [{start}, {end}) is not what stands there in the text of "
                f"{len(text)} characters; correct the offsets (code points, end exclusive)"
            )
    return text, spans


def _span(pair: object) -> Span:
    if isinstance(pair, list) and len(pair) == 2 and all(type(at) is int for at in pair):
        return (pair[0], pair[1])
    raise CorpusError("an offset must be [start, end]; correct the column offsets")


def _spaces(spaces: object, n: int) -> list[bool]:
    """Whether a space follows each of ``n`` tokens."""
    if spaces is None:
        return [True] * (n - 1) + [False] * bool(n)
    if (
        not isinstance(spaces, list)
        or len(spaces) != n
        or not all(isinstance(value, bool) for value in spaces)
    ):
        raise CorpusError(f"column spaces must hold true or false for each of {n} tokens")
    return spaces


def _joined(tokens: Sequence[str], spaces: Sequence[bool]) -> tuple[str, list[Span]]:
    parts: list[str] = []
    offsets: list[Span] = []
    at = 0
    for token, space in zip(tokens, spaces, strict=True):
        offsets.append((at, at + len(token)))
        parts += [token, " " * space]
        at += len(token) + space
    return "".join(parts), offsets


def _found(text: str, tokens: Sequence[str]) -> list[Span]:
    """Where ``tokens`` stand one after another, with nothing but white space between."""
    offsets: list[Span] = []
    at = 0
    for number, token in enumerate(tokens):
        while not text.startswith(token, at):
            if not text[at : at + 1].isspace():
                raise OffsetError(
                    f"token {number} is not what stands at {at} in the text; add a column offsets"
                )
            at += 1
        offsets.append((at, at + len(token)))
        at += len(token)
    if text[at:].strip():
        raise OffsetError(f"the text goes on at {at} after its last token; add a column offsets")
    return offsets


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to one file, a row each; returns what the format cannot hold, counted."""
    labels = sorted({ent.label for doc in docs for ent in iob.flat(doc, Counter())})
    return write_stream(docs, path, labels)


def check_labels(labels: Iterable[str]) -> None:
    """See that every label can stand in a tag, before hours are spent on what cannot be written.

    Raises:
        ConfigError: one cannot.
    """
    if wrong := [label for label in labels if not iob.is_tag(f"B-{label}")]:
        raise ConfigError(
            f"Parquet holds labels as tags, and {shown_name(wrong[0])} cannot be in one (a label "
            "with one of | , ; or with white space other than single spaces); write .jsonl"
        )


def write_stream(docs: Iterable[Document], path: Path, labels: Sequence[str]) -> Counter[str]:
    """Write ``docs`` as they come, in row groups; ``labels`` are all that may occur."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lost: Counter[str] = Counter()
    names = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    numbers = {name: number for number, name in enumerate(names)}
    schema = _schema(names)
    left = iter(docs)
    with atomic_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(left, _ROW_GROUP)):
            rows = [record(doc, lost) for doc in group]
            for row in rows:
                row[TAGS] = [numbers[tag] for tag in row[TAGS]]
            try:
                table = pa.Table.from_pylist(rows, schema)
            except UnicodeEncodeError as error:
                raise CorpusError(
                    f"{path}: text holds a lone surrogate at offset {error.start}, which UTF-8 "
                    "cannot hold"
                ) from None
            writer.write_table(table)
    return lost


def _schema(names: Sequence[str]) -> Any:
    import pyarrow as pa

    return pa.schema(
        {
            "id": pa.string(),
            "tokens": pa.list_(pa.string()),
            TAGS: pa.list_(pa.int64()),
            "text": pa.string(),
            "offsets": pa.list_(pa.list_(pa.int32())),
        },
        metadata={"huggingface": json.dumps({"info": {"features": _features(names)}})},
    )


def _features(names: Sequence[str]) -> dict[str, Any]:
    def value(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "_type": "Value"}

    def sequence(feature: dict[str, Any]) -> dict[str, Any]:
        # Releases before 4 know no other name for a list, and later ones still read it.
        return {"feature": feature, "_type": "Sequence"}

    return {
        "id": value("string"),
        "tokens": sequence(value("string")),
        TAGS: sequence({"names": list(names), "_type": "ClassLabel"}),
        "text": value("string"),
        "offsets": sequence(sequence(value("int32"))),
    }


def record(doc: Document, lost: Counter[str]) -> dict[str, Any]:
    """``doc`` as tokens with IOB2 tags (strings), and its text with the tokens' offsets."""
    entities = iob.flat(doc, lost)
    offsets = _offsets(doc, entities)
    tags = []
    left = iter(entities)
    ent = next(left, None)
    for start, _ in offsets:
        while ent is not None and ent.end <= start:
            ent = next(left, None)
        inside = ent is not None and ent.start <= start
        tags.append("O" if ent is None or not inside else f"{'BI'[start > ent.start]}-{ent.label}")
    lost["entity ids numbered anew"] += sum(e.id != f"T{i}" for i, e in enumerate(entities, 1))
    lost["attributes left out"] += sum(len(e.attributes) for e in doc.entities)
    lost["concept ids left out"] += sum(len(e.normalized) for e in doc.entities)
    lost["relations left out"] += len(doc.relations) + len(doc.concept_relations)
    lost["documents whose metadata, sections or provenance were left out"] += bool(
        doc.metadata or doc.masked or doc.sections or doc.provenance.kind != "gold"
    )
    return {
        "id": doc.id,
        "tokens": [doc.text[start:end] for start, end in offsets],
        TAGS: tags,
        "text": doc.text,
        "offsets": [list(span) for span in offsets],
    }


def _offsets(doc: Document, entities: Sequence[Entity]) -> list[Span]:
    """Ranges of tokens, cut and widened so that every mention begins and ends with one."""
    borders = sorted({at for ent in entities for at in (ent.start, ent.end)})
    spaced = doc.metadata.get(conll.TOKENS) == "spaces"
    plain = list(iob.tokens_of(doc.text, (0, len(doc.text)), borders, spaced=spaced))
    offsets: list[Span] = []
    at = 0
    for ent in entities:
        while at < len(plain) and plain[at][0] < ent.start:
            offsets.append(plain[at])
            at += 1
        inside = at
        while at < len(plain) and plain[at][1] <= ent.end:
            at += 1
        # White space at the ends of a mention belongs to its outer tokens, or is one itself.
        cuts = [ent.start, *map(itemgetter(0), plain[inside + 1 : at]), ent.end]
        ends = [*map(itemgetter(1), plain[inside : max(at - 1, inside)]), ent.end]
        offsets += zip(cuts[:-1], ends, strict=True)
    return offsets + plain[at:]
