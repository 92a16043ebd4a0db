"""``annotate`` by tiny random language models: tuning, answers, failures, kills, votes."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pytest

from notesmith.annotation.calibration import at_temperature
from notesmith.annotation.mentions import FLOOR
from notesmith.corpus import labelling, write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, FileError, ModelError
from notesmith.experiment.artefacts import SampleLog
from notesmith.files.checksums import dumps_checked
from notesmith.models.manifest import write_manifest
from notesmith.ner.decode import WordScores, score_of
from notesmith.ner.settings import ANNOTATORS_FILE
from notesmith.ner.student import load_student
from notesmith.workflows.annotate import annotate
from notesmith.workflows.annotators import STUDENTS, Said, Vote
from tests.lm.tiny import tiny_lm
from tests.ner.tiny import tiny_encoder

from .test_annotate import contents, gold_docs, note_docs, refuse
from .test_annotators import finding


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Gold, notes and changes that make tiny models."""
    folder = tmp_path_factory.mktemp("annotate-lm")
    lm = tiny_lm("llama")
    lm.model.config.max_position_embeddings = 4096  # a vocabulary of letters
    lm.save(folder / "lm")
    tiny_encoder(folder / "encoder")
    write_corpus(gold_docs(), folder / "gold.jsonl")
    write_corpus(note_docs(), folder / "notes.jsonl")
    changes = {
        "lm.model": folder / "lm",
        "lm.trim": "false",
        "sft.unit": "sentence",
        "sft.epochs": 1,
        "sft.replaced_copies": 0,
        "annotate.lm.max_new_tokens": 40,
        "annotate.lm.batch_size": 4,
        "annotate.lm.shots": 1,
        "ner.encoder": folder / "encoder",
        "ner.steps": 4,
    }
    return folder, [f"{name}={value}" for name, value in changes.items()]


def label(setting, out, **options):
    folder, changes = setting
    changes = [*changes, *options.pop("changes", ())]
    given = {"gold": folder / "gold.jsonl", "by": ["lm-json"], **options}
    if given["by"] == ["students"]:
        changes = [change for change in changes if change.startswith("ner.")]
    return annotate(folder / "notes.jsonl", out, changes=changes, **given)


@pytest.fixture(scope="module")
def labelled(setting, tmp_path_factory):
    """What a tuned model wrote, which answered freely: nothing of it can be used."""
    folder = tmp_path_factory.mktemp("labelled")
    free = ["annotate.lm.constrain=false"]
    return label(setting, folder / "silver.jsonl", changes=free), folder


def test_answers_that_cannot_be_used_are_counted_by_reason(labelled):
    result, folder = labelled
    assert (result.n_trained, result.n_labelled) == (1, 9)
    n = result.summary.answers["answers drawn (lm-json)"]
    assert n == 18  # nine notes of two sentences
    failures = result.summary.problems
    assert sum(failures.values()) >= n
    assert all(reason.endswith(" (lm-json)") for reason in failures)
    card = (folder / "silver.md").read_text()
    for reason, count in failures.items():
        assert f"- {reason}: {count}" in card
    assert f"- answers drawn (lm-json): {n}" in card
    assert {doc.provenance.model for doc in result.documents()} == {"tiny-llama, json"}
    assert '- lm.model = "lm"' in card and str(folder) not in card


def test_a_second_call_does_nothing(setting, labelled):
    _, folder = labelled
    before = contents(folder)
    again = label(
        setting,
        folder / "silver.jsonl",
        changes=["annotate.lm.constrain=false"],
        instead={**refuse(), "annotator": None},
    )
    assert (again.n_trained, again.n_labelled) == (0, 0) and contents(folder) == before


def test_other_settings_of_the_model_are_refused(setting, labelled):
    _, folder = labelled
    for change in ("annotate.lm.constrain=true", "sft.epochs=2", "lm.trim=true"):
        changes = ["annotate.lm.constrain=false", change]
        with pytest.raises(ConfigError, match=rf"other settings \(.*{change.partition('=')[0]}"):
            label(setting, folder / "silver.jsonl", changes=changes)


@pytest.mark.parametrize("name", ["lm-inline", "prompted"])
def test_other_forms_label_all_notes(setting, tmp_path, name):
    result = label(setting, tmp_path / "silver.jsonl", by=[name])
    assert [doc.id for doc in result.documents()] == [doc.id for doc in note_docs()]
    assert result.n_trained == (name == "lm-inline")
    assert result.summary.answers == {f"answers drawn ({name})": 18}
    assert all(score_of(ent) is not None for doc in result.documents() for ent in doc.entities)


def test_students_and_a_model_vote(setting, tmp_path):
    students = label(setting, None, by=["students"], students=2)
    model = label(setting, None, by=["lm-json"])
    both = label(setting, None, by=["students", "lm-json"], students=2)
    assert both.n_trained == 3
    for name, one in both.scores().items():
        own = students.scores()[name].probabilities, model.scores()[name].probabilities
        assert one.probabilities == pytest.approx((own[0] + own[1]) / 2, abs=2e-3)
    assert "2, tiny-llama, json" in next(both.documents()).provenance.model


@pytest.fixture(scope="module")
def saved(setting, tmp_path_factory):
    """What two students and two tuned models wrote, and the folder that keeps them."""
    folder = tmp_path_factory.mktemp("saved")
    by = ["students", "lm-inline", "lm-json"]
    out, model = folder / "silver.jsonl", folder / "annotators"
    return label(setting, out, by=by, students=2, save_model=model), folder


def unchanged(setting, out, **options):
    """Label by what was saved: nothing is trained, and no setting is given."""
    return annotate(setting[0] / "notes.jsonl", out, instead=refuse(), **options)


def test_saved_annotators_label_as_those_that_were_trained(setting, saved, tmp_path):
    result, folder = saved
    assert result.n_trained == 4 and result.model == folder / "annotators"
    again = unchanged(setting, tmp_path / "silver.jsonl", model=folder / "annotators")
    assert again.n_trained == 0 and again.summary == result.summary
    assert (tmp_path / "silver.jsonl").read_bytes() == (folder / "silver.jsonl").read_bytes()
    for name, one in again.scores().items():
        np.testing.assert_array_equal(one.probabilities, result.scores()[name].probabilities)


def test_one_of_the_saved_annotators_labels_alone(setting, saved, tmp_path):
    model = saved[1] / "annotators"
    alone = label(setting, None, by=["lm-inline"])
    kept = unchanged(setting, tmp_path / "silver.jsonl", model=model, by=["lm-inline"])
    assert list(kept.documents()) == list(alone.documents())


def test_a_model_alone_is_saved_and_the_same_call_saves_it_once(setting, tmp_path):
    options = {"by": ["lm-json"], "save_model": tmp_path / "kept"}
    first = label(setting, tmp_path / "silver.jsonl", **options)
    files = contents(tmp_path / "kept")
    again = label(setting, tmp_path / "silver.jsonl", **options, instead=refuse())
    assert (first.n_trained, again.n_trained) == (1, 0) and contents(tmp_path / "kept") == files
    with pytest.raises(FileError, match="holds something else; name another with --save-model"):
        label(setting, tmp_path / "other.jsonl", **options, seed=7)
    assert contents(tmp_path / "kept") == files
    kept = unchanged(setting, None, model=tmp_path / "kept")
    assert list(kept.documents()) == list(first.documents())
    with pytest.raises(ConfigError, match="holds no students"):
        unchanged(setting, None, model=tmp_path / "kept", by=["students", "lm-json"])


def test_the_folder_of_saved_annotators_says_what_it_is(saved):
    _, folder = saved
    said = (folder / "annotators" / "README.md").read_text()
    for part in ("students, lm-inline, lm-json", "Guard this folder", "Problem", "seed 13"):
        assert part in said
    with pytest.raises(ModelError, match="notesmith annotate NOTES --model"):
        load_student(folder / "annotators")
    assert load_student(folder / "annotators" / "students").labels


def test_what_cannot_be_with_saved_annotators_is_refused(setting, saved, tmp_path):
    model = saved[1] / "annotators"
    for options, message in (
        ({"by": ["dictionary"], "gold": setting[0] / "gold.jsonl"}, "--by names none of it"),
        ({"changes": ["annotate.lm.samples=3"]}, "keeps its settings"),
        ({"changes": ["lm.trim=true"]}, "keeps its settings"),
        ({"save_model": tmp_path / "twice"}, "nothing is; leave it out"),
        ({"by": ["prompted", "lm-json"]}, "--gold"),
    ):
        with pytest.raises(ConfigError, match=message):
            unchanged(setting, tmp_path / "silver.jsonl", model=model, **options)


@pytest.fixture(scope="module")
def calibrated(setting, tmp_path_factory):
    """What a tuned model wrote whose scores were calibrated, and the folder that keeps it."""
    folder = tmp_path_factory.mktemp("calibrated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("notesmith.workflows.calibrating.LEAST_MENTIONS", 1)
        result = label(
            setting,
            folder / "silver.jsonl",
            by=["lm-inline"],
            save_model=folder / "kept",
            calibrate=True,
            changes=CALIBRATING,
        )
    return result, folder


CALIBRATING = ["annotate.lm.max_new_tokens=400", "sft.dev_ratio=0.5"]


def test_scores_are_calibrated_on_gold_that_tuning_held_out(setting, calibrated):
    result, folder = calibrated
    one = result.summary.calibrated["lm-inline"]
    assert one.documents == len(gold_docs()) // 2 and one.mentions > 0
    raw = label(setting, None, by=["lm-inline"], changes=CALIBRATING).scores()
    n_mentions = 0
    for name, own in result.scores().items():
        for before, after in zip(raw[name].probabilities, own.probabilities, strict=True):
            if before[0] == pytest.approx(1 - FLOOR, abs=1e-3):
                assert after[0] == before[0]  # a word outside all mentions
            else:
                wanted = at_temperature(1 - before[0], one.temperature)
                assert 1 - after[0] == pytest.approx(wanted, abs=5e-3)
                n_mentions += 1
    assert n_mentions and one.temperature != 1
    card = (folder / "silver.md").read_text()
    assert "calibrated with the temperature" in card and "| Score | Mentions |" in card


def test_saved_models_keep_how_their_scores_were_calibrated(setting, calibrated, tmp_path):
    result, folder = calibrated
    out = tmp_path / "silver.jsonl"
    again = unchanged(setting, out, model=folder / "kept")
    assert again.summary == result.summary and again.summary.calibrated
    assert out.read_bytes() == (folder / "silver.jsonl").read_bytes()
    for name, one in again.scores().items():
        np.testing.assert_array_equal(one.probabilities, result.scores()[name].probabilities)
    with pytest.raises(ConfigError, match="--calibrate is for a language model that is tuned"):
        unchanged(setting, None, model=folder / "kept", calibrate=True)


def test_with_few_mentions_scores_stay_and_the_card_says_so(setting, tmp_path):
    plain = label(setting, None)
    result = label(setting, tmp_path / "silver.jsonl", calibrate=True)
    assert result.summary.calibrated["lm-json"].temperature is None
    assert list(result.documents()) == list(plain.documents())
    card = (tmp_path / "silver.md").read_text()
    assert "fewer than 50, so its scores were left as they are" in card
    with pytest.raises(ConfigError, match=r"other settings \(.*calibrate"):
        label(setting, tmp_path / "silver.jsonl")


def test_calibrating_goes_on_from_the_answers_that_were_drawn(setting, tmp_path, monkeypatch):
    whole = label(setting, tmp_path / "whole" / "silver.jsonl", calibrate=True)
    kept = []

    def stop(self, samples):
        append(self, samples)
        kept.extend(samples)
        raise KeyboardInterrupt

    append = SampleLog.append
    out = tmp_path / "stopped" / "silver.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(SampleLog, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            label(setting, out, calibrate=True)
    [log] = out.with_name("silver.work").rglob("held-out.lm-json.jsonl")
    assert len(log.read_bytes().splitlines()) == len(kept) > 0
    again = label(setting, out, calibrate=True)
    assert (again.n_trained, again.summary) == (0, whole.summary)
    assert contents(out.parent) == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ["students"]}, "name lm-json or lm-inline"),
        ({"by": ["prompted"]}, "name lm-json or lm-inline"),
        ({"changes": ["annotate.lm.confidence=none"]}, "there are no scores"),
    ],
)
def test_nothing_to_calibrate_is_refused(setting, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        label(setting, tmp_path / "silver.jsonl", calibrate=True, **options)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("file", ["lm-json/model.safetensors", "notesmith-annotators.json"])
def test_damaged_annotators_are_one_line(setting, saved, tmp_path, file):
    shutil.copytree(saved[1] / "annotators", tmp_path / "broken")
    path = tmp_path / "broken" / file
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ModelError, match="not as it was written") as raised:
        unchanged(setting, tmp_path / "silver.jsonl", model=tmp_path / "broken")
    assert "\n" not in str(raised.value)


def test_names_of_saved_models_are_no_paths(setting, saved, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(saved[1] / "annotators", broken)
    about = json.loads((broken / ANNOTATORS_FILE).read_text())
    about["readers"]["../lm-json"] = about["readers"]["lm-json"]
    (broken / ANNOTATORS_FILE).write_text(dumps_checked(about))
    write_manifest(broken)
    with pytest.raises(ModelError, match="make it again with --save-model"):
        unchanged(setting, tmp_path / "silver.jsonl", model=broken)


def test_it_goes_on_from_the_answers_that_were_drawn(setting, tmp_path, monkeypatch):
    """A kill between two batches of a chunk: the outcome is that of a call nobody stopped."""
    monkeypatch.setattr(labelling, "CHUNK_DOCS", 5)
    whole = label(setting, tmp_path / "whole" / "silver.jsonl")
    kept = []

    def stop(self, samples):
        append(self, samples)
        kept.extend(samples)
        if len(kept) >= 4:
            raise KeyboardInterrupt

    append = SampleLog.append
    out = tmp_path / "stopped" / "silver.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(SampleLog, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            label(setting, out)
    [log] = out.with_name("silver.work").rglob("*.lm-json.jsonl")
    assert len(log.read_bytes().splitlines()) == len(kept)
    drawn = []
    monkeypatch.setattr(
        SampleLog, "append", lambda self, samples: (drawn.extend(samples), append(self, samples))
    )
    again = label(setting, out)
    assert again.n_trained == 0 and again.n_labelled == whole.n_labelled == 9
    assert len(drawn) + len(kept) == sum(again.summary.answers.values())
    assert contents(out.parent) == contents(tmp_path / "whole")
    assert not list(out.with_name("silver.work").rglob("*.lm-json.jsonl"))


def test_a_preview_is_short(setting, tmp_path):
    told = []
    result = label(
        setting, tmp_path / "silver.jsonl", is_preview=True, tell=told.append,
        changes=["annotate.lm.epochs=99"],
    )  # fmt: skip
    assert result.n_labelled == 8 and "labels as lm-json" in told[0]
    work = tmp_path / "silver-preview.work"
    found = [json.loads(path.read_text()) for path in work.rglob("metrics.json")]
    assert [one["steps"] <= 4 for one in found if one["stage"] == "annotator"] == [True]


def test_documents_as_values_leave_nothing_behind(setting):
    _, changes = setting
    result = annotate(note_docs(2), gold=gold_docs(), by=["prompted"], changes=changes)
    assert len(list(result.documents())) == 2
    assert not [name for name in os.listdir(os.environ["NOTESMITH_HOME"]) if "annotate" in name]


def test_a_server_elsewhere_needs_consent(setting, tmp_path, monkeypatch):
    where = [(None, None, 0, "", ("10.0.0.5", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: where)
    changes = [
        "sample.server=http://gpu.example/v1", "sample.server_model=big", "sample.constrain=none",
        "annotate.lm.constrain=false", "annotate.lm.confidence=none",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="--send-text-to"):
        label(setting, tmp_path / "silver.jsonl", by=["prompted"], changes=changes)
    assert not os.listdir(tmp_path)


def test_attributes_come_from_the_model_where_no_student_labels():
    note = Document("n", "No gout.")
    found = note.with_entities([Entity("T1", "Disease", ((3, 7),), ("negated", "score=0.9"))])
    rows = [[0.99, 0.01, 0], [0.1, 0.9, 0], [0.99, 0.01, 0]]
    scores = WordScores(((0, 2), (3, 7), (7, 8)), np.array(rows, np.float32))
    said = Said([scores], {"lm-json": [found]})
    lm, five = finding("lm"), finding("five")

    def attributes(annotators):
        [doc] = Vote(("Disease",), annotators).label([note], said)
        return [x for x in doc.entities[0].attributes if not x.startswith("score=")]

    assert attributes({"lm-json": lm}) == ["negated"]
    assert attributes({STUDENTS: five, "lm-json": lm}) == []
