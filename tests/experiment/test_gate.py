"""What was sealed stays what was said to be sealed, and every opening is counted."""

import shutil
import stat
from dataclasses import replace

import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, SealError
from notesmith.experiment import preview, run_recipe, write_results
from notesmith.experiment.gate import (
    UNSEEN,
    Gate,
    read_seal,
    seal_facts,
    sealed_plan,
    sealed_recipe,
)
from notesmith.experiment.recipes import load_recipe, save_recipe
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.files.checksums import dumps_checked
from notesmith.findings import OUT_OF_DRAW
from notesmith.home import home

from .doubles import DOUBLES, tiny_recipe, write_notes

ARMS = [
    {"name": "gold"},
    {"name": "replacement", "made": ["replaced"]},
    {"name": "shuffled", "made": ["shuffled"]},
    {"name": "both", "made": ["replaced", "shuffled"]},
]
OTHER = {"ner": {"steps": 4}}
TEST_ALONE = {"draws": {"out_of_draw_documents": 0}}


def recipe(paths, **changes):
    values = {
        "arm": ARMS,
        "draws": {"curve": [], "sizes": [4]},
        "evaluate": {"against": {"both": "replacement"}, "candidate": "both", "resamples": 50},
    }
    for name, value in changes.items():
        values[name] = {**values.get(name, {}), **value} if isinstance(value, dict) else value
    return tiny_recipe(paths, **values)


@pytest.fixture
def paths(tmp_path):
    return write_notes(tmp_path)


def look(config, folder, another=""):
    """Seal and open as a run does; returns what it told."""
    said = []
    gate = Gate(folder, config, corpus_paths(config), another=another)
    gate.write_down(said.append)
    gate.open("out-of-fold" if config.evaluate.protocol == "cross-fit" else "test")
    return said


def facts(config, folder):
    return seal_facts(sealed_recipe(config, folder, corpus_paths(config)))


def run(config, out, **options):
    return run_recipe(config, out, instead=DOUBLES, cache=out / "cache", **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with its corpus and its home."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(recipe(write_notes(folder)), folder / "one")
    shutil.copytree(home(), folder / "home")
    return folder, result


@pytest.fixture
def one(finished, tmp_path, monkeypatch):
    """A copy of the finished run in a home of its own: its folder, its recipe's paths, results."""
    folder, result = finished
    shutil.copytree(folder / "one", tmp_path / "one")
    shutil.copytree(folder / "home", tmp_path / "home")
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    paths = {split: folder / f"{split}.jsonl" for split in ("train", "dev", "test")}
    return tmp_path / "one", paths, result.results


def test_a_set_that_was_opened_elsewhere_for_another_plan_is_refused_and_counted(paths, tmp_path):
    look(recipe(paths), tmp_path / "one")
    other = recipe(paths, **OTHER)
    with pytest.raises(SealError, match=r"^6 of 6 test documents and 14 of 14 out-of-draw docum"):
        look(other, tmp_path / "two")
    assert not (tmp_path / "two").exists()
    (said,) = look(other, tmp_path / "two", another="more steps")
    assert "were opened before for another plan in other run folders" in said
    found = facts(other, tmp_path / "two")
    assert (found.opened, found.elsewhere, found.repeated) == (2, 1, 0)
    assert "opened before for another plan" in found.notable[0]
    # The seal remembers why, and going on asks for no second reason.
    assert read_seal(tmp_path / "two").openings[0].reason == "more steps"
    assert look(other, tmp_path / "two") == []
    # What came later does not count against what came first.
    assert facts(recipe(paths), tmp_path / "one").opened == 1


def test_the_page_counts_what_was_opened_elsewhere(one, tmp_path):
    _, paths, _ = one
    config, only = recipe(paths, **OTHER), ["arm=gold", "replicate=1"]
    result = run(config, tmp_path / "two", only=only, another_opening="more steps")
    assert "opened before for another plan" in result.results.notices[0]
    assert "opened 2 times" in result.report.read_text()


def test_deleting_the_run_folder_does_not_reset_the_count(paths, tmp_path):
    look(recipe(paths), tmp_path / "one")
    shutil.rmtree(tmp_path / "one")
    with pytest.raises(SealError, match="--another-opening"):
        look(recipe(paths, **OTHER), tmp_path / "one")
    # Nor does deleting the seal alone.
    look(recipe(paths), tmp_path / "one")
    (tmp_path / "one" / "seal.json").unlink()
    with pytest.raises(SealError, match="--another-opening"):
        look(recipe(paths, **OTHER), tmp_path / "one")


def test_the_same_plan_again_is_a_repetition(paths, tmp_path):
    look(recipe(paths), tmp_path / "one")
    (said,) = look(recipe(paths), tmp_path / "two")
    assert "a repetition" in said
    found = facts(recipe(paths), tmp_path / "two")
    assert (found.opened, found.repeated, found.notable) == (1, 1, ())
    # It stays one when another plan came in between: nothing was chosen after that look.
    look(recipe(paths, **OTHER), tmp_path / "three", another="more steps")
    (said,) = look(recipe(paths), tmp_path / "four")
    assert "a repetition" in said
    found = facts(recipe(paths), tmp_path / "four")
    assert (found.opened, found.repeated, found.notable) == (1, 2, ())


def test_a_copy_of_a_run_is_not_another_opening(one, tmp_path):
    folder, paths, _ = one
    shutil.copytree(folder, tmp_path / "copy")
    assert look(recipe(paths), tmp_path / "copy") == []
    found = facts(recipe(paths), tmp_path / "copy")
    assert (found.opened, found.repeated) == (1, 0)


def test_a_set_is_known_by_its_documents_whatever_the_file(paths, tmp_path):
    """Another format, other ids, another order: the same set."""
    look(recipe(paths, **TEST_ALONE), tmp_path / "one")
    docs = read_corpus(paths["test"]).docs
    renamed = [replace(doc, id=f"n{i}", metadata={}) for i, doc in enumerate(docs[::-1])]
    write_corpus(renamed, tmp_path / "copy.txt", format="pubtator")
    copied = recipe({**paths, "test": tmp_path / "copy.txt"}, **TEST_ALONE)
    with pytest.raises(SealError, match=r"^6 of 6 test documents were opened before"):
        look(copied, tmp_path / "two")


def test_a_set_that_shares_a_part_is_named(paths, tmp_path):
    """One of 25 is no share worth a word, three of 27 are more than a tenth."""
    look(recipe(paths, **TEST_ALONE), tmp_path / "one")
    docs = read_corpus(paths["test"]).docs

    def sharing(n, word):
        fresh = [
            replace(doc, id=f"new-{i}", text=f"{doc.text} {word} in week {i}.")
            for i, doc in enumerate(docs * 4)
        ]
        write_corpus([*docs[:n], *fresh], tmp_path / f"{n}.jsonl")
        return recipe({**paths, "test": tmp_path / f"{n}.jsonl"}, **TEST_ALONE)

    look(sharing(1, "Seen"), tmp_path / "two")
    assert facts(sharing(1, "Seen"), tmp_path / "two").opened == 1
    with pytest.raises(SealError, match=r"^3 of 27 test documents were opened before"):
        look(sharing(3, "Back"), tmp_path / "three")


def test_more_draws_after_a_look_are_new_draws(paths, tmp_path):
    """In the same folder and in another one, and refused with the remedy."""
    look(recipe(paths), tmp_path / "one")
    for folder in ("one", "two"):
        with pytest.raises(SealError, match=r"set draws\.seed to another number"):
            look(recipe(paths, draws={"replicates": 3}), tmp_path / folder, another="not clear")
    more = recipe(paths, draws={"replicates": 3, "seed": 14})
    look(more, tmp_path / "one", another="not clear yet")
    assert facts(more, tmp_path / "one").opened == 2
    assert sealed_recipe(more, tmp_path / "one", corpus_paths(more)).replicates == {4: 3}


def test_a_refused_run_leaves_the_folder_as_it_was(one):
    folder, paths, _ = one
    files = ("seal.json", "recipe.toml", "results.json", "report.html", "models.json")
    before = {name: (folder / name).read_bytes() for name in files}
    with pytest.raises(SealError):
        run(recipe(paths, **OTHER), folder)
    assert {name: (folder / name).read_bytes() for name in files} == before


@pytest.mark.parametrize(
    ("edit", "name"),
    [
        ({"evaluate": {"candidate": "shuffled"}}, "evaluate.candidate"),
        ({"evaluate": {"against": {"both": "shuffled"}}}, "evaluate.against.both"),
        ({"evaluate": {"comparator": "replacement"}}, "evaluate.comparator"),
        ({"evaluate": {"confidence": 0.6}}, "evaluate.confidence"),
        ({"draws": {"replicates": 1}}, "draws.replicates"),
        ({"arm": [arm for arm in ARMS if arm["name"] != "shuffled"]}, "arm.shuffled"),
    ],
)
def test_what_was_edited_after_sealing_is_not_called_named_before(one, edit, name):
    folder, paths, before = one
    save_recipe(recipe(paths, **edit), folder)
    found = write_results(folder).results
    assert found.seal.changed == (name,)
    assert f"edited after it was sealed ({name})" in found.notices[0]
    # Everything else is as it was sealed.
    parts = ("candidate", "comparator", "confidence", "arms", "comparisons", "verdict", "config")
    for part in parts:
        assert getattr(found, part) == getattr(before, part)


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "a list"])
def test_a_damaged_seal_is_one_line_that_names_it(one, damage):
    folder, paths, _ = one
    path = folder / "seal.json"
    text = path.read_text()
    changed = text.replace('"candidate": "both"', '"candidate": "gold"')
    damaged = {"cut": text[:-9], "changed": changed, "emptied": "", "a list": "[]"}
    path.write_text(damaged[damage])
    for read in (lambda: write_results(folder), lambda: run(recipe(paths), folder)):
        with pytest.raises(SealError, match=r"seal\.json: the seal.*; restore it from a backup"):
            read()


def test_what_says_nothing_of_scores_may_be_edited(one):
    folder, paths, _ = one
    save_recipe(recipe(paths, name="other", evaluate={"minutes_per_note": 7}), folder)
    found = write_results(folder).results
    assert found.seal.changed == () == found.seal.notable
    assert (found.recipe, found.minutes_per_note) == ("other", 7)


def test_the_seal_holds_the_candidate_that_the_recipe_leaves_to_the_rule(paths, tmp_path):
    unnamed = recipe(paths, evaluate={"candidate": ""})
    look(unnamed, tmp_path / "one")
    assert read_seal(tmp_path / "one").plan.recipe["evaluate"]["candidate"] == "both"
    # To name it is no change. The rule would find another arm, had one more made sources.
    assert facts(recipe(paths), tmp_path / "one").changed == ()
    more = {"name": "more", "made": ["replaced", "shuffled", "lwtr"]}
    edited = recipe(paths, arm=[*ARMS, more], evaluate={"candidate": ""})
    found = sealed_recipe(edited, tmp_path / "one", corpus_paths(edited))
    assert found.config.evaluate.candidate == "both"
    assert found.changed == ("arm.more", "evaluate.candidate")


def test_a_part_of_a_plan_does_not_rename_its_candidate(paths, tmp_path):
    for named in ("both", ""):
        config = recipe(paths, evaluate={"candidate": named})
        result = run(config, tmp_path / "one", only=["arm=gold,replacement", "replicate=1"])
        assert result.results.candidate == "both" and result.report.exists()
        assert result.results.verdict.recommendation == "unfinished"
        said = " ".join(result.results.verdict.sentences)
        assert "both, which" in said and "is not scored" in said
        assert result.results.seal.opened == 1


def test_labels_beyond_a_draw_are_opened_through_the_seal(paths, tmp_path):
    config = recipe(paths)
    gate = Gate(tmp_path, config, corpus_paths(config))
    with pytest.raises(SealError, match="is sealed"):
        gate.open(OUT_OF_DRAW)
    gate.write_down(str)
    assert not read_seal(tmp_path).is_open
    assert gate.open(OUT_OF_DRAW) == paths["train"]
    assert read_seal(tmp_path).is_open
    assert len(list((home() / "openings").glob("*.json"))) == 1
    dev = recipe(paths, evaluate={"split": "dev"})
    with pytest.raises(SealError, match="is sealed"):
        Gate(tmp_path / "dev", dev, corpus_paths(dev)).open(OUT_OF_DRAW)


def test_they_count_where_another_test_set_stands_beside_them(paths, tmp_path):
    """Cross-fit of the documents whose labels a run has seen as those beyond its draws."""
    look(recipe(paths), tmp_path / "one")
    folds = {"protocol": "cross-fit", "folds": 3, "against": {}}
    config = recipe({"train": paths["train"]}, draws={"sizes": [14]}, evaluate=folds)
    with pytest.raises(SealError, match=r"^14 of 14 train documents were opened before"):
        look(config, tmp_path / "two")
    look(config, tmp_path / "two", another="a second protocol")
    assert facts(config, tmp_path / "two").opened == 2


def test_choices_on_dev_and_previews_open_nothing(paths, tmp_path):
    alone = {"against": {}, "candidate": ""}
    run(recipe(paths, arm=ARMS[:1], evaluate={**alone, "split": "dev"}), tmp_path / "dev")
    without_dev = {split: path for split, path in paths.items() if split != "dev"}
    folds = {**alone, "protocol": "cross-fit"}
    for name, given, evaluate in (
        ("a", paths, alone),
        ("b", without_dev, alone),
        ("c", {"train": paths["train"]}, folds),
    ):
        config = recipe(given, arm=ARMS[:1], draws={"sizes": [14]}, evaluate=evaluate)
        shown = run(preview(config), tmp_path / name, is_preview=True)
        assert shown.n_left == 0 and not (shown.results.seal and shown.results.seal.notable)
        run(config, tmp_path / f"{name}-whole", only=["stage=draw"])
    assert not list((home() / "openings").glob("*.json"))


def test_the_packaged_notes_are_for_trying_out(tmp_path):
    """Whoever runs the quickstart twice, or another recipe on its notes, looks at nothing new."""
    demo = {split: f"demo:{split}" for split in ("train", "dev", "test")}
    for name, steps in (("one", 3), ("two", 4)):
        config = recipe(demo, ner={"steps": steps})
        assert look(config, tmp_path / name) == []
        found = facts(config, tmp_path / name)
        assert (found.opened, found.repeated, found.notable) == (1, 0, ())
    assert not (home() / "openings").exists()


def test_a_run_of_another_machine_is_said_to_be_uncounted(one, tmp_path, monkeypatch):
    folder, paths, _ = one
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "elsewhere"))
    found = facts(recipe(paths), folder)
    (said,) = found.notable
    assert said.startswith("The register of this home does not know of this run")
    assert found.unseen == UNSEEN
    assert not (tmp_path / "elsewhere").exists()


def test_a_seal_from_before_a_field_stays_valid(one, monkeypatch, tmp_path):
    folder, paths, _ = one
    seal = read_seal(folder)
    del seal.plan.recipe["draws"]["students"], seal.plan.recipe["ner"]["clip_norm"]
    older = replace(seal, openings=(replace(seal.openings[0], plan_hash=seal.plan.hash),))
    (folder / "seal.json").write_text(dumps_checked(older.to_json()))
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "elsewhere"))
    assert facts(recipe(paths), folder).changed == ()
    assert look(recipe(paths), folder) == []
    with pytest.raises(SealError, match=r"differs in draws\.students"):
        look(recipe(paths, draws={"students": 2}), folder)


def test_a_test_document_in_train_is_left_out_and_told(paths, tmp_path):
    docs = read_corpus(paths["train"]).docs
    again = replace(docs[3], metadata={})
    write_corpus([*read_corpus(paths["test"]).docs, again], paths["test"])
    assert look(recipe(paths), tmp_path / "one") == [
        "1 document of train is left out, as its text stands in dev or test too."
    ]


def test_notes_that_a_model_chose_are_not_scored_or_that_is_told(paths, tmp_path):
    docs = [
        replace(doc, metadata={**doc.metadata, "queued": "chosen"})
        for doc in read_corpus(paths["train"]).docs[:2]
    ]
    more = [
        replace(
            doc, id=f"q{i}", text=f"{doc.text} Anew.", metadata=doc.metadata | {"patient": f"q{i}"}
        )
        for i, doc in enumerate(docs)
    ]
    write_corpus([*read_corpus(paths["test"]).docs, *more], paths["test"])
    assert look(recipe(paths), tmp_path / "one") == [
        "2 documents of test are left out, as a model chose them for labelling: chosen notes are "
        "not scored."
    ]
    write_corpus([*docs, *read_corpus(paths["train"]).docs[2:]], paths["train"])
    folds = {"protocol": "cross-fit", "folds": 3, "against": {}}
    config = recipe({"train": paths["train"]}, draws={"sizes": [14]}, evaluate=folds)
    assert look(config, tmp_path / "two", another="a second protocol")[0] == (
        "2 documents of train were chosen by a model for labelling, and cross-fit scores all of "
        "train: the score is that of notes harder than most."
    )


def test_what_the_gate_writes_is_private(paths, tmp_path):
    look(recipe(paths), tmp_path / "one")
    found = [*home().rglob("*"), *(tmp_path / "one").rglob("*")]
    modes = {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in found}
    assert modes == {(True, 0o700), (False, 0o600)}


def test_the_recipe_in_the_seal_is_the_recipe(one):
    """All values but where things are and what touches no score."""
    folder, _, _ = one
    sealed = read_seal(folder).plan.recipe
    saved = load_recipe(str(folder / "recipe.toml"))
    assert set(saved.model_dump()) - set(sealed) == {"name", "hub"}
    assert set(saved.corpus.model_dump()) - set(sealed["corpus"]) == {
        "train",
        "dev",
        "test",
        "tasks",
        "unlabelled",
    }
    missing = set(saved.evaluate.model_dump()) - set(sealed["evaluate"])
    assert missing == {"folds", "minutes_per_note"}


def test_other_notes_without_labels_are_another_plan(paths, tmp_path):
    notes = tmp_path / "notes.jsonl"
    config = recipe({**paths, "unlabelled": notes})
    plans = []
    for text in ("No complaints.", "No complaints at all."):
        write_corpus([Document("a", text)], notes)
        plans.append(sealed_plan(config, corpus_paths(config)))
    assert plans[0] != plans[1]
    elsewhere = notes.rename(tmp_path / "moved.jsonl")
    config = recipe({**paths, "unlabelled": elsewhere})
    assert sealed_plan(config, corpus_paths(config)) == plans[1]


def test_a_file_of_texts_is_told_by_its_content(paths, tmp_path):
    """Labels may stand without their texts: other texts are other documents."""
    tasks = tmp_path / "tasks.json"
    config = recipe(paths, corpus={"tasks": str(tasks)})
    with pytest.raises(ConfigError, match="nothing is there"):
        fingerprints_of(config, corpus_paths(config))
    found = []
    for content in ("[]", "[1]"):
        tasks.write_text(content)
        fingerprints = fingerprints_of(config, corpus_paths(config))
        found.append((fingerprints.train, sealed_plan(config, corpus_paths(config)).hash))
    assert all(one != other for one, other in zip(*found, strict=True))
