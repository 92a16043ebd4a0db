"""What a shell is given to complete, and what help says of recipes."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.experiment.packaged import packaged_recipes


def completed(line: str) -> list[str]:
    """What bash is given for the last word of ``line``."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    env = {**asked, "_NOTESMITH_COMPLETE": "complete_bash"}
    done = CliRunner().invoke(app, [], prog_name="notesmith", env=env)
    assert done.exit_code == 0 and done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("notesmith eva", ["evaluate"]),
        ("notesmith corpus spl", ["split"]),
        ("notesmith run --max", ["--max-minutes"]),
        ("notesmith run quick", ["quickstart", "quickstart-rl"]),
        ("notesmith plan bc5cdr-", ["bc5cdr-rl"]),
        # Nothing of ours, so that the shell completes names of files.
        ("notesmith run ours.to", []),
        ("notesmith evaluate gold", []),
    ],
)
def test_commands_options_and_recipes_are_completed(line: str, found: list[str]) -> None:
    assert completed(line) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_the_shell_is_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = CliRunner().invoke(app, ["--show-completion", shell], prog_name="notesmith")
    assert done.exit_code == 0 and "_NOTESMITH_COMPLETE=complete_" in done.output


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_lists_the_packaged_recipes(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    shown = " ".join(done.output.split())
    for name, what in packaged_recipes().items():
        assert f"{name}: {what}" in shown
