"""WebAnno TSV 3, as INCEpTION's user guide and the test files of its reader have it."""

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus
from notesmith.document import Entity, Relation
from notesmith.errors import CorpusError

NAMED = "de.tudarmstadt.ukp.dkpro.core.api.ner.type.NamedEntity"
HEAD = f"#FORMAT=WebAnno TSV 3.3\n#T_SP={NAMED}|identifier|value\n"
ONE = (
    "#Text=Pt 😊 denies chest\n"
    "#Text=pain .\n"
    "1-1\t0-2\tPt\t_\t_\t\n"
    "1-2\t3-5\t😊\t_\t_\t\n"
    "1-3\t6-12\tdenies\t_\t_\t\n"
    "1-4\t13-18\tchest\tC1[1]\tProblem[1]|Body[2]\t\n"
    "1-5\t19-23\tpain\tC1[1]\tProblem[1]\t\n"
    "1-6\t24-25\t.\t_\t_\t\n"
)
TWO = (
    "\n#Text=Took aspirin\n"
    "2-1\t26-30\tTook\t_\t_\t\n"
    "2-2\t31-38\taspirin\t*\t*\t\n"
    "2-2.1\t31-34\tasp\t*\tA\\_B\\|C\t\n"
)


def put(tmp_path, text, name="n1.tsv"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, newline="")
    return path


def read(path, **options):
    return read_corpus(path, ReadingConfig(**options))


def test_mentions_over_lines_stacked_ones_and_parts_of_tokens(tmp_path):
    body = f"{HEAD}\n\n{ONE}{TWO}".replace("aspirin\t*\t*", "aspirin\t_\t_")
    found = read(put(tmp_path, body))
    assert (found.format, found.counts) == ("uima", {})
    (doc,) = found.docs
    assert (doc.id, doc.text) == ("n1", "Pt 😊 denies chest\npain .\nTook aspirin")
    assert doc.entities == (
        Entity("T1", "Problem", ((12, 22),), normalized=("C1",)),
        Entity("T2", "Body", ((12, 17),)),
        Entity("T3", "A_B|C", ((30, 33),)),
    )


def test_a_mention_without_a_label_is_an_error_or_masked(tmp_path):
    path = put(tmp_path, f"{HEAD}\n\n{ONE}{TWO}")
    with pytest.raises(CorpusError, match=r"n1\.tsv:16: doc 'n1': \[30, 37\) has no label"):
        read(path)
    found = read(path, on_problem="count")
    assert (found.docs[0].masked, found.counts) == (((30, 37),), {"masked: mention": 1})


def test_relations_name_the_line_of_their_governor_and_its_number(tmp_path):
    head = f"{HEAD}#T_RL=custom.Relation|label|BT_{NAMED}\n\n\n"
    rows = [line + "_\t_\t" if line[:1].isdigit() else line for line in ONE.split("\n")]
    body = "\n".join(rows).replace("Body[2]\t_\t_", "Body[2]\tin\t1-4[1_2]")
    (doc,) = read(put(tmp_path, head + body)).docs
    assert doc.relations == (Relation("R1", "in", "T1", "T2"),)
    lost = body.replace("1-4[1_2]", "1-1")
    with pytest.raises(CorpusError, match="names what is no mention of the document"):
        read(put(tmp_path, head + lost))


def test_slots_and_chains_are_left_out_and_counted(tmp_path):
    head = (
        "#FORMAT=WebAnno TSV 3.3\n"
        "#T_SP=custom.Span|label|ROLE_custom.Span:to_custom.Link|custom.X\n"
        "#T_CH=coref.Link|referenceType|referenceRelation\n\n\n"
    )
    rows = (
        "#Text=He took it\n1-1\t0-2\tHe\t_\t_\t_\tpr[1]\tcoref->1-1\t\n"
        "1-2\t3-7\ttook\tDrug\ta;b\t1-1;1-3\t_\t_\t\n1-3\t8-10\tit\t_\t_\t_\tpr[1]\t*->1-2\t\n"
    )
    found = read(put(tmp_path, head + rows))
    assert [(ent.label, ent.spans) for ent in found.docs[0].entities] == [("Drug", ((3, 7),))]
    assert found.counts == {"links of slots and chains left out": 3}


def test_the_layer_is_the_one_that_is_named(tmp_path):
    head = "#FORMAT=WebAnno TSV 3.2\n#T_SP=webanno.custom.Note|kind\n\n\n"
    path = put(tmp_path, f"{head}#Text=Gout\n1-1\t0-4\tGout\tSign\t\n")
    with pytest.raises(CorpusError, match=r"\(--layer\): webanno\.custom\.Note \(1\)"):
        read(path)
    (doc,) = read(path, layer="webanno.custom.Note", feature="kind").docs
    assert doc.labels == {"Sign"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("13-18", "13-19", "line 10: the token is not the text at"),
        ("1-5\t19-23\tpain\tC1[1]\tProblem[1]\t\n", "1-5\t19\n", "line 11: no line of a token"),
        ("2-1\t26", "2-1\t9", "line 15: the offset of a sentence does not follow"),
        ("\n2-1", "\n#Text=x\n\n#2-1", "the token is not the text"),
    ],
)
def test_damage_is_one_line(tmp_path, old, new, message):
    body = f"{HEAD}\n\n{ONE}{TWO}"
    assert old in body
    with pytest.raises(CorpusError, match=message):
        read(put(tmp_path, body.replace(old, new)))


def test_the_annotator_of_an_export_is_the_name_of_the_file(tmp_path):
    path = put(tmp_path, f"{HEAD}\n\n{ONE}", "annotation/note 1.txt/ann.tsv")
    (doc,) = read(path).docs
    assert (doc.id, doc.metadata) == ("note 1", {"annotator": "ann"})
