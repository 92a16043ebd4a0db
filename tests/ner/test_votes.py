"""Votes of several students: one student to everything that uses them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, ModelError, StageError
from notesmith.ner import NerModel, Votes, load_ner, load_student, train_ner
from notesmith.ner.decode import Decision
from notesmith.ner.onnx_model import softmax
from notesmith.ner.student import copy_student
from notesmith.progress import Progress
from tests.ner.tiny import tiny_encoder

GOLD = [
    Document("a", "Denies fever.", (Entity("T1", "Problem", ((7, 12),), ("negated",)),)),
    Document("b", "Given aspirin daily.", (Entity("T1", "Drug", ((6, 13),)),)),
    Document("c", "Had cough.", (Entity("T1", "Problem", ((4, 9),)),)),
]
DOCS = [
    Document("1", "No fever, no cough. Given aspirin."),
    Document("2", ""),
    Document("3", "fever " * 60),
]


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> list[NerModel]:
    config = NerConfig(
        encoder=str(tiny_encoder(tmp_path_factory.mktemp("encoder"))),
        steps=30,
        learning_rate=3e-3,
        max_tokens=40,
        stride=10,
        bf16="no",
        attributes=("negated",),
    )
    return [train_ner(GOLD, config=config, seed=seed).model for seed in (1, 2, 3)]


def test_the_mean_of_probabilities_is_decided(students: list[NerModel]) -> None:
    votes = Votes(tuple(students))
    apart = [student.predict_scores(DOCS) for student in students]
    for i, scores in enumerate(votes.predict_scores(DOCS)):
        mean = np.mean([each[i].probabilities for each in apart], axis=0)
        np.testing.assert_allclose(scores.probabilities, mean, atol=1e-6)
        chances = [softmax(each[i].attributes) for each in apart]  # type: ignore[arg-type]
        assert scores.attributes is not None
        np.testing.assert_allclose(softmax(scores.attributes), np.mean(chances, axis=0), atol=1e-5)
    assert any(doc.entities for doc in votes.predict(DOCS))
    assert all(doc.provenance.model == votes.name for doc in votes.predict(DOCS))


def test_equal_students_vote_as_one(students: list[NerModel]) -> None:
    one = students[0]
    alone, together = one.predict(DOCS), Votes((one, one)).predict(DOCS)
    assert [doc.entities for doc in together] == [doc.entities for doc in alone]
    low = Decision({"Drug": 0.05}, scores=True)
    assert [d.entities for d in Votes((one, one)).predict(DOCS, decision=low)] == [
        d.entities for d in one.predict(DOCS, decision=low)
    ]


def test_a_saved_committee_is_loaded_like_a_student(
    students: list[NerModel], tmp_path: Path
) -> None:
    votes = Votes(tuple(students))
    votes.save(tmp_path / "votes")
    copy_student(tmp_path / "votes", tmp_path / "copy")
    loaded = load_student(tmp_path / "copy")
    assert isinstance(loaded, Votes) and loaded.labels == ("Drug", "Problem")
    assert loaded.predict(DOCS) == votes.predict(DOCS)
    assert load_ner(tmp_path / "copy" / "member-2").predict(DOCS) == students[1].predict(DOCS)
    with pytest.raises(ModelError, match="3 students that vote; load it with load_student"):
        load_ner(tmp_path / "copy")
    (tmp_path / "copy" / "member-2" / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="member-2"):
        load_student(tmp_path / "copy")


def test_an_exported_committee_votes_the_same(students: list[NerModel], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from typer.testing import CliRunner

    from notesmith.cli.app import app

    votes = Votes(tuple(students[:2]))
    votes.save(tmp_path / "votes")
    out = tmp_path / "onnx"
    result = CliRunner().invoke(app, ["export", str(tmp_path / "votes"), "--out", str(out)])
    assert result.exit_code == 0, result.output
    exported = load_student(out)
    assert isinstance(exported, Votes)
    assert exported.predict(DOCS) == votes.predict(DOCS)


def test_students_that_differ_cannot_vote(students: list[NerModel]) -> None:
    with pytest.raises(ConfigError, match="1 students cannot vote"):
        Votes((students[0],))
    other = replace(students[1], labels=("Drug", "Finding"))
    with pytest.raises(ConfigError, match="labels and attributes are the same"):
        Votes((students[0], other))


def test_another_grid_of_words_is_an_error(
    students: list[NerModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        labels, attributes, name = students[0].labels, students[0].attributes, "other"

        def predict_scores(self, docs: list[Document], **_: object) -> object:
            found = students[0].predict_scores(docs)
            return [replace(s, words=tuple((a, b + 1) for a, b in s.words)) for s in found]

    with pytest.raises(StageError, match=r"doc '1': .* cut it into other words"):
        Votes((students[0], Elsewhere())).predict_scores(DOCS)  # type: ignore[arg-type]


def test_progress_counts_all_members(students: list[NerModel]) -> None:
    seen: list[Progress] = []
    Votes(tuple(students)).predict(DOCS, on_progress=seen.append)
    assert seen[-1].done == seen[-1].total and seen[0].done < seen[0].total / 2
    assert [p.done for p in seen] == sorted(p.done for p in seen)
