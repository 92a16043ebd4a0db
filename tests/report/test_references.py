import re
from pathlib import Path

import pytest

from notesmith.report.references import known_entries, references_of

from .conftest import learnt, read, with_adapted

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
ALWAYS = {"notesmith", "nakayama2018seqeval", "gallifant2025tripodllm"}


def keys(results, **options):
    return set(references_of(read(results), **options).entries)


def unknown(results):
    return references_of(read(results)).unknown


def test_every_entry_is_whole():
    text = (ROOT / "src/notesmith/report/templates/references.bib").read_text("utf-8")
    assert len(known_entries()) == text.count("\n@") + 1
    for key, entry in known_entries().items():
        assert entry.count("{") == entry.count("}"), key
        assert {"title", "author"} <= set(re.findall(r"^  (\w+) +=", entry, re.MULTILINE)), key


def test_notesmith_is_cited_as_its_citation_file_says(example):
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    entry = references_of(example).entries["notesmith"]
    (author,) = said["authors"]
    for value in (said["title"], author["name"], said["version"], said["license"]):
        assert f"{{{value}}}" in entry
    # Whoever gives the file a DOI or an address gives one to the entry.
    assert not {"doi", "url", "repository-code", "identifiers"} & set(said)


def test_the_example_cites_what_it_used_and_nothing_else(results):
    assert keys(results) == ALWAYS | {
        "cao2026synthetic",
        "gemma2025",
        "wang2020minilm",
        "reimers2019sbert",
        "wolf2020transformers",
        "dai2020augmentation",
        "holm1979",
    }


def test_adaptation_is_cited_where_it_was_done(results):
    assert "gururangan2020dont" not in keys(results)
    assert "gururangan2020dont" in keys(with_adapted(results))


def test_without_a_language_model_none_is_cited(results):
    results["stages"] = [s for s in results["stages"] if s["stage"] == "ner"]
    results["comparisons"] = results["comparisons"][:1]
    results["arms"] = [arm for arm in results["arms"] if arm["name"] in ("gold", "synthetic")]
    assert keys(results) == ALWAYS | {"wolf2020transformers", "wang2020minilm", "reimers2019sbert"}


@pytest.mark.parametrize(
    ("method", "changes", "cited"),
    [
        ("grpo", {}, {"shao2024grpo"}),
        ("dpo", {}, {"rafailov2023dpo"}),
        ("best-of-n", {"lora_rank": 4}, {"hu2022lora", "peft2022"}),
        ("grpo", {"rollouts": "vllm"}, {"shao2024grpo", "kwon2023vllm"}),
    ],
)
def test_rewards_bring_their_methods(results, method, changes, cited):
    before = keys(results)
    arm = next(a for a in results["config"]["arm"] if a["name"] == "synthetic")
    arm["rl"] = {"method": method, **changes}
    results["rl"] = [learnt(arm="synthetic", method=method)]
    assert keys(results) - before == cited


def test_fine_tuned_adapters_are_cited(results):
    results["config"]["sft"]["lora_rank"] = 16
    assert {"hu2022lora", "peft2022"} <= keys(results)


@pytest.mark.parametrize(
    ("recipe", "train", "source", "cited"),
    [
        ("NCBI Disease", "train.txt", "", "dogan2014ncbi"),
        ("ours", "NCBItrainset_corpus.txt", "", "dogan2014ncbi"),
        ("ours", "CDR_TrainingSet.PubTator.txt", "", "li2016bc5cdr"),
        ("BC5CDR (preview)", "train", "", "li2016bc5cdr"),
        ("ours", "MACCROBAT2020", "", "caufield2020maccrobat"),
        ("ours", "notes", "NCBI Disease, 2014", "dogan2014ncbi"),
        # What the users say goes before what names say.
        ("NCBI Disease", "NCBItrainset_corpus.txt", "our notes", None),
        ("ours", "notes", "", None),
    ],
)
def test_known_corpora(results, recipe, train, source, cited):
    results["recipe"] = recipe
    results["config"]["corpus"]["train"] = train
    found = keys(results, source=source) & {
        "dogan2014ncbi",
        "li2016bc5cdr",
        "caufield2020maccrobat",
    }
    assert found == ({cited} if cited else set())


@pytest.mark.parametrize(
    ("encoder", "cited"),
    [
        ("biobert", "lee2020biobert"),
        ("biomedbert", "gu2021domain"),
        ("thomas-sounack/BioClinical-ModernBERT-base", "sounack2025bioclinical"),
    ],
)
def test_encoders(results, encoder, cited):
    results["encoder"]["name"] = encoder
    assert cited in keys(results)
    assert "wang2020minilm" not in keys(results)


def test_what_is_not_known_is_left_to_the_authors(results):
    assert unknown(results) == ("the corpus",)
    results["lm"]["name"] = "llama3.2-1b"
    results["encoder"]["name"] = "our-encoder"
    assert unknown(results) == (
        "the corpus",
        "the encoder our-encoder",
        "the language model llama3.2-1b",
    )
    results["config"]["corpus"]["train"] = "demo:train"
    assert "the corpus" not in unknown(results)


def test_a_hostile_version_stays_out(results):
    results["versions"]["notesmith"] = "1}, evil = {x"
    assert "evil" not in references_of(read(results)).bibtex()
