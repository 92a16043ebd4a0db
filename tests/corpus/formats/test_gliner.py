import json

from notesmith.corpus.formats import gliner
from notesmith.document import Document, Entity, Relation


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
