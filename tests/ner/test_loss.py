import math

import pytest
import torch

from notesmith.config import NerConfig
from notesmith.document import Document, Entity
from notesmith.ner import train_ner
from notesmith.ner.batch import collate
from notesmith.ner.loss import tag_loss
from notesmith.ner.windows import Window
from tests.ner.tiny import tiny_encoder

LABELS = ("Drug", "Allergy")


def window(*tags, unknown=()):
    n = len(tags)
    pieces = tuple((i, i + 1) for i in range(n))
    return Window(0, tuple(range(1, n + 1)), tuple(range(n)), pieces, tags, unknown=unknown)


def batch(*windows):
    return collate(windows, pad=0, pieces="first")


# P(O) = 1/2, P(B-Drug) = 1/4, P(I-Drug) = P(B-Allergy) = P(I-Allergy) = 1/12 of each word.
ROW = torch.tensor([1 / 2, 1 / 4, 1 / 12, 1 / 12, 1 / 12]).log()


def test_without_unknown_labels_it_is_cross_entropy():
    # O and B-Drug; the third word is masked.
    loss = tag_loss(ROW.repeat(3, 1), batch(window(0, 1, -100)))
    assert float(loss) == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_a_word_outside_may_be_of_a_label_that_is_unknown():
    # Known O: 1/2. Unknown Allergy: O 1/2 + 1/12 + 1/12 = 2/3; the mention of Drug stays 1/4.
    loss = tag_loss(ROW.repeat(4, 1), batch(window(0), window(0, 1, -100, unknown=(3, 4))))
    assert float(loss) == pytest.approx((math.log(2) + math.log(3 / 2) + math.log(4)) / 3)


def test_nothing_pushes_a_word_away_from_a_label_that_is_unknown():
    logits = torch.zeros(1, 5, requires_grad=True)
    tag_loss(logits, batch(window(0, unknown=(3, 4)))).backward()
    gradient = logits.grad[0]
    assert torch.isfinite(gradient).all()
    assert gradient[0] < 0 and gradient[3] < 0 and gradient[4] < 0
    assert gradient[1] > 0 and gradient[2] > 0


def test_a_student_finds_a_later_label_in_texts_like_those_that_lacked_it(tmp_path):
    text = "Patient has asthma and aspirin daily."
    drug, problem = Entity("T1", "Drug", ((23, 30),)), Entity("T2", "Problem", ((12, 18),))
    new = [Document("new", text, (drug, problem))]
    config = NerConfig(
        encoder=str(tiny_encoder(tmp_path / "encoder")), steps=60, learning_rate=3e-3, batch_size=8
    )

    def found(unknown):
        old = [Document(f"old{i}", text, (drug,), unknown=unknown) for i in range(7)]
        model = train_ner([*new, *old], config=config, seed=1).model
        return model.predict([Document("x", text)])[0].labels

    assert found(()) == {"Drug"}
    assert found(("Problem",)) == {"Drug", "Problem"}
