"""The packaged recipes: what each is for, and its text. It loads little: shells complete names."""

from __future__ import annotations

from importlib import resources


def packaged_recipes() -> dict[str, str]:
    """Names of the packaged recipes and the first comment line of each."""
    found = {}
    for entry in resources.files("notesmith.experiment").joinpath("recipes").iterdir():
        if entry.name.endswith(".toml"):
            first = entry.read_text(encoding="utf-8").partition("\n")[0]
            found[entry.name.removesuffix(".toml")] = first.lstrip("# ").strip()
    return dict(sorted(found.items()))


def packaged_recipe(name: str) -> str:
    """The text of one of them, as TOML."""
    entry = resources.files("notesmith.experiment") / "recipes" / f"{name}.toml"
    return entry.read_text(encoding="utf-8")
