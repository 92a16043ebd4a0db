from __future__ import annotations

from pathlib import Path

import pytest
from tests.ner.tiny import tiny_encoder
from typer.testing import CliRunner

import notesmith.ner.adapt as module
from notesmith.cli.adapt import adapt_config
from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.corpus.outside import LEFT_OUT
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, FileError

SMALL = ("--set", "adapt.block_tokens=32", "--set", "adapt.batch_tokens=128", "--epochs", "2")


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("adapt")
    tiny_encoder(place / "encoder")
    (place / "texts").mkdir()
    for i in range(30):
        text = f"patient {i} denies chest pain and cough after aspirin {i * 7919} mg daily"
        (place / "texts" / f"n{i}.txt").write_text(text)
    docs = [
        Document(f"d{i}", f"severe asthma, no fever, {i}", metadata={"patient": f"p{i}"})
        for i in range(10)
    ]
    write_corpus(docs, place / "records.jsonl")
    test = [
        Document("t1", (place / "texts" / "n7.txt").read_text() + "\n"),
        Document("t2", "Seen again.", metadata={"patient": "p3"}),
    ]
    write_corpus(test, place / "test.jsonl")
    return place


def test_reads_several_sources_but_for_what_is_held_out(place: Path, tmp_path: Path) -> None:
    command = (
        *("adapt", place / "texts", place / "records.jsonl", "--out", tmp_path / "out"),
        *("--encoder", place / "encoder", "--held-out", place / "test.jsonl", *SMALL),
    )
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert f"1 {LEFT_OUT['text']}" in done.output
    assert f"1 {LEFT_OUT['patient']}" in done.output
    assert "38 notes, 0 repeated notes" in done.output
    assert "Held-out loss" in done.output and "perplexity" in done.output
    assert "may know parts of the notes by heart" in done.output
    assert f"Next: notesmith train GOLD --out MODEL --set ner.encoder={tmp_path}/out" in done.output
    assert "asthma" not in done.output
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    again = run(*command)
    assert again.exit_code == 0
    assert "is finished already; nothing was computed." in again.output
    other = run(*command, "--seed", 5)
    assert isinstance(other.exception, FileError)


def test_an_interrupted_command_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        *("adapt", place / "texts", "--out", tmp_path / "out", "--encoder", place / "encoder"),
        *SMALL,
    )

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_masked", stop)
        done = run(*command)
    assert done.exit_code == 130
    assert "interrupted; no state was saved yet" in done.output
    assert not list(tmp_path.iterdir())  # no state yet
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_bad_note_stops_before_anything_is_learnt(place: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_bytes(b"fever and cough")
    (tmp_path / "notes" / "b.txt").write_bytes(b"caf\xe9")
    done = run(
        *("adapt", tmp_path / "notes", "--out", tmp_path / "out"),
        *("--encoder", place / "encoder", *SMALL),
    )
    assert isinstance(done.exception, CorpusError)
    assert "b.txt:1: byte 3 is not UTF-8" in str(done.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "lengths", "said"),
    [
        ((), {"epochs": 2.0, "hours": 1.0}, "--epochs and --hours say how long to learn"),
        (("adapt.tokens=5",), {"epochs": 2.0}, "--epochs and --set adapt.tokens say how long"),
        (("ner.steps=5",), {}, "--set 'ner.steps=5': write it as adapt.FIELD=VALUE"),
        (("adapt.mask_ratio=1",), {}, "adapt.mask_ratio: Input should be less than 1"),
        (("adapt.speed=1",), {}, "adapt.speed: Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_one_line(
    changes: tuple[str, ...], lengths: dict[str, float], said: str
) -> None:
    every = {"epochs": None, "tokens": None, "hours": None, **lengths}
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        adapt_config(changes, **every)


def test_lengths_are_taken() -> None:
    config = adapt_config(("adapt.mask_ratio=0.3",), epochs=None, tokens=500, hours=None)
    assert (config.tokens, config.mask_ratio) == (500, 0.3)
