import json
import time
from pathlib import Path

import pytest

from notesmith.config import ArmConfig
from notesmith.errors import ConfigError
from notesmith.experiment.models import needs_lm
from notesmith.experiment.packaged import packaged_recipes
from notesmith.experiment.recipes import (
    Filters,
    check_arms,
    corpus_path,
    load_recipe,
    preview,
    save_recipe,
)
from notesmith.lm.presets import OFFLINE_DEFAULT, OFFLINE_GEMMA, PRESETS

LONG = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
ALL_ARMS = next(str(path) for path in LONG if path.stem == "ncbi-disease-arms")
SETS = ["corpus.train=/data/train.txt", "corpus.dev=/data/dev", "corpus.test=/data/test"]


def test_packaged_recipes_have_names_and_a_line_each():
    found = packaged_recipes()
    assert list(found) == [
        "bc5cdr",
        "bc5cdr-rl",
        "maccrobat",
        "ncbi-disease",
        "ncbi-disease-rl",
        "quickstart",
        "quickstart-rl",
    ]
    assert all(found.values())


def test_values_are_toml_or_strings():
    config = load_recipe(
        "ncbi-disease",
        changes=[*SETS, "draws.sizes=[25, 50]", "ner.learning_rate=1e-4", "corpus.kind=case"],
    )
    assert config.corpus.train == "/data/train.txt"
    assert config.draws.sizes == (25, 50)
    assert config.ner.learning_rate == 1e-4
    assert config.corpus.kind == "case"


def test_a_preset_brings_its_learning_rate_unless_the_recipe_names_one(tmp_path: Path):
    def rate(*changes: str) -> float:
        return load_recipe("ncbi-disease", changes=[*SETS, *changes]).sft.learning_rate

    free = f"lm.model={OFFLINE_DEFAULT}"
    assert rate() == rate("lm.model=/models/own") == 5e-5
    assert load_recipe("quickstart").sft.learning_rate == 2e-4
    assert rate(free) == 2e-4
    assert rate(free, "sft.learning_rate=1e-5") == 1e-5
    assert rate(free, "sft.lora_rank=8") == 5e-5
    saved = save_recipe(load_recipe("ncbi-disease", changes=[*SETS, free]), tmp_path)
    assert load_recipe(str(saved)).sft.learning_rate == 2e-4


# Recipes that were written when the free model had become the default.
SINCE = (
    "annotate-screen",
    "annotate-questions",
    "which-system",
    "ncbi-disease-notes",
    "bc5cdr-notes",
    "maccrobat-notes",
)


def test_only_recipes_of_archived_figures_name_a_model_under_terms():
    assert PRESETS[OFFLINE_DEFAULT].terms is None
    for name in (*packaged_recipes(), *map(str, LONG)):
        demonstrates = name.startswith("quickstart")
        config = load_recipe(name, changes=[] if demonstrates else SETS)
        is_free = demonstrates or Path(name).stem in SINCE or not needs_lm(config)
        assert config.lm.model == (OFFLINE_DEFAULT if is_free else OFFLINE_GEMMA)


def test_arms_are_changed_by_name():
    changes = [*SETS, "arm.token replacement.ner.steps=900", "arm.gold.ner.batch_size=8"]
    config = load_recipe(ALL_ARMS, changes=changes)
    students = {arm.name: arm.ner for arm in config.arm}
    assert students["token replacement"].steps == 900
    assert students["gold"].batch_size == 8
    assert students["replacement"].batch_size == config.ner.batch_size


def test_arms_can_be_chosen():
    config = load_recipe("bc5cdr", changes=SETS, arms=["gold", "replacement"])
    assert [arm.name for arm in config.arm] == ["gold", "replacement"]
    assert config.evaluate.against == {} and config.evaluate.candidate == ""


def test_an_arm_with_a_comma_in_its_name_can_be_chosen():
    cut = ["gold", "replacement", "proposed names", "replacement"]
    config = load_recipe(ALL_ARMS, changes=SETS, arms=cut)
    assert {arm.name for arm in config.arm} == {
        *("gold", "replacement", "replacement, proposed names")
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], r"lacks corpus\.train: give it with --set corpus\.train=VALUE"),
        ([*SETS, "draws.sizes=[0]"], r"draws\.sizes\.0: Input should be greater than 0"),
        ([*SETS, "draws.colour=1"], r"draws\.colour: Extra inputs are not permitted"),
        ([*SETS, "draws"], r"--set 'draws': write it as a\.b=VALUE"),
        ([*SETS, "name.x=1"], "'name' is a value, not a table"),
        ([*SETS, "arm.gold=1"], r"arm\.NAME\.FIELD"),
        ([*SETS, "arm.silver.ner.steps=1"], "no arm 'silver'; the recipe has gold"),
        ([*SETS, "arm.gold.ner.steps=-1"], "steps"),
        ([*SETS, "evaluate.comparator=silver"], "unknown arms"),
    ],
)
def test_wrong_values_are_one_clear_line(changes, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_recipe("ncbi-disease", changes=changes)
    assert "\n" not in str(caught.value)


def test_unknown_and_broken_recipes(tmp_path):
    with pytest.raises(ConfigError, match="neither a file nor one of bc5cdr"):
        load_recipe("nonesuch")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_recipe(str(broken))


def test_a_saved_recipe_reads_back_equal(tmp_path):
    config = load_recipe("ncbi-disease", changes=SETS)
    assert load_recipe(str(save_recipe(config, tmp_path))) == config


@pytest.mark.parametrize("name", ["bc5cdr", "maccrobat", "ncbi-disease", "quickstart"])
def test_recipes_spend_their_time_on_draws_and_not_on_arms(name):
    """Three arms: gold, the rival that costs nothing, and the one that the verdict is about."""
    config = load_recipe(name, changes=SETS)
    assert [arm.name for arm in config.arm] == ["gold", "replacement", "synthetic + replacement"]
    assert config.evaluate.candidate == "synthetic + replacement"
    assert config.draws.replicates >= (1 if name == "quickstart" else 5)


@pytest.mark.parametrize("name", [*packaged_recipes(), *map(str, LONG)])
def test_previews_keep_every_arm(name):
    config = load_recipe(name, changes=SETS)
    small = preview(config)
    assert [arm.name for arm in small.arm] == [arm.name for arm in config.arm]
    assert small.draws.sizes == (8,) and small.draws.replicates == 1
    assert small.evaluate.split == "dev"


def test_corpus_paths_of_the_demo_and_missing_ones():
    assert corpus_path("demo:train").is_dir()
    with pytest.raises(ConfigError, match="nothing is there"):
        corpus_path("/no/such/corpus")


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ({"made": ["synthetic"], "tuned": False, "best_of": 2}, "not tuned, so it can have no"),
        ({"made": ["synthetic"], "tuned": False, "rl": {}}, "not tuned, so it can have no"),
        ({"made": ["replaced"], "rl": {}}, "trains on no text of a generator"),
        ({"tuned": False}, "trains on no text of a generator"),
        ({"made": ["bronze"]}, "arm 'x' is made of 'bronze'; there are replaced, replaced-prop"),
    ],
)
def test_an_arm_has_one_generator_and_uses_it(arm, message):
    config = load_recipe("quickstart")
    with pytest.raises(ValueError, match=message):
        check_arms(config.model_copy(update={"arm": (ArmConfig(name="x", **arm),)}))


def test_parts_of_a_run_are_named_by_field():
    found = Filters.parse(["arm=gold, both", "arm=replacement, proposed names", "replicate=2"])
    assert found.arm >= {"gold", "both", "replacement, proposed names"}
    assert found.replicate == {"2"} and not found.stage
    for wrong in ("arm", "arm=", "colour=red"):
        with pytest.raises(ConfigError, match="--only"):
            Filters.parse([wrong])


@pytest.mark.parametrize("said", ["", " ", "two\nlines", "x" * 201])
def test_a_label_description_is_one_line(said):
    with pytest.raises(ConfigError, match="'Sign' must be one line"):
        load_recipe("quickstart", changes=[f"corpus.label_descriptions.Sign={json.dumps(said)}"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 5000 + "]" * 5000, "nested deeper than any recipe"),
        ("a = " + "{a = " * 3000 + "1" + "}" * 3000, "nested deeper than any recipe"),
        ("a = " + "[" * 50 + "]" * 50, "nested deeper than any recipe"),
        (".".join(["a"] * 100_000) + " = 1", "nested deeper than any recipe"),
        ("[" + ".".join(['"a"'] * 100_000) + "]", "nested deeper than any recipe"),
        ("#" * (2 << 20), "larger than 1 MiB"),
        ("a = " + "9" * 5000, "is not TOML: Exceeds the limit"),
        ("a = '\0'", "is not TOML: Found invalid character"),
    ],
)
def test_what_no_recipe_looks_like_is_one_quick_line(tmp_path, text, said):
    (tmp_path / "r.toml").write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError, match=said) as error:
        load_recipe(str(tmp_path / "r.toml"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 400
    assert time.monotonic() - began < 3


def test_a_change_that_is_nested_too_deep_is_a_string():
    with pytest.raises(ConfigError, match=r"draws.replicates: Input should be a valid integer"):
        load_recipe("quickstart", changes=["draws.replicates=" + "[" * 5000 + "]" * 5000])
