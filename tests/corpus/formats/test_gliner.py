import json

import pytest

from notesmith.corpus import read_corpus
from notesmith.corpus.formats import gliner
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity, Relation
from notesmith.errors import CorpusError


def write(tmp_path, *docs, **options):
    lost = gliner.write(docs, tmp_path / "g.json", **options)
    return json.loads((tmp_path / "g.json").read_text(encoding="utf-8")), +lost


def test_tokens_and_mentions_with_the_last_token_included(tmp_path):
    doc = Document(
        "a",
        "No chest pain, 𝛼-rash 👩‍⚕️.",
        (
            Entity("T1", "Problem", ((3, 13),)),
            Entity("T2", "Site", ((3, 8),)),
            Entity("T3", "Rash", ((15, 21),)),
        ),
    )
    items, lost = write(tmp_path, doc)
    assert items == [
        {
            "tokenized_text": [
                *("No", "chest", "pain", ",", "𝛼-rash"),
                *("👩", "\u200d", "⚕", "\ufe0f", "."),
            ],
            "ner": [[1, 2, "Problem"], [1, 1, "Site"], [4, 4, "Rash"]],
        }
    ]
    assert lost == {}


def test_mentions_that_are_no_words_are_widened_or_left_out_and_counted(tmp_path):
    doc = Document(
        "a",
        "chest  pain.",
        (
            Entity("T1", "A", ((1, 9),)),
            Entity("T2", "A", ((2, 11),)),
            Entity("T3", "A", ((5, 7),)),
            Entity("T4", "B", ((0, 5), (11, 12))),
        ),
    )
    items, lost = write(tmp_path, doc)
    assert items[0]["ner"] == [[0, 1, "A"], [0, 2, "B"]]
    assert lost == {
        "discontinuous mentions written whole": 1,
        "mentions made identical": 1,
        "mentions widened to whole words": 2,
        "mentions without a word left out": 1,
    }


def test_long_documents_are_split_at_sentences_but_no_mention(tmp_path):
    text = "One two three. Four five six. Seven eight nine. " + "A b " * 4 + "c."
    doc = Document("a", text, (Entity("T1", "X", ((24, 35),)),))
    items, lost = write(tmp_path, doc, max_words=8)
    assert [" ".join(item["tokenized_text"]) for item in items] == [
        "One two three .",
        "Four five six . Seven eight nine .",
        "A b A b A b A b c .",
    ]
    assert [item["ner"] for item in items] == [[], [[2, 4, "X"]], []]
    assert lost == {"documents split": 1, "texts longer than GLiNER reads": 1}


def test_what_the_format_cannot_hold_is_counted(tmp_path):
    docs = [
        Document("a", " \n"),
        Document("b", " x ", (Entity("T1", "A", ((0, 1),)),), masked=((1, 2),)),
        Document("c", "x", (Entity("T1", "A", ((0, 1),)),), (Relation("R1", "r", "T1", "T1"),)),
    ]
    items, lost = write(tmp_path, *docs)
    assert items == [
        {"tokenized_text": ["x"], "ner": []},
        {"tokenized_text": ["x"], "ner": [[0, 0, "A"]]},
    ]
    assert lost == {
        "documents whose attributes, concepts, relations or metadata were left out": 1,
        "documents without a word left out": 1,
        "masked ranges left out (GLiNER takes them for text without mentions)": 1,
        "mentions without a word left out": 1,
    }


def test_no_documents_are_an_empty_list(tmp_path):
    assert write(tmp_path) == ([], {})


# As in GLiNER's documentation of training: the last token of a mention is included.
ITEM = {
    "tokenized_text": ["Began", "warfarin", "after", "a", "mild", "stroke."],
    "ner": [[1, 1, "drug"], [4, 5, "past problem"], [1, 5, "course"]],
}


def put(path, *items):
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def test_reads_words_and_mentions(tmp_path):
    path = put(tmp_path / "c.json", ITEM, {"id": "n2", "tokenized_text": ["Well"], "ner": []})
    found = read_corpus(path)
    assert (found.format, [doc.id for doc in found.docs]) == ("gliner", ["c-1", "n2"])
    assert found.docs[0].text == "Began warfarin after a mild stroke."
    assert found.docs[0].mentions() == [
        "warfarin",
        "mild stroke.",
        "warfarin after a mild stroke.",
    ]
    assert found.docs[0].labels == {"drug", "past problem", "course"}


def test_what_is_written_is_read_again(tmp_path):
    doc = Document("a", "No chest pain.", (Entity("T1", "Problem", ((3, 13),)),))
    gliner.write([doc], tmp_path / "c.json")
    (back,) = read_corpus(tmp_path / "c.json").docs
    assert (back.text, back.mentions()) == ("No chest pain .", ["chest pain"])


@pytest.mark.parametrize(
    ("fields", "message", "masked"),
    [
        ({"ner": [[4, 6, "A"]]}, r"ner\[0\]: tokens 4 to 6 are not among the 6", ((23, 35),)),
        ({"ner": [[4, 5, None]]}, r"ner\[0\]: the label must be a string", ((23, 35),)),
        ({"ner": [[7, 8, "A"]]}, r"ner\[0\]: tokens 7 to 8 are not among the 6", None),
        ({"ner": [["4", 5, "A"]]}, r"a mention must be \[first token, last token, label\]", None),
        ({"ner": None}, "no list 'ner'", None),
        ({"tokenized_text": "Began"}, "'tokenized_text' must be a list of strings", None),
    ],
)
def test_a_mention_that_cannot_be_read_is_unknown(tmp_path, fields, message, masked):
    path = put(tmp_path / "c.json", ITEM, ITEM | fields)
    with pytest.raises(CorpusError, match=message) as error:
        list(gliner.read(path, "c", Tally()))
    assert str(error.value).startswith(f"{path}: record 2: doc 'c-2': ")
    docs = list(gliner.read(path, "c", Tally("count")))
    assert [doc.masked for doc in docs[1:]] == ([] if masked is None else [masked])
