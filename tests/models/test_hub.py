"""The hub is asked when a user says so, once for each model, and for nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tomli_w
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.config import LmConfig, RecipeConfig
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ModelError
from notesmith.experiment.gate import sealed_plan
from notesmith.experiment.models import have_models
from notesmith.experiment.recipes import load_recipe
from notesmith.lm.load import load_lm
from notesmith.models import hub
from notesmith.models.fingerprint import fingerprint_model
from notesmith.ner.encoder import load_encoder
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

COMMIT, NEWER = "a" * 40, "b" * 40
PRESETS = {"short": "org/name"}
DOCS = [Document("a", "No fever.", (Entity("T1", "Problem", ((3, 8),)),))]


class Hub:
    """Stands for the hub: what was asked, and what it gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.newest = COMMIT
        self.asked: list[str] = []

    def commit_of(self, hub_id: str) -> str:
        self.asked.append(f"commit of {hub_id}")
        return self.newest

    def download(self, hub_id: str, commit: str, folder: Path) -> None:
        self.asked.append(f"{hub_id}@{commit}")
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@pytest.fixture
def asked(tmp_path, monkeypatch) -> Hub:
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    found = Hub(tiny_encoder(tmp_path / "on-the-hub"))
    monkeypatch.setattr(hub, "commit_of", found.commit_of)
    monkeypatch.setattr(hub, "download", found.download)
    return found


def recipe(tmp_path: Path, **values: object) -> str:
    for name, docs in (
        ("train", DOCS),
        ("test", [Document("t", "Fever.", (Entity("T1", "Problem", ((0, 5),)),))]),
    ):
        write_corpus(docs, tmp_path / f"{name}.jsonl")
    path = tmp_path / "recipe.toml"
    corpus = {name: str(tmp_path / f"{name}.jsonl") for name in ("train", "test")}
    draws = {"sizes": [1], "replicates": 1}
    arms = [{"name": "gold"}]
    path.write_text(
        tomli_w.dumps({"name": "x", "corpus": corpus, "draws": draws, "arm": arms} | values)
    )
    return str(path)


def run(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


# Sockets are blocked in the whole suite: a request would be another error than these.
@pytest.mark.parametrize("name", ["models/our-brt", "biobert", "org/name", f"org/name@{COMMIT}"])
def test_nothing_is_asked_without_the_flag(name, asked, tmp_path):
    path = recipe(tmp_path, ner={"encoder": name, "steps": 2})
    train = ("train", tmp_path / "train.jsonl", "--out", tmp_path / "m", "--set")
    for done in (
        run("run", path, "--out", tmp_path / "r"),
        run(*train, f"ner.encoder={name}"),
    ):
        assert isinstance(done.exception, ModelError), done.output
        said = str(done.exception)
        assert f"{name!r}: " in said and "--hub (or hub = true in the recipe)" in said
    planned = run("plan", path, "--out", tmp_path / "r")
    assert planned.exit_code == 1 and "Leaves the machine: nothing." in planned.output
    assert f"Cannot succeed: ner.encoder {name!r}: " in planned.output
    with pytest.raises(ModelError, match="not on this machine"):
        load_encoder(name, labels=["A"])
    with pytest.raises(ModelError, match="not on this machine"):
        load_lm(LmConfig(model="org/name"), cache=tmp_path / "cache")
    assert asked.asked == []


def test_a_name_that_can_be_no_model_says_what_could(asked, tmp_path):
    (tmp_path / "models").mkdir()
    for name, said in {
        "gemma-nine": r"'gemma-nine': no model folder or preset; presets: .*biobert.*minilm.*--hub",
        "./models/none": r"'\./models/none': no such folder$",
        "/no/such": "no such folder$",
        # Its parent is a folder here: a slip of the pen, and no name on a hub.
        "models/our-brt": "no model folder or preset",
    }.items():
        with pytest.raises(ModelError, match=said):
            load_encoder(name, labels=["A"])
    done = run(*("train", tmp_path, "--out", tmp_path / "m", "--hub", "--set", "ner.encoder=x y"))
    assert done.exception is not None and asked.asked == []


def test_a_model_is_fetched_once_and_pinned(asked, tmp_path):
    train = ("train", tmp_path / "train.jsonl", "--set", "ner.encoder=org/name", "--set")
    recipe(tmp_path)
    done = run(*train, "ner.steps=2", "--hub", "--out", tmp_path / "m")
    assert done.exit_code == 0, done.output
    assert asked.asked == ["commit of org/name", f"org/name@{COMMIT}"]
    said = json.loads((tmp_path / "m" / "notesmith.json").read_text())
    assert said["encoder"] == f"org/name@{COMMIT}"
    # Now it is here: no flag is needed, and a newer commit is not looked for.
    asked.newest = NEWER
    assert run(*train, "ner.steps=2", "--out", tmp_path / "n").exit_code == 0
    assert not hub.fetch("org/name", PRESETS) and len(asked.asked) == 2
    folder = tmp_path / "home" / "hub" / "org--name" / COMMIT
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "config.json").stat().st_mode & 0o777 == 0o600
    # Another commit is another model.
    assert hub.fetch(f"short@{NEWER}", PRESETS)
    assert hub.pinned("short", PRESETS) == f"short@{COMMIT}"
    assert hub.locate(f"short@{NEWER}", PRESETS).name == NEWER
    # A preset may pin one; what the user names comes first.
    assert hub.hub_model("p", {"p": f"org/name@{NEWER}"}).commit == NEWER
    assert hub.hub_model(f"p@{COMMIT}", {"p": f"org/name@{NEWER}"}).commit == COMMIT
    with pytest.raises(ModelError, match="all 40 hex digits"):
        hub.locate("org/name@main", PRESETS)


def test_what_was_fetched_is_checked(asked, tmp_path):
    hub.fetch("org/name", PRESETS)
    folder = hub.locate("org/name", PRESETS)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors: not as it was .* with --hub"):
        load_encoder("org/name", labels=["A"])
    assert hub.fetch("org/name", PRESETS)  # where it may be asked, it is fetched again
    assert asked.asked[-1] == f"org/name@{COMMIT}"
    load_encoder("org/name", labels=["A"])


def test_what_brings_code_is_not_kept(asked, tmp_path):
    config = asked.folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"a": "b.C"}}))
    with pytest.raises(ModelError, match="'auto_map'"):
        hub.fetch("org/name", PRESETS)
    assert not list(hub.HubModel("org/name").root.iterdir())


def test_the_hubs_errors_are_one_line(tmp_path, monkeypatch):
    """The real library, with sockets blocked."""
    monkeypatch.setenv("NOTESMITH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    with pytest.raises(ModelError, match="cannot fetch 'org/name' from the hub"):
        hub.fetch("org/name", PRESETS)


def test_a_recipe_says_whether_the_hub_may_be_asked(asked, tmp_path):
    path = recipe(tmp_path, ner={"encoder": "org/name", "steps": 2})
    config = load_recipe(path)
    assert not config.hub
    with pytest.raises(ModelError, match=r"^ner\.encoder 'org/name': no folder"):
        have_models(config)
    pinned = have_models(load_recipe(path, changes=["hub=true"]))
    assert pinned.ner.encoder == f"org/name@{COMMIT}"
    assert fingerprint_model(pinned.ner.encoder) == f"org/name@{COMMIT}"
    planned = run("plan", path, "--no-probe", "--out", tmp_path / "r", "--hub")
    assert "Leaves the machine: nothing." in planned.output


def test_plan_says_what_would_be_fetched(asked, tmp_path):
    path = recipe(tmp_path, ner={"encoder": "biobert"})
    planned = run("plan", path, "--out", tmp_path / "r", "--hub")
    said = "a request to the model hub for dmis-lab/biobert-base-cased-v1.2 (ner.encoder), once"
    assert said in planned.output and asked.asked == []


def test_a_run_keeps_the_commit_that_it_used(asked, tmp_path):
    ner = {"encoder": "org/name", "steps": 2, "batch_size": 2}
    path = recipe(tmp_path, ner=ner, evaluate={"resamples": 50})
    done = run("run", path, "--out", tmp_path / "r", "--hub")
    assert done.exit_code == 0, done.output
    kept = load_recipe(str(tmp_path / "r" / "recipe.toml"))
    assert kept.ner.encoder == f"org/name@{COMMIT}"
    # Elsewhere, without the model: what was computed is still known as finished.
    shutil.rmtree(tmp_path / "home")
    status = run("status", tmp_path / "r")
    assert status.exit_code == 0 and len(asked.asked) == 2
    assert run("report", tmp_path / "r").exit_code == 0


def test_the_way_a_model_came_is_no_part_of_a_sealed_plan(tmp_path):
    paths = {name: tmp_path / f"{name}.jsonl" for name in ("train", "test")}
    config = load_recipe(recipe(tmp_path))
    other = RecipeConfig.model_validate({**config.model_dump(mode="json"), "hub": True})
    assert sealed_plan(config, paths) == sealed_plan(other, paths)


def test_a_language_model_is_called_by_its_commit(asked, tmp_path):
    lm = save_tiny("llama", tmp_path / "lm")
    for name in ("notesmith.json", "notesmith-files.json"):
        (lm / name).unlink()
    (lm / "README.md").write_text("---\nlicense: mit\n---\n")
    asked.folder = lm
    hub.fetch("org/name", PRESETS)
    found = load_lm(LmConfig(model="org/name", trim=False), cache=tmp_path / "cache", device="cpu")
    assert (found.name, found.licence) == (f"org/name@{COMMIT}", "mit")
