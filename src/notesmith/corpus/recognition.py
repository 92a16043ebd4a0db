"""Which files of a path hold documents, and in what format: what is read, left out and refused.

No file is left out silently. A file that fits no format, or that the chosen format does not read,
is an error that names it, unless it is one that never holds notes or the caller ignores it.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.formats import FORMATS, NAMES, Format, Source
from notesmith.corpus.formats.json_records import WRITE_THEM, shown_field, unread_field_of_file
from notesmith.corpus.problems import encoding_of
from notesmith.errors import ConfigError, CorpusError
from notesmith.files.read import LINE_BYTES, MIB, read_head, unreadable

_HEAD_BYTES = 65_536
_WHOLE_BYTES = 64 * MIB
_LINES = re.compile(r"\.(jsonl|ndjson)(\.gz|\.xz)?", re.IGNORECASE)
_NOT_NOTES = frozenset({".md", ".rst", ".html", ".pdf", ".py", ".toml", ".yaml", ".yml"})
_TEXT_SUFFIXES = (".txt", ".text")
_NOT_NOTE_STEMS = frozenset({"readme", "license", "licence", "source", "notice", "guideline"})
_MOST_NAMES = 5
_FOR_PREDICT = "plain notes are for notesmith predict"
# A field that other programs name; not what a note could have put there.
_FIELD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST_FIELD = 24
_OF_TEXT = " of text"
_TABLE_LINES = 5


@dataclass(frozen=True, slots=True)
class Recognised:
    """The files of a path that hold documents, their format, and counts of what was left out."""

    format: Format
    sources: list[Source]
    counts: Counter[str]


def recognise(
    path: Path,
    options: ReadingConfig,
    *,
    beside: Sequence[Path] = (),
    names: Sequence[str] = NAMES,
    hint: str = "",
) -> Recognised:
    """The files below ``path`` to read, in the format that is named or the one that they fit.

    Args:
        path: a file, or a folder that is searched with its subfolders.
        options: how files become documents.
        beside: files that the caller reads in another way, such as a table of metadata.
        names: the formats that a message lists where none is recognised.
        hint: what follows them.

    Raises:
        CorpusError: nothing is there, no format or several fit, or a file would not be read.
        ConfigError: there is no format of the name.
    """
    counts: Counter[str] = Counter()
    sources = find_sources(path, options, counts)
    known = {file.resolve() for file in beside}
    if options.tasks is not None:
        known.add(Path(options.tasks).resolve())
    if known:
        sources = [s for s in sources if s.path == path or s.path.resolve() not in known]
    if options.format is not None:
        fmt = format_named(options.format)
        return _of_format(path, fmt, sources, counts)
    ways = f"formats are {', '.join(names)} (--format){hint}"
    return _by_content(path, sources, counts, ways)


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        ConfigError: there is none.
    """
    if name not in FORMATS:
        raise ConfigError(f"format {name!r} is not one of {', '.join(FORMATS)}")
    return FORMATS[name]


def find_sources(path: Path, options: ReadingConfig, counts: Counter[str]) -> list[Source]:
    """The file, or the files below a folder that could hold documents.

    ``counts`` tells how many others lie there.

    Raises:
        CorpusError: nothing is there, or a file cannot be read.
    """
    if not path.is_dir():
        if not path.exists():
            raise CorpusError(f"{path}: not found; name a corpus file or folder")
        return [source_of(path, path, options)]
    found: list[Source] = []
    for file in walk(path, options, counts):
        if _holds_no_notes(file):
            counts["files passed over that hold no notes, such as README.md"] += 1
        else:
            found.append(source_of(file, path, options))
    return found


def _holds_no_notes(file: Path) -> bool:
    """Whether the name says that the file is about the corpus, such as ``LICENSE``."""
    suffix = file.suffix.lower()
    is_about = file.stem.lower() in _NOT_NOTE_STEMS and suffix in ("", *_TEXT_SUFFIXES)
    return is_about or suffix in _NOT_NOTES


def walk(folder: Path, options: ReadingConfig, counts: Counter[str]) -> Iterator[Path]:
    """The files below ``folder`` by path, but for hidden ones and those that are ignored.

    Raises:
        CorpusError: a folder cannot be listed, or is a link (which would not be followed).
    """

    def refuse(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    def is_ignored(file: Path) -> bool:
        return matches(file.relative_to(folder), options.ignore)

    for root, folders, names in os.walk(folder, onerror=refuse):
        here = Path(root)
        inside = sorted(name for name in folders if not name.startswith((".", "__")))
        folders[:] = [name for name in inside if not is_ignored(here / name)]
        for name in folders:
            if (here / name).is_symlink():
                raise CorpusError(
                    f"{here / name}: is a link to a folder, which is not followed; name that "
                    f"folder itself, or leave the link out with --ignore {_quoted(name)}"
                )
        n_ignored = len(inside) - len(folders)
        for name in sorted(names):
            if name.startswith("."):
                continue
            if is_ignored(here / name):
                n_ignored += 1
            else:
                yield here / name
        if n_ignored:
            counts["files or folders ignored as asked"] += n_ignored


def source_of(file: Path, path: Path, options: ReadingConfig) -> Source:
    """``file`` with its beginning; ``path`` is the folder that is read, or the file itself.

    Of JSON lines the beginning holds the first line whole.
    """
    data = read_head(file, _HEAD_BYTES)
    if len(data) == _HEAD_BYTES and b"\n" not in data and _LINES.search(file.name):
        data = read_head(file, LINE_BYTES).partition(b"\n")[0]
    alone = file == path
    head = _decoded(data, options.encoding)
    return Source(file, file.parent if alone else path, head, options, alone=alone)


def _decoded(data: bytes, encoding: str) -> str:
    return data.decode(encoding_of(data, encoding), errors="replace").removeprefix("\ufeff")


def fitting(source: Source) -> list[str]:
    """Names of the formats that a file fits.

    Where its beginning fits none, JSON is read on: the telling field may stand after a long note.
    """
    found = [fmt.name for fmt in FORMATS.values() if fmt.claims(source)]
    if found or source.path.suffix.lower() != ".json":
        return found
    data = read_head(source.path, _WHOLE_BYTES)
    if len(data) <= _HEAD_BYTES:
        return []
    whole = replace(source, head=_decoded(data, source.options.encoding))
    return [fmt.name for fmt in FORMATS.values() if fmt.claims(whole)]


def _of_format(path: Path, fmt: Format, sources: list[Source], counts: Counter[str]) -> Recognised:
    """The files of a format that the caller names."""
    if path.is_file():  # taken at the caller's word
        return Recognised(fmt, sources, counts)
    fits = {source.path: fitting(source) for source in sources}
    chosen = [source for source in sources if fmt.name in fits[source.path]]
    if not chosen:
        raise CorpusError(
            f"{path}: holds no {fmt.name} files; name another format, path, or one file"
        )
    others = [source for source in sources if fmt.name not in fits[source.path]]
    refuse_unread(path, [s.path for s in others if not fits[s.path]], fmt)
    if n := sum(bool(fits[s.path]) for s in others):
        counts["files of other formats passed over"] += n
    return Recognised(fmt, chosen, counts)


def _by_content(path: Path, sources: list[Source], counts: Counter[str], ways: str) -> Recognised:
    """The one format that every file fits which fits any."""
    fits = [(source, fitting(source)) for source in sources]
    known = [(source, found) for source, found in fits if found]
    if not known:
        raise _not_recognised(path, sources, ways)
    common = [name for name in FORMATS if all(name in found for _, found in known)]
    if not common:
        raise _several(path, known)
    if len(common) > 1:
        raise CorpusError(
            f"{known[0][0].path}: fits {' and '.join(common)}; name one with --format {common[0]} "
            f"or --format {common[1]}"
        )
    fmt = FORMATS[common[0]]
    unread = [source for source, found in fits if not found]
    if unread and all(_is_named_text(source) for source in sources):
        raise _without_labels(path, unread, known[0][0], fmt)
    refuse_unread(path, [source.path for source in unread], fmt)
    return Recognised(fmt, [source for source, _ in known], counts)


def _is_named_text(source: Source) -> bool:
    return source.path.suffix.lower() in _TEXT_SUFFIXES


def _without_labels(path: Path, unread: list[Source], other: Source, fmt: Format) -> CorpusError:
    """The error for plain texts beside one that looks like a labelled note."""
    shown = ", ".join(s.path.relative_to(path).as_posix() for s in unread[:_MOST_NAMES])
    more = f" and {len(unread) - _MOST_NAMES} more" if len(unread) > _MOST_NAMES else ""
    n = f"{len(unread)} texts are plain notes" if len(unread) > 1 else "1 text is a plain note"
    return CorpusError(
        f"{path}: {n} without labels: {shown}{more} ({other.path.relative_to(path).as_posix()} "
        f"could be read as {fmt.name}); {_FOR_PREDICT}; to read labelled notes, name them alone"
    )


def _several(path: Path, known: list[tuple[Source, list[str]]]) -> CorpusError:
    listed: list[str] = []
    for name in FORMATS:
        files = [source.path.relative_to(path) for source, found in known if name in found]
        if files:
            places = {file.parts[0] if len(file.parts) > 1 else "" for file in files}
            folder = places.pop() if len(places) == 1 else ""
            n = f"{len(files)} files" if len(files) > 1 else "1 file"
            listed.append(f"{name} ({n}{f' in {folder}' if folder else ''})")
    return CorpusError(
        f"{path}: several formats: {', '.join(listed)}; give the path of one, name one with "
        f"--format {listed[0].split()[0]}, or leave files out with --ignore"
    )


def refuse_beside(path: Path, parts: Iterable[Path], options: ReadingConfig) -> None:
    """Refuse files of the folder ``path`` that stand beside ``parts``, which alone are read.

    Raises:
        CorpusError: there is one that could hold notes.
    """
    parts = tuple(parts)
    allowed = [pattern for fmt in FORMATS.values() for pattern in fmt.companions]
    others = [
        file
        for file in walk(path, options, Counter())
        if not {file, *file.parents}.intersection(parts)
        and not _holds_no_notes(file)
        and not matches(file.relative_to(path), allowed)
    ]
    names = ", ".join(part.name for part in parts)
    refuse_unread(path, others, hint=f"its parts are {names}; name the paths that you mean, or ")


def refuse_unread(
    path: Path, files: Sequence[Path], fmt: Format | None = None, *, hint: str = ""
) -> None:
    """Refuse ``files`` of the folder ``path``, which would not be read.

    Companions of ``fmt`` may be there. Five files at most are named, and ``hint`` follows them.

    Raises:
        CorpusError: there is one.
    """
    places = [file.relative_to(path) for file in files]
    if fmt is not None:
        places = [place for place in places if not matches(place, fmt.companions)]
    if not places:
        return
    shown = ", ".join(place.as_posix() for place in places[:_MOST_NAMES])
    more = f" and {len(places) - _MOST_NAMES} more" if len(places) > _MOST_NAMES else ""
    first = places[0]
    pattern = _quoted(f"*{first.suffix}" if first.suffix else first.name)
    n = f"{len(places)} files" if len(places) > 1 else "1 file"
    of = f" as {fmt.name}" if fmt is not None else ""
    raise CorpusError(
        f"{path}: {n} would not be read{of}: {shown}{more}; {hint}leave out what holds no notes "
        f"with --ignore {pattern} (corpus.ignore in a recipe)"
    )


def matches(place: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits a path below the folder that is read, or its last part."""
    return any(fnmatchcase(place.as_posix(), p) or fnmatchcase(place.name, p) for p in patterns)


def _quoted(pattern: str) -> str:
    return "'" + pattern.replace("'", r"'\''") + "'"


def _not_recognised(path: Path, sources: list[Source], ways: str) -> CorpusError:
    if not sources:
        return CorpusError(f"{path}: empty; {ways}")
    first = sources[0]
    if all(_is_named_text(s) and appearance(s).endswith(_OF_TEXT) for s in sources):
        one = "is plain text" if path.is_file() else "holds plain texts"
        return CorpusError(f"{path}: {one} without labels; {_FOR_PREDICT}; {ways}")
    where = f"{path}: not in a format that is recognised"
    if (unread := unread_field_of_file(first.path)) is not None:
        said = f"the layout of {shown_field(unread)} is not one that is read; {WRITE_THEM}"
        return CorpusError(f"{first.path}: {said}")
    name = "" if first.path == path else f"{first.path.relative_to(path).as_posix()} is "
    return CorpusError(f"{where} ({name}{appearance(first)}); {ways}")


def appearance(source: Source) -> str:
    """What a file looks like, in words that hold none of its text.

    That is its suffix, and its first JSON value, root element or columns. Names of fields are shown
    where they are written as programs write them.
    """
    suffix = source.path.suffix
    named = f"{suffix} file" if re.fullmatch(r"\.[A-Za-z0-9]{1,10}", suffix) else "file"
    head = source.head.lstrip()
    if not head:
        return f"an empty {named}"
    if "\0" in head[:1000]:
        return f"a {named} that is not text, or text whose encoding is to be named (--encoding)"
    if head[0] in "{[":
        return f"a {named} that begins with {_json_value(head)}"
    if head[0] == "<" and (suffix.lower() == ".xml" or head.startswith("<?xml")):
        root = re.search(r"<([A-Za-z][\w.:-]{0,40})[\s/>]", head)
        return f"a {named} of XML" + (f" with the root element {root[1]}" if root else "")
    lines = [line for line in head.split("\n")[:_TABLE_LINES] if line.strip()]
    for sign, said in (("\t", "tabs"), (",", "commas"), (";", "semicolons")):
        n = lines[0].count(sign)
        is_named = suffix.lower() in (".csv", ".tsv", ".tab")
        alike = len(lines) > 1 and all(line.count("\t") == n for line in lines)
        if n and (is_named or (sign == "\t" and alike)):
            return f"a {named}, a table of {n + 1} columns divided by {said}"
    return f"a {named}{_OF_TEXT}"


def _json_value(head: str) -> str:
    try:
        value, _ = json.JSONDecoder().raw_decode(head)
    except (ValueError, RecursionError):
        return "JSON that is long, or is cut off"
    if isinstance(value, list):
        if not value:
            return "an empty JSON list"
        return f"a JSON list of {len(value)}, the first {_one_value(value[0])}"
    return _one_value(value)


def _one_value(value: object) -> str:
    if isinstance(value, dict):
        shown = [k for k in value if _FIELD.fullmatch(k) and len(k) <= _LONGEST_FIELD][:8]
        names = f" ({', '.join(shown)}{'' if len(shown) == len(value) else ', …'})" if shown else ""
        return f"a JSON object of {len(value)} fields{names}"
    kinds = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
