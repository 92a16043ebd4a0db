"""Rows of OMOP's NOTE_NLP, as OHDSI/CommonDataModel defines the table.

Columns, types and lengths are those of ``inst/ddl/5.4/postgresql/OMOPCDM_postgresql_5.4_ddl.sql``;
what ``term_exists`` and ``term_temporal`` mean stands in
``inst/csv/OMOP_CDMv5.4_Field_Level.csv``.
"""

import csv
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

import pytest

from notesmith import __version__
from notesmith.corpus.formats import note_nlp
from notesmith.corpus.labelling import Output, label_notes
from notesmith.corpus.notes import survey
from notesmith.corpus.problems import Tally
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError
from notesmith.progress import OnProgress, silent

AT = datetime(2026, 11, 30, 14, 5, 9)
INTEGERS = ("note_nlp_id", "note_id", "section_concept_id", "note_nlp_concept_id")
LENGTHS = {
    **{"snippet": 250, "offset": 50, "lexical_variant": 250, "nlp_system": 250},
    **{"term_exists": 1, "term_temporal": 50, "term_modifiers": 2000},
}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def written(tmp_path: Path, *docs: Document) -> list[dict[str, str]]:
    note_nlp.write_stream(docs, tmp_path / "o.csv", "notesmith 1", AT)
    return rows(tmp_path / "o.csv")


def test_a_mention_is_a_row_of_the_table(tmp_path: Path) -> None:
    text = 'Denies\r\n"chest pain", takes aspirin.'
    ents = (
        Entity("T1", "Problem", ((9, 19),), ("negated", "score=0.93")),
        Entity("T2", "Drug", ((28, 35),)),
    )
    docs = (Document("4711", text, ents), Document("12", "Well."), Document("13", text, ents[1:]))
    first, second, third = written(tmp_path, *docs)
    assert tuple(first) == note_nlp.COLUMNS
    assert first == {
        "note_nlp_id": "1",
        "note_id": "4711",
        "section_concept_id": "0",
        "snippet": 'Denies  "chest pain", takes aspirin.',
        "offset": "9",
        "lexical_variant": "chest pain",
        "note_nlp_concept_id": "0",
        "note_nlp_source_concept_id": "0",
        "nlp_system": "notesmith 1",
        "nlp_date": "2026-11-30",
        "nlp_datetime": "2026-11-30 14:05:09",
        "term_exists": "N",
        "term_temporal": "",
        "term_modifiers": "label=Problem,negated=true,score=0.93",
    }
    assert (second["term_exists"], second["term_modifiers"]) == ("Y", "label=Drug")
    assert (third["note_nlp_id"], third["note_id"]) == ("3", "13")
    assert (tmp_path / "o.csv").stat().st_mode & 0o777 == 0o600


def test_columns_keep_their_lengths(tmp_path: Path) -> None:
    text = "".join(f"word{n} " for n in range(500))
    ents = (
        Entity("T1", "A", ((0, 5),)),
        Entity("T2", "A", ((2000, 2007),)),
        Entity("T3", "A", ((len(text) - 4, len(text)),)),
        Entity("T4", "A", ((100, 900),), tuple(f"n{i}=" + "x" * 90 for i in range(40))),
    )
    lost = note_nlp.write_stream([Document("1", text, ents)], tmp_path / "o.csv", "s", AT)
    found = rows(tmp_path / "o.csv")
    for row, ent in zip(found, ents, strict=True):
        assert all(len(row[name]) <= n for name, n in LENGTHS.items())
        assert all(row[name].isdigit() for name in INTEGERS)
        assert text[ent.start : ent.end][:250].replace("\n", " ") in row["snippet"]
    assert [len(row["snippet"]) for row in found] == [250] * 4
    assert +lost == {"mentions cut to 250 characters": 1, "modifiers cut to 2000 characters": 1}


@pytest.mark.parametrize(
    ("attributes", "exists", "time"),
    [
        ((), "Y", ""),
        (("negated",), "N", ""),
        (("negation=true",), "N", ""),
        (("negation=no", "subject=patient"), "Y", ""),
        (("subject=mother",), "N", ""),
        (("family",), "N", ""),
        (("polarity=NEG",), "N", ""),
        (("absent",), "N", ""),
        (("assertion=associated_with_someone_else",), "N", ""),
        (("conditional",), "N", ""),
        (("uncertain",), "Y", ""),
        (("possible", "present"), "Y", ""),
        (("historical",), "Y", "past"),
        (("temporality=past", "negated"), "N", "past"),
        (("history=false",), "Y", ""),
        (("result=negative",), "Y", ""),
    ],
)
def test_what_attributes_say_of_the_patient(
    tmp_path: Path, attributes: tuple[str, ...], exists: str, time: str
) -> None:
    [row] = written(tmp_path, Document("1", "rash", (Entity("T1", "A", ((0, 4),), attributes),)))
    assert (row["term_exists"], row["term_temporal"]) == (exists, time)


@pytest.mark.parametrize("name", ["n1", "", "ward/12", "007", "1.5", "٣", "12 ", "9" * 30])
def test_ids_that_are_no_integers_are_named_before_the_work(name: str) -> None:
    docs = [Document("12", "a"), Document(name or "x", "b"), Document("-3", "c")]
    notes = note_nlp.with_integer_ids(lambda tally: iter(docs))
    with pytest.raises(CorpusError, match="NOTE_NLP needs an integer as note_id; name its field"):
        survey(notes)
    tally = Tally("count")
    assert [doc.id for doc in notes(tally)] == ["12", "-3"]
    assert tally.counts == {"dropped: note whose id is no integer": 1}


DOCS = [Document(str(n), f"fever {n}") for n in range(300)]


def test_a_stopped_run_goes_on_and_writes_the_file_at_its_end(tmp_path: Path) -> None:
    seen: list[str] = []

    def label(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> list[Document]:
        if seen and len(seen) < len(DOCS) and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        seen.extend(doc.id for doc in docs)
        return [doc.with_entities([Entity("T1", "Problem", ((0, 5),))]) for doc in docs]

    def notes(tally: Tally) -> Iterator[Document]:
        return iter(DOCS)

    output = Output(tmp_path / "o.csv", "0a1b2c3d4e5f6071", ("Problem",))
    with pytest.raises(KeyboardInterrupt):
        label_notes(notes, survey(notes), label, output)
    assert not (tmp_path / "o.csv").exists()
    (tmp_path / "again").touch()
    done = label_notes(notes, survey(notes), label, output)
    assert (done.n_docs, done.n_resumed, len(seen)) == (300, 128, 300)
    found = rows(tmp_path / "o.csv")
    assert [row["note_id"] for row in found] == [doc.id for doc in DOCS]
    assert {row["nlp_system"] for row in found} == {f"notesmith {__version__}"}
    assert date.fromisoformat(found[0]["nlp_date"])
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_packed_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"end it in \.jsonl, \.parquet or \.csv"):
        Output(tmp_path / "o.csv.gz", "", ())
