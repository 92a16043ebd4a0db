from notesmith.report.settings import arm_of, ner_changes, rl_of, tables_of

from .conftest import read


def test_the_rewards_of_an_arm_are_the_recipes_with_its_changes(results):
    arm = next(a for a in results["config"]["arm"] if a["name"] == "synthetic")
    assert rl_of(read(results).config, "synthetic") is None
    arm["rl"] = {"steps": 7}
    config = read(results).config
    found = rl_of(config, "synthetic")
    assert found.steps == 7
    assert found.kl == config.rl.kl
    assert rl_of(config, "no such arm") is None


def test_what_an_arm_changes_in_its_student(results):
    arm = next(a for a in results["config"]["arm"] if a["name"] == "synthetic")
    arm["ner"] = {"steps": 9}
    config = read(results).config
    assert ner_changes(config, arm_of(config, "synthetic")) == [("steps", "9")]
    assert ner_changes(config, arm_of(config, "gold")) == []


def test_the_recipe_in_rows(example):
    tables = dict(tables_of(example.config))
    assert tables["recipe"] == [("name", "example"), ("hub", "no")]
    assert ("integration.how", "mix-then-gold") in tables["ner"]
    assert ("made", "synthetic, replaced") in tables["arm synthetic+replaced"]
    # What is not set has no row.
    assert "keep_per_gold" not in dict(tables["filter"])
