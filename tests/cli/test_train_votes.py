"""Students that vote as a user meets them: trained, killed and resumed, and then used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import FileError
from notesmith.ner import Votes, load_ner, load_student
from notesmith.ner import train_votes as voting
from notesmith.ner.train import train_ner

TEXT = "Patient denies fever."
GOLD = [
    Document("a", TEXT, (Entity("T1", "Problem", ((15, 20),), ("negated",)),)),
    Document("b", "Patient has cough.", (Entity("T1", "Problem", ((12, 17),)),)),
]


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("votes")
    tiny_encoder(folder / "encoder")
    write_corpus(GOLD, folder / "gold.jsonl")
    return folder


def train(folder: Path, out: Path, *options: object):
    return run(
        *("train", folder / "gold.jsonl", "--out", out, "--set", "ner.steps=60"),
        *("--set", f"ner.encoder={folder / 'encoder'}", "--set", "ner.learning_rate=3e-3"),
        *("--set", 'ner.attributes=["negated"]', *options),
    )


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    done = train(folder, folder / "model", "--students", 2)
    assert done.exit_code == 0, done.output
    assert "labels Problem, attributes negated, 2 students that vote, 60 steps each" in done.output
    return folder / "model"


def test_students_differ_in_their_seed_and_the_first_is_the_one_that_stands_alone(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    assert train(folder, tmp_path / "one").exit_code == 0
    votes = load_student(model)
    assert isinstance(votes, Votes)
    first, second = (member.predict_scores(GOLD)[0].probabilities for member in votes.members)
    alone = load_ner(tmp_path / "one").predict_scores(GOLD)[0].probabilities
    assert (first == alone).all() and (first != second).any()
    assert not (model.parent / "model.work").exists()


def test_a_vote_predicts_as_one_student_does(folder: Path, model: Path) -> None:
    done = run("predict", model, folder / "gold.jsonl", "--out", folder / "found.jsonl", "--scores")
    assert done.exit_code == 0, done.output
    [first, second] = read_corpus(folder / "found.jsonl").docs
    assert [e.mention(TEXT) for e in first.entities] == ["fever"]
    assert "negated" in first.entities[0].attributes
    assert "negated" not in second.entities[0].attributes
    done = run("evaluate", folder / "gold.jsonl", folder / "found.jsonl", "--json")
    assert done.exit_code == 0, done.output
    [negated] = json.loads(done.output)["attributes"]
    assert (negated["name"], negated["end_to_end"]["f1"]) == ("negated", 100)


def test_thresholds_are_chosen_for_a_vote(folder: Path, model: Path) -> None:
    done = run("thresholds", model, folder / "gold.jsonl", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["plain_f1"] == 100


def test_a_vote_stands_in_a_pipeline_of_spacy(model: Path, tmp_path: Path) -> None:
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("notesmith", config={"model": str(model)})
    assert [ent.text for ent in nlp(TEXT).ents] == ["fever"]
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert [(ent.text, ent.label_) for ent in again(TEXT).ents] == [("fever", "Problem")]


def test_a_killed_command_goes_on_with_the_finished_students(
    folder: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seeds = tmp_path / "model", []

    def stops(*arguments, seed, **options):
        seeds.append(seed)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return train_ner(*arguments, seed=seed, **options)

    monkeypatch.setattr(voting, "train_ner", stops)
    done = train(folder, out, "--students", 2)
    assert done.exit_code == 130 and not out.exists()
    assert "interrupted; 1 of 2 students are finished, in" in done.output
    other = train(folder, out, "--students", 2, "--seed", 14)
    assert isinstance(other.exception, FileError)
    assert "holds students of other documents or settings" in str(other.exception)
    done = train(folder, out, "--students", 2)
    assert done.exit_code == 0, done.output
    assert "2 students that vote, 1 of them trained before, 60 steps each" in done.output
    assert seeds[2] == seeds[1] and len(seeds) == 3
    assert load_student(out).predict(GOLD) == load_student(model).predict(GOLD)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_a_damaged_student_is_trained_again(folder: Path, model: Path, tmp_path: Path) -> None:
    work = tmp_path / "model.work"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(voting, "write_votes", interrupt)
        assert train(folder, tmp_path / "model", "--students", 2).exit_code == 130
    (work / "student-1" / "model.safetensors").write_bytes(b"cut")
    done = train(folder, tmp_path / "model", "--students", 2)
    assert "1 of them trained before" in done.output
    assert load_student(tmp_path / "model").predict(GOLD) == load_student(model).predict(GOLD)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_folder_of_somebody_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "model.work").mkdir()
    (tmp_path / "model.work" / "mine.txt").write_text("mine")
    done = train(folder, tmp_path / "model", "--students", 2)
    assert isinstance(done.exception, FileError) and "not of notesmith" in str(done.exception)
    assert (tmp_path / "model.work" / "mine.txt").read_text() == "mine"


def test_an_error_before_the_first_student_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    done = train(folder, tmp_path / "model", "--students", 2, "--set", "ner.attributes=['x']")
    assert done.exception is not None and "'x'" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_progress_is_that_of_all_students(folder: Path, tmp_path: Path) -> None:
    from notesmith.cli.train import student_config

    seen = []
    config = student_config([f"ner.encoder={folder / 'encoder'}", "ner.steps=50"])
    voting.train_votes(
        GOLD,
        config=config,
        seeds=(1, 2),
        work=tmp_path / "work",
        out=tmp_path / "out",
        on_progress=seen.append,
    )
    assert [(p.stage, p.done, p.total) for p in seen] == [
        ("student 1 of 2:", 25, 100),
        ("student 1 of 2:", 50, 100),
        ("student 2 of 2:", 75, 100),
        ("student 2 of 2:", 100, 100),
    ]
    assert [p.tokens for p in seen] == sorted(p.tokens for p in seen)
