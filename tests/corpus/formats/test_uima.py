import json
import re
import sys
import zipfile
from collections import Counter
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus.annotators import Place, read_annotators
from notesmith.corpus.formats import uima, uima_write
from notesmith.corpus.problems import Tally
from notesmith.document import ConceptRelation, Document, Entity, Relation, Section
from notesmith.errors import CorpusError, MissingExtraError, OffsetError
from tests.corpus.documents import entities, texts, words

cassis = pytest.importorskip("cassis")

SPAN = "custom.Span"
NAMED = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
META = "de.tudarmstadt.ukp.dkpro.core.api.metadata.type.DocumentMetaData"
TOKEN = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Token"
SENTENCE = "de.tudarmstadt.ukp.dkpro.core.api.segmentation.type.Sentence"
TYPES = {
    META: ("uima.tcas.DocumentAnnotation", {
        name: "String" for name in
        ("documentTitle", "documentId", "documentUri", "collectionId", "documentBaseUri")
    } | {"isLastSegment": "Boolean"}),
    SENTENCE: ("uima.tcas.Annotation", {"id": "String"}),
    TOKEN: ("uima.tcas.Annotation", {"order": "Integer"}),
    SPAN: ("uima.tcas.Annotation", {
        "label": "String", "negated": "Boolean", "certainty": "String", "codes": "StringArray",
        "dose": "Integer", "identifier": "String", "type": "String", "next": SPAN,
    }),
    "custom.Relation": ("uima.tcas.Annotation", {
        "Dependent": SPAN, "Governor": SPAN, "label": "String", "note": "String",
    }),
    "webanno.custom.Note": ("uima.tcas.Annotation", {"value": "String"}),
    NAMED: ("uima.tcas.Annotation", {"value": "String", "identifier": "String"}),
    "de.tudarmstadt.ukp.clarin.webanno.api.type.LayerDefinition": (
        "uima.cas.TOP", {"name": "String", "uiName": "String"}
    ),
}  # fmt: skip


def types_xml(types=TYPES):
    """The type system as INCEpTION writes it."""
    found = []
    for name, (parent, features) in types.items():
        inner = "".join(
            f"<featureDescription><name>{feature}</name><description/><rangeTypeName>"
            f"{kind if '.' in kind else f'uima.cas.{kind}'}</rangeTypeName></featureDescription>"
            for feature, kind in features.items()
        )
        found.append(
            f"<typeDescription><name>{name}</name><description/><supertypeName>{parent}"
            f"</supertypeName><features>{inner}</features></typeDescription>"
        )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<typeSystemDescription '
        'xmlns="http://uima.apache.org/resourceSpecifier">\n    <name>INCEpTION Annotation '
        f"Schema Types</name><types>{''.join(found)}</types></typeSystemDescription>"
    )


# What INCEpTION exports of "👩 denies chest\r\npain & 𝛼.", the annotator's name being "admin".
XMI = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<xmi:XMI xmlns:custom="http:///custom.ecore" xmlns:xmi="http://www.omg.org/XMI"'
    ' xmlns:cas="http:///uima/cas.ecore" xmlns:custom2="http:///webanno/custom.ecore"'
    ' xmlns:type="http:///de/tudarmstadt/ukp/dkpro/core/api/metadata/type.ecore"'
    ' xmlns:type2="http:///de/tudarmstadt/ukp/dkpro/core/api/segmentation/type.ecore"'
    ' xmlns:type3="http:///de/tudarmstadt/ukp/dkpro/core/api/ner/type.ecore"'
    ' xmlns:type4="http:///de/tudarmstadt/ukp/clarin/webanno/api/type.ecore" xmi:version="2.0">\n'
    '    <cas:NULL xmi:id="0"/>\n'
    '    <type:DocumentMetaData xmi:id="8" sofa="1" begin="0" end="26" language="x-unspecified"'
    ' documentTitle="note 1.txt" documentId="admin" documentUri="clinic/note 1.txt"'
    ' collectionId="clinic" documentBaseUri="clinic" isLastSegment="false"/>\n'
    '    <type2:Sentence xmi:id="19" sofa="1" begin="0" end="26"/>\n'
    '    <type2:Token xmi:id="29" sofa="1" begin="0" end="2" order="0"/>\n'
    '    <custom:Span xmi:id="172" sofa="1" begin="10" end="21" label="Problem" negated="true"'
    ' certainty="not sure" identifier="C1" type="t" dose="3" next="177">'
    "<codes>a b</codes><codes>c</codes></custom:Span>\n"
    '    <custom:Span xmi:id="177" sofa="1" begin="23" end="25" label="Drug" negated="false"/>\n'
    '    <custom:Relation xmi:id="182" sofa="1" begin="23" end="25" Dependent="177"'
    ' Governor="172" label="treats" note="n"/>\n'
    '    <type4:LayerDefinition xmi:id="190" name="custom.Span" uiName="Span"/>\n'
    '    <cas:Sofa xmi:id="1" sofaNum="1" sofaID="_InitialView" mimeType="text"'
    ' sofaString="👩 denies chest&#13;&#10;pain &amp; 𝛼."/>\n'
    '    <cas:View sofa="1" members="8 19 29 172 177 182 190"/>\n'
    "</xmi:XMI>\n"
)
TEXT = "👩 denies chest\r\npain & 𝛼."
XMI = XMI.replace('begin="23" end="25"', 'begin="24" end="26"').replace(
    'end="26" lan', 'end="27" lan'
)
XMI = XMI.replace('begin="0" end="26"', 'begin="0" end="27"')
ENTITIES = (
    Entity(
        "T1",
        "Problem",
        ((9, 20),),
        ("certainty=not sure", "codes=a b", "codes=c", "dose=3", "negated", "type=t"),
        ("C1",),
    ),
    Entity("T2", "Drug", ((23, 24),)),
)
RELATION = Relation("R1", "treats", "T1", "T2")


def put(tmp_path, xmi=XMI, name="note.xmi", types=None):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(xmi.encode("utf-8"))
    (path.parent / "TypeSystem.xml").write_text(types or types_xml())
    return path


def read(path, on_problem="raise", **options):
    tally = Tally(on_problem)
    docs = list(uima.read(path, path.stem, tally, **options))
    return docs, dict(tally.counts)


def test_reads_what_inception_exports(tmp_path):
    docs, counts = read(put(tmp_path))
    assert docs == [
        Document("note 1", TEXT, ENTITIES, (RELATION,), metadata={"annotator": "admin"})
    ]
    assert docs[0].mentions() == ["chest\r\npain", "𝛼"]
    assert counts == {
        "attributes of relations left out": 1,
        "features that refer to other annotations left out": 1,
    }


def zipped(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_zip_is_read_in_memory(tmp_path):
    members = {"../admin.xmi": XMI, "TypeSystem.xml": types_xml()}
    path = zipped(tmp_path / "in" / "note.zip", members)
    assert read(path)[0][0].entities == ENTITIES
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["note.zip"]


def test_a_project_export_names_its_annotators_by_its_files(tmp_path):
    bare = re.sub(r'documentTitle="[^"]*" documentId="[^"]*" documentUri="[^"]*"', "", XMI)
    for folder, name in [
        ("annotation", "ann"),
        ("annotation", "bob"),
        ("curation", "CURATION_USER"),
    ]:
        members = {f"{name}.xmi": bare, "TypeSystem.xml": types_xml()}
        zipped(tmp_path / folder / "note 1.txt" / f"{name}.zip", members)
    initial = tmp_path / "annotation" / "note 1.txt" / "INITIAL_CAS.zip"
    zipped(initial, {"INITIAL_CAS.xmi": bare, "TypeSystem.xml": types_xml()})
    (tmp_path / "exportedproject123.json").write_text('{"name": "a project"}')
    found = read_annotators([Place(tmp_path)], ReadingConfig(without_mentions=True))
    assert {name: [doc.id for doc in docs] for name, docs in found.docs.items()} == {
        "ann": ["note 1"],
        "bob": ["note 1"],
    }
    assert list(found.truth) == ["note 1"]
    assert not uima.claims(initial, "")
    whole = zipped(tmp_path / "export.zip", {"annotation/note 1.txt/ann.zip": b"x"})
    assert not uima.claims(whole, "")
    with pytest.raises(CorpusError, match=r"no \.xmi; unzip a whole project, and name its folder"):
        read(whole)


@pytest.mark.parametrize(
    ("old", "new", "doc_id", "annotator"),
    [
        ('documentId="admin"', 'documentId="note 1.txt"', "note 1.txt", None),
        ('documentId="admin"', 'documentId="sub/note 1.txt"', "sub/note 1.txt", None),
        (
            'documentUri="clinic/note 1.txt"',
            'documentUri="file:/x/note%201.txt"',
            "note 1",
            "admin",
        ),
        ('documentUri="clinic/note 1.txt"', 'documentUri="x"', "admin", None),
        ('documentId="admin"', "", "note 1.txt", None),
        ('documentId="admin" documentUri', "documentUri", "note 1.txt", None),
        ('documentTitle="note 1.txt" documentId="admin"', "", "note", None),
    ],
)
def test_id_and_annotator(tmp_path, old, new, doc_id, annotator):
    docs, _ = read(put(tmp_path, XMI.replace(old, new)))
    assert (docs[0].id, docs[0].metadata.get("annotator")) == (doc_id, annotator)


def test_a_layer_and_a_feature_can_be_named(tmp_path):
    note = '<custom2:Note xmi:id="5" sofa="1" begin="3" end="9" value="V"/>'
    xmi = XMI.replace("    <type4", f"{note}    <type4").replace('members="8', 'members="5 8')
    path = put(tmp_path, xmi)
    docs, counts = read(path, layer="webanno.custom.Note")
    assert docs[0].entities == (Entity("T1", "V", ((2, 8),)),)
    assert counts == {
        "annotations of other layers left out": 2,
        "relations between other annotations left out": 1,
    }
    docs, _ = read(path, feature="identifier", on_problem="count")
    assert [ent.label for ent in docs[0].entities] == ["C1"]
    with pytest.raises(
        CorpusError, match=r"no layer 'x'; name one .*: custom\.Span \(2\), webanno"
    ):
        read(path, layer="x")
    with pytest.raises(
        CorpusError, match=r"custom\.Span has no feature x; name one of: label, neg"
    ):
        read(path, feature="x")
    docs, _ = read(path, layer=TOKEN, feature="order", on_problem="count")
    assert docs[0].entities == ()


def test_several_layers_or_none_of_the_usual_are_an_error_that_lists_them(tmp_path):
    named = '<type3:NamedEntity xmi:id="5" sofa="1" begin="3" end="9" value="V" identifier="C2"/>'
    xmi = XMI.replace("    <type4", f"{named}    <type4").replace('members="8', 'members="5 8')
    with pytest.raises(
        CorpusError, match=r": mentions in custom\.Span and .*NamedEntity; name one"
    ):
        read(put(tmp_path, xmi))
    docs, _ = read(put(tmp_path, xmi), layer=NAMED)
    assert docs[0].entities == (Entity("T1", "V", ((2, 8),), normalized=("C2",)),)
    only = re.sub("<custom:(Span|Relation).*?(/>|</custom:Span>)", "", xmi).replace(
        " 172 177 182", ""
    )
    assert read(put(tmp_path, only))[0] == [
        docs[0],
    ]
    other = only.replace("type3:NamedEntity", "custom2:Note").replace(' identifier="C2"', "")
    with pytest.raises(CorpusError, match=r"no mentions in .*: webanno\.custom\.Note \(1\)$"):
        read(put(tmp_path, other))
    without = other.replace('members="5 8', 'members="8')
    assert read(put(tmp_path, without))[0][0].entities == ()


def as_json(xmi=XMI, types=None):
    """The same CAS as JSON; cassis writes every type where INCEpTION writes those that occur."""
    system = cassis.load_typesystem(types or types_xml())
    return json.loads(cassis.load_cas_from_xmi(xmi, system).to_json())


def put_json(tmp_path, record, name="note.json"):
    path = tmp_path / name
    path.write_text(record if isinstance(record, str) else json.dumps(record))
    return path


@pytest.mark.filterwarnings("ignore")
def test_json_holds_its_own_types(tmp_path):
    record = as_json()
    path = put_json(tmp_path, record)
    assert uima.claims(path, path.read_text()[:500])
    docs, _ = read(path)
    assert (docs[0].id, docs[0].text, docs[0].entities) == ("note 1", TEXT, ENTITIES)
    assert docs[0].relations == (RELATION,)
    for name in [SPAN, "custom.Relation"]:
        del record["%TYPES"][name]
    record["%FEATURE_STRUCTURES"] = [
        fs
        for fs in record["%FEATURE_STRUCTURES"]
        if not fs["%TYPE"].startswith(("custom", "uima.cas.StringArray"))
    ]
    kept = {fs["%ID"] for fs in record["%FEATURE_STRUCTURES"]}
    members = record["%VIEWS"]["_InitialView"]["%MEMBERS"]
    record["%VIEWS"]["_InitialView"]["%MEMBERS"] = [m for m in members if m in kept]
    docs, _ = read(put_json(tmp_path, record), layer=SPAN)
    assert docs[0].entities == ()
    assert not uima.claims(tmp_path / "x.json", '{"a": 1}')


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('begin="10" end="21"', 'begin="10" end="99"', "offset 99 is past the text or inside a"),
        ('begin="10" end="21"', 'begin="1" end="21"', "offset 1 is past the text or inside a char"),
        (
            'begin="10" end="21"',
            'begin="10" end="10"',
            r"xmi:id 172: entity 'T1': \[9, 9\) is empty",
        ),
        ('begin="10" end="21"', 'begin="21" end="10"', "xmi:id 172: .* empty or negative"),
        ('begin="10" end="21"', 'begin="a" end="21"', "cassis cannot read it .ValueError."),
        (' label="Problem"', "", r"xmi:id 172: \[9, 20\) has no label; label it, or name another"),
        (' label="Problem"', ' label=""', "has no label; label it"),
        (' Governor="172"', "", "xmi:id 182: a relation needs two ends"),
        ('Governor="172"', 'Governor="7"', "cassis cannot read it .KeyError."),
        ('Governor="172"', 'Governor="200"', "xmi:id 182: a relation names what is no mention"),
        ('members="8 19', 'members="8 5 19', "cassis cannot read it .KeyError."),
        ('members="8 19', 'members="172 8 19', "an annotation stands twice in its view"),
        ('xmi:id="29"', 'xmi:id="172"', "xmi:id 172 stands 2 times"),
        (' sofaString="', ' x="', "cassis cannot read it .TypeError."),
        ('sofaString="👩 denies chest&#13;&#10;pain &amp; 𝛼."', "", "holds no text"),
        ("custom2", "custom", r"not well-formed XML 1\.0 .line 1, column \d+."),
        ("&amp;", "&#1;", r"not well-formed XML 1\.0"),
        (
            "<custom:Relation",
            "<custom:Other",
            "type system lacks a type that is used; give the one it was",
        ),
        (' note="n"', ' other="chest"', "cassis cannot read it .TypeError."),
        ('negated="true"', 'negated="maybe"', "cassis cannot read it .ValueError."),
        (
            "<xmi:XMI",
            "<!DOCTYPE x [<!ENTITY a 'b'>]><xmi:XMI",
            "document type definition, which is",
        ),
    ],
)
def test_bad_xmi_is_one_line_without_text(tmp_path, old, new, message):
    unseen = '    <custom:Span xmi:id="200" sofa="1" begin="0" end="2" label="P"/>\n'
    xmi = XMI.replace("    <type4", f"{unseen}    <type4").replace(old, new)
    path = put(tmp_path, xmi)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "chest" not in str(error.value)
    assert "\n" not in str(error.value)
    _, counts = read(path, "count")
    assert sum(n for what, n in counts.items() if what.startswith("dropped: ")) >= 1


@pytest.mark.parametrize(
    ("types", "message"),
    [
        ("<typeSystem", r"TypeSystem\.xml: not well-formed XML 1\.0"),
        (types_xml().replace("<name>label<", "<name>label=print()<"), "name is no identifier"),
        (types_xml().replace("<name>label<", "<name>a b<"), "name is no identifier"),
        (types_xml().replace("<name>label<", "<name/><x><"), "TypeSystem.xml: not well-formed"),
        (types_xml().replace("<name>label</name>", ""), "name is no identifier|cassis cannot"),
        (types_xml().replace("<name>certainty<", "<name>class<"), "cassis cannot read it .Syntax"),
        (types_xml().replace("uima.cas.Boolean", "x.Y"), r"TypeSystem\.xml: cassis cannot read it"),
        (types_xml({SPAN: TYPES[SPAN]}), "the type system lacks a type that is used"),
        ("<!DOCTYPE a>" + types_xml()[39:], r"TypeSystem\.xml holds a document type definition"),
    ],
)
def test_bad_types_are_one_line(tmp_path, types, message):
    path = put(tmp_path, types=types)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert read(path, "count")[1] == {"dropped: file": 1}


def test_types_are_inferred_where_none_are_beside_it(tmp_path):
    path = put(tmp_path)
    (tmp_path / "TypeSystem.xml").rename(tmp_path / "typesystem.xml")
    assert read(path)[0][0].entities == ENTITIES
    (tmp_path / "typesystem.xml").unlink()
    (doc,), counts = read(path)
    # What refers to another annotation cannot be told from a number, but for a relation's ends.
    assert (doc.entities, doc.relations, doc.text) == (ENTITIES, (RELATION,), TEXT)
    assert counts["files without TypeSystem.xml, their types inferred"] == 1
    with pytest.raises(CorpusError, match=r"no layer 'x'; name one .*: custom\.Span \(2\)"):
        read(path, layer="x")
    path.write_text(re.sub("begin=", "b=", XMI))
    with pytest.raises(CorpusError, match=r"no TypeSystem\.xml beside it; INCEpTION exports it in"):
        read(path)
    path.write_text(XMI.replace("certainty=", "class-of="))
    with pytest.raises(CorpusError, match="a feature's name is no identifier"):
        read(path)
    with pytest.raises(CorpusError, match="cannot be read"):
        read(tmp_path / "none.xmi")


def test_no_other_encoding_hides_an_entity(tmp_path):
    path = put(tmp_path)
    hidden = "<!DOCTYPE x [<!ENTITY a 'b'>]><x/>"
    path.write_bytes(hidden.encode("utf-16"))
    with pytest.raises(CorpusError, match="byte 0 is not UTF-8"):
        read(path)
    utf7 = '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE x+AD4-<x/>'
    path.write_text(utf7)
    with pytest.raises(CorpusError, match="not well-formed"):
        read(path)


def test_a_file_cut_off_anywhere_is_an_error(tmp_path):
    whole = put(tmp_path).read_bytes()
    cut = tmp_path / "cut.xmi"
    for n in range(0, len(whole) - 1, 97):
        cut.write_bytes(whole[:n])
        with pytest.raises(CorpusError):
            read(cut)
        assert read(cut, "count") == ([], {"dropped: file": 1})
    path = zipped(tmp_path / "n.zip", {"a.xmi": XMI, "TypeSystem.xml": types_xml()})
    whole = path.read_bytes()
    for n in range(0, len(whole), 997):
        path.write_bytes(whole[:n])
        assert not uima.claims(path, "")
        with pytest.raises(CorpusError, match="no zip that can be read"):
            read(path)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.xmi": XMI, "TypeSystem.xml": "", "b/TypeSystem.xml": ""}, r"2 TypeSystem\.xml"),
        ({"TypeSystem.xml": "", "a.txt": ""}, r"holds no \.xmi"),
    ],
)
def test_bad_zip_is_one_line(tmp_path, members, message):
    with pytest.raises(CorpusError, match=message):
        read(zipped(tmp_path / "a.zip", members))


def test_a_zip_that_grows_too_much_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.xmi", "x" * (1 << 24))
    with pytest.raises(CorpusError, match="holds more than 5 MiB, too much for a file of its"):
        read(path)


def broken_json():
    base = as_json()
    yield "", "not JSON in UTF-8 .JSONDecodeError, line 1."
    yield json.dumps(base)[:-9], "not JSON in UTF-8"
    yield "[" * 100_000, "not JSON in UTF-8 .RecursionError."
    yield {"_context": {}, "_views": {}}, r"no UIMA CAS JSON 0\.4; export it so .the legacy"
    yield [], r"no UIMA CAS JSON 0\.4"
    yield base | {"%TYPES": {"a.B": 1}}, "a type or structure is no object"
    yield base | {"%FEATURE_STRUCTURES": [1]}, "a type or structure is no object"
    yield base | {"%FEATURE_STRUCTURES": []}, "cassis cannot read it|holds no text"
    yield base | {"%VIEWS": {"_InitialView": {}}}, "cassis cannot read it"
    types = base["%TYPES"]
    evil = types[SPAN] | {"a=print()": {"%NAME": "a", "%RANGE": "uima.cas.String"}}
    yield base | {"%TYPES": types | {SPAN: evil}}, "name is no identifier"
    yield base | {"%TYPES": {}}, "type system lacks|cassis cannot read it"
    structures = base["%FEATURE_STRUCTURES"]
    yield base | {"%FEATURE_STRUCTURES": [*structures, structures[-1]]}, "two structures have one"
    at = next(i for i, fs in enumerate(structures) if fs["%TYPE"] == SPAN)
    for change, message in [
        ({"end": 999}, "offset 999 is past the text"),
        ({"begin": 1}, "offset 1 is past the text or inside a character"),
        ({"begin": "1"}, "xmi:id 172: an annotation needs begin and end|cassis cannot read it"),
        ({"label": 7}, "has no label"),
        ({"@sofa": 999}, "cassis cannot read it"),
        ({"other": "chest"}, "cassis cannot read it .TypeError."),
    ]:
        changed = [*structures[:at], structures[at] | change, *structures[at + 1 :]]
        yield base | {"%FEATURE_STRUCTURES": changed}, message


@pytest.mark.filterwarnings("ignore")
def test_bad_json_is_one_line_without_text(tmp_path):
    for record, message in broken_json():
        path = put_json(tmp_path, record)
        with pytest.raises(CorpusError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "chest" not in str(error.value)
        assert "\n" not in str(error.value)
        assert any(what.startswith("dropped: ") for what in read(path, "count")[1])


def is_space(character):
    return character.isspace() or character in uima_write._INVISIBLE


def refuses(cas):
    """What INCEpTION's tests of an import (inception-diag) would find."""
    text = cas.sofa_string
    sentences = [(fs.begin, fs.end) for fs in cas.select(SENTENCE)]
    tokens = [(fs.begin, fs.end) for fs in cas.select(TOKEN)]
    for spans in (sentences, tokens):
        yield from (f"overlap {a}" for a, b in pairwise(spans) if b[0] < a[1])
    for fs in [*cas.select(SPAN), *cas.select(TOKEN), *cas.select("custom.Relation")]:
        if fs.begin >= fs.end or is_space(text[fs.begin]) or is_space(text[fs.end - 1]):
            yield f"white space {fs.begin} {fs.end}"
        for at in (fs.begin, fs.end):
            if not any(start <= at <= end for start, end in sentences):
                yield f"outside {at}"
    for fs in cas.select("custom.Relation"):
        if (fs.begin, fs.end) != (fs.Dependent.begin, fs.Dependent.end):
            yield "relation"
    borders = {at for token in tokens for at in token}
    yield from ("token" for fs in cas.select(SPAN) if not {fs.begin, fs.end} <= borders)


NUMBERS = count()
ATTRIBUTES = st.sampled_from(
    ["negated", "certainty=low", "certainty=high", "kind=a b", "type=x", "self=y", "dose=0"]
)


@st.composite
def docs(draw):
    text = draw(texts)
    ents = tuple(
        Entity(
            ent.id,
            ent.label,
            ent.spans,
            tuple(draw(st.lists(ATTRIBUTES, max_size=3))),
            tuple(draw(st.lists(words, max_size=2))),
        )
        for ent in draw(entities(text))
    )
    ids = st.sampled_from([ent.id for ent in ents]) if ents else st.nothing()
    ends = draw(st.lists(st.tuples(ids, ids), max_size=3 if ents else 0))
    relations = tuple(Relation(f"R{i}", "r", *pair) for i, pair in enumerate(ends, 1))
    return Document(f"d/{draw(st.integers(0, 9**6))}", text, ents, relations)


@pytest.mark.filterwarnings("ignore:Trying to add feature")
@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(docs(), max_size=2, unique_by=lambda doc: doc.id))
def test_read_undoes_write_and_inception_would_take_it(tmp_path, documents):
    folder = tmp_path / str(next(NUMBERS))
    lost = uima_write.write(documents, folder)
    for doc in documents:
        path = folder / f"{doc.id}.xmi"
        back = read(path)[0][0]
        system = cassis.load_typesystem(path.parent / "TypeSystem.xml")
        assert list(refuses(cassis.load_cas_from_xmi(path, system))) == []
        assert back.id == doc.id
        assert back.text == uima_write._NOT_XML.sub(" ", doc.text)
        if not +lost:
            assert back == doc
        kept = [ent for ent in doc.entities if doc.text[ent.start : ent.end].strip()]
        assert Counter(ent.label for ent in back.entities) <= Counter(ent.label for ent in kept)
        for ent in back.entities:
            assert any(
                e.label == ent.label and e.start <= ent.start and ent.end <= e.end for e in kept
            )


def test_what_inception_cannot_hold_is_counted(tmp_path):
    doc = Document(
        "a",
        "No chest pain.\x00 ",
        (
            Entity("x", "P", ((3, 8), (9, 13)), ("class", "a-b=c", "empty=", "k", "k=v")),
            Entity("y", "Q", ((2, 8),)),
            Entity("z", "Q", ((8, 9),)),
        ),
        relations=(Relation("r", "is", "x", "y", symmetric=True), Relation("s", "is", "x", "z")),
        concept_relations=(ConceptRelation("CID", "D1", "D2"),),
        sections=(Section("s", 0, 5),),
        metadata={"patient": "p"},
    )
    assert +uima_write.write([doc], tmp_path / "out") == {
        "attributes left out": 3,
        "characters that XML cannot hold written as spaces": 1,
        "concept relations left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose metadata, sections or provenance were left out": 1,
        "entity ids numbered anew": 2,
        "flags written as NAME=true": 1,
        "mentions of white space left out": 1,
        "mentions written without their outer white space": 1,
        "relation ids numbered anew": 1,
        "relations of mentions left out": 1,
        "symmetric relations written as directed": 1,
    }
    docs, _ = read(tmp_path / "out" / "a.xmi")
    assert docs[0].text == "No chest pain.  "
    assert docs[0].mentions() == ["chest pain", "chest"]
    assert docs[0].entities[0].attributes == ("k=true", "k=v")


def test_a_document_without_a_word_is_counted(tmp_path):
    lost = uima_write.write([Document("a", ""), Document("b", " \n")], tmp_path / "out")
    assert lost["documents without a word, which INCEpTION does not import"] == 2
    assert [read(tmp_path / "out" / f"{n}.xmi")[0][0].text for n in "ab"] == ["", " \n"]


def test_what_cannot_be_written_is_refused(tmp_path):
    said = "a doc with an id of an unknown kind: the id cannot be a file name"
    with pytest.raises(CorpusError, match=said):
        uima_write.write([Document("../a", "x")], tmp_path / "out")
    doc = Document("a", "x", (Entity("T1", "P\x01", ((0, 1),)),))
    with pytest.raises(CorpusError, match=r"doc 'a': an id, label, .* that XML cannot; use jsonl"):
        uima_write.write([doc], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    uima_write.write([], tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["TypeSystem.xml"]


def test_without_cassis_the_install_line_is_printed(tmp_path, monkeypatch):
    path = put(tmp_path)
    monkeypatch.setitem(sys.modules, "cassis", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'notesmith\[inception\]'"):
        read(path)
    with pytest.raises(MissingExtraError, match=r"pip install 'notesmith\[inception\]'"):
        uima_write.write([], tmp_path / "out")


def test_bad_offsets_are_offset_errors(tmp_path):
    with pytest.raises(OffsetError):
        read(put(tmp_path, XMI.replace('end="21"', 'end="99"')))
