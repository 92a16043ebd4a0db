"""``annotate`` on the command line, and ``train`` on what it wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.lm.tiny import tiny_lm
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError

GOLD = [
    Document("a", "Patient denies fever.", (Entity("T1", "Problem", ((15, 20),)),)),
    Document("b", "No cough reported.", (Entity("T1", "Problem", ((3, 8),)),)),
]


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli-annotate")
    tiny_encoder(folder / "encoder")
    write_corpus(GOLD, folder / "gold.jsonl")
    (folder / "notes").mkdir()
    for i, word in enumerate(("fever", "cough", "pain")):
        (folder / "notes" / f"n{i}.txt").write_text(f"Patient has severe {word}.")
    (folder / "notes" / "again.txt").write_text(GOLD[0].text)
    done = run(
        *("annotate", folder / "notes", "--gold", folder / "gold.jsonl", "--students", 2),
        *("--out", folder / "silver.jsonl", "--set", f"ner.encoder={folder / 'encoder'}"),
        *("--set", "ner.steps=40", "--set", "ner.learning_rate=3e-3"),
    )
    assert done.exit_code == 0, done.output
    (folder / "said").write_text(done.output)
    return folder


def test_it_prints_counts_and_what_comes_next(made: Path) -> None:
    said = (made / "said").read_text()
    n = sum(len(doc.entities) for doc in read_corpus(made / "silver.jsonl").docs)
    assert "notesmith: 3 notes of" in said and "2 students learn from 2 documents before" in said
    assert "Left out: 1 by the text of a labelled or held-out document" in said
    assert "Labelled 3 notes in" in said and f"Problem: {n:,} mentions (by score, " in said
    assert f"Look at it: {made / 'silver.html'}; card: {made / 'silver.md'}" in said
    gold = made / "gold.jsonl"
    assert f"Next: notesmith train {gold} --made {made / 'silver.jsonl'} --out" in said
    assert "notesmith run compares" in said


def test_annotators_are_named_with_commas_or_one_by_one(made: Path, tmp_path: Path) -> None:
    words = ("annotate", made / "notes", "--gold", made / "gold.jsonl")
    done = run(*words, "--out", tmp_path / "s.jsonl", "--by", "dictionary")
    assert done.exit_code == 0, done.output
    assert "Labelled 3 notes" in done.output and "students learn" not in done.output
    twice = ("--by", "dictionary, lm-json", "--by", "lm-json")
    done = run(*words, "--out", tmp_path / "t.jsonl", *twice)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == "--by dictionary,lm-json,lm-json: names one twice"


def test_what_a_saved_folder_lacks_is_named_and_labels_the_same_when_named_again(
    made: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    words = ("annotate", made / "notes", "--gold", made / "gold.jsonl")
    both = ("--by", "students,dictionary")
    settings = ("--set", f"ner.encoder={made / 'encoder'}", "--set", "ner.steps=4")
    model = tmp_path / "model"
    done = run(*words, *both, *settings, "--students", 2, "--out", first, "--save-model", model)
    assert done.exit_code == 0, done.output
    assert "It does not hold dictionary. To label as here with --model, name --by" in done.output
    assert "by heart" not in done.output
    again = run(*words, *both, "--model", model, "--out", second)
    assert again.exit_code == 0, again.output
    assert first.read_bytes() == second.read_bytes()


def test_what_a_saved_language_model_knows_and_its_scores_are_said(
    made: Path, tmp_path: Path
) -> None:
    lm = tiny_lm("llama")
    lm.model.config.max_position_embeddings = 4096  # a vocabulary of letters
    lm.save(tmp_path / "lm")
    settings = {
        "lm.model": tmp_path / "lm",
        "lm.trim": "false",
        "sft.epochs": 1,
        "sft.replaced_copies": 0,
        "annotate.lm.max_new_tokens": 20,
    }
    done = run(
        *("annotate", made / "notes", "--gold", made / "gold.jsonl", "--by", "lm-json"),
        *("--calibrate", "--out", tmp_path / "s.jsonl", "--save-model", tmp_path / "kept"),
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    )
    assert done.exit_code == 0, done.output
    assert "scores of lm-json are not calibrated: 0 mentions in 1 held-out" in done.output
    assert "may know parts of the labelled documents by heart" in done.output


def train(made: Path, silver: Path, out: Path):
    return run(
        *("train", made / "gold.jsonl", "--made", silver, "--out", out),
        *("--set", f"ner.encoder={made / 'encoder'}", "--set", "ner.steps=1"),
    )


def test_train_learns_the_distributions_beside_the_documents(made: Path, tmp_path: Path) -> None:
    done = train(made, made / "silver.jsonl", tmp_path / "model")
    assert done.exit_code == 0, done.output
    said = "silver.scores.npz: 3 documents of silver.jsonl teach the distributions of their words"
    assert said in done.output


def test_train_learns_what_was_corrected(made: Path, tmp_path: Path) -> None:
    docs = read_corpus(made / "silver.jsonl").docs
    mention = Entity("T1", "Problem", ((0, 7),))
    write_corpus([replace(docs[0], entities=(mention,)), *docs[1:]], tmp_path / "silver.jsonl")
    scores = (made / "silver.scores.npz").read_bytes()
    (tmp_path / "silver.scores.npz").write_bytes(scores)
    done = train(made, tmp_path / "silver.jsonl", tmp_path / "model")
    assert done.exit_code == 0, done.output
    assert "2 documents of" in done.output
    assert "1 were changed since and teach their own labels" in done.output


def test_train_without_the_file_learns_the_mentions(made: Path, tmp_path: Path) -> None:
    (tmp_path / "silver.jsonl").write_bytes((made / "silver.jsonl").read_bytes())
    done = train(made, tmp_path / "silver.jsonl", tmp_path / "model")
    assert done.exit_code == 0 and "distributions" not in done.output


def test_other_labels_of_the_student_are_refused(made: Path, tmp_path: Path) -> None:
    drug = Document("c", "Aspirin.", (Entity("T1", "Drug", ((0, 7),)),))
    write_corpus([*GOLD, drug], tmp_path / "gold.jsonl")
    done = run(
        *("train", tmp_path / "gold.jsonl", "--made", made / "silver.jsonl"),
        *("--out", tmp_path / "model", "--set", f"ner.encoder={made / 'encoder'}"),
    )
    assert isinstance(done.exception, ConfigError)
    assert "label the notes again, or move the file away" in str(done.exception)


def test_an_interrupt_says_how_to_go_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("notesmith.workflows.annotating.run_cells", stop)
    done = run(
        "annotate", made / "notes", "--gold", made / "gold.jsonl", "--out", tmp_path / "s.jsonl"
    )
    assert done.exit_code == 130
    assert "the same command goes on where it was" in done.output


def test_a_file_of_another_kind_among_the_notes_is_an_error(made: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("Severe pain.")
    (tmp_path / "notes" / "b.pdf").write_text("x")
    done = run(
        *("annotate", tmp_path / "notes", "--gold", made / "gold.jsonl"),
        *("--out", tmp_path / "s.jsonl", "--notes-format", "text"),
    )
    assert isinstance(done.exception, CorpusError) and "b.pdf" in str(done.exception)
