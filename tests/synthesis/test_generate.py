"""The generator's two stages on a tiny random model: wiring, seeds, constraints, grounding."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lm.tiny import tiny_lm

from notesmith.config import LengthConfig, LmConfig, SampleConfig, SftConfig, UnitConfig
from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.lm import LanguageModel, load_lm
from notesmith.markup import Marks
from notesmith.synthesis import (
    GenerationConfig,
    NameSet,
    PromptConfig,
    Steering,
    coverage_of,
    propose_names,
    run_sample,
    run_sft,
)
from notesmith.synthesis.generate import examples_of, hold_out
from notesmith.synthesis.names import clean
from notesmith.synthesis.plan import (
    begin_as,
    constraint_of,
    cut_places,
    ground,
    marks_for,
    nesting_depth,
    plan_generation,
    units_of,
)
from notesmith.synthesis.prompt import completion_of
from notesmith.synthesis.requests import Request

LABELS = ("Drug", "Problem")
TEXT = "Known asthma and chest pain. Started on aspirin 81 mg daily. Stable overnight."
GOLD = [
    Document(
        f"n{i}",
        TEXT,
        (
            Entity("T1", "Problem", ((6, 12),)),
            Entity("T2", "Problem", ((17, 27),)),
            Entity("T3", "Drug", ((40, 47),)),
        ),
    )
    for i in range(4)
]
NAMES = NameSet({"Problem": ("colon cancer",)})


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return tiny_lm("gemma3")


def generation(**sample: object) -> GenerationConfig:
    return GenerationConfig(
        prompt=PromptConfig(kind="note"),
        sample=SampleConfig.model_validate({"max_new_tokens": 12, "batch_size": 4, **sample}),
    )


def test_sft_then_sampling_gives_a_candidate_a_request(lm: LanguageModel, tmp_path: Path) -> None:
    sft = SftConfig(epochs=1, batch_size=4, learning_rate=1e-3, mark_words=True)
    result = run_sft(
        lm, GOLD, sft, PromptConfig(kind="note"), labels=LABELS, out=tmp_path / "m", seed=1
    )
    tuned = load_lm(LmConfig(model=str(result.folder), trim=False), cache=tmp_path / "cache")
    output = run_sample(tuned, GOLD, NAMES, generation(), units=12, labels=LABELS, seed=3)
    assert len(output.candidates) == 12 and output.tokens > 0
    assert len({c.id for c in output.candidates}) == 12
    again = run_sample(
        tuned, GOLD, NAMES, generation(batch_size=3), units=12, labels=LABELS, seed=3
    )
    assert [c.requested for c in again.candidates] == [c.requested for c in output.candidates]
    for made in output.candidates:
        if isinstance(made.result, Document):
            assert made.result.provenance.kind == "synthetic"
            assert made.result.provenance.parents[0] in {"n0", "n1", "n2", "n3"}
            assert made.result.provenance.seed == 3


def test_headings_are_not_learnt_unless_there_is_nothing_else(
    lm: LanguageModel, tmp_path: Path
) -> None:
    headed = [Document(f"h{k}", f"PMH\n{doc.text}", ()) for k, doc in enumerate(GOLD)]
    bare = [Document(doc.id, doc.text) for doc in GOLD]
    sft = SftConfig(epochs=1, batch_size=4, learning_rate=1e-3, dev_ratio=0, replaced_copies=0)

    def tokens(docs: list[Document], name: str, **changes: int) -> int:
        config = sft.model_copy(update=changes)
        prompt = PromptConfig(kind="note")
        made = run_sft(lm, docs, config, prompt, labels=LABELS, out=tmp_path / name, seed=1)
        return made.tokens

    learnt = tokens(bare, "bare")
    assert tokens(headed, "headed") == learnt
    assert tokens(headed, "all", min_words=0) > learnt
    assert tokens(bare, "long", min_words=99) == tokens(bare, "every", min_words=0)


def test_units_with_unknown_labels_are_not_learnt(
    lm: LanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sft = SftConfig(epochs=1, batch_size=4, learning_rate=1e-3, dev_ratio=0, replaced_copies=0)
    of_old = [Document(f"o{k}", "Itches after latex.", unknown=("Problem",)) for k in range(3)]
    of_masked = Document("m", "Known latex allergy.", masked=((6, 11),))

    def tokens(docs: list[Document], name: str) -> int:
        prompt = PromptConfig(kind="note")
        made = run_sft(lm, docs, sft, prompt, labels=LABELS, out=tmp_path / name, seed=1)
        return made.tokens

    assert tokens([*of_old, of_masked, *GOLD], "some") == tokens(GOLD, "none")
    assert "is not shown 4 of " in caplog.text and "latex" not in caplog.text
    with pytest.raises(StageError, match="labels are unknown in each of 3 units of gold"):
        tokens(of_old, "all")


def test_no_request_follows_a_unit_with_unknown_labels(lm: LanguageModel) -> None:
    old = Document("o", "Takes heparin.", (Entity("T1", "Drug", ((6, 13),)),), unknown=("Problem",))
    units = units_of([*GOLD, old], SftConfig(), lm)
    plan = plan_generation(
        lm, units, NAMES, generation(), n=40, labels=LABELS, seed=1, shots=2, steering=None
    )
    assert {request.pattern.partition(":")[0] for request in plan.requests} == {
        doc.id for doc in GOLD
    }
    assert all("Takes" not in prompt for prompt in plan.prompts)
    # Its labelled mention is one to ask for, all the same.
    assert ("Drug", "heparin") in {ask for request in plan.requests for ask in request.mentions}


def test_constraints_of_each_kind(lm: LanguageModel) -> None:
    marks = Marks.reserved(LABELS, lm.reserved)
    names = {"Problem": ["asthma"], "Drug": ["aspirin"]}

    def of(kind: str) -> object:
        return constraint_of(
            lm,
            marks,
            names,
            SampleConfig(constrain=kind),
            depth=2,  # type: ignore[arg-type]
        )

    assert of("none") is None
    assert of("marks").max_depth == 2 and of("marks").licence is None  # type: ignore[attr-defined]
    # Special tokens that are neither marks nor the end may never be written.
    never = set(lm.tokenizer.convert_ids_to_tokens(of("marks").never_ids))  # type: ignore[attr-defined]
    strays = set(lm.reserved) - {marks.close, *marks.opens}
    assert never >= {*strays, "<bos>", "<unk>"} and strays
    assert not never & {marks.close, *marks.opens, "<eos>"}
    assert len(of("licensed").licence) == 2  # type: ignore[attr-defined]


def test_marks_of_several_tokens_are_left_unconstrained() -> None:
    plain = tiny_lm("qwen3")
    assert plain.reserved == ()
    marks = Marks.plain(LABELS)
    assert constraint_of(plain, marks, {}, SampleConfig(), depth=1) is None


def test_hold_out_takes_at_least_one_and_never_all() -> None:
    assert len(hold_out(GOLD, 0.1, 1)) == 1
    assert len(hold_out(GOLD, 0.9, 1)) == 3
    assert hold_out(GOLD[:1], 0.5, 1) == frozenset()


def test_units_that_the_window_cannot_hold_are_cut_and_counted(
    lm: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    ent = Entity("T1", "Problem", ((300, 316),))
    doc = Document("a", "cough and fever " * 60, (ent,))
    units = units_of([doc], SftConfig(), lm)
    window = lm.model.config.get_text_config().max_position_embeddings
    assert all(len(lm.encode(unit.text)) <= window // 3 for unit in units)
    assert sum(len(unit.entities) for unit in units) == 1
    assert "1 units too long for the model's window were cut at white space" in caplog.text


def test_a_grounded_beginning_ends_between_words_and_outside_marks(lm: LanguageModel) -> None:
    marks = Marks.plain(LABELS)
    units = units_of(GOLD[:1], SftConfig(), lm)
    completion = completion_of(units[0], marks)
    assert completion == " Known<Problem> asthma</> and<Problem> chest pain</>."
    assert [completion[:p] for p in cut_places(completion, marks)] == [
        " Known",
        " Known<Problem> asthma</>",
        " Known<Problem> asthma</> and",
    ]
    request = Request("r", units[0].id, 5)
    by_id = {u.id: u for u in units}
    for template in ("infill", "neighbour"):
        (made,) = ground(
            [request],
            by_id,
            marks=marks,
            template=template,  # type: ignore[arg-type]
            seed=1,
        )
        if template == "neighbour":
            assert made.neighbour == completion.strip()
        else:
            assert completion.strip().startswith(made.before) and made.before
            assert made.mentions == (("Problem", "asthma"), ("Problem", "chest pain"))
            assert completion.endswith(made.after)


def test_examples_of_the_infill_template_hold_the_middle(lm: LanguageModel) -> None:
    marks = Marks.plain(LABELS)
    units = units_of(GOLD[:1], SftConfig(), lm)
    (example, *_) = examples_of(
        units,
        neighbours=units,
        marks=marks,
        config=PromptConfig(template="infill", kind="note"),
        unit="sentence",
        labels=LABELS,
        seed=0,
    )
    given = example.prompt.split("Begins: ")[1].split("\nEnds: ")
    whole = f"{given[0]}{example.completion}{given[1].removesuffix(chr(10) + 'Middle:')}"
    assert whole.replace(" ", "") == completion_of(units[0], marks).replace(" ", "")


def test_nesting_depth() -> None:
    nested = Document(
        "d",
        "abcdef",
        (Entity("T1", "P", ((0, 6),)), Entity("T2", "P", ((0, 3),)), Entity("T3", "P", ((4, 5),))),
    )
    assert nesting_depth([nested]) == 2
    assert nesting_depth(GOLD) == 1


def test_names_are_proposed_scored_and_counted(lm: LanguageModel) -> None:
    from notesmith.config import NamesConfig

    gold = {"Problem": ("asthma", "chest pain", "colon cancer", "pneumonia")}
    config = NamesConfig(proposals=24, keep_ratio=0.5)
    names = propose_names(lm, gold, config, seed=1, terms={"Drug": ("aspirin", "aspirin")})
    assert names.names["Drug"] == ("aspirin",)
    counts = names.counts
    distinct = counts["proposed"] - sum(
        counts.get(k, 0) for k in ("not a name", "in gold", "proposed again")
    )
    assert counts["kept"] == len(names.names["Problem"]) == round(0.5 * distinct)
    assert NameSet.from_json(names.to_json()) == names


def test_what_can_be_a_name() -> None:
    assert clean("- acute renal failure.") == "acute renal failure"
    assert clean("gout") == "gout"
    for line in (
        "the gout",
        "gout of",
        "x",
        "12",
        "gout (acute",
        "a: b",
        "one two three four five six seven",
    ):
        assert clean(line) is None


def test_no_text_is_asked_for_that_would_be_dropped_for_its_length(lm: LanguageModel) -> None:
    config = generation()
    units = units_of(GOLD, UnitConfig(), lm)
    words = {unit.id: len(unit.text.split()) for unit in units}
    assert min(words.values()) < config.length.min_words
    plan = plan_generation(lm, units, NAMES, config, n=30, labels=LABELS, seed=1)
    assert all(words[r.pattern] >= config.length.min_words for r in plan.requests)
    assert plan.units == tuple(units)
    # Where gold has no unit of a length that is kept, its own lengths are asked for.
    strict = config.model_copy(update={"length": LengthConfig(min_words=99)})
    plan = plan_generation(lm, units, NAMES, strict, n=30, labels=LABELS, seed=1)
    assert {r.pattern for r in plan.requests} == set(words)


def test_marks_begin_as_the_words_of_their_labels(lm: LanguageModel) -> None:
    marks = Marks.reserved(["Lab_value", "SpecificDisease"], lm.reserved)
    assert begin_as(marks, lm) == {
        marks.opens[0]: " lab value",
        marks.opens[1]: " specific disease",
        marks.close: ")",
    }
    assert begin_as(Marks.plain(["Lab_value"]), lm) == {}


NEGATED = [
    Document(
        f"g{i}",
        "No chest pain or asthma. Mother had colon cancer. Started on aspirin for chest pain.",
        (
            Entity("T1", "Problem", ((3, 13),), ("negated",)),
            Entity("T2", "Problem", ((17, 23),), ("negated", "uncertain")),
            Entity("T3", "Problem", ((36, 48),), ("family",)),
            Entity("T4", "Drug", ((61, 68),)),
            Entity("T5", "Problem", ((73, 83),)),
        ),
    )
    for i in range(4)
]


@pytest.mark.parametrize("template", ["scratch", "neighbour", "infill"])
def test_attributes_are_asked_for_marked_and_counted(
    lm: LanguageModel, tmp_path: Path, template: str
) -> None:
    wanted = {"template": template, "attributes": ["negated", "family"]}
    prompt = PromptConfig.model_validate(wanted)
    config = generation(max_new_tokens=24).model_copy(update={"prompt": prompt})
    tuned = run_sft(
        lm,
        NEGATED,
        SftConfig(epochs=1, batch_size=4, mark_words=True),
        prompt,
        labels=LABELS,
        out=tmp_path / "m",
        seed=1,
    )
    model = load_lm(LmConfig(model=str(tuned.folder), trim=False), cache=tmp_path / "cache")
    units = units_of(NEGATED, UnitConfig(), model)
    plan = plan_generation(model, units, NAMES, config, n=30, labels=LABELS, seed=3)
    assert plan.marks.attributes == ("family", "negated")
    assert set(plan.marks.all) <= set(model.reserved)
    assert plan.constraint is not None and len(plan.constraint.attribute_ids) == 2
    assert plan.lexicon.carriers == {"Problem"}
    requests = {r.pattern.partition(":")[2]: r for r in plan.requests}
    assert [r.attributes for _, r in sorted(requests.items())] == [
        (("negated",), ("negated",)),
        (("family",),),
        ((), ()),
    ]
    for request, text in zip(plan.requests, plan.prompts, strict=True):
        n = sum("negated" in own for own in request.attributes)
        assert text.count("(negated)") == n
        assert "uncertain" not in text
    output = run_sample(model, NEGATED, NAMES, config, units=30, labels=LABELS, seed=3)
    assert [c.requested_attributes for c in output.candidates] == [
        r.attributes for r in plan.requests
    ]
    for made in output.candidates:
        if isinstance(made.result, Document):
            asked = sum(map(len, made.requested_attributes))
            assert 0 <= made.missing_attributes <= asked
            found = {a for e in made.result.entities for a in e.attributes}
            assert found <= {"family", "negated"}


def test_examples_teach_the_marks_of_attributes(lm: LanguageModel) -> None:
    units = units_of(NEGATED[:1], UnitConfig(), lm)
    marks = Marks.plain(LABELS, ["family", "negated"])
    first, second, third = examples_of(
        units,
        neighbours=units,
        marks=marks,
        config=PromptConfig(attributes=("family", "negated")),
        unit="sentence",
        labels=LABELS,
        seed=0,
    )
    assert "\nProblem: chest pain (negated); asthma (negated)\n" in first.prompt
    assert first.completion == (
        " No<Problem><+negated> chest pain</> or<Problem><+negated> asthma</>."
    )
    assert second.completion == " Mother had<Problem><+family> colon cancer</>."
    assert "+" not in third.completion and "(" not in third.prompt


def test_more_attributes_than_spare_tokens_are_plain_tags(lm: LanguageModel) -> None:
    assert marks_for(lm, LABELS).close in lm.reserved
    many = [f"a{i}" for i in range(len(lm.reserved))]
    assert marks_for(lm, LABELS, many) == Marks.plain(LABELS, many)
    exactly = many[: len(lm.reserved) - len(LABELS) - 1]
    assert set(marks_for(lm, LABELS, exactly).all) == set(lm.reserved)


@pytest.mark.parametrize(("template", "shots"), [("scratch", 0), ("neighbour", 0), ("scratch", 2)])
def test_concepts_are_asked_for_and_count_as_approved(
    lm: LanguageModel, template: str, shots: int
) -> None:
    steering = Steering({"Drug": 7}, {("Drug", "agalsidase"): 5, ("Problem", "Fabry disease"): 3})
    config = generation().model_copy(
        update={"prompt": PromptConfig.model_validate({"template": template})}
    )
    units = units_of(GOLD, UnitConfig(), lm)
    plan = plan_generation(
        lm, units, NAMES, config, n=20, labels=LABELS, seed=3, shots=shots, steering=steering
    )
    assert len(plan) == 20
    drug = [r for r in plan.requests if any(label == "Drug" for label, _ in r.mentions)]
    assert len(drug) == 7
    for (label, concept), n in steering.concepts.items():
        asked = [
            text
            for r, text in zip(plan.requests, plan.prompts, strict=True)
            if (label, concept) in r.mentions
        ]
        assert len(asked) == n and all(concept in text for text in asked)
    assert plan.lexicon.labels["fabry disease"] == "Problem"
    assert plan.lexicon.find("Has Fabry disease.") == [((4, 17), "Problem")]


def test_a_draw_without_the_label_of_a_concept_asks_for_the_rest(lm: LanguageModel) -> None:
    gold = [doc.with_entities(doc.entities[:2]) for doc in GOLD]
    steering = Steering({"Drug": 4}, {("Drug", "x"): 2, ("Problem", "Fabry disease"): 3})
    output = run_sample(
        lm, gold, NAMES, generation(), units=6, labels=LABELS, seed=3, steering=steering
    )
    assert [row.asked for row in coverage_of(output.candidates, [], steering)] == [0, 0, 3]
    assert len(output.candidates) == 6
