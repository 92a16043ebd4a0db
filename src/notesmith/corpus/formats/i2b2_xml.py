r"""i2b2 XML: ``TEXT`` in CDATA and standoff ``TAGS``; temporal (2012), de-identification (2014).

One file a document::

    <deIdi2b2>
    <TEXT><![CDATA[Seen by Dr. Ito.]]></TEXT>
    <TAGS>
    <NAME id="P0" start="12" end="15" text="Ito" TYPE="DOCTOR" comment="" />
    </TAGS>
    </deIdi2b2>

The root's name does not matter: ``deIdi2b2`` (2014, 2016), ``root`` (risk factors 2014),
``ClinicalNarrativeTemporalAnnotation`` (2012), ``PatientMatching`` (2018). The label is ``TYPE`` or
``type`` where that is filled, else the name of the tag (or always the name, with ``labels="tag"``).
Other filled XML attributes become ``NAME=VALUE``; one whose value is its name is a flag. Tags with
``fromID`` and ``toID`` (``TLINK``) are relations. Tags without offsets state something of the whole
document and are kept in ``metadata["document_tags"]``; tags inside them (the "complete" risk
factors) are mentions.

Traps: 2012 begins its CDATA with a line end, so that its offsets count from 1 in readers that strip
it. An XML reader makes one character of ``\r\n``, an annotation tool may have counted two. Which
holds is decided by the ``text`` attributes, once for a whole file. 2012 keeps ``&apos;`` unresolved
in its CDATA, and 14 of its 310 files are not XML, for a bare ``&``: they are mended and counted. A
DOCTYPE is refused, and with it every entity that could name a file.

Source: Sun et al. 2013, Stubbs et al. 2015, and the files' layout in public readers of them
(bigscience-workshop/biomedical, nedap/deidentify).
"""

from __future__ import annotations

import contextlib
import html
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from notesmith.corpus.formats.pubtator import LINE_ENDS
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally, read_text
from notesmith.document import Document, Entity, Relation, Span
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_id
from notesmith.files.write import atomic_folder, file_name, write_part

Labels = Literal["type", "tag"]
Layout = Literal["2012", "2014"]

DOCUMENT_TAGS = "document_tags"
_TIME_TAGS = ("EVENT", "TIMEX3", "SECTIME")
_SECTION_TIMES = ("ADMISSION", "DISCHARGE")
_TAG_OF_TIME = {
    **dict.fromkeys("DATE TIME DURATION FREQUENCY".split(), "TIMEX3"),
    **dict.fromkeys(_SECTION_TIMES, "SECTIME"),
}
_TAG_OF_TYPE = {
    label: tag
    for tag, labels in (
        ("NAME", "PATIENT DOCTOR USERNAME"),
        ("LOCATION", "HOSPITAL DEPARTMENT ORGANIZATION ROOM STREET CITY STATE COUNTRY ZIP"),
        ("LOCATION", "LOCATION-OTHER"),
        ("CONTACT", "PHONE FAX EMAIL URL IPADDR IPADDRESS"),
        ("ID", "SSN MEDICALRECORD HEALTHPLAN ACCOUNT LICENSE VEHICLE DEVICE BIOID IDNUM"),
    )
    for label in labels.split()
}
# Tags that have no type.
_RISKS = frozenset(
    "CAD DIABETES FAMILY_HIST HYPERLIPIDEMIA HYPERTENSION MEDICATION OBESE SMOKER".split()
)
_ROOTS: dict[Layout, str] = {"2012": "ClinicalNarrativeTemporalAnnotation", "2014": "deIdi2b2"}
_TYPES = frozenset({"TYPE", "type"})
_OWN = _TYPES | {"id", "start", "end", "text", "fromID", "toID"}
_NO_OFFSET = frozenset({"", "_", "-1"})
_RETURN = "]]>&#13;<![CDATA["  # For XML drops a bare one.

_HEAD = re.compile(
    r"\s*+(?:<\?xml[^>]*+>)?"
    r"(?>\s++|<!--(?>.*?-->)|<!DOCTYPE[^\[>]*+(?>\[(?>.*?\]\s*>)|>))*+"
    r"<[A-Za-z_][\w.\-]*+[^<>]*+>\s*+<TEXT[\s>/]",
    re.DOTALL,
)
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")


def claims(path: Path, head: str) -> bool:
    """Whether ``path``, which begins with ``head``, is such a file."""
    return path.suffix.lower() == ".xml" and _HEAD.match(head.removeprefix("\ufeff")) is not None


def read(
    path: Path, doc_id: str, tally: Tally, *, labels: Labels = "type", unlabelled: bool = False
) -> Iterator[Document]:
    """Read the document of one file.

    Args:
        path: the file.
        doc_id: its id, as the file names none.
        tally: what to do with bad records.
        labels: take the label from ``type`` where there is one, or always from the ``tag``.
        unlabelled: a file without TAGS is a document without mentions, not an error.
    """
    raw = read_text(path, tally)
    if raw is None:
        return
    with tally.dropping("document", f"{path}: doc {doc_id!r}"):
        file = _parse(raw.removeprefix("\ufeff"), tally)
        if not file.has_tags and not unlabelled:
            raise CorpusError("no TAGS element; add one, or read it as unlabelled")
        tally.note("files without TAGS, read as unlabelled", not file.has_tags)
        yield _Reading(path, doc_id, tally, labels).document(file)


@dataclass(frozen=True, slots=True)
class _Tag:
    """An element below TAGS; ``inner`` if it stands inside another."""

    line: int
    name: str
    inner: bool
    attributes: dict[str, str]

    @property
    def is_link(self) -> bool:
        return "fromID" in self.attributes or "toID" in self.attributes

    @property
    def is_mention(self) -> bool:
        ends = {self.attributes.get("start", ""), self.attributes.get("end", "")}
        return not self.is_link and not ends <= _NO_OFFSET


@dataclass(slots=True)
class _File:
    """What one file holds; ``raw`` is its content, mended if need be."""

    raw: str
    text: str = ""
    tags: list[_Tag] = field(default_factory=list)
    has_text: bool = False
    has_tags: bool = False
    n_others: int = 0


def _parse(raw: str, tally: Tally) -> _File:
    try:
        file = _parse_xml(raw)
    except expat.ExpatError as error:
        try:
            file = _parse_xml(_mended(raw))
        except expat.ExpatError:
            raise CorpusError(
                f"line {error.lineno}, column {error.offset + 1}: not XML "
                f"({expat.ErrorString(error.code)}); is the file cut off?"
            ) from None
        tally.note("files that are not XML, for a bare '&', mended")
    if not file.has_text:
        raise CorpusError("no TEXT element; is it i2b2 XML?")
    tally.note("elements beside TEXT and TAGS left out", file.n_others)
    return file


def _cdata_parts(raw: str) -> list[str]:
    """``raw`` in parts: what is outside CDATA at even places, whole CDATA sections at odd ones."""
    parts: list[str] = []
    at = 0
    while (start := raw.find("<![CDATA[", at)) >= 0 and (end := raw.find("]]>", start)) >= 0:
        parts += [raw[at:start], raw[start : end + 3]]
        at = end + 3
    return [*parts, raw[at:]]


def _mended(raw: str) -> str:
    parts = _cdata_parts(raw)
    parts[::2] = [_BARE_AMPERSAND.sub("&amp;", part) for part in parts[::2]]
    return "".join(parts)


def _parse_xml(raw: str) -> _File:
    """Walk the elements: the root at depth 1, TEXT and TAGS at 2, tags below."""
    file = _File(raw)
    stack: list[str] = []
    texts: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        stack.append(name)
        line = parser.CurrentLineNumber
        if len(stack) == 2:
            if name == "TEXT" and file.has_text:
                raise CorpusError(f"line {line}: a second TEXT; one file holds one document")
            file.has_text |= name == "TEXT"
            file.has_tags |= name == "TAGS"
            file.n_others += name not in ("TEXT", "TAGS")
        elif stack[1:2] == ["TEXT"]:
            raise CorpusError(
                f"line {line}: TEXT holds elements (2006 has its tags in the text, which is not "
                "read); move them to TAGS, with offsets"
            )
        elif stack[1:2] == ["TAGS"]:
            file.tags.append(_Tag(line, name, len(stack) > 3, attributes))

    def data(text: str) -> None:
        if stack[1:] == ["TEXT"]:
            texts.append(text)

    def doctype(*_: object) -> None:
        line = parser.CurrentLineNumber
        raise CorpusError(f"line {line}: a DOCTYPE is refused, for it can name files; remove it")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = data
    parser.StartDoctypeDeclHandler = doctype
    # The declaration is blanked: some files have a line end before it, and raw is decoded already.
    parser.Parse(_DECLARATION.sub(lambda match: re.sub(r"\S", " ", match[0]), raw), True)
    file.text = "".join(texts)
    return file


def _with_returns(raw: str) -> str:
    """``raw`` with references for the carriage returns in TEXT, which XML would drop."""
    start, end = raw.find(">", raw.find("<TEXT")), raw.rfind("</TEXT>")
    parts = _cdata_parts(raw[start:end])
    parts[::2] = [part.replace("\r", "&#13;") for part in parts[::2]]
    parts[1::2] = [part.replace("\r", _RETURN) for part in parts[1::2]]
    return raw[:start] + "".join(parts) + raw[end:]


def _span(tag: _Tag, shift: int) -> Span:
    ends = [tag.attributes.get("start", ""), tag.attributes.get("end", "")]
    if not all(re.fullmatch(r"[0-9]{1,9}", end) for end in ends):
        raise CorpusError("a mention needs whole numbers as start and end; correct them")
    return int(ends[0]) + shift, int(ends[1]) + shift


def _plain(string: str) -> str:
    return LINE_ENDS.sub(" ", string)


def _bare(string: str) -> str:
    return "".join(string.split())


def _same(found: str, written: str) -> bool:
    return _plain(found) == _plain(written) or (
        _bare(html.unescape(found)) == _bare(html.unescape(written))
    )


@dataclass(slots=True)
class _Reading:
    """One file while it is read."""

    path: Path
    doc_id: str
    tally: Tally
    labels: Labels
    text: str = ""
    shift: int = 0
    entities: dict[str, Entity] = field(default_factory=dict)
    relations: dict[str, Relation] = field(default_factory=dict)
    unread: list[Unread] = field(default_factory=list)

    def document(self, file: _File) -> Document:
        self._align(file)
        for tag in file.tags:
            if tag.is_mention:
                self._mention(tag)
        for tag in file.tags:
            if tag.is_link:
                with self.tally.dropping("relation", self._where(tag)):
                    self._relation(tag)
        rest = [tag for tag in file.tags if not (tag.is_mention or tag.is_link)]
        self.tally.note("document-level tags kept as metadata", len(rest))
        tags = [{"tag": tag.name, "attributes": tag.attributes} for tag in rest]
        masked = masks(self.text, self.unread, tuple(self.entities.values()))
        if masked is None:
            raise CorpusError("a mention that cannot be read may stand anywhere in it")
        return Document(
            id=self.doc_id,
            text=self.text,
            entities=tuple(self.entities.values()),
            relations=tuple(self.relations.values()),
            masked=masked,
            metadata={DOCUMENT_TAGS: tags} if tags else {},
        )

    def _where(self, tag: _Tag) -> str:
        return f"{self.path}:{tag.line}: doc {self.doc_id!r}"

    def _align(self, file: _File) -> None:
        """Choose text and shift: those with which most text attributes agree."""
        texts = [file.text]
        if "\r" in file.raw:
            with contextlib.suppress(expat.ExpatError):
                texts.append(_parse_xml(_with_returns(file.raw)).text)
        candidates = []
        for text in texts:
            n = len(text) - len(text.lstrip())
            candidates += [(text, shift) for shift in dict.fromkeys([0, -1, 1, n, n - 1])]
        mentions = [tag for tag in file.tags if tag.is_mention]
        # The first wins where several agree with as many.
        self.text, self.shift = max(
            candidates, key=lambda candidate: sum(_agrees(tag, *candidate) for tag in mentions)
        )
        self.tally.note("files whose offsets were shifted to agree with the text", self.shift != 0)
        self.tally.note(
            r"files whose offsets count \r\n as two (text kept so)", self.text != file.text
        )

    def _mention(self, tag: _Tag) -> None:
        try:
            self._entity(tag)
        except CorpusError as error:
            self.tally.mask("mention", type(error)(f"{self._where(tag)}: {error}"))
            spans: tuple[Span, ...] = ()
            with contextlib.suppress(CorpusError):
                spans = (_span(tag, self.shift),)
            self.unread.append(Unread(spans, tag.attributes.get("text", "")))

    def _entity(self, tag: _Tag) -> None:
        attributes = tag.attributes
        label = tag.name if self.labels == "tag" else _type(attributes) or tag.name
        start, end = _span(tag, self.shift)
        ent_id = attributes.get("id") or _free(f"T{len(self.entities) + 1}", self.entities)
        where = f"{shown_id(ent_id)} [{start}, {end})"
        if end > len(self.text):
            raise OffsetError(f"{where} is past end {len(self.text)}; correct the offsets")
        own = _OWN - _TYPES if self.labels == "tag" else _OWN
        flags = tuple(
            name if name == value else f"{name}={value}"
            for name, value in attributes.items()
            if value and name not in own
        )
        entity = Entity(ent_id, label, ((start, end),), flags)
        self._check(self.text[start:end], attributes.get("text"), where)
        self.tally.note("mentions inside document-level tags", tag.inner)
        if self.entities.get(ent_id) == entity:
            self.tally.note("identical tags collapsed")
            return
        if ent_id in self.entities:
            if not tag.inner:
                raise CorpusError(f"{shown_id(ent_id)} stands twice; number one anew")
            ent_id = _free(ent_id, self.entities)
            self.tally.note("ids that stood twice in document-level tags, numbered anew")
        self.entities[ent_id] = replace(entity, id=ent_id)

    def _check(self, found: str, written: str | None, where: str) -> None:
        if not written:
            self.tally.note("mentions without a text attribute (offsets not checked)")
        elif not _same(found, written):
            raise OffsetError(
                f"{where}: the text attribute differs from the text there; correct the offsets"
            )
        elif _bare(found) != _bare(written):
            self.tally.note("text attributes that differ in references such as &apos;")
        elif _plain(found) != _plain(written):
            self.tally.note("text attributes that differ in white space (offsets kept)")

    def _relation(self, tag: _Tag) -> None:
        attributes = tag.attributes
        rel_id = attributes.get("id") or _free(f"R{len(self.relations) + 1}", self.relations)
        head, tail = (self._end(attributes.get(name, "")) for name in ("fromID", "toID"))
        relation = Relation(rel_id, _type(attributes) or tag.name, head, tail)
        if self.relations.get(rel_id) == relation:
            self.tally.note("identical tags collapsed")
            return
        if rel_id in self.relations:
            rel_id = _free(rel_id, self.relations)
            self.tally.note("relation ids that stood twice, numbered anew")
        self.relations[rel_id] = replace(relation, id=rel_id)
        filled = {name for name, value in attributes.items() if value}
        self.tally.note(
            "attributes of relations left out", len(filled - _OWN - {"fromText", "toText"})
        )

    def _end(self, ref: str) -> str:
        if ref in self.entities:
            return ref
        # 2012 has some links to a section time by its type.
        types = {ref.upper(), f"type={ref.upper()}"} if ref.upper() in _SECTION_TIMES else set()
        every = self.entities.values() if types else ()
        found = [e.id for e in every if types & {e.label, *e.attributes}]
        if len(found) != 1:
            raise CorpusError("a relation names an unknown mention; add it, or remove this line")
        self.tally.note("relation ends that name a section time by its type")
        return found[0]


def _agrees(tag: _Tag, text: str, shift: int) -> bool:
    written = tag.attributes.get("text")
    try:
        start, end = _span(tag, shift)
    except CorpusError:
        return False
    return bool(written) and 0 <= start < end and _same(text[start:end], written or "")


def _type(attributes: dict[str, str]) -> str | None:
    return attributes.get("TYPE") or attributes.get("type")


def _free(wanted: str, taken: Collection[str]) -> str:
    """``wanted``, or with the first number after it that is not taken."""
    name, n = wanted, 1
    while name in taken:
        n += 1
        name = f"{wanted}-{n}"
    return name


def write(docs: Sequence[Document], path: Path, *, layout: Layout | None = None) -> Counter[str]:
    """Write ``docs`` to the folder ``path``; returns what the format cannot hold, counted.

    Args:
        docs: the documents.
        path: the folder.
        layout: ``2014`` (de-identification) or ``2012`` (temporal), which has relations; without
            it, ``2012`` if there are any.

    Raises:
        CorpusError: a document holds what XML cannot, such as a control character.
    """
    if layout is None:
        layout = "2012" if any(doc.relations for doc in docs) else "2014"
    lost: Counter[str] = Counter()
    names: set[str] = set()
    with atomic_folder(path) as folder:
        for doc in docs:
            name = file_name(doc.id)
            if name in names:
                raise CorpusError(
                    f"{shown_doc(doc.id)}: two documents would share a file; use jsonl"
                )
            names.add(name)
            content = _content(doc, layout, lost)
            if found := _NOT_XML.search(content):
                raise CorpusError(
                    f"{shown_doc(doc.id)}: text or annotation holds U+{ord(found[0]):04X}, which "
                    "XML "
                    "cannot hold; use jsonl"
                )
            write_part(folder / f"{name}.xml", content)
    return lost


def _content(doc: Document, layout: Layout, lost: Counter[str]) -> str:
    root = _ROOTS[layout]
    text = doc.text.replace("]]>", "]]]]><![CDATA[>").replace("\r", _RETURN)
    tags = [_mention_tag(doc, ent, layout, lost) for ent in doc.entities]
    if layout == "2012":
        tags += _links(doc, lost)
    else:
        lost["relations left out"] += len(doc.relations)
    rows = _document_tags(doc)
    tags += [_tag(name, attributes) for name, attributes in rows]
    rest = any(name != DOCUMENT_TAGS or not rows for name in doc.metadata)
    lost["concept relations left out"] += len(doc.concept_relations)
    lost["documents whose metadata, sections or provenance were left out"] += bool(
        rest or doc.masked or doc.sections or doc.provenance.kind != "gold"
    )
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8" ?>',
            f"<{root}>",
            f"<TEXT><![CDATA[{text}]]></TEXT>",
            *("<TAGS>", *tags, "</TAGS>"),
            f"</{root}>",
            "",
        ]
    )


def _tag(name: str, attributes: Mapping[str, str]) -> str:
    return (
        f"<{name} {' '.join(f'{key}={quoteattr(value)}' for key, value in attributes.items())} />"
    )


def _mention_tag(doc: Document, ent: Entity, layout: Layout, lost: Counter[str]) -> str:
    rest: dict[str, str] = {}
    for attribute in ent.attributes:
        name, is_pair, value = attribute.partition("=")
        fits = _NAME.fullmatch(name) and name not in rest and name not in _OWN - _TYPES
        if fits and (value not in ("", name) if is_pair else name not in _TYPES):
            rest[name] = value or name
        else:
            lost["attributes left out"] += 1
    types = {name: rest.pop(name) for name in sorted(_TYPES & rest.keys())}
    tag, kind = _tag_of(ent.label, layout)
    if len(types) == 1 and _NAME.fullmatch(ent.label):
        # As labels="tag" reads it.
        tag, kind = ent.label, types
        lost["labels that labels=tag alone reads back"] += 1
    else:
        lost["attributes left out"] += len(types)
    lost["discontinuous mentions written whole"] += len(ent.spans) > 1
    lost["concept ids left out"] += len(ent.normalized)
    place = {"id": ent.id, "start": str(ent.start), "end": str(ent.end)}
    place["text"] = _plain(doc.text[ent.start : ent.end])
    comment = {"comment": ""} if layout == "2014" else {}
    return _tag(tag, place | kind | comment | rest)


def _tag_of(label: str, layout: Layout) -> tuple[str, dict[str, str]]:
    """Name of the tag, and the attribute that holds the label if the name does not."""
    if layout == "2012":
        if label in _TIME_TAGS:
            return label, {"type": ""}
        return _TAG_OF_TIME.get(label, "EVENT"), {"type": label}
    if label in _RISKS or label in _TIME_TAGS:
        return label, {}
    plain = label if _NAME.fullmatch(label) else "TAG"
    return _TAG_OF_TYPE.get(label, plain), {"TYPE": label}


def _links(doc: Document, lost: Counter[str]) -> Iterator[str]:
    mentions = {ent.id: _plain(doc.text[ent.start : ent.end]) for ent in doc.entities}
    taken: set[str] = set()
    for rel in doc.relations:
        rel_id = _free(rel.id or "TL1", taken)
        taken.add(rel_id)
        lost["relation ids numbered anew"] += rel_id != rel.id
        lost["symmetric relations written as directed"] += rel.symmetric
        ends = {"fromID": rel.head, "fromText": mentions[rel.head]}
        ends |= {"toID": rel.tail, "toText": mentions[rel.tail]}
        yield _tag("TLINK", {"id": rel_id, **ends, "type": rel.label})


def _document_tags(doc: Document) -> list[tuple[str, dict[str, str]]]:
    """The document-level tags among the metadata; none where that name holds something else."""
    tags = doc.metadata.get(DOCUMENT_TAGS)
    rows = [_document_tag(tag) for tag in tags] if isinstance(tags, list) else []
    known = [row for row in rows if row is not None]
    return known if len(known) == len(rows) else []


def _document_tag(tag: object) -> tuple[str, dict[str, str]] | None:
    match tag:
        case {"tag": str(name), "attributes": dict(attributes), **others} if not others:
            names = [name, *attributes]
            if not all(isinstance(word, str) for word in [*names, *attributes.values()]):
                return None
            read_back = _Tag(0, name, False, attributes)
            if all(map(_NAME.fullmatch, names)) and not (read_back.is_mention or read_back.is_link):
                return name, attributes
    return None
