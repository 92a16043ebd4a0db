"""Documents with their entities in colour: rich text for a terminal."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence

from rich.text import Text

from notesmith.document import Document
from notesmith.marked import hues, pieces, tag, visible


def terminal_text(
    doc: Document, *, colours: Mapping[str, float] | None = None, plain: bool = False
) -> Text:
    """Return one document as rich text: a heading line, the text, its relations.

    Args:
        doc: the document.
        colours: hue in degrees by label, so that several documents agree; its own labels if absent.
        plain: write ``[mention|Label]`` instead of colours, for pipes and colourless terminals.
    """
    by_label = colours or hues([doc])
    out = Text()
    out.append(visible(doc.id), style="bold")
    out.append(f"  {doc.provenance.kind}\n\n", style="dim")
    for piece in pieces(doc):
        if plain:
            out.append("[" * piece.n_starting)
            out.append(visible(piece.text))
            out.append("".join(f"|{visible(tag(ent))}]" for ent in piece.ending))
        else:
            style = "" if piece.label is None else _style(by_label.get(piece.label, 0.0))
            out.append(visible(piece.text), style=style)
            for ent in piece.ending:
                own = _style(by_label.get(ent.label, 0.0))
                out.append(f" {visible(tag(ent))} ", style=f"italic {own}")
    out.append("\n")
    _append_relations(out, doc)
    return out


def _append_relations(out: Text, doc: Document) -> None:
    mentions = {ent.id: visible(ent.mention(doc.text)) for ent in doc.entities}
    if doc.relations or doc.concept_relations:
        out.append("\n")
    for rel in doc.relations:
        arrow = "↔" if rel.symmetric else "→"
        out.append(f"{visible(rel.label)}: ", style="dim")
        out.append(f"{mentions[rel.head]} {arrow} {mentions[rel.tail]}\n")
    for link in doc.concept_relations:
        out.append(f"{visible(link.label)}: ", style="dim")
        out.append(f"{visible(link.head)} → {visible(link.tail)}\n")


def _style(hue: float) -> str:
    # Black on a light ground reads on any terminal, whatever its own colours are.
    red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue / 360, 0.82, 0.75))
    return f"#111111 on #{red:02x}{green:02x}{blue:02x}"


def legend(colours: Mapping[str, float]) -> Text:
    """Return the labels, each in its colour."""
    out = Text()
    for label, hue in colours.items():
        out.append(f" {visible(label)} ", style=_style(hue))
        out.append(" ")
    return out


def select(docs: Sequence[Document], *, ids: Sequence[str] = (), limit: int = 0) -> list[Document]:
    """Return the documents with one of ``ids`` (all if empty), the first ``limit`` (0: all)."""
    wanted = set(ids)
    found = [doc for doc in docs if not wanted or doc.id in wanted]
    return found[:limit] if limit else found
