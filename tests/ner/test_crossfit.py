from __future__ import annotations

import pytest

from notesmith.config import NerConfig
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import StageError
from notesmith.ner import train_committee
from notesmith.ner.crossfit import made_without
from tests.ner.tiny import tiny_encoder


@pytest.fixture(scope="module")
def gold() -> list[Document]:
    return [
        Document(
            f"d{i}",
            "Patient denies fever.",
            (Entity("T1", "Problem", ((15, 20),)),),
            metadata={"patient": f"p{i // 2}"},
        )
        for i in range(8)
    ]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(encoder=str(folder), steps=40, batch_size=4, learning_rate=3e-3)


def test_folds_keep_patients_together_and_hold_each_document_out_once(gold, config) -> None:
    committee = train_committee(gold, config=config, n_members=2, seed=1)
    assert sorted(i for ids in committee.held_out for i in ids) == [d.id for d in gold]
    for ids in committee.held_out:
        assert all((f"d{2 * p}" in ids) == (f"d{2 * p + 1}" in ids) for p in range(4))
    labelled = committee(["Patient denies fever.", "no"])
    assert [e.mention(labelled[0].text) for e in labelled[0].entities] == ["fever"]
    assert len(committee.predict_each(["fever"])) == 2
    assert [len(s.words) for s in committee.scores_held_out(gold)] == [4] * len(gold)
    with pytest.raises(StageError, match="'x' was held out from no member"):
        committee.scores_held_out([Document("x", "fever")])


def test_too_few_patients_is_an_error(gold, config) -> None:
    with pytest.raises(StageError, match="1 patients or documents cannot make 2 folds"):
        train_committee(gold[:2], config=config, n_members=2, seed=1)


def test_copies_of_held_out_gold_are_left_out() -> None:
    gold = [Document("d1", "fever"), Document("d2", "cough"), Document("d:3", "pain")]

    def copy(name: str, *parents: str) -> Document:
        return Document(name, "asthma", provenance=Provenance("augmented", parents))

    made = [copy("a", "d1"), copy("b", "d2:0-5"), copy("c", "d:3~r0"), copy("d", "d1", "d2")]
    kept = made_without(made, gold, frozenset({"d1"}))
    assert [d.id for d in kept] == ["b", "c"]
    with pytest.raises(StageError, match="doc 'e' names no parent in gold"):
        made_without([copy("e", "d9")], gold, frozenset({"d1"}))
