r"""i2b2/VA 2010: text of one sentence a line, with concept, assertion and relation files beside it.

``NAME.txt`` holds the text, tokens apart by white space. The others hold one annotation a line,
placed by line (from 1) and token (from 0), both ends inclusive::

    NAME.con    c="chest pain" 12:3 12:4||t="problem"
    NAME.ast    c="chest pain" 12:3 12:4||t="problem"||a="absent"
    NAME.rel    c="aspirin" 12:8 12:8||r="TrAP"||c="chest pain" 12:3 12:4

They lie side by side or in parallel folders (``txt``, ``concept``, ``ast``, ``rel``), which are no
part of the id; the texts of the test set lie in ``test_data`` beside
``reference_standard_for_test_data``.

An assertion becomes an attribute of the concept under its own name: ``present``, ``absent``,
``possible``, ``conditional``, ``hypothetical`` or ``associated_with_someone_else``. ``present`` is
kept, for a concept without an assertion is another thing.

Traps: the concept string is lower-cased, may hold quotes, and loses the line end of a concept that
runs over lines. Tools differ on what counts as a token where a line holds more than single spaces:
the reading of white space that agrees with most concept strings of a file is taken for all of it. A
string that still differs from its tokens is an error; a few of the released ones do.

Source: "Annotation File Formatting" of the 2010 i2b2/VA challenge (n2c2 data portal).
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally, iter_lines, read_text
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc
from notesmith.files.write import atomic_folder, file_name, write_part

ASSERTIONS = frozenset(
    {
        *("present", "absent", "possible", "conditional", "hypothetical"),
        "associated_with_someone_else",
    }
)
# The first name is the one that is written.
_FOLDERS = {
    ".txt": ("txt", "test_data"),
    ".con": ("concept", "concepts", "con"),
    ".ast": ("ast",),
    ".rel": ("rel",),
}
_REFERENCE = "reference_standard_for_test_data"
_PARALLEL = frozenset(name for names in _FOLDERS.values() for name in names)

_AT = r'c="(.*)"[ \t]+([0-9]{1,9}):([0-9]{1,9})[ \t]+([0-9]{1,9}):([0-9]{1,9})'
_LINES = {
    ".con": re.compile(rf'{_AT}\|\|t="([^"]+)"'),
    ".ast": re.compile(rf'{_AT}\|\|t="([^"]+)"\|\|a="([^"]+)"'),
    ".rel": re.compile(rf'{_AT}\|\|r="([^"]+)"\|\|{_AT}'),
}
_STRING = re.compile(r'c="([^"]+)"')
_LONGEST = 10_000  # Characters of a line; of a longer one every quote would be tried.
_WHAT = {".con": "concept", ".ast": "assertion", ".rel": "relation"}


def claims(path: Path, head: str, *, unlabelled: bool = False) -> bool:
    """Whether ``path``, which begins with ``head``, is part of an i2b2 2010 corpus.

    A text counts if its concepts are found, or if others beside it have some; ``unlabelled`` takes
    every text.
    """
    if path.suffix in _LINES:
        return not head.strip() or head.lstrip("\ufeff\r\n ").startswith('c="')
    return path.suffix == ".txt" and (
        unlabelled
        or has_concepts(path)
        or _holds_concepts(path.parent, path.parent.stat().st_mtime_ns)
        or (
            path.parent.name == _FOLDERS[".txt"][0]
            and any((path.parent.parent / name).is_dir() for name in _FOLDERS[".con"])
        )
    )


def has_concepts(path: Path) -> bool:
    """Whether the concept file of the text ``path`` is there."""
    return _other(path, ".con") is not None


@lru_cache(maxsize=16)
def _holds_concepts(folder: Path, changed: int) -> bool:
    """Whether concept files lie in ``folder``; looked up once, not for each of its texts."""
    return any(folder.glob("*.con"))


def read(
    path: Path, stem: str, tally: Tally, *, alone: bool = False, unlabelled: bool = False
) -> Iterator[Document]:
    """Read the document that the concept file ``path`` belongs to.

    The other files of a document give nothing themselves, so that folders can be walked.

    Args:
        path: any of the four files.
        stem: path below the corpus folder without suffix; the id once ``txt/``, ``concept/`` and
            the like are taken out.
        tally: what to do with bad records.
        alone: ``path`` was named itself: read its document whichever file it is.
        unlabelled: a text without concepts is a document without mentions, not an error.
    """
    doc_id = _doc_id(stem)
    con = path if path.suffix == ".con" else _other(path, ".con")
    if con is None and path.suffix == ".txt" and unlabelled:
        text = read_text(path, tally)
        if text is not None:
            tally.note("texts without concepts, read as unlabelled")
            yield Document(doc_id, text)
        return
    if con is not None and con != path and not alone:
        return
    txt = path if path.suffix == ".txt" else _other(path, ".txt")
    if con is None or txt is None:
        absent = ".con" if con is None else ".txt"
        error = f"{path}: doc {doc_id!r}: no {path.stem}{absent} beside it or in a parallel folder"
        tally.drop(
            f"{path.suffix} file without its {absent} file",
            CorpusError(f"{error} ({', '.join(_FOLDERS[absent])}); add it, or move the file away"),
        )
        return
    content = read_text(txt, tally)
    if content is not None:
        with tally.dropping("document", f"{con}: doc {doc_id!r}"):
            yield _Reading(doc_id, _Grid(content), tally).document(con)


def _doc_id(stem: str) -> str:
    *folders, name = stem.split("/")
    if folders and folders[-1] in _PARALLEL:
        folders.pop()
    return "/".join([*folders, name])


def _other(path: Path, suffix: str) -> Path | None:
    """The file of the same document with ``suffix``: side by side, or in a parallel folder."""
    home = path.parent
    folders = [home]
    if home.name in _PARALLEL:
        folders += [home.parent / name for name in _FOLDERS[suffix]]
        if home.name == "test_data":
            folders += [home.parent / _REFERENCE / name for name in _FOLDERS[suffix]]
        elif home.parent.name == _REFERENCE:
            folders.append(home.parent.parent / "test_data")
    # Ids may hold dots: only the last suffix changes.
    files = (folder / path.with_suffix(suffix).name for folder in folders)
    return next((file for file in files if file.is_file()), None)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an annotation line puts a concept: lines from 1, tokens from 0, both inclusive."""

    string: str
    line: int
    token: int
    last_line: int
    last_token: int

    @classmethod
    def of(cls, groups: Sequence[str]) -> _Place:
        return cls(groups[0], *map(int, groups[1:5]))

    def __str__(self) -> str:
        return f"{self.line}:{self.token} {self.last_line}:{self.last_token}"


def _by_white_space(line: str) -> list[Span]:
    return [match.span() for match in re.finditer(r"\S+", line)]


def _by_spaces(line: str) -> list[Span]:
    return [match.span() for match in re.finditer(r"[^ ]+", line)]


def _by_each_space(line: str) -> list[Span]:
    """A token between each two spaces, empty where they touch."""
    ends = [match.start() for match in re.finditer(r" |\Z", line)]
    return list(zip([0, *(end + 1 for end in ends)], ends, strict=False))


# What is counted where a file reads so. The first wins where several agree with the concepts.
_SPLITS: dict[Callable[[str], list[Span]], str] = {
    _by_white_space: "",
    _by_spaces: "files whose tokens are apart by spaces only",
    _by_each_space: "files that count an empty token in a double space",
}


@dataclass(slots=True)
class _Grid:
    r"""Where the lines and tokens of a text stand; only ``\n`` ends a line."""

    text: str
    split: Callable[[str], list[Span]] = _by_white_space
    lines: list[Span] = field(init=False)
    known: dict[int, list[Span]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        ends = [match.start() for match in re.finditer(r"\n|\Z", self.text)]
        starts = [0, *(end + 1 for end in ends[:-1])]
        if self.text.startswith("\ufeff"):
            starts[0] = 1
        self.lines = list(zip(starts, ends, strict=True))

    def tokens(self, number: int) -> list[Span]:
        """Tokens of line ``number``, which counts from 1."""
        if number not in self.known:
            start, end = self.lines[number - 1]
            line = self.text[start:end].removesuffix("\r")
            self.known[number] = [(start + s, start + e) for s, e in self.split(line)]
        return self.known[number]

    def span(self, place: _Place) -> Span:
        """The range of the text that ``place`` names.

        Raises:
            OffsetError: there are no such tokens, or other words stand there.
        """
        span = self._find(place)
        if span is None:
            raise OffsetError(
                f"{place} is past the end of the text or its line, or backwards; correct it "
                "(lines count from 1, tokens from 0)"
            )
        if _bare(self.text[slice(*span)]) != _bare(place.string):
            raise OffsetError(
                f"{place}: the concept string differs from the tokens there; correct the offsets"
            )
        return span

    def agrees(self, place: _Place) -> bool:
        span = self._find(place)
        return span is not None and _bare(self.text[slice(*span)]) == _bare(place.string)

    def unread(self, place: _Place) -> Unread:
        """What is known of a concept that does not stand at its place."""
        span = self._find(place)
        return Unread(() if span is None else (span,), place.string)

    def _find(self, place: _Place) -> Span | None:
        if not (1 <= place.line <= len(self.lines) and 1 <= place.last_line <= len(self.lines)):
            return None
        first, last = self.tokens(place.line), self.tokens(place.last_line)
        if place.token >= len(first) or place.last_token >= len(last):
            return None
        start, end = first[place.token][0], last[place.last_token][1]
        return (start, end) if start < end else None


def _bare(string: str) -> str:
    return "".join(string.split()).casefold()


@dataclass(slots=True)
class _Reading:
    """One document while it is read."""

    doc_id: str
    grid: _Grid
    tally: Tally
    entities: dict[tuple[Span, str], Entity] = field(default_factory=dict)
    at: dict[Span, list[str]] = field(default_factory=dict)
    relations: dict[tuple[str, str, str], Relation] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)

    def document(self, con: Path) -> Document:
        rows = self._rows(con)
        places = [_Place.of(groups) for _, groups in rows]
        grids = [_Grid(self.grid.text, split) for split in _SPLITS]
        self.grid = max(grids, key=lambda grid: sum(map(grid.agrees, places)))
        if note := _SPLITS[self.grid.split]:
            self.tally.note(note)
        for number, groups in rows:
            try:
                self._concept(groups)
            except CorpusError as error:
                where = f"{con}:{number}: doc {self.doc_id!r}"
                self.tally.mask("concept", type(error)(f"{where}: {error}"))
                self.unread.append(self.grid.unread(_Place.of(groups)))
        for suffix, take in ((".ast", self._assertion), (".rel", self._relation)):
            file = _other(con, suffix)
            if file is not None:
                self._each(file, self._rows(file), take)
        # Concept strings are in lower case.
        entities = tuple(self.entities.values())
        masked = masks(self.grid.text, self.unread, entities, any_case=True)
        if masked is None:
            raise CorpusError("a concept that cannot be read may stand anywhere in it")
        return Document(
            id=self.doc_id,
            text=self.grid.text,
            entities=entities,
            relations=tuple(self.relations.values()),
            masked=masked,
        )

    def _rows(self, path: Path) -> list[tuple[int, tuple[str, ...]]]:
        rows = []
        for line in iter_lines(path, self.tally):
            if line.text is None and path.suffix == ".con":
                self.unread.append(Unread())
            if not line.text or not line.text.strip():
                continue
            row = line.text.rstrip()
            match = _LINES[path.suffix].fullmatch(row) if len(row) <= _LONGEST else None
            if match:
                rows.append((line.number, match.groups()))
                continue
            what = _WHAT[path.suffix]
            said = f"{path}:{line.number}: doc {self.doc_id!r}: not a line of {what}s"
            error = CorpusError(f"{said}; is the file cut off?")
            if path.suffix == ".con":
                self.tally.mask(what, error)
                string = _STRING.match(row)
                self.unread.append(Unread((), string.group(1) if string else ""))
            else:
                self.tally.drop(what, error)
        return rows

    def _each(
        self,
        path: Path,
        rows: Sequence[tuple[int, tuple[str, ...]]],
        take: Callable[[tuple[str, ...]], None],
    ) -> None:
        for number, groups in rows:
            where = f"{path}:{number}: doc {self.doc_id!r}"
            with self.tally.dropping(_WHAT[path.suffix], where):
                take(groups)

    def _concept(self, groups: tuple[str, ...]) -> None:
        span, label = self.grid.span(_Place.of(groups)), groups[5]
        if (span, label) in self.entities:
            self.tally.note("identical concept lines collapsed")
            return
        entity = Entity(f"T{len(self.entities) + 1}", label, (span,))
        self.entities[span, label] = entity
        self.at.setdefault(span, []).append(entity.id)

    def _assertion(self, groups: tuple[str, ...]) -> None:
        place, label, value = _Place.of(groups), groups[5], groups[6]
        name = value.replace(" ", "_")
        if name not in ASSERTIONS:
            raise CorpusError(f"{place}: its assertion is none of {', '.join(sorted(ASSERTIONS))}")
        key = (self.grid.span(place), label)
        if key not in self.entities:
            raise CorpusError(f"{place}: no such concept; add it to the concept file")
        entity = self.entities[key]
        if entity.attributes == (name,):
            self.tally.note("identical assertion lines collapsed")
        elif entity.attributes:
            raise CorpusError(f"{place}: has two assertions; remove one")
        else:
            self.entities[key] = replace(entity, attributes=(name,))

    def _relation(self, groups: tuple[str, ...]) -> None:
        head, tail = (self._end(_Place.of(ends)) for ends in (groups[:5], groups[6:]))
        key = (groups[5], head, tail)
        if key in self.relations:
            self.tally.note("identical relation lines collapsed")
            return
        self.relations[key] = Relation(f"R{len(self.relations) + 1}", *key)

    def _end(self, place: _Place) -> str:
        span = self.grid.span(place)
        if span not in self.at:
            raise CorpusError(f"{place}: no such concept; add it to the concept file")
        self.tally.note(
            "relation ends on concepts of two labels, the first taken", len(self.at[span]) > 1
        )
        return self.at[span][0]


def write(docs: Sequence[Document], path: Path) -> Counter[str]:
    """Write ``docs`` to parallel folders below ``path``; returns what is lost, counted.

    Mentions are widened to whole tokens, counted; texts are written as they are.
    """
    lost: Counter[str] = Counter()
    ids: set[str] = set()
    for doc in docs:
        file_name(doc.id)
        if doc.id in ids:
            raise CorpusError(f"{shown_doc(doc.id)}: two documents would share a file; use jsonl")
        ids.add(doc.id)
    with atomic_folder(path) as folder:
        for doc in docs:
            lines = _lines(doc, lost)
            for suffix, text in ((".txt", doc.text), *lines.items()):
                if text or suffix in (".txt", ".con"):
                    above, _, name = doc.id.rpartition("/")
                    write_part(folder / above / _FOLDERS[suffix][0] / f"{name}{suffix}", text)
    return lost


def _lines(doc: Document, lost: Counter[str]) -> dict[str, str]:
    """Content of the three annotation files, by suffix."""
    places = _places(doc, lost)
    concepts: dict[tuple[str, str], list[str]] = {}
    first: dict[str, str] = {}
    for ent in doc.entities:
        if ent.id not in places:
            continue
        key = (places[ent.id], _word(doc, ent.label))
        lost["mentions of one label on the same tokens written once"] += key in concepts
        values = [name for name in ent.attributes if name in ASSERTIONS][:1]
        values = concepts.setdefault(key, values)
        first.setdefault(*key)
        lost["attributes left out"] += len({*ent.attributes} - {*values})
        lost["concept ids left out"] += len(ent.normalized)
        lost["entity ids numbered anew"] += ent.id != f"T{len(concepts)}"
    labels = {ent.id: ent.label for ent in doc.entities}
    relations: dict[str, None] = {}
    for rel in doc.relations:
        if rel.head not in places or rel.tail not in places:
            lost["relations of mentions left out"] += 1
            continue
        ends = [places[rel.head], places[rel.tail]]
        line = f'{ends[0]}||r="{_word(doc, rel.label)}"||{ends[1]}'
        lost["identical relations written once"] += line in relations
        relations[line] = None
        lost["relation ends that another label's mention on the same tokens takes"] += sum(
            labels[ent_id] != first[place]
            for ent_id, place in zip((rel.head, rel.tail), ends, strict=True)
        )
        lost["symmetric relations written as directed"] += rel.symmetric
        lost["relation ids numbered anew"] += rel.id != f"R{len(relations)}"
    lost["concept relations left out"] += len(doc.concept_relations)
    lost["documents whose metadata, sections or provenance were left out"] += bool(
        doc.metadata or doc.masked or doc.sections or doc.provenance.kind != "gold"
    )
    rows = [(f'{place}||t="{label}"', values) for (place, label), values in concepts.items()]
    return {
        ".con": "".join(f"{row}\n" for row, _ in rows),
        ".ast": "".join(f'{row}||a="{values[0]}"\n' for row, values in rows if values),
        ".rel": "".join(f"{line}\n" for line in relations),
    }


def _places(doc: Document, lost: Counter[str]) -> dict[str, str]:
    """Concept string and place of each mention, by id, widened to whole tokens."""
    grid = _Grid(doc.text)
    tokens = [
        (*span, f"{number}:{i}")
        for number in range(1, len(grid.lines) + 1)
        for i, span in enumerate(grid.tokens(number))
    ]
    starts, ends = [token[0] for token in tokens], [token[1] for token in tokens]
    places: dict[str, str] = {}
    for ent in doc.entities:
        inner = tokens[bisect_right(ends, ent.start) : bisect_left(starts, ent.end)]
        if not inner:
            lost["mentions of white space alone left out"] += 1
            continue
        lost["discontinuous mentions written whole"] += len(ent.spans) > 1
        at_borders = (inner[0][0], inner[-1][1]) == (ent.start, ent.end)
        lost["mentions moved to the borders of tokens"] += not at_borders
        string = " ".join(doc.text[start:end] for start, end, _ in inner).lower()
        places[ent.id] = f'c="{string}" {inner[0][2]} {inner[-1][2]}'
    return places


def _word(doc: Document, word: str) -> str:
    if not word or re.search(r'["\r\n]', word):
        raise CorpusError(
            f"{shown_doc(doc.id)}: a label is empty or holds a quote or a line end, which i2b2 "
            "2010 "
            "cannot hold; rename it with a label map, or use jsonl"
        )
    return word
