import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts

IOB2 = "No\tO\nchest\tB-P\npain\tI-P\ncough\tB-P\n\nWeak\tB-P\narm\tB-B\n"
SPANS = [[("P", "chest pain"), ("P", "cough")], [("P", "Weak"), ("B", "arm")]]


def put(tmp_path, text, name="c.conll"):
    path = tmp_path / name
    path.write_text(text, newline="")
    return path


def found(docs):
    return [[(e.label, e.mention(doc.text)) for e in doc.entities] for doc in docs]


def test_sentences_are_documents_where_none_are_named(tmp_path):
    read = read_corpus(put(tmp_path, IOB2))
    assert [(d.id, d.text) for d in read.docs] == [
        ("c-1", "No chest pain cough"),
        ("c-2", "Weak arm"),
    ]
    assert found(read.docs) == SPANS
    assert read.counts == {"files with IOB2 tags": 1}


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("IOB1", "O I-P I-P B-P I-P I-B"),
        ("IOB2", "O B-P I-P B-P B-P B-B"),
        ("BIOES", "O B-P E-P S-P S-P S-B"),
        ("BIOES", "O B-P L-P U-P U-P U-B"),
        ("BIOES", "O B-P E-P W-P W-P W-B"),
    ],
)
def test_schemes_are_recognised(tmp_path, scheme, tags):
    tokens = ["No", "chest", "pain", "cough", "Weak", "arm"]
    lines = [f"{a} {b}" for a, b in zip(tokens, tags.split(), strict=True)]
    lines.insert(4, "")
    read = read_corpus(put(tmp_path, "\n".join(lines)))
    assert found(read.docs) == SPANS
    assert read.counts == {f"files with {scheme} tags": 1}


def test_a_named_scheme_wins(tmp_path):
    path = put(tmp_path, "a\tB-P\nb\tI-P\nc\tI-Q\n")
    with pytest.raises(CorpusError, match="I continues no mention of this label"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(tags="iob1"))
    assert found(read.docs) == [[("P", "a b"), ("Q", "c")]]


def test_docstart_begins_documents_and_may_name_them(tmp_path):
    text = "-DOCSTART- -X- O\n\na\tO\n\nb\tO\n\n-DOCSTART- n7\tO\n\nc\tO\n"
    docs = read_corpus(put(tmp_path, text), expect_mentions=False).docs
    assert [(d.id, d.text) for d in docs] == [("c-1", "a\nb"), ("n7", "c")]


def test_columns_can_be_chosen(tmp_path):
    text = "1 Weak JJ B-P x\n2 arm NN O x\n"
    docs = read_corpus(put(tmp_path, text), ReadingConfig(token_column=1, tag_column=3)).docs
    assert (docs[0].text, found(docs)) == ("Weak arm", [[("P", "Weak")]])


@pytest.mark.parametrize(
    ("bad", "line", "message"),
    [
        ("arm\tB-B|B-P\n", 9, "overlapping mentions need brat or jsonl"),
        ("arm\tB-B,I-P\n", 9, "one flat tag a token"),
        ("arm\tX-B\n", 9, "the tag is not O"),
        ("arm\n", 9, "needs a token and a tag; is the file cut off"),
        ("arm\tI-B\n", 9, "I continues no mention of this label .*read as IOB2.*name the scheme"),
    ],
)
def test_bad_tags_name_file_and_line_and_no_text(tmp_path, bad, line, message):
    path = put(tmp_path, f"{IOB2}\n{bad}\nend\tO\n")
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(path)
    assert str(error.value).startswith(f"{path}:{line}: doc 'c-3'")
    assert "arm" not in str(error.value)
    counts = read_corpus(path, ReadingConfig(on_problem="count")).counts
    assert counts == {
        "dropped: line": 1,
        "dropped: document with an unreadable line": 1,
        "files with IOB2 tags": 1,
    } or counts == {
        "ill-formed tags read as the nearest legal ones": 1,
        "files with IOB2 tags": 1,
    }


def test_bioes_mentions_that_do_not_end(tmp_path):
    path = put(tmp_path, "a\tS-P\nb\tB-P\nc\tO\nd\tB-P\n")
    with pytest.raises(CorpusError, match=r"c\.conll:2: .* not ended by E"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    assert found(read.docs) == [[("P", "a"), ("P", "b"), ("P", "d")]]
    assert read.counts["ill-formed tags read as the nearest legal ones"] == 2


def test_unreadable_bytes_drop_their_document_only(tmp_path):
    path = tmp_path / "c.conll"
    path.write_bytes(b"a\tO\n\n\xff\tO\nb\tO\n\nc\tO\n")
    with pytest.raises(CorpusError, match=r"c\.conll:3: byte 0 is not UTF-8"):
        read_corpus(path)
    assert [
        d.text
        for d in read_corpus(path, ReadingConfig(on_problem="count"), expect_mentions=False).docs
    ] == ["a", "c"]


@st.composite
def spaced(draw):
    """Documents as CoNLL holds them, with mentions of whole tokens that do not overlap."""
    token = st.sampled_from(["pain", "e\u0301", "👩‍⚕️", "a\u2028b", "-DOC", "O", ".", "B-P", "x|y"])
    sentences = draw(st.lists(st.lists(token, min_size=1, max_size=5), max_size=3))
    text, ents, at = [], [], 0
    for tokens in sentences:
        borders = []
        for word in tokens:
            borders.append((at, at + len(word)))
            at += len(word) + 1
        text.append(" ".join(tokens))
        i = 0
        while i < len(tokens):
            n = draw(st.integers(0, 2))
            if n and i + n <= len(tokens):
                label = draw(st.sampled_from(["A", "B-2"]))
                ents.append(
                    Entity(f"T{len(ents) + 1}", label, ((borders[i][0], borders[i + n - 1][1]),))
                )
            i += max(n, 1)
    return Document(
        draw(st.sampled_from(["n1", "a b", "é"])),
        "\n".join(text),
        tuple(ents),
        metadata={"tokens": "spaces"},
    )


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.lists(spaced(), min_size=1, max_size=3, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.conll"
    assert write_corpus(documents, path, format="conll") == {}
    assert read_corpus(path, expect_mentions=False).docs == documents


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_document_keeps_its_outermost_mentions(tmp_path, data):
    text = data.draw(texts.filter(lambda t: "-DOCSTART-" not in t))
    doc = Document("n", text, tuple(data.draw(entities(text, pieces=2))))
    lost = write_corpus([doc], tmp_path / "c.conll", format="conll")
    (back,) = read_corpus(tmp_path / "c.conll", expect_mentions=False).docs
    assert "".join(back.text.split()) == "".join(text.split())
    left_out = lost.get("nested or crossing mentions left out", 0)
    left_out += lost.get("mentions of white space left out", 0)
    assert len(back.entities) == len(doc.entities) - left_out


def test_tokens_are_cut_where_a_mention_ends(tmp_path):
    doc = Document("n", "post-op.pain", (Entity("T1", "P", ((8, 11),)),))
    write_corpus([doc], tmp_path / "c.conll", format="conll")
    assert (tmp_path / "c.conll").read_text() == (
        "-DOCSTART- n\tO\n\npost\tO\n-\tO\nop\tO\n.\tO\npai\tB-P\nn\tO\n\n"
    )


def test_losses_are_counted(tmp_path):
    ents = (
        Entity("T1", "A", ((0, 4),), ("negated",), ("C1",)),
        Entity("T2", "A", ((0, 1),)),
        Entity("T3", "A", ((3, 6),)),
    )
    assert write_corpus(
        [Document("n", "ab cd ef", ents)], tmp_path / "c.conll", format="conll"
    ) == {
        "attributes left out": 1,
        "concept ids left out": 1,
        "documents whose white space was lost": 1,
        "nested or crossing mentions left out": 2,
    }


@pytest.mark.parametrize("doc_id", ["a\tb", " a", "O", "-X-", "a\nb"])
def test_an_id_that_cannot_be_read_back_is_refused(tmp_path, doc_id):
    with pytest.raises(CorpusError, match="use jsonl"):
        write_corpus([Document(doc_id, "x")], tmp_path / "c.conll", format="conll")


def test_a_label_that_is_no_tag_is_refused(tmp_path):
    doc = Document("n", "x", (Entity("T1", "a|b", ((0, 1),)),))
    with pytest.raises(CorpusError, match="cannot be a tag; rename"):
        write_corpus([doc], tmp_path / "c.conll", format="conll")
