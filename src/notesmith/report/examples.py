"""The documents that the page of examples shows; ``experiment`` chooses them."""

from __future__ import annotations

from dataclasses import dataclass

from notesmith.document import Document


@dataclass(frozen=True, slots=True)
class DroppedExample:
    """A made text that was dropped, and why; ``doc`` where it could be parsed.

    ``match`` and ``likeness`` (0 to 1) say what it repeats, where that is the reason.
    """

    reason: str
    text: str
    doc: Document | None = None
    match: str | None = None
    likeness: float | None = None


@dataclass(frozen=True, slots=True)
class PairedExample:
    """What two generators wrote for the same request; marked text where it could not be parsed."""

    asked: tuple[tuple[str, str], ...]
    before: Document | str
    after: Document | str


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """Gold and kept made text side by side, and dropped text with its reasons.

    ``pairs`` are of the fine-tuned generator and the one that then learnt from rewards, the arm
    ``rewarded``.
    """

    gold: tuple[Document, ...] = ()
    kept: tuple[Document, ...] = ()
    dropped: tuple[DroppedExample, ...] = ()
    pairs: tuple[PairedExample, ...] = ()
    rewarded: str = ""
