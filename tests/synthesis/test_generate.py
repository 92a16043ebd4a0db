"""The generator's two stages on a tiny random model: wiring, seeds, constraints, grounding."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.lm.tiny import tiny_lm

from notesmith.config import LengthConfig, LmConfig, SampleConfig, SftConfig, UnitConfig
from notesmith.document import Document, Entity
from notesmith.lm import LanguageModel, load_lm
from notesmith.markup import Marks
from notesmith.synthesis import (
    GenerationConfig,
    NameSet,
    PromptConfig,
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
    # Reserved tokens that are no marks may never be written.
    strays = set(lm.reserved) - {marks.close, *marks.opens}
    never = of("marks").never_ids  # type: ignore[attr-defined]
    assert set(lm.tokenizer.convert_ids_to_tokens(never)) == strays != set()
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
