"""``synthesize`` with stand-ins for the stages that need torch, and with tiny random models."""

import json
import logging
import os
import random
import stat
import time

import pytest
from typer.testing import CliRunner

import notesmith
from notesmith.cli.app import app
from notesmith.corpus import read_corpus, write_corpus
from notesmith.errors import ConfigError, CorpusError, FileError, ModelError, StageError
from notesmith.experiment import stages
from notesmith.experiment.artefacts import dropped_of
from notesmith.experiment.stages.given import ABOUT
from notesmith.workflows import hours
from notesmith.workflows.synthesize import synthesize
from tests.experiment.doubles import DOUBLES, note
from tests.lm.tiny import save_tiny
from tests.processes import CONTEXT

from .children import LOOSE, hold, make, run_doubles
from .test_hours import SPEEDS

NAMES = ("made.jsonl", "made.dropped.jsonl", "made.html", "made.md")


@pytest.fixture
def notes(tmp_path):
    path = tmp_path / "notes.jsonl"
    write_corpus([note("train", i) for i in range(14)], path)
    return path


def contents(folder):
    return {name: (folder / name).read_bytes() for name in NAMES}


def refuse(stage="nothing may be computed"):
    def fail(work):
        raise AssertionError(stage)

    return dict.fromkeys(("draw", "names", "sft", "sample", "filter"), fail)


def test_everything_stands_beside_the_output(notes, tmp_path):
    result = make(notes, tmp_path / "out" / "made.jsonl")
    folder = tmp_path / "out"
    assert sorted(os.listdir(folder)) == sorted([*NAMES, "made.work"])
    for path in folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert read_corpus(folder / "made.jsonl").docs == list(result.kept)
    assert {doc.provenance.kind for doc in result.kept} == {"synthetic"}
    text = (folder / "made.dropped.jsonl").read_text()
    assert tuple(dropped_of(text)) == result.dropped
    assert {d.reason for d in result.dropped} == {"no end"}
    assert result.counts == {"kept": 13, "no end": 1}
    labels = {label.label: label for label in result.summary.labels}
    assert (labels["Sign"].requested, labels["Sign"].missing, labels["Sign"].kept) == (14, 0, 13)
    assert labels["Test"].requested == 0
    assert "asks 3 questions" in (folder / "made.html").read_text()
    card = (folder / "made.md").read_text()
    assert "14 documents" in card and "Not measured" in card and "F1" not in card
    assert "questions" not in card and "no end | 1 |" in card


def test_a_second_run_does_nothing(notes, tmp_path):
    out = tmp_path / "made.jsonl"
    first = make(notes, out)
    before, times = contents(tmp_path), {n: (tmp_path / n).stat().st_mtime_ns for n in NAMES}
    again = make(notes, out, instead=refuse())
    assert again.n_computed == 0 and first.n_computed == 5
    assert (again.kept, again.dropped, again.summary) == (first.kept, first.dropped, first.summary)
    assert contents(tmp_path) == before
    assert {n: (tmp_path / n).stat().st_mtime_ns for n in NAMES} == times


def test_a_file_that_is_gone_is_written_again_without_work(notes, tmp_path):
    out = tmp_path / "made.jsonl"
    make(notes, out)
    before = contents(tmp_path)
    (tmp_path / "made.html").unlink()
    assert make(notes, out, instead=refuse()).n_computed == 0
    assert contents(tmp_path) == before


def test_kills_change_nothing(notes, tmp_path):
    make(notes, tmp_path / "whole" / "made.jsonl")
    rng = random.Random(3)
    out = tmp_path / "killed" / "made.jsonl"
    for _ in range(8):
        child = CONTEXT.Process(target=run_doubles, args=(notes, out))
        child.start()
        child.join(rng.uniform(0.05, 0.4))
        child.kill()
        child.join()
    child = CONTEXT.Process(target=run_doubles, args=(notes, out))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert contents(out.parent) == contents(tmp_path / "whole")
    assert sorted(os.listdir(out.parent)) == sorted([*NAMES, "made.work"])


@pytest.mark.parametrize("name", [*NAMES, "made.work"])
def test_what_is_not_ours_stays(notes, tmp_path, name):
    path = tmp_path / name
    if name == "made.work":
        path.mkdir()
        path = path / "mine.txt"
    path.write_text("mine")
    with pytest.raises(FileError, match="--out"):
        make(notes, tmp_path / "made.jsonl", instead=refuse())
    assert path.read_text() == "mine"
    assert name == "made.work" or not (tmp_path / "made.work").exists()


def test_a_damaged_marker_is_no_reason_to_overwrite(notes, tmp_path):
    make(notes, tmp_path / "made.jsonl")
    before = contents(tmp_path)
    marker = tmp_path / "made.work" / "notesmith-work.json"
    marker.write_text(marker.read_text().replace('"kept"', '"held"', 1))
    with pytest.raises(FileError, match="damaged"):
        make(notes, tmp_path / "made.jsonl", n=3)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_edited_stays(notes, tmp_path, name):
    out = tmp_path / "made.jsonl"
    make(notes, out)
    (tmp_path / name).write_text("edited")
    with pytest.raises(FileError, match="changed since"):
        make(notes, out)
    assert (tmp_path / name).read_text() == "edited"


def test_other_settings_are_refused_by_name(notes, tmp_path):
    out = tmp_path / "made.jsonl"
    make(notes, out)
    before = contents(tmp_path)
    for options, named in (
        ({"n": 7}, "synthesize.units"),
        ({"seed": 14}, "seed"),
        ({"changes": [*LOOSE, "sft.epochs=0.5"]}, "sft.epochs"),
        ({"held_out": [notes]}, "held-out"),
        ({"rl": True}, "arm.rl"),
    ):
        with pytest.raises(ConfigError, match=rf"other settings \({named}.*--out"):
            make(notes, out, **options)
    write_corpus([note("train", i) for i in range(13)], notes)
    with pytest.raises(ConfigError, match=r"\(GOLD"):
        make(notes, out)
    assert contents(tmp_path) == before


def test_other_settings_are_taken_while_nothing_was_computed(notes, tmp_path, monkeypatch):
    out = tmp_path / "made.jsonl"
    monkeypatch.setattr(hours, "measured_speeds", lambda *arguments, **options: SPEEDS)
    with pytest.raises(ConfigError, match="too little"):
        make(notes, out, hours=0.0001)
    assert make(notes, out, hours=0.5).n_computed == 5
    with pytest.raises(ConfigError, match=r"other settings \(hours"):
        make(notes, out, hours=0.6)


def test_documents_as_values_leave_nothing_behind(notes, tmp_path):
    docs = read_corpus(notes).docs
    before = sorted(tmp_path.rglob("*"))
    home = os.environ["NOTESMITH_HOME"]
    result = make(docs, None)
    assert result.files is None
    assert sorted(tmp_path.rglob("*")) == before
    assert not [name for name in os.listdir(home) if "synthesize" in name]
    assert result.kept == make(notes, tmp_path / "made.jsonl").kept


def test_what_is_held_out_is_not_repeated(notes, tmp_path):
    free = make(notes, tmp_path / "free.jsonl")
    made, other = [free.kept[0]], [note("dev", 1).with_entities([])]
    result = make(notes, tmp_path / "made.jsonl", held_out=[made, other])
    again = [d for d in result.dropped if d.reason == "repeats a held-out document"]
    assert [d.candidate.id for d in again] == [free.kept[0].id]
    assert again[0].match == "held-out text" and again[0].likeness == 1.0
    assert free.kept[0].id not in {doc.id for doc in result.kept}
    # The order in which they are named is no setting.
    assert make(notes, tmp_path / "made.jsonl", held_out=[other, made]).n_computed == 0


def committee(work):
    return stages.committee.Measured(members=0)


def rl(work):
    DOUBLES["sft"](work)
    told = {"method": "grpo", "placebo": False, "steps": 1, "best_step": 1, "stopped": None}
    spent = {"tokens": 0, "sampled_tokens": 0, "training_seconds": 0.0, "history": ()}
    return stages.rl.Measured(**told, **spent)


def test_rewards_come_after_fine_tuning(notes, tmp_path):
    started = []
    instead = {**DOUBLES, "rl": rl, "committee": committee}
    make(notes, tmp_path / "made.jsonl", rl=True, instead=instead, on_cell=started.append)
    names = [event.cell.stage.name for event in started if event.kind == "start"]
    assert names.index("sft") < names.index("rl") < names.index("sample")
    assert "learnt from rewards" in (tmp_path / "made.md").read_text()


def test_what_fits_into_the_hours_stays_when_the_speeds_change(notes, tmp_path, monkeypatch):
    out = tmp_path / "made.jsonl"
    found = []
    monkeypatch.setattr(hours, "measured_speeds", lambda *arguments, **options: SPEEDS)
    make(notes, out, hours=0.5, tell=found.append)
    assert "asks for" in found[0] and "after 1 pass of" in found[0]
    monkeypatch.setattr(hours, "measured_speeds", None)
    assert make(notes, out, hours=0.5, instead=refuse()).n_computed == 0
    with pytest.raises(ConfigError, match=r"other settings \(hours"):
        make(notes, out, hours=0.6)


def test_two_commands_at_once_are_refused(notes, tmp_path):
    (tmp_path / "made.work").mkdir()
    code = CONTEXT.Process(target=hold, args=(tmp_path,))
    code.start()
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        with pytest.raises(StageError, match="another notesmith"):
            make(notes, tmp_path / "made.jsonl")
    finally:
        code.kill()
        code.join()


def test_a_preview_has_files_of_its_own(notes, tmp_path):
    told = []
    result = make(notes, tmp_path / "made.jsonl", is_preview=True, tell=told.append)
    assert told[0].startswith("gold: 8 documents of 14; asks for")
    assert sorted(p.name for p in tmp_path.glob("made*"))[0] == "made-preview.dropped.jsonl"
    assert result.summary.asked == 8
    assert make(notes, tmp_path / "made.jsonl").summary.asked == 14


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"changes": ["draws.sizes=[5]"]}, "draws.sizes"),
        ({"changes": ["corpus.test=demo:test"]}, "corpus.test"),
        ({"changes": ['arm.synthetic.made=["replaced"]']}, "arm.synthetic.made"),
        ({"changes": ["arm.synthetic.tuned=false"]}, "arm.synthetic.tuned"),
        ({"changes": ["arm.gold.amount=2"]}, "arm.gold.amount"),
        ({"changes": ["sft.epoch=1"]}, "sft.epoch"),
        ({"is_preview": True, "hours": 1.0}, "preview"),
        ({"hours": float("inf")}, "--hours inf"),
        ({"rl": True, "generator": "x"}, "x: no saved generator"),
    ],
)
def test_options_that_do_not_go_together(notes, tmp_path, options, said):
    with pytest.raises((ConfigError, ModelError), match=said):
        make(notes, tmp_path / "made.jsonl", **options)
    assert os.listdir(tmp_path) == ["notes.jsonl"]


def test_places_that_would_be_read_as_gold(notes, tmp_path):
    with pytest.raises(ConfigError, match="folder that is read"):
        make(tmp_path, tmp_path / "made.jsonl")
    with pytest.raises(ConfigError, match=r"ends in \.jsonl"):
        make(notes, tmp_path / "made")
    (tmp_path / "corpus").mkdir()
    for split in ("train", "test"):
        write_corpus([note(split, 0)], tmp_path / "corpus" / f"{split}.jsonl")
    with pytest.raises(ConfigError, match="name the one to learn from"):
        make(tmp_path / "corpus", tmp_path / "made.jsonl")
    write_corpus([note("train", 0).with_entities(())], notes)
    with pytest.raises(CorpusError, match="no document has a labelled mention"):
        make(notes, tmp_path / "made.jsonl")


def test_errors_and_logs_hold_no_text(notes, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    told = []
    result = make(notes, tmp_path / "made.jsonl", tell=told.append)
    words = {word for doc in result.kept for word in doc.text.split() if len(word) > 6}
    said = " ".join([*told, caplog.text, repr(result)])
    marker = (tmp_path / "made.work" / "notesmith-work.json").read_text()
    assert not [word for word in words if word in said or word in marker]


def test_the_command_says_what_came_of_it_and_what_is_next(notes, tmp_path, monkeypatch):
    def with_doubles(*arguments, **options):
        return synthesize(*arguments, **options, instead=DOUBLES)

    monkeypatch.setattr("notesmith.workflows.synthesize.synthesize", with_doubles)
    out = tmp_path / "made.jsonl"
    words = ["synthesize", str(notes), "--out", str(out)]
    words += [part for change in LOOSE for part in ("--set", change)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "Kept 13 of 14 texts" in done.stdout and "dropped 1: no end" in done.stdout
    assert "Sign: 14 mentions requested, 0 missing; 13 in kept text" in done.stdout
    assert f"notesmith train {notes} --made {out} --out {tmp_path / 'model'}" in done.stdout
    again = CliRunner().invoke(app, words)
    assert "is finished already; nothing was computed" in again.stdout


def test_listed_concepts_are_counted_and_are_a_setting(notes, tmp_path):
    concepts = tmp_path / "signs.txt"
    concepts.write_text("cough\nquinsy\n")
    changes = [*LOOSE, f"synthesize.concepts.Sign={concepts}", "synthesize.per_concept=2"]
    result = make(notes, tmp_path / "made.jsonl", changes=changes)
    assert result.summary.steered["Sign"]["concepts"] == 2
    assert make(notes, tmp_path / "made.jsonl", changes=changes).n_computed == 0
    concepts.write_text("cough\n")
    with pytest.raises(ConfigError, match=r"lists\.concepts\.Sign"):
        make(notes, tmp_path / "made.jsonl", changes=changes)


def test_ctrl_c_says_that_the_same_command_goes_on(notes, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("notesmith.workflows.synthesize.run_cells", interrupt)
    done = CliRunner().invoke(app, ["synthesize", str(notes), "--out", str(tmp_path / "m.jsonl")])
    assert done.exit_code == 130
    assert "the same command goes on where it was" in done.stderr


# With tiny random models: the stages' own functions.


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    lm = save_tiny("gemma3", folder / "lm")
    write_corpus([note("train", i) for i in range(8)], folder / "notes.jsonl")
    changes = [
        *(f'lm.model="{lm}"', "lm.trim=false", "sft.epochs=0.2", "sft.batch_size=4"),
        *("synthesize.names.proposals=6", "sample.max_new_tokens=12", "sample.batch_size=4"),
        *("filter.require_requested=false", "filter.min_words=0"),
    ]

    def run(out, **options):
        return synthesize(folder / "notes.jsonl", out, **{"n": 6, "changes": changes, **options})

    first = run(folder / "made.jsonl", save_generator=folder / "generator")
    return folder, run, first


def test_a_saved_generator_writes_other_text_another_day(tiny, tmp_path, monkeypatch):
    folder, run, first = tiny
    for stage in ("names", "sft", "rl"):
        monkeypatch.setattr(f"notesmith.experiment.stages.{stage}.cell", None)
    same = {"generator": folder / "generator", "changes": ()}
    result = run(tmp_path / "more.jsonl", seed=14, **same)
    texts = [
        {c.candidate.marked for c in r.dropped} | {d.text for d in r.kept} for r in (first, result)
    ]
    assert result.summary.asked == 6 and texts[0] != texts[1]
    third = run(tmp_path / "third.jsonl", seed=15, **same)
    assert {d.text for d in third.kept} != {d.text for d in result.kept} or not third.kept


def test_the_card_says_that_the_generator_is_of_other_documents(tiny, tmp_path):
    folder, _, _ = tiny
    other = [note("train", i) for i in range(20, 26)]
    out = tmp_path / "more.jsonl"
    synthesize(other, out, n=2, seed=14, generator=folder / "generator")
    card = (tmp_path / "more.md").read_text()
    assert "tuned on 8 gold documents" in card and "train: 6 documents" in card
    assert "tuned before, on documents other than those given" in card
    assert "compared with the documents given alone" in card


def test_a_generator_is_a_model_folder_with_a_warning(tiny):
    folder, run, _ = tiny
    from notesmith.config import LmConfig
    from notesmith.lm.load import load_lm

    lm = load_lm(LmConfig(model=str(folder / "generator"), trim=False), cache=folder / "cache")
    assert lm.reserved
    assert (
        "Guard this folder as you guard the notes" in (folder / "generator/README.md").read_text()
    )
    about = json.loads((folder / "generator" / ABOUT).read_text())
    assert about["labels"] == ["Sign", "Test"] and about["seed"] == 13
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in (folder / "generator").iterdir())
    again = run(folder / "made.jsonl", save_generator=folder / "generator")
    assert again.n_computed == 0 and again.generator == folder / "generator"


def test_a_generator_can_be_saved_after_the_fact(tiny):
    folder, run, _ = tiny
    result = run(folder / "made.jsonl", save_generator=folder / "later")
    assert result.n_computed == 0
    one, other = ((folder / name / "model.safetensors") for name in ("generator", "later"))
    assert one.read_bytes() == other.read_bytes()


def test_generators_that_do_not_fit(tiny, tmp_path):
    folder, run, _ = tiny
    saved, out = folder / "generator", tmp_path / "more.jsonl"
    with pytest.raises(ConfigError, match="would write the same again"):
        run(out, generator=saved, changes=())
    with pytest.raises(ConfigError, match=r"sft.unit: the generator was tuned with another"):
        run(out, generator=saved, seed=14, changes=["sft.unit=document"])
    with pytest.raises(ModelError, match="no saved generator"):
        run(out, generator=folder / "lm", seed=14)
    with pytest.raises(ConfigError, match="leave it out with --generator"):
        run(out, generator=saved, seed=14, rl=True, changes=())
    docs = [d.with_entities(d.entities[:1]) for d in read_corpus(folder / "notes.jsonl").docs]
    with pytest.raises(
        ConfigError, match="writes the labels Sign, Test, and the documents have Si"
    ):
        synthesize(docs, out, generator=saved, seed=14)
    with pytest.raises(FileError, match="holds something else"):
        run(folder / "made.jsonl", save_generator=folder / "lm")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in saved.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes())
    (damaged / ABOUT).write_text("{}")
    with pytest.raises(ModelError, match="not as it was written"):
        run(out, generator=damaged, seed=14)
    assert os.listdir(tmp_path) == ["damaged"]


def test_a_true_run_goes_on_after_a_kill(tiny, tmp_path):
    folder, run, first = tiny

    def stop(event):
        if event.kind == "start" and event.cell.stage.name == "sample":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "made.jsonl", on_cell=stop)
    result = run(tmp_path / "made.jsonl")
    assert contents(tmp_path) == contents(folder)
    assert result.n_computed == 2 and result.kept == first.kept


def test_the_public_function_is_this_one():
    assert notesmith.synthesize is synthesize
