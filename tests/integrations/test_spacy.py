"""The student as a spaCy component. Needs the extra ``spacy``."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

spacy = pytest.importorskip("spacy", reason="pip install 'notesmith[spacy]'")

from notesmith.document import Document, Entity  # noqa: E402
from notesmith.errors import ConfigError, ModelError  # noqa: E402
from notesmith.integrations.spacy import NotesmithNer, make_component  # noqa: E402

TEXTS = ["Patient denies fever.", "Given aspirin daily, no cough.", ""]


class Fixed:
    """A student that marks given words, and fever in part of a token."""

    labels = ("Drug", "Problem")
    name = "fixed"

    def __init__(self, marks: dict[str, str]) -> None:
        self.marks = marks
        self.attributes: tuple[str, ...] = ()
        self.batches: list[int] = []

    def predict(self, docs: list[Document], *, decision: Any) -> list[Document]:
        self.batches.append(len(docs))
        return [doc.with_entities(self._found(doc.text, decision.scores)) for doc in docs]

    def _found(self, text: str, scores: bool) -> list[Entity]:
        found = []
        for mention, label in self.marks.items():
            if (at := text.find(mention)) >= 0:
                attributes = (*self.attributes, *(("score=0.9000",) if scores else ()))
                span = ((at, at + len(mention)),)
                found.append(Entity(f"T{len(found) + 1}", label, span, attributes))
        return found


def pipeline(monkeypatch: pytest.MonkeyPatch, marks: dict[str, str], **config: Any) -> Any:
    monkeypatch.setattr("notesmith.ner.student.load_student", lambda folder: Fixed(marks))
    nlp = spacy.blank("en")
    nlp.add_pipe("notesmith", config={"model": "some folder", **config})
    return nlp


def test_entities_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = pipeline(monkeypatch, {"fever": "Problem", "aspirin": "Drug", "cough": "Problem"})
    docs = list(nlp.pipe(TEXTS, batch_size=2))
    found = [[(e.text, e.label_) for e in doc.ents] for doc in docs]
    assert found == [[("fever", "Problem")], [("aspirin", "Drug"), ("cough", "Problem")], []]
    assert docs[1].has_annotation("ENT_IOB")
    component = nlp.get_pipe("notesmith")
    assert NotesmithNer("nowhere", "strict", {}, False).labels == ()
    assert component.labels == ("Drug", "Problem") and not +component.counts
    assert component._loaded[0].batches == [2, 1]
    assert [e.text for e in nlp(TEXTS[0]).ents] == ["fever"]


@pytest.mark.parametrize(
    ("mode", "found", "counted"),
    [
        ("expand", ["feverish"], {"moved": 1}),
        ("contract", [], {"unaligned": 1}),
        ("strict", [], {"unaligned": 1}),
    ],
)
def test_a_mention_inside_a_token(
    monkeypatch: pytest.MonkeyPatch, mode: str, found: list[str], counted: dict[str, int]
) -> None:
    nlp = pipeline(monkeypatch, {"fever": "Problem"}, alignment_mode=mode)
    assert [e.text for e in nlp("Was feverish today.").ents] == found
    assert +nlp.get_pipe("notesmith").counts == counted


def test_entities_that_stood_there_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = pipeline(monkeypatch, {"fever": "Problem", "cough": "Problem"})
    ruler = nlp.add_pipe("entity_ruler", before="notesmith")
    ruler.add_patterns([{"label": "Rule", "pattern": "high fever"}])
    doc = nlp("No high fever, no cough.")
    assert [(e.text, e.label_) for e in doc.ents] == [("high fever", "Rule"), ("cough", "Problem")]
    assert nlp.get_pipe("notesmith").counts["overlapping"] == 1


def test_components_after_it_read_the_entities(monkeypatch: pytest.MonkeyPatch) -> None:
    """As negspaCy and medspaCy's ConText do: they look before each entity of ``doc.ents``."""
    if not spacy.tokens.Span.has_extension("denied_here"):
        spacy.tokens.Span.set_extension("denied_here", default=False)

    @spacy.Language.component("denial_of_tests")
    def denial(doc: Any) -> Any:
        for ent in doc.ents:
            ent._.denied_here = ent.start > 0 and doc[ent.start - 1].lower_ in ("no", "denies")
        return doc

    nlp = pipeline(monkeypatch, {"fever": "Problem", "aspirin": "Drug"})
    nlp.add_pipe("denial_of_tests", last=True)
    found = [[e._.denied_here for e in doc.ents] for doc in nlp.pipe(TEXTS)]
    assert found == [[True], [False], []]


def test_scores_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = pipeline(monkeypatch, {"fever": "Problem"}, scores=True)
    assert [e._.notesmith_score for e in nlp("Had fever.").ents] == [0.9]


def test_attributes_that_the_student_has_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    nlp = pipeline(monkeypatch, {"fever": "Problem"}, scores=True)
    assert [e._.notesmith_attributes for e in nlp("Had fever.").ents] == [()]
    nlp.get_pipe("notesmith")._loaded[0].attributes = ("Certainty=low", "negated")
    found = nlp("Had fever.").ents[0]
    assert found._.notesmith_attributes == ("Certainty=low", "negated")
    assert found._.notesmith_score == 0.9


def test_what_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'guess' is not one of strict, contract, expand"):
        make_component(spacy.blank("en"), "n", "m", "guess", {}, False)
    with pytest.raises(ModelError, match="no model; add_pipe"):
        NotesmithNer("", "expand", {}, False)(spacy.blank("en")("Fever."))
    with pytest.raises(ModelError, match="not a notesmith model"):
        NotesmithNer(str(tmp_path), "expand", {}, False)(spacy.blank("en")("Fever."))
    nlp = pipeline(monkeypatch, {}, thresholds={"Gene": 0.5})
    with pytest.raises(ConfigError, match="'Gene': the model's labels"):
        nlp("Fever.")


def test_a_pipeline_is_saved_with_its_model(tmp_path: Path) -> None:
    from notesmith.config import NerConfig
    from notesmith.ner import train_ner
    from tests.ner.tiny import tiny_encoder

    encoder = tiny_encoder(tmp_path / "encoder")
    gold = [Document("a", TEXTS[0], (Entity("T1", "Problem", ((15, 20),)),))]
    config = NerConfig(encoder=str(encoder), steps=40, learning_rate=3e-3)
    train_ner(gold, config=config, seed=1).model.save(tmp_path / "model")
    nlp = spacy.blank("en")
    nlp.add_pipe("notesmith", config={"model": str(tmp_path / "model"), "alignment_mode": "strict"})
    want = [(e.text, e.label_) for e in nlp(TEXTS[0]).ents]
    assert want == [("fever", "Problem")]
    nlp.to_disk(tmp_path / "pipeline")
    assert nlp.meta["labels"]["notesmith"] == ["Problem"]
    (tmp_path / "model").rename(tmp_path / "gone")
    (tmp_path / "pipeline").rename(tmp_path / "moved")
    loaded = spacy.load(tmp_path / "moved")
    assert [(e.text, e.label_) for e in loaded(TEXTS[0]).ents] == want
    assert loaded.get_pipe("notesmith").alignment_mode == "strict"
    loaded.to_disk(tmp_path / "moved")
    assert [e.text for e in spacy.load(tmp_path / "moved")(TEXTS[0]).ents] == ["fever"]


def test_the_entry_point_names_the_factory() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    place = project["project"]["entry-points"]["spacy_factories"]["notesmith"]
    module, _, name = place.partition(":")
    assert getattr(import_module(module), name) is make_component
    assert spacy.Language.has_factory("notesmith")
