"""Strict micro-F1 against seqeval (strict, IOB2) and seqscore, on generated predictions."""

import random

import pytest
from benchmarks.parity import to_tags
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2
from seqscore.scoring import score_label_sequences

from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.metrics import score

LABELS = ("Disease", "Drug", "Test")


def random_document(rng, n_words=60):
    """Words of uneven length with punctuation, and random IOB2 tags turned into entities."""
    words = [
        rng.choice(["mild", "pain", "x-ray", "(left)", "10mg,", "né", "β2"]) for _ in range(n_words)
    ]
    starts, text = [], ""
    for word in words:
        starts.append(len(text))
        text += word + rng.choice([" ", "  ", "\n"])
    return text, starts, words


def random_entities(rng, starts, words):
    entities, i = [], 0
    while i < len(words):
        length = rng.choice([0, 0, 0, 1, 1, 2, 3])
        if length and i + length <= len(words):
            last = i + length - 1
            span = (starts[i], starts[last] + len(words[last]))
            entities.append(Entity(f"T{i}", rng.choice(LABELS), (span,)))
        i += max(1, length)
    return tuple(entities)


def disturb(rng, entities, text):
    """Leave out, move a border (also into a word), change the label of, or keep each entity."""
    changed = []
    for ent in entities:
        how = rng.random()
        if how < 0.15:
            continue
        start, end = ent.spans[0]
        label = ent.label
        if how < 0.3 and end - start > 2:
            end -= 1
        elif how < 0.4 and end - start > 2:
            start += 1
        elif how < 0.5:
            label = rng.choice(LABELS)
        if text[start:end] == text[start:end].strip():
            changed.append(Entity(ent.id, label, ((start, end),)))
    return tuple(changed)


def corpus(seed, n=12):
    rng = random.Random(seed)
    gold, predicted = [], []
    for i in range(n):
        text, starts, words = random_document(rng)
        entities = random_entities(rng, starts, words)
        guesses = (
            disturb(rng, entities, text)
            if rng.random() < 0.7
            else random_entities(rng, starts, words)
        )
        gold.append(Document(f"d{i}", text, entities))
        predicted.append(Document(f"d{i}", text, guesses))
    rng.shuffle(predicted)
    return gold, predicted


@pytest.mark.parametrize("seed", range(10))
def test_equal_to_seqeval_strict_and_seqscore(seed):
    gold, predicted = corpus(seed)
    pair = to_tags(gold, predicted)
    assert pair.n_dropped == 0
    ours = score(gold, predicted)
    tags = ([list(t) for t in pair.gold], [list(t) for t in pair.predicted])
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    assert ours.micro.precision == pytest.approx(precision_score(*tags, **strict))
    assert ours.micro.recall == pytest.approx(recall_score(*tags, **strict))
    assert ours.micro.f1 == pytest.approx(f1_score(*tags, **strict))
    theirs, _ = score_label_sequences(tags[1], tags[0], "BIO", repair=None)
    assert (theirs.true_pos, theirs.false_pos, theirs.false_neg) == (
        ours.micro.tp,
        ours.micro.fp,
        ours.micro.fn,
    )
    for label, counts in ours.by_label().items():
        assert theirs.type_scores[label].true_pos == counts.tp
        assert theirs.type_scores[label].false_pos == counts.fp
        assert theirs.type_scores[label].false_neg == counts.fn


def test_tags_by_hand():
    text = "chest pain, ibuprofen."
    gold = Document(
        "d", text, (Entity("T1", "Sign", ((0, 10),)), Entity("T2", "Drug", ((12, 21),)))
    )
    # A border inside a word cuts it into two tokens on both sides.
    predicted = Document("d", text, (Entity("T1", "Sign", ((0, 8),)),))
    pair = to_tags([gold], [predicted])
    assert pair.gold == (("B-Sign", "I-Sign", "I-Sign", "O", "B-Drug", "O"),)
    assert pair.predicted == (("B-Sign", "I-Sign", "O", "O", "O", "O"),)


def test_adjacent_entities_of_one_label_stay_two():
    doc = Document("d", "aabb", (Entity("T1", "X", ((0, 2),)), Entity("T2", "X", ((2, 4),))))
    assert to_tags([doc], [doc]).gold == (("B-X", "B-X"),)


def test_what_tags_cannot_say_is_dropped_and_counted():
    text = "chest pain today"
    doc = Document(
        "d",
        text,
        (
            Entity("T1", "Sign", ((0, 10),)),
            Entity("T2", "Sign", ((6, 10),)),
            Entity("T3", "Sign", ((0, 5), (11, 16))),
            Entity("T4", "Sign", ((10, 16),)),
        ),
    )
    pair = to_tags([doc], [Document("d", text)])
    assert pair.gold == (("B-Sign", "I-Sign", "O"),)
    assert [ent.id for ent in pair.flat_gold[0].entities] == ["T1"]
    assert pair.n_dropped == 3


def test_missing_prediction_is_an_error():
    with pytest.raises(StageError, match="1 documents without prediction"):
        to_tags([Document("d", "x")], [])
