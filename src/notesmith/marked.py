"""Marked text cut at every border of a mark, for the terminal, for pages and for notebooks alike.

Nested, crossing and discontinuous marks all show: a piece knows every mark that covers it. What is
shown is a ``Document``; this module lies below that class, and says what it needs of it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Protocol

# Degrees around the colour wheel; neighbours in the list are far apart, so that the first labels
# of a set are told apart easily. Past the end the wheel is walked by the golden angle.
_HUES = (212, 24, 142, 330, 48, 264, 178, 4, 96, 292)
_GOLDEN_ANGLE = 137.508
LAYERS = 16
"""Entities shown over one another at most."""


class Mark(Protocol):
    """What is needed of an entity."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def spans(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def attributes(self) -> tuple[str, ...]: ...


class MarkedText(Protocol):
    """What is needed of a document."""

    @property
    def text(self) -> str: ...
    @property
    def entities(self) -> Sequence[Mark]: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, the entities that cover it (outermost first), and those that end here.

    Of more than ``LAYERS`` entities the innermost cover it; ``n_starting`` counts all that begin.
    """

    text: str
    covering: tuple[Mark, ...] = ()
    ending: tuple[Mark, ...] = ()
    n_starting: int = 0

    @property
    def label(self) -> str | None:
        """Label of the innermost entity."""
        return self.covering[-1].label if self.covering else None


def pieces(doc: MarkedText) -> list[Piece]:
    """Cut ``doc`` at every border; joined, the pieces give its text back."""
    borders = sorted(
        {0, len(doc.text), *(o for ent in doc.entities for span in ent.spans for o in span)}
    )
    # A sweep, so that a long note with many mentions stays quick.
    opens: dict[int, list[Mark]] = {}
    closes: dict[int, list[Mark]] = {}
    for ent in doc.entities:
        for start, end in ent.spans:
            opens.setdefault(start, []).append(ent)
            closes.setdefault(end, []).append(ent)
    active: list[Mark] = []
    found = []
    for start, end in pairwise(borders):
        for ent in closes.get(start, ()):
            del active[bisect_left(active, _outermost(ent), key=_outermost)]
        for ent in opens.get(start, ()):
            insort(active, ent, key=_outermost)
        ending = [ent for ent in closes.get(end, ()) if ent.end == end]
        ending.sort(key=_outermost, reverse=True)
        n_starting = sum(ent.start == start for ent in opens.get(start, ()))
        text = doc.text[start:end]
        found.append(Piece(text, tuple(active[-LAYERS:]), tuple(ending), n_starting))
    return found


def _outermost(ent: Mark) -> tuple[int, int, str, str]:
    return (-(ent.end - ent.start), ent.start, ent.label, ent.id)


def hues(docs: Iterable[MarkedText]) -> dict[str, float]:
    """A hue in degrees for every label, the same for the same set of labels."""
    labels = sorted({ent.label for doc in docs for ent in doc.entities})
    return {
        name: float(_HUES[i]) if i < len(_HUES) else round(i * _GOLDEN_ANGLE % 360, 1)
        for i, name in enumerate(labels)
    }


def to_html(doc: MarkedText, colours: Mapping[str, float], *, here: str = "") -> str:
    """The text as HTML, escaped: a span of class ``e`` a mention, of class ``tag`` its label.

    Args:
        doc: the text and its entities.
        colours: hue in degrees by label; each span has its hue as the CSS variable ``--h``.
        here: id of an entity that is shown by a span of class ``here`` alone.
    """
    parts: list[str] = []
    for piece in pieces(doc):
        parts += (_opening(ent, colours, here) for ent in piece.covering)
        parts.append(_escaped(piece.text) + "</span>" * len(piece.covering))
        parts += (_label(ent, colours) for ent in piece.ending if ent.id != here)
    return "".join(parts)


def _opening(ent: Mark, colours: Mapping[str, float], here: str) -> str:
    if ent.id == here:
        return '<span class="here">'
    hue, said = colours.get(ent.label, 0), _escaped(tag(ent))
    return f'<span class="e" style="--h: {hue}" title="{said}">'


def _label(ent: Mark, colours: Mapping[str, float]) -> str:
    hue, said = colours.get(ent.label, 0), _escaped(tag(ent))
    return f'<span class="tag" style="--h: {hue}">{said}</span>'


def notebook_html(doc: MarkedText, heading: str) -> str:
    """``to_html`` below a heading, with the style that it needs where no page brings one."""
    return (
        f'<div class="notesmith-document"><style>{_NOTEBOOK_STYLE}</style>'
        f"<p><b>{_escaped(heading)}</b></p>"
        f"<div>{to_html(doc, hues([doc]))}</div></div>"
    )


# Dark letters on a light ground read in light and dark notebooks.
_NOTEBOOK_STYLE = (
    ".notesmith-document div { white-space: pre-wrap; line-height: 1.7; } "
    ".notesmith-document span { color: #111; border-radius: 2px; padding: 1px 2px; } "
    ".notesmith-document .e { background: hsl(var(--h) 75% 82%); } "
    ".notesmith-document .tag { background: hsl(var(--h) 75% 68%); font: 600 75% sans-serif; }"
)


def _escaped(text: str) -> str:
    return escape(visible(text))


def tag(ent: Mark) -> str:
    """The words shown beside a mention: its label and attributes."""
    return " ".join((ent.label, *ent.attributes))


def visible(text: str) -> str:
    """Return text with control and direction-changing characters made visible.

    A note is data: it must not move the cursor, colour the terminal or turn the line around.
    """
    return text.translate(_VISIBLE)


def one_line(text: str) -> str:
    """Return text as ``visible`` does, its line ends and tabs made visible too."""
    return text.translate(_ONE_LINE)


_FORMAT = (
    *(0x00AD, 0x061C, 0x180E, 0x200B, 0x200E, 0x200F, 0xFEFF),  # Without width, or of direction.
    *range(0x2028, 0x202F),  # Ends of lines and paragraphs, directions.
    *range(0x2060, 0x2070),
    *range(0xFFF9, 0xFFFC),
    *range(0xD800, 0xE000),  # Halves of pairs, which no encoding holds.
    *range(0xE0000, 0xE0080),  # Tags.
)
_ONE_LINE: dict[int, str] = {
    **{c: chr(0x2400 + c) for c in range(0x20)},
    0x7F: "␡",
    **dict.fromkeys((*range(0x80, 0xA0), *_FORMAT), "�"),
}
# CR before LF is how some files end a line: nothing to see.
_VISIBLE: dict[int, str] = {**_ONE_LINE, 0x09: "\t", 0x0A: "\n", 0x0D: ""}
