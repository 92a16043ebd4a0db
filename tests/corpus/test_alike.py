"""Documents by likeness to one of them."""

from notesmith.corpus.alike import most_alike

TEXTS = ["heart failure and oedema", "fracture of the wrist", "failure of the heart", "of and the"]


def test_rare_shared_words_count_for_more():
    assert most_alike(TEXTS, 0) == [0, 2, 3, 1]
    assert most_alike(TEXTS, 1)[0] == 1


def test_texts_without_words_and_repeats_keep_their_places():
    assert most_alike(["a b", "", "a b", "c"], 2) == [2, 0, 1, 3]
