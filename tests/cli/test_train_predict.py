from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.cli.train import student_config
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import ConfigError, CorpusError, FileError, ModelError, StageError
from notesmith.ner import load_ner
from notesmith.ner.decode import score_of

TEXT = "Patient denies fever."
DOC = Document("a", TEXT, (Entity("T1", "Problem", ((15, 20),)),))


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    tiny_encoder(folder / "encoder")
    write_corpus([DOC, Document("b", "No cough reported.")], folder / "gold.jsonl")
    done = run(
        *("train", folder / "gold.jsonl", "--out", folder / "model", "--made"),
        *(folder / "gold.jsonl", "--set", f"ner.encoder={folder / 'encoder'}"),
        *("--set", "ner.steps=60", "--set", "ner.learning_rate=3e-3"),
    )
    assert done.exit_code == 0, done.output
    assert "2 + 2 documents, labels Problem, 60 steps" in done.output
    return folder


def test_predicts_plain_texts(folder: Path) -> None:
    notes = folder / "notes"
    (notes / "ward").mkdir(parents=True)
    (notes / "ward" / "n1.txt").write_bytes(TEXT.encode())
    (notes / "n2.txt").write_bytes(b"line one\r\nline two")
    done = run("predict", folder / "model", notes, "--out", folder / "out.jsonl")
    assert done.exit_code == 0, done.output
    docs = {d.id: d for d in read_corpus(folder / "out.jsonl").docs}
    assert docs["n2"].text == "line one\r\nline two"
    assert [e.mention(TEXT) for e in docs["ward/n1"].entities] == ["fever"]
    assert docs["n2"].provenance.kind == "silver"


def test_what_was_completed_is_said(folder: Path, tmp_path: Path) -> None:
    write_corpus([replace(DOC, id="m"), Document("n", TEXT)], tmp_path / "made.jsonl")
    options = ("encoder=" + str(folder / "encoder"), "steps=60", "learning_rate=3e-3")
    options += ("integration.complete=before", "integration.complete_score=0.2")
    done = run(
        *("train", folder / "gold.jsonl", "--made", tmp_path / "made.jsonl"),
        *("--out", tmp_path / "model"),
        *(part for option in options for part in ("--set", f"ner.{option}")),
    )
    assert done.exit_code == 0, done.output
    assert "1 mentions added in made documents" in done.output


def test_rows_of_note_nlp_need_integers_as_ids(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.note_nlp.csv"
    done = run("predict", folder / "model", folder / "gold.jsonl", "--out", out)
    assert isinstance(done.exception, CorpusError)
    assert "doc 'a': NOTE_NLP needs an integer as note_id" in str(done.exception)
    assert not list(tmp_path.iterdir())
    write_corpus([replace(DOC, id="471")], tmp_path / "n.jsonl")
    done = run("predict", folder / "model", tmp_path / "n.jsonl", "--out", out)
    assert done.exit_code == 0, done.output
    [head, row] = out.read_text().splitlines()
    assert head.startswith("note_nlp_id,note_id,section_concept_id,snippet,offset,lexical_variant")
    assert row.startswith("1,471,0,Patient denies fever.,15,fever,0,0,notesmith ")
    assert row.endswith(",Y,,label=Problem")


def test_attributes_are_learnt_and_predicted(folder: Path, tmp_path: Path) -> None:
    ent = Entity("T1", "Problem", ((15, 20),), ("negated",))
    other = Document("b", "Patient has fever.", (Entity("T1", "Problem", ((12, 17),)),))
    gold = tmp_path / "gold.jsonl"
    write_corpus([Document("a", TEXT, (ent,)), other], gold)
    options = ("--set", f"ner.encoder={folder / 'encoder'}", "--set", "ner.steps=60")
    options += ("--set", "ner.learning_rate=3e-3", "--set", 'ner.attributes=["negated"]')
    done = run("train", gold, "--out", tmp_path / "model", *options)
    assert done.exit_code == 0, done.output
    assert "labels Problem, attributes negated, 60 steps" in done.output
    done = run("predict", tmp_path / "model", gold, "--out", tmp_path / "out.jsonl")
    assert done.exit_code == 0, done.output
    found = [d.entities for d in read_corpus(tmp_path / "out.jsonl").docs]
    assert [[e.attributes for e in ents] for ents in found] == [[("negated",)], [()]]


def test_mentions_of_another_student_are_kept(folder: Path, tmp_path: Path) -> None:
    body = Entity("T1", "Person", ((0, 7),))
    write_corpus([Document("a", TEXT, (body,))], tmp_path / "found-1.jsonl")
    out = tmp_path / "found-2.jsonl"
    done = run("predict", folder / "model", tmp_path / "found-1.jsonl", "--out", out, "--keep")
    assert done.exit_code == 0, done.output
    assert "does not know" not in done.output
    (doc,) = read_corpus(out).docs
    assert [(e.id, e.label, e.mention(TEXT)) for e in doc.entities] == [
        ("T1", "Person", "Patient"),
        ("T2", "Problem", "fever"),
    ]


def test_predicts_a_corpus_and_counts_labels_it_does_not_know(folder: Path) -> None:
    strange = Document("x", "aspirin", (Entity("T1", "Drug", ((0, 7),)),))
    write_corpus([DOC, strange], folder / "other.jsonl")
    done = run("predict", folder / "model", folder / "other.jsonl", "--out", folder / "o2.jsonl")
    assert "other.jsonl: 1 of label Drug, which the model does not know" in done.output
    assert [d.id for d in read_corpus(folder / "o2.jsonl").docs] == ["a", "x"]


@pytest.mark.parametrize("name", ["in.jsonl", "texts", "in.parquet", "brat"])
def test_a_stream_gives_what_the_whole_would(folder: Path, tmp_path: Path, name: str) -> None:
    texts = [f"Note {i}. Patient denies fever.\n\nNo cough, fever on day {i}." for i in range(9)]
    docs = [Document(f"n{i}", text) for i, text in enumerate(texts)]
    where = tmp_path / name
    if name == "texts":
        where.mkdir()
        for doc in docs:
            (where / f"{doc.id}.txt").write_text(doc.text)
    else:
        write_corpus(docs, where, format=name.removeprefix("in."))
    want = load_ner(folder / "model").predict(docs)
    done = run("predict", folder / "model", where, "--out", tmp_path / "out.jsonl")
    assert done.exit_code == 0, done.output
    found = read_corpus(tmp_path / "out.jsonl").docs
    assert [(d.id, d.text, d.entities) for d in found] == [(d.id, d.text, d.entities) for d in want]
    assert sum(len(d.entities) for d in found) >= 9


def test_plain_notes_scores_and_thresholds(folder: Path, tmp_path: Path) -> None:
    lines = [{"note": TEXT, "key": "k"}, {"note": None, "key": "l"}]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ("predict", folder / "model", tmp_path / "n.jsonl", "--text-field", "note")
    command = (*command, "--id-field", "key")
    stopped = run(*command, "--scores", "--out", tmp_path / "o.jsonl")
    assert "n.jsonl:2: no string 'note'" in str(stopped.exception)
    command = (*command, "--on-problem", "count")
    done = run(*command, "--scores", "--out", tmp_path / "o.jsonl")
    assert done.exit_code == 0 and "n.jsonl: 1 dropped: record" in done.output
    [doc] = read_corpus(tmp_path / "o.jsonl").docs
    score = score_of(doc.entities[0])
    assert doc.id == "k" and doc.mentions() == ["fever"]
    assert score is not None and 0.5 < score < 1
    for threshold, mentions in ((score + 0.0002, []), (score, ["fever"])):
        out = tmp_path / f"{len(mentions)}.jsonl"
        limit = ("--threshold", f"Problem={threshold:.4f}")
        assert run(*command, *limit, "--out", out).exit_code == 0
        assert read_corpus(out, expect_mentions=False).docs[0].mentions() == mentions


def test_parquet_out(folder: Path, tmp_path: Path) -> None:
    done = run("predict", folder / "model", folder / "gold.jsonl", "--out", tmp_path / "o.parquet")
    assert done.exit_code == 0, done.output
    docs = read_corpus(tmp_path / "o.parquet").docs
    assert [(d.id, d.mentions()) for d in docs] == [("a", ["fever"]), ("b", [])]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--threshold", "Problem"), "write it as LABEL=0.8"),
        (("--threshold", "Problem=high"), "write it as LABEL=0.8"),
        (("--threshold", "Gene=0.5"), "'Gene': the model's labels are Problem"),
        (("--threshold", "Problem=2"), "2.0 is not between 0 and 1"),
        (("--out", "o.parquet", "--scores"), "Parquet has no place for them"),
        (("--out", "o.jsonl.gz"), "output is not compressed"),
    ],
)
def test_what_cannot_be_predicted_so(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    source = folder / "gold.jsonl"
    done = run("predict", folder / "model", source, "--out", tmp_path / "o.jsonl", *arguments)
    assert isinstance(done.exception, ConfigError) and said in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_the_input_is_not_written_over(folder: Path) -> None:
    source = folder / "gold.jsonl"
    done = run("predict", folder / "model", source, "--out", source)
    assert isinstance(done.exception, FileError) and "is the input" in str(done.exception)


def test_an_interrupt_says_how_to_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("notesmith.ner.model.NerModel.predict", stop)
    done = run("predict", folder / "model", folder / "gold.jsonl", "--out", tmp_path / "o.jsonl")
    assert done.exit_code == 130
    assert "the same command goes on with it" in done.output
    [part] = tmp_path.iterdir()
    assert part.name.startswith(".o.jsonl.") and part.name in done.output


def test_thresholds_are_scored_on_gold(folder: Path) -> None:
    done = run("thresholds", folder / "model", folder / "gold.jsonl", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["labels"]["Problem"][0] == {
        **{"threshold": None, "precision": 100, "recall": 100, "f1": 100},
        **{"tp": 1, "fp": 0, "fn": 0},
    }
    assert found["chosen"]["Problem"]["threshold"] is None and found["chosen_f1"] == 100
    done = run("thresholds", folder / "model", folder / "gold.jsonl")
    assert "Problem: 1 mentions" in done.output and "all labels, chosen: P 100.0" in done.output


def test_an_export_does_not_write_over_a_folder(folder: Path) -> None:
    done = run("export", folder / "model", "--out", folder / "model")
    assert isinstance(done.exception, FileError) and "exists already" in str(done.exception)


def test_nothing_is_trained_over_an_existing_folder(folder: Path) -> None:
    done = run("train", folder / "gold.jsonl", "--out", folder / "model")
    assert isinstance(done.exception, FileError) and "exists already" in str(done.exception)


def test_a_folder_with_a_test_set_is_learnt_from_with_a_warning(
    folder: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    for i, part in enumerate(("train", "test")):
        write_corpus([replace(DOC, id=str(i))], parts / f"{part}.jsonl")
    options = ("--set", f"ner.encoder={folder / 'encoder'}", "--set", "ner.steps=1")
    said = "the student learns from train, test together, so scores on any of these mean nothing; "
    said += f"name {parts / 'train.jsonl'} to leave the others out"
    done = run("train", parts, "--out", tmp_path / "both", *options)
    assert done.exit_code == 0 and said in done.output
    done = run("train", parts / "train.jsonl", "--out", tmp_path / "one", *options)
    assert done.exit_code == 0 and "together" not in done.output


def test_a_folder_without_a_model_is_an_error(folder: Path) -> None:
    done = run("predict", folder / "encoder", folder / "gold.jsonl", "--out", folder / "o3.jsonl")
    assert isinstance(done.exception, ModelError)
    assert not (folder / "o3.jsonl").exists()


def test_made_labels_that_gold_lacks_are_an_error_unless_named(
    folder: Path, tmp_path: Path
) -> None:
    ents = (Entity("T1", "Drug", ((0, 7),)), Entity("T2", "Problem", ((19, 24),)))
    drug = Document("m", "Aspirin helped the fever.", ents)
    write_corpus([drug], tmp_path / "made.jsonl")
    line = ("train", folder / "gold.jsonl", "--made", tmp_path / "made.jsonl")
    line = (*line, "--set", f"ner.encoder={folder / 'encoder'}", "--set", "ner.steps=1")
    done = run(*line, "--out", tmp_path / "model")
    assert isinstance(done.exception, StageError)
    assert str(done.exception).startswith("made documents have labels that gold lacks: Drug; ")
    assert not (tmp_path / "model").exists()
    done = run(*line, "--out", tmp_path / "dropped", "--label-map", "Drug=")
    assert done.exit_code == 0 and "labels Problem, 1 steps" in done.output
    done = run(*line, "--out", tmp_path / "both", "--labels", "Drug,Problem")
    assert done.exit_code == 0 and "labels Drug, Problem, 1 steps" in done.output


def test_text_made_of_other_documents_is_counted(folder: Path, tmp_path: Path) -> None:
    parents = ("a:0-9", "b~1", "of-test:0-9", "", None)
    docs = [
        replace(DOC, id=f"m{i}", provenance=Provenance("synthetic", () if p is None else (p,)))
        for i, p in enumerate(parents)
    ]
    write_corpus(docs, tmp_path / "made.jsonl")
    done = run(
        *("train", folder / "gold.jsonl", "--made", tmp_path / "made.jsonl"),
        *("--set", f"ner.encoder={folder / 'encoder'}", "--set", "ner.steps=1"),
        *("--out", tmp_path / "model"),
    )
    assert done.exit_code == 0, done.output
    assert "1 of 5 made documents were made of documents that gold.jsonl lacks" in done.output


def test_settings_reach_the_model(folder: Path) -> None:
    saved = json.loads((folder / "model" / "notesmith.json").read_text())
    assert saved["ner"]["steps"] == 60 and saved["labels"] == ["Problem"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("steps=5", "write it as ner.FIELD=VALUE"),
        ("ner.steps", "write it as ner.FIELD=VALUE"),
        ("ner.steps=0", "--set ner.steps: "),
        ("ner.stepz=5", "--set ner.stepz: "),
        ("ner.integration.how=blend", "--set ner.integration.how: "),
    ],
)
def test_a_wrong_setting_is_named(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        student_config([change])


def test_settings_are_toml_values_or_strings() -> None:
    config = student_config(["ner.encoder=minilm", "ner.integration.how=ratio", "ner.dropout=0"])
    assert (config.encoder, config.integration.how, config.dropout) == ("minilm", "ratio", 0)
