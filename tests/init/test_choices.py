from dataclasses import replace

import pytest

from notesmith.document import Document, Entity
from notesmith.forecast.resources import Resources
from notesmith.init import choices
from notesmith.init.profile import language_of, look
from notesmith.lm.presets import OFFLINE_DEFAULT, PRESETS

GIB = 2**30
LAPTOP = Resources(cores=2, threads=2, memory=24 * GIB, free=20 * GIB)
CARD = replace(LAPTOP, gpu="a card", gpu_memory=80 * GIB)
LONG = "The patient was admitted with a cough that had lasted for two weeks or more."


def seen(text):
    return look([Document("a", text, (Entity("T1", "Sign", ((0, 3),)),))])


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        (f"{LONG} {LONG}", "sentence"),
        ("BP low.\nHR 80.\nNo fever.\nSees OT.", "passage"),
        ("PLAN:\nBP low.\nHR 80.\nEXAM:\nNo fever.\nHISTORY:\nNil.", "section"),
    ],
)
def test_the_unit_follows_the_length_of_sentences(text, unit):
    choice = choices.choose_unit(seen(text))
    assert choice.value == unit and "mentions a sentence" in choice.why


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        (["ward note", "ward note", "letter"], "ward note"),
        (["ward note", "ward note", "letter", "report"], ""),
        ([None, None, "letter"], ""),
        ([None, None], ""),
    ],
)
def test_the_generator_writes_the_kind_of_most_notes(kinds, kind):
    docs = [
        Document(str(i), LONG, metadata={"kind": name} if name else {})
        for i, name in enumerate(kinds)
    ]
    choice = choices.choose_kind(look(docs))
    assert choice.value == kind
    assert ("no kind is that of most" in choice.why) == (not kind and any(kinds))
    assert choices.choose_kind(look(docs), "letter").value == "letter"


def test_without_leave_nothing_is_fetched():
    choice = choices.choose_lm(CARD, hub=False)
    assert choice.value == OFFLINE_DEFAULT and "apache-2.0" in choice.why
    assert "Gemma" not in choice.why and "Gemma's terms of use" in choice.more[0]
    assert "plain tags" not in choice.why
    assert "plain tags" in choices.choose_lm(CARD, hub=False, n_labels=14).why
    assert any("qwen3-4b" in line and "apache-2.0" in line for line in choice.more)


def test_the_largest_open_model_that_can_be_tuned():
    assert choices.choose_lm(LAPTOP, hub=True).value == "qwen3-0.6b"
    assert choices.choose_lm(replace(LAPTOP, memory=3 * GIB), hub=True).value == OFFLINE_DEFAULT
    best = PRESETS[choices.choose_lm(CARD, hub=True).value]
    assert best.licence == "apache-2.0" and best.name == "qwen3-8b"
    assert choices.choose_lora(best.name, CARD).value == 16
    assert choices.choose_lora("qwen3-1.7b", CARD) is None
    assert choices.choose_lora(OFFLINE_DEFAULT, LAPTOP) is None


def test_draws_are_smaller_than_train():
    assert choices.candidate_sizes(27) == (20,)
    assert choices.candidate_sizes(36) == (27, 25)
    assert choices.candidate_sizes(592) == (444, 200, 100, 50, 25)
    assert choices.curve_of(20, 27) == (10, 27)
    assert choices.curve_of(50, 592) == (25, 100)


def test_sizes_go_by_the_work_where_documents_are_sentences_or_long_reports():
    def scale(*texts):
        return choices.scale_of(look([Document(str(i), text) for i, text in enumerate(texts)]))

    note = " ".join([LONG] * 9)
    assert scale(note, note) == 1
    assert scale(LONG, LONG) == 9.5
    assert choices.candidate_sizes(5424, 9.5) == (4068, 1900, 950, 480, 240)
    assert scale(" ".join([LONG] * 95)) == pytest.approx(0.1)
    assert choices.candidate_sizes(100, 0.1) == (75, 20, 10, 5)


def test_steps_grow_with_the_notes():
    assert choices.choose_steps(477, 50).value == 300
    assert choices.choose_steps(2400, 250).value == 600


def test_many_labels_are_asked_for_otherwise():
    few, many = choices.tuning(1), choices.tuning(41)
    assert (few["mark_words"].value, few["proposals"].value) == (False, 600)
    assert (many["mark_words"].value, many["proposals"].value) == (True, 24)
    assert (few["replaced_copies"].value, many["replaced_copies"].value) == (1, 0)


def test_a_part_is_kept_for_the_test():
    assert choices.choose_protocol(60).value == "hold-out"
    assert "cross-fit" in choices.choose_protocol(60).why
    assert (choices.test_ratio(60), choices.test_ratio(600)) == (0.4, 0.3)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (LONG, "English"),
        ("Der Patient wurde mit Husten aufgenommen und ist nicht bei Bewusstsein.", "German"),
        ("Le patient est admis pour une toux avec de la fièvre dans les suites.", "French"),
        ("BP HR RR", ""),
    ],
)
def test_language_by_stop_words(text, language):
    assert language_of([Document("a", text)]) == language


def test_another_language_is_said_of_the_encoder():
    choice = choices.choose_encoder(seen("Der Patient ist mit der Frau und dem Kind bei uns."))
    assert "look German" in choice.why
