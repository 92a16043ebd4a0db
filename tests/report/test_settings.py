from notesmith.report.settings import read_settings


def test_whole_tables_are_read(results):
    found = read_settings(results["config"])
    assert found.sft.replaced_copies == 2
    assert found.draws.curve == (200,)
    assert set(found.arms) == {arm["name"] for arm in results["config"]["arm"]}


def test_a_table_that_lacks_a_value_is_not_known(results):
    del results["config"]["sample"]["top_k"]
    # Values that are None are left out of a recipe that is written down.
    assert "keep_per_gold" not in results["config"]["filter"]
    found = read_settings(results["config"])
    assert found.sample is None
    assert found.filter.keep_per_gold is None


def test_malformed_tables_are_not_known(results):
    results["config"] |= {"sft": "x", "rl": {**results["config"]["rl"], "steps": -1}, "arm": 3}
    found = read_settings(results["config"])
    assert (found.sft, found.rl, found.arms) == (None, None, {})


def test_keys_that_are_not_known_are_left_out(results):
    results["config"]["sft"]["prompt"] = "Quillfeather"
    assert "Quillfeather" not in str(read_settings(results["config"]))


def test_the_rewards_of_an_arm_are_the_recipes_with_its_changes(results):
    arm = next(a for a in results["config"]["arm"] if a["name"] == "synthetic")
    assert read_settings(results["config"]).rl_of("synthetic") is None
    arm["rl"] = {"steps": 7}
    found = read_settings(results["config"])
    assert found.rl_of("synthetic").steps == 7
    assert found.rl_of("synthetic").kl == results["config"]["rl"]["kl"]
    assert found.rl_of("no such arm") is None
