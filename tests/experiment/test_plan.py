import pytest

from notesmith.errors import ConfigError
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.graph import may_discard
from notesmith.experiment.packaged import packaged_recipes
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import Filters, load_recipe
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import STAGES, given
from notesmith.files.checksums import hash_path
from notesmith.models.fingerprint import fingerprint_model

from .doubles import tiny_recipe

PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
SOURCES = Fingerprints(train="a", dev="b", test="c", lm="d")


ARMS = tiny_recipe(PATHS).model_dump(mode="json", exclude_none=True)["arm"]
REWARDED = [
    {"name": "raw", "made": ["synthetic-unfiltered"]},
    {"name": "prompted", "made": ["synthetic"], "tuned": False},
    {"name": "best of 4", "made": ["synthetic"], "best_of": 4},
    {"name": "rl", "made": ["synthetic"], "rl": {"method": "grpo"}},
    {"name": "relabelled", "made": ["synthetic-relabelled"], "rl": {"method": "grpo"}},
    {"name": "placebo rl", "made": ["synthetic"], "rl": {"method": "grpo", "placebo": True}},
]


def stages_of(target):
    return {cell.stage.name for cell in target.cell.walk()}


def test_order_is_replicates_first_then_cost():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    replicates = [t.replicate for t in plan.targets]
    assert replicates == sorted(replicates)
    first = [t.arm for t in plan.targets if t.replicate == 0 and t.split == "test" and not t.curve]
    assert first == [
        "gold",
        "replacement",
        "lwtr",
        "shuffled",
        "proposed",
        "synthetic",
        "both",
        "placebo",
        "synthetic",
    ]


LEARNS = {
    "name": "learns from notes",
    "made": ["silver", "replaced"],
    "annotate": {"teaches": ["notes", "made", "gold"]},
}
MINES = {
    "name": "mines names",
    "made": ["replaced-mined"],
    "annotate": {
        "by": ["students", "dictionary", "tagger", "lm-json"],
        "tagger": {"path": "said.jsonl"},
    },
}


def test_the_plans_use_every_stage():
    arms = [*ARMS, *REWARDED, {"name": "gold, votes", "votes": 2}]
    notes = {"draws": {"unlabelled_documents": 4}}
    learns = [*arms, dict(LEARNS), dict(MINES), {"name": "adapted", "adapted": True}]
    held_out = make_plan(tiny_recipe(PATHS, arm=learns, **notes), SOURCES)
    draws = {"sizes": [10], "curve": [6], "students": 2}
    evaluate = {"evaluate": {"protocol": "cross-fit"}, "draws": draws}
    folds = make_plan(tiny_recipe({"train": PATHS["train"]}, arm=arms, **evaluate), SOURCES)
    used = {
        stage
        for plan in (held_out, folds)
        for target in plan.targets
        for stage in stages_of(target)
    }
    # A saved generator is of no recipe: workflows take it.
    assert used == {stage.name for stage in STAGES} - {given.STAGE.name}


def test_generators_share_what_they_can_and_differ_where_they_must():
    plan = make_plan(tiny_recipe(PATHS, arm=[*ARMS, *REWARDED]), SOURCES)
    students = {
        t.arm: t.cell.inputs["model"]
        for t in plan.targets
        if t.cell.stage.name == "score" and t.replicate == 0 and not t.curve and t.split == "test"
    }

    def cells(arm, stage):
        return {cell.key for cell in students[arm].walk() if cell.stage.name == stage}

    tuned = ("synthetic", "raw", "rl", "relabelled", "placebo rl", "best of 4")
    assert len(set.union(*(cells(arm, "sft") for arm in tuned))) == 1
    assert len(set.union(*(cells(arm, "committee") for arm in ("rl", "placebo rl")))) == 1
    assert cells("raw", "sample") == cells("synthetic", "sample")
    assert cells("relabelled", "filter") == cells("rl", "filter")
    assert cells("relabelled", "ner") >= {students["gold"].key}
    assert not cells("prompted", "sft")
    # One coverage a generator, though several arms train on its text.
    covered = [t.arm for t in plan.targets if t.cell.stage.name == "coverage" and t.replicate == 0]
    assert sorted(covered) == sorted(["synthetic", "prompted", "best of 4", "rl", "placebo rl"])


def test_arms_with_rewards_leave_the_cells_of_the_others_as_they_were():
    before = make_plan(tiny_recipe(PATHS), SOURCES)
    after = make_plan(tiny_recipe(PATHS, arm=[*ARMS, *REWARDED]), SOURCES)
    keys = {cell.key for target in after.targets for cell in target.cell.walk()}
    assert {target.cell.key for target in before.targets} <= keys


def test_held_out_documents_are_inputs_of_scoring_and_of_the_check_for_repeats_alone():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    for target in plan.targets:
        for cell in target.cell.walk():
            reads = set(cell.fingerprints.values()) & {"b", "c"}
            assert not reads or cell.stage.name in ("score", "coverage", "filter"), cell.title


def test_arms_of_a_draw_share_gold_and_seed_and_differ_in_work():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    models = {
        t.arm: t.cell.inputs["model"]
        for t in plan.targets
        if t.cell.stage.name == "score" and t.replicate == 0 and not t.curve and t.split == "test"
    }
    assert len({m.inputs["gold"].key for m in models.values()}) == 1
    assert len({m.seed for m in models.values()}) == 1
    assert len({m.key for m in models.values()}) == 8


def test_replicates_differ_in_draw_generator_and_student():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    both = [t.cell for t in plan.targets if t.arm == "synthetic" and t.split == "test"]
    for stage in ("draw", "sft", "sample", "ner"):
        seeds = {c.seed for cell in both for c in cell.walk() if c.stage.name == stage}
        assert len(seeds) == 2, stage


def test_a_smaller_draw_is_the_start_of_a_larger_one():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    draws = {
        (t.size, t.replicate): t.cell.inputs["gold"].seed for t in plan.targets if t.arm == "gold"
    }
    assert draws[6, 0] == draws[10, 0] != draws[6, 1] == draws[10, 1]


def test_two_arms_with_equal_work_share_cells():
    config = tiny_recipe(PATHS, arm=[{"name": "gold"}, {"name": "twin"}], evaluate={"against": {}})
    plan = make_plan(config, SOURCES)
    assert len(plan.targets) == 2 * len([t for t in plan.targets if t.arm == "twin"]) + 6
    # Two draws and the two of the curve, each scored on dev, on test and on what was not drawn.
    assert len(plan.cells) == 12


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"ner": {"steps": 9}}, {"ner", "score"}),
        ({"filter": {"copy_ratio": 0.5}}, {"filter", "ner", "score"}),
        # No text is asked for that would be too short.
        ({"filter": {"min_words": 2}}, {"sample", "filter", "ner", "score"}),
        ({"sample": {"temperature": 0.5}}, {"sample", "filter", "ner", "score"}),
        ({"synthesize": {"units": 9}}, {"sample", "filter", "ner", "score"}),
        ({"sft": {"epochs": 9.0}}, {"sft", "sample", "filter", "ner", "score"}),
        ({"evaluate": {"resamples": 99}}, set()),
        ({"evaluate": {"minutes_per_note": 12}}, set()),
        ({"augment": {"copies": 9}}, set()),
        ({"name": "other"}, set()),
    ],
)
def test_a_change_makes_stale_what_depends_on_it_and_no_more(change, stale):
    def cells(config):
        plan = make_plan(config, SOURCES)
        target = next(t for t in plan.targets if t.arm == "synthetic" and t.split == "test")
        return {cell.stage.name: cell.key for cell in target.cell.walk()}

    before, after = cells(tiny_recipe(PATHS)), cells(tiny_recipe(PATHS, **change))
    assert {stage for stage in before if before[stage] != after[stage]} == stale


def test_filters_select_targets():
    plan = make_plan(tiny_recipe(PATHS), SOURCES)
    cells = plan.select(Filters.parse(["arm=gold", "size=6", "replicate=2"]))
    assert {(c.stage.name, c.arm, c.size, c.replicate) for c in cells} == {("score", "gold", 6, 1)}


def test_a_recipe_without_gold_or_without_its_split_is_an_error():
    silver = tiny_recipe(
        PATHS, arm=[{"name": "silver"}], evaluate={"comparator": "silver", "against": {}}
    )
    with pytest.raises(ConfigError, match="arm named 'gold'"):
        make_plan(silver, SOURCES)
    with pytest.raises(ConfigError, match=r"corpus\.test is missing"):
        make_plan(tiny_recipe(PATHS), Fingerprints(train="a", dev="b"))


@pytest.mark.parametrize("name", packaged_recipes())
def test_every_packaged_recipe_makes_a_plan(name):
    demo = name.startswith("quickstart")
    config = load_recipe(name, changes=[] if demo else [f"corpus.{split}=x" for split in PATHS])
    plan = make_plan(config, fingerprints_of(config, corpus_paths(config)) if demo else SOURCES)
    assert {t.arm for t in plan.targets} >= {"gold", config.evaluate.candidate}


def test_a_model_folder_is_known_by_content(tmp_path):
    assert fingerprint_model("minilm") == "minilm"
    (tmp_path / "model.safetensors").write_bytes(b"a" * 10)
    first = fingerprint_model(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"a" * 9 + b"b")
    assert fingerprint_model(str(tmp_path)) != first != hash_path(tmp_path)


def test_an_arm_may_ask_for_more_text_than_the_recipe():
    arms = [*ARMS, {"name": "more", "made": ["synthetic"], "amount": 2.5}]
    changes = {"filter": {"keep_per_gold": 1.5}}
    plan = make_plan(tiny_recipe(PATHS, arm=arms, **changes), SOURCES)
    filtered = {
        t.arm: t.cell.inputs["model"].inputs["synthetic"]
        for t in plan.targets
        if t.cell.stage.name == "score" and t.arm in ("synthetic", "more") and not t.curve
    }
    assert filtered["more"].config.filters.keep_per_gold == 3.75
    candidates = filtered["more"].inputs["candidates"]
    assert candidates.config.units == 20
    assert (
        candidates.inputs["model"].key
        == filtered["synthetic"].inputs["candidates"].inputs["model"].key
    )


def test_label_descriptions_change_the_keys_of_what_is_told_of_them_alone():
    def keys(**corpus):
        plan = make_plan(tiny_recipe(PATHS, corpus=corpus), SOURCES)
        return {
            stage: {
                cell.key
                for target in plan.targets
                for cell in target.cell.walk()
                if cell.stage.name == stage
            }
            for stage in ("draw", "names", "replaced", "sft", "sample")
        }

    without, described = keys(), keys(label_descriptions={"Sign": "what is seen"})
    assert keys(label_descriptions={}) == without
    for stage in ("draw", "names", "replaced"):
        assert without[stage] == described[stage]
    for stage in ("sft", "sample"):
        assert not without[stage] & described[stage]


def test_several_students_differ_in_their_seed_alone():
    one = make_plan(tiny_recipe(PATHS), SOURCES)
    two = make_plan(tiny_recipe(PATHS, draws={"students": 2}), SOURCES)
    for before, after in zip(one.targets, two.targets, strict=True):
        if before.cell.stage.name != "score":
            assert before.cell.key == after.cell.key
            continue
        # What one student gave counts for the first of several.
        first, second = (after.cell.inputs[f"student-{i}"] for i in (1, 2))
        assert first.key == before.cell.key
        models = [cell.inputs["model"] for cell in (first, second)]
        read = [{name: cell.key for name, cell in model.inputs.items()} for model in models]
        assert read[0] == read[1] and models[0].config == models[1].config
        assert models[0].seed != models[1].seed
        assert may_discard(models[1]) and second.title.endswith("student 2")


def test_attributes_change_the_keys_of_the_students_that_learn_them_alone():
    def keys(**ner):
        arms = [*ARMS, *REWARDED]
        changes = {"steps": 3, "batch_size": 4, **ner}
        plan = make_plan(tiny_recipe(PATHS, arm=arms, ner=changes), SOURCES)
        cells = [cell for target in plan.targets for cell in target.cell.walk()]
        students = {cell.key for cell in cells if cell.stage.name == "ner"}
        others = {cell.key for cell in cells if cell.stage.name in ("committee", "sample", "rl")}
        return students, others

    without, learnt = keys(), keys(attributes=["negated"])
    assert keys(attributes=[]) == without
    assert not without[0] & learnt[0]
    assert without[1] == learnt[1]
