"""``annotate`` with tiny random students: what it writes, leaves out, resumes and refuses."""

import errno
import json
import os
import random
import shutil
import stat
import time
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

import notesmith
from notesmith.config import NerConfig
from notesmith.corpus import labelling, read_corpus, write_corpus
from notesmith.corpus.formats.json_values import NoteFields
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, CorpusError, FileError, ModelError, StageError
from notesmith.experiment import taught
from notesmith.experiment.consent import Consent
from notesmith.files.checksums import dumps_checked
from notesmith.models.manifest import write_manifest
from notesmith.ner.decode import score_of
from notesmith.ner.settings import ANNOTATORS_FILE
from notesmith.ner.student import load_student
from notesmith.ner.votes import members_of
from notesmith.workflows.annotate import annotate
from notesmith.workflows.annotators import in_float32
from notesmith.workflows.saved import holds, read_saved
from notesmith.workflows.unlabelled import Unlabelled
from tests.ner.tiny import tiny_encoder
from tests.processes import CONTEXT

from .children import hold_annotations, run_annotate

NAMES = ("silver.jsonl", "silver.scores.npz", "silver.html", "silver.md")
SICK = ("fever", "cough", "asthma", "pain", "fracture")


def gold_docs():
    docs = []
    for i in range(10):
        word = SICK[i % len(SICK)]
        text = f"Patient {i} reports {word}. No aspirin daily."
        at = text.index(word)
        docs.append(Document(f"g{i}", text, (Entity("T1", "Problem", ((at, at + len(word)),)),)))
    return docs


def note_docs(n=9):
    words = (*SICK, "nausea", "rash")
    return [
        Document(f"n{i}", f"Note {i}: severe {words[i % 7]} before. Given aspirin {i} mg daily.")
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """Gold, notes and changes that make tiny students."""
    folder = tmp_path_factory.mktemp("annotate")
    tiny_encoder(folder / "encoder")
    write_corpus(gold_docs(), folder / "gold.jsonl")
    write_corpus(note_docs(), folder / "notes.jsonl")
    changes = [f"ner.encoder={folder / 'encoder'}", "ner.steps=20", "ner.learning_rate=3e-3"]
    return folder, {"gold": folder / "gold.jsonl", "students": 2, "changes": changes}


@pytest.fixture(scope="module")
def committee(setting, tmp_path_factory):
    """A saved committee, and the files of the call that trained it."""
    folder = tmp_path_factory.mktemp("committee")
    source, options = setting
    result = annotate(
        source / "notes.jsonl", folder / "silver.jsonl", save_model=folder / "model", **options
    )
    return folder / "model", result


def contents(folder):
    return {name: (folder / name).read_bytes() for name in NAMES if (folder / name).exists()}


def test_everything_stands_beside_the_output(committee):
    model, result = committee
    folder = model.parent
    assert sorted(os.listdir(folder)) == sorted([*NAMES, "model", "silver.work"])
    for path in (*(folder / name for name in NAMES), *(folder / "silver.work").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    docs = read_corpus(folder / "silver.jsonl").docs
    assert [(d.id, d.text) for d in docs] == [(d.id, d.text) for d in note_docs()]
    assert {doc.provenance.kind for doc in docs} == {"silver"}
    assert list(result.documents()) == docs
    found = [score_of(ent) for doc in docs for ent in doc.entities]
    assert found and all(score is not None and 0 < score <= 1 for score in found)
    assert (result.n_trained, result.n_labelled) == (2, 9)
    assert result.summary.notes == 9 and result.summary.mentions == len(found)
    [label] = result.summary.labels
    high = sum(score >= 0.99 for score in found)
    assert label.label == "Problem" and label.bands[0] == high and sum(label.bands) == len(found)
    # What counts as done is the output; the distributions of chunks are gone.
    assert not (folder / "silver.work" / "scores").exists()


@pytest.mark.parametrize("is_removed", [False, True])
def test_damaged_students_do_not_pass_for_saved_ones(committee, tmp_path, is_removed):
    model, _ = committee
    students = members_of(model)
    kept = tmp_path / "kept"
    shutil.copytree(model, kept)
    assert holds(kept, students, {})
    weights = members_of(kept)[1] / "model.safetensors"
    if is_removed:
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(ModelError, match="absent" if is_removed else "not as it was written"):
        holds(kept, students, {})


def test_saved_annotators_of_another_version_are_to_be_made_again(tmp_path):
    (tmp_path / ANNOTATORS_FILE).write_text(dumps_checked({"version": 2}), "utf-8")
    write_manifest(tmp_path)
    with pytest.raises(ModelError, match="make it again with --save-model"):
        read_saved(tmp_path)


def test_soft_labels_are_what_the_committee_says(committee):
    model, result = committee
    said = result.scores()
    truth = load_student(model).predict_scores(note_docs())
    assert list(said) == [f"n{i}" for i in range(9)]
    for one, want in zip(said.values(), truth, strict=True):
        assert one.words == want.words
        np.testing.assert_allclose(one.probabilities, want.probabilities, atol=2e-3)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_page_shows_the_doubtful_first_and_the_card_no_text(setting, committee, tmp_path):
    _, result = committee
    page, card = result.files.page.read_text(), result.files.card.read_text()
    scores = result.scores()
    doubt = {
        name: float((1 - one.probabilities.max(axis=1)).mean()) for name, one in scores.items()
    }
    assert max(doubt, key=doubt.get) == page.split("<header><b>")[1].split("<")[0]
    assert "Contains note text" in page and "aspirin" in page
    assert "aspirin" not in card and "severe" not in card
    assert f"| Problem | {result.summary.mentions} |" in card and "votes of 2" in card
    assert "What it cannot show" in card and "Seed: 13" in card


def test_the_card_states_the_consent_to_send_prompts(committee, tmp_path, monkeypatch):
    consent = Consent("gpu.example", "big", "2026-12-01")
    monkeypatch.setattr("notesmith.workflows.annotate.record_consent", lambda *_: consent)
    result = annotate(note_docs(2), tmp_path / "silver.jsonl", model=committee[0])
    assert consent.sentence in result.files.card.read_text()
    assert consent.sentence not in committee[1].files.card.read_text()


def test_a_note_is_no_markup_on_the_page(committee, tmp_path):
    model, _ = committee
    notes = [Document("<b>id", "Severe <script>alert(1)</script> fever")]
    result = annotate(notes, tmp_path / "silver.jsonl", model=model)
    page = result.files.page.read_text()
    assert "<script>" not in page and "&lt;b&gt;id" in page


def test_a_second_run_does_nothing(setting, committee, monkeypatch):
    model, first = committee
    folder, (source, options) = model.parent, setting
    before = contents(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in NAMES}
    monkeypatch.setattr("notesmith.workflows.annotating.label_notes", None)
    again = annotate(
        source / "notes.jsonl",
        folder / "silver.jsonl",
        save_model=model,
        instead=refuse(),
        **options,
    )
    assert (again.n_trained, again.n_labelled) == (0, 0) and again.summary == first.summary
    assert first.is_new and not again.is_new
    assert contents(folder) == before
    assert {name: (folder / name).stat().st_mtime_ns for name in NAMES} == times


def refuse():
    def fail(work):
        raise AssertionError("nothing may be computed")

    return dict.fromkeys(("draw", "ner"), fail)


def test_a_saved_committee_labels_as_the_one_that_was_trained(committee, tmp_path):
    model, first = committee
    result = annotate(note_docs(), tmp_path / "silver.jsonl", model=model, instead=refuse())
    assert result.n_trained == 0
    assert [d.entities for d in result.documents()] == [d.entities for d in first.documents()]


def test_documents_as_values_leave_nothing_behind(setting, committee):
    _, first = committee
    _, options = setting
    result = annotate(note_docs(), **{**options, "gold": gold_docs()})
    assert result.files is None and list(result.documents()) == list(first.documents())
    assert set(result.scores()) == {f"n{i}" for i in range(9)}
    assert not [name for name in os.listdir(os.environ["NOTESMITH_HOME"]) if "annotate" in name]


@pytest.mark.parametrize("labels", ["hard", "masked"])
def test_other_labels_write_no_distributions(committee, tmp_path, labels):
    model, _ = committee
    changes = ["annotate.doubtful=0.9"]
    out = tmp_path / "silver.jsonl"
    result = annotate(note_docs(), out, model=model, labels=labels, changes=changes)
    assert not (tmp_path / "silver.scores.npz").exists() and result.scores() == {}
    masked = [span for doc in result.documents() for span in doc.masked]
    assert bool(masked) == (labels == "masked") == (result.summary.masked > 0)
    if masked:
        for doc in result.documents():
            ranges = [(s, e) for ent in doc.entities for s, e in ent.spans]
            assert not any(a < e and s < b for a, b in doc.masked for s, e in ranges)


def test_notes_that_repeat_labelled_documents_are_left_out(committee, setting, tmp_path):
    model, _ = committee
    gold = [*gold_docs(), replace(gold_docs()[0], id="x", metadata={"patient": "P7"})]
    held_out = [Document("h", "Held  out text with words.")]
    notes = [
        *note_docs(3),
        Document("copy", gold[1].text.replace(" ", "  ")),
        Document("held", "Held out text with words."),
        Document("P", "Another note.", metadata={"patient": "P7"}),
        Document("g2", "Another text of one id."),
        Document("empty", " \n "),
    ]
    result = annotate(notes, model=model, gold=gold, held_out=[held_out])
    assert [doc.id for doc in result.documents()] == ["n0", "n1", "n2"]
    want = {"text": 2, "patient": 1, "id": 1, "without words": 1}
    assert result.summary.left_out == want
    with pytest.raises(
        CorpusError, match=r"none of 5 notes is left .* 2 by the text of a labelled"
    ):
        annotate(notes[3:], model=model, gold=gold, held_out=[held_out])


def test_patients_are_found_in_ids(committee):
    model, _ = committee
    gold = [replace(doc, id=f"p{i}-a") for i, doc in enumerate(gold_docs())]
    notes = [Document("p3-b", "A second note."), Document("p77-b", "Of nobody else.")]
    result = annotate(notes, model=model, gold=gold, patient_from=r"^(p\d+)-")
    assert [doc.id for doc in result.documents()] == ["p77-b"]


def test_dictionary_and_students_vote(committee, setting):
    model, first = committee
    gold = gold_docs()
    result = annotate(note_docs(), model=model, gold=gold, by=["students", "dictionary"])
    own, both = first.scores(), result.scores()
    assert "dictionary of 5 names" in next(result.documents()).provenance.model
    # The dictionary knows "fever" of note 0, so the mean is surer than the students alone.
    [word] = [i for i, (s, e) in enumerate(own["n0"].words) if note_docs()[0].text[s:e] == "fever"]
    assert both["n0"].probabilities[word, 1] != own["n0"].probabilities[word, 1]
    assert both["n0"].words == own["n0"].words


def test_other_settings_and_strangers_are_refused(committee, setting, tmp_path):
    model, _ = committee
    source, options = setting
    out = model.parent / "silver.jsonl"
    before = contents(model.parent)
    for changed, named in (
        ({"students": 3}, "annotate.students"),
        ({"labels": "masked"}, "annotate.labels"),
        ({"seed": 14}, "seed"),
        ({"exact": True}, "exact"),
        ({"held_out": [note_docs(1)[:0] or [Document("q", "Quite other.")]]}, "held-out"),
    ):
        with pytest.raises(ConfigError, match=rf"other settings \(.*{named}"):
            annotate(source / "notes.jsonl", out, **{**options, **changed})
    with pytest.raises(ConfigError, match=r"other settings \(NOTES"):
        annotate(note_docs(4), out, **options)
    assert contents(model.parent) == before
    (tmp_path / "silver.html").write_text("mine")
    with pytest.raises(FileError, match="name another file with --out"):
        annotate(note_docs(), tmp_path / "silver.jsonl", model=model)
    assert (tmp_path / "silver.html").read_text() == "mine"


def test_a_folder_that_is_no_committee_of_ours_stays(committee, setting, tmp_path):
    _, options = setting
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("mine")
    with pytest.raises(FileError, match="name another with --save-model"):
        annotate(
            note_docs(), tmp_path / "silver.jsonl", save_model=tmp_path / "model",
            instead=refuse(), **options,
        )  # fmt: skip
    assert os.listdir(tmp_path / "model") == ["mine"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "name labelled documents with --gold"),
        ({"gold": "x", "by": ["lm"]}, "--by lm: there are students, lm-json, lm-inline, prompted"),
        ({"model": "x", "by": ["lm-json"]}, "learns from labelled documents; name them: --gold"),
        ({"gold": "x", "by": ["lm-json", "lm-json"]}, "names one twice"),
        ({"gold": "x", "changes": ["lm.model=x"]}, "--set lm.model: cannot be set here"),
        (
            {"gold": "x", "by": ["lm-json"], "changes": ["corpus.dev=x"]},
            "--set corpus.dev: cannot be set here",
        ),
        ({"gold": "x", "changes": ["annotate.by=['tagger']"]}, "name annotators with --by"),
        ({"model": "x", "by": ["dictionary"]}, "made of labelled documents"),
        ({"model": "x", "students": 3}, "leave out --model"),
        ({"model": "x", "changes": ["ner.steps=3"]}, "leave out --model"),
        ({"model": "x", "save_model": "y"}, "leave it out"),
        ({"gold": "x", "changes": ["draws.seed=3"]}, "--set draws.seed: cannot be set here"),
        ({"gold": "x", "changes": ["annotate.teachers=['silver']"]}, "names 'silver'"),
        ({"gold": "x", "changes": ["ner.stepz=3"]}, "ner.stepz"),
        ({"gold": "x", "is_preview": True, "save_model": "y"}, "a preview saves no model"),
    ],
)
def test_options_that_do_not_go_together(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        annotate(note_docs(1), tmp_path / "silver.jsonl", **options)
    assert not os.listdir(tmp_path)


def test_a_malformed_note_is_one_line_before_any_work(setting, tmp_path):
    _, options = setting
    notes = tmp_path / "notes.jsonl"
    notes.write_text('{"id": "a", "text": "One."}\n{"id": "b", "text": 7}\n')
    with pytest.raises(CorpusError, match=r"notes\.jsonl:2:"):
        annotate(notes, tmp_path / "out" / "silver.jsonl", instead=refuse(), **options)
    assert not (tmp_path / "out").exists()


def test_fields_of_other_programs_are_notes(committee, tmp_path):
    model, _ = committee
    (tmp_path / "notes.jsonl").write_text(json.dumps({"body": "Severe cough.", "key": "k"}) + "\n")
    result = annotate(tmp_path / "notes.jsonl", model=model, fields=NoteFields("body", "key"))
    assert [doc.id for doc in result.documents()] == ["k"]


def test_a_preview_has_files_of_its_own(setting, tmp_path):
    _, options = setting
    told = []
    result = annotate(
        note_docs(20), tmp_path / "silver.jsonl", is_preview=True, tell=told.append,
        **{**options, "students": 5},
    )  # fmt: skip
    assert "2 students learn from 8 documents" in told[0]
    assert (result.n_trained, result.n_labelled) == (2, 8)
    assert {name.split(".")[0] for name in os.listdir(tmp_path)} == {"silver-preview"}
    assert "Preview" in result.files.card.read_text()


def test_replacement_can_teach_half_of_the_committee(setting):
    _, options = setting
    changes = [*options["changes"], "annotate.teachers=['gold', 'replaced']"]
    seen = []
    result = annotate(
        note_docs(2), **{**options, "students": 1, "changes": changes}, on_cell=seen.append
    )
    assert result.n_trained == 2
    assert {e.cell.arm for e in seen if e.cell.stage.name == "ner"} == {"gold", "replaced"}


def test_the_work_goes_on_after_kills(committee, setting, tmp_path):
    """In training and in labelling; the outcome is that of a call that nobody stopped."""
    model, _ = committee
    source, options = setting
    kept = contents(model.parent)
    rng, out = random.Random(4), tmp_path / "silver.jsonl"
    for _ in range(3):
        child = CONTEXT.Process(target=run_annotate, args=(source / "notes.jsonl", out, options))
        child.start()
        deadline = time.monotonic() + 60
        while child.is_alive() and not (tmp_path / "silver.work").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.join(rng.uniform(0.0, 0.6))
        child.kill()
        child.join()
    annotate(source / "notes.jsonl", out, **options)
    assert contents(tmp_path) == kept
    assert sorted(os.listdir(tmp_path)) == sorted([*NAMES, "silver.work"])


def test_labelling_goes_on_with_the_chunk_that_was_not_done(committee, tmp_path, monkeypatch):
    model, _ = committee
    monkeypatch.setattr(labelling, "CHUNK_DOCS", 4)
    monkeypatch.setattr("notesmith.corpus.labelling.CHUNK_DOCS", 4)
    whole = annotate(note_docs(), tmp_path / "whole" / "silver.jsonl", model=model)
    out = tmp_path / "stopped" / "silver.jsonl"

    def stop(progress):
        if progress.stage == "predict" and progress.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(note_docs(), out, model=model, on_progress=stop)
    again = annotate(note_docs(), out, model=model)
    assert again.n_labelled == 1 and whole.n_labelled == 9
    assert contents(out.parent) == contents(tmp_path / "whole")


def test_a_call_that_only_writes_what_was_labelled_is_no_finished_one(
    committee, tmp_path, monkeypatch
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    out = tmp_path / "silver.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("notesmith.workflows.annotating.render_silver", stop)
        annotate(note_docs(), out, model=committee[0])
    again = annotate(note_docs(), out, model=committee[0])
    assert (again.n_labelled, again.is_new) == (0, True) and out.exists()


def test_a_full_disk_is_one_line_and_the_same_call_goes_on(committee, tmp_path, monkeypatch):
    model, _ = committee
    out = tmp_path / "silver.jsonl"

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for name in ("notesmith.files.write.os.fsync", "notesmith.workflows.beside.os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(name, full)
            with pytest.raises(FileError, match="disk full"):
                annotate(note_docs(), out, model=model)
    annotate(note_docs(), out, model=model)
    annotate(note_docs(), tmp_path / "other" / "silver.jsonl", model=model)
    assert contents(tmp_path) == contents(tmp_path / "other")


def test_two_calls_at_once_are_refused(committee, tmp_path):
    model, _ = committee
    (tmp_path / "silver.work").mkdir()
    child = CONTEXT.Process(target=hold_annotations, args=(tmp_path,))
    child.start()
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        with pytest.raises(StageError, match="another notesmith"):
            annotate(note_docs(), tmp_path / "silver.jsonl", model=model)
    finally:
        child.kill()
        child.join()


def test_a_folder_without_a_student_is_an_error(setting, tmp_path):
    source, _ = setting
    with pytest.raises(ModelError):
        annotate(note_docs(), tmp_path / "silver.jsonl", model=source / "encoder")
    assert not os.listdir(tmp_path)


def test_memory_does_not_grow_with_the_notes(committee, tmp_path):
    """Reading and labelling hold a chunk; the page holds at most sixty notes."""
    peaks = []
    for n in (300, 1200):
        path = tmp_path / f"{n}.jsonl"
        with path.open("w") as file:
            for i in range(n):
                file.write(
                    json.dumps({"id": f"n{i}", "text": f"Note {i}. " + "no pain. " * 200}) + "\n"
                )
        tracemalloc.start()
        found = Unlabelled.of(path, gold_docs(), options=notesmith.ReadingConfig())
        parts = ([doc] for doc in found.notes(labelling.Tally.of(found.found.options)))
        assert sum(len(part) for part in parts) == n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 400_000


def test_memory_of_a_whole_call_does_not_grow_with_the_notes(tmp_path, monkeypatch):
    """Reading, labelling, writing and the page; the first call loads what later ones need."""
    monkeypatch.setattr(labelling, "CHUNK_DOCS", 64)
    peaks = []
    for n in (32, 256, 768):
        path, out = tmp_path / f"{n}.jsonl", tmp_path / f"{len(peaks)}" / "silver.jsonl"
        write_corpus([Document(f"n{i}", f"Note {i}. " + "no pain. " * 20) for i in range(n)], path)
        tracemalloc.start()
        annotate(path, out, gold=gold_docs(), by=["dictionary"])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Of a note its id and hashes of its text are kept, some 300 bytes, and chunks differ. One alone
    # has 200 characters, and 42 words with a row of probabilities each: more than 2,000 bytes.
    assert peaks[2] < peaks[1] + 1000 * (768 - 256)


def test_in_float32_batches_of_other_sizes_give_equal_predictions(committee):
    model, _ = committee
    student = in_float32(load_student(model))
    assert {member.config.bf16 for member in student.members} == {"no"}
    docs = note_docs(30)
    want = student.predict(docs)
    for batch_tokens in (40, 300, 100_000):
        assert student.predict(docs, batch_tokens=batch_tokens) == want
    alone = [found for doc in docs for found in student.predict([doc])]
    assert alone == want


def test_a_student_learns_from_the_distributions(committee, setting):
    _, result = committee
    source, _ = setting
    config = NerConfig(encoder=str(source / "encoder"), steps=2)
    made = list(result.documents())
    plain = notesmith.train_ner(gold_docs(), made, config=config, seed=1)
    soft = notesmith.train_ner(gold_docs(), made, config=config, seed=1, soft=result.scores())
    assert soft.history[-1]["loss"] != plain.history[-1]["loss"]


def test_changed_documents_teach_their_own_labels(committee):
    _, result = committee
    docs = list(result.documents())
    docs[0] = docs[0].with_entities(())
    docs.append(Document("new", "Not in the file."))
    found = taught.soft_labels(result.files.scores, docs, ("Problem",))
    assert found.n_changed == int(bool(next(result.documents()).entities))
    assert found.n_without == 1 and set(found.scores) >= {f"n{i}" for i in range(1, 9)}
    with pytest.raises(ConfigError, match="over the labels Problem, and the student learns Drug"):
        taught.soft_labels(result.files.scores, docs, ("Drug",))


def test_damaged_distributions_are_one_line(committee, tmp_path):
    _, result = committee
    path = tmp_path / "x.scores.npz"
    path.write_bytes(result.files.scores.read_bytes()[:-40])
    with pytest.raises(FileError, match="damaged"):
        taught.soft_labels(path, [], ("Problem",))


def test_labels_in_another_order_move_the_columns(tmp_path):
    doc = Document("d", "a b")
    rows = np.array([[0.5, 0.1, 0.1, 0.2, 0.1], [0.2, 0.3, 0.1, 0.1, 0.3]], np.float32)
    one = notesmith.ner.decode.WordScores(((0, 1), (2, 3)), rows)
    path = tmp_path / "d.scores.npz"
    taught.write_parts(path, ("A", "B"), [taught.Part.of([doc], [one])])
    found = taught.soft_labels(path, [doc], ("B", "A")).scores["d"]
    np.testing.assert_allclose(found.probabilities, rows[:, [0, 3, 4, 1, 2]], atol=1e-3)


def test_the_public_function_is_this_one():
    assert notesmith.annotate is annotate
