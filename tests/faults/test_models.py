"""Damage to finished models and to the cache, and folders that try to run code."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.config import LmConfig
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.lm import offline, source
from notesmith.lm.load import load_lm
from notesmith.lm.presets import OFFLINE_DEFAULT
from notesmith.lm.training.checkpoints import load_state, save_state
from notesmith.ner import load_student
from tests.models.hostile import HARMLESS, KINDS, SENTINEL, make_hostile

from .conftest import Tried
from .models import (
    DOCS,
    ENCODER_PATHS,
    LM_PATHS,
    STUDENT_PATHS,
    Shelf,
    attempt,
    damages,
    lm_of,
    one_line,
)

Amount = Callable[[int, int], int]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.mark.parametrize("what", ["student", "onnx", "lm"])
def test_damaged_folders_are_one_line(
    what: str, shelf: Shelf, tmp_path: Path, tried: Tried, amount: Amount
) -> None:
    """Not one damage of a folder of ours goes through, however it is loaded."""
    named = {
        "student": "a student's folder",
        "onnx": "an exported student",
        "lm": "a tuned language model",
    }
    rng = random.Random(f"damage {what}")
    for i in range(amount(0 if what == "onnx" else 2, 15)):
        for kind, damage in damages(rng).items():
            folder = shelf.copy(getattr(shelf, what), tmp_path / f"{i}")
            damage(folder)
            load = (lambda f=folder: lm_of(f, tmp_path / "cache")) if what == "lm" else None
            error = attempt(load or (lambda f=folder: load_student(f)))
            tried.count(f"{kind} {named[what]}", one_line(error) and str(folder) in str(error))
            shutil.rmtree(folder)
    tried.check()


def test_a_damaged_cache_is_made_again(
    shelf: Shelf,
    tmp_path: Path,
    tried: Tried,
    amount: Amount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The converted model is checked on every load, and what is damaged is converted anew."""

    def convert(name: str, folder: Path) -> None:
        shutil.copytree(shelf.plain_lm, folder, dirs_exist_ok=True)

    monkeypatch.setattr(offline, "convert", convert)
    config, cache = LmConfig(model=OFFLINE_DEFAULT, trim=False), tmp_path / "cache"
    whole = load_lm(config, cache=cache, device="cpu")
    folder = source.offline_folder(OFFLINE_DEFAULT, cache=cache)
    rng = random.Random("damage cache")
    for _ in range(amount(1, 8)):
        for kind, damage in damages(rng).items():
            damage(folder)
            again = load_lm(config, cache=cache, device="cpu")
            healed = again.fingerprint == whole.fingerprint and all(
                bool((a == b).all())
                for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True)
            )
            tried.count(f"{kind} the cache of converted models", healed)
    tried.check()


def test_a_damaged_state_of_training_is_left_behind(
    tmp_path: Path, tried: Tried, amount: Amount
) -> None:
    """What reinforcement learning resumes from: damaged, it begins anew; nothing in it runs."""
    rng = random.Random("damage state")
    for i in range(amount(1, 8)):
        for kind, damage in damages(rng).items():
            work = tmp_path / str(i) / kind
            work.mkdir(parents=True)
            save_state(work, {"key": "k", "weights": torch.arange(1000.0)})
            damage(work / "state-000001")
            healed = load_state(work, "k") is None and not list(work.iterdir())
            tried.count(f"{kind} a state of training", healed)
    tried.check()


def test_damage_to_a_folder_without_a_list_is_no_traceback(
    shelf: Shelf, tmp_path: Path, tried: Tried, amount: Amount
) -> None:
    """What others made has no list of hashes: a flip may go unseen, but nothing else is raised."""
    rng = random.Random("damage plain")
    paths = {
        shelf.encoder: ENCODER_PATHS["as an encoder"],
        shelf.plain_lm: LM_PATHS["trimmed"],
    }
    for i in range(amount(1, 8)):
        for good, load in paths.items():
            for kind, damage in damages(rng).items():
                folder = shelf.copy(good, tmp_path / f"{i}")
                damage(folder)
                error = attempt(lambda f=folder, load=load: load(f))
                tried.count(
                    f"{kind} a model folder of others: no traceback",
                    error is None or one_line(error),
                )
                shutil.rmtree(folder)
    tried.check()


def test_hostile_folders_run_nothing(
    shelf: Shelf, tmp_path: Path, tried: Tried, amount: Amount
) -> None:
    """Every kind through every path that loads, with yes on the terminal."""
    paths = [
        *(("an encoder", shelf.encoder, how, load) for how, load in ENCODER_PATHS.items()),
        *(("a language model", shelf.plain_lm, how, load) for how, load in LM_PATHS.items()),
        *(("a tuned model", shelf.lm, how, load) for how, load in LM_PATHS.items()),
        *(("a student", shelf.student, how, load) for how, load in STUDENT_PATHS.items()),
    ]
    if amount(0, 1):
        load_exported = STUDENT_PATHS["load_student"]
        paths.append(("an exported student", shelf.onnx, "load_student", load_exported))
    every = [(kind, path) for kind in KINDS for path in paths]
    chosen = random.Random("hostile").sample(every, min(len(every), amount(40, len(every))))
    for i, (kind, (what, good, how, load)) in enumerate(chosen):
        place = tmp_path / str(i)
        place.mkdir()
        folder = shelf.copy(good, place / "model")
        make_hostile(folder, kind)
        error = attempt(lambda f=folder, load=load: load(f))
        ran = (place / SENTINEL).exists()
        # A path that reads the weights refuses the folder; others may not see what is wrong.
        unseen = kind in HARMLESS or how == "its tokenizer" or what == "an exported student"
        survived = not ran and (one_line(error) or (error is None and unseen))
        tried.count(f"hostile model folder loaded as {what}", survived)
        assert survived, (kind, what, how, ran, error)
        shutil.rmtree(place)
    tried.check()


def _commands(shelf: Shelf, what: str, folder: Path, place: Path) -> dict[str, list[str]]:
    """Commands that load a folder of a kind, by name; what they write goes to ``place``."""
    gold, out = str(shelf.gold), ["--out", str(place / "out")]
    if what == "student":
        return {
            "predict": ["predict", str(folder), gold, *out],
            "thresholds": ["thresholds", str(folder), gold],
            "export": ["export", str(folder), *out],
            "reward": ["reward", gold, "--model", str(folder)],
        }
    test, recipe = place / "test.jsonl", place / "recipe.toml"
    write_corpus([Document("t", "No fever.", (Entity("T1", "Problem", ((3, 8),)),))], test)
    encoder, lm = (folder, shelf.plain_lm) if what == "encoder" else (shelf.encoder, folder)
    values: dict[str, Any] = {
        "name": "hostile",
        "corpus": {"train": gold, "test": str(test)},
        "draws": {"sizes": [2], "replicates": 1},
        "ner": {"steps": 2, "encoder": str(encoder)},
        "lm": {"model": str(lm), "trim": False},
        "synthesize": {"names": {"proposals": 2}},
        "arm": [{"name": "gold"}],
    }
    if what != "encoder":
        values["arm"].append({"name": "made", "made": ["synthetic"]})
    recipe.write_text(tomli_w.dumps(values))
    stage = "ner" if what == "encoder" else "names"
    run = {
        "run": ["run", str(recipe), *out, "--only", f"stage={stage}"],
        "plan": ["plan", str(recipe), *out],
    }
    if what == "encoder":
        run["train"] = [
            "train",
            gold,
            *out,
            "--set",
            f"ner.encoder={folder}",
            "--set",
            "ner.steps=2",
        ]
    return run


def test_commands_run_nothing_of_a_model(
    shelf: Shelf, tmp_path: Path, tried: Tried, amount: Amount
) -> None:
    """The same through every command that takes a model's name."""
    goods = ("encoder", "student", "plain_lm")
    (tmp_path / "names").mkdir()
    every = [
        (kind, what, command)
        for kind in KINDS
        for what in goods
        for command in _commands(shelf, what, Path("model"), tmp_path / "names")
    ]
    chosen = random.Random("commands").sample(every, min(len(every), amount(5, len(every))))
    for i, (kind, what, command) in enumerate(chosen):
        place = tmp_path / str(i)
        place.mkdir()
        folder = shelf.copy(getattr(shelf, what), place / "model")
        make_hostile(folder, kind)
        arguments = _commands(shelf, what, folder, place)[command]
        env = {"NOTESMITH_HOME": str(place / "home")}
        done = CliRunner().invoke(app, arguments, input="y\n" * 20, env=env)
        ran = (place / SENTINEL).exists()
        refused = one_line(done.exception) and str(folder) in str(done.exception)
        survived = not ran and (refused or (kind in HARMLESS and done.exit_code == 0))
        tried.count(f"hostile model folder named to {command}", survived)
        assert survived, (kind, what, command, done.output, done.exception)
        shutil.rmtree(place)
    tried.check()


def test_what_is_not_damaged_loads_and_predicts_as_before(shelf: Shelf, amount: Amount) -> None:
    for folder in (shelf.student, *((shelf.onnx,) if amount(0, 1) else ())):
        assert [d.entities for d in load_student(folder).predict(DOCS)] == shelf.expected
