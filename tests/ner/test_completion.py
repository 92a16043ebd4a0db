"""Mentions that made documents lack, added by a student of gold or by the student itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from notesmith.config import IntegrationConfig, NerConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.ner import train_ner
from notesmith.ner.completion import complete
from notesmith.ner.decode import WordScores, score_of
from notesmith.words import words
from tests.ner.tiny import tiny_encoder

LABELS = ("Drug", "Problem")
TEXT = "No fever, given aspirin for asthma."
SPANS = tuple(words(TEXT))
FEVER, ASPIRIN, ASTHMA = (3, 8), (16, 23), (28, 34)


def scores_of(**tags: tuple[int, float]) -> WordScores:
    """Word by word the tag of a name and its probability, the rest O; other words surely O."""
    rows = np.zeros((len(SPANS), 5), np.float32)
    rows[:, 0] = 1
    for i, (start, end) in enumerate(SPANS):
        if TEXT[start:end] in tags:
            tag, p = tags[TEXT[start:end]]
            rows[i, 0], rows[i, tag] = 1 - p, p
    return WordScores(SPANS, rows)


def doc(*entities: tuple[str, tuple[int, int]], **fields: object) -> Document:
    ents = tuple(Entity(f"C{i}", label, (span,)) for i, (label, span) in enumerate(entities, 1))
    return Document("d", TEXT, ents, metadata={"kind": "note"}, **fields)


def done(made: Document, scores: WordScores | None, least_score: float = 0.9):
    return complete([made], [scores], LABELS, least_score=least_score)


def test_a_sure_mention_is_added_and_a_doubtful_one_masked() -> None:
    made = doc(("Problem", FEVER))
    found = done(made, scores_of(aspirin=(1, 0.95), asthma=(3, 0.7)))
    (completed,) = found.docs
    assert completed.entities[:1] == made.entities
    (new,) = completed.entities[1:]
    assert (new.id, new.label, new.spans) == ("C2", "Drug", (ASPIRIN,))
    assert score_of(new) == pytest.approx(0.95, abs=1e-4)
    assert completed.masked == (ASTHMA,)
    assert found.counts == {"added": 1, "masked": 1}
    assert (completed.metadata, completed.provenance) == (made.metadata, made.provenance)


def test_what_stands_and_what_is_masked_stays() -> None:
    made = doc(("Problem", ASPIRIN), masked=(ASTHMA,))
    found = done(made, scores_of(aspirin=(1, 0.99), asthma=(3, 0.99)))
    assert found.docs == (made,) and not found.counts


def test_at_zero_all_are_added_and_a_document_without_scores_is_left() -> None:
    scores = scores_of(aspirin=(1, 0.6), asthma=(3, 0.6))
    assert done(doc(), scores, least_score=0).counts == {"added": 2}
    assert done(doc(), None).docs == (doc(),)


def teach(texts: list[str], mentions: dict[str, str], kind: str) -> list[Document]:
    docs = []
    for i, text in enumerate(texts):
        ents = [
            Entity(f"T{n}", label, ((text.index(word), text.index(word) + len(word)),))
            for n, (word, label) in enumerate(mentions.items())
            if word in text
        ]
        docs.append(Document(f"{kind}{i}", text, tuple(ents)))
    return docs


TEXTS = ["Severe asthma, given aspirin.", "Acute cough and fever."]
ALL = {"cough": "Problem", "fever": "Problem", "asthma": "Problem", "aspirin": "Drug"}
GOLD = teach([*TEXTS, *TEXTS, *TEXTS], ALL, "g")
# A dictionary of one drug made these: what else they hold is taught as O.
MADE = teach([*TEXTS, *TEXTS], {"aspirin": "Drug"}, "m")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> NerConfig:
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    return NerConfig(
        encoder=str(folder), steps=60, batch_size=4, learning_rate=3e-3, dropout=0.1, bf16="no"
    )


@pytest.fixture(scope="module")
def brief(config: NerConfig) -> NerConfig:
    """For students that need not have learnt anything."""
    return config.model_copy(update={"steps": 10})


def with_integration(config: NerConfig, **integration: object) -> NerConfig:
    return config.model_copy(update={"integration": IntegrationConfig(**integration)})


def test_a_student_of_gold_completes_before_the_training(config: NerConfig) -> None:
    plain = train_ner(GOLD, MADE, config=with_integration(config, how="mix"), seed=1)
    assert not plain.completed
    chosen = with_integration(config, how="mix", complete="before", complete_score=0.5)
    result = train_ner(GOLD, MADE, config=chosen, seed=1)
    assert result.completed == {"added": 6}
    assert result.tokens > plain.tokens
    assert result.history[-1]["step"] == 60
    (found,) = result.model.predict([Document("x", MADE[1].text)])
    assert found.mentions() == ["cough", "fever"]
    # The student that completes may come from elsewhere.
    of_gold = train_ner(GOLD, config=config, seed=1).model
    again = train_ner(GOLD, MADE, config=chosen, completer=of_gold, seed=1)
    assert again.completed == result.completed
    for a, b in zip(
        result.model.model.state_dict().values(),
        again.model.model.state_dict().values(),
        strict=True,
    ):
        assert a.equal(b)


@pytest.mark.parametrize("how", ["mix", "ratio", "pretrain-then-gold", "mix-then-gold"])
def test_the_student_itself_completes_midway(how: str, config: NerConfig) -> None:
    chosen = with_integration(
        config, how=how, made_ratio=0.25, complete="midway", complete_score=0.0
    )
    first, second = (train_ner(GOLD, MADE, config=chosen, seed=1) for _ in range(2))
    assert first.history == second.history and first.history[-1]["step"] == 60
    assert first.completed == second.completed
    # Made documents alone, as pretraining has them, teach that there is nothing to add.
    assert bool(first.completed) == (how != "pretrain-then-gold")


def test_three_stages_differ_from_two_only_after_the_completion(config: NerConfig) -> None:
    def losses(**integration: object) -> list[float]:
        chosen = with_integration(config, how="mix-then-gold", **integration)
        chosen = chosen.model_copy(update={"steps": 100})
        return [row["loss"] for row in train_ner(GOLD, MADE, config=chosen, seed=1).history]

    # Made documents are seen in 75 of the 100 steps; the history has a row each 25.
    two, three = losses(), losses(complete="midway", complete_score=0.0, complete_at=0.4)
    assert two[0] == three[0] and two[1] != three[1]


def test_distributions_that_are_learnt_are_not_completed(brief: NerConfig) -> None:
    made = [replace(MADE[0], id="m")]
    spans = tuple(words(made[0].text))
    soft = {"m": WordScores(spans, np.full((len(spans), 5), 0.2, np.float32))}
    for when in ("before", "midway"):
        chosen = with_integration(brief, complete=when, complete_score=0.0)
        assert not train_ner(GOLD, made, config=chosen, soft=soft, seed=1).completed


def test_without_made_documents_nobody_completes(brief: NerConfig) -> None:
    plain = train_ner(GOLD, config=brief, seed=1)
    for when in ("before", "midway"):
        result = train_ner(GOLD, config=with_integration(brief, complete=when), seed=1)
        assert result.tokens == plain.tokens and result.history == plain.history


def test_a_completer_that_cannot_complete_is_an_error(brief: NerConfig) -> None:
    before = with_integration(brief, complete="before")
    other = train_ner(GOLD[:1], config=brief, labels=["Drug", "Problem", "Test"], seed=1).model
    with pytest.raises(ConfigError, match="has nothing to do"):
        train_ner(GOLD, MADE, config=brief, completer=other, seed=1)
    with pytest.raises(ConfigError, match="labels are Drug, Problem, Test; those to learn are"):
        train_ner(GOLD, MADE, config=before, completer=other, seed=1)
    with pytest.raises(StageError, match="no gold to train a student of"):
        train_ner([], MADE, config=before, seed=1)
