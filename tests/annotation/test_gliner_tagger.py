"""GLiNER2 and GLiNER annotate; here modules with their interface take the place of both.

The interfaces are those of ``gliner2/inference/runtime.py`` of fastino-ai/GLiNER2 1.3.3
(``batch_extract_entities``) and of ``gliner/model.py`` of urchade/GLiNER (``inference``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from notesmith.annotation.gliner_tagger import (
    MISPLACED,
    of_gliner,
    pieces_of,
    prompts_of,
)
from notesmith.annotation.taggers import open_tagger
from notesmith.config import TaggerConfig
from notesmith.document import Document
from notesmith.errors import ConfigError, MissingExtraError, ModelError
from notesmith.words import words

LABELS = ("Disease", "Sign_symptom")
KNOWN = {"gout": "disease", "fever": "sign symptom", "potassium": "lab value"}
NOTES = [Document("1", "Gout and fever. Potassium is low."), Document("2", "")]


def spotted(text: str, threshold: float) -> list[tuple[str, int, int, float]]:
    return [
        (KNOWN[m[0].lower()], m.start(), m.end(), 0.8)
        for m in re.finditer("|".join(KNOWN), text, re.IGNORECASE)
        if threshold <= 0.8
    ]


class GLiNER2:
    asked: Mapping[str, str]
    texts: Sequence[str]

    @classmethod
    def from_pretrained(cls, repo_or_dir: str, **kwargs: Any) -> GLiNER2:
        return cls()

    def batch_extract_entities(
        self,
        texts: list[str],
        entity_types: Mapping[str, str],
        batch_size: int = 8,
        threshold: float = 0.5,
        format_results: bool = True,
        include_confidence: bool = False,
        include_spans: bool = False,
        max_len: int | None = None,
    ) -> list[dict[str, Any]]:
        assert include_confidence and include_spans and format_results
        self.asked, self.texts = entity_types, texts
        results: list[dict[str, Any]] = []
        for text in texts:
            entities: dict[str, Any] = {name: [] for name in entity_types}
            for name, start, end, score in spotted(text, threshold):
                found = {"text": text[start:end], "confidence": score, "start": start, "end": end}
                entities[name].append(found)
            results.append({"entities": entities if text != "Nothing." else {}})
        return results


class GLiNER:
    def inference(
        self,
        texts: list[str],
        labels: list[str],
        flat_ner: bool = True,
        threshold: float = 0.5,
        multi_label: bool = False,
        batch_size: int = 8,
        **kwargs: Any,
    ) -> list[list[dict[str, Any]]]:
        return [
            [
                {"start": a, "end": b, "text": text[a:b], "label": name, "score": score}
                for name, a, b, score in spotted(text, threshold)
                if name in labels
            ]
            for text in texts
        ]


def shown(docs: Sequence[Document]) -> list[list[tuple[str, str]]]:
    return [[(e.label, e.mention(doc.text)) for e in doc.entities] for doc in docs]


@pytest.mark.parametrize(("kind", "model"), [("gliner2", GLiNER2()), ("gliner", GLiNER())])
def test_labels_are_asked_for_by_name_and_others_dropped(kind: Any, model: Any) -> None:
    annotator = of_gliner(model, kind, LABELS, {"lab value": ""}, name="tiny")
    assert shown(annotator.predict(NOTES)) == [
        [("Disease", "Gout"), ("Sign_symptom", "fever")],
        [],
    ]
    (scores, _) = annotator.predict_scores(NOTES)
    assert scores.probabilities[0, 1] == pytest.approx(0.8)
    strict = of_gliner(model, kind, LABELS, {"lab value": ""}, name="tiny", threshold=0.9)
    assert shown(strict.predict(NOTES)) == [[], []]


def test_descriptions_go_with_the_names_to_gliner2() -> None:
    model = GLiNER2()
    said = {"Disease": "A named condition."}
    annotator = of_gliner(model, "gliner2", LABELS, {"lab value": ""}, name="t", descriptions=said)
    annotator.predict(NOTES)
    assert model.asked == {
        "disease": "A named condition.",
        "sign symptom": "sign symptom",
        "lab value": "lab value",
    }


def test_prompts_may_stand_for_a_label() -> None:
    assert prompts_of(LABELS, {"illness": "Disease", "injury": "Disease", "person": ""}) == {
        "illness": "Disease",
        "injury": "Disease",
        "person": "",
        "sign symptom": "Sign_symptom",
    }
    with pytest.raises(ConfigError, match="label_map names Illness"):
        of_gliner(GLiNER2(), "gliner2", LABELS, {"ill": "Illness"}, name="tiny")


def test_long_notes_are_read_in_pieces_of_sentences() -> None:
    text = "There is gout again in this note. " * 80 + "gout " * 500
    note = Document("long", text)
    pieces = pieces_of(note)
    assert max(len(words(text[start:end])) for start, end in pieces) <= 200
    assert all(text[start] in "Tg" for start, _ in pieces)
    assert "".join(text[start:end] for start, end in pieces).count("gout") == 580
    (found,) = of_gliner(GLiNER(), "gliner", LABELS, {}, name="tiny").predict([note])
    assert found.mentions() == ["gout"] * 580


def test_offsets_that_do_not_fit_are_counted_and_nothing_found_is_nothing() -> None:
    class Shifted(GLiNER):
        def inference(self, texts: list[str], labels: list[str], **kwargs: Any) -> Any:
            found = super().inference(texts, labels)
            return [[{**one, "end": one["end"] - 1} for one in each] for each in found]

    annotator = of_gliner(Shifted(), "gliner", LABELS, {}, name="tiny")
    assert shown(annotator.predict(NOTES)) == [[], []]
    assert annotator.counts[MISPLACED] == 2
    silent = of_gliner(GLiNER2(), "gliner2", LABELS, {}, name="tiny")
    assert shown(silent.predict([Document("3", "Nothing.")])) == [[]]


def test_a_folder_is_opened_by_the_library_or_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TaggerConfig(kind="gliner2", path=str(tmp_path), label_map={"lab value": ""})
    monkeypatch.setitem(sys.modules, "gliner2", None)
    with pytest.raises(MissingExtraError, match=r"gliner2 is not installed; .*\[gliner2\]"):
        open_tagger(config, LABELS, gold=[])
    module = ModuleType("gliner2")
    module.GLiNER2 = GLiNER2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gliner2", module)
    with pytest.raises(ModelError, match="holds no weights as safetensors"):
        open_tagger(config, LABELS, gold=[])
    (tmp_path / "model.safetensors").touch()
    assert shown(open_tagger(config, LABELS, gold=[]).predict(NOTES))[1:] == [[]]
