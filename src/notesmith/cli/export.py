"""``notesmith export``: a trained student as an ONNX model, to predict without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.screen import say
from notesmith.errors import FileError


def export(
    model: Annotated[Path, typer.Argument(help="Folder that notesmith train or run saved.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to make for the exported model.")],
) -> None:
    """Export a model to ONNX; predict, thresholds and spaCy take the folder like any other.

    The exported model is run beside the original. A difference is an error, and nothing is written.
    """
    if out.exists():
        raise FileError(f"{out}: exists already; name another folder with --out")
    from functools import partial

    from notesmith.ner.model import load_ner
    from notesmith.ner.onnx_export import export_onnx
    from notesmith.ner.votes import members_of, write_votes

    differences: list[float] = []

    def write(member: Path, folder: Path) -> None:
        differences.append(export_onnx(load_ner(member), folder))

    if members := members_of(model):
        write_votes(out, [partial(write, member) for member in members])
    else:
        write(model, out)
    kind = f"ONNX, {len(members)} students that vote" if members else "ONNX"
    say(f"{out}: {kind}, tag probabilities within {max(differences):.1g} of the model's own")
