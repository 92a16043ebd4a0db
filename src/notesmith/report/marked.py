"""A document's text cut at every entity border, for the terminal and for pages alike.

Nested, crossing and discontinuous entities all show: a piece knows every entity that covers it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from notesmith.document import Document, Entity, labels_of

# Degrees around the colour wheel; neighbours in the list are far apart, so that the first labels
# of a set are told apart easily. Past the end the wheel is walked by the golden angle.
_HUES = (212, 24, 142, 330, 48, 264, 178, 4, 96, 292)
_GOLDEN_ANGLE = 137.508
LAYERS = 16
"""Entities shown over one another at most."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, the entities that cover it (outermost first), and those that end here.

    Of more than ``LAYERS`` entities the innermost cover it; ``n_starting`` counts all that begin.
    """

    text: str
    covering: tuple[Entity, ...] = ()
    ending: tuple[Entity, ...] = ()
    n_starting: int = 0

    @property
    def label(self) -> str | None:
        """Label of the innermost entity."""
        return self.covering[-1].label if self.covering else None


def pieces(doc: Document) -> list[Piece]:
    """Cut ``doc`` at every border; joined, the pieces give its text back."""
    borders = sorted(
        {0, len(doc.text), *(o for ent in doc.entities for span in ent.spans for o in span)}
    )
    # A sweep, so that a long note with many mentions stays quick.
    opens: dict[int, list[Entity]] = {}
    closes: dict[int, list[Entity]] = {}
    for ent in doc.entities:
        for start, end in ent.spans:
            opens.setdefault(start, []).append(ent)
            closes.setdefault(end, []).append(ent)
    active: list[Entity] = []
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


def _outermost(ent: Entity) -> tuple[int, int, str, str]:
    return (-(ent.end - ent.start), ent.start, ent.label, ent.id)


def hues(docs: Iterable[Document]) -> dict[str, float]:
    """A hue in degrees for every label, the same for the same set of labels."""
    return {
        name: float(_HUES[i]) if i < len(_HUES) else round(i * _GOLDEN_ANGLE % 360, 1)
        for i, name in enumerate(labels_of(docs))
    }


def tag(ent: Entity) -> str:
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
