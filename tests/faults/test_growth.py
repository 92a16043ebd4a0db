"""Four times as much takes about four times as long: readers, writers, ``show``, ``check``."""

import time
from dataclasses import replace

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import FORMATS, read_corpus, write_corpus
from notesmith.corpus.check import check_corpus
from notesmith.corpus.disputes import disagreements
from notesmith.corpus.statistics import describe
from notesmith.document import Document, Entity, Relation
from notesmith.marked import pieces
from notesmith.report.show import terminal_text
from notesmith.segments import sentences


def row(n, n_labels=1):
    """``n`` mentions side by side, a sentence each."""
    spans = [(11 * i, 11 * i + 9) for i in range(n)]
    ents = (Entity(f"T{i + 1}", f"L{i % n_labels}", (span,)) for i, span in enumerate(spans))
    return Document("d1", "".join(f"fever{i:04}. " for i in range(n)), tuple(ents))


def linked(n):
    links = (Relation(f"R{i}", "X", f"T{i}", f"T{i % n + 1}") for i in range(1, n + 1))
    return replace(row(n), relations=tuple(links))


def nested(n):
    ents = (Entity(f"T{i + 1}", "L", ((2 * i, 4 * n - 2 * i),)) for i in range(n))
    return Document("d1", "a " * (2 * n), tuple(ents))


def crossing(n):
    ents = (Entity(f"T{i + 1}", "L", ((2 * i, 2 * i + 2 * n - 1),)) for i in range(n))
    return Document("d1", "a " * (2 * n), tuple(ents))


def half(doc):
    return replace(doc, entities=doc.entities[: len(doc.entities) // 2], relations=())


def through(format, doc, folder):
    path = FORMATS[format].path(folder, "c")
    write_corpus([doc], path, format=format)
    return read_corpus(path, ReadingConfig(format=format))


def texts_alone(n, folder):
    for i in range(n):
        (folder / f"{i}.txt").write_text("x")
    with pytest.raises(ValueError, match="plain texts without labels"):
        read_corpus(folder)


WORK = {
    "mentions of a document": lambda n, _: disagreements(
        "d1", {"a": row(4 * n), "b": half(row(4 * n))}
    ),
    "nested mentions, shown": lambda n, _: terminal_text(nested(n), plain=True),
    "crossing mentions, cut in pieces": lambda n, _: pieces(crossing(n)),
    # Few: the words of nested mentions, which are counted, themselves grow with the square.
    "nested mentions, counted": lambda n, _: describe([nested(n)]),
    # Many: the words of short mentions are compared, and those of nested ones grow with the square.
    "nested mentions, checked": lambda n, _: check_corpus({"a": [nested(4 * n)]}),
    "free sentences, counted": lambda n, _: describe([row(n)]),
    "a long run of spaces": lambda n, _: sentences("fever" + " " * (40 * n) + "x"),
    "a long run of full stops": lambda n, _: sentences("fever " + "." * (20 * n) + " x"),
    "many abbreviations": lambda n, _: sentences("Dr. " * (20 * n)),
    "a header line of spaces": lambda n, folder: (
        (folder / "a.txt").write_text("k: v" + " " * (40 * n) + "w\n---\nx\n"),
        read_corpus(folder / "a.txt", ReadingConfig(format="inline", without_mentions=True)),
    ),
    "texts of a folder without annotations": texts_alone,
    "labels, inline": lambda n, folder: through("inline", row(2 * n, 2 * n), folder),
    "symmetric relations, brat": lambda n, folder: through(
        "brat",
        replace(
            linked(n),
            relations=tuple(Relation(f"*{i}", "X", "T1", f"T{i + 1}", True) for i in range(1, n)),
        ),
        folder,
    ),
    **{
        f"mentions and relations, {name}": lambda n, folder, name=name: through(
            name, linked(n), folder
        )
        for name in (
            *("conll", "prodigy", "label-studio", "docbin", "parquet", "i2b2-2010"),
            *("doccano", "spacy-tuples", "hf-tokens", "gliner"),
        )
    },
}


def seconds(work, n, tmp_path_factory):
    folder = tmp_path_factory.mktemp("n")
    began = time.process_time()
    work(n, folder)
    return time.process_time() - began


@pytest.mark.parametrize("name", WORK)
def test_four_times_as_much_takes_about_four_times_as_long(name, tmp_path_factory, tried, amount):
    n = amount(100, 500)
    WORK[name](10, tmp_path_factory.mktemp("n"))  # What is loaded once.
    # A square would be 16. Of three attempts the quickest counts.
    most = 8 * min(seconds(WORK[name], n, tmp_path_factory) for _ in range(3)) + 0.05
    quick = any(seconds(WORK[name], 4 * n, tmp_path_factory) < most for _ in range(3))
    tried.count(f"{name}: four times as much", quick)
    tried.check()
