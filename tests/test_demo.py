"""The packaged demo corpus: what its card says of it is true, and its labels keep their rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import demo_corpus_path, read_corpus
from notesmith.document import Document

SPLITS = ("train", "dev", "test")
LABELS = {"Problem", "Drug", "Dose", "Test", "Result"}
KINDS = {"discharge summary", "clinic letter", "radiology", "emergency", "nursing", "pathology"}
ENDS = {
    "drug-dose": ("Drug", "Dose"),
    "drug-indication": ("Drug", "Problem"),
    "test-result": ("Test", "Result"),
}


@pytest.fixture(scope="module")
def splits() -> dict[str, list[Document]]:
    return {
        name: list(read_corpus(demo_corpus_path() / name, ReadingConfig(format="inline")).docs)
        for name in SPLITS
    }


@pytest.fixture(scope="module")
def docs(splits: dict[str, list[Document]]) -> list[Document]:
    return [doc for name in SPLITS for doc in splits[name]]


def test_the_splits_hold_the_notes_that_were_planned(splits: dict[str, list[Document]]) -> None:
    assert {name: len(docs) for name, docs in splits.items()} == {
        "train": 48,
        "dev": 16,
        "test": 16,
    }


def test_the_whole_folder_reads_as_one_corpus(docs: list[Document]) -> None:
    read = read_corpus(demo_corpus_path())
    assert {doc.id for doc in read.docs} == {doc.id for doc in docs}
    assert sum(read.counts.values()) == 2  # the guideline, and what the notes are


def test_no_patient_is_in_two_splits(splits: dict[str, list[Document]]) -> None:
    patients = {name: {doc.metadata["patient"] for doc in docs} for name, docs in splits.items()}
    assert {name: len(ids) for name, ids in patients.items()} == {"train": 18, "dev": 6, "test": 6}
    assert set().union(*patients.values()) == {f"P{i:02}" for i in range(1, 31)}


def test_every_split_holds_every_kind(splits: dict[str, list[Document]]) -> None:
    for docs in splits.values():
        assert {doc.metadata["kind"] for doc in docs} == KINDS


def test_ids_name_patient_and_kind_and_dates_are_plainly_fictional(docs: list[Document]) -> None:
    for doc in docs:
        patient, kind, number = doc.id.split("-")
        assert patient == doc.metadata["patient"]
        assert kind == doc.metadata["kind"].split()[0]
        assert number.isdigit()
        assert re.fullmatch(r"203[1-4]-\d\d-\d\d", doc.metadata["date"])


def test_lengths_run_from_short_to_long(docs: list[Document]) -> None:
    words = [len(doc.text.split()) for doc in docs]
    assert min(words) >= 60
    assert sum(n >= 1000 for n in words) >= 4


def test_labels_and_attributes_are_those_of_the_guideline(docs: list[Document]) -> None:
    assert {ent.label for doc in docs for ent in doc.entities} == LABELS
    used = Counter(att for doc in docs for ent in doc.entities for att in ent.attributes)
    assert set(used) == {"negated", "uncertain", "family"}
    assert min(used.values()) >= 50
    assert all(ent.label == "Problem" for doc in docs for ent in doc.entities if ent.attributes)


def test_spans_are_flat_and_cut_no_word_or_line(docs: list[Document]) -> None:
    for doc in docs:
        end_before = 0
        for ent in sorted(doc.entities, key=lambda ent: ent.start):
            mention = ent.mention(doc.text)
            where = (doc.id, ent.id, ent.start)
            assert len(ent.spans) == 1, where
            assert ent.start >= end_before, where
            assert mention == mention.strip() and "\n" not in mention, where
            assert mention[-1] not in ".,;:(/", where
            assert not (doc.text[: ent.start][-1:].isalnum() and mention[0].isalnum()), where
            assert not (doc.text[ent.end :][:1].isalnum() and mention[-1].isalnum()), where
            end_before = ent.end


def test_relations_join_the_labels_of_the_guideline(docs: list[Document]) -> None:
    for doc in docs:
        label_of = {ent.id: ent.label for ent in doc.entities}
        for rel in doc.relations:
            assert (label_of[rel.head], label_of[rel.tail]) == ENDS[rel.label], (doc.id, rel.id)


def test_every_dose_has_one_drug_and_every_result_one_test(docs: list[Document]) -> None:
    for doc in docs:
        heads = Counter(rel.tail for rel in doc.relations if rel.label != "drug-indication")
        for ent in doc.entities:
            if ent.label in ("Dose", "Result"):
                assert heads[ent.id] == 1, (doc.id, ent.id)


def test_every_note_has_sections_or_sentences_and_mentions(docs: list[Document]) -> None:
    assert min(len(doc.entities) for doc in docs) >= 10
    assert sum(bool(doc.sections) for doc in docs) >= 60


def test_no_note_repeats_another(docs: list[Document]) -> None:
    lines = [
        {line.strip() for line in doc.text.splitlines() if len(line.split()) >= 8} for doc in docs
    ]
    shared = [
        (docs[i].id, docs[j].id)
        for i in range(len(docs))
        for j in range(i)
        if lines[i] & lines[j] and docs[i].metadata["patient"] != docs[j].metadata["patient"]
    ]
    assert shared == []


def test_the_card_tells_the_numbers(splits: dict[str, list[Document]]) -> None:
    card = (demo_corpus_path() / "README.md").read_text(encoding="utf-8")
    assert "written for this project by a language model" in card

    def row(name: str, count: Callable[[list[Document]], int]) -> str:
        numbers = [count(splits[split]) for split in SPLITS]
        return f"| {name} | " + " | ".join(f"{n:,}" for n in [*numbers, sum(numbers)]) + " |"

    assert row("words", lambda docs: sum(len(doc.text.split()) for doc in docs)) in card
    for kind in KINDS:
        assert row(kind, partial(_n_kind, kind)) in card
    for label in LABELS:
        assert row(label, partial(_n_label, label)) in card


def _n_kind(kind: str, docs: list[Document]) -> int:
    return sum(doc.metadata["kind"] == kind for doc in docs)


def _n_label(label: str, docs: list[Document]) -> int:
    return sum(ent.label == label for doc in docs for ent in doc.entities)
