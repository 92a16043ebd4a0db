"""BioC: as BioC.dtd and the encoders of bionlplab/bioc have it, PubTator3, BC5CDR and BioRED."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings

from notesmith.config import ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus, write_corpus
from notesmith.corpus.formats.bioc import comes_back
from notesmith.corpus.formats.bioc_write import _NOT_XML
from notesmith.document import ConceptRelation, Document, Entity, Relation, Section
from notesmith.errors import CorpusError
from tests.corpus.documents import documents

HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE collection SYSTEM "BioC.dtd">'
    "<collection><source>s</source><date>0</date><key>k</key>\n"
)


def mention(ent_id, start, text, label="Disease", infons="", length=None):
    return (
        f'<annotation id="{ent_id}"><infon key="type">{label}</infon>{infons}'
        f'<location offset="{start}" length="{length or len(text)}"/>'
        f"<text>{text}</text></annotation>"
    )


def passage(offset, text, inner="", kind="title"):
    return (
        f'<passage><infon key="type">{kind}</infon><offset>{offset}</offset>'
        f"<text>{text}</text>{inner}</passage>\n"
    )


def xml(*passages, relations="", doc_id="7"):
    return (
        f"{HEAD}<document><id>{doc_id}</id>\n{''.join(passages)}{relations}</document></collection>"
    )


def put(tmp_path, text, name="c.xml"):
    path = tmp_path / name
    path.write_text(text, newline="")
    return path


def annotation(start, text, length=None, **infons):
    where = {"offset": start, "length": length or len(text)}
    return {"id": "0", "infons": {"type": "Gene"} | infons, "text": text, "locations": [where]}


def collection(*passages, **more):
    inner = {"sentences": [], "annotations": [], "relations": [], "infons": {}}
    doc = {"id": "7", "infons": {}, "passages": [inner | p for p in passages], "relations": []}
    return {"source": "", "date": "", "key": "", "infons": {}, "documents": [doc | more]}


def read_json(tmp_path, value, name="c.json", **options):
    path = put(tmp_path, json.dumps(value, ensure_ascii=False), name)
    return read_corpus(path, ReadingConfig(**options))


def test_passages_become_the_text_and_offsets_count_from_its_beginning(tmp_path):
    read = read_corpus(
        put(
            tmp_path,
            xml(
                passage(0, "Gout in men", mention("a", 0, "Gout")),
                passage(12, "Gout &amp; pain.", mention("b", 19, "pain"), "abstract"),
            ),
        )
    )
    assert (read.format, read.counts) == ("bioc-xml", {})
    (doc,) = read.docs
    assert (doc.id, doc.text) == ("7", "Gout in men Gout & pain.")
    assert doc.entities == (
        Entity("a", "Disease", ((0, 4),)),
        Entity("b", "Disease", ((19, 23),)),
    )
    assert doc.sections == (Section("title", 0, 11), Section("abstract", 12, 24))


def test_json_is_read_like_xml(tmp_path):
    gene = annotation(4, "BRCA1", identifier="672", note="x")
    read = read_json(
        tmp_path, collection({"offset": 0, "text": "The BRCA1", "annotations": [gene]})
    )
    assert read.format == "bioc-json"
    assert read.docs[0].entities == (Entity("0", "Gene", ((4, 9),), normalized=("672",)),)
    assert read.counts == {"infons that tools keep for themselves left out": 1}


def test_pubtator3_answers_and_documents_a_line_are_read(tmp_path):
    """The API of PubTator3: roles are objects in JSON, nodes hold nothing of use."""
    gene = annotation(0, "GLO1", identifier="2739", database="ncbi_gene", valid=True)
    role = {"identifier": "2739", "type": "Gene"}
    other = {"identifier": "MESH:D1", "type": "Disease"}
    relation = {
        "id": "R1",
        "infons": {"score": "0.9", "role1": role, "role2": other, "type": "Association"},
        "nodes": [{"refid": "0", "role": "0,1"}],
    }
    doc = {
        "_id": "9|None",
        "id": "9",
        "infons": {},
        "passages": [
            {
                "infons": {"section_type": "TITLE", "type": "title"},
                "offset": 0,
                "text": "GLO1 falls",
                "annotations": [gene],
                "relations": [],
            }
        ],
        "relations": [relation | {"nodes": []}],
        "pmid": 9,
    }
    read = read_json(tmp_path, {"PubTator3": [doc]})
    assert read.docs[0].concept_relations == (ConceptRelation("Association", "2739", "MESH:D1"),)
    lines = "\n".join(json.dumps(doc | {"id": i, "relations": []}) for i in ("1", "2"))
    assert [d.id for d in read_corpus(put(tmp_path, lines, "l.json")).docs] == ["1", "2"]


def test_sentences_hold_text_and_annotations(tmp_path):
    sentences = "".join(
        f"<sentence><offset>{at}</offset><text>{text}</text>{inner}</sentence>"
        for at, text, inner in (
            (0, "No pain.", ""),
            (9, "Gout rests.", mention("1", 9, "Gout")),
        )
    )
    body = xml(f"<passage><offset>0</offset>{sentences}</passage>")
    (doc,) = read_corpus(put(tmp_path, body)).docs
    assert (doc.text, doc.mentions()) == ("No pain. Gout rests.", ["Gout"])


def test_a_long_gap_becomes_line_ends_and_the_first_offset_is_the_beginning(tmp_path):
    body = xml(passage(100, "Gout"), passage(107, "pain", mention("1", 107, "pain")))
    (doc,) = read_corpus(put(tmp_path, body)).docs
    assert (doc.text, doc.mentions()) == ("Gout\n\n\npain", ["pain"])
    far = xml(passage(0, "Gout"), passage(10**9, "pain", mention("1", 10**9, "pain")))
    read = read_corpus(put(tmp_path, far))
    assert (len(read.docs[0].text), read.docs[0].mentions()) == (1008, ["pain"])
    assert read.counts == {"long gaps between passages shortened": 1}


@pytest.mark.parametrize(
    ("encoding", "unit"), [("utf-8", "bytes of UTF-8"), ("utf-16-le", "units of UTF-16")]
)
def test_the_texts_of_annotations_tell_how_offsets_count(tmp_path, encoding, unit):
    """The specification counts bytes (issue 5 of lfurrer/bconv)."""
    width = 2 if encoding == "utf-16-le" else 1

    def count(text):
        return len(text.encode(encoding)) // width

    title, text = "TNF-α 𝛼", "Fièvre 𝛼 gout"
    start = count(title) + 1
    at = start + count("Fièvre 𝛼 ")
    body = xml(
        passage(0, title, mention("1", 0, "TNF-α", length=count("TNF-α"))),
        passage(start, text, mention("2", at, "gout"), "abstract"),
    )
    read = read_corpus(put(tmp_path, body))
    assert read.docs[0].text == f"{title} {text}"
    assert read.docs[0].mentions() == ["TNF-α", "gout"]
    assert read.counts == {f"files whose offsets count {unit}": 1}


def test_offsets_that_begin_anew_in_each_passage_are_told_too(tmp_path):
    body = xml(
        passage(0, "Gout", mention("1", 0, "Gout")), passage(0, "No pain", mention("2", 3, "pain"))
    )
    read = read_corpus(put(tmp_path, body))
    assert (read.docs[0].text, read.docs[0].mentions()) == ("Gout\nNo pain", ["Gout", "pain"])
    body = xml(passage(0, "Gout"), passage(5, "No pain", mention("2", 3, "pain")))
    read = read_corpus(put(tmp_path, body))
    assert read.docs[0].mentions() == ["pain"]
    assert read.counts == {"files whose offsets begin anew in each passage": 1}


def test_without_texts_only_offsets_that_every_count_agrees_on_are_read(tmp_path):
    def bare(start):
        return mention("1", start, "pain").replace("<text>pain</text>", "")

    read = read_corpus(put(tmp_path, xml(passage(0, "No pain, fièvre", bare(3)))))
    assert read.docs[0].mentions() == ["pain"]
    path = put(tmp_path, xml(passage(0, "Fièvre, pain", bare(8))))
    with pytest.raises(CorpusError, match=r"c\.xml:3: doc '7': '1' \[8, 12\) has no text"):
        read_corpus(path)
    counting = ReadingConfig(on_problem="count")
    (doc,) = read_corpus(path, counting, expect_mentions=False).docs
    assert (doc.entities, doc.masked) == ((), ((8, 12),))


def test_texts_spelt_in_ascii_are_pubtators_way(tmp_path):
    read = read_corpus(put(tmp_path, xml(passage(0, "TNF‐α rises", mention("1", 0, "TNF-a")))))
    assert read.docs[0].mentions() == ["TNF‐α"]
    assert read.counts == {"annotation texts that spell other letters in ASCII (offsets kept)": 1}


def test_several_locations_are_one_discontinuous_mention(tmp_path):
    two = mention("1", 0, "Breast [...] cancer").replace(
        '<location offset="0" length="19"/>',
        '<location offset="19" length="6"/><location offset="0" length="6"/>',
    )
    (doc,) = read_corpus(put(tmp_path, xml(passage(0, "Breast and ovarian cancer", two)))).docs
    assert doc.entities[0].spans == ((0, 6), (19, 25))


def test_a_wrong_annotation_is_an_error_or_masked(tmp_path):
    path = put(
        tmp_path,
        xml(passage(0, "No pain, gout.", mention("1", 0, "pain") + mention("2", 9, "gout"))),
    )
    with pytest.raises(CorpusError, match=r"c\.xml:3: doc '7': '1' \[0, 4\): its text differs"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    # Where it may be: at its offsets, or where its text stands.
    assert read.docs[0].masked == ((0, 7),)
    assert read.docs[0].mentions() == ["gout"]
    assert read.counts == {"masked: mention": 1}


def test_a_document_is_dropped_where_nothing_tells_what_to_mask(tmp_path):
    path = put(tmp_path, xml(passage(0, "No pain.", mention("1", 90, "gout"))) + "\n")
    with pytest.raises(CorpusError, match="'1' has a location outside the text"):
        read_corpus(path)
    with pytest.raises(CorpusError, match="no documents"):
        read_corpus(path, ReadingConfig(on_problem="count"))


def test_a_wrong_offset_masks_where_the_text_stands(tmp_path):
    path = put(tmp_path, xml(passage(0, "No pain.", mention("1", 90, "pain"))))
    counting = ReadingConfig(on_problem="count")
    (doc,) = read_corpus(path, counting, expect_mentions=False).docs
    assert doc.masked == ((3, 7),)


def test_the_label_is_the_infon_type_or_the_one_named(tmp_path):
    body = xml(passage(0, "Gout", mention("1", 0, "Gout"))).replace(
        '<annotation id="1"><infon key="type">', '<annotation id="1"><infon key="class">'
    )
    path = put(tmp_path, body)
    with pytest.raises(
        CorpusError, match="no infon 'type'; name the label's with --feature, one of: class"
    ):
        read_corpus(path)
    (doc,) = read_corpus(path, ReadingConfig(feature="class")).docs
    assert doc.labels == {"Disease"}


def test_concepts_and_attributes_are_infons(tmp_path):
    infons = (
        '<infon key="MESH">D1|D2</infon><infon key="identifier">-1</infon>'
        '<infon key="negated">true</infon><infon key="certainty">low</infon>'
    )
    (doc,) = read_corpus(
        put(tmp_path, xml(passage(0, "Gout", mention("1", 0, "Gout", infons=infons))))
    ).docs
    assert doc.entities[0].normalized == ("D1", "D2")
    assert doc.entities[0].attributes == ("certainty=low", "negated")
    variant = annotation(0, "BRCA1", identifier="c|DEL|439_443|,672")
    doc = read_json(
        tmp_path, collection({"offset": 0, "text": "BRCA1", "annotations": [variant]})
    ).docs[0]
    assert doc.entities[0].normalized == ("c|DEL|439_443|", "672")


def test_relations_of_mentions_and_of_concepts(tmp_path):
    """BC5CDR names two concepts by their kinds, BioRED by ``entity1`` and ``entity2``."""
    relations = (
        '<relation id="R0"><infon key="relation">CID</infon><infon key="Chemical">D1</infon>'
        '<infon key="Disease">D2</infon></relation>'
        '<relation id="R1"><infon key="entity1">D1</infon><infon key="entity2">D3</infon>'
        '<infon key="type">Bind</infon><infon key="novel">No</infon></relation>'
        '<relation id="R2"><infon key="type">causes</infon><node refid="1" role="cause"/>'
        '<node refid="2" role="effect"/></relation>'
        '<relation id="R3"><infon key="type">same</infon><node refid="1" role="Arg"/>'
        '<node refid="2" role="Arg"/></relation>'
        '<relation id="R4"><infon key="type">all</infon><node refid="1" role="a"/>'
        '<node refid="2" role="b"/><node refid="1" role="c"/></relation>'
        '<relation id="R5"><infon key="type">of</infon><node refid="R4" role="a"/></relation>'
    )
    inner = mention("1", 0, "Gout") + mention("2", 5, "pain")
    read = read_corpus(put(tmp_path, xml(passage(0, "Gout pain", inner), relations=relations)))
    assert read.docs[0].concept_relations == (
        ConceptRelation("CID", "D1", "D2"),
        ConceptRelation("Bind", "D1", "D3"),
    )
    assert read.docs[0].relations == (
        Relation("R2", "causes", "1", "2"),
        Relation("R3", "same", "1", "2", symmetric=True),
    )
    assert read.counts == {
        "infons of relations left out": 1,
        "relations of other than two mentions left out": 1,
        "relations of relations left out": 1,
    }
    lost = relations.replace('refid="2"', 'refid="9"')
    with pytest.raises(CorpusError, match="names what is no annotation of the document"):
        read_corpus(put(tmp_path, xml(passage(0, "Gout pain", inner), relations=lost)))


def test_parts_of_a_composite_mention_are_counted_as_in_bc5cdr(tmp_path):
    def role(name):
        return f'<infon key="CompositeRole">{name}</infon>'

    inner = mention("1", 0, "Gout or pain", infons=role("CompositeMention")) + mention(
        "2", 0, "Gout", infons=role("IndividualMention")
    )
    read = read_corpus(put(tmp_path, xml(passage(0, "Gout or pain", inner))))
    assert read.docs[0].mentions() == ["Gout or pain"]
    assert read.counts == {
        "infons that tools keep for themselves left out": 1,
        "parts of composite mentions left out": 1,
    }


def test_ids_that_stand_twice_are_numbered_anew_and_no_end_of_a_relation(tmp_path):
    inner = mention("1", 0, "Gout") + mention("1", 5, "pain")
    read = read_corpus(put(tmp_path, xml(passage(0, "Gout pain", inner))))
    assert [ent.id for ent in read.docs[0].entities] == ["1", "T2"]
    assert read.counts == {"annotation ids that stood twice, numbered anew": 1}
    node = '<node refid="1" role="a"/>'
    relation = f'<relation><infon key="type">x</infon>{node}{node}</relation>'
    with pytest.raises(CorpusError, match="names an id that stands twice"):
        read_corpus(put(tmp_path, xml(passage(0, "Gout pain", inner), relations=relation)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</document>", "", "not XML"),
        ('SYSTEM "BioC.dtd">', '[<!ENTITY a "b">]>', "DOCTYPE with declarations is refused"),
        ("Gout", "&alpha;", "line 3: an entity that XML does not know"),
        ("<id>7</id>", "", "document 1: has no id"),
        ('offset="0"', 'offset="x"', "'offset' is no whole number"),
        ("<offset>0</offset>", "<offset>-3</offset>", "'offset' is no whole number"),
        ("</passage>", "</passage><location/>", "location stands where BioC has none"),
    ],
)
def test_what_is_no_bioc_is_one_line(tmp_path, old, new, message):
    body = xml(passage(0, "Gout", mention("1", 0, "Gout")))
    path = put(tmp_path, body.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message) as caught:
        read_corpus(path, ReadingConfig(format="bioc-xml"))
    assert "Gout" not in str(caught.value)


def test_json_of_another_shape_is_one_line(tmp_path):
    for value, message in (
        ({"documents": 3}, "neither documents nor passages"),
        ([[[[[{}]]]]], "something else than documents"),
        (collection({"offset": 0, "text": 3}), "text is no string"),
        (collection({"offset": 0, "annotations": {}}), "'annotations' is no list of objects"),
        (collection({"offset": True}), "'offset' is no whole number"),
    ):
        with pytest.raises(CorpusError, match=message):
            read_json(tmp_path, value, format="bioc-json")


def whole(doc):
    """``doc`` with relation ids that differ, and no attribute that has a meaning in BioC."""
    for attribute in (attribute for ent in doc.entities for attribute in ent.attributes):
        assume(comes_back(attribute, "", is_flag=True))
    relations = tuple(replace(rel, id=f"R{i}") for i, rel in enumerate(doc.relations))
    # Mentions come back section by section.
    entities = tuple(sorted(doc.entities, key=lambda ent: (ent.spans, ent.id)))
    return replace(doc, relations=relations, entities=entities)


@settings(suppress_health_check=list(HealthCheck))
@given(documents())
def test_read_undoes_write(tmp_path, doc):
    doc = whole(doc)
    lost = write_corpus([doc], tmp_path / "c.json", format="bioc-json")
    read = read_corpus(tmp_path / "c.json", expect_mentions=False)
    assert (read.docs, lost) == ([doc], {})
    doc = replace(doc, text=_NOT_XML.sub(" ", doc.text))
    lost = write_corpus([doc], tmp_path / "c.xml", format="bioc-xml")
    read = read_corpus(tmp_path / "c.xml", expect_mentions=False)
    assert (read.docs, lost) == ([doc], {})


@pytest.mark.parametrize("name", ["bioc-xml", "bioc-json"])
def test_the_demo_corpus_comes_back_equal(tmp_path, name):
    docs = read_corpus(demo_corpus_path() / "dev").docs
    path = tmp_path / f"c{name[4:].replace('-', '.')}"
    assert write_corpus(docs, path, format=name) == {}
    read = read_corpus(path)
    assert (read.format, read.docs, read.counts) == (name, docs, {})


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    ent = Entity("T1", "P", ((0, 4),), ("type=x", "odd=true", "kept=x"))
    doc = Document("a", "Gout\x00", (ent,))
    lost = write_corpus([doc], tmp_path / "c.xml", format="bioc-xml")
    assert lost == {
        "attributes left out": 2,
        "characters that XML cannot hold written as spaces": 1,
    }
    with pytest.raises(CorpusError, match="what XML cannot; use jsonl"):
        write_corpus([replace(doc, id="a\x00")], tmp_path / "d.xml", format="bioc-xml")
