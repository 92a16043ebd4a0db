import json

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import read_corpus, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError
from notesmith.experiment.recipes import load_recipe
from notesmith.experiment.run import run_recipe
from notesmith.forecast.resources import Resources
from notesmith.init.write import init_recipe
from tests.experiment.doubles import DOUBLES, note, write_notes

GIB = 2**30
MACHINE = Resources(cores=2, threads=2, memory=24 * GIB, free=20 * GIB)
CARD = Resources(cores=2, threads=2, memory=1, free=1, gpu="a card", gpu_memory=80 * GIB)


def begin(corpus, out, **options):
    return init_recipe(corpus, out, **{"machine": MACHINE, **options})


@pytest.fixture
def export(tmp_path):
    """Twenty notes of ten patients in one file."""
    write_corpus([note("train", i) for i in range(20)], tmp_path / "export.jsonl")
    return tmp_path / "export.jsonl"


def test_one_file_becomes_a_recipe_that_runs(export, tmp_path):
    begun = begin(export, tmp_path / "recipe.toml", hours=0.5)
    assert begun.n_documents == {"train": 12, "test": 8}
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert config == begun.composed.config
    assert [arm.name for arm in config.arm] == [
        "gold",
        "replacement",
        "synthetic + replacement",
    ]
    assert config.draws.sizes == (9,) and config.draws.curve == (4, 12)
    assert config.name == "export" and config.corpus.kind == ""
    quick = ["draws.replicates=2", "evaluate.resamples=200"]
    config = load_recipe(str(tmp_path / "recipe.toml"), changes=quick)
    result = run_recipe(config, tmp_path / "run", instead=DOUBLES)
    assert result.n_left == 0
    assert list(result.results.varied) == ["gold draw", "generator seed", "student seed"]


def test_notes_without_labels_are_learnt_from_by_an_arm(export, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    for i in range(4):
        (notes / f"{i}.txt").write_text(f"A note that nobody labelled, number {i}.")
    (notes / "again.txt").write_text(note("train", 0).text)
    begun = begin(export, tmp_path / "recipe.toml", unlabelled=notes, hours=0.5)
    assert begun.n_unlabelled == 4
    assert begun.counts["notes left out, as they repeat a labelled document"] == 1
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert config == begun.composed.config and config.corpus.unlabelled == str(notes)
    assert [(arm.name, arm.made, arm.votes) for arm in config.arm] == [
        ("gold", (), 1),
        ("gold, votes", (), 5),
        ("replacement", ("replaced",), 1),
        ("silver, soft", ("silver",), 1),
    ]
    assert config.evaluate.candidate == "silver, soft" and begun.composed.seconds
    assert "[lm]" not in begun.composed.text
    assert "\n# adapted = true\n" in begun.composed.text
    said = {each.system: each.words for each in begun.advice}
    assert said["annotate"].startswith("annotate: yes. 4 notes without labels stand beside 20")


def test_notes_that_all_repeat_labelled_ones_are_refused(export, tmp_path):
    with pytest.raises(CorpusError, match="no note is left that repeats no labelled document"):
        begin(export, tmp_path / "recipe.toml", unlabelled=export)
    assert not (tmp_path / "recipe.toml").exists()


def test_parts_keep_patients_together_and_are_private(export, tmp_path):
    begun = begin(export, tmp_path / "recipe.toml")
    parts = {s: read_corpus(begun.notes / f"{s}.jsonl").docs for s in ("train", "test")}
    patients = [{doc.metadata["patient"] for doc in docs} for docs in parts.values()]
    assert not patients[0] & patients[1] and sum(map(len, parts.values())) == 20
    for path in (begun.recipe, *begun.notes.iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600


def test_every_choice_says_why(export, tmp_path):
    begin(export, tmp_path / "recipe.toml", hours=0.5)
    lines = (tmp_path / "recipe.toml").read_text().splitlines()
    text = " ".join(line.removeprefix("# ") for line in lines)
    assert "20 documents" in text and "10 patients are named" in text and "2 labels: Sign" in text
    assert "divided by patient (seed 13)" in text and "cross-fit" in text
    assert (
        "no terms of use on what it writes" in text and "Learning from rewards is left out" in text
    )
    assert '# Sign = "what it means, in one line"' in lines
    assert max(map(len, lines)) <= 110


def test_labels_get_descriptions_by_taking_the_hash_away(export, tmp_path):
    path = tmp_path / "recipe.toml"
    begin(export, path)
    text = path.read_text()
    for line in ("[corpus.label_descriptions]", "Sign =", "Test ="):
        text = text.replace(f"# {line}", line)
    path.write_text(text)
    assert set(load_recipe(str(path)).corpus.label_descriptions) == {"Sign", "Test"}


def test_nothing_is_overwritten_without_force(export, tmp_path):
    out = tmp_path / "recipe.toml"
    begin(export, out)
    with pytest.raises(
        ConfigError, match="exists already; name another with --out, or use --force"
    ):
        begin(export, out)
    begin(export, out, force=True)
    out.unlink()
    with pytest.raises(ConfigError, match="recipe-notes: exists already"):
        begin(export, out)
    (tmp_path / "recipe-notes" / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="was not written by init"):
        begin(export, out, force=True)
    assert (tmp_path / "recipe-notes" / "mine.txt").read_text() == "x"


def test_corrected_notes_and_other_files_are_not_overwritten_by_force(export, tmp_path):
    out = tmp_path / "recipe.toml"
    begin(export, out)
    notes = tmp_path / "recipe-notes" / "train.jsonl"
    corrected = notes.read_text().replace("patient", "Patient")
    notes.write_text(corrected)
    with pytest.raises(ConfigError, match="was changed since; name another --out"):
        begin(export, out, force=True)
    assert notes.read_text() == corrected
    (tmp_path / "paper.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"paper.txt: was not written by init"):
        begin(export, tmp_path / "paper.txt", force=True)
    (tmp_path / "more-notes").mkdir()
    (tmp_path / "more-notes" / "train.jsonl").write_text("mine")
    with pytest.raises(ConfigError, match="more-notes: was not written by init"):
        begin(export, tmp_path / "more.toml", force=True)
    assert (tmp_path / "more-notes" / "train.jsonl").read_text() == "mine"


def test_a_divided_folder_is_taken_as_it_is(tmp_path):
    (tmp_path / "corpus").mkdir()
    write_notes(tmp_path / "corpus")
    begun = begin(tmp_path / "corpus", tmp_path / "recipe.toml")
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert begun.notes is None and not (tmp_path / "recipe-notes").exists()
    assert config.corpus.dev.endswith("dev.jsonl") and config.corpus.test.endswith("test.jsonl")


def test_a_test_set_of_ones_own(export, tmp_path):
    write_corpus([note("test", i) for i in range(6)], tmp_path / "own.jsonl")
    reading = ReadingConfig(format="jsonl", label_map={"Sign": "Problem"})
    begin(export, tmp_path / "recipe.toml", test=tmp_path / "own.jsonl", reading=reading)
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert config.corpus.train == str(export) and config.corpus.format == "jsonl"
    assert config.corpus.label_map == {"Sign": "Problem"}
    with pytest.raises(ConfigError, match="a recipe takes no metadata"):
        begin(
            export,
            tmp_path / "other.toml",
            test=tmp_path / "own.jsonl",
            patient_from="-(.)",
        )


def test_the_dev_set_is_kept_with_a_divided_corpus(export, tmp_path):
    write_corpus([note("dev", i) for i in range(4)], tmp_path / "own.jsonl")
    reading = ReadingConfig(label_map={"Sign": "Problem"})
    begin(export, tmp_path / "recipe.toml", dev=tmp_path / "own.jsonl", reading=reading)
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert config.corpus.label_map == {}  # done when the parts were written
    assert read_corpus(config.corpus.dev).docs[0].labels == {"Problem", "Test"}


def test_a_text_that_stands_twice_is_on_one_side(export, tmp_path):
    docs = read_corpus(export).docs
    again = Document("again", docs[0].text, docs[0].entities)
    write_corpus([*docs, again], export)
    begun = begin(export, tmp_path / "recipe.toml")
    assert begun.counts == {"documents left out, as their text stood twice": 1}
    assert sum(begun.n_documents.values()) == 20


def test_the_shuffle_keeps_a_rare_label_in_train(export, tmp_path):
    docs = read_corpus(export).docs
    for i in range(20):
        rare = Entity("T3", "Rare", ((0, 5),))
        with_rare = docs[i].with_entities([*docs[i].entities, rare])
        path = tmp_path / f"c{i}.jsonl"
        write_corpus([*docs[:i], with_rare, *docs[i + 1 :]], path)
        begin(path, tmp_path / f"r{i}.toml")
        train = read_corpus(tmp_path / f"r{i}-notes" / "train.jsonl").docs
        assert "Rare" in {ent.label for doc in train for ent in doc.entities}


def test_too_small_or_unlabelled(tmp_path):
    write_corpus([note("train", i) for i in range(9)], tmp_path / "few.jsonl")
    with pytest.raises(CorpusError, match="9 documents are too few"):
        begin(tmp_path / "few.jsonl", tmp_path / "recipe.toml")
    write_corpus([Document("a", "Quillfeather.")], tmp_path / "bare.jsonl")
    with pytest.raises(CorpusError, match="no mention is labelled") as error:
        begin(tmp_path / "bare.jsonl", tmp_path / "recipe.toml")
    assert "Quillfeather" not in str(error.value)
    assert not (tmp_path / "recipe.toml").exists() and not (tmp_path / "recipe-notes").exists()


def test_hours_decide_on_rewards_and_on_the_size_of_a_draw(tmp_path):
    write_corpus([note("train", i) for i in range(300)], tmp_path / "many.jsonl")

    def composed(name, **options):
        begun = begin(tmp_path / "many.jsonl", tmp_path / f"{name}.toml", **options)
        config = begun.composed.config
        return config.draws.sizes[0], any(arm.rl for arm in config.arm), begun.composed.seconds

    much, little = composed("much", hours=100), composed("little", hours=2)
    assert much[:2] == (157, True) and little[0] < 157 and not little[1]
    assert much[2] > little[2]
    assert (
        "the most that 10 draws do in about 2 hours here" in (tmp_path / "little.toml").read_text()
    )
    assert composed("hasty", hours=0.01)[0] == 25
    hasty = load_recipe(str(tmp_path / "hasty.toml")).draws
    assert (hasty.sizes, hasty.replicates) == ((25,), 5)  # the fewest that carry a claim
    hasty = (tmp_path / "hasty.toml").read_text()
    assert "takes longer than the 0.01 hours given" in hasty.replace("\n# ", " ")
    assert composed("card", machine=CARD) == (157, True, None)  # nothing was measured on one


def test_odd_labels_and_names(tmp_path):
    odd = 'a "b"\nc # = ]'
    docs = [
        Document(f"d{i}", f"Cough number {i} was seen.", (Entity("T1", odd, ((0, 5),)),))
        for i in range(12)
    ]
    path = tmp_path / 'my "notes" #1.jsonl'
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in _records(docs, tmp_path / "plain.jsonl"))
    )
    begin(path, tmp_path / "recipe.toml")
    text = (tmp_path / "recipe.toml").read_text()
    assert load_recipe(str(tmp_path / "recipe.toml")).name == "my notes #1"
    uncommented = text.replace("# [corpus.label", "[corpus.label").replace('# "a', '"a')
    (tmp_path / "recipe.toml").write_text(uncommented)
    assert list(load_recipe(str(tmp_path / "recipe.toml")).corpus.label_descriptions) == [odd]


def _records(docs, path):
    write_corpus(docs, path)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_without_a_test_set_every_note_may_be_scored(export, tmp_path):
    begun = begin(export, tmp_path / "recipe.toml", cross_fit=True, hours=0.2)
    assert begun.n_documents == {"train": 20}
    config = load_recipe(str(tmp_path / "recipe.toml"))
    assert config == begun.composed.config
    assert config.evaluate.protocol == "cross-fit" and config.draws.sizes == (20,)
    # As many replicates as fit into the hours.
    more = begin(export, tmp_path / "more.toml", cross_fit=True, hours=1000)
    assert config.draws.replicates < more.composed.config.draws.replicates == 10
    quick = ["evaluate.resamples=200", "evaluate.folds=2", "draws.replicates=1"]
    config = load_recipe(str(tmp_path / "recipe.toml"), changes=quick)
    result = run_recipe(config, tmp_path / "run", instead=DOUBLES)
    assert result.n_left == 0 and result.results.split == "out-of-fold"
    with pytest.raises(ConfigError, match="leave out --dev and --test"):
        begin(export, tmp_path / "other.toml", cross_fit=True, test=export)


def test_what_the_notes_are_is_asked_or_left_out(export, tmp_path):
    asked = []

    def answer(question, proposal):
        asked.append(proposal)
        return "ward round" if "What" in question else proposal

    begin(export, tmp_path / "asked.toml", ask=answer)
    config = load_recipe(str(tmp_path / "asked.toml"))
    assert asked == ["export", ""]
    assert (config.name, config.corpus.kind) == ("export", "ward round")
    begin(export, tmp_path / "given.toml", name="ours", kind="letter", ask=answer)
    config = load_recipe(str(tmp_path / "given.toml"))
    assert (config.name, config.corpus.kind) == ("ours", "letter") and len(asked) == 2
    begin(export, tmp_path / "silent.toml")
    text = (tmp_path / "silent.toml").read_text()
    assert '# kind = "discharge summary"' in text and "clinical note" not in text


def test_what_stands_in_two_parts_is_left_out_and_said(export, tmp_path):
    docs = read_corpus(export).docs
    again = Document("again", docs[0].text, docs[0].entities)
    write_corpus([note("test", i) for i in range(6)] + [again], tmp_path / "own.jsonl")
    begun = begin(export, tmp_path / "recipe.toml", test=tmp_path / "own.jsonl")
    said = "1 document of train is left out, as its text stands in test too."
    assert begun.left_out == (said,) and begun.n_documents == {"train": 19, "test": 7}
    begun = begin(export, tmp_path / "divided.toml", dev=tmp_path / "own.jsonl")
    assert begun.left_out and sum(begun.n_documents.values()) == 20 + 7 - 1
    parts = {s: read_corpus(begun.notes / f"{s}.jsonl").docs for s in ("train", "dev", "test")}
    assert sum(doc.text == again.text for part in parts.values() for doc in part) == 1
