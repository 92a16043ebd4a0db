import pytest
from tests.experiment.doubles import DOUBLES, tiny_recipe, write_notes
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.errors import ConfigError
from notesmith.experiment import run_recipe
from notesmith.experiment.places import find_runs


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    config = tiny_recipe(write_notes(folder), draws={"curve": [], "replicates": 1})
    run_recipe(config, folder / "runs" / "one", only=["arm=gold"], instead=DOUBLES)
    (folder / "recipe.toml").write_text("")  # of init: no run
    return folder


@pytest.mark.parametrize("place", ["", "runs", "runs/one", "runs/one/cells"])
def test_status_and_report_find_the_run_from_any_folder(project, monkeypatch, place):
    monkeypatch.chdir(project / place)
    done = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "gold" not in done.output and "score" in done.output
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 0, done.output
    assert "report.html" in done.output


def test_several_runs_are_shown_and_one_is_named_for_a_report(project, monkeypatch, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "runs").mkdir(exist_ok=True)
        (tmp_path / "runs" / name).symlink_to(project / "runs" / "one")
    assert find_runs(tmp_path) == [tmp_path / "runs" / "a", tmp_path / "runs" / "b"]
    done = CliRunner().invoke(app, ["status", str(tmp_path)], env={"COLUMNS": "400"})
    assert done.output.count("score") == 2
    done = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert done.exit_code == 1 and "2 runs, name one: " in str(done.exception)


def test_where_no_run_is_it_says_so(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(ConfigError, match="no run here, around or below; notesmith run RECIPE"):
        find_runs(tmp_path)
    with pytest.raises(ConfigError, match=r"no run here \(no such folder\)"):
        find_runs(tmp_path / "nowhere")
