import json
import stat
from dataclasses import replace

import pytest

from notesmith.corpus import read_corpus, write_corpus
from notesmith.errors import ConfigError, NotesmithError, SealError, StageError
from notesmith.experiment import preview, run_recipe, status_of, write_results
from notesmith.experiment.folder import claim_folder
from notesmith.experiment.gate import sealed_plan
from notesmith.experiment.lock import run_lock
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.results import Results

from .doubles import DOUBLES, tiny_recipe, write_notes


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return write_notes(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def finished(paths, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    config = tiny_recipe(paths)
    return run(config, out), config


def run(config, out, **options):
    return run_recipe(config, out, instead=DOUBLES, cache=out / "cache", **options)


def test_a_run_ends_with_results_and_a_report(finished):
    result, _ = finished
    assert result.n_left == 0 and result.report is not None
    assert result.report == result.folder / "report.html" and result.report.exists()
    results = Results.read(result.folder)
    assert results == result.results
    assert results.recipe == "tiny" and results.split == "test"
    at_main = [arm for arm in results.arms if arm.size == 6]
    assert [arm.name for arm in at_main] == [a.name for a in finished[1].arm]
    assert all(arm.n_replicates == 2 for arm in at_main)
    assert all(arm.dev_f1 for arm in at_main)
    assert [arm.name for arm in results.arms if arm.size == 10] == ["gold"]
    pairs = {(c.arm, c.against) for c in results.comparisons}
    assert ("both", "gold") in pairs and ("both", "replacement") in pairs
    assert results.corpus["train"].documents == 14
    assert results.corpus["test"].documents == 6
    assert results.seal.opened == 1
    assert results.lm.name == "double"
    assert {row.stage for row in results.stages} >= {"draw", "sft", "sample", "ner", "score"}
    assert [(m.size, m.replicate) for m in results.made] == [(6, 0), (6, 1)]
    for made in results.made:
        assert made.kept + sum(made.dropped.values()) == made.asked == 6
        assert made.dropped["no end"] == 1


def test_results_name_no_folder_of_the_machine(finished, paths):
    result, config = finished
    written = (result.folder / "results.json").read_text()
    assert str(result.folder.parent) not in written
    assert config.corpus.train not in written
    assert json.loads(written)["config"]["corpus"]["train"] == config.corpus.train.split("/")[-1]


def test_everything_written_is_private(finished):
    result, _ = finished
    modes = {
        (path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in result.folder.rglob("*")
    }
    assert modes == {(True, 0o700), (False, 0o600)}


def test_a_second_run_computes_nothing(finished):
    result, config = finished
    again = run(config, result.folder)
    assert again.n_computed == 0 and again.n_left == 0


def test_a_folder_that_holds_something_and_no_marker_is_left_as_it_is(paths, tmp_path):
    mine = {"cells/draw/mine.txt": "a", "run.lock": "b", "recipe.toml": "c", "keep-models": "d"}
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=r"is not empty and no run folder.*name another folder"):
        run(tiny_recipe(paths), tmp_path)
    found = {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*.*")}
    assert found == {name: text for name, text in mine.items() if "." in name}
    assert (tmp_path / "keep-models").read_text() == "d"


@pytest.mark.parametrize(
    "name", ["run.lock", "cells", "results.json", "seal.json", "recipe.toml", "tables"]
)
def test_a_link_in_the_place_of_a_file_of_ours_is_refused(paths, tmp_path, name):
    claim_folder(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("x")
    target = elsewhere if name in ("cells", "tables") else elsewhere / "mine.txt"
    (tmp_path / "run" / name).symlink_to(target)
    with pytest.raises(NotesmithError, match=f"{name}: a link or another kind of file"):
        run(tiny_recipe(paths), tmp_path / "run")
    assert [p.read_text() for p in elsewhere.iterdir()] == ["x"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_a_changed_recipe_is_not_reported_on_unnoticed(paths, tmp_path, caplog, split):
    """Where a seal says what the run was, a warning; else an error."""
    config = tiny_recipe(paths, evaluate={"split": split})
    run(config, tmp_path, only=["arm=gold"])
    path, said = tmp_path / "recipe.toml", "recipe.toml: was changed since the run wrote it"
    path.write_text(path.read_text().replace("replicates = 2", "replicates = 1"))
    if split == "dev":
        with pytest.raises(ConfigError, match=said):
            write_results(tmp_path)
    else:
        write_results(tmp_path)
        assert said in caplog.text
    run(config, tmp_path, only=["arm=gold"])
    caplog.clear()
    assert write_results(tmp_path).n_left > 0 and said not in caplog.text


def test_a_changed_seal_is_an_error(paths, tmp_path):
    config = tiny_recipe(paths)
    run(config, tmp_path, only=["arm=gold"])
    path = tmp_path / "seal.json"
    path.write_text(path.read_text().replace('"when": "20', '"when": "19'))
    with pytest.raises(SealError, match=r"seal.json: the seal was changed or is damaged"):
        run(config, tmp_path, only=["arm=gold"])


def test_a_damaged_model_is_not_listed(paths, tmp_path):
    run(tiny_recipe(paths), tmp_path, only=["arm=gold", "size=6"])
    (weights,) = tmp_path.glob("cells/ner/*/model/weights.bin")
    weights.write_bytes(b"v" * 5000)
    write_results(tmp_path)
    assert json.loads((tmp_path / "models.json").read_text()) == []


def test_status_counts_cells(finished):
    result, _ = finished
    status = status_of(result.folder)
    assert status.n_left == 0
    assert status.stages["draw"] == (4, 0)
    assert status.stages["coverage"] == (2, 0)
    # Eight arms and a point of the curve, two draws each: on dev, test and what was not drawn.
    assert status.stages["score"] == (54, 0)


def test_weights_of_the_first_replicate_stay(finished):
    result, _ = finished
    models = list(result.folder.glob("cells/ner/*/model"))
    assert len(models) == 9  # eight arms at the main size, and gold of the curve
    assert len(list(result.folder.glob("cells/sft/*/model"))) == 1
    listed = json.loads((result.folder / "models.json").read_text())
    assert {(m["arm"], m["replicate"]) for m in listed if m["size"] == 6} == {
        (arm.name, 0) for arm in finished[1].arm
    }
    assert {result.folder / m["folder"] for m in listed} == set(models)


def test_a_part_of_the_run_by_filters(paths, tmp_path):
    config = tiny_recipe(paths)
    result = run(config, tmp_path, only=["arm=gold,replacement", "replicate=1", "size=6"])
    assert result.n_left == 0
    assert {arm.name for arm in result.results.arms} == {"gold", "replacement"}
    assert result.results.verdict.recommendation == "unfinished"
    assert status_of(tmp_path).n_left > 0
    with pytest.raises(ConfigError, match="no cell of the plan"):
        run(config, tmp_path, only=["arm=silver"])
    with pytest.raises(ConfigError, match="--only 'colour=red'"):
        run(config, tmp_path, only=["colour=red"])


def test_a_stage_filter_stops_short_of_scores(paths, tmp_path):
    result = run(tiny_recipe(paths), tmp_path, only=["stage=sample", "replicate=2"])
    assert result.results is None and result.report is None
    assert {p.name for p in (tmp_path / "cells").iterdir()} == {"draw", "names", "sft", "sample"}
    with pytest.raises(StageError, match="nothing was scored"):
        write_results(tmp_path)


def test_it_stops_when_its_time_is_over_and_goes_on(paths, tmp_path):
    config = tiny_recipe(paths)
    assert run(config, tmp_path, max_minutes=0).n_computed == 0
    assert run(config, tmp_path).n_left == 0


def test_results_are_written_for_what_is_finished(paths, tmp_path):
    config = tiny_recipe(paths)
    run(config, tmp_path, only=["arm=gold,synthetic", "replicate=1"])
    (tmp_path / "results.json").unlink()
    result = write_results(tmp_path)
    assert result.n_left > 0
    assert {arm.name for arm in result.results.arms} == {"gold", "synthetic"}


def test_minutes_a_note_may_be_given_for_a_report(finished):
    result, _ = finished
    asked = write_results(result.folder, minutes_per_note=12)
    assert asked.results.minutes_per_note == 12
    assert write_results(result.folder).results.minutes_per_note is None
    with pytest.raises(ConfigError, match="minutes a note are 0: give a number above 0"):
        write_results(result.folder, minutes_per_note=0)


def test_minutes_a_note_are_no_part_of_the_sealed_plan(paths):
    before, after = (
        sealed_plan(tiny_recipe(paths, evaluate=change), corpus_paths(tiny_recipe(paths)))
        for change in ({}, {"minutes_per_note": 12})
    )
    assert before == after


def test_another_plan_needs_a_reason_once_test_was_opened(paths, tmp_path):
    run(tiny_recipe(paths), tmp_path, only=["arm=gold"])
    changed = tiny_recipe(paths, ner={"steps": 4, "batch_size": 4})
    with pytest.raises(SealError, match=r"differs in ner\.steps: make choices on dev"):
        run(changed, tmp_path, only=["arm=gold"])
    result = run(changed, tmp_path, only=["arm=gold"], another_opening="more steps")
    assert result.results.seal.opened == 2
    assert run(changed, tmp_path, only=["arm=gold"]).n_computed == 0


def test_dev_runs_do_not_touch_the_seal(paths, tmp_path):
    config = tiny_recipe(paths, evaluate={"split": "dev"})
    result = run(config, tmp_path, only=["arm=gold"])
    assert result.results.split == "dev" and result.results.seal is None
    assert not (tmp_path / "seal.json").exists()


def test_a_second_process_is_refused(paths, tmp_path):
    claim_folder(tmp_path)
    with run_lock(tmp_path), pytest.raises(StageError, match="another notesmith"):
        run(tiny_recipe(paths), tmp_path)


def test_train_and_test_may_not_be_the_same_file(paths, tmp_path):
    config = tiny_recipe({**paths, "test": paths["train"]})
    with pytest.raises(ConfigError, match=r"corpus.train and corpus.test are the same"):
        run(config, tmp_path)


def leaking(paths, tmp_path):
    """Paths whose test holds a text of train and of dev, under no patient."""
    train, dev = read_corpus(paths["train"]).docs, read_corpus(paths["dev"]).docs
    again = [replace(doc, id=f"again-{doc.id}", metadata={}) for doc in (train[3], dev[1])]
    write_corpus([*read_corpus(paths["test"]).docs, *again], tmp_path / "both.jsonl")
    return {**paths, "test": tmp_path / "both.jsonl"}


LEFT_OUT = (
    "1 document of train is left out, as its text stands in dev or test too.",
    "1 document of dev is left out, as its text stands in test too.",
)


@pytest.mark.parametrize("way", ["run", "only", "preview"])
def test_what_stands_in_two_parts_is_left_out_and_said(paths, tmp_path, way):
    config = tiny_recipe(leaking(paths, tmp_path), draws={"curve": []})
    if way == "preview":
        config = preview(config)
    only = ["arm=gold"] if way == "only" else []
    told = []
    result = run(config, tmp_path / "run", only=only, is_preview=way == "preview", tell=told.append)
    assert told[:2] == list(LEFT_OUT)
    corpus = result.results.corpus
    assert corpus["train"].documents == 13
    # A preview takes four at most; dev loses one of four.
    assert corpus["dev"].documents == 3
    assert result.results.notices[:2] == LEFT_OUT
    assert LEFT_OUT[0] in (tmp_path / "run" / "report.html").read_text()
    remark = read_corpus(paths["train"]).docs[3].text.partition("Family says")[2]
    cells = [p.read_text() for p in (tmp_path / "run" / "cells").rglob("*.json*")]
    assert len(cells) > 5 and not [text for text in cells if remark in text]


def test_mentions_in_masked_text_are_not_scored_and_the_report_says_so(paths, tmp_path):
    test = read_corpus(paths["test"]).docs
    first = test[0].entities[0]
    masked = replace(test[0], masked=((first.start, first.end),))
    write_corpus([masked, *test[1:]], tmp_path / "test.jsonl")
    config = tiny_recipe(paths | {"test": tmp_path / "test.jsonl"})
    result = run(config, tmp_path / "run", only=["size=6"])
    assert result.results.notices[0] == (
        "On test, 1 gold mention and up to 1 prediction of an arm touch masked text, whose labels "
        "are unknown: they are not scored."
    )
    assert result.results.notices[0] in (tmp_path / "run" / "report.html").read_text()


def test_keys_change_only_where_something_is_left_out(paths, tmp_path):
    config = tiny_recipe(paths)
    assert fingerprints_of(config, paths).left_out == {}
    both = leaking(paths, tmp_path)
    assert set(fingerprints_of(tiny_recipe(both), both).left_out) == {"train", "dev"}


def test_a_draw_larger_than_train_is_a_clear_error(paths, tmp_path):
    config = tiny_recipe(paths, draws={"sizes": [99]})
    with pytest.raises(StageError, match="99 documents was asked for and train holds 14"):
        run(config, tmp_path)


def test_a_damaged_artefact_is_computed_again(paths, tmp_path):
    config = tiny_recipe(paths)
    run(config, tmp_path, only=["arm=gold", "size=6"])
    (scores,) = [
        path
        for path in tmp_path.glob("cells/score/*/scores.json")
        if json.loads(path.read_text())["replicate"] == 1 and '"split": "test"' in path.read_text()
    ]
    before = scores.read_text()
    scores.write_text(before[:-20])
    assert run(config, tmp_path, only=["arm=gold", "size=6"]).n_computed == 2
    assert scores.read_text() == before


def test_several_students_a_draw(paths, tmp_path):
    arms = [{"name": "gold"}, {"name": "replacement", "made": ["replaced"]}]
    config = tiny_recipe(
        paths, arm=arms, draws={"students": 3, "curve": []}, evaluate={"against": {}}
    )
    result = run(config, tmp_path / "three")
    rows = {row.stage: row.cells for row in result.results.stages}
    assert rows["ner"] == 2 * 2 * 3 and rows["pool"] == 2 * 2 * 3
    alone = run(
        tiny_recipe(paths, arm=arms, draws={"curve": []}, evaluate={"against": {}}),
        tmp_path / "one",
        another_opening="to compare",
    )
    three, one = (found.results.arms[0].by_label for found in (result, alone))
    assert {label: row.support for label, row in three.items()} == {
        label: row.support for label, row in one.items()
    }
    models = json.loads((result.folder / "models.json").read_text())
    assert len(models) == 2  # of the first replicate, one an arm
    assert sealed_plan(config, corpus_paths(config)) != sealed_plan(
        tiny_recipe(paths, arm=arms, draws={"curve": []}, evaluate={"against": {}}),
        corpus_paths(config),
    )
