"""Pages of labelled notes: examples, the doubtful ones first, and a card without note text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from notesmith import __version__
from notesmith.annotation.calibration import LEAST_MENTIONS
from notesmith.config.fields import Config
from notesmith.document import Document, Entity, Span
from notesmith.evaluate.calibration import Calibrated
from notesmith.marked import hues
from notesmith.report.html import environment, page_style
from notesmith.report.markdown import render
from notesmith.segments import cut

BANDS = (0.99, 0.9, 0.7, 0.0)
"""Lower bounds of the bands into which mentions are counted by their score, highest first."""
BAND_NAMES = ("0.99 to 1", "0.9 to 0.99", "0.7 to 0.9", "below 0.7")
DOUBTFUL = "doubtful"
"""What doubtful words are called where they are shown as marks."""
_SHOWN_CHARACTERS = 3000


class LabelBands(Config):
    """Numbers of mentions of a label by score, in the order of ``BANDS``."""

    label: str
    bands: tuple[int, ...]

    @property
    def mentions(self) -> int:
        """All mentions of the label."""
        return sum(self.bands)


@dataclass(frozen=True, slots=True)
class ShownNote:
    """A labelled note, its mean doubt a word (0 to 1), and its doubtful words."""

    doc: Document
    doubt: float
    words: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A note, or the part of a long one around its first doubtful words, as the page shows it."""

    doc: Document
    doubt: float
    place: str

    @classmethod
    def of(cls, note: ShownNote) -> Shown:
        """Mark the doubtful words outside mentions, and cut a long note."""
        doc = note.doc
        held = [span for ent in doc.entities for span in ent.spans]
        free = [
            (start, end)
            for start, end in _joined(doc.text, note.words)
            if not any(start < e and s < end for s, e in held)
        ]
        marks = tuple(Entity(f"D{i}", DOUBTFUL, (span,)) for i, span in enumerate(free, 1))
        ids = {ent.id for ent in marks}
        own = tuple(replace(ent, id=f"{ent.id}'") if ent.id in ids else ent for ent in doc.entities)
        doc = replace(doc, entities=(*own, *marks), relations=())
        n = len(doc.text)
        if n <= _SHOWN_CHARACTERS:
            return cls(doc, note.doubt, "")
        first = min((start for start, _ in note.words), default=0)
        start = max(0, min(first - _SHOWN_CHARACTERS // 3, n - _SHOWN_CHARACTERS))
        end = start + _SHOWN_CHARACTERS
        return cls(
            cut(doc, (start, end), doc_id=doc.id), note.doubt, f"characters {start:,} to {end:,}"
        )


def _joined(text: str, words: Sequence[Span]) -> list[Span]:
    """Doubtful words as ranges; those with nothing but white space between them are one."""
    found = list(words[:1])
    for before, word in pairwise(words):
        if text[before[1] : word[0]].strip():
            found.append(word)
        else:
            found[-1] = (found[-1][0], word[1])
    return found


def render_silver(
    doubtful: Sequence[ShownNote], random: Sequence[ShownNote], *, n_notes: int, card: str
) -> str:
    """Return the page of examples, which holds note text and says so.

    Args:
        doubtful: notes that the annotators doubt most, the most doubtful first.
        random: notes drawn by lot.
        n_notes: number of notes that were labelled.
        card: name of the card without text.
    """
    groups = [[Shown.of(note) for note in notes] for notes in (doubtful, random)]
    return (
        environment()
        .get_template("silver.html")
        .render(
            doubtful=groups[0],
            random=groups[1],
            n_notes=n_notes,
            card_name=card,
            hues=hues([shown.doc for group in groups for shown in group]),
            style=page_style(),
        )
    )


@dataclass(frozen=True, slots=True)
class SilverFacts:
    """What the card says beside the counts, without text.

    Attributes:
        created: date.
        annotators: what labelled the notes, in words.
        gold: documents that the annotators learnt from or that a dictionary is made of; 0 if none
            was given.
        n_held_out: files of documents that no note repeats.
        seed: root of all seeds.
        taught: ``hard``, ``masked`` or ``soft``.
        doubtful: least probability of the most probable tag of a word that is not doubtful.
        temperature: of soft labels.
        exact: whether students computed in float32.
        settings: other settings that differ from their defaults, by name.
        is_preview: a few notes and steps only.
        sent: what a reader must know of a server that prompts were sent to; empty if none were.
    """

    created: str
    annotators: str
    gold: int
    n_held_out: int
    seed: int
    taught: str
    doubtful: float
    temperature: float
    exact: bool
    settings: Mapping[str, str]
    is_preview: bool
    sent: str = ""


def silver_card(
    facts: SilverFacts,
    *,
    n_notes: int,
    n_words: int,
    n_doubtful: int,
    n_masked: int,
    confidence: float,
    labels: Sequence[LabelBands],
    calibrated: Mapping[str, Calibrated],
    counts: Mapping[str, Mapping[str, int]],
) -> str:
    """Return the card of labelled notes, as Markdown without note text.

    ``counts`` are those of notes left out, of reading and of problems, each by what it is, and
    ``calibrated`` says how scores of language models were calibrated, by annotator.
    """
    return render(
        "silver_card.md",
        facts=facts,
        n_notes=n_notes,
        n_words=n_words,
        n_doubtful=n_doubtful,
        n_masked=n_masked,
        confidence=confidence,
        labels=labels,
        bands=BAND_NAMES,
        calibrated=calibrated,
        least=LEAST_MENTIONS,
        counts=counts,
        version=__version__,
    )
