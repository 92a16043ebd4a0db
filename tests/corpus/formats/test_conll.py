from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.corpus.formats import conll
from notesmith.document import Document, Entity
from notesmith.errors import CorpusError
from tests.corpus.documents import entities, texts

SENTENCES = "sentences read as documents (--documents)"
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
    assert read.counts == {"files with IOB2 tags": 1, SENTENCES: 2}


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
    assert read.counts == {f"files with {scheme} tags": 1, SENTENCES: 2}


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
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    wrong = (
        {"ill-formed tags read as the nearest legal ones": 1}
        if "I-B" in bad
        else {"dropped: sentence with an unreadable line": 1}
    )
    assert read.counts == {"files with IOB2 tags": 1, SENTENCES: 4, **wrong}
    # The sentence after it stays.
    assert [doc.text for doc in read.docs][-1] == "end"


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


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(spaced(), min_size=1, max_size=3, unique_by=lambda d: d.id))
def test_read_undoes_write(tmp_path, documents):
    path = tmp_path / "c.conll"
    assert write_corpus(documents, path, format="conll") == {}
    assert read_corpus(path, expect_mentions=False).docs == documents


@settings(suppress_health_check=list(HealthCheck))
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


def tsv(*sentences):
    """Sentences of ``token/tag`` words as lines of two columns."""
    rows = [[word.replace("/", "\t") for word in sentence.split()] for sentence in sentences]
    return "\n".join("".join(f"{row}\n" for row in sentence) for sentence in rows)


def texts_of(path, **options):
    return [(doc.id, doc.text) for doc in read_corpus(path, ReadingConfig(**options)).docs]


def test_a_bad_line_masks_its_sentence_and_no_other(tmp_path):
    text = "-DOCSTART- n1\n\n" + tsv("No/O pain/B-P", "His/O arm/X", "is/O weak/B-P")
    path = put(tmp_path, text)
    with pytest.raises(CorpusError, match=r"c\.conll:7: doc 'n1': the tag is not O"):
        read_corpus(path)
    read = read_corpus(path, ReadingConfig(on_problem="count"))
    (doc,) = read.docs
    assert (doc.text, doc.mentions()) == ("No pain\nHis arm\nis weak", ["pain", "weak"])
    assert [doc.text[start:end] for start, end in doc.masked] == ["His arm"]
    assert read.counts == {
        "files with IOB2 tags": 1,
        "masked: sentence with an unreadable line": 1,
    }


def test_bytes_that_are_no_text_mask_their_sentence(tmp_path):
    path = tmp_path / "c.conll"
    path.write_bytes(b"-DOCSTART- n1\n\na\tB-P\n\n\xff\tO\nb\tB-P\n\nc\tB-P\n")
    (doc,) = read_corpus(path, ReadingConfig(on_problem="count")).docs
    assert (doc.text, doc.mentions(), doc.masked) == ("a\nb\nc", ["a", "c"], ((2, 3),))


def test_comments_of_conll_u_begin_documents_or_are_passed_over(tmp_path):
    # universaldependencies.org/format.html: newdoc, newpar, sent_id and text are comment lines.
    text = (
        "# newdoc id = n1\n# sent_id = 1\n# text = Took # 5 pills\n"
        "Took\tO\n#\tB-P\n5\tI-P\npills\tI-P\n\n"
        "# newpar\n# checked twice\nSlept\tO\n\n# newdoc id = n2\nRash\tB-P\n"
    )
    path = put(tmp_path, text)
    read = read_corpus(path)
    assert [(doc.id, doc.text) for doc in read.docs] == [
        ("n1", "Took # 5 pills\nSlept"),
        ("n2", "Rash"),
    ]
    assert found(read.docs) == [[("P", "# 5 pills")], [("P", "Rash")]]
    assert read.counts["comment lines passed over"] == 4


def test_a_token_that_begins_like_a_comment_stays(tmp_path):
    path = put(tmp_path, "# O\n#1 B-P\n###\tO\n# B-P\n")
    assert texts_of(path) == [("c-1", "# #1 ### #")]


def test_columns_of_conll_u(tmp_path):
    rows = [("1-2", "Don't", "_"), ("1", "Do", "O"), ("2", "n't", "O"), ("3", "cough", "B-P")]
    rows = [f"{n}\t{token}" + "\t_" * 7 + f"\t{tag}" for n, token, tag in rows]
    path = put(tmp_path, "# newdoc id = n1\n" + "\n".join(rows) + "\n", "c.conllu")
    read = read_corpus(path)
    assert [(doc.id, doc.text, doc.mentions()) for doc in read.docs] == [
        ("n1", "Do n't cough", ["cough"])
    ]
    assert read.counts["files whose first column counts tokens, the second read"] == 1


def test_medline_lines_begin_documents(tmp_path):
    # GENIA's JNLPBA data (Genia4ERtask2.iob2) write the id of an abstract so.
    text = "###MEDLINE:123\n\n" + tsv("Rash/B-P now/O") + "\n###MEDLINE:124\n\n" + tsv("a/O")
    assert texts_of(put(tmp_path, text)) == [("123", "Rash now"), ("124", "a")]


# Label Studio's converter writes one mark for a whole project, then a task after each blank line
# (label_studio_converter/converter.py, convert_to_conll2003).
PROJECT = (
    "-DOCSTART- -X- O O\nTook -X- _ O\naspirin -X- _ B-Drug\n\n"
    "Has -X- _ O\nsevere -X- _ B-P\nrash. -X- _ I-P\n\n"
)


@pytest.mark.parametrize("name", ["c.conll", "c.txt"])
def test_one_mark_for_a_whole_project_divides_nothing(tmp_path, name):
    path = put(tmp_path, PROJECT, name)
    assert read_corpus(path).format == "conll"
    assert texts_of(path) == [("c-1", "Took aspirin"), ("c-2", "Has severe rash.")]
    whole = "Took aspirin\nHas severe rash."
    assert texts_of(path, documents="marked") == [("c-1", whole)]
    assert texts_of(path, documents="file") == [("c", whole)]


def test_files_of_a_folder_are_notes_and_parts_of_a_corpus_are_not(tmp_path):
    text = tsv("No/O pain/B-P", "Rash/B-P")
    for name in ("notes/a.conll", "notes/b.conll", "parts/train.tsv", "parts/test.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path, text, name)
    read = read_corpus(tmp_path / "notes")
    assert [(doc.id, doc.text) for doc in read.docs] == [
        ("a", "No pain\nRash"),
        ("b", "No pain\nRash"),
    ]
    assert read.counts["files read as one document each (--documents)"] == 2
    assert len(read_corpus(tmp_path / "parts").docs) == 4
    assert len(read_corpus(tmp_path / "notes" / "a.conll").docs) == 2
    assert len(texts_of(tmp_path / "notes", documents="sentence")) == 4


def test_documents_by_option(tmp_path):
    path = put(tmp_path, "-DOCSTART- n1\n\n" + tsv("a/B-P", "b/O") + "\n-DOCSTART- n2\n\nc\tO\n")
    assert [name for name, _ in texts_of(path)] == ["n1", "n2"]
    assert texts_of(path, documents="file") == [("c", "a\nb\nc")]
    assert [name for name, _ in texts_of(path, documents="sentence")] == ["n1-1", "n1-2", "n2-1"]
    with pytest.raises(CorpusError, match="line begins a document; give --documents file or"):
        read_corpus(put(tmp_path, IOB2), ReadingConfig(documents="marked"))


@pytest.mark.parametrize(
    ("tags", "counted"),
    [
        ("O B_P I_P S_Q", "files with tags such as B_LABEL"),
        ("O P-B P-I B-c-B", "files with tags such as LABEL-B"),
        (
            "O P P Q",
            "files with labels without prefix: neighbours of one label read as one mention",
        ),
    ],
)
def test_other_ways_to_write_a_tag(tmp_path, tags, counted):
    words = ["No", "chest", "pain", "rash"]
    text = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags.split(), strict=True))
    read = read_corpus(put(tmp_path, text), ReadingConfig(on_problem="count"))
    assert [mention for _, mention in found(read.docs)[0]] == ["chest pain", "rash"]
    assert read.counts[counted] == 1


def test_labels_and_tokens_with_spaces_stay_whole_between_tabs(tmp_path):
    docs = read_corpus(put(tmp_path, "Had\tO\n5 mg\tB-Adverse event\nof\tI-Adverse event\n")).docs
    assert found(docs) == [[("Adverse event", "5 mg of")]]
    write_corpus(docs, tmp_path / "d.conll", format="conll")
    assert found(read_corpus(tmp_path / "d.conll").docs) == found(docs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "O\tHad\nB-P\thives\n",
            r"c\.conll: column 1 holds no tags .* --token-column 1 --tag-column 0",
        ),
        ("O\tO\nB-P\thives\n", "--token-column 1 --tag-column 0"),
        ("Had\tO\tx\nit\tB-P\tx\n", "--token-column 0 --tag-column 1"),
        ("Had\tVBD\nit\tPRP\n", r"c\.conll:1: doc 'c-1': the tag is not O, .*--tag-column"),
        ("Had\tO\nit\tB-P\npain\tP\n", r"c\.conll:3: doc 'c-1': the tag is not O"),
        ("Had O\n5 mg O\nit B-P\n", r"c\.conll:2: doc 'c-1': 3 columns where the file has 2"),
        ("a x O\n O x\nb x B-P\n", r"c\.conll:2: doc 'c-1': 2 columns where the file has 3"),
        ("Had\tO\n\tO\nit\tB-P\n", r"c\.conll:2: doc 'c-1': the token is empty"),
        (
            "#FORMAT=WebAnno TSV 3.3\n#T_SP=custom.Span|label\n\n\n#Text=Rash\n1-1\t0-4\tRash\tP\n",
            r"c\.conll: WebAnno TSV, not CoNLL; end its name in \.tsv",
        ),
    ],
)
def test_the_true_cause_is_named(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message) as error:
        read_corpus(put(tmp_path, text))
    assert "brat" not in str(error.value) and "hives" not in str(error.value)


def test_tokens_without_a_visible_character_shift_no_column(tmp_path):
    read = read_corpus(put(tmp_path, "Had O\n\u00a0 O\nhives B-P\n\u200b O\n"))
    assert read.docs[0].text == "Had \u00a0 hives \u200b"
    assert found(read.docs) == [[("P", "hives")]]
    assert read.counts["tokens without a visible character, kept"] == 2
    write_corpus(read.docs, tmp_path / "d.conll", format="conll")
    assert read_corpus(tmp_path / "d.conll").docs[0].text == read.docs[0].text


NOTE = "Vitamin B-12\nBlood group O\nHepatitis B-virus\nType O\nPlan B-C\nNot O\n"


@pytest.mark.parametrize(
    ("name", "text", "is_conll"),
    [
        ("c.txt", tsv("No/O chest/B-P pain/I-P or/O rash/B-P"), True),
        ("c.txt", "###MEDLINE:1\n\n" + tsv("Rash/B-P"), True),
        ("c.txt", NOTE, False),
        ("c.txt", "Started vitamin B-12\n", False),
        ("c.txt", tsv("No/O pain/O in/O the/O arm/O"), False),
        ("c.tsv", "id\ttext\nn1\tNo pain.\nn2\tRash.\n", False),
        ("c.tsv", "Had\tO\nhives\tProblem\n", True),
        ("c.tsv", "#FORMAT=WebAnno TSV 3.3\n", False),
        ("c.conll", "a b c", True),
    ],
)
def test_a_file_is_conll_by_name_or_by_its_rows(name, text, is_conll):
    assert conll.claims(Path(name), text) == is_conll
