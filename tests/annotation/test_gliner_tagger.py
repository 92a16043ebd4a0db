"""What is asked of models that find what prompts name, and what is made of their answers.

Here a model made of rules answers; ``test_gliner_models.py`` has the real libraries.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from notesmith.annotation.gliner_models import Found, Kind, Room, Word
from notesmith.annotation.gliner_tagger import (
    MISPLACED,
    OVERLAPPING,
    UNREAD,
    of_gliner,
    pieces_of,
    prompts_of,
)
from notesmith.annotation.taggers import open_tagger
from notesmith.config import TaggerConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, MissingExtraError, ModelError

LABELS = ("Disease", "Sign_symptom")
KNOWN = {"gout": "disease", "fever": "sign symptom", "potassium": "lab value"}
NOTES = [Document("1", "Gout and fever. Potassium is low."), Document("2", "")]


class Rules:
    """Finds ``KNOWN`` with the score 0.8; a word is a run of letters, a token a letter."""

    kind: Kind = "gliner2"

    def __init__(self, *, tokens: int = 10_000, shift: int = 0, more: Sequence[Found] = ()) -> None:
        self.tokens, self.shift, self.more = tokens, shift, more
        self.asked: Mapping[str, str] = {}
        self.texts: list[str] = []

    def words(self, text: str) -> list[Word]:
        found = re.finditer(r"\w+|\S", text)
        return [Word(m.start(), m.end(), sum(c.isascii() for c in m[0])) for m in found]

    def room(self, prompts: Mapping[str, str]) -> Room:
        return Room(200, self.tokens - sum(map(len, prompts)))

    def ask(
        self, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
    ) -> list[list[Found]]:
        self.asked, self.texts = prompts, [*self.texts, *texts]
        return [
            [
                Found(m.start(), m.end() + self.shift, KNOWN[m[0].lower()], 0.8)
                for m in re.finditer("|".join(KNOWN), text, re.IGNORECASE)
                if threshold <= 0.8 and KNOWN[m[0].lower()] in prompts
            ]
            + list(self.more)
            for text in texts
        ]


def shown(docs: Sequence[Document]) -> list[list[tuple[str, str]]]:
    return [[(e.label, e.mention(doc.text)) for e in doc.entities] for doc in docs]


def test_labels_are_asked_for_by_name_and_others_dropped() -> None:
    annotator = of_gliner(Rules(), LABELS, {"lab value": ""}, name="tiny")
    assert shown(annotator.predict(NOTES)) == [
        [("Disease", "Gout"), ("Sign_symptom", "fever")],
        [],
    ]
    (scores, _) = annotator.predict_scores(NOTES)
    assert scores.probabilities[0, 1] == pytest.approx(0.8)
    strict = of_gliner(Rules(), LABELS, {"lab value": ""}, name="tiny", threshold=0.9)
    assert shown(strict.predict(NOTES)) == [[], []]


def test_descriptions_go_with_the_names() -> None:
    model = Rules()
    said = {"Disease": "A named condition."}
    of_gliner(model, LABELS, {"lab value": ""}, name="t", descriptions=said).predict(NOTES)
    assert model.asked == {"disease": "A named condition.", "sign symptom": "", "lab value": ""}


def test_prompts_may_stand_for_a_label() -> None:
    assert prompts_of(LABELS, {"illness": "Disease", "injury": "Disease", "person": ""}) == {
        "illness": "Disease",
        "injury": "Disease",
        "person": "",
        "sign symptom": "Sign_symptom",
    }
    with pytest.raises(ConfigError, match="label_map names Illness"):
        of_gliner(Rules(), LABELS, {"ill": "Illness"}, name="tiny")


@pytest.mark.parametrize(
    ("labels", "label_map"), [(("Drug", "DRUG"), {}), (("Drug", "Dose"), {"drug": "Dose"})]
)
def test_a_prompt_stands_for_one_label(labels: tuple[str, ...], label_map: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="the prompt drug would stand for two labels; map"):
        prompts_of(labels, label_map)


def test_long_notes_are_read_in_pieces_of_sentences() -> None:
    text = "There is gout again in this note. " * 80 + "gout " * 500
    model = Rules()
    (found,) = of_gliner(model, LABELS, {}, name="tiny").predict([Document("long", text)])
    assert max(len(model.words(piece)) for piece in model.texts) == 200
    assert all(piece[0] in "Tg" and piece[-1] in ".t" for piece in model.texts)
    assert found.mentions() == ["gout"] * 580


def test_pieces_fit_the_tokens_too_and_are_cut_where_they_have_to_be() -> None:
    def cut(text: str, room: Room) -> list[str]:
        return [text[start:end] for start, end in pieces_of(text, Rules().words(text), room)]

    assert cut("Gout now. Well. No fever at all.", Room(6, 99)) == [
        "Gout now. Well.",
        "No fever at all.",
    ]
    assert cut("Gout now. Well.", Room(6, 9)) == ["Gout now.", "Well."]
    assert cut("gout-gout fever", Room(9, 10)) == ["gout-gout", "fever"]
    assert cut("gout,gout,gout", Room(9, 10)) == ["gout,gout,", "gout"]
    assert cut("", Room(9, 10)) == []


def test_the_surest_of_mentions_that_overlap_stays() -> None:
    # Of the words "Gout and", "and fever" and "fever".
    more = [Found(0, 8, "sign symptom", 0.9), Found(5, 14, "lab value", 0.85)]
    annotator = of_gliner(Rules(more=more), LABELS, {"lab value": ""}, name="tiny")
    (doc,) = annotator.predict([Document("1", "Gout and fever.")])
    assert shown([doc]) == [[("Sign_symptom", "Gout and"), ("Sign_symptom", "fever")]]
    assert annotator.counts[OVERLAPPING] == 2


def test_words_that_the_model_cannot_read_are_kept_from_it_and_counted() -> None:
    model = Rules(tokens=60)
    annotator = of_gliner(model, LABELS, {}, name="tiny")
    text = "\u200b gout " + "x" * 50 + "\U0001f600, fever"
    (doc,) = annotator.predict([Document("1", text)])
    assert model.texts == ["gout " + " " * 51 + ", fever"]
    assert annotator.counts[UNREAD] == 3
    assert [(ent.start, ent.end) for ent in doc.entities] == [(2, 6), (len(text) - 5, len(text))]


def test_prompts_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="2 prompts and their descriptions fill the window"):
        of_gliner(Rules(tokens=40), LABELS, {}, name="tiny")


def test_offsets_that_do_not_fit_are_counted() -> None:
    annotator = of_gliner(Rules(shift=40), LABELS, {}, name="tiny")
    assert shown(annotator.predict(NOTES)) == [[], []]
    assert annotator.counts[MISPLACED] == 2


@pytest.mark.parametrize("kind", ["gliner", "gliner2"])
def test_a_library_that_is_absent_is_named_with_its_extra(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TaggerConfig(kind=kind, path=str(tmp_path))
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(MissingExtraError, match=rf"{kind} is not installed; .*\[{kind}\]"):
        open_tagger(config, LABELS, gold=[])


def test_a_folder_without_safetensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gliner2", sys)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(ModelError, match=r"no safetensors weights \(model\.safetensors\)"):
        open_tagger(TaggerConfig(kind="gliner2", path=str(tmp_path)), LABELS, gold=[])
