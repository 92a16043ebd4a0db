"""``notesmith show``: documents with their entities in colour, in the terminal or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from notesmith.cli.reading import read_saying, reads_documents
from notesmith.cli.screen import Screen
from notesmith.config.corpus import ReadingConfig


@reads_documents()
def show(
    path: Annotated[Path, typer.Argument(help="Corpus file or folder.")],
    options: ReadingConfig,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Show the document with this id; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most documents to show; 0 for all.")] = 5,
    html: Annotated[
        Path | None, typer.Option(help="HTML page to write. It holds note text.")
    ] = None,
) -> None:
    """Show documents with their entities in colour."""
    from notesmith.errors import CorpusError
    from notesmith.files.write import atomic_write_text, must_be_new
    from notesmith.marked import hues
    from notesmith.report.html import render_documents
    from notesmith.report.show import legend, select, terminal_text

    if html is not None:
        must_be_new(html)
    found = read_saying(path, options, expect_mentions=False)
    docs = select(found, ids=ids or (), limit=0 if ids else limit)
    if not docs:
        raise CorpusError(f"{path}: no document has the id {', '.join(ids or [])}")
    console = Screen()
    if html is not None:
        atomic_write_text(html, render_documents(docs, title=path.name))
        console.print(f"{html} (holds note text)", highlight=False, soft_wrap=True)
        return
    plain = console.color_system is None
    colours = hues(docs)
    for i, doc in enumerate(docs):
        if i:
            console.rule(style="dim")
        console.print(terminal_text(doc, colours=colours, plain=plain), soft_wrap=plain)
    if not plain:
        console.print(legend(colours))
    if len(docs) < len(found) and not ids:
        console.print(
            f"{len(docs)} of {len(found)} documents; --limit 0 shows all.", highlight=False
        )
