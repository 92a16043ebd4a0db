from __future__ import annotations

import numpy as np
import pytest

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.ner.judge import judge_held_out, judged
from notesmith.words import words
from tests.ner.tiny import tiny_encoder

TEXT = "no chest pain or fever"


def opinion(*rows: list[float], entities: tuple[Entity, ...] = ()):
    """The opinion of the text, from probabilities of O, B and I a word."""
    return judged(Document("d", TEXT, entities), words(TEXT), np.array(rows), ("P",))


def test_a_mention_is_as_sure_as_its_least_sure_word_and_its_end() -> None:
    found = opinion(
        [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.2, 0.0, 0.8], [0.7, 0.0, 0.3], [0.05, 0.95, 0]
    )
    assert [(e.start, e.end) for e in found.marks] == [(3, 13), (17, 22)]
    # 0.9 begins, 0.8 goes on, 1 - 0.3 does not go on further; the last has no word after it.
    assert found.confidence == pytest.approx((0.7, 0.95))


def test_a_mention_is_denied_as_surely_as_its_least_sure_word_is_none() -> None:
    entities = (Entity("T1", "P", ((3, 13),)), Entity("T2", "P", ((2, 3),)))
    rows = [[0.99, 0.01, 0], [0.98, 0.02, 0], [0.9, 0, 0.1], [1, 0, 0], [1, 0, 0]]
    found = opinion(*rows, entities=entities)
    assert found.marks == ()
    assert found.denial == pytest.approx((0.9, 0.0))


def test_students_judge_what_they_did_not_see(tmp_path) -> None:
    fever = (Entity("T1", "Problem", ((15, 20),)),)
    gold = [Document(f"d{i}", "Patient denies fever.", fever) for i in range(7)]
    gold.append(Document("d7", "Patient denies fever."))
    config = NerConfig(
        encoder=str(tiny_encoder(tmp_path)), steps=60, batch_size=4, learning_rate=3e-3
    )
    found = judge_held_out(gold, config=config, n_members=2, rounds=2, seed=1)
    assert [[(e.start, e.end) for e in x.marks] for x in found] == [[(15, 20)]] * 8
    assert [len(x.denial) for x in found] == [1] * 7 + [0]
    assert found[7].confidence[0] > 0.5 > found[0].denial[0]
