import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.errors import ConfigError
from notesmith.lm.presets import OFFLINE_DEFAULT
from notesmith.report.card import CardFacts, dataset_card, model_card, to_yaml

from .conftest import read, with_adapted, with_attributes, with_votes

yaml = pytest.importorskip("yaml")


def _metadata(card):
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


def test_dataset_card(example):
    card = dataset_card(example, CardFacts(source="NCBI Disease", language="en"))
    metadata = _metadata(card)
    assert metadata["task_categories"] == ["token-classification"]
    assert "synthetic" in metadata["tags"]
    assert metadata["license"] == "other"
    assert metadata["license_link"] == "https://ai.google.dev/gemma/terms"
    assert metadata["language"] == ["en"]
    assert metadata["size_categories"] == ["10K<n<100K"]
    for said in (
        "**Not tested.**",
        "Not for clinical use",
        "Barred:",
        "https://ai.google.dev/gemma/terms",
        "| Asked | 1,500 | 1,500 | 1,500 |",
        "Source documents: NCBI Disease.",
        "Disease, Medication.",
    ):
        assert said in card


def test_a_free_model_is_named_with_its_licence(results):
    results["lm"] |= {"name": OFFLINE_DEFAULT, "licence": "apache-2.0", "terms": None}
    card = dataset_card(read(results), CardFacts())
    assert (
        "- Language model: smollm2-135m-offline, SmolLM2 135M (tuned to instructions; 4-bit "
        "weights from the Python package index, dequantised), licence apache-2.0, tuned on"
    ) in card
    assert "- Language model smollm2-135m-offline: apache-2.0." in card
    assert "license_link" not in _metadata(card)
    assert "gemma" not in card.lower()


def test_model_card(example):
    card = model_card(example, CardFacts(licence="cc-by-4.0"))
    metadata = _metadata(card)
    (entry,) = metadata["model-index"]
    (result,) = entry["results"]
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["pipeline_tag"] == "token-classification"
    assert result["task"]["type"] == "token-classification"
    f1 = example.arm("synthetic+replaced", 50).decided.f1.mean
    assert result["metrics"][0]["value"] == pytest.approx(f1 / 100, abs=1e-4)
    assert "**Not tested.**" in card
    assert "+5.4 F1" in card


def test_model_card_of_a_vote(results):
    card = model_card(read(with_votes(results)), CardFacts(), arm="gold, votes")
    assert "It is a vote of 5 students that differ in their seed" in card
    assert "each of its students loads with transformers" in card


def test_model_card_of_an_adapted_encoder_says_what_it_read(results):
    found = read(with_adapted(results))
    card = model_card(found, CardFacts(), arm="synthetic+replaced")
    assert (
        '- Before students learnt from labels, the encoder of arm "synthetic+replaced" was trained '
        "as a masked language model on 300 notes without labels and the texts of 50 gold "
        "documents: 180,000 word pieces, each counted as often as it was seen. Its loss on 17 "
        "held-out texts was 4.100 nats before and 2.250 after (means over 2 encoders)."
    ) in card
    assert "parts of which it may know by heart" in card
    plain = model_card(found, CardFacts(), arm="gold")
    assert "masked language model" not in plain and "parts of which" not in plain


def test_one_note_that_an_adapted_encoder_read_is_one(results):
    with_adapted(results)
    for row in results["adapted"]:
        row |= {"notes": 1, "file": 1, "held_out": 1}
    card = model_card(read(results), CardFacts(), arm="synthetic+replaced")
    assert "on 1 note without labels, the texts of 50 gold documents and 1 further note:" in card
    assert "Its loss on 1 held-out text was" in card


def test_model_card_names_made_sources(example):
    card = model_card(example, CardFacts(), arm="synthetic+replaced")
    assert "made text (synthetic, replaced)" in card


def test_model_card_gives_scores_of_attributes(example, results):
    assert "Attributes, end to end" not in model_card(example, CardFacts())
    with_attributes(results)
    card = model_card(read(results), CardFacts())
    assert "| negated | 44 | 70.0 | 60.0 | 64.6 | 84.7 |" in card


def test_gold_alone_carries_no_terms_of_the_language_model(example):
    card = model_card(example, CardFacts(), arm="gold")
    assert "synthetic" not in _metadata(card)["tags"]
    assert "comes under the terms" not in card


def test_no_terms_no_sentence(results):
    results["lm"]["terms"] = None
    card = dataset_card(read(results), CardFacts())
    assert "comes under the terms" not in card


def test_hostile_names(results):
    name = "x\n---\n# `[a](javascript:1)` <script> |: - 'no'"
    results["recipe"] = name
    results["labels"] = [name]
    card = dataset_card(read(results), CardFacts(source=name))
    assert _metadata(card)["pretty_name"].startswith("x\n---\n#")
    assert "<script>" not in card.split("---\n", 2)[2]
    assert "[a](" not in card.split("---\n", 2)[2].replace("\\[a\\](", "")


def test_errors(example, results):
    results["made"] = []
    with pytest.raises(ConfigError, match="made no text"):
        dataset_card(read(results), CardFacts())
    with pytest.raises(ConfigError, match="no arm 'x' at 50"):
        model_card(example, CardFacts(), arm="x")
    with pytest.raises(ConfigError, match="language"):
        model_card(example, CardFacts(language="English"))
    with pytest.raises(ConfigError, match="licence"):
        model_card(example, CardFacts(licence="Free: really"))


@pytest.mark.parametrize("word", ["no", "null", "a: b", "- x", "é", "1", "it's", ""])
def test_yaml_round_trip(word):
    value = {"a": word, "b": [word, {"c": word, "d": [word]}], "e": {"f": 1.5, "g": False}}
    assert yaml.safe_load(to_yaml(value)) == value


def test_the_commands_write_readmes(example, tmp_path):
    example.write(tmp_path)
    for kind in ("dataset", "model"):
        done = CliRunner().invoke(app, ["card", kind, str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert (tmp_path / "cards" / kind / "README.md").read_text("utf-8").startswith("---\n")


def test_the_command_without_results(tmp_path):
    done = CliRunner().invoke(app, ["card", "model", str(tmp_path)])
    assert done.exit_code == 1
    assert "no results.json" in str(done.exception)


def test_label_descriptions_stand_under_the_labels(results):
    assert "a named\\_thing" not in dataset_card(read(results), CardFacts())
    results["config"]["corpus"]["label_descriptions"] = {"Disease": "a named_thing"}
    card = dataset_card(read(results), CardFacts())
    assert "\n\n- Disease: a named\\_thing\n\nEvery record" in card
