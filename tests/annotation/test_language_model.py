"""The language model as annotator, on tiny random models: wiring, windows, scores, failures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from notesmith.annotation.language_model import LmAnnotator, agreed
from notesmith.annotation.mentions import UNSCORED
from notesmith.annotation.prompt import Form, spans_of
from notesmith.annotation.tune import choose_shots, examples_of, form_of, tune, units_of
from notesmith.config import LmAnnotateConfig, LmConfig, SftConfig, UnitConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.lm import LanguageModel, load_lm
from notesmith.lm.samples import Sample, SampleResult
from notesmith.lm.score import score_continuations, token_log_probs
from notesmith.markup import Marks
from notesmith.markup_json import Mentions
from notesmith.ner.decode import score_of
from tests.lm.tiny import tiny_lm

LABELS = ("Drug", "Problem")
TEXT = "Known asthma and chest pain. Started on aspirin daily. Stable overnight."
GOLD = [
    Document(
        f"n{i}",
        TEXT,
        (
            Entity("T1", "Problem", ((6, 12),)),
            Entity("T2", "Problem", ((17, 27),), ("negated",)),
            Entity("T3", "Drug", ((40, 47),)),
        ),
    )
    for i in range(4)
]
NOTES = [Document("a", TEXT), Document("b", f"{TEXT}\n\n{TEXT} No fever."), Document("c", " ")]


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    """With a window of 4,096 tokens: a tiny vocabulary cuts text into letters."""
    model = tiny_lm("gemma3")
    model.model.config.max_position_embeddings = 4096
    return model


def annotator(lm: LanguageModel, name: str = "json", **config: object) -> LmAnnotator:
    asked = LmAnnotateConfig.model_validate({"max_new_tokens": 400, "batch_size": 4, **config})
    marks = Marks.fitting(LABELS, lm.reserved)
    return LmAnnotator(lm, Form(name, marks), UnitConfig(), asked)  # type: ignore[arg-type]


class Scripted:
    """A backend that gives one answer to each unit, by what the unit says."""

    model = "scripted"

    def __init__(self, answers: dict[str, list[str]]) -> None:
        self.answers = answers
        self.prompts: list[str] = []

    def sample(self, prompts, config, *, seed, constraint, finished, on_samples, **_):
        self.prompts = list(prompts)
        taken: dict[str, int] = {}
        samples = []
        for i, prompt in enumerate(prompts):
            asked = prompt.rpartition("\n\n")[2]
            said = next((a for unit, a in self.answers.items() if unit in asked), ["[]"])
            k = taken[prompt] = taken.get(prompt, -1) + 1
            samples.append(Sample(i, said[k % len(said)], (), True))
        return SampleResult(tuple(samples), 7, 0.5)


def scripted(lm: LanguageModel, answers: dict[str, list[str]], **config: object) -> LmAnnotator:
    free = annotator(lm, constrain=False, confidence="agreement", **config)
    return replace(free, server=Scripted(answers))  # type: ignore[arg-type]


ASPIRIN = '[{"left":" on","text":" aspirin","right":" daily.","label":"Drug"}]'


def test_mentions_of_units_stand_where_the_units_stand(lm: LanguageModel) -> None:
    asked = scripted(lm, {"Text: Started": [ASPIRIN]}, samples=2)
    made = asked.label(NOTES)
    spans = [[(e.label, e.spans[0], e.mention(d.text)) for e in d.entities] for d in made.docs]
    assert spans == [
        [("Drug", (40, 47), "aspirin")],
        [("Drug", (40, 47), "aspirin"), ("Drug", (114, 121), "aspirin")],
        [],
    ]
    assert [e.id for e in made.docs[1].entities] == ["T1", "T2"]
    assert made.docs[0].provenance.kind == "silver"
    assert made.docs[0].provenance.parents == ("a",)
    # Three sentences, which the second note has twice, and one more.
    assert (made.units, made.answers, made.tokens) == (4, 8, 7)


def test_long_sentences_are_cut_at_white_space_and_all_of_them_is_read(lm: LanguageModel) -> None:
    table = Document("t", " ".join(f"value {i}" for i in range(90)) + " aspirin daily")
    answer = '[{"text":"aspirin","label":"Drug"}]'
    asked = scripted(lm, {"aspirin": [answer]}, samples=2)
    asked = replace(asked, units=UnitConfig(max_unit_tokens=100))
    spans = spans_of(table, asked.units, lm)
    assert len(spans) > 2
    assert all(len(lm.encode(table.text[start:end])) <= 100 for start, end in spans)
    assert " ".join(table.text[start:end] for start, end in spans) == table.text
    [doc] = asked.label([table]).docs
    assert [ent.mention(doc.text) for ent in doc.entities] == ["aspirin"]


def test_failures_are_counted_by_reason(lm: LanguageModel) -> None:
    asked = scripted(
        lm, {"Started": [ASPIRIN, "none", ASPIRIN[:40]], "fever": [ASPIRIN]}, samples=3
    )
    made = asked.label(NOTES)
    assert made.failures == {"no JSON": 1, "cut off": 1, "absent": 3}
    assert asked.counts == {"no JSON": 1, "cut off": 1, "absent": 3}
    [ent] = made.docs[0].entities
    assert score_of(ent) == 0.3333


def mentions(*found: tuple[int, int, str], attributes: tuple[str, ...] = ()) -> Mentions:
    ents = [Entity(f"T{i}", label, ((s, e),), attributes) for i, (s, e, label) in enumerate(found)]
    return Mentions(tuple(ents))


def test_agreement_is_the_share_of_answers_that_have_a_mention() -> None:
    found = agreed(
        [
            mentions((0, 4, "A"), (6, 9, "A"), attributes=("negated",)),
            mentions((0, 4, "A"), (6, 9, "B"), attributes=("negated",)),
            mentions((0, 5, "A"), (6, 9, "B")),
            Mentions(),
        ]
    )
    assert [(e.spans[0], e.label, e.attributes) for e in found] == [
        ((0, 4), "A", ("negated", "score=0.5000")),
        ((6, 9), "B", ("score=0.5000",)),
    ]


@pytest.mark.parametrize("name", ["json", "inline"])
def test_constrained_answers_are_all_usable(lm: LanguageModel, name: str) -> None:
    made = annotator(lm, name).label(NOTES)
    assert made.failures.keys() <= {"ambiguous", "cut off", "overlapping"}
    assert [(d.id, d.text) for d in made.docs] == [(d.id, d.text) for d in NOTES]
    if name == "inline":
        assert not made.failures


def test_free_answers_of_a_model_that_knows_nothing_all_fail(lm: LanguageModel) -> None:
    made = annotator(lm, constrain=False, max_new_tokens=20).label(NOTES)
    assert sum(made.failures.values()) == made.units == 4
    assert not any(doc.entities for doc in made.docs)


def test_the_score_is_the_mean_probability_of_the_tokens_that_name_the_mention(
    lm: LanguageModel,
) -> None:
    answer = ASPIRIN.replace("}]", '},{"left":"","text":" Started","right":" on","label":"Drug"}]')
    text = "Started on aspirin daily."
    asked = annotator(lm)
    # What is not in order is still read, and each mention has the tokens of its own place.
    ids = tuple(lm.encode(answer))
    prompt = asked.form.prompt(text)
    finished = {0: Sample(0, answer, ids, True)}
    made = asked.label([Document("a", text)], finished=finished)
    [logs] = token_log_probs(lm, [prompt], [ids])
    cut = len(lm.encode(ASPIRIN[:-1]))
    assert lm.decode(ids[:cut]) == ASPIRIN[:-1]
    wanted = math.exp(np.mean(logs[1:cut]))
    drug = made.docs[0].entities[1]
    assert drug.mention(text) == "aspirin"
    assert score_of(drug) == pytest.approx(wanted, abs=2e-4)


def test_probabilities_of_tokens_add_up_to_those_of_continuations(lm: LanguageModel) -> None:
    prompts = ["The patient", "No", "No"]
    completions = [" has asthma.", " fever", " chest pain today"]
    each = token_log_probs(lm, prompts, lm.encode_all(completions))
    whole = score_continuations(lm, prompts, completions)
    assert [sum(logs) for logs in each] == pytest.approx([w.log_prob for w in whole], abs=1e-4)
    assert [len(logs) for logs in each] == [w.n_tokens for w in whole]
    assert token_log_probs(lm, ["No"], [[]]) == [()]


def test_answers_do_not_depend_on_the_batch_and_go_on_where_they_stopped(
    lm: LanguageModel,
) -> None:
    log: list[Sample] = []
    first = annotator(lm, "inline").label(NOTES, on_samples=log.extend)
    again = annotator(lm, "inline", batch_size=1).label(NOTES[::-1])
    assert [d.entities for d in again.docs[::-1]] == [d.entities for d in first.docs]
    resumed = annotator(lm, "inline").label(NOTES, finished={s.index: s for s in log})
    assert resumed.docs == first.docs and resumed.tokens == 0


def test_scores_are_calibrated_with_a_temperature(lm: LanguageModel) -> None:
    asked = scripted(lm, {"Started": [ASPIRIN, ASPIRIN, ASPIRIN, "[]"]}, samples=4)
    calibrated = replace(asked, score_temperature=0.5)
    for reader, wanted in ((asked, 0.75), (calibrated, 0.9)):
        [doc] = reader.label(NOTES[:1]).docs
        assert [score_of(ent) for ent in doc.entities] == [pytest.approx(wanted, abs=1e-4)]
        [scores] = reader.as_student().predict_scores(NOTES[:1])
        drug = scores.words.index((40, 47))
        assert scores.probabilities[drug, 1] == pytest.approx(wanted, abs=1e-4)


def test_without_a_score_a_mention_counts_as_sure(lm: LanguageModel) -> None:
    asked = scripted(lm, {"Started": [ASPIRIN]})
    asked = replace(asked, config=asked.config.model_copy(update={"confidence": "none"}))
    made = asked.label(NOTES[:1])
    assert made.answers == made.units == 3
    [ent] = made.docs[0].entities
    assert score_of(ent) is None
    [scores] = asked.as_student().predict_scores(NOTES[:1])
    assert scores.probabilities[scores.words.index((40, 47)), 1] == pytest.approx(UNSCORED)


def test_it_votes_like_a_student(lm: LanguageModel) -> None:
    student = scripted(lm, {"Started": [ASPIRIN]}, samples=2).as_student()
    assert student.labels == LABELS
    [scores] = student.predict_scores(NOTES[:1])
    drug = scores.words.index((40, 47))
    assert scores.probabilities[drug, 1] == 1.0
    [doc] = student.predict(NOTES[:1])
    assert [e.mention(TEXT) for e in doc.entities] == ["aspirin"]


def test_a_server_that_cannot_do_what_is_asked_is_an_error(lm: LanguageModel) -> None:
    server = Scripted({})
    with pytest.raises(ConfigError, match=r"set annotate\.lm\.constrain to false"):
        replace(annotator(lm), server=server)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"annotate\.lm\.confidence to 'agreement'"):
        replace(annotator(lm, constrain=False), server=server)  # type: ignore[arg-type]


def test_examples_are_shown_before_every_prompt_and_end_an_answer(lm: LanguageModel) -> None:
    asked = scripted(lm, {"Text: Started": [f"{ASPIRIN}\n\n{ASPIRIN}"]}, samples=2)
    units = units_of(GOLD[:1], UnitConfig(), lm)
    shots = choose_shots(units, asked.form, n=2, seed=1)
    shown = replace(asked, shots=shots)
    made = shown.label(NOTES[:1])
    assert not made.failures
    prompts = shown.server.prompts  # type: ignore[union-attr]
    assert all(prompt.startswith(shots) for prompt in prompts)
    assert shots.count("Mentions of") == 2 and shots.endswith("]\n\n")


def test_half_of_the_examples_have_mentions(lm: LanguageModel) -> None:
    form = annotator(lm).form
    units = [Document(f"u{i}", f"Unit {i} is empty.") for i in range(9)]
    units += [Document("v", "Asthma.", (Entity("T1", "Problem", ((0, 6),)),))]
    for seed in range(5):
        shots = choose_shots(units, form, n=3, seed=seed)
        assert shots.count("Text:") == 3 and shots.count('"label"') == 1
    with pytest.raises(StageError, match="no gold unit to show"):
        choose_shots([], form, n=3, seed=1)


def test_every_unit_is_learnt_from_and_those_with_masks_are_not(lm: LanguageModel) -> None:
    masked = Document("m", f"Short. {TEXT}", masked=((0, 5),))
    units = units_of([*GOLD[:1], masked], UnitConfig(), lm)
    assert [len(unit.entities) for unit in units] == [2, 1, 0, 0, 0, 0]
    form = form_of("json", LABELS, GOLD, unit="sentence", attributes=("negated", "absent"))
    assert form.marks.attributes == ("negated",)
    examples = examples_of(units, form)
    assert examples[0].completion.endswith('"label":"Problem","attributes":["negated"]}]')
    assert examples[2].completion == "[]"


@pytest.mark.parametrize("name", ["json", "inline"])
def test_a_model_that_learns_one_text_by_heart_labels_it(
    lm: LanguageModel, name: str, tmp_path: Path
) -> None:
    gold = [Document("n", "Known asthma. Stable.", (Entity("T1", "Problem", ((6, 12),)),))]
    form = annotator(lm, name).form
    sft = SftConfig(epochs=70, batch_size=2, learning_rate=1e-2, dev_ratio=0, mark_words=True)
    tuned = tune(lm, gold, form, sft, out=tmp_path / "model", seed=1)
    assert (tuned.units, tuned.without, tuned.flattened) == (2, 1, {})
    model = load_lm(LmConfig(model=str(tuned.sft.folder), trim=False), cache=tmp_path / "cache")
    [doc] = replace(annotator(lm, name), lm=model).label([Document("a", gold[0].text)]).docs
    [ent] = doc.entities
    assert (ent.label, ent.spans) == ("Problem", ((6, 12),))
    assert (score_of(ent) or 0) > 0.5


def test_nothing_to_learn_from_is_an_error(lm: LanguageModel, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no gold unit"):
        tune(lm, [Document("n", " ")], annotator(lm).form, SftConfig(), out=tmp_path / "m", seed=1)
