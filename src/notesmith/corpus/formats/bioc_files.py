"""Open BioC XML and JSON: both become the objects of BioC JSON, ``line`` added where XML has one.

An XML file names a DTD that is never fetched; one that brings declarations of its own, or uses an
entity that XML does not know by itself, is refused. JSON is a collection, PubTator's answer
(``{"PubTator3": [...]}``), a list of documents, or one document a line.
Sources: BioC.dtd, and the encoders of bionlplab/bioc (``bioc/biocxml``, ``bioc/biocjson``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from notesmith.corpus.formats.json_values import check_values, has_surrogates, listed, parse_json
from notesmith.corpus.problems import Tally, read_text
from notesmith.errors import CorpusError
from notesmith.files.read import read_bytes

Record = dict[str, Any]

_XML_HEAD = re.compile(
    r"\s*+(?:<\?xml[^>]*+>)?(?>\s++|<!--(?>.*?-->)|<!DOCTYPE\s++collection[^\[>]*+>)*+"
    r"<collection(?:\s[^<>]*+)?>\s*+<(?:source|date|key|infon|document)[\s>/]",
    re.DOTALL,
)
_JSON_HEAD = re.compile(r'"passages"\s*:\s*\[')
_JSON_BODY = re.compile(r'"(?:infons|documents|PubTator3)"\s*:')
# An element that is an object, the elements that it may stand in, and the list that it goes to.
_OBJECTS = {
    "document": (("collection",), "documents"),
    "passage": (("document",), "passages"),
    "sentence": (("passage",), "sentences"),
    "annotation": (("document", "passage", "sentence"), "annotations"),
    "relation": (("document", "passage", "sentence"), "relations"),
    "location": (("annotation",), "locations"),
    "node": (("relation",), "nodes"),
}
_FIELDS = ("id", "offset", "text", "infon")
_HEADING = ("source", "date", "key")
_MAX_DEPTH = 3


def claims_xml(head: str) -> bool:
    """Whether an XML file that begins with ``head`` is a BioC collection."""
    return _XML_HEAD.match(head.removeprefix("\ufeff")) is not None


def claims_json(path: Path, head: str) -> bool:
    """Whether the ``.json`` file that begins with ``head`` is BioC."""
    return bool(
        path.suffix.lower() == ".json" and _JSON_HEAD.search(head) and _JSON_BODY.search(head)
    )


def xml_documents(path: Path, tally: Tally) -> list[Record]:
    """The documents of a BioC XML file.

    Raises:
        CorpusError: it is not XML, or no collection.
    """
    file = _XmlFile()
    try:
        file.parser.Parse(read_bytes(path), True)
    except expat.ExpatError as error:
        raise CorpusError(
            f"line {error.lineno}, column {error.offset + 1}: not XML "
            f"({expat.ErrorString(error.code)}); is the file cut off?"
        ) from None
    tally.note("elements that BioC does not have left out", file.n_unknown)
    documents: list[Record] = file.root.get("documents", [])
    return documents


@dataclass(slots=True)
class _XmlFile:
    """The state of the parser: the open elements, each with its object where it is one."""

    parser: expat.XMLParserType = field(default_factory=expat.ParserCreate)
    root: Record = field(default_factory=dict)
    stack: list[tuple[str, Record | None]] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    key: str = ""
    n_unknown: int = 0

    def __post_init__(self) -> None:
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.parts.append
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.SkippedEntityHandler = self._entity

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        self.parts.clear()
        if not self.stack:
            if name != "collection":
                raise CorpusError(f"line {line}: the root is no collection; is it BioC?")
            self.stack.append((name, self.root))
            return
        above, holder = self.stack[-1]
        record: Record | None = None
        if name in _OBJECTS and above in _OBJECTS[name][0] and holder is not None:
            record = {**attributes, "line": line}
            holder.setdefault(_OBJECTS[name][1], []).append(record)
        elif name in _OBJECTS:
            raise CorpusError(f"line {line}: {name} stands where BioC has none; is it BioC?")
        elif name == "infon":
            self.key = attributes.get("key", "")
        else:
            self.n_unknown += name not in (*_FIELDS, *_HEADING)
        self.stack.append((name, record))

    def _end(self, name: str) -> None:
        self.stack.pop()
        holder = self.stack[-1][1] if self.stack else None
        if name in _FIELDS and holder is not None:
            text = "".join(self.parts)
            if name != "infon":
                holder[name] = text
            else:
                infons = holder.setdefault("infons", {})
                # A key may stand several times.
                known = infons.get(self.key)
                infons[self.key] = text if known is None else [*listed(known), text]
        self.parts.clear()

    def _doctype(self, name: str, system: object, public: object, has_subset: bool) -> None:
        if has_subset:
            raise CorpusError(
                f"line {self.parser.CurrentLineNumber}: a DOCTYPE with declarations is refused; "
                'leave <!DOCTYPE collection SYSTEM "BioC.dtd">'
            )

    def _entity(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise CorpusError(
                f"line {self.parser.CurrentLineNumber}: an entity that XML does not know; write "
                "the character itself"
            )


def json_documents(path: Path, tally: Tally) -> list[Record]:
    """The documents of a BioC JSON file; none where it was dropped.

    Raises:
        CorpusError: it is not JSON, or no BioC.
    """
    raw = read_text(path, tally)
    if raw is None:
        return []
    found: list[Record] = []
    for value in _values(raw.removeprefix("\ufeff")):
        if has_surrogates(raw):
            check_values(value)
        found += _flat(value, 0)
    return found


def _values(raw: str) -> Iterator[Any]:
    """The value of the text, or that of each line where each is one."""
    lines = [line for line in raw.split("\n") if line.strip()]
    if len(lines) > 1 and all(line.strip()[0] + line.strip()[-1] == "{}" for line in lines):
        for line in lines:
            yield parse_json(line)
    else:
        yield parse_json(raw)


def _flat(value: Any, depth: int) -> Iterator[Record]:
    """The documents of a collection, of several, or of a list."""
    if isinstance(value, list) and depth < _MAX_DEPTH:
        for item in value:
            yield from _flat(item, depth + 1)
    elif isinstance(value, dict) and "passages" in value:
        yield value
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        inner = value.get("documents", value.get("PubTator3"))
        if not isinstance(inner, list):
            raise CorpusError("an object has neither documents nor passages; is it BioC?")
        yield from _flat(inner, depth + 1)
    else:
        raise CorpusError("holds something else than documents; is it BioC?")
