import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import i2b2_xml
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts, words

NOTE_2012 = (
    "\nAdmission Date :\n07/03/1999\nHISTORY :\nThe man &apos;s chest\npain & cough began "
    "that day .\n"
)
DAY = 'type="DATE" val="1999-07-03" mod="NA" />\n'
TEMPORAL = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n'
    "<ClinicalNarrativeTemporalAnnotation>\n"
    f"<TEXT><![CDATA[{NOTE_2012}]]></TEXT>\n"
    "<TAGS>\n"
    '<EVENT id="E0" start="1" end="10" text="Admission" modality="FACTUAL" polarity="POS"'
    ' type="OCCURRENCE" />\n'
    '<EVENT id="E1" start="39" end="65" text="The man \'s chest pain" modality="FACTUAL"'
    ' polarity="NEG" type="PROBLEM" />\n'
    '<EVENT id="E2" start="68" end="73" text="cough" modality="FACTUAL" polarity="POS" type="" />\n'
    f'<TIMEX3 id="T0" start="18" end="28" text="07/03/1999" {DAY}'
    f'<TIMEX3 id="T1" start="80" end="88" text="that day" {DAY}'
    '<TLINK id="TL0" fromID="E1" fromText="chest pain" toID="T1" toText="that day"'
    ' type="BEGUN_BY" />\n'
    '<TLINK id="TL0" fromID="E2" fromText="cough" toID="T1" toText="that day" type="OVERLAP" />\n'
    '<TLINK id="SECTIME0" fromID="E0" fromText="Admission" toID="Admission" toText="Admission"'
    ' type="OVERLAP" />\n'
    '<SECTIME id="S0" start="18" end="28" text="07/03/1999" type="ADMISSION"'
    ' dvalue="1999-07-03" />\n'
    "</TAGS>\n"
    "</ClinicalNarrativeTemporalAnnotation>\n"
)
NOTE_2014 = (
    "\n\n\nRecord date: 2067-05-03\n\nSeen by Dr. Ito & O'Hara in Ulm, 𝛼 e\u0301 👩‍⚕️ MRN 42.\n"
)
PHI = (
    '<?xml version="1.0" encoding="UTF-8" ?>\n'
    "<deIdi2b2>\n"
    f"<TEXT><![CDATA[{NOTE_2014}]]></TEXT>\n"
    "<TAGS>\n"
    '<DATE id="P0" start="16" end="26" text="2067-05-03" TYPE="DATE" comment="" />\n'
    '<NAME id="P1" start="40" end="43" text="Ito" TYPE="DOCTOR" comment="" />\n'
    '<NAME id="P2" start="46" end="52" text="O\'Hara" TYPE="DOCTOR" comment="second one" />\n'
    '<LOCATION id="P3" start="56" end="59" text="Ulm" TYPE="CITY" comment="" />\n'
    '<ID id="P4" start="75" end="77" text="42" TYPE="MEDICALRECORD" comment="" />\n'
    "</TAGS>\n"
    "</deIdi2b2>\n"
)
RISK = (
    "\n<?xml version='1.0' encoding='UTF-8'?>\n"
    "<root>\n"
    "  <TEXT><![CDATA[Takes lisinopril. Diabetes.]]></TEXT>\n"
    "  <TAGS>\n"
    '    <MEDICATION id="DOC0" time="during DCT" type1="ACE inhibitor" type2="">\n'
    '      <MEDICATION id="M0" start="6" end="16" text="lisinopril" time="during DCT"'
    ' type1="ACE inhibitor" type2="" comment="" />\n'
    "    </MEDICATION>\n"
    '    <MEDICATION id="DOC1" time="before DCT" type1="ACE inhibitor" type2="">\n'
    '      <MEDICATION id="M0" start="6" end="16" text="lisinopril" time="before DCT"'
    ' type1="ACE inhibitor" type2="" comment="" />\n'
    "    </MEDICATION>\n"
    '    <DIABETES id="DOC2" time="during DCT" indicator="mention" />\n'
    '    <SMOKER id="S0" start="-1" end="-1" text="" status="unknown" />\n'
    "  </TAGS>\n"
    "</root>\n"
)


def put(tmp_path, content, name="n1.xml"):
    path = tmp_path / name
    path.write_text(content, newline="")
    return path


def read(path, tally=None, **options):
    (doc,) = i2b2_xml.read(path, path.stem, tally or Tally(), **options)
    return doc


def read_folder(folder, tally=None, **options):
    """As ``read_corpus`` walks a folder."""
    docs = []
    for path in sorted(folder.rglob("*.xml")):
        assert i2b2_xml.claims(path, path.read_bytes()[:65536].decode(errors="replace"))
        stem = path.relative_to(folder).with_suffix("").as_posix()
        docs += i2b2_xml.read(path, stem, tally or Tally(), **options)
    return docs


def simple(text, *tags, cdata=True):
    body = f"<![CDATA[{text}]]>" if cdata else text
    return "\n".join(
        ["<deIdi2b2>", f"<TEXT>{body}</TEXT>", "<TAGS>", *tags, "</TAGS>", "</deIdi2b2>"]
    )


def mentions(doc):
    return [(ent.id, ent.label, ent.mention(doc.text)) for ent in doc.entities]


def test_reads_de_identification(tmp_path):
    tally = Tally()
    doc = read(put(tmp_path, PHI), tally)
    assert (doc.id, doc.text, doc.metadata) == ("n1", NOTE_2014, {})
    assert mentions(doc) == [
        ("P0", "DATE", "2067-05-03"),
        ("P1", "DOCTOR", "Ito"),
        ("P2", "DOCTOR", "O'Hara"),
        ("P3", "CITY", "Ulm"),
        ("P4", "MEDICALRECORD", "42"),
    ]
    assert [ent.attributes for ent in doc.entities] == [(), (), ("comment=second one",), (), ()]
    assert tally.counts == {}


def test_the_label_can_be_the_name_of_the_tag(tmp_path):
    doc = read(put(tmp_path, PHI), labels="tag")
    assert [ent.label for ent in doc.entities] == ["DATE", "NAME", "NAME", "LOCATION", "ID"]
    assert doc.entities[1].attributes == ("TYPE=DOCTOR",)


def test_reads_temporal_relations(tmp_path):
    tally = Tally()
    doc = read(put(tmp_path, TEMPORAL), tally)
    assert doc.text == NOTE_2012
    assert mentions(doc) == [
        ("E0", "OCCURRENCE", "Admission"),
        ("E1", "PROBLEM", "The man &apos;s chest\npain"),
        ("E2", "EVENT", "cough"),
        ("T0", "DATE", "07/03/1999"),
        ("T1", "DATE", "that day"),
        ("S0", "ADMISSION", "07/03/1999"),
    ]
    assert doc.entities[1].attributes == ("modality=FACTUAL", "polarity=NEG")
    assert doc.entities[3].attributes == ("mod=NA", "val=1999-07-03")
    assert doc.relations == (
        Relation("TL0", "BEGUN_BY", "E1", "T1"),
        Relation("TL0-2", "OVERLAP", "E2", "T1"),
        Relation("SECTIME0", "OVERLAP", "E0", "S0"),
    )
    assert tally.counts == {
        "relation ends that name a section time by its type": 1,
        "relation ids that stood twice, numbered anew": 1,
        "text attributes that differ in references such as &apos;": 1,
    }


def test_risk_factors_of_the_document_are_kept_and_those_inside_are_mentions(tmp_path):
    tally = Tally()
    doc = read(put(tmp_path, RISK), tally)
    time = ("time=during DCT", "type1=ACE inhibitor")
    assert doc.entities == (
        Entity("M0", "MEDICATION", ((6, 16),), time),
        Entity("M0-2", "MEDICATION", ((6, 16),), ("time=before DCT", "type1=ACE inhibitor")),
    )
    tags = doc.metadata["document_tags"]
    assert [tag["tag"] for tag in tags] == ["MEDICATION", "MEDICATION", "DIABETES", "SMOKER"]
    assert tags[2]["attributes"] == {"id": "DOC2", "time": "during DCT", "indicator": "mention"}
    assert tally.counts == {
        "document-level tags kept as metadata": 4,
        "ids that stood twice in document-level tags, numbered anew": 1,
        "mentions inside document-level tags": 2,
    }


@pytest.mark.parametrize("content", [PHI, TEMPORAL, RISK, "\ufeff" + PHI])
def test_claims(tmp_path, content):
    path = put(tmp_path, content)
    assert i2b2_xml.claims(path, content)
    assert not i2b2_xml.claims(path.with_suffix(".txt"), content)
    doctype = '<!DOCTYPE a [<!ENTITY x "y">]><!-- b -->'
    assert i2b2_xml.claims(path, re.sub(r"\?>", f"?>{doctype}", content, count=1))


@pytest.mark.parametrize(
    "head",
    ["", "<a/>", "<collection><source/>", "<a><b/><TEXT>", "{}", "<!-- " * 9000, "<!---->" * 9000],
)
def test_other_xml_is_not_claimed(tmp_path, head):
    assert not i2b2_xml.claims(tmp_path / "a.xml", head)


NAMES = ['<NAME id="P0" start="{0}" end="{1}" text="Ito" TYPE="DOCTOR" />']
SHIFTED = "files whose offsets were shifted to agree with the text"
AS_TWO = r"files whose offsets count \r\n as two (text kept so)"


@pytest.mark.parametrize(
    ("text", "start", "found", "counts"),
    [
        ("\nDr. Ito", 5, "\nDr. Ito", {}),
        ("Dr. Ito", 5, "Dr. Ito", {SHIFTED: 1}),
        ("\nDr. Ito", 4, "\nDr. Ito", {SHIFTED: 1}),
        ("\n\n  Dr. Ito", 4, "\n\n  Dr. Ito", {SHIFTED: 1}),
        ("\n\n  Dr. Ito", 5, "\n\n  Dr. Ito", {SHIFTED: 1}),
        ("To\r\nDr.\r\nIto", 7, "To\nDr.\nIto", {}),
        ("To\r\nDr.\r\nIto", 9, "To\r\nDr.\r\nIto", {AS_TWO: 1}),
        ("To\r\nDr.\r\nIto", 10, "To\r\nDr.\r\nIto", {SHIFTED: 1, AS_TWO: 1}),
        ("𝛼\n👩‍⚕️ Ito", 7, "𝛼\n👩‍⚕️ Ito", {}),
    ],
)
@pytest.mark.parametrize("cdata", [True, False])
def test_where_offsets_count_from_is_decided_by_the_text_attributes(
    tmp_path, text, start, found, counts, cdata
):
    tag = NAMES[0].format(start, start + 3)
    tally = Tally()
    doc = read(put(tmp_path, simple(text, tag, cdata=cdata)), tally)
    assert doc.text == found
    assert doc.mentions() == ["Ito"]
    assert tally.counts == counts


def test_one_odd_tag_does_not_move_the_file(tmp_path):
    tags = [
        '<NAME id="P0" start="4" end="7" text="Ito" TYPE="DOCTOR" />',
        '<NAME id="P1" start="12" end="15" text="Ito" TYPE="DOCTOR" />',
        '<NAME id="P2" start="21" end="24" text="Ota" TYPE="DOCTOR" />',
    ]
    path = put(tmp_path, simple("Dr. Ito Dr. Ito Dr. Ota", *tags))
    with pytest.raises(CorpusError, match=r"n1\.xml:6: doc 'n1': 'P2' \[21, 24\) is past"):
        read(path)
    tally = Tally("count")
    doc = read(path, tally)
    assert (doc.mentions(), doc.masked) == (["Ito", "Ito"], ((20, 23),))
    assert tally.counts == {"masked: mention": 1}


def test_white_space_and_absent_text_attributes(tmp_path):
    tags = [
        '<NAME id="P0" start="0" end="8" text="Dr.  Ito" TYPE="DOCTOR" />',
        '<NAME id="P1" start="5" end="8" TYPE="DOCTOR" />',
        '<NAME start="0" end="3" text="Dr." checked="checked" />',
        '<NAME start="0" end="3" text="Dr." checked="checked" />',
    ]
    tally = Tally()
    doc = read(put(tmp_path, simple("Dr.\n\nIto", *tags).replace("Dr.  Ito", "Dr. Ito")), tally)
    assert [(ent.id, ent.label) for ent in doc.entities] == [
        ("P0", "DOCTOR"),
        ("P1", "DOCTOR"),
        ("T3", "NAME"),
        ("T4", "NAME"),
    ]
    assert doc.entities[2].attributes == ("checked",)
    assert tally.counts == {
        "mentions without a text attribute (offsets not checked)": 1,
        "text attributes that differ in white space (offsets kept)": 1,
    }


def test_identical_tags_collapse(tmp_path):
    tag = NAMES[0].format(4, 7)
    link = '<TLINK id="L" fromID="P0" toID="P0" type="A" note="x" />'
    tally = Tally()
    doc = read(put(tmp_path, simple("Dr. Ito", tag, tag, link, link)), tally)
    assert (len(doc.entities), doc.relations) == (1, (Relation("L", "A", "P0", "P0"),))
    assert tally.counts == {"identical tags collapsed": 2, "attributes of relations left out": 1}


def test_a_bare_ampersand_is_mended_and_counted(tmp_path):
    tags = ['<DEPT id="P0" start="0" end="7" text="R&D &amp; &#105;" TYPE="D&G" />']
    tally = Tally()
    doc = read(put(tmp_path, simple("R&D & i &amp; ]] > <b>", *tags)), tally)
    assert doc.text == "R&D & i &amp; ]] > <b>"
    assert mentions(doc) == [("P0", "D&G", "R&D & i")]
    assert tally.counts == {"files that are not XML, for a bare '&', mended": 1}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ('start="40"', 'start="41"', 12, r"'P1' \[41, 43\): the text attribute differs"),
        ('end="43"', 'end="943"', 12, r"'P1' \[40, 943\) is past end 79; correct"),
        ('end="43"', 'end="40"', 12, r"'P1': \[40, 40\) is empty or negative"),
        ('start="40"', 'start="x"', 12, "whole numbers as start and end"),
        ('start="40"', "", 12, "whole numbers as start and end"),
        ('start="40"', f'start="{"4" * 5000}"', 12, "whole numbers as start and end"),
        ('id="P2"', 'id="P1"', 13, "'P1' stands twice; number one anew"),
        ("</TAGS>", '<X id="R" fromID="P9" toID="P1" />\n</TAGS>', 16, "names an unknown mention"),
        ("</TAGS>", '<X id="R" fromID="P1" />\n</TAGS>', 16, "names an unknown mention"),
        ("</TAGS>", '<X fromID="Admission" toID="P1" />\n</TAGS>', 16, "names an unknown mention"),
    ],
)
def test_bad_tag_names_file_line_and_doc_but_no_text(tmp_path, old, new, line, message):
    path = put(tmp_path, PHI.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:{line}: doc 'n1': ")
    assert not any(word in str(error.value) for word in ("Ito", "O'Hara", "Ulm", "\n"))
    tally = Tally("count")
    assert len(read(path, tally).entities) >= 4
    kinds = ("dropped: ", "masked: ")
    assert sum(n for what, n in tally.counts.items() if what.startswith(kinds)) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<deIdi2b2>", "<!DOCTYPE deIdi2b2>\n<deIdi2b2>", "line 2: a DOCTYPE is refused"),
        (
            "<deIdi2b2>",
            '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<deIdi2b2>',
            "line 2: a DOCTYPE is refused, for it can name files; remove it",
        ),
        ("<TAGS>", "<TAGS>&#0;", r"line 10, column 7: not XML \(reference to invalid char"),
        ("</TAGS>", "", r"not XML \(mismatched tag\); is the file cut off"),
        ("Seen", "Se\x0ben", r"line 8, column 3: not XML \(not well-formed \(invalid token\)\)"),
        ("</deIdi2b2>", "<TEXT/></deIdi2b2>", "line 17: a second TEXT"),
        ("<![CDATA[", "<PHI>x</PHI><![CDATA[", "line 3: TEXT holds elements"),
        ("TEXT>", "BODY>", "no TEXT element; is it i2b2 XML"),
        ("TAGS>", "MARKS>", "no TAGS element; add one"),
        ("<TAGS>", '<TAGS a="1" a="2">', r"not XML \(duplicate attribute\)"),
    ],
)
def test_a_bad_file_is_one_line_and_drops_the_document(tmp_path, old, new, message):
    path = put(tmp_path, PHI.replace(old, new))
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: doc 'n1': ")
    assert not any(word in str(error.value) for word in ("Ito", "O'Hara", "Ulm", "\n"))
    tally = Tally("count")
    assert list(i2b2_xml.read(path, "n1", tally)) == []
    assert tally.counts["dropped: document"] == 1


def test_a_file_cut_off_anywhere_is_an_error(tmp_path):
    for content in (PHI, TEMPORAL):
        for n in range(0, len(content) - 1, 5):
            with pytest.raises(CorpusError) as error:
                read(put(tmp_path, content[:n]))
            assert "\n" not in str(error.value)


def test_a_file_without_tags_reads_if_asked(tmp_path):
    path = put(tmp_path, "<deIdi2b2><NOTE/><TEXT>Well.</TEXT></deIdi2b2>")
    tally = Tally()
    assert read(path, tally, unlabelled=True) == Document("n1", "Well.")
    assert tally.counts == {
        "elements beside TEXT and TAGS left out": 1,
        "files without TAGS, read as unlabelled": 1,
    }


def test_not_utf8(tmp_path):
    path = tmp_path / "n1.xml"
    path.write_bytes(simple("na\xefve").encode("latin-1"))
    with pytest.raises(CorpusError, match=r"n1\.xml:2: byte \d+ is not UTF-8"):
        read(path)
    path.write_bytes(b'<?xml version="1.0" encoding="ISO-8859-1"?>' + simple("na\xefve").encode())
    assert read(path).text == "na\xefve"


@pytest.mark.parametrize("content", [PHI, TEMPORAL, RISK])
def test_written_again_it_reads_equal(tmp_path, content):
    (tmp_path / "c" / "a").mkdir(parents=True)
    put(tmp_path / "c" / "a", content)
    docs = read_folder(tmp_path / "c")
    assert +i2b2_xml.write(docs, tmp_path / "d") == {}
    assert read_folder(tmp_path / "d") == docs
    assert docs[0].id == "a/n1"


def test_the_layouts_look_as_released(tmp_path):
    docs = [read(put(tmp_path, content, name)) for content, name in [(PHI, "a"), (TEMPORAL, "b")]]
    i2b2_xml.write(docs[:1], tmp_path / "c")
    found = (tmp_path / "c" / "a.xml").read_text()
    assert found == PHI
    i2b2_xml.write(docs[1:], tmp_path / "d")
    found = (tmp_path / "d" / "b.xml").read_text()
    assert f"<TEXT><![CDATA[{NOTE_2012}]]></TEXT>" in found
    for tag in re.findall(r"<(?:TIMEX3|SECTIME|EVENT id=\"E0).*? />", TEMPORAL, re.DOTALL):
        names = dict(re.findall(r'(\w+)="(.*?)"', tag))
        assert any(dict(re.findall(r'(\w+)="(.*?)"', line)) == names for line in found.split("\n"))


def test_labels_by_tag_are_written_back_with_their_type(tmp_path):
    doc = read(put(tmp_path, PHI), labels="tag")
    lost = i2b2_xml.write([doc], tmp_path / "c")
    assert +lost == {"labels that labels=tag alone reads back": 5}
    assert read(tmp_path / "c" / "n1.xml", labels="tag") == doc
    assert mentions(read(tmp_path / "c" / "n1.xml")) == mentions(read(put(tmp_path, PHI)))


xml_text = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"
) | st.sampled_from("\n\r\t")
xml_words = st.text(xml_text, min_size=1, max_size=5)


@st.composite
def docs(draw, relations=True):
    text = draw(texts.map(lambda t: i2b2_xml._NOT_XML.sub("?", t)))
    text += draw(st.sampled_from(["", "]]>", "&amp;", "<![CDATA[", "</TEXT>", "\r", "\r\n", "]]"]))
    names = st.sampled_from(["negated", "a-b", "val", "comment"])
    ents = tuple(
        Entity(
            draw(xml_words) + str(i),
            draw(st.sampled_from([e.label, "DOCTOR", "DATE", "MEDICATION", "EVENT", "a b", "é"])),
            e.spans,
            tuple(
                f"{name}={value}" if value else name
                for name, value in draw(
                    st.dictionaries(names, st.none() | xml_words, max_size=2)
                ).items()
            ),
        )
        for i, e in enumerate(draw(entities(text)))
    )
    ends = st.sampled_from([e.id for e in ents]) if ents else st.nothing()
    links = st.lists(
        st.builds(Relation, xml_words, xml_words, ends, ends),
        max_size=3 if ents and relations else 0,
        unique_by=lambda r: r.id,
    )
    tags = [{"tag": "CAD", "attributes": {"id": "D0", "time": draw(xml_words)}}]
    return Document(
        draw(words),
        text,
        ents,
        tuple(draw(links)),
        metadata={"document_tags": tags} if draw(st.booleans()) else {},
    )


@settings(suppress_health_check=list(HealthCheck))
@given(
    st.lists(docs(), min_size=1, max_size=2, unique_by=lambda d: d.id),
    st.sampled_from([None, "2012"]),
)
def test_read_undoes_write(tmp_path, documents, layout):
    folder = tmp_path / "c"
    shutil.rmtree(folder, ignore_errors=True)
    assert +i2b2_xml.write(documents, folder, layout=layout) == {}
    tally = Tally()
    found = {doc.id: doc for doc in read_folder(folder, tally)}
    assert found == {doc.id: doc for doc in documents}
    assert tally.counts.keys() <= {"document-level tags kept as metadata"}


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    ents = (
        Entity(
            "x",
            "P",
            ((0, 3), (6, 8)),
            ("1x", "a=", "b=b", "c=1", "c=2", "id=7", "type", "ok"),
            ("C1",),
        ),
        Entity("y", "My label", ((5, 7),), ("TYPE=q",)),
    )
    relations = (Relation("", "A", "x", "y", symmetric=True), Relation("TL1", "A", "x", "y"))
    doc = Document("a", "chest pain", ents, relations, metadata={"document_tags": [{"tag": 1}]})
    lost = i2b2_xml.write([doc], tmp_path / "c")
    assert +lost == {
        "attributes left out": 7,
        "concept ids left out": 1,
        "discontinuous mentions written whole": 1,
        "documents whose metadata, sections or provenance were left out": 1,
        "relation ids numbered anew": 2,
        "symmetric relations written as directed": 1,
    }
    back = read(tmp_path / "c" / "a.xml")
    assert back.entities == (
        Entity("x", "P", ((0, 8),), ("c=1", "ok")),
        Entity("y", "My label", ((5, 7),)),
    )
    assert [rel.id for rel in back.relations] == ["TL1", "TL1-2"]
    assert +i2b2_xml.write([doc], tmp_path / "d", layout="2014") == {
        **{what: n for what, n in (+lost).items() if "relation" not in what},
        "relations left out": 2,
    }


@pytest.mark.parametrize(
    "tags",
    [
        "text",
        [3],
        [{"tag": "CAD"}],
        [{"tag": "CAD", "attributes": {"id": 3}}],
        [{"tag": "CAD", "attributes": {}, "more": ""}],
        [{"tag": "not a name", "attributes": {}}],
        [{"tag": "CAD", "attributes": {"a b": ""}}],
        [{"tag": "CAD", "attributes": {"start": "1", "end": "2"}}],
        [{"tag": "CAD", "attributes": {"fromID": "1"}}],
    ],
)
def test_metadata_that_only_share_the_name_of_tags_are_left_out(tmp_path, tags):
    lost = i2b2_xml.write([Document("a", "x", metadata={"document_tags": tags})], tmp_path / "c")
    assert +lost == {"documents whose metadata, sections or provenance were left out": 1}
    assert read(tmp_path / "c" / "a.xml") == Document("a", "x")


@pytest.mark.parametrize("bad", ["\x00", "\x0b", "\ud800", "\ufffe"])
def test_characters_that_xml_cannot_hold_are_refused(tmp_path, bad):
    for doc in (
        Document("a", f"x{bad}"),
        Document("a", "x", (Entity("T1", "P", ((0, 1),), (f"a={bad}",)),)),
    ):
        with pytest.raises(
            CorpusError, match=rf"doc 'a': text or annotation holds U\+{ord(bad):04X}"
        ):
            i2b2_xml.write([doc], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("doc_id", ["../up", "/etc/x", "a//b", ".hidden", "a\nb", "x" * 300])
def test_an_id_that_is_no_safe_file_name_is_refused(tmp_path, doc_id):
    with pytest.raises(CorpusError, match="cannot be a file name; use jsonl"):
        i2b2_xml.write([Document(doc_id, "x")], tmp_path / "c")
    with pytest.raises(CorpusError, match="two documents would share a file"):
        i2b2_xml.write([Document("a", "x"), Document("a", "y")], tmp_path / "c")
    assert list(tmp_path.iterdir()) == []
