"""What of a run may be shared, packed and unpacked by ``recipes/text_free.py``."""

import importlib.util
from pathlib import Path

import pytest

from notesmith.errors import ConfigError
from notesmith.experiment import run_recipe
from notesmith.experiment.folder import run_id

from .doubles import DOUBLES, tiny_recipe, write_notes

ARMS = [{"name": "gold"}, {"name": "replacement", "made": ["replaced"]}]


@pytest.fixture
def text_free():
    path = Path(__file__).parents[2] / "recipes" / "text_free.py"
    spec = importlib.util.spec_from_file_location("text_free", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_archive_unpacks_into_a_run_folder_and_into_no_other(tmp_path, text_free):
    config = tiny_recipe(
        write_notes(tmp_path), arm=ARMS, draws={"curve": []}, evaluate={"against": {}}
    )
    first = run_recipe(config, tmp_path / "first", instead=DOUBLES, cache=tmp_path / "cache")
    archive = tmp_path / "scores.tar.xz"
    n = text_free.pack(tmp_path / "first", archive)
    assert text_free.unpack(archive, tmp_path / "second") == n
    assert run_id(tmp_path / "second") not in ("", run_id(tmp_path / "first"))
    assert not list((tmp_path / "second").rglob("docs.jsonl"))
    again = run_recipe(config, tmp_path / "second", instead=DOUBLES, cache=tmp_path / "cache")
    assert again.n_computed == 0 and again.results.arms == first.results.arms
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match="no run folder"):
        text_free.unpack(archive, tmp_path / "mine")


def test_the_archives_of_the_project_are_whole(tmp_path, text_free):
    import json

    from notesmith.experiment.contents import check, list_files

    archive = Path(__file__).parents[2] / "docs" / "results" / "ncbi-disease-592.tar.xz"
    n = text_free.unpack(archive, tmp_path / "run")
    folders = list((tmp_path / "run").glob("cells/*/*"))
    assert len(folders) == n > 0
    for folder in folders:
        assert check(folder, folder.name, list_files(folder))[1] == "", folder
        assert json.loads((folder / "metrics.json").read_text())["stage"] == folder.parent.name
