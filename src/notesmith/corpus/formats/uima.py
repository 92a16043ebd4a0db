"""UIMA CAS as INCEpTION exports it: XMI with TypeSystem.xml, a zip, JSON 0.4, or WebAnno TSV.

Mentions are the spans of one layer, relations join two of them, other features of a mention are
attributes (a boolean that is true is a flag). A CAS counts UTF-16 units; ``dkpro-cassis`` gives
code points. INCEpTION keeps the document's name in ``documentTitle`` and who annotated it in
``documentId``; a project's export has a file for each at ``annotation/DOCUMENT/ANNOTATOR.zip`` and
the agreed one at ``curation/DOCUMENT/CURATION_USER.zip``. The XMI names no types: they stand in
TypeSystem.xml, and in JSON only those that occur do. Formats: INCEpTION's user guide (appendix),
and SPECIFICATION.adoc of apache/uima-uimaj-io-jsoncas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from notesmith.corpus.formats import uima_webanno
from notesmith.corpus.formats.uima_files import is_cas, open_cas
from notesmith.corpus.formats.uima_types import shown_layer
from notesmith.corpus.formats.uima_webanno import Names
from notesmith.corpus.formats.unread import Unread, masks
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError, OffsetError, shown_doc, shown_name

ANNOTATOR = "annotator"  # metadata: who annotated
CURATOR = "CURATION_USER"  # The annotator of what was agreed on.
LAYERS = ("custom.Span", "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity")
FEATURES = ("label", "value")
CONCEPTS = ("identifier", "conceptFeature")
DKPRO = "de.tudarmstadt.ukp.dkpro.core.api."
META = f"{DKPRO}metadata.type.DocumentMetaData"
# Types that are no layers of mentions: what preprocessing or an export adds.
_NO_LAYERS = (
    *(f"{DKPRO}{part}." for part in ("segmentation", "metadata", "lexmorph", "syntax")),
    *(f"{DKPRO}{part}." for part in ("transform", "structure")),
    "de.tudarmstadt.ukp.clarin.webanno.api.type.",
    "de.tudarmstadt.ukp.inception.",
    "org.dkpro.core.api.",
    "uima.",
)
_INITIAL = "INITIAL_CAS"  # An export holds every document once more, as it was imported.
_EXPORTED = ("annotation", "curation")  # Folders of a project's export.
_TITLE_SUFFIXES = (".txt", ".xmi", ".json")
ANCHORS = ("sofa", "begin", "end")


def claims(path: Path, head: str) -> bool:
    """Whether ``path``, a file that begins with ``head``, is a CAS of an annotator or curator."""
    return path.stem != _INITIAL and (is_cas(path, head) or uima_webanno.claims(path, head))


def read(
    path: Path,
    stem: str,
    tally: Tally,
    *,
    layer: str | None = None,
    feature: str | None = None,
) -> Iterator[Document]:
    """Read the document of an XMI, JSON, zip or WebAnno TSV file.

    Args:
        path: the file; a ``TypeSystem.xml`` stands beside an XMI file, or its types are inferred.
        stem: the id of a document that names none.
        tally: counts what is left out.
        layer: the type whose annotations are mentions; the one of ``LAYERS`` that occurs if None.
        feature: the feature that is a mention's label; the first of ``FEATURES`` if None.

    Raises:
        MissingExtraError: dkpro-cassis is absent.
    """
    if path.suffix.lower() == ".tsv":
        names = Names(
            LAYERS if layer is None else (layer,),
            FEATURES if feature is None else (feature,),
            CONCEPTS,
        )
        exported = path.parent.parent.name in _EXPORTED
        for doc in uima_webanno.read(path, _title(path) if exported else stem, tally, names):
            yield replace(doc, metadata={ANNOTATOR: path.stem}) if exported else doc
        return
    with tally.dropping("file", str(path)):
        for cas in open_cas(path, tally):
            doc_id, annotator = _identity(path, stem, cas)
            where = f"{path}: {shown_doc(doc_id)}"
            with tally.dropping("document", where):
                minimal = path.suffix.lower() == ".json"
                doc = _Reading(cas, doc_id, where, tally, layer, feature, minimal).document()
                yield replace(doc, metadata={ANNOTATOR: annotator}) if annotator else doc


def _identity(path: Path, stem: str, cas: Any) -> tuple[str, str]:
    """The document's id, and the annotator's name, which may be empty."""
    meta = next((fs for fs in cas.select_all_fs() if fs.type.name == META), None)
    title, name, uri = (
        str(getattr(meta, feature, None) or "")
        for feature in ("documentTitle", "documentId", "documentUri")
    )
    exported = path.parent.parent.name in _EXPORTED
    named = title and name and title not in name and unquote(uri).endswith(f"/{title}")
    if not exported and not named:
        return name or title or stem, ""
    return _title(path, title), path.stem if exported else name


def _title(path: Path, title: str = "") -> str:
    """A document's title without a suffix; that of an export is the name of its folder."""
    doc_id = title or path.parent.name
    for suffix in _TITLE_SUFFIXES:
        doc_id = doc_id.removesuffix(suffix) or doc_id
    return doc_id


@dataclass(slots=True)
class _Reading:
    """One CAS while it becomes a document."""

    cas: Any
    doc_id: str
    where: str
    tally: Tally
    layer: str | None
    feature: str | None
    minimal: bool
    unread: list[Unread] = field(default_factory=list)

    def document(self) -> Document:
        spans, links = self._annotations()
        chosen = self._layer(spans)
        mentions = sorted((fs for fs in spans if chosen and self._is(fs, chosen)), key=_by_id)
        if len({fs.xmiID for fs in mentions}) < len(mentions):
            raise CorpusError("an annotation stands twice in its view; export it again")
        self.tally.note("annotations of other layers left out", len(spans) - len(mentions))
        n_views = sum(bool(view.sofa.sofaString) for view in self.cas.views)
        self.tally.note("further views of a document left out", max(n_views - 1, 0))
        entities: dict[int, Entity] = {}
        for fs in mentions:
            try:
                entities[fs.xmiID] = self._entity(fs, f"T{len(entities) + 1}")
            except CorpusError as error:
                self._unread(fs, type(error)(f"{self.where}: xmi:id {fs.xmiID}: {error}"))
        relations: list[Relation] = []
        for fs in sorted(links, key=_by_id):
            with self.tally.dropping("relation", f"{self.where}: xmi:id {fs.xmiID}"):
                relations += self._relation(fs, f"R{len(relations) + 1}", entities, chosen)
        text, mentions_read = self.cas.sofa_string, tuple(entities.values())
        masked = masks(text, self.unread, mentions_read)
        if masked is None:
            raise CorpusError("an annotation may stand anywhere in the text; correct it")
        return Document(self.doc_id, text, mentions_read, tuple(relations), masked=masked)

    def _unread(self, fs: Any, error: CorpusError) -> None:
        """Keep where an annotation that cannot be read stands; one without a length labels nothing.

        Raises:
            CorpusError: problems are not counted.
        """
        is_placed = type(fs.begin) is int and type(fs.end) is int
        if is_placed and fs.begin == fs.end:
            self.tally.drop("mention", error)
            return
        self.tally.mask("mention", error)
        self.unread.append(Unread(((fs.begin, fs.end),) if is_placed else ()))

    def _annotations(self) -> tuple[list[Any], list[Any]]:
        """The annotations of all layers: spans and relations."""
        spans, links = [], []
        for fs in self.cas.select_all_fs():
            named = self.layer is not None and self._is(fs, self.layer)
            if fs.type.name.startswith(_NO_LAYERS) and not named:
                continue
            if not self._is(fs, "uima.tcas.Annotation"):
                whole = self._is(fs, "uima.cas.AnnotationBase")
                self.tally.note("annotations of whole documents left out", whole)
            elif hasattr(fs, "Governor") and hasattr(fs, "Dependent"):
                links.append(fs)
            else:
                spans.append(fs)
        return spans, links

    def _is(self, fs: Any, name: str) -> bool:
        types = self.cas.typesystem
        return types.contains_type(name) and bool(types.is_instance_of(fs.type, name))

    def _layer(self, spans: Sequence[Any]) -> str | None:
        """The type of mentions; None where no layer of the document is annotated."""
        counts = sorted(Counter(fs.type.name for fs in spans).items())
        listed = ", ".join(f"{shown_layer(name)} ({n})" for name, n in counts)
        if self.layer is not None:
            if self.cas.typesystem.contains_type(self.layer):
                return self.layer
            if self.minimal:
                return None
            what = f"no layer {self.layer!r}"
        else:
            found = [name for name in LAYERS if any(self._is(fs, name) for fs in spans)]
            if len(found) == 1:
                return found[0]
            what = (
                f"mentions in {' and '.join(found)}"
                if found
                else f"no mentions in {' or '.join(LAYERS)}"
            )
        if not spans:
            return None
        raise CorpusError(f"{what}; name one of the layers that are annotated: {listed}")

    def _entity(self, fs: Any, name: str) -> Entity:
        wanted = FEATURES if self.feature is None else (self.feature,)
        names = [feature.name for feature in fs.type.all_features]
        at = next((feature for feature in wanted if feature in names), None)
        if at is None:
            raise CorpusError(
                f"layer {shown_layer(fs.type.name)} has no feature {' or '.join(wanted)}; name one "
                "of: "
                f"{', '.join(shown_name(name) for name in names if name not in ANCHORS)}"
            )
        label = getattr(fs, at)
        if type(fs.begin) is not int or type(fs.end) is not int:
            raise OffsetError("an annotation needs begin and end")
        if not isinstance(label, str) or not label:
            raise CorpusError(
                f"[{fs.begin}, {fs.end}) has no {at}; label it, or name another feature"
            )
        attributes: list[str] = []
        concepts: list[str] = []
        for feature in names:
            if feature == at or feature in ANCHORS:
                continue
            shown = feature.removesuffix("_") if feature in ("self_", "type_") else feature
            values = _values(getattr(fs, feature))
            if values is None:
                self.tally.note("features that refer to other annotations left out")
            elif shown in CONCEPTS:
                concepts += values
            else:
                attributes += [f"{shown}={value}" if value else shown for value in values]
        return Entity(name, label, ((fs.begin, fs.end),), tuple(attributes), tuple(concepts))

    def _relation(
        self, fs: Any, name: str, entities: Mapping[int, Entity], chosen: str | None
    ) -> Iterator[Relation]:
        """The relation, none where it joins annotations of another layer."""
        ends = (fs.Governor, fs.Dependent)
        if any(end is None for end in ends):
            raise CorpusError("a relation needs two ends; remove it")
        if not chosen or not any(self._is(end, chosen) for end in ends):
            self.tally.note("relations between other annotations left out")
            return
        if any(end.xmiID not in entities for end in ends):
            raise CorpusError("a relation names what is no mention of the document; remove it")
        names = [feature.name for feature in fs.type.all_features]
        at = next((feature for feature in FEATURES if feature in names), None)
        label = getattr(fs, at) if at else None
        self.tally.note("relations without a label, named after their layer", not label)
        rest = {*names} - {*ANCHORS, "Governor", "Dependent", at}
        n_rest = sum(bool(_values(getattr(fs, feature))) for feature in rest)
        self.tally.note("attributes of relations left out", n_rest)
        head, tail = (entities[end.xmiID].id for end in ends)
        yield Relation(name, str(label or fs.type.name.rpartition(".")[2]), head, tail)


def _by_id(fs: Any) -> int:
    return int(fs.xmiID)


def _values(value: Any) -> list[str] | None:
    """The values of a feature, ``""`` for a boolean that is true; None if they are no values."""
    if value is None or value == "" or value is False:
        return []
    if isinstance(value, str | int | float):
        return ["" if value is True else str(value)]
    elements = getattr(value, "elements", None)
    if isinstance(elements, list) and all(e is None or isinstance(e, str) for e in elements):
        return [element for element in elements if element]
    return None
