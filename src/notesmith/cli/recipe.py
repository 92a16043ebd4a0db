"""The argument that names a recipe: help lists the packaged ones, and a shell completes them."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand


def complete_recipe(incomplete: str) -> list[tuple[str, str]]:
    """Packaged recipes that begin with ``incomplete``; if there are none, shells complete files."""
    from notesmith.experiment.packaged import packaged_recipes

    return [found for found in packaged_recipes().items() if found[0].startswith(incomplete)]


Recipe = Annotated[
    str,
    typer.Argument(
        help="Name of a packaged recipe, or path of a TOML file.", autocompletion=complete_recipe
    ),
]


class ListsRecipes(TyperCommand):
    """A command whose help ends with the packaged recipes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the packaged recipes at its end."""
        recipes = (f"  {name}: {what}" for name, what in complete_recipe(""))
        self.epilog = "\n".join(("Packaged recipes:", *recipes))
        super().format_help(ctx, formatter)
