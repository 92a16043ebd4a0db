import functools
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.corpus.formats import docbin
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import ConfigError, CorpusError, MissingExtraError
from tests.corpus.documents import documents

spacy = pytest.importorskip("spacy")
from spacy.tokens import Doc, DocBin, Span  # noqa: E402

VOCAB = spacy.vocab.Vocab()


@pytest.fixture(autouse=True, scope="module")
def one_tokenizer():
    """Making one takes longer than all the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spacy, "blank", functools.cache(spacy.blank))
        yield


def read(path, on_problem="raise", **options):
    tally = Tally(on_problem)
    docs = list(docbin.read(path, path.stem, tally, **options))
    return docs, dict(tally.counts)


def put(tmp_path, docs, **options):
    path = tmp_path / "c.spacy"
    DocBin(docs=docs, **options).to_disk(path)
    return path


def foreign():
    """A document as ``spacy convert`` and a linker leave it."""
    doc = Doc(
        VOCAB, words=["No", "chest", "pain", "𝛼", "."], spaces=[True, True, True, False, True]
    )
    doc.set_ents([Span(doc, 1, 3, label="P", kb_id="C1", span_id="rule-7")], default="outside")
    return doc


def test_entities_and_their_concepts(tmp_path):
    docs, counts = read(put(tmp_path, [foreign(), Doc(VOCAB)]))
    ent = Entity("T1", "P", ((3, 13),), normalized=("C1",))
    assert docs == [Document("c-1", "No chest pain 𝛼. ", (ent,)), Document("c-2", "")]
    assert counts == {}


def test_a_span_group_adds_mentions(tmp_path):
    doc = foreign()
    doc.spans["sc"] = [Span(doc, 1, 3, label="P", span_id="rule-7"), Span(doc, 2, 4, label="Q")]
    doc.spans["other"] = [Span(doc, 0, 1, label="R")]
    path = put(tmp_path, [doc])
    docs, counts = read(path)
    assert [(e.id, e.label, e.spans) for e in docs[0].entities] == [
        ("T1", "P", ((3, 13),)),
        ("T2", "Q", ((9, 15),)),
    ]
    assert counts == {"mentions of other span groups left out": 1}
    docs, _ = read(path, group="other")
    assert docs[0].mentions() == ["No", "chest pain"]


def test_tokens_without_a_decision_are_masked(tmp_path):
    doc = foreign()
    doc.set_ents([doc.ents[0]], missing=[doc[3:5]], default="outside")
    docs, _ = read(put(tmp_path, [doc]))
    assert docs[0].masked == ((14, 16),)
    docs, _ = read(put(tmp_path, [Doc(VOCAB, words=["a", "b"])]))
    assert docs[0].masked == ()


def test_what_is_left_out_is_counted(tmp_path):
    doc = foreign()
    doc.cats = {"URGENT": 1.0}
    doc.user_data["patient"] = "p"
    docs, counts = read(put(tmp_path, [doc], store_user_data=True))
    assert docs[0].metadata == {}
    assert counts == {
        "documents whose categories were left out": 1,
        "documents whose extensions or user data were left out": 1,
    }


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(documents(), max_size=3))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.spacy"
    assert docbin.write(documents, path) == {}
    docs, counts = read(path)
    assert docs == documents
    assert counts == {}
    again = DocBin().from_disk(path).get_docs(spacy.vocab.Vocab())
    assert [doc.text for doc in again] == [doc.text for doc in documents]


def test_outermost_mentions_are_entities_and_the_group_holds_all(tmp_path):
    path = tmp_path / "c.spacy"
    nested = Document(
        "a",
        "Nochest  pain.",
        (
            Entity("x", "P", ((2, 13),), normalized=("C1", "C2")),
            Entity("y", "Q", ((2, 7),), ("old",)),
            Entity("z", "Q", ((6, 9),)),
        ),
    )
    flat = Document("b", "Weak arm", (Entity("T1", "P", ((0, 8),)),), masked=((0, 4),))
    docbin.write([nested, flat], path)
    one, two = DocBin().from_disk(path).get_docs(spacy.vocab.Vocab())
    assert [(e.text, e.label_, e.kb_id_, e.id_) for e in one.ents] == [
        ("chest  pain", "P", "C1", "x")
    ]
    assert [span.text for span in one.spans["sc"]] == ["chest  pain", "chest", "t  "]
    assert [span.text for span in two.spans["sc"]] == ["Weak arm"]
    assert [token.ent_iob_ for token in two] == ["B", "I"]
    docbin.write([flat], path, group="other")
    assert not next(iter(DocBin().from_disk(path).get_docs(spacy.vocab.Vocab()))).spans


def test_masked_tokens_are_left_undecided(tmp_path):
    path = tmp_path / "c.spacy"
    doc = Document("b", "Weak arm, old", (Entity("T1", "P", ((0, 4),)),), masked=((0, 7),))
    docbin.write([doc], path)
    made = next(iter(DocBin().from_disk(path).get_docs(spacy.vocab.Vocab())))
    assert [token.ent_iob_ for token in made] == ["B", "", "O", "O"]
    assert read(path)[0] == [doc]


def test_what_another_tool_changed_is_read_as_it_stands(tmp_path):
    path = tmp_path / "c.spacy"
    doc = Document(
        "a",
        "Weak arm and leg pain",
        (
            Entity("x", "P", ((0, 8),), ("old",), ("C1", "C2")),
            Entity("y", "P", ((13, 16),), ("new",)),
            Entity("z", "P", ((17, 21),), ("mild",)),
        ),
        relations=(Relation("R1", "r", "x", "y"), Relation("R2", "r", "x", "z")),
    )
    docbin.write([doc], path)
    made = next(iter(DocBin().from_disk(path).get_docs(VOCAB)))
    made.set_ents(
        [
            Span(made, 0, 2, label="P", kb_id="C9", span_id="x"),
            Span(made, 2, 3, label="N"),
            Span(made, 3, 5, label="P", span_id="y"),
        ]
    )
    docs, counts = read(put(tmp_path, [made], store_user_data=True))
    assert docs[0].entities == (
        Entity("x", "P", ((0, 8),), ("old",), ("C9",)),
        Entity("T4", "N", ((9, 12),)),
        Entity("y", "P", ((13, 21),)),
    )
    assert [rel.id for rel in docs[0].relations] == ["R1"]
    assert counts == {
        "mentions that were changed or removed since writing": 2,
        "relations of removed mentions left out": 1,
    }


def test_a_mention_without_a_label_is_dropped_or_an_error(tmp_path):
    doc = foreign()
    doc.spans["sc"] = [Span(doc, 3, 4, label="")]
    path = put(tmp_path, [doc])
    with pytest.raises(CorpusError, match=r":1: doc 'c-1': \[14, 15\) has no label") as error:
        read(path)
    assert str(error.value).startswith(str(path))
    docs, counts = read(path, "count")
    assert (len(docs[0].entities), counts) == (1, {"dropped: mention": 1})


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ("{", "no JSON object"),
        ("[]", "no JSON object"),
        (7, "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ("{}", "'schema'"),
        ('{"schema": 1, "id": "a", "entities": 1}', "'entities' must be a list"),
        (
            '{"schema": 1, "id": "a", "sections": [{"name": "s", "start": 0, "end": 99}]}',
            r"section \[0, 99\) is past end 17",
        ),
    ],
)
def test_a_record_that_does_not_fit_is_one_line(tmp_path, ours, message):
    doc = foreign()
    doc.user_data["notesmith"] = ours
    path = put(tmp_path, [foreign(), doc], store_user_data=True)
    with pytest.raises(CorpusError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}:2: user_data['notesmith'] does not fit")
    assert str(error.value).endswith("remove it")
    docs, counts = read(path, "count")
    assert (len(docs), counts) == (1, {"dropped: document": 1})


def test_a_span_past_the_text_is_an_error(tmp_path):
    doc = foreign()
    doc.spans["sc"] = [Span(doc, 3, 5, label="Q")]
    shorter = DocBin(docs=[Doc(VOCAB, words=["No"])])
    shorter.span_groups = [doc.spans.to_bytes()]
    shorter.strings.add("Q")
    path = tmp_path / "c.spacy"
    shorter.to_disk(path)
    with pytest.raises(CorpusError, match=r":1: a span's label or place .* \(IndexError\)"):
        read(path)
    assert read(path, "count")[1] == {"dropped: document": 1}
    shorter = DocBin(docs=[foreign()])
    shorter.span_groups = [doc.spans.to_bytes()]
    shorter.strings.discard("Q")
    shorter.to_disk(path)
    with pytest.raises(CorpusError, match=":1: a span's label or place cannot be read"):
        read(path)


def test_a_file_cut_off_or_of_another_kind_is_an_error(tmp_path):
    whole = put(tmp_path, [foreign()]).read_bytes()
    path = tmp_path / "cut.spacy"
    for data in [b"", b"x", b"No chest pain", *(whole[:n] for n in range(0, len(whole), 9))]:
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=r"no DocBin that spaCy can read .*; is the file cut"):
            read(path)
        assert read(path, "count") == ([], {"dropped: file": 1})
    with pytest.raises(CorpusError, match="cannot be read"):
        read(tmp_path / "none.spacy")


def test_what_cannot_be_written_is_refused(tmp_path):
    path = tmp_path / "c.spacy"
    with pytest.raises(CorpusError, match="doc 'a': holds a lone surrogate"):
        docbin.write([Document("a", "x\ud800")], path)
    with pytest.raises(CorpusError, match="metadata is not JSON"):
        docbin.write([Document("a", "x", metadata={"k": {1}})], path)
    with pytest.raises(ConfigError, match="no tokenizer for language 'zz'"):
        docbin.write([], path, language="zz")
    assert not path.exists()


def test_without_spacy_the_install_line_is_printed(tmp_path, monkeypatch):
    for name in ["spacy", "spacy.tokens", "spacy.vocab"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'notesmith\[spacy\]'"):
        read(tmp_path / "c.spacy")
    with pytest.raises(MissingExtraError, match=r"pip install 'notesmith\[spacy\]'"):
        docbin.write([], tmp_path / "c.spacy")


def test_claims_by_name(tmp_path):
    assert docbin.claims(tmp_path / "train.spacy")
    assert not docbin.claims(tmp_path / "train.jsonl")
